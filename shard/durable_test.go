package shard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast"
	"holdfast/item"
)

// A slowDisk is a memory disk whose syncs of logs a test holds back.
type slowDisk struct {
	vfs.FS
	mu   sync.Mutex
	held chan struct{} // closed when syncs may go on; nil: they may

	waits atomic.Int64 // syncs that have been held back
}

func newSlowDisk() *slowDisk {
	d := &slowDisk{}
	d.FS = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if sync && isLog(op.Path) {
			d.mu.Lock()
			held := d.held
			d.mu.Unlock()
			if held != nil {
				d.waits.Add(1)
				<-held
			}
		}
		return nil
	}))
	return d
}

func (d *slowDisk) hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = make(chan struct{})
}

func (d *slowDisk) letGo() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held != nil {
		close(d.held)
		d.held = nil
	}
}

// An endsWhenWaited is a context that ends when somebody begins to wait for its end.
type endsWhenWaited struct {
	context.Context
	waited atomic.Bool
}

func (c *endsWhenWaited) Done() <-chan struct{} {
	c.waited.Store(true)
	done := make(chan struct{})
	close(done)
	return done
}

func (c *endsWhenWaited) Err() error {
	if c.waited.Load() {
		return context.Canceled
	}
	return nil
}

// A delayed is a store with a commit whose sync is held back: of shard 1 it changes the item a and
// adds b, and it sets a record.
type delayed struct {
	t      *testing.T
	disk   *slowDisk
	s      *Store
	sh     *Shard
	ctx    context.Context // has ended: what has to wait for the disk gets Overloaded instead
	old    item.Item
	result chan error // of the commit
}

func newDelayed(t *testing.T) *delayed {
	d := &delayed{t: t, disk: newSlowDisk(), old: thing("a", 1, "g", "x", "v", 1), result: make(chan error, 1)}
	d.s = openStore(t, memOptions(d.disk))
	t.Cleanup(d.disk.letGo) // before the store is closed
	d.sh = openShard(t, d.s, 1)
	commitAll(t, d.s, put(t, d.sh, d.old), put(t, d.sh, thing("other", 1, "g", "y", "v", 1)))
	ctx, cancel := context.WithCancel(bg)
	cancel()
	d.ctx = ctx
	d.disk.hold()
	go func() {
		_, err := d.s.Commit(bg, Commit{
			Writes: []Write{put(t, d.sh, d.old.With("v", number(2))), put(t, d.sh, thing("b", 1, "g", "x", "v", 2))},
		})
		d.result <- err
	}()
	d.waitApplied(2)
	go func() { _ = d.s.SaveRecords(bg, []Record{{Name: "r", Value: []byte("new")}}, false) }()
	eventually(t, "the record was set", func() bool { return isSet(d.s, "r") })
	return d
}

// isSet reports whether a record was set, be it on disk or not.
func isSet(s *Store, name string) bool {
	_, set, _ := s.record(name)
	return set
}

// waitApplied returns when the shard's transaction of that index was submitted.
func (d *delayed) waitApplied(index uint64) {
	d.t.Helper()
	eventually(d.t, fmt.Sprint("transaction ", index, " was submitted"), func() bool {
		return d.sh.Counts().Applied >= index
	})
}

