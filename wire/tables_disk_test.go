package wire

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// diskBytes is the size of TestTablesOnAFullDisk's disk, and reserveBytes what the tables leave
// free.
const (
	diskBytes    = 1 << 30
	reserveBytes = 256 << 20
)

// TestTablesOnAFullDisk fills a disk with items until writes are refused, and then the rest with a
// file, as another program would. Reads continue all the time, and a table can be deleted until
// another program has taken the last bytes. When there is space again, writes are accepted, and a
// start finds every acknowledged item. Half of the items are written by transactions that write
// another one, with global indexes, to a second table: both are there or none, and so are their
// entries.
func TestTablesOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := mountMemory(dir, fmt.Sprintf("size=%d", diskBytes)); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unmount(dir); err != nil {
			t.Error(err)
		}
	})
	file := filepath.Join(t.TempDir(), "holdfast.yaml")
	configuration := fmt.Appendf(nil, "tables: {reserve: %d, cache: 8MiB, new_shards: 3}\n", reserveBytes)
	if err := os.WriteFile(file, configuration, 0o600); err != nil {
		t.Fatal(err)
	}
	server := startTables(t, filepath.Join(dir, "data"), "--config", file)
	d := newDynamo(server.addr)
	defer d.close()
	d.must(t, "CreateTable", tableOfNumbers("full"), nil)
	d.active(t, "full")
	d.must(t, "CreateTable", tableOfNumbers("spare"), nil)
	d.active(t, "spare")
	d.must(t, "CreateTable", beside, nil)
	d.active(t, "beside")

	written := fillTable(t, d)
	t.Logf("%d items of 100 KB fit", written)
	other := filepath.Join(dir, "of another program")
	if err := fillDisk(other); err != nil {
		t.Fatal(err)
	}
	for i := range written {
		expectItem(t, d, i)
	}
	if err := d.ask("PutItem", fullItem(written), nil); !isFull(err) {
		t.Errorf("a put on a full disk: got %v; want it refused", err)
	}
	if err := d.ask("TransactWriteItems", bothItems(written), nil); !isFull(err) {
		t.Errorf("a transaction on a full disk: got %v; want it refused", err)
	}
	expectBeside(t, d, written)
	if err := d.ask("CreateTable", tableOfNumbers("next"), nil); !isFull(err) {
		t.Errorf("a table on a full disk: got %v; want it refused", err)
	}
	d.must(t, "DeleteTable", `{"TableName":"spare"}`, nil) // uses the ballast's space
	if err := fillDisk(other + ", too"); err != nil {
		t.Fatal(err)
	}
	// The space that a removal leaves may be taken by now, so the test doesn't try another removal.
	expectItem(t, d, 0)
	server.kill()
	if err := errors.Join(os.Remove(other), os.Remove(other+", too")); err != nil {
		t.Fatal(err)
	}
	startTablesAt(t, server.addr, filepath.Join(dir, "data"), "--config", file)
	for i := range written {
		expectItem(t, d, i)
	}
	expectBeside(t, d, written)
	d.must(t, "CreateTable", tableOfNumbers("next"), nil)
	d.must(t, "DeleteTable", `{"TableName":"full"}`, nil)
	eventually(t, "writes are accepted again", func() bool {
		err := d.ask("PutItem", strings.Replace(fullItem(0), `"full"`, `"next"`, 1), nil)
		if err != nil && !isFull(err) {
			t.Fatal(err)
		}
		return err == nil
	})
	d.must(t, "TransactWriteItems", strings.Replace(bothItems(written+1), `"full"`, `"next"`, 1), nil)
	expectIndexes(t, d, "beside")
}

