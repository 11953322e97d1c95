package shard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

var bg = context.Background()

// testSchema is of a table with the keys id and n, a global index by g and n with everything, a
// local index by m with keys, a global index by g with one attribute, one whose partition key is g
// and n together and whose sort key is v and id, and items that expire at "ttl".
func testSchema() Schema {
	s := func(name string) item.KeyAttr { return item.KeyAttr{Name: name, Type: item.S} }
	n := func(name string) item.KeyAttr { return item.KeyAttr{Name: name, Type: item.N} }
	return Schema{
		Key: item.KeySchema{Hash: s("id"), Range: n("n")},
		Indexes: []item.Index{
			{ID: 1, Name: "all", Key: item.KeySchema{Hash: s("g"), Range: n("n")}.Index(), Project: item.ProjectAll},
			{ID: 2, Name: "local", Local: true, Key: item.KeySchema{Hash: s("id"), Range: n("m")}.Index(),
				Project: item.ProjectKeys},
			{ID: 3, Name: "some", Key: item.KeySchema{Hash: s("g")}.Index(), Project: item.ProjectSome, Attrs: []string{"v"}},
			{ID: 4, Name: "multi", Key: item.IndexKey{Hash: []item.KeyAttr{s("g"), n("n")},
				Range: []item.KeyAttr{n("v"), s("id")}},
				Project: item.ProjectSome, Attrs: []string{"w"}},
		},
		TTL: "ttl",
	}
}

func number(n int) item.Value {
	return item.Value{Type: item.N, Text: fmt.Sprint(n)}
}

// thing returns an item of testSchema; attributes are names and values, which are texts or ints.
func thing(id string, n int, attrs ...any) item.Item {
	it := item.New(item.Attr{Name: "id", Value: item.Text(id)}, item.Attr{Name: "n", Value: number(n)})
	for i := 0; i < len(attrs); i += 2 {
		switch v := attrs[i+1].(type) {
		case string:
			it = it.With(attrs[i].(string), item.Text(v))
		case int:
			it = it.With(attrs[i].(string), number(v))
		}
	}
	return it
}

