package shard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// While snapshots are installed, readers see one state or another, whole, and never return what a
// session's token would not have.
func TestReadersDuringInstalls(t *testing.T) {
	s, sh := memShard(t)
	const things, versions = 12, 60
	var all []taken
	for v := 1; v <= versions; v++ {
		var writes []Write
		for n := range things {
			writes = append(writes, put(t, sh, thing("id", n, "m", v, "v", v)))
		}
		commitAll(t, s, writes...)
		chunks, tx := chunksOf(t, sh, SnapshotOptions{})
		all = append(all, taken{chunks: chunks, tx: tx})
	}
	to := openShard(t, openStore(t, memOptions(vfs.NewMem())), 1)
	follower := NewFollower(to, 0)
	defer follower.Close()
	scan := func(span Span) {
		c, err := to.Cursor(bg, span)
		if err != nil {
			t.Fatal(err)
		}
		seen := to.sequencer.durable.at.Load()
		n, of := 0, map[uint64]bool{}
		for ; c.Next(); n++ {
			it, err := c.Item()
			if err != nil {
				t.Error(err)
			}
			m, _ := it.Get("m")
			of[versionText(m.Text)] = true
		}
		if err := c.Close(); err != nil || len(of) > 1 || n != 0 && n != things {
			t.Errorf("got %d items of the versions %v, %v; want %d of one", n, of, err, things)
		}
		for v := range of {
			if v > seen {
				t.Errorf("got version %d when %d was durable", v, seen)
			}
		}
	}
	at, had := uint64(0), map[uint64]bool{}
	follow := func() {
		changes, next, err := follower.Changes(at, 1<<62, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			had[c.Tx.Index] = true
		}
		for i := at + 1; i <= next; i++ {
			if !had[i] {
				t.Errorf("got changes up to %d without those of %d", next, i)
			}
		}
		at = next
	}
	get := func() {
		it, err := to.Get(bg, keyOf(t, thing("id", 1)))
		durable := to.sequencer.durable.at.Load()
		if v, ok := it.Get("v"); err != nil || ok && versionText(v.Text) > durable {
			t.Errorf("got version %s, %v when %d was durable", v.Text, err, durable)
		}
	}
	last := 0
	whileReading(func() {
		for i := 0; i < versions; i += 1 + i%3 {
			installed(t, to, all[i].chunks)
			last = i + 1
		}
	}, func() { scan(Span{}) }, func() { scan(Span{Index: 2}) }, follow, get)
	if follow(); at != uint64(last) {
		t.Errorf("got changes up to %d in the end; want %d", at, last)
	}
}

func versionText(text string) (v uint64) {
	_, _ = fmt.Sscan(text, &v)
	return v
}

// A cursor that was begun before an install, and reads keys after it, has looked for locks in the old
// state only. It begins again, and waits for those of the new one.
func TestCursorAcrossInstall(t *testing.T) {
	s, sh := memShard(t)
	a, b := thing("a", 1, "v", 1), thing("b", 1, "v", 1)
	commitAll(t, s, put(t, sh, a))
	commitAll(t, s, put(t, sh, b))
	lockOne(t, sh, b.With("v", number(2)), txnID{2})
	chunks, _ := chunksOf(t, sh, SnapshotOptions{})

	o := memOptions(vfs.NewMem())
	o.term = formerTerm
	other := openStore(t, o)
	to := openShard(t, other, 1)
	lockOne(t, to, a, txnID{1}) // the cursor waits for this lock's latch
	d := decision{id: txnID{2}, committed: true, shards: []holdfast.ShardID{1}, at: 1}
	ledger := other.ledger.Load().shard
	key := decisionOf(t, txnID{2})
	decide := func(item.Item) (item.Item, error) { return d.item(decisionName("", txnID{2})), nil }
	if _, err := other.Commit(bg, Commit{Writes: []Write{{Shard: ledger, Key: key, Change: decide}}}); err != nil {
		t.Fatal(err)
	}
	latch := &to.sequencer.latches[stripeOf(keyOf(t, a).Hash())]
	latch.Lock()
	type read struct {
		items []item.Item
		err   error
	}
	done := make(chan read, 1)
	go func() {
		c, err := to.Cursor(bg, Span{})
		if err != nil {
			done <- read{nil, err}
			return
		}
		var got []item.Item
		for c.Next() {
			it, err := c.Item()
			if err != nil {
				t.Error(err)
			}
			got = append(got, it)
		}
		done <- read{got, c.Close()}
	}()
	eventually(t, "the cursor is about to take the latch", func() bool {
		if len(done) > 0 {
			t.Fatalf("got %+v while another has the latch; want the cursor to wait", <-done)
		}
		free := to.schemas.TryLock()
		if free {
			to.schemas.Unlock()
		}
		return !free
	})
	installed(t, to, chunks)
	latch.Unlock()
	is := <-done
	if is.err != nil || len(is.items) != 2 {
		t.Fatalf("got %v, %v; want two items", is.items, is.err)
	}
	for _, it := range is.items {
		if id, _ := it.Get("id"); id.Text == "b" && versionOf(it) != 2 {
			t.Errorf("got %v; want what the decided transaction has made of it", it)
		}
	}
}

