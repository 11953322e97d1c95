package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast"
	"holdfast/item"
)

// snapshotPair returns the chunks of a shard, and a shard of another store that has something else.
func snapshotPair(t *testing.T) (chunks [][]byte, to *Shard) {
	t.Helper()
	s, sh := memShard(t)
	for n := range 30 {
		commitAll(t, s, put(t, sh, version(fmt.Sprint("id", n), n, 300)))
	}
	chunks, _ = chunksOf(t, sh, SnapshotOptions{ChunkBytes: 2000})
	if len(chunks) < 6 {
		t.Fatalf("got %d chunks; want more", len(chunks))
	}
	o := memOptions(vfs.NewMem())
	o.term = formerTerm // not later than the source's
	to = openShard(t, openStore(t, o), 1)
	commitAll(t, to.store, put(t, to, thing("old", 1)))
	to.store.tableBytes = 3000
	return chunks, to
}

// unchanged returns a function that fails the test if a shard has changed since, or files are left.
func unchanged(t *testing.T, sh *Shard) (check func()) {
	t.Helper()
	keys, memory := keysAndValues(t, sh.store, sh.id), inMemory(sh)
	return func() {
		t.Helper()
		compareKeys(t, keys, keysAndValues(t, sh.store, sh.id))
		if got := inMemory(sh); got != memory {
			t.Fatalf("got %s; want %s", got, memory)
		}
		all(t, sh, Span{}) // readers don't wait
		wantNoBuilds(t, sh.store)
	}
}

// Chunks that are damaged, doubled, missing, out of order or of another snapshot are refused, and the
// right ones may still follow. What isn't complete isn't installed.
func TestWrongChunksAreRefused(t *testing.T) {
	chunks, to := snapshotPair(t)
	others, _ := snapshotPair(t)
	check := unchanged(t, to)
	rng := rand.New(rand.NewPCG(1, 37))
	r := NewReceiver(to)
	refuse := func(what string, i int, chunk []byte, want holdfast.Kind) {
		t.Helper()
		if err := r.Add(chunk); !errors.Is(err, want) {
			t.Fatalf("%s instead of chunk %d: got %v; want %v", what, i, err, want)
		}
	}
	for i, chunk := range chunks {
		for range 20 {
			damaged := slices.Clone(chunk)
			damaged[rng.IntN(len(damaged))] ^= 1 << rng.IntN(8)
			refuse("a damaged chunk", i, damaged, holdfast.Corrupt)
			refuse("a cut chunk", i, chunk[:rng.IntN(len(chunk))], holdfast.Corrupt)
		}
		if i > 0 {
			refuse("the chunk before", i, chunks[i-1], holdfast.Invalid)
			refuse("one of another snapshot", i, others[i], holdfast.Invalid)
		}
		if i+1 < len(chunks) {
			refuse("the chunk behind", i, chunks[i+1], holdfast.Invalid)
		}
		if err := ReplicaOf(to).Install(r); !errors.Is(err, holdfast.Invalid) {
			t.Fatalf("before chunk %d: got %v; want a snapshot that isn't complete to be refused", i, err)
		}
		if err := r.Add(chunk); err != nil {
			t.Fatalf("chunk %d: %v", i, err)
		}
	}
	refuse("the last chunk again", len(chunks), chunks[len(chunks)-1], holdfast.Invalid)
	_, third := memShard(t)
	if err := ReplicaOf(third).Install(r); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("another shard: got %v; want invalid", err)
	}
	r.Close()
	check()
	if err := ReplicaOf(to).Install(r); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a closed receiver: got %v; want invalid", err)
	}
	r = received(t, to, chunks)
	if err := ReplicaOf(to).Install(r); err != nil {
		t.Fatal(err)
	}
	after := unchanged(t, to)
	if err := ReplicaOf(to).Install(r); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("twice: got %v; want invalid", err)
	}
	again := received(t, to, chunks)
	if err := ReplicaOf(to).Install(again); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a snapshot that isn't newer: got %v; want invalid", err)
	}
	again.Close()
	after()
}

