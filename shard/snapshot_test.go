package shard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// chunksOf returns the chunks of a snapshot of now, and the transaction that it is as of.
func chunksOf(t testing.TB, sh *Shard, o SnapshotOptions) (chunks [][]byte, tx holdfast.TxID) {
	t.Helper()
	return chunksBetween(t, sh, o, func(int) {})
}

// chunksBetween is chunksOf with something that is done before each chunk.
func chunksBetween(
	t testing.TB, sh *Shard, o SnapshotOptions, before func(place int),
) (chunks [][]byte, tx holdfast.TxID) {
	t.Helper()
	s, err := NewSnapshot(bg, sh, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		before(len(chunks))
		chunk, err := s.Next(bg)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, slices.Clone(chunk))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return chunks, s.Tx()
}

// received returns a receiver that has chunks.
func received(t testing.TB, sh *Shard, chunks [][]byte) *Receiver {
	t.Helper()
	r := NewReceiver(sh)
	for i, chunk := range chunks {
		if err := r.Add(chunk); err != nil {
			t.Fatalf("chunk %d: %v", i, err)
		}
	}
	if !r.Complete() {
		t.Fatal("got a receiver that isn't complete after all chunks")
	}
	return r
}

// installed installs chunks.
func installed(t testing.TB, sh *Shard, chunks [][]byte) {
	t.Helper()
	r := received(t, sh, chunks)
	if err := ReplicaOf(sh).Install(r); err != nil {
		t.Fatal(err)
	}
	r.Close()
	wantNoBuilds(t, sh.store)
}

// wantNoBuilds fails the test if there are files beside the database.
func wantNoBuilds(t testing.TB, s *Store) {
	t.Helper()
	names, err := s.engine.fs.List(s.engine.fs.PathJoin(s.dir, buildDir))
	if err != nil || len(names) > 0 {
		t.Errorf("got the files %v, %v beside the database; want none", names, err)
	}
}

// inMemory draws what a shard has in memory of its state.
func inMemory(sh *Shard) string {
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	locked := []string{}
	for id, p := range sh.locks.byID {
		locked = append(locked, fmt.Sprintf("%v by %v at %x of %v", p.keys, id, p.decision, p.shards))
	}
	slices.Sort(locked)
	return fmt.Sprintf("%+v trim %+v follows %+v schema %+v terms %v held %d %v applied %d", sh.tally, sh.history.trim,
		map[holdfast.ShardID]Progress(sh.follows), *sh.schema.Load(), *sh.terms.all.Load(),
		sh.locks.held.Load(), locked,
		sh.sequencer.applied.Load())
}

// A taken is a snapshot of one shard, and what it must be.
type taken struct {
	id     holdfast.ShardID
	chunks [][]byte
	tx     holdfast.TxID
	keys   [][2][]byte
	memory string
}

// take takes a snapshot of each shard.
func (m *replicatedStore) take() (all []taken) {
	for _, id := range replicated {
		sh := m.store.shards[id]
		chunks, tx := chunksOf(m.t, sh, SnapshotOptions{ChunkBytes: 1 + m.rng.IntN(2000)})
		all = append(all, taken{id, chunks, tx, keysAndValues(m.t, m.store, id), inMemory(sh)})
	}
	return all
}