// lockOne locks an item for what becomes of it.
func lockOne(t *testing.T, sh *Shard, it item.Item, id txnID) {
	t.Helper()
	lockFor(t, sh, it, id, decisionOf(t, id), []holdfast.ShardID{sh.id})
}

// lockFor locks an item for what a transaction over some shards makes of it, and returns the entry.
func lockFor(t *testing.T, sh *Shard, it item.Item, id txnID, decision item.Key, shards []holdfast.ShardID) *entry {
	t.Helper()
	return proposed(t, sh, &prepare{id: id, decision: decision, shards: shards, effects: []effect{effectOf(t, it)}})
}

// decisionOf returns the key of a transaction's decision.
func decisionOf(t *testing.T, id txnID) item.Key {
	t.Helper()
	key, err := decisionKey(decisionName("", id))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A noticedWait is a context that tells when somebody waits for its end.
type noticedWait struct {
	context.Context
	once    sync.Once
	waiting chan struct{} // closed then
}

func newNoticedWait(parent context.Context) *noticedWait {
	return &noticedWait{Context: parent, waiting: make(chan struct{})}
}

// Done implements context.Context.
func (c *noticedWait) Done() <-chan struct{} {
	c.once.Do(func() { close(c.waiting) })
	return c.Context.Done()
}

// A reader that sees what is being installed returns when the shard has reached it, and one that sees
// the old state of an install that fails doesn't wait for ever.
func TestReadersWaitForInstall(t *testing.T) {
	s, sh := memShard(t)
	commitAll(t, s, put(t, sh, thing("a", 1, "v", 1)))
	chunks, tx := chunksOf(t, sh, SnapshotOptions{})
	_, to := memShard(t)
	r := received(t, to, chunks)
	failure := errors.New("the disk")
	for _, fails := range []bool{true, false} {
		ctx := newNoticedWait(bg)
		before := inMemory(to)
		done := make(chan struct{})
		err := exchange(to, &r.state, func() error {
			if !fails {
				if err := to.engine.db.Ingest(bg, r.tables.whole.paths); err != nil {
					return err
				}
			}
			go func() {
				defer close(done)
				it, err := to.Get(ctx, keyOf(t, thing("a", 1)))
				if reached := to.Reached(tx); err != nil || (it != nil) != (reached == nil) || (it == nil) != fails {
					t.Errorf("fails=%t: got %v, %v when the transaction was reached: %v", fails, it, err, reached)
				}
			}()
			select {
			case <-ctx.waiting:
			case <-done:
			}
			if fails {
				return failure
			}
			return nil
		})
		<-done
		if fails != errors.Is(err, failure) {
			t.Errorf("fails=%t: got %v", fails, err)
		}
		if after := inMemory(to); fails && after != before {
			t.Errorf("after an install that failed: got %s; want %s", after, before)
		}
	}
}