// While a commit's sync is under way, nobody is shown what it changes: those who would see it wait,
// and give up with their context. Those who can't see it don't wait.
func TestNothingIsShownBeforeItsSync(t *testing.T) {
	d := newDelayed(t)
	schema := testSchema()
	cursor := func(span Span) error {
		c, err := d.sh.Cursor(d.ctx, span)
		if err == nil {
			err = c.Close()
		}
		return err
	}
	get := func(id string) error { _, err := d.sh.Get(d.ctx, keyOf(t, thing(id, 1))); return err }
	getAll := func(id string) error {
		_, err := d.s.GetAll(&endsWhenWaited{Context: bg},
			[]Get{{d.sh, keyOf(t, thing("other", 1))}, {d.sh, keyOf(t, thing(id, 1))}})
		return err
	}
	for _, c := range []struct {
		name  string
		do    func() error
		waits bool
	}{
		{"Get of what it changed", func() error { return get("a") }, true},
		{"Get of what it added", func() error { return get("b") }, true},
		{"Get of another partition", func() error { return get("other") }, false},
		{"GetAll with what it changed", func() error { return getAll("a") }, true},
		{"GetAll of another partition", func() error { return getAll("other") }, false},
		{"cursor over its partition",
			func() error { return cursor(Span{Range: schema.Key.Index().Partition(item.Text("a"))}) }, true},
		{"cursor over another partition",
			func() error { return cursor(Span{Range: schema.Key.Index().Partition(item.Text("other"))}) }, false},
		{"cursor over its partition of an index",
			func() error { return cursor(Span{Index: 3, Range: schema.Indexes[2].Key.Partition(item.Text("x"))}) }, true},
		{"cursor over another partition of an index",
			func() error { return cursor(Span{Index: 3, Range: schema.Indexes[2].Key.Partition(item.Text("y"))}) }, false},
		{"cursor over all", func() error { return cursor(Span{}) }, true},
		{"cursor over all of an index", func() error { return cursor(Span{Index: 1}) }, true},
		{"copy", func() error { _, err := d.s.Copy(d.ctx, d.sh, whole(9), time.Time{}); return err }, true},
	} {
		err := c.do()
		if c.waits && !errors.Is(err, holdfast.Overloaded) || !c.waits && err != nil {
			t.Errorf("%s: got %v; want it to wait: %t", c.name, err, c.waits)
		}
	}
	changes, next, err := d.sh.Changes(holdfast.Position{}, Limit{})
	if len(changes) != 2 || next.Index != 2 || err != nil {
		t.Errorf("Changes: got %d, %v, %v; want the two of the first transaction", len(changes), next, err)
	}
	changes, next, err = d.sh.Changes(holdfast.Position{Index: 2}, Limit{})
	if len(changes) != 0 || next.Index != 2 || err != nil {
		t.Errorf("Changes from the commit on: got %d, %v, %v; want none yet", len(changes), next, err)
	}
	if got := d.sh.End(); got.Index != 2 {
		t.Errorf("End: got %v; want 2.0", got)
	}
	select {
	case err := <-d.result:
		t.Fatalf("got the commit done, %v, before its sync", err)
	default:
	}
	d.disk.letGo()
	if err := <-d.result; err != nil {
		t.Fatal(err)
	}
	if got, err := d.sh.Get(bg, keyOf(t, d.old)); err != nil || got.Equal(d.old) || d.sh.End().Index != 3 {
		t.Errorf("after the sync: got %v, %v, end %v; want the new item", got, err, d.sh.End())
	}
}

// Reads that have no context wait, too, while the sync of what they have read is under way.
func TestReadsWithoutContextWait(t *testing.T) {
	for _, c := range []struct {
		name string
		read func(*delayed) error
		of   func(*delayed) *watermark // what it waits for, as nothing else does
	}{
		{"Record", func(d *delayed) error { _, _, err := d.s.Record("r"); return err },
			func(d *delayed) *watermark { return &d.s.records.durable }},
		{"Records", func(d *delayed) error { _, err := d.s.Records("r"); return err },
			func(d *delayed) *watermark { return &d.s.records.durable }},
		{"Expired", func(d *delayed) error { _, err := d.sh.Expired(time.Now(), 1, 1<<16); return err },
			func(d *delayed) *watermark { return &d.sh.sequencer.durable }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDelayed(t)
			done := make(chan error, 1)
			go func() { done <- c.read(d) }()
			eventually(t, "it waits for the sync", func() bool {
				if len(done) > 0 {
					t.Fatalf("got it done, %v, before the sync", <-done)
				}
				return c.of(d).waitedFor()
			})
			d.disk.letGo()
			if err := errors.Join(<-done, <-d.result); err != nil {
				t.Error(err)
			}
		})
	}
}