func keyOf(t testing.TB, it item.Item) item.Key {
	t.Helper()
	key, err := testSchema().Key.Key(it)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// put returns the write that makes it the item at its key.
func put(t testing.TB, sh *Shard, it item.Item) Write {
	return Write{Shard: sh, Key: keyOf(t, it), Change: func(item.Item) (item.Item, error) { return it, nil }}
}

// effectOf returns the effect by which an entry puts an item.
func effectOf(t testing.TB, it item.Item) effect {
	return effect{key: keyOf(t, it), after: it, encoded: item.Append(nil, it)}
}

// proposed proposes a body, and returns its entry once that is on disk.
func proposed(t testing.TB, sh *Shard, x body) *entry {
	t.Helper()
	p, err := sh.propose(x, sh.engine.db, false)
	if err == nil {
		err = p.wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	return p.entry
}

// remove returns the write that removes the item at the key of it.
func remove(t testing.TB, sh *Shard, it item.Item) Write {
	return Write{Shard: sh, Key: keyOf(t, it), Change: func(item.Item) (item.Item, error) { return nil, nil }}
}

func commitAll(t testing.TB, s *Store, writes ...Write) []Result {
	t.Helper()
	results, err := s.Commit(bg, Commit{Writes: writes})
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func memOptions(fs vfs.FS) Options {
	return Options{Dir: "/data", FS: fs, CacheBytes: 8 << 20, Boot: rand.Text(), Fatal: func(error) {}}
}

// openStore opens a store, with a ledger unless it is for reading only.
func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	s := openPlain(t, o)
	if !o.ReadOnly {
		useLedger(t, s)
	}
	return s
}

// openPlain opens a store without a ledger.
func openPlain(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// ledgerShard is the ledger's ID in tests.
const ledgerShard = 77

// useLedger gives a store its ledger.
func useLedger(t testing.TB, s *Store) *Ledger {
	t.Helper()
	sh, err := s.Open(whole(ledgerShard), LedgerSchema())
	if err != nil {
		t.Fatal(err)
	}
	return s.UseLedger(sh)
}

// schemaOf returns the schema of a shard of tests.
func schemaOf(id holdfast.ShardID) Schema {
	switch id {
	case ledgerShard:
		return LedgerSchema()
	case followingShard:
		return plainSchema()
	case loadedShard:
		return Schema{Key: testSchema().Key}
	}
	return testSchema()
}

func openShard(t testing.TB, s *Store, id holdfast.ShardID) *Shard {
	t.Helper()
	sh, err := s.Open(whole(id), schemaOf(id))
	if err != nil {
		t.Fatal(err)
	}
	return sh
}

func memShard(t testing.TB) (*Store, *Shard) {
	s := openStore(t, memOptions(vfs.NewMem()))
	return s, openShard(t, s, 1)
}

// checkStore checks a store that is closed, and fails the test for each fault, and for locks: there
// must be none when all commits have ended.
func checkStore(t testing.TB, o Options, ids ...holdfast.ShardID) Checked {
	t.Helper()
	checked, err := Check(bg, o, func(*Store) (map[holdfast.ShardID]Schema, error) {
		all := map[holdfast.ShardID]Schema{}
		for _, id := range ids {
			all[id] = schemaOf(id)
		}
		return all, nil
	}, nil, func(f Fault) { t.Errorf("shard %d: %s: %s", f.Shard, f.Kind, f.Text) })
	if err != nil {
		t.Fatal(err)
	}
	if checked.Locks > 0 {
		t.Errorf("got locks of transactions on %d items; want none", checked.Locks)
	}
	return checked
}

// all returns what a cursor over a span has.
func all(t testing.TB, sh *Shard, span Span) []item.Item {
	t.Helper()
	c, err := sh.Cursor(bg, span)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var items []item.Item
	for c.Next() {
		it, err := c.Item()
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, it)
	}
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
	return items
}

func TestCommitAndGet(t *testing.T) {
	s, sh := memShard(t)
	a := thing("a", 1, "g", "x", "v", "hello")
	results := commitAll(t, s, put(t, sh, a))
	want := holdfast.TxID{Shard: 1, Term: sh.terms.newest(), Index: 1}
	if got := results[0]; got.Tx != want || got.Before != nil || !got.After.Equal(a) {
		t.Errorf("got %+v; want a new item at %v", got, want)
	}
	got, err := sh.Get(bg, keyOf(t, a))
	if err != nil || !got.Equal(a) {
		t.Errorf("got %v, %v; want %v", got, err, a)
	}
	if got, err := sh.Get(bg, keyOf(t, thing("b", 1))); got != nil || err != nil {
		t.Errorf("got %v, %v; want none", got, err)
	}
	results = commitAll(t, s, put(t, sh, a))
	if got := results[0]; got.Tx != (holdfast.TxID{}) || !got.Before.Equal(a) {
		t.Errorf("got %+v; want nothing changed", got)
	}
	if got := sh.Counts(); got.Applied != 1 || got.Items != 1 || got.ItemBytes != int64(a.Size()) ||
		got.Indexes[3].Items != 1 {
		t.Errorf("got %+v; want one item", got)
	}
}

func TestCommitFailsAsAWhole(t *testing.T) {
	s, sh := memShard(t)
	other := openShard(t, s, 2)
	refused := errors.New("refused")
	refuse := put(t, other, thing("b", 2))
	refuse.Change = func(before item.Item) (item.Item, error) { return nil, refused }
	_, err := s.Commit(bg, Commit{
		Writes: []Write{put(t, sh, thing("a", 1)), refuse},
	})
	if err != refused {
		t.Errorf("got %v; want the error of the Change itself", err)
	}
	if got := all(t, sh, Span{}); got != nil {
		t.Errorf("got %v; want nothing", got)
	}
	twice := Commit{Writes: []Write{put(t, sh, thing("a", 1)), put(t, sh, thing("a", 1, "v", "2"))}}
	if _, err := s.Commit(bg, twice); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("got %v; want invalid", err)
	}
}

func TestRecords(t *testing.T) {
	s, _ := memShard(t)
	set := func(name, value string) error {
		return s.SaveRecords(bg, []Record{{Name: name, Value: []byte(value)}}, false)
	}
	for _, name := range []string{"table/b", "table/a", "token/x"} {
		if err := set(name, name); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Records("table/")
	if err != nil || len(got) != 2 || got[0].Name != "table/a" || string(got[1].Value) != "table/b" {
		t.Errorf("got %v, %v; want table/a and table/b", got, err)
	}
	err = s.SaveRecords(bg, []Record{{Name: "table/a"}, {Name: "table/c", Value: []byte("c")}}, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := s.Record("table/a"); ok {
		t.Error("got table/a; want it deleted")
	}
	if value, ok, err := s.Record("table/c"); !ok || string(value) != "c" {
		t.Errorf("got %q, %v, %v; want table/c", value, ok, err)
	}
	canceled, cancel := context.WithCancel(bg)
	cancel()
	err = s.SaveRecords(canceled, []Record{{Name: "table/d", Value: []byte("d")}}, false)
	if _, ok, _ := s.Record("table/d"); ok || !errors.Is(err, holdfast.Overloaded) {
		t.Errorf("with a context that has ended: got %v, saved %t; want overloaded, nothing saved", err, ok)
	}
}

// Of many commits with the same token one is done, and the others get its error or that of another
// digest.
func TestCommitsWithAToken(t *testing.T) {
	s, sh := memShard(t)
	var wait sync.WaitGroup
	first := make(chan int, 20)
	for i := range 20 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			_, err := s.Commit(bg, Commit{
				Token: "token", Digest: []byte{byte(i % 2)}, Writes: []Write{put(t, sh, thing(fmt.Sprint(i), 1))},
			})
			if err == nil {
				first <- i
			} else if !errors.Is(err, ErrCommitted) && !errors.Is(err, ErrTokenReused) {
				t.Error(err)
			}
		}()
	}
	wait.Wait()
	if len(first) != 1 || sh.Counts().Items != 1 {
		t.Fatalf("got %d commits and %d items; want one", len(first), sh.Counts().Items)
	}
	done := <-first
	for i := range 2 {
		want := ErrCommitted
		if i != done%2 {
			want = ErrTokenReused
		}
		w := put(t, sh, thing("x", 1))
		_, err := s.Commit(bg, Commit{Token: "token", Digest: []byte{byte(i)}, Writes: []Write{w}})
		if err != want {
			t.Errorf("digest %d after %d: got %v; want %v", i, done, err, want)
		}
	}
}

// Each of many commits adds one to the same item: none may be lost, though they don't wait for each
// other's sync.
func TestCommitsOfOneItem(t *testing.T) {
	s, sh := memShard(t)
	const writers, times = 8, 50
	key := keyOf(t, thing("a", 1))
	var wait sync.WaitGroup
	for range writers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for range times {
				_, err := s.Commit(bg, Commit{Writes: []Write{{Shard: sh, Key: key,
					Change: func(before item.Item) (item.Item, error) {
						v, _ := before.Get("count")
						n := 0
						fmt.Sscan(v.Text, &n)
						return thing("a", 1, "count", n+1), nil
					}}}})
				if err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wait.Wait()
	got, err := sh.Get(bg, key)
	if v, _ := got.Get("count"); err != nil || v.Text != fmt.Sprint(writers*times) {
		t.Errorf("got %v, %v; want %d", v.Text, err, writers*times)
	}
	if got := sh.End(); got.Index != writers*times+1 {
		t.Errorf("got the end at %d; want %d", got.Index, writers*times+1)
	}
}

func TestGetAllIsOneSnapshot(t *testing.T) {
	s, sh := memShard(t)
	other := openShard(t, s, 2)
	gets := []Get{{sh, keyOf(t, thing("a", 1))}, {other, keyOf(t, thing("b", 1))}}
	whileReading(func() {
		for i := range 200 {
			commitAll(t, s, put(t, sh, thing("a", 1, "v", i)), put(t, other, thing("b", 1, "v", i)))
		}
	}, func() {
		got, err := s.GetAll(bg, gets)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := got[0].Get("v")
		b, _ := got[1].Get("v")
		if !a.Equal(b) {
			t.Fatalf("got %v and %v; want the same", a, b)
		}
	})
}

func TestCloseAndDrop(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, memOptions(fs))
	sh := openShard(t, s, 1)
	other := openShard(t, s, 2)
	commitAll(t, s, put(t, sh, thing("a", 1)), put(t, other, thing("a", 1)))
	if err := s.Drop(whole(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := sh.Get(bg, keyOf(t, thing("a", 1))); !errors.Is(err, holdfast.Closed) {
		t.Errorf("Get: got %v; want closed", err)
	}
	if _, err := sh.Cursor(bg, Span{}); !errors.Is(err, holdfast.Closed) {
		t.Errorf("Cursor: got %v; want closed", err)
	}
	if _, err := s.Commit(bg, Commit{Writes: []Write{put(t, sh, thing("b", 1))}}); !errors.Is(err, holdfast.Closed) {
		t.Errorf("Commit: got %v; want closed", err)
	}
	if err := s.Drop(whole(1)); err != nil {
		t.Errorf("Drop again: got %v; want none", err)
	}
	if again := openShard(t, s, 1); again == sh || again.Counts().Items != 0 || again.End().Index != 1 {
		t.Errorf("got %+v; want an empty shard", again.Counts())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Get(bg, keyOf(t, thing("a", 1))); !errors.Is(err, holdfast.Closed) {
		t.Errorf("Get after Close: got %v; want closed", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close again: got %v; want none", err)
	}
}

// A test's clock.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// whole returns the descriptor of a shard that is alone in a space.
func whole(id holdfast.ShardID) Descriptor {
	return Descriptor{ID: id, Space: holdfast.SpaceID(id)}
}

// keysOf returns the keys of such a shard.
func keysOf(id holdfast.ShardID) keys {
	d := whole(id)
	return d.keys()
}

// OnDisk has the shards that are on disk, whether they are open or not, and none that was dropped.
func TestOnDisk(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, memOptions(fs))
	for id := holdfast.ShardID(1); id <= 3; id++ {
		openShard(t, s, id)
	}
	if err := errors.Join(s.Drop(whole(2)), s.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := OnDisk(openStore(t, memOptions(fs)))
	want := []Descriptor{whole(1), whole(3), whole(ledgerShard)}
	if err != nil || !slices.EqualFunc(got, want, func(a, b Descriptor) bool { return a.equal(&b) }) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}
