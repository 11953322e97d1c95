package transfer

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// MaxConnections is the limit of connections of an import or an export.
const MaxConnections = 256

// ExportOptions are the options of an export.
type ExportOptions struct {
	Format     Format
	Compressed bool // by gzip
	Segments   int  // that are scanned concurrently; default 4
	Consistent bool // reads see all earlier writes, at twice the cost
	// Progress, unless nil, is called from time to time, one call at a time, with the items so far and
	// about how many there are; 0 is unknown.
	Progress func(items, of int64)
}

// Export writes all items of a table to w, and returns their number. Items come in no order.
func (c *Client) Export(ctx context.Context, name string, w io.Writer, o ExportOptions) (items int64, err error) {
	if o.Segments == 0 {
		o.Segments = 4
	}
	if o.Segments < 0 || o.Segments > MaxConnections {
		return 0, fmt.Errorf("segments %d: want 1 to %d", o.Segments, MaxConnections)
	}
	about, err := c.Describe(ctx, name)
	if err != nil {
		return 0, err
	}
	if o.Compressed {
		z := gzip.NewWriter(w)
		defer func() {
			if closed := z.Close(); err == nil {
				err = closed
			}
		}()
		w = z
	}
	var to sink = &lineWriter{bufio.NewWriterSize(w, 64<<10)}
	if o.Format == CSV {
		if to, err = newTable(w, about.keyNames()); err != nil {
			return 0, err
		}
	}
	e := &export{client: c, table: name, options: o, to: to, of: about.ItemCount}
	err = e.run(ctx)
	if closed := to.close(); err == nil {
		err = closed
	}
	return e.items, err
}

// An export is the state of an Export.
type export struct {
	client  *Client
	table   string
	options ExportOptions
	of      int64

	mu    sync.Mutex // guards what follows
	to    sink
	items int64
}

// run scans all segments; the first error ends all.
func (e *export) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	for segment := range e.options.Segments {
		wait.Go(func() {
			if err := e.segment(ctx, segment); err != nil {
				cancel(err)
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

func (e *export) segment(ctx context.Context, segment int) error {
	request := map[string]any{
		"TableName": e.table, "Segment": segment, "TotalSegments": e.options.Segments, "ConsistentRead": e.options.Consistent,
	}
	for {
		var page struct {
			Items            []json.RawMessage
			LastEvaluatedKey json.RawMessage
		}
		if err := e.client.call(ctx, "Scan", request, &page); err != nil {
			return err
		}
		if err := e.write(page.Items); err != nil {
			return err
		}
		if page.LastEvaluatedKey == nil {
			return nil
		}
		request["ExclusiveStartKey"] = page.LastEvaluatedKey
	}
}

func (e *export) write(items []json.RawMessage) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, it := range items {
		if err := e.to.write(it); err != nil {
			return err
		}
	}
	e.items += int64(len(items))
	if e.options.Progress != nil {
		e.options.Progress(e.items, e.of)
	}
	return nil
}