// resealed gives chunks without sums, of which some were changed, the places and sums that a source
// of these would give them, so that a receiver gets as far as the fault. The end is left as it is
// unless its body is empty.
func resealed(t *testing.T, raws [][]byte) (chunks [][]byte) {
	t.Helper()
	var sums snapshotSums
	for place, raw := range raws {
		if raw = slices.Clone(raw); len(raw) >= snapshotStart {
			binary.BigEndian.PutUint32(raw[snapshotStart-4:], uint32(place))
		}
		switch snapshotKind(raw[1]) {
		case snapshotKeys:
			_ = eachPair(string(raw[snapshotStart:]), func(key []byte, value string) error { // as far as it decodes
				sums.add(len(key), len(value))
				return nil
			})
		case snapshotEnd:
			if len(raw) == snapshotStart {
				raw = sums.appendTo(raw)
			}
		}
		chunks = append(chunks, appendSum(raw))
		sums.addChunk(chunks[place])
	}
	return chunks
}

// repacked returns a chunk of keys, without its sum, with what edit makes of the keys and their
// values; nil: it is without the key.
func repacked(t *testing.T, raw []byte, edit func(key []byte, value string) []byte) []byte {
	t.Helper()
	changed, last := slices.Clone(raw[:snapshotStart]), []byte(nil)
	if err := eachPair(string(raw[snapshotStart:]), func(key []byte, value string) error {
		if to := edit(key, value); to != nil {
			changed, last = appendPair(changed, last, key, to), slices.Clone(key)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return changed
}

// A falseChunk is what a source could send that doesn't do what it should.
type falseChunk struct {
	fails  int    // the place of the chunk that is refused
	want   string // what the error says
	change func(raws [][]byte) [][]byte
}

// falseChunks returns what can be wrong with the chunks of a snapshot although their sums are
// right.
func falseChunks(t *testing.T, k keys, last int) map[string]falseChunk {
	const undecodable, isNotAsOf = "a chunk of a snapshot can't be decoded", "isn't the shard as of"
	change := func(at int, f func(raw []byte) []byte) func([][]byte) [][]byte {
		return func(raws [][]byte) [][]byte {
			raws[at] = f(raws[at])
			return raws
		}
	}
	of := func(kind snapshotKind) func([]byte) []byte {
		return func(raw []byte) []byte { raw[1] = byte(kind); return raw }
	}
	body := func(body []byte) func([]byte) []byte {
		return func(raw []byte) []byte { return append(raw[:snapshotStart], body...) }
	}
	pair := func(key []byte) func([]byte) []byte { return body(appendPair(nil, nil, key, []byte{9})) }
	head := func(f func(h *snapshotHeader)) func([][]byte) [][]byte {
		return change(0, func(raw []byte) []byte {
			h, err := decodeSnapshotHeader(string(raw[snapshotStart:]))
			if err != nil {
				t.Fatal(err)
			}
			f(&h)
			return h.appendTo(raw[:snapshotStart])
		})
	}
	meta := func(name string, to []byte) func([][]byte) [][]byte {
		return change(1, func(raw []byte) []byte {
			found := false
			raw = repacked(t, raw, func(key []byte, value string) []byte {
				if string(key) != string(k.meta(name)) {
					return []byte(value)
				}
				found = true
				return to
			})
			if !found {
				t.Fatalf("got no %s in chunk 1", name)
			}
			return raw
		})
	}
	is := whole(1)
	is.Parents = []holdfast.ShardID{9}
	descriptor := head(func(h *snapshotHeader) { h.is.Parents = is.Parents })
	slots := func(all ...kind) func([][]byte) [][]byte { return head(func(h *snapshotHeader) { h.slots = all }) }
	other := keysOf(2)
	otherItem := other.appendItem(nil, item.Key("12345678"))
	lock := k.appendLock(nil, []byte("\xff2345678"))
	return map[string]falseChunk{
		"a head with more":    {0, undecodable, change(0, func(raw []byte) []byte { return append(raw, 0) })},
		"a head of keys":      {0, undecodable, change(0, of(snapshotKeys))},
		"slots that fall":     {0, undecodable, slots(kindSlot+2, kindSlot+1)},
		"slots that are none": {0, undecodable, slots(kindSlot - 1)},
		"another descriptor":  {0, "isn't one of shard 1", descriptor},
		"another index":       {last, isNotAsOf, head(func(h *snapshotHeader) { h.tx.Index++ })},
		"another term":        {last, isNotAsOf, head(func(h *snapshotHeader) { h.tx.Term++ })},
		"a second head":       {1, undecodable, change(1, of(snapshotHead))},
		"an unknown kind":     {1, undecodable, change(1, of(9))},
		"no keys":             {2, undecodable, change(2, body(nil))},
		"half a key": {2, undecodable, change(2, func(raw []byte) []byte {
			return raw[:len(raw)-1]
		})},
		"more in common than there is": {2, undecodable, change(2, body([]byte{1, 1, 'x', 0}))},

		"a lesser key":             {last - 1, undecodable, change(last-1, pair(k.appendItem(nil, item.Key("\x00"))))},
		"the chunk before again":   {3, undecodable, func(raws [][]byte) [][]byte { raws[3] = raws[2]; return raws }},
		"a group's state":          {1, undecodable, change(1, pair(k.meta(metaGroup)))},
		"a group's entry":          {1, undecodable, change(1, pair(groupEntry(k, 1)))},
		"another shard's key":      {1, undecodable, change(1, pair(other.meta(metaCounts)))},
		"another space's key":      {last - 1, undecodable, change(last-1, pair(otherItem))},
		"unknown metadata":         {1, "unknown metadata", change(1, pair(k.meta("a")))},
		"counts that don't decode": {1, "", change(1, pair(k.meta(metaCounts)))},
		"a schema that doesn't":    {1, "", meta(metaSchema, []byte{9})},
		"terms that don't":         {1, "", meta(metaTerms, []byte{9})},
		"a lock that doesn't":      {last - 1, "", change(last-1, pair(lock))},
		"no descriptor":            {last, isNotAsOf, meta(metaDescriptor, nil)},
		"a descriptor of another":  {last, isNotAsOf, meta(metaDescriptor, is.appendTo(nil))},
		"no schema":                {last, isNotAsOf, meta(metaSchema, nil)},
		"no terms":                 {last, isNotAsOf, meta(metaTerms, nil)},
		"an end too early": {2, isNotAsOf, func(raws [][]byte) [][]byte {
			return append(raws[:2], raws[last])
		}},
		"an end of other sums": {last, "doesn't have the keys", change(last, func(raw []byte) []byte {
			return (&snapshotSums{keys: 1}).appendTo(raw)
		})},
	}
}

// Chunks whose sums are right, but not what they say, end the receiver, which leaves nothing.
func TestFalseChunksEndTheReceiver(t *testing.T) {
	chunks, to := snapshotPair(t)
	check := unchanged(t, to)
	last := len(chunks) - 1
	raws := func() (raws [][]byte) {
		for _, raw := range chunks {
			raws = append(raws, slices.Clone(raw[:len(raw)-sumBytes]))
		}
		raws[last] = raws[last][:snapshotStart]
		return raws
	}
	received(t, to, resealed(t, raws())).Close() // as they are
	for what, c := range falseChunks(t, to.keys, last) {
		r := NewReceiver(to)
		sent := resealed(t, c.change(raws()))
		at, err := 0, error(nil)
		for ; err == nil && at < len(sent); at++ {
			err = r.Add(sent[at])
		}
		if err == nil || at-1 != c.fails || !strings.Contains(err.Error(), c.want) || r.Complete() {
			t.Errorf("%s: got %v at chunk %d; want %q at %d", what, err, at-1, c.want, c.fails)
		}
		if then := r.Add(chunks[0]); err != nil && then != err {
			t.Errorf("%s: got %v for a chunk afterwards; want the error %v again", what, then, err)
		}
		check()
		r.Close()
	}
	wrong := newShard(to.store, whole(2))
	if err := NewReceiver(wrong).Add(chunks[0]); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a snapshot of another shard: got %v; want invalid", err)
	}
	unknown := slices.Clone(chunks[0][:len(chunks[0])-sumBytes])
	unknown[0]++
	if err := NewReceiver(to).Add(appendSum(unknown)); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a snapshot of another version: got %v; want invalid", err)
	}
}

// Of the queue's part that two shards share, a snapshot has what expires of its own shard alone.
func TestExpiringItemsOfANeighbourAreRefused(t *testing.T) {
	source, chunks := splitSource(t)
	to, err := openStore(t, memOptions(vfs.NewMem())).Open(source.is, testSchema())
	if err != nil {
		t.Fatal(err)
	}
	r := NewReceiver(to)
	defer r.Close()
	if err := r.Add(chunks[0]); err != nil {
		t.Fatal(err)
	}
	from := binary.BigEndian.Uint64(source.is.From)
	for hash, want := range map[uint64]bool{from: true, from - 1: false} {
		key := append(binary.BigEndian.AppendUint64(nil, hash), "x"...)
		if got := r.belongs(to.keys.appendExpiry(nil, 5, key)); got != want {
			t.Errorf("an item with the hash %x of a shard from %x on: got %v; want %v", hash, from, got, want)
		}
	}
}

// What fails while a snapshot is received or installed changes nothing and leaves nothing, and it can
// be repeated.
func TestSnapshotOnFailingDisk(t *testing.T) {
	source, chunks := splitSource(t)
	failures, ofInstall := 0, 0
	for at := int64(0); ; at++ {
		var armed atomic.Bool
		var ops atomic.Int64 // Pebble's own goroutines write too
		fail := errorfs.InjectorFunc(func(o errorfs.Op) error {
			if !armed.Load() || !changes(o) || !ofSnapshot(o) || o.Kind == errorfs.OpRemove {
				return nil
			}
			if ops.Add(1)-1 == at {
				return syscall.ENOSPC
			}
			return nil
		})
		o := memOptions(errorfs.Wrap(vfs.NewMem(), fail))
		o.term = formerTerm
		s := openStore(t, o)
		to, err := s.Open(source.is, testSchema())
		if err != nil {
			t.Fatal(err)
		}
		commitAll(t, s, put(t, to, thing("id3", 0, "ttl", 5)))
		s.tableBytes = 3000
		check := unchanged(t, to)
		armed.Store(true)
		r := NewReceiver(to)
		for _, raw := range chunks {
			if err = r.Add(raw); err != nil {
				break
			}
		}
		if err == nil {
			err = ReplicaOf(to).Install(r)
			if err != nil {
				ofInstall++
			}
		}
		armed.Store(false)
		if err != nil {
			if !errors.Is(err, holdfast.Full) {
				t.Fatalf("failure %d: got %v; want full", at, err)
			}
			r.Close()
			check()
			installed(t, to, chunks)
		}
		compareKeys(t, keysAndValues(t, source.store, 1), keysAndValues(t, s, 1))
		wantNoBuilds(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if ops.Load() <= at {
			break
		}
		failures++
	}
	if failures < 20 || ofInstall == 0 {
		t.Errorf("got %d failures, %d of them of Install; want more", failures, ofInstall)
	}
}

// splitSource returns a shard of which expiring items lie among a neighbour's, and its chunks.
func splitSource(t *testing.T) (*Shard, [][]byte) {
	s := openStore(t, memOptions(vfs.NewMem()))
	d := whole(1)
	d.From = append([]byte{}, keyOf(t, thing("id3", 0))[:8]...)
	sh, err := s.Open(d, testSchema())
	if err != nil {
		t.Fatal(err)
	}
	for n := range 30 {
		it := version(fmt.Sprint("id", n), n, 300).With("ttl", number(1000+n))
		if sh.keys.owns(keyOf(t, it)) {
			commitAll(t, s, put(t, sh, it))
		}
	}
	chunks, _ := chunksOf(t, sh, SnapshotOptions{ChunkBytes: 2000})
	return sh, chunks
}

// A local index that the receiver has and the source no longer has goes with the old state.
func TestSnapshotWithoutIndex(t *testing.T) {
	source, _ := splitSource(t)
	log := newRecordedLog(source.store)
	source.store.entries = log
	commitAll(t, source.store, put(t, source, thing("id3", 0, "m", 7)))
	o := memOptions(vfs.NewMem())
	to, err := openStore(t, o).Open(source.is, testSchema())
	if err != nil {
		t.Fatal(err)
	}
	sent := log.sent[1][0]
	sent.tx.Index = 1
	applyEach(t, to, []sentEntry{sent})
	if len(all(t, to, Span{Index: 2})) != 1 {
		t.Fatal("got no entry of the local index; want one")
	}
	without := testSchema()
	without.Indexes = without.Indexes[:1]
	if err := errors.Join(source.SetSchema(without), source.Clear(2)); err != nil {
		t.Fatal(err)
	}
	chunks, _ := chunksOf(t, source, SnapshotOptions{})
	installed(t, to, chunks)
	compareKeys(t, keysAndValues(t, source.store, 1), keysAndValues(t, to.store, 1))
}

// ofSnapshot reports whether an operation is one of a snapshot's tables.
func ofSnapshot(o errorfs.Op) bool {
	return vfs.Default.PathBase(vfs.Default.PathDir(o.Path)) == buildDir || o.Kind == errorfs.OpLink
}

// On a full disk a snapshot is refused while it is received, and when it is installed.
func TestSnapshotOnFullDisk(t *testing.T) {
	s, sh := memShard(t)
	for n := range 40 {
		commitAll(t, s, put(t, sh, version("id", n, 100_000)))
	}
	chunks, _ := chunksOf(t, sh, SnapshotOptions{})
	clock := newClock()
	fs, small, to := openSmallAt(t, clock.read)
	small.tableBytes, to.terms.own = 500_000, formerTerm
	commitAll(t, small, put(t, to, thing("old", 1)))
	check := unchanged(t, to)
	fs.other.Store(fs.free() - testReserve - 2<<20)
	r := NewReceiver(to)
	n, err := 0, error(nil)
	for ; n < len(chunks) && err == nil; n++ {
		err = r.Add(chunks[n])
	}
	if !errors.Is(err, holdfast.Full) || n < 4 {
		t.Fatalf("got %v at chunk %d; want full after some", err, n)
	}
	if err := r.Add(chunks[n]); !errors.Is(err, holdfast.Full) {
		t.Errorf("got %v; want the error again", err)
	}
	check()
	fs.other.Store(0)
	if !small.space.hasSpace() {
		t.Fatal("got no space; want some")
	}
	r = received(t, to, chunks)
	fs.other.Store(fs.free() - testReserve + 1<<20)
	if err := ReplicaOf(to).Install(r); !errors.Is(err, holdfast.Full) {
		t.Fatalf("got %v; want full", err)
	}
	if it, err := to.Get(bg, keyOf(t, thing("old", 1))); err != nil || it == nil {
		t.Errorf("got %v, %v; want the old item", it, err)
	}
	fs.other.Store(0)
	if err := ReplicaOf(to).Install(r); err != nil {
		t.Fatal(err)
	}
	compareKeys(t, keysAndValues(t, s, 1), keysAndValues(t, small, 1))
}

// A block of the source that can't be read ends the snapshot before its end.
func TestSnapshotOfDamagedShard(t *testing.T) {
	fs := vfs.NewMem()
	o := memOptions(fs)
	o.CacheBytes = 1
	s := openStore(t, o)
	sh := openShard(t, s, 1)
	for n := range 30 {
		commitAll(t, s, put(t, sh, version(fmt.Sprint("id", n), n, 3000)))
	}
	if err := s.engine.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	damage(t, fs)
	o = memOptions(fs)
	o.CacheBytes = 1
	s = openStore(t, o)
	snapshot, err := NewSnapshot(bg, openShard(t, s, 1), SnapshotOptions{ChunkBytes: 2000})
	if err == nil {
		defer snapshot.Close()
		for err == nil {
			_, err = snapshot.Next(bg)
		}
	}
	if !errors.Is(err, holdfast.Corrupt) || errors.Is(err, io.EOF) {
		t.Errorf("got %v; want corrupt", err)
	}
}

// No chunk makes a receiver panic, and none that is refused changes the shard.
func FuzzSnapshotChunk(f *testing.F) {
	s := openPlain(f, memOptions(vfs.NewMem()))
	sh, err := s.Open(whole(1), testSchema())
	if err != nil {
		f.Fatal(err)
	}
	if _, err := s.Commit(bg, Commit{Writes: []Write{put(f, sh, thing("a", 1, "m", 2, "ttl", 3))}}); err != nil {
		f.Fatal(err)
	}
	chunks, _ := chunksOf(f, sh, SnapshotOptions{ChunkBytes: 100})
	for _, raw := range chunks {
		f.Add(raw[1], string(raw[snapshotStart:len(raw)-sumBytes]), string(raw))
	}
	to := openPlain(f, memOptions(vfs.NewMem()))
	other, err := to.Open(whole(1), testSchema())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind byte, body, raw string) {
		if c, err := decodeSnapshotChunk([]byte(raw)); err == nil {
			if got := string(appendSum(append(c.appendStart(nil), c.body...))); got != raw {
				t.Fatalf("got %x back; want %x", got, raw)
			}
		}
		if h, err := decodeSnapshotHeader(body); err == nil {
			again, err := decodeSnapshotHeader(string(h.appendTo(nil)))
			if err != nil || fmt.Sprint(again) != fmt.Sprint(h) {
				t.Fatalf("got %v, %v back; want %v", again, err, h)
			}
		}
		check := unchanged(t, other)
		for place := range uint32(3) {
			r := NewReceiver(other)
			for i := range place {
				if err := r.Add(chunks[i]); err != nil {
					t.Fatal(err)
				}
			}
			head, err := decodeSnapshotChunk(chunks[0])
			if err != nil {
				t.Fatal(err)
			}
			c := snapshotChunk{kind: snapshotKind(kind), id: head.id, place: place}
			_ = r.Add(appendSum(append(c.appendStart(nil), body...)))
			if r.Complete() {
				t.Fatalf("got a whole snapshot from %x at %d", body, place)
			}
			r.Close()
		}
		check()
	})
}
