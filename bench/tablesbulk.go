package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// tablesBulk fills a table with many small items, kills the server, starts it again, and requests
// one item. Then it scans the whole table and watches the server's memory.
func tablesBulk(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("tablesbulk", &b)
	var (
		items       = positiveFlag(f, "items", 10_000_000, "number of items, of about 100 bytes")
		connections = positiveFlag(f, "connections", 16, "connections that write, 25 items per request")
	)
	if err := parse(f, args); err != nil {
		return err
	}
	b.memcached = none
	dir, done, err := b.scratch(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	if b.holdfast == none {
		return errors.New("without holdfast there is nothing to fill")
	}
	p := tableSpecs(&b, dir, none)[0]
	rows := [][]string{{"what", "figure"}}
	say := func(what, format string, args ...any) {
		rows = append(rows, []string{what, fmt.Sprintf(format, args...)})
	}

	r, err := startTables(ctx, p, *connections, 1)
	if r != nil {
		defer func() { r.stop() }() // the server of then, which is another one after the kill
	}
	if err != nil {
		return err
	}
	start := time.Now()
	if err := r.writeAll(*items); err != nil {
		return err
	}
	say("written by BatchWriteItem, items/s", "%.0f", float64(*items)/time.Since(start).Seconds())
	say("memory afterwards, MiB", "%d", r.residentMiB())
	if err := r.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-r.exited
	say("directory, MiB", "%d", directoryBytes(dir)>>20)

	start = time.Now()
	again, err := p.launch(r.address)
	if err != nil {
		return err
	}
	r.server = again
	if err := r.firstItem(ctx, *items/2); err != nil {
		return err
	}
	say("from the start after SIGKILL to the first item, s", "%.2f", time.Since(start).Seconds())
	scanned, peak, took, err := r.scanAll()
	if err != nil {
		return err
	}
	say("scanned, items", "%d", scanned)
	say("scanned, items/s", "%.0f", float64(scanned)/took.Seconds())
	say("the most memory during the scan, MiB", "%d", peak)
	table(rows)
	if scanned != *items {
		return fmt.Errorf("%d items scanned; %d were acknowledged", scanned, *items)
	}
	return nil
}

const bulkTable = `{"TableName":"bulk","BillingMode":"PAY_PER_REQUEST",` +
	`"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],` +
	`"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`

// batchItems is how many items a BatchWriteItem may have.
const batchItems = 25

// appendBatch appends a BatchWriteItem of the items from first to before end.
func appendBatch(body []byte, first, end int) []byte {
	body = append(body, `{"RequestItems":{"bulk":[`...)
	for n := first; n < end; n++ {
		if n > first {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"PutRequest":{"Item":{"id":{"S":"user-%012d"},"n":{"N":"%d"},`+
			`"name":{"S":"somebody who is called %d and lives here"}}}}`, n, n, n)
	}
	return append(body, `]}}`...)
}

// writeAll creates the table and writes the items on all connections.
func (r *tableRun) writeAll(items int) error {
	if _, err := r.clients[0].ask("CreateTable", []byte(bulkTable)); err != nil {
		return err
	}
	if err := r.clients[0].awaitActive("bulk"); err != nil {
		return err
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, len(r.clients))
	for i, c := range r.clients {
		wait.Go(func() {
			var body []byte
			for errs[i] == nil {
				first := int(next.Add(batchItems)) - batchItems
				if first >= items {
					return
				}
				body = appendBatch(body[:0], first, min(first+batchItems, items))
				var answer []byte
				if answer, errs[i] = c.ask("BatchWriteItem", body); bytes.Contains(answer, []byte("PutRequest")) {
					errs[i] = fmt.Errorf("unprocessed: %.200s", answer)
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// firstItem waits until the server answers, and requests an item.
func (r *tableRun) firstItem(ctx context.Context, n int) error {
	r.clients = nil
	if err := r.connect(ctx, 1); err != nil {
		return err
	}
	answer, err := r.clients[0].ask("GetItem", fmt.Appendf(nil, `{"TableName":"bulk","Key":{"id":{"S":"user-%012d"}}}`, n))
	if err == nil && !bytes.Contains(answer, []byte("somebody")) {
		err = fmt.Errorf("an acknowledged item is missing: %s", answer)
	}
	return err
}

// scanAll reads the whole table, page by page.
func (r *tableRun) scanAll() (items, peakMiB int, took time.Duration, err error) {
	start := time.Now()
	var last json.RawMessage
	for {
		body := []byte(`{"TableName":"bulk"}`)
		if last != nil {
			body = fmt.Appendf(nil, `{"TableName":"bulk","ExclusiveStartKey":%s}`, last)
		}
		answer, err := r.clients[0].ask("Scan", body)
		if err != nil {
			return 0, 0, 0, err
		}
		n, key, err := parsePage(answer)
		if err != nil {
			return 0, 0, 0, err
		}
		items += n
		peakMiB = max(peakMiB, r.residentMiB())
		if key == nil {
			return items, peakMiB, time.Since(start), nil
		}
		last = key
	}
}

// parsePage returns how many items a page of a Scan has, and the key with which the next one
// begins; nil for the last page. It reads the page's tail only, since decoding the whole page would
// measure the client.
func parsePage(page []byte) (items int, last json.RawMessage, err error) {
	const countField, keyField = `"ScannedCount":`, `"LastEvaluatedKey":`
	at := bytes.LastIndex(page, []byte(countField))
	if at < 0 {
		return 0, nil, fmt.Errorf("no ScannedCount: %s", page[max(0, len(page)-400):])
	}
	if _, err := fmt.Sscanf(string(page[at:]), countField+"%d", &items); err != nil {
		return 0, nil, err
	}
	if at = bytes.LastIndex(page, []byte(keyField)); at < 0 {
		return items, nil, nil
	}
	err = json.NewDecoder(bytes.NewReader(page[at+len(keyField):])).Decode(&last)
	return items, last, err
}

// directoryBytes is the size of all files below dir.
func directoryBytes(dir string) (sum int64) {
	filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