// Records that are being saved are read when they are on disk, not before.
func TestSavedRecordsAreReadWhenDurable(t *testing.T) {
	disk := newSlowDisk()
	s := openStore(t, memOptions(disk))
	t.Cleanup(disk.letGo) // before the store is closed
	disk.hold()
	saved, read := make(chan error, 1), make(chan error, 1)
	go func() { saved <- s.SaveRecords(bg, []Record{{Name: "r", Value: []byte("v")}}, false) }()
	eventually(t, "the record was set", func() bool { return isSet(s, "r") })
	go func() {
		value, ok, err := s.Record("r")
		if err == nil && (!ok || string(value) != "v") {
			err = fmt.Errorf("got %q, %t; want v", value, ok)
		}
		read <- err
	}()
	eventually(t, "both wait for the sync", func() bool {
		if len(saved)+len(read) > 0 {
			t.Fatal("got it saved or read before its sync")
		}
		return s.records.durable.waitedFor()
	})
	disk.letGo()
	if err := errors.Join(<-saved, <-read); err != nil {
		t.Error(err)
	}
}

// waitedFor reports whether somebody waits for the watermark to rise.
func (w *watermark) waitedFor() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rise != nil
}

// The next writers of an item don't wait for the sync before they decide: each finds what the one
// before it made. But none is told of it before it is on disk, neither one that changes something
// nor one whose condition fails, nor a reader of a record.
func TestWritersBuildOnWhatIsInFlight(t *testing.T) {
	d := newDelayed(t)
	refused := errors.New("refused")
	results := make(chan error, 20)
	var calls sync.WaitGroup
	call := func(f func() error) {
		calls.Go(func() { results <- f() })
	}
	for i := range 3 { // these change the item, one after the other
		call(func() error {
			results, err := d.s.Commit(bg, Commit{Writes: []Write{{Shard: d.sh, Key: keyOf(t, d.old),
				Change: func(before item.Item) (item.Item, error) {
					v, _ := before.Get("v")
					n := 0
					fmt.Sscan(v.Text, &n)
					return before.With("v", number(n+1)), nil
				}}}})
			if err == nil && len(results) != 1 {
				err = errors.New("no result")
			}
			return err
		})
		d.waitApplied(uint64(3 + i))
	}
	decided := make(chan item.Item, 1)
	call(func() error { // this one only looks
		_, err := d.s.Commit(bg, Commit{Writes: []Write{{Shard: d.sh, Key: keyOf(t, d.old),
			Change: func(before item.Item) (item.Item, error) {
				decided <- before
				return nil, refused
			}}}})
		if errors.Is(err, refused) {
			return nil
		}
		return fmt.Errorf("got %w; want the condition's error", err)
	})
	if v, _ := (<-decided).Get("v"); v.Text != "5" {
		t.Errorf("a condition found v=%s; want 5, as the commits in flight left it", v.Text)
	}
	call(func() error {
		value, _, err := d.s.Record("r")
		if err == nil && string(value) != "new" {
			err = fmt.Errorf("got record %q", value)
		}
		return err
	})
	if n := len(results); n > 0 {
		t.Errorf("got %d calls done before the sync of what they are built on: %v", n, <-results)
	}
	d.disk.letGo()
	calls.Wait()
	close(results)
	for err := range results {
		if err != nil {
			t.Error(err)
		}
	}
	if err := <-d.result; err != nil {
		t.Error(err)
	}
	got, err := d.sh.Get(bg, keyOf(t, d.old))
	if v, _ := got.Get("v"); err != nil || v.Text != "5" {
		t.Errorf("got v=%s, %v; want 5", v.Text, err)
	}
}

