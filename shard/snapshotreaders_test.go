package shard

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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
	done := make(chan struct{})
	var readers sync.WaitGroup
	for _, span := range []Span{{}, {Index: 2}} {
		readers.Go(func() {
			for !isClosed(done) {
				c, err := to.Cursor(bg, span)
				if err != nil {
					t.Error(err)
					return
				}
				seen := to.sequencer.durable.at.Load()
				n, of := 0, map[string]bool{}
				for ; c.Next(); n++ {
					it, err := c.Item()
					if err != nil {
						t.Error(err)
					}
					m, _ := it.Get("m")
					of[m.Text] = true
				}
				if err := c.Close(); err != nil || len(of) > 1 || n != 0 && n != things {
					t.Errorf("got %d items of the versions %v, %v; want %d of one", n, of, err, things)
				}
				for text := range of {
					if fmt.Sprint(seen) < text && len(fmt.Sprint(seen)) <= len(text) {
						t.Errorf("got version %s when %d was durable", text, seen)
					}
				}
			}
		})
	}
	readers.Go(func() {
		at, had := uint64(0), map[uint64]bool{}
		for !isClosed(done) {
			changes, next, err := follower.Changes(at, 1<<62, 1000)
			if err != nil {
				t.Error(err)
				return
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
	})
	readers.Go(func() {
		for !isClosed(done) {
			it, err := to.Get(bg, keyOf(t, thing("id", 1)))
			durable := to.sequencer.durable.at.Load()
			if v, ok := it.Get("v"); err != nil || ok && versionText(v.Text) > durable {
				t.Errorf("got version %s, %v when %d was durable", v.Text, err, durable)
			}
		}
	})
	for i := 0; i < versions; i += 1 + i%3 {
		installed(t, to, all[i].chunks)
	}
	close(done)
	readers.Wait()
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
	done := make(chan read)
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
	for to.schemas.TryLock() { // until the cursor is about to take the latch
		to.schemas.Unlock()
		runtime.Gosched()
	}
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
	f := effect{key: keyOf(t, it), after: it, encoded: item.Append(nil, it)}
	p, err := sh.propose(&prepare{id: id, decision: decisionOf(t, id), shards: []holdfast.ShardID{sh.id},
		effects: []effect{f}}, sh.engine.db, false)
	if err == nil {
		err = p.wait()
	}
	if err != nil {
		t.Fatal(err)
	}
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
		ctx := &noticedWait{Context: bg, waiting: make(chan struct{})}
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