// A snapshot installed in place of nothing, or of an older state, is the shard byte for byte, on disk
// and in memory; so are the entries that are applied afterwards, and what a start reads.
func TestSnapshotsAreEqual(t *testing.T) {
	locked, deepTerms, trimmed := 0, 0, 0
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 35))
			leader := newReplicated(t, rng)
			leader.store.tableBytes = 1 + rng.IntN(3000)
			leader.run(60)
			putVersions(t, leader.store, leader.shards[0], "large", 0, 5, 600)
			for _, sh := range leader.shards {
				sh.terms.own = 0 // a new term begins
			}
			for range 10 {
				leader.step()
			}
			if rng.IntN(2) == 0 {
				leader.must(leader.store.engine.db.Flush())
				wantBlobs(t, leader.store.engine.fs)
			}
			all := leader.take()
			for range 30 {
				leader.step()
			}
			for _, sh := range leader.shards {
				locked += int(sh.locks.held.Load())
				deepTerms += len(*sh.terms.all.Load()) - 2
				if sh.history.trim.oldest > 1 {
					trimmed++
				}
			}
			r := &replica{t: t, rng: rng, fs: vfs.NewCrashableMem(), copied: leader.copied}
			r.open()
			r.store.tableBytes = 1 + rng.IntN(3000)
			for _, is := range all {
				for range rng.IntN(3) * rng.IntN(4) {
					r.applyUpTo(is.id, leader.log.sent[is.id], is.tx.Index-1)
				}
				if rng.IntN(3) == 0 {
					r.crash()
				}
				sh := r.shard(is.id)
				installed(t, sh, is.chunks)
				compareKeys(t, is.keys, keysAndValues(t, r.store, is.id))
				if got := inMemory(sh); got != is.memory {
					t.Fatalf("shard %d: got %s; want %s", is.id, got, is.memory)
				}
				if got, err := changesOf(sh); err != nil {
					t.Fatalf("got %v, %v; want the log of changes", got, err)
				}
				if rng.IntN(2) == 0 {
					r.crash()
					sh := r.shard(is.id)
					compareKeys(t, is.keys, keysAndValues(t, r.store, is.id))
					if got := inMemory(sh); got != is.memory {
						t.Fatalf("shard %d after a crash: got %s; want %s", is.id, got, is.memory)
					}
				}
			}
			for !r.caughtUp(leader.log.sent) {
				for _, id := range replicated {
					r.applySome(id, leader.log.sent[id])
				}
			}
			r.compare(leader)
		})
	}
	if locked == 0 || deepTerms <= 0 || trimmed == 0 {
		t.Errorf("got %d locks, %d terms more, %d trims; want some of each", locked, deepTerms, trimmed)
	}
}

// applyUpTo applies a few entries of a shard, up to an index.
func (r *replica) applyUpTo(id holdfast.ShardID, entries []sentEntry, index uint64) {
	r.t.Helper()
	r.applySome(id, entries[:min(index, uint64(len(entries)))])
}

// A snapshot that is read while commits go on has all up to its transaction and nothing else.
func TestSnapshotWhileCommitsGoOn(t *testing.T) {
	s, sh := memShard(t)
	log := newRecordedLog(s)
	s.entries = log
	made, done := make(chan struct{}), make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		defer close(made)
		for n := 0; ; n++ {
			commitAll(t, s, put(t, sh, version(fmt.Sprint("id", n%50), n, 300)),
				put(t, sh, thing("other", n%7, "m", n)))
			select {
			case made <- struct{}{}:
			case <-done:
				return
			}
		}
	})
	for range 20 {
		<-made
	}
	var all []taken
	for range 20 {
		chunks, tx := chunksBetween(t, sh, SnapshotOptions{ChunkBytes: 1000}, func(place int) {
			if place < 4 {
				<-made // and the next commit is under way
			}
		})
		all = append(all, taken{chunks: chunks, tx: tx})
	}
	close(done)
	writer.Wait()
	last := uint64(0)
	again := openShard(t, openStore(t, memOptions(vfs.NewMem())), 1)
	for _, is := range all {
		if is.tx.Index <= last {
			t.Fatalf("got a snapshot as of %d behind one as of %d; want it newer", is.tx.Index, last)
		}
		last = is.tx.Index
		replayed := openShard(t, openStore(t, memOptions(vfs.NewMem())), 1)
		applyEach(t, replayed, log.sent[1][:is.tx.Index])
		installed(t, again, is.chunks)
		compareShards(t, replayed.store, again.store, 1)
		if got, want := inMemory(again), inMemory(replayed); got != want {
			t.Fatalf("got %s; want %s", got, want)
		}
	}
}

// A group's log and state are those of the receiver, before and afterwards.
func TestSnapshotLeavesGroup(t *testing.T) {
	leader, follower, groups := newGroups(t, vfs.NewMem(), 1)
	for _, s := range []*Store{leader, follower} {
		l, err := OpenGroupLog(s, 1)
		if err != nil {
			t.Fatal(err)
		}
		b := NewLogBatch(s)
		b.Append(l, 7, [][]byte{[]byte("of " + fmt.Sprint(s == leader)), []byte("more")})
		b.SetState(l, []byte("state of "+fmt.Sprint(s == leader)))
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
	}
	groups[0].follower = openShard(t, openStore(t, memOptions(vfs.NewMem())), 1) // so that the other one stays behind
	commitAll(t, leader, put(t, groups[0].leader, thing("a", 1)))
	chunks, tx := chunksOf(t, groups[0].leader, SnapshotOptions{})
	sh := openShard(t, follower, 1)
	woken, ctx := make(chan error, 1), newNoticedWait(bg)
	go func() { woken <- Await(ctx, sh, tx) }()
	<-ctx.waiting
	installed(t, sh, chunks)
	if err := <-woken; err != nil {
		t.Errorf("got %v for a token that waited; want it to have been reached", err)
	}
	l, err := OpenGroupLog(follower, 1)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := l.Entries(7, 9, 1000)
	state, _ := l.State()
	if err != nil || !slices.Equal(entries, []string{"of false", "more"}) || string(state) != "state of false" {
		t.Errorf("got the entries %q, %v and the state %q; want the receiver's own", entries, err, state)
	}
	if it, err := sh.Get(bg, keyOf(t, thing("a", 1))); err != nil || it == nil {
		t.Errorf("got %v, %v; want the item", it, err)
	}
}