// A context that has ended keeps a commit from changing anything; one that ends later doesn't undo
// what was submitted.
func TestContextsOfCommits(t *testing.T) {
	d := newDelayed(t)
	called := false
	w := put(t, d.sh, thing("c", 1))
	w.Change = func(item.Item) (item.Item, error) { called = true; return thing("c", 1), nil }
	if _, err := d.s.Commit(d.ctx, Commit{Writes: []Write{w}}); !errors.Is(err, holdfast.Overloaded) || called {
		t.Errorf("context ended before: got %v, called %t; want overloaded, and nothing decided", err, called)
	}
	ctx, cancel := context.WithCancel(bg)
	w.Change = func(item.Item) (item.Item, error) { cancel(); return thing("c", 1), nil }
	if _, err := d.s.Commit(ctx, Commit{Writes: []Write{w}}); !errors.Is(err, holdfast.Overloaded) ||
		d.sh.Counts().Applied != 2 {
		t.Errorf("context ended while deciding: got %v, %d applied; want overloaded, and nothing changed", err,
			d.sh.Counts().Applied)
	}
	ctx, cancel = context.WithCancel(bg)
	done := make(chan error, 1)
	go func() {
		_, err := d.s.Commit(ctx, Commit{Writes: []Write{put(t, d.sh, thing("d", 1))}})
		done <- err
	}()
	d.waitApplied(3)
	cancel()
	d.disk.letGo()
	if err := <-done; err != nil {
		t.Errorf("context ended after the submit: got %v; want the commit done", err)
	}
	if got, err := d.sh.Get(bg, keyOf(t, thing("d", 1))); got == nil || err != nil {
		t.Errorf("got %v, %v; want the item", got, err)
	}
}

// A cursor that goes through many items ends with its context.
func TestCursorEndsWithItsContext(t *testing.T) {
	s, sh := memShard(t)
	var writes []Write
	for i := range 3 * lookEverySteps {
		writes = append(writes, put(t, sh, thing("a", i)))
	}
	commitAll(t, s, writes...)
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	c, err := sh.Cursor(ctx, Span{})
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	for c.Next() {
		if steps++; steps == 10 {
			cancel()
		}
	}
	if !errors.Is(c.Err(), holdfast.Overloaded) || steps > lookEverySteps {
		t.Errorf("got %d steps, %v; want overloaded within %d", steps, c.Err(), lookEverySteps)
	}
	if c.Next() {
		t.Error("got another step behind the error")
	}
	if err := c.Close(); !errors.Is(err, holdfast.Overloaded) {
		t.Errorf("Close: got %v; want the error again", err)
	}
}

// Entries that are proposed lazily become durable when somebody waits for them, and with any later
// entry of their shard.
func TestLazyEntries(t *testing.T) {
	s, sh := memShard(t)
	lazily := func() uint64 {
		b := s.engine.db.NewBatch()
		defer b.Close()
		e := &entry{shard: sh, schema: sh.schema.Load(), body: gapBody{}}
		if err := s.entries.proposeLazily(b, []*entry{e}); err != nil {
			t.Fatal(err)
		}
		return e.tx.Index
	}
	for range 3 {
		index := lazily()
		if got := sh.sequencer.durable.at.Load(); got >= index {
			t.Fatalf("got %d durable; want %d not to be", got, index)
		}
		if err := sh.sequencer.waitDurable(bg, index); err != nil {
			t.Fatal(err)
		}
		if _, err := sh.Expired(time.Now(), 1, 1<<16); err != nil { // waits for all
			t.Fatal(err)
		}
		index = lazily()
		commitAll(t, s, put(t, sh, thing("a", int(index))))
		if got := sh.End().Index; got <= index+1 {
			t.Fatalf("got the end at %d; want it behind %d and the commit", got, index)
		}
	}
	lazily()
	ended, cancel := context.WithCancel(bg)
	cancel()
	if err := sh.sequencer.waitDurable(ended, sh.Counts().Applied); !errors.Is(err, holdfast.Overloaded) {
		t.Errorf("a wait whose context has ended: got %v; want Overloaded", err)
	}
}