// beside is a request that creates the table whose items are written together with others.
const beside = `{"TableName":"beside","BillingMode":"PAY_PER_REQUEST",
	"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"N"},{"AttributeName":"g","AttributeType":"N"},
		{"AttributeName":"h","AttributeType":"N"}],
	"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
	"GlobalSecondaryIndexes":[
		{"IndexName":"by-g","Projection":{"ProjectionType":"ALL"},"KeySchema":[{"AttributeName":"g","KeyType":"HASH"}]},
		{"IndexName":"by-h","Projection":{"ProjectionType":"KEYS_ONLY"},"KeySchema":[{"AttributeName":"h","KeyType":"HASH"}]}]}`

// bothItems is a transaction of an item of each table. Each fourth has a token.
func bothItems(i int) string {
	token := ""
	if i%4 == 1 {
		token = fmt.Sprintf(`"ClientRequestToken":"token-%d",`, i)
	}
	return fmt.Sprintf(`{%s"TransactItems":[{"Put":%s},{"Put":{"TableName":"beside",
		"Item":{"id":{"N":"%d"},"g":{"N":"%d"},"h":{"N":"%d"}}}}]}`, token, fullItem(i), i, i%97, i%89)
}

// expectBeside fails unless the second table has the items of the acknowledged transactions and no
// others, and its indexes the entries of these.
func expectBeside(t *testing.T, d *dynamo, written int) {
	t.Helper()
	got := map[string]bool{}
	for _, it := range scanAll(t, d, "beside", "") {
		got[scalar(it["id"])] = true
	}
	for i := 1; i < written; i += 2 {
		if !got[fmt.Sprint(i)] {
			t.Errorf("item %d of the transactions isn't there", i)
		}
		delete(got, fmt.Sprint(i))
	}
	if len(got) > 0 {
		t.Errorf("got items %v of transactions that were refused", got)
	}
	expectIndexes(t, d, "beside")
}

// tableOfNumbers is a request that creates a table with numbers as keys.
func tableOfNumbers(name string) string {
	return fmt.Sprintf(`{"TableName":%q,"BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"N"}],
		"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`, name)
}

// incompressible is 100 KB of text.
var incompressible = func() string {
	var text strings.Builder
	for random := rand.New(rand.NewPCG(1, 2)); text.Len() < 100<<10; {
		fmt.Fprintf(&text, "%016x", random.Uint64())
	}
	return text.String()
}()

// fullText is the text of an item, and fullItem its put.
func fullText(i int) string { return fmt.Sprintf("%08d%s", i, incompressible) }

func fullItem(i int) string {
	return fmt.Sprintf(`{"TableName":"full","Item":{"id":{"N":"%d"},"text":{"S":"%s"}}}`, i, fullText(i))
}

// isFull reports whether a request was refused because the disk is full.
func isFull(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusServiceUnavailable && strings.Contains(r.Text, "disk is full")
}

// fillTable puts items until one is refused, every other by a transaction, and returns how many
// were stored.
func fillTable(t *testing.T, d *dynamo) int {
	t.Helper()
	for i := range diskBytes / (100 << 10) {
		operation, body := "PutItem", fullItem(i)
		if i%2 == 1 {
			operation, body = "TransactWriteItems", bothItems(i)
		}
		if err := d.ask(operation, body, nil); isFull(err) {
			return i
		} else if err != nil {
			t.Fatalf("put %d: %v", i, err)
		}
	}
	t.Fatal("more was taken than the disk holds")
	return 0
}

func expectItem(t *testing.T, d *dynamo, i int) {
	t.Helper()
	var got struct {
		Item struct{ Text struct{ S string } }
	}
	d.must(t, "GetItem", fmt.Sprintf(`{"TableName":"full","Key":{"id":{"N":"%d"}}}`, i), &got)
	if got.Item.Text.S != fullText(i) {
		t.Fatalf("item %d: got %.40q…", i, got.Item.Text.S)
	}
}

// fillDisk writes a file until the disk is full.
func fillDisk(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for block := make([]byte, 1<<20); err == nil; {
		_, err = f.Write(block)
	}
	return f.Close()
}