// A snapshot is read at its rate, and a wait for it ends with the context, the shard and the store.
func TestSnapshotPace(t *testing.T) {
	s, sh := memShard(t)
	for n := range 40 {
		commitAll(t, s, put(t, sh, version("id", n, 1000)))
	}
	clock := newClock()
	begun := clock.read()
	var waits int
	o := SnapshotOptions{ChunkBytes: 4000, BytesPerSecond: 1000, Now: clock.read,
		After: func(d time.Duration) <-chan time.Time {
			waits++
			clock.advance(d)
			c := make(chan time.Time, 1)
			c <- clock.read()
			return c
		}}
	chunks, _ := chunksOf(t, sh, o)
	bytes := 0
	for _, chunk := range chunks[:len(chunks)-1] {
		bytes += len(chunk)
		if len(chunk) > 4000+100 {
			t.Errorf("got a chunk with %d bytes; want about 4000", len(chunk))
		}
	}
	got, want := clock.read().Sub(begun).Seconds(), float64(bytes)/1000
	if got < want-0.01 || got > want+0.01 || waits == 0 {
		t.Errorf("got %d bytes in %.2f s; want %.2f s", bytes, got, want)
	}
	o.After = func(time.Duration) <-chan time.Time { return nil }
	for what, end := range map[string]func(cancel func()){
		"the context ends":      func(cancel func()) { cancel() },
		"the shard was dropped": func(func()) { _ = s.Drop(sh.is) },
	} {
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		waitsUntil(t, sh, ctx, o, what, func() { end(cancel) })
		sh = openShard(t, s, 1)
		commitAll(t, s, put(t, sh, thing("a", 1)))
	}
	waitsUntil(t, sh, bg, o, "the store is closed", func() { go s.Close() })
}

// waitsUntil reads a snapshot whose second chunk waits for ever, until something ends that.
func waitsUntil(t *testing.T, sh *Shard, ctx context.Context, o SnapshotOptions, what string, end func()) {
	t.Helper()
	waiting := make(chan struct{})
	o.After = func(time.Duration) <-chan time.Time { close(waiting); return nil }
	snapshot, err := NewSnapshot(ctx, sh, o)
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	if _, err := snapshot.Next(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := snapshot.Next(ctx)
		ended <- err
	}()
	<-waiting
	end()
	if err := <-ended; !errors.Is(err, holdfast.Overloaded) && !errors.Is(err, holdfast.Closed) {
		t.Errorf("%s: got %v; want the wait to end", what, err)
	}
}

// The transaction of a snapshot is the last one in its keys: what the shard has in memory is ahead of
// what can be seen while a replica applies entries.
func TestSnapshotTakesItsIndexFromItsKeys(t *testing.T) {
	s, sh := memShard(t)
	commitAll(t, s, put(t, sh, thing("a", 1)))
	applied := sh.sequencer.applied.Load()
	sh.sequencer.applied.Store(applied + 1) // as ApplyAll does before it submits its batch
	defer sh.sequencer.applied.Store(applied)
	chunks, tx := chunksOf(t, sh, SnapshotOptions{})
	if tx.Index != applied {
		t.Errorf("got a snapshot as of %v; want %d", tx, applied)
	}
	_, to := memShard(t)
	installed(t, to, chunks)
	compareShards(t, s, to.store, 1)
}

// A shard without a transaction has no snapshot.
func TestSnapshotOfNewShard(t *testing.T) {
	_, sh := memShard(t)
	if s, err := NewSnapshot(bg, sh, SnapshotOptions{}); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("got %v, %v; want invalid", s, err)
	}
}
