package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// checksumAt returns the checksum of a replica as of a transaction that it has applied.
func checksumAt(t testing.TB, sh *Shard, tx holdfast.TxID) Checksum {
	t.Helper()
	c, err := ChecksumAt(bg, sh, tx)
	if err != nil {
		t.Fatal(err)
	}
	if c.Tx != tx {
		t.Fatalf("got the checksum %+v; want it as of %v", c, tx)
	}
	return c
}

// isChecksum reports whether an entry has replicas compute a checksum.
func isChecksum(e sentEntry) bool { return entryKind(e.raw[1]) == entryChecksum }

// summedShards are those of TestChecksumsAreEqual: of replicated, without the one whose first state is
// beside its log.
var summedShards = []holdfast.ShardID{1, 2, followingShard, loadedShard, ledgerShard}

// Replicas that have applied the same have the same checksum, of what they had then: in one batch
// with entries behind it or alone, after a snapshot was installed or a crash, and whatever a replica's
// group has on disk.
func TestChecksumsAreEqual(t *testing.T) {
	compared := 0
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 43))
			leader := newReplicated(t, rng)
			leader.run(30)
			var snapshots []taken
			for range 3 {
				for range 15 {
					leader.step()
					for _, id := range summedShards {
						if rng.IntN(3) == 0 {
							leader.checksum(leader.store.shards[id])
						}
					}
				}
				snapshots = append(snapshots, leader.take()...)
			}
			want := map[holdfast.TxID]Checksum{}
			alone := &replica{t: t, rng: rng, fs: vfs.NewCrashableMem(), copied: leader.copied}
			alone.open()
			for _, id := range summedShards {
				sh := alone.shard(id)
				for _, e := range leader.log.sent[id] {
					applyEach(t, sh, []sentEntry{e})
					if isChecksum(e) {
						want[e.tx] = checksumAt(t, sh, e.tx)
					}
				}
			}
			r := &replica{t: t, rng: rng, fs: vfs.NewCrashableMem(), copied: leader.copied}
			r.open()
			for _, id := range summedShards {
				compared += r.compareChecksums(id, leader.log.sent[id], snapshots, want)
			}
		})
	}
	if compared < 100 {
		t.Errorf("got %d checksums compared; want 100 at least", compared)
	}
}

// compareChecksums applies entries in batches of any length, with snapshots installed and crashes
// between them, and returns how many checksums were compared.
func (r *replica) compareChecksums(
	id holdfast.ShardID, entries []sentEntry, snapshots []taken, want map[holdfast.TxID]Checksum,
) (compared int) {
	r.t.Helper()
	for sh := r.shard(id); int(sh.Counts().Applied) < len(entries); {
		rest := entries[sh.Counts().Applied:]
		rest = rest[:min(len(rest), 1+r.rng.IntN(20))]
		var batch []Committed
		for _, e := range rest {
			batch = append(batch, Committed{e.tx, e.raw})
		}
		if err := ReplicaOf(sh).ApplyChanged(batch, []byte(fmt.Sprint("members at ", len(rest)))); err != nil {
			r.t.Fatal(err)
		}
		slices.Reverse(rest)
		if at := slices.IndexFunc(rest, isChecksum); at >= 0 { // those before it in the batch may have been given up
			compared++
			if got, want := checksumAt(r.t, sh, rest[at].tx), want[rest[at].tx]; got != want {
				r.t.Fatalf("shard %d: got %+v, %d entries behind it; want %+v", id, got, at, want)
			}
		}
		slices.Reverse(rest)
		switch r.rng.IntN(6) {
		case 0:
			at := slices.IndexFunc(snapshots,
				func(is taken) bool { return is.id == id && is.tx.Index > sh.Counts().Applied })
			if at >= 0 {
				installed(r.t, sh, snapshots[at].chunks)
			}
		case 1:
			r.crash()
			sh = r.shard(id)
		}
	}
	return compared
}

