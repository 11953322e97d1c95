package transfer

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"holdfast"
)

// Limits of a BatchWriteItem. The server's are 25 items and 16 MiB.
const (
	batchItems = 25
	batchBytes = 4 << 20
)

// ImportOptions are the options of an import.
type ImportOptions struct {
	Format Format
	// Types are those of CSV's columns, by name, that have none in the header; default S.
	Types map[string]string
	// Connections write concurrently; default 4. The later of two lines with
	// the same key is certain to win only with one connection.
	Connections int
	FromLine    int64 // the first line to import, counted as in errors; those before are skipped
	// Progress, unless nil, is called from time to time, one call at a time, with the items written so
	// far.
	Progress func(items int64)
}

// Imported is the progress of an import.
type Imported struct {
	Items int64 // written
	Next  int64 // all lines before this one are done, so that another import resumes here; 0: all are done
}

// Import puts the items of r, which may be compressed by gzip, into a table. An error that belongs
// to a line is a *LineError; the items written before it stay, as Imported says.
func (c *Client) Import(ctx context.Context, name string, r io.Reader, o ImportOptions) (Imported, error) {
	if o.Connections == 0 {
		o.Connections = 4
	}
	if o.Connections < 0 || o.Connections > MaxConnections {
		return Imported{Next: 1}, fmt.Errorf("connections %d: want 1 to %d", o.Connections, MaxConnections)
	}
	about, err := c.Describe(ctx, name)
	if err != nil {
		return Imported{Next: 1}, err
	}
	from, err := open(r, o)
	if err != nil {
		return Imported{Next: 1}, err
	}
	i := &imports{client: c, table: name, keys: about.keyNames(), options: o, from: from, inFlight: make(map[int64]bool)}
	err = i.run(ctx)
	return Imported{i.items, i.next(err)}, err
}

// open returns the items of an input.
func open(r io.Reader, o ImportOptions) (source, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := br.Peek(2); string(magic) == "\x1f\x8b" { // the first read returns the error of Peek again
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		br = bufio.NewReaderSize(z, 64<<10)
	}
	if o.Format == CSV {
		return newRows(br, o.Types)
	}
	if len(o.Types) > 0 {
		return nil, errors.New("types are for CSV: JSON has its own")
	}
	return newLines(br), nil
}

// A put is an item of the input.
type put struct {
	line int64
	item item
}

// An imports is the state of an Import.
type imports struct {
	client  *Client
	table   string
	keys    []string
	options ImportOptions
	from    source

	mu       sync.Mutex     // guards what follows
	items    int64          // written
	inFlight map[int64]bool // first lines of the batches that aren't written yet
	read     int64          // all lines before this one are in batches, or hold no item
}

// run reads batches and sends them to the connections; the first error ends all.
func (i *imports) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	batches := make(chan []put)
	var wait sync.WaitGroup
	for range i.options.Connections {
		wait.Go(func() {
			for batch := range batches {
				if err := i.write(ctx, batch); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := i.readBatches(ctx, batches)
	close(batches)
	wait.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// readBatches reads until the end or the first line with an error; the items before it are still
// written.
func (i *imports) readBatches(ctx context.Context, batches chan<- []put) error {
	var batch []put
	bytes := 0
	at := make(map[string]int) // keys of the batch
	send := func() bool {
		if len(batch) == 0 {
			return true
		}
		i.begin(batch)
		select {
		case batches <- batch:
		case <-ctx.Done():
			return false
		}
		batch, bytes, at = nil, 0, make(map[string]int)
		return true
	}
	for {
		it, line, err := i.from.next()
		if line < i.options.FromLine && (err == nil || errors.As(err, new(*LineError))) {
			continue
		}
		if err == io.EOF {
			i.readTo(math.MaxInt64)
			send()
			return nil
		}
		if err != nil {
			i.readTo(line)
			send()
			return err
		}
		key := i.key(it)
		if before, twice := at[key]; twice { // a batch can't have a key twice, and the later item counts
			batch[before].item = it
			continue
		}
		if size := it.bytes(); len(batch) == batchItems || bytes+size > batchBytes {
			i.readTo(line)
			if !send() {
				return nil
			}
		}
		at[key] = len(batch)
		batch, bytes = append(batch, put{line, it}), bytes+it.bytes()
	}
}

func (it item) bytes() int {
	n := 0
	for name, v := range it {
		n += len(name) + len(v)
	}
	return n
}

// key returns a text that is equal for items with equal keys, if they are written alike.
func (i *imports) key(it item) string {
	var key []byte
	for _, name := range i.keys {
		key = append(append(key, it[name]...), 0)
	}
	return string(key)
}

func (i *imports) begin(batch []put) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.inFlight[batch[0].line] = true
}

// readTo notes that all lines before this one are in batches.
func (i *imports) readTo(line int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.read = line
}

func (i *imports) done(batch []put) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.inFlight, batch[0].line)
}

// count adds to the items that are written.
func (i *imports) count(items int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.items += int64(items)
	if i.options.Progress != nil {
		i.options.Progress(i.items)
	}
}

// next returns Imported.Next.
func (i *imports) next(err error) int64 {
	if err == nil {
		return 0
	}
	next := max(i.read, 1)
	for line := range i.inFlight {
		next = min(next, line)
	}
	if next == math.MaxInt64 {
		return 0 // it was canceled after all was done
	}
	return next
}

// A writeRequest is a part of a BatchWriteItem.
type writeRequest struct{ PutRequest struct{ Item item } }

// write writes a batch, and repeats what the server leaves of it.
func (i *imports) write(ctx context.Context, batch []put) error {
	requests := make([]writeRequest, len(batch))
	for n, p := range batch {
		requests[n].PutRequest.Item = p.item
	}
	for attempt := 0; len(requests) > 0; attempt++ {
		var answer struct {
			UnprocessedItems map[string][]writeRequest
		}
		request := map[string]any{"RequestItems": map[string][]writeRequest{i.table: requests}}
		err := i.client.call(ctx, "BatchWriteItem", request, &answer)
		if errors.Is(err, holdfast.Invalid) {
			return i.blame(ctx, batch)
		}
		if err != nil {
			return &LineError{batch[0].line, err}
		}
		left := answer.UnprocessedItems[i.table]
		i.count(len(requests) - len(left))
		if len(left) < len(requests) {
			attempt = 0 // there is progress, however slow
		}
		if attempt == i.client.options.Retries {
			return &LineError{batch[0].line, fmt.Errorf("the server left %d items unwritten %d times", len(left), attempt+1)}
		}
		if requests = left; len(requests) > 0 && wait(ctx, attempt) != nil {
			return ctx.Err()
		}
	}
	i.done(batch)
	return nil
}

// blame writes the items of a refused batch one by one, to find the item with the error.
func (i *imports) blame(ctx context.Context, batch []put) error {
	for _, p := range batch {
		var answer json.RawMessage
		err := i.client.call(ctx, "PutItem", map[string]any{"TableName": i.table, "Item": p.item}, &answer)
		if err != nil {
			return &LineError{p.line, err}
		}
		i.count(1)
	}
	i.done(batch)
	return nil
}
