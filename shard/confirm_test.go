package shard

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// What a replica that lags reads after Confirm is as new as what was acknowledged before.
func TestConfirm(t *testing.T) {
	c := newThreeStores(t, 1)
	g, key := c.group(1), keyOf(t, thing("a", 1))
	g.lag(2, true)
	commitAll(t, c.stores[0], put(t, g.sh[0], thing("a", 1, "v", 7)))
	if it, err := g.sh[2].Get(bg, key); it != nil || err != nil {
		t.Errorf("before Confirm: got %v, %v; want nothing", it, err)
	}
	if err := Confirm(bg, g.sh[2]); err != nil {
		t.Fatal(err)
	}
	if it, err := g.sh[2].Get(bg, key); versionOf(it) != 7 || err != nil {
		t.Errorf("after Confirm: got %v, %v; want version 7", it, err)
	}
	if err := c.stores[2].Drop(whole(1)); err != nil {
		t.Fatal(err)
	}
	if err := Confirm(bg, g.sh[2]); !errors.Is(err, holdfast.Closed) {
		t.Errorf("of a shard that was dropped: got %v; want %v", err, holdfast.Closed)
	}
	_, alone := memShard(t)
	if err := Confirm(bg, alone); err != nil {
		t.Errorf("of a shard without a group: got %v; want no error", err)
	}
}

// A transaction that another reader may have seen decided is decided for a reader that comes after
// Confirm, although its shard has only the locks yet, and the replica of the ledger lags.
func TestConfirmFindsDecisions(t *testing.T) {
	c := newThreeStores(t, 1, 2)
	one, two, ledger := c.group(1), c.group(2), c.group(ledgerShard)
	ledger.lag(1, true)
	resolves := 0
	c.proposed = func(_ *threeReplicas, raw []byte) {
		if entryKind(raw[1]) != entryResolve {
			return
		}
		if resolves++; resolves > 1 {
			return
		}
		one.move(t, 1) // the decision is there, and the first shard isn't resolved
		if err := Confirm(bg, one.sh[1]); err != nil {
			t.Error(err)
		}
		ledger.mu.Lock()
		defer ledger.mu.Unlock()
		if ledger.done[1] != len(ledger.log) {
			t.Errorf("the ledger has applied %d of %d entries; want all", ledger.done[1], len(ledger.log))
		}
	}
	writes := []Write{put(t, one.sh[0], thing("a", 1)), put(t, two.sh[0], thing("a", 1))}
	if _, err := c.stores[0].Commit(bg, Commit{Writes: writes}); !errors.Is(err, holdfast.Unavailable) {
		t.Errorf("got %v; want %v, since the transaction is decided", err, holdfast.Unavailable)
	}
}

// Await waits for a transaction until it is there, can't come any more, or the caller leaves.
func TestAwait(t *testing.T) {
	c := newThreeStores(t, 1)
	g := c.group(1)
	g.lag(2, true)
	sh := g.sh[2]
	await := func(ctx context.Context, tx holdfast.TxID) <-chan error { // once it waits
		done := make(chan error, 1)
		noticed := newNoticedWait(ctx)
		go func() { done <- Await(noticed, sh, tx) }()
		select {
		case <-noticed.waiting:
		case err := <-done:
			t.Errorf("got %v at once; want it to wait for %v", err, tx)
			done <- err
		}
		return done
	}
	next := func() holdfast.TxID {
		return commitAll(t, c.stores[0], put(t, g.sh[0], thing("a", 1, "v", len(g.log))))[0].Tx
	}
	catchUp := func() {
		if err := Confirm(bg, sh); err != nil {
			t.Fatal(err)
		}
	}

	first := next()
	if err := sh.Reached(first); !errors.Is(err, holdfast.Behind) {
		t.Errorf("Reached before it is applied: got %v; want %v", err, holdfast.Behind)
	}
	done := await(bg, first)
	catchUp()
	if err := <-done; err != nil {
		t.Errorf("when it is applied: got %v; want no error", err)
	}

	missing := holdfast.TxID{Shard: 1, Term: first.Term, Index: first.Index + 100}
	ctx, cancel := context.WithCancel(bg)
	done = await(ctx, missing)
	next()
	catchUp()
	cancel()
	if err := <-done; !errors.Is(err, holdfast.Behind) {
		t.Errorf("when the caller leaves: got %v; want %v", err, holdfast.Behind)
	}

	done = await(bg, missing)
	g.move(t, 1)
	g.move(t, 0)
	later := next()
	catchUp()
	if err := <-done; !errors.Is(err, holdfast.Lost) {
		t.Errorf("of a term that has ended: got %v; want %v", err, holdfast.Lost)
	}
	replaced := holdfast.TxID{Shard: 1, Term: first.Term, Index: later.Index}
	if err := Await(bg, sh, replaced); !errors.Is(err, holdfast.Lost) {
		t.Errorf("with another in its place: got %v; want %v", err, holdfast.Lost)
	}

	missing.Term = later.Term + 1
	done = await(bg, missing)
	if err := c.stores[2].Drop(whole(1)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, holdfast.Closed) {
		t.Errorf("when the shard is dropped: got %v; want %v", err, holdfast.Closed)
	}
	sh = g.sh[1]
	done = await(bg, missing)
	if err := c.stores[1].Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, holdfast.Closed) {
		t.Errorf("when the store closes: got %v; want %v", err, holdfast.Closed)
	}
}

// A shard without a group never gets what it doesn't have.
func TestAwaitWithoutGroup(t *testing.T) {
	s, sh := memShard(t)
	tx := commitAll(t, s, put(t, sh, thing("a", 1)))[0].Tx
	if err := Await(bg, sh, tx); err != nil {
		t.Errorf("got %v; want no error", err)
	}
	tx.Index++
	if err := Await(bg, sh, tx); !errors.Is(err, holdfast.Lost) {
		t.Errorf("of the next: got %v; want %v", err, holdfast.Lost)
	}
}

// A shard whose group hasn't started is not as new as anybody may ask.
func TestConfirmBeforeTheGroupStarts(t *testing.T) {
	s := openStore(t, memOptions(vfs.NewMem()))
	sh := openShard(t, s, 1)
	sh.group.log.Store(&groupLog{})
	if err := Confirm(bg, sh); !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("got %v; want %v", err, holdfast.NotLeader)
	}
}