// twoReplicas returns two replicas of a shard that have about all that a shard can have.
func twoReplicas(t *testing.T) (g *testGroup, follower *Store) {
	t.Helper()
	leader, follower, groups := newGroups(t, vfs.NewMem(), 1)
	g = groups[0]
	commitAll(t, leader, put(t, g.leader, thing("a", 1, "g", "x", "m", 5, "ttl", 2_000_000_000)))
	putVersions(t, leader, g.leader, "large", 0, 4, 4000)
	commitAll(t, leader, remove(t, g.leader, version("large", 0, 1)))
	lockOne(t, g.leader, thing("b", 1), txnID{9})
	return g, follower
}

// compare proposes a checksum, and returns those of both replicas.
func (g *testGroup) compare(t testing.TB) (leader, follower Checksum) {
	t.Helper()
	tx, err := ProposeChecksum(bg, g.leader)
	if err != nil {
		t.Fatal(err)
	}
	return checksumAt(t, g.leader, tx), checksumAt(t, g.follower, tx)
}

// One byte that differs at a replica changes its checksum, whatever it is of; what isn't shared, or is
// of another shard, doesn't.
func TestChecksumFindsAnyByte(t *testing.T) {
	g, follower := twoReplicas(t)
	found := map[string]int{}
	db := follower.engine.db
	write := func(key, value []byte) {
		t.Helper()
		if err := db.Set(key, value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	for i, kv := range keysAndValues(t, follower, 1) {
		key, value := kv[0], kv[1]
		kind := fmt.Sprintf("%d.%d", key[0], kindOf(key))
		if kindOf(key) == kindMeta && key[0] == byte(byShard) {
			kind += " " + string(key[prefixBytes:])
			if string(key[prefixBytes:]) == metaCounts { // the entry of the checksum writes it
				continue
			}
		}
		if found[kind]++; found[kind] > 3 && i%7 != 0 {
			continue
		}
		if len(value) > 0 {
			changed := bytes.Clone(value)
			changed[len(changed)-1-i%min(len(changed), 5)] ^= 1 << (i % 8)
			write(key, changed)
		} else if err := db.Delete(key, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		tx, err := ProposeChecksum(bg, g.leader)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ChecksumAt(bg, g.follower, tx)
		if a := checksumAt(t, g.leader, tx); a.Sum == b.Sum || err != nil && !errors.Is(err, holdfast.Corrupt) {
			t.Errorf("%s: got %+v and %+v, %v although %x differs at a replica", kind, a, b, err, key)
		}
		write(key, value)
	}
	if a, b := g.compare(t); a != b {
		t.Fatalf("got %+v and %+v with all as it was; want one checksum", a, b)
	}
	// items, the queue, locks, a local index; the log, entries of a global index
	for _, kind := range []string{"2.1", "2.2", "2.3", fmt.Sprintf("2.%d", kindSlot+2), "1.2", "1.4"} {
		if found[kind] == 0 {
			t.Errorf("nothing of kind %s was changed, of %v", kind, found)
		}
	}
	k := keysOf(1)
	for _, key := range [][]byte{
		groupEntry(k, 7), k.meta(metaGroup), k.meta(metaMembers), recordKey("a"), keysOf(2).meta(metaTrim),
		keysOf(2).appendItem(nil, keyOf(t, thing("a", 1))),
	} {
		write(key, []byte("a node's own"))
	}
	if a, b := g.compare(t); a != b || a.Keys < 10 || a.Bytes < 10_000 {
		t.Errorf("got %+v and %+v; want one checksum of all of the shard", a, b)
	}
	for _, key := range [][]byte{
		k.meta("other"), k.meta(metaGroup + "s"), k.appendItem(nil, keyOf(t, thing("z", 1))),
		append(k.ofShard(nil, 6), 1),
		append(k.ofSpace(nil, 9), 1),
	} {
		write(key, nil)
		if a, b := g.compare(t); a == b {
			t.Errorf("got one checksum %+v although a replica has %x more", a, key)
		}
		if err := db.Delete(key, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
}

// A checksum reads the before-images in blob files, too: a replica that can't read one has no
// checksum, but Corrupt.
func TestChecksumReadsBlobFiles(t *testing.T) {
	for _, harmed := range []bool{false, true} {
		r := stoppedWithBlobs(t)
		if harmed {
			r.flip(r.pebble("", blobSuffix)[1], 50)
		}
		s := openStore(t, r.options())
		sh := openShard(t, s, 1)
		tx := holdfast.TxID{Shard: 1, Term: sh.terms.newest(), Index: sh.Counts().Applied + 1}
		e := entry{schema: sh.schema.Load(), body: &checksumBody{checksumXXH3}}
		applyEach(t, sh, []sentEntry{{tx, string(e.appendTo(nil))}})
		if c, err := ChecksumAt(bg, sh, tx); errors.Is(err, holdfast.Corrupt) != harmed ||
			!harmed && c.Bytes < 60*4000 {
			t.Errorf("harmed %t: got %+v, %v", harmed, c, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Shared and sharedKeys say the same of each key of a store.
func TestSharedKeys(t *testing.T) {
	leader := newReplicated(t, rand.New(rand.NewPCG(1, 43)))
	leader.run(60)
	leader.must(leader.store.SaveRecords(bg, []Record{{"a record", []byte("value")}}, false))
	l, err := OpenGroupLog(leader.store, 1)
	leader.must(err)
	b := NewLogBatch(leader.store)
	b.Append(l, 1, [][]byte{[]byte("an entry")})
	b.SetState(l, []byte("a state"))
	leader.must(b.Commit(true))
	shared := map[string]bool{}
	for _, sh := range leader.store.opened() {
		slots, err := leader.store.engine.slots(leader.store.engine.db, sh.keys)
		leader.must(err)
		keys := sharedKeys{shard: sh, from: leader.store.engine.db, spans: snapshotSpans(sh.keys, slots)}
		for n := 0; ; n++ {
			key, _, err := keys.at()
			leader.must(err)
			if key == nil {
				break
			}
			shared[string(key)] = true
			keys.next()
			if n%3 == 0 {
				keys.pause()
			}
		}
	}
	own := 0
	for _, kv := range keysIn(t, leader.store, pebble.KeyRange{Start: []byte{0}, End: []byte{0xFF}}) {
		if Shared(kv[0]) != shared[string(kv[0])] {
			t.Errorf("%x: got shared %t; want %t", kv[0], Shared(kv[0]), shared[string(kv[0])])
		}
		if !shared[string(kv[0])] {
			own++
		}
	}
	if own < 3 || len(shared) < 100 {
		t.Errorf("got %d keys of the node, %d shared; want some of each", own, len(shared))
	}
}

// slowChecksum makes a checksum of a shard that takes for ever, and returns as of when it is.
func slowChecksum(t *testing.T, g *testGroup) holdfast.TxID {
	t.Helper()
	tx, err := ProposeChecksum(bg, g.leader)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(bg)
	cancel()
	if _, err := ChecksumAt(ended, g.leader, tx); !errors.Is(err, holdfast.Behind) {
		t.Fatalf("got %v; want that it isn't computed yet", err)
	}
	return tx
}

// A checksum that isn't computed yet is given up when another begins on the node, when its shard is
// dropped or gets a snapshot installed, and when the store closes.
func TestChecksumsAreGivenUp(t *testing.T) {
	leader, _, groups := newGroups(t, vfs.NewMem(), 1, 2)
	a, b := groups[0], groups[1]
	for _, g := range groups[:2] {
		putVersions(t, leader, g.leader, "large", 0, 4, 100_000)
	}
	leader.checksums.rate = 1
	gone := func(what string, sh *Shard, tx holdfast.TxID, want error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(bg, time.Minute)
		defer cancel()
		if _, err := ChecksumAt(ctx, sh, tx); !errors.Is(err, want) {
			t.Errorf("%s: got %v; want %v", what, err, want)
		}
	}
	first := slowChecksum(t, a)
	later := first
	later.Index += 9
	gone("one of the future", a.leader, later, holdfast.Behind)
	second := slowChecksum(t, b)
	gone("a later one", a.leader, first, holdfast.Gone)
	ahead := openStore(t, memOptions(vfs.NewMem()))
	to := openShard(t, ahead, 2)
	chunks, _ := chunksOf(t, b.leader, SnapshotOptions{})
	installed(t, to, chunks)
	applyEach(t, to, []sentEntry{{holdfast.TxID{Shard: 2, Term: 4, Index: second.Index + 5},
		string((&entry{schema: to.schema.Load(), body: &timeBody{}}).appendTo(nil))}})
	chunks, _ = chunksOf(t, to, SnapshotOptions{})
	c := checksumOf(b.leader)
	installed(t, b.leader, chunks)
	eventually(t, "the checksum of what was replaced is given up", func() bool { return isClosed(c.done) })
	gone("an install", b.leader, second, holdfast.Gone)
	third := slowChecksum(t, a)
	if err := leader.Drop(whole(1)); err != nil {
		t.Fatal(err)
	}
	gone("a drop", a.leader, third, holdfast.Closed)
	b.index = ReplicaOf(b.leader).Applied().Index
	b.setTerm(5)
	b.follower = b.leader
	fourth := slowChecksumAlone(t, b)
	c = checksumOf(b.leader)
	if err := leader.Close(); err != nil {
		t.Fatal(err)
	}
	if c.tx != fourth || !errors.Is(c.err, holdfast.Closed) {
		t.Errorf("got %v as of %v; want %v", c.err, c.tx, holdfast.Closed)
	}
}

// checksumOf returns the checksum of a shard that was begun last.
func checksumOf(sh *Shard) *checksumming {
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	return sh.checksum
}

// slowChecksumAlone is slowChecksum for a shard whose other replica isn't there any more.
func slowChecksumAlone(t *testing.T, g *testGroup) holdfast.TxID {
	t.Helper()
	g.index++
	tx := holdfast.TxID{Shard: g.leader.id, Term: g.term, Index: g.index}
	e := entry{schema: g.leader.schema.Load(), body: &checksumBody{checksumXXH3}}
	applyEach(t, g.leader, []sentEntry{{tx, string(e.appendTo(nil))}})
	return tx
}

// What is known of the members is on disk with the first of the batches that a checksum divides, so
// that no entry behind a change of them is there without it. An entry of a checksum that a later
// version computes is applied.
func TestMembersBesideAChecksum(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, memOptions(fs))
	sh := openShard(t, s, 1)
	entryOf := func(index uint64, x body) Committed {
		return Committed{holdfast.TxID{Shard: 1, Term: 3, Index: index},
			string((&entry{schema: sh.schema.Load(), body: x}).appendTo(nil))}
	}
	first := sh.Counts().Applied + 1
	entries := []Committed{entryOf(first, &checksumBody{2}), entryOf(first+1, &checksumBody{checksumXXH3}),
		entryOf(first, &timeBody{})}
	if err := ReplicaOf(sh).ApplyChanged(entries, []byte("members")); !errors.Is(err, holdfast.Invalid) {
		t.Fatalf("got %v; want the last entry refused", err)
	}
	if _, err := ChecksumAt(bg, sh, entries[0].Tx); !errors.Is(err, holdfast.Gone) {
		t.Errorf("got %v; want no checksum of a kind that isn't known", err)
	}
	checksumAt(t, sh, entries[1].Tx)
	raw, ok, err := s.engine.read(s.engine.db, sh.keys.meta(metaMembers))
	if err != nil || !ok || raw != "members" {
		t.Errorf("got %q, %t, %v; want the members", raw, ok, err)
	}
	if _, err := ProposeChecksum(bg, sh); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a shard without a group: got %v; want %v", err, holdfast.Invalid)
	}
}

// Whoever asks again and again for a checksum gets it as soon as the replica has applied its entry: the
// replica never says in between that it has none.
func TestChecksumIsThereOnceApplied(t *testing.T) {
	s, sh := memShard(t)
	tx := ReplicaOf(sh).Applied()
	for range 200 {
		tx = holdfast.TxID{Shard: 1, Term: 3, Index: tx.Index + 1}
		applied := make(chan struct{})
		go func() {
			defer close(applied)
			e := entry{schema: sh.schema.Load(), body: &checksumBody{checksumXXH3}}
			applyEach(t, sh, []sentEntry{{tx, string(e.appendTo(nil))}})
		}()
		for {
			_, err := ChecksumAt(bg, sh, tx)
			if err == nil {
				break
			}
			if !errors.Is(err, holdfast.Behind) {
				t.Errorf("got %v; want that the entry isn't applied yet", err)
				break
			}
		}
		<-applied
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
