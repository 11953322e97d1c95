package shard

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast"
	"holdfast/item"
)

// formerDescriptors returns the shards of formerStore: two that divide a space, where they also divide
// one of the parts by which the queue of expiring items is sorted, and one of its own.
func formerDescriptors() []Descriptor {
	at := []byte("\x55\x55\x55\x55\x55\x55\x55\x55")
	return []Descriptor{{ID: 1, Space: 1, To: at}, {ID: 2, Space: 1, From: at}, {ID: 300, Space: 300}}
}

// atBound are IDs of items whose hashes begin with the same two bytes as the bound between shards 1
// and 2, on both sides of it.
var atBound = []string{"bound565", "bound652157", "bound178857", "bound333330"}

// formerStore makes a directory of format 1 in /data with random contents: items, index entries,
// expiries, logs with links that were trimmed, records. It returns all keys that a takeover must
// leave, with their values.
func formerStore(t *testing.T, fs vfs.FS, seed uint64, commits int) (want map[string]string) {
	t.Helper()
	rng, now := rand.New(rand.NewPCG(seed, 1)), newClock()
	o := memOptions(fs)
	o.Now, o.term = now.read, formerTerm
	s := openStore(t, o)
	var shards []*Shard
	for _, d := range formerDescriptors() {
		sh, err := s.Open(d, testSchema())
		if err != nil {
			t.Fatal(err)
		}
		shards = append(shards, sh)
	}
	ids := slices.Clone(atBound)
	for n := range commits / 4 {
		ids = append(ids, fmt.Sprint("id", n))
	}
	for n := range commits {
		var c Commit
		for place := range 1 + rng.IntN(3) {
			it := thing(ids[rng.IntN(len(ids))], rng.IntN(3), "v", n, "ttl", rng.IntN(1000), "g",
				fmt.Sprint(rng.IntN(4)), "m", rng.IntN(4), "fat", noise(n, rng.IntN(600)))
			i := min(place*2, 2) // shard 300 has the second and the third
			if i == 0 && !shards[0].keys.owns(keyOf(t, it)) {
				i = 1
			}
			w := put(t, shards[i], it)
			if place == 2 && slices.Equal(w.Key, c.Writes[1].Key) {
				continue
			}
			if rng.IntN(4) == 0 {
				w = remove(t, shards[i], it)
			}
			c.Writes = append(c.Writes, w)
		}
		if _, err := s.Commit(bg, c); err != nil {
			t.Fatal(err)
		}
		now.advance(time.Minute)
		if n == commits/2 {
			s.logAge = time.Duration(commits/3) * time.Minute
			if err := s.Trim(bg); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := range 20 {
		record := Record{Name: fmt.Sprint("table/", n), Value: []byte(strings.Repeat("r", n))}
		if err := s.SaveRecords(bg, []Record{record}, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Drop(whole(ledgerShard)); err != nil { // which format 1 had not
		t.Fatal(err)
	}
	want = contents(t, s)
	rewriteFormer(t, s, formerDescriptors()...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	setVersion(t, fs, firstVersion)
	return want
}

// setVersion writes a version into a directory's control file.
func setVersion(t *testing.T, fs vfs.FS, version uint32) {
	t.Helper()
	c, _, err := readControl(fs, "/data/"+controlName)
	if err == nil {
		c.version = version
		err = makeControl(fs, "/data", c)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// contents returns all keys of a store with their values.
func contents(t *testing.T, s *Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	it, err := s.engine.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		all[string(it.Key())] = string(it.Value())
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		t.Fatal(err)
	}
	return all
}

// rewriteFormer gives the keys of shards and the records the form of format 1.
func rewriteFormer(t *testing.T, s *Store, shards ...Descriptor) {
	t.Helper()
	b := s.engine.db.NewBatch()
	var removed []pebble.KeyRange
	move := func(lower, upper []byte, form func(key []byte) []byte) {
		for key, value := range within(t, s, lower, upper) {
			if former := form([]byte(key)); former != nil {
				if err := b.Set(former, []byte(value), nil); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, d := range shards {
		k, old := d.keys(), formerKeys{d.ID}
		removed = append(removed, k.state(), k.whole())
		lower, upper := k.items()
		move(lower, upper, func(key []byte) []byte { return append(old.prefix(formerItem), k.itemOf(key)...) })
		for _, x := range testSchema().Indexes {
			lower, upper, prefix := k.span(&x, item.Range{})
			move(lower, upper, func(key []byte) []byte { return append(old.entries(x.ID).Start, key[prefix:]...) })
		}
		lower, upper = k.expiries()
		move(lower, upper, func(key []byte) []byte {
			second, of, _ := k.expiryOf(key)
			if !k.owns(of) {
				return nil
			}
			return append(appendPosition8(old.prefix(formerExpiry), second), of...)
		})
		lower, upper = k.changes()
		move(lower, upper, func(key []byte) []byte { return append(old.prefix(formerChange), key[len(lower):]...) })
		for _, name := range []string{metaCounts, metaTrim} {
			lower = k.meta(name)
			move(lower, append(lower, 0), func([]byte) []byte { return old.meta(name) })
		}
	}
	old := formerKeys{records}
	removed = append(removed, keys{shard: records}.state())
	lower := recordKey("")
	move(lower, behind(lower), func(key []byte) []byte { return append(old.prefix(formerRecord), recordOf(key)...) })
	lower = keys{shard: records}.meta(metaStore)
	move(lower, append(lower, 0), func([]byte) []byte { return old.meta(metaStore) })
	if err := errors.Join(removeRanges(b, removed), b.Delete(guardKey(), nil), b.Commit(pebble.Sync)); err != nil {
		t.Fatal(err)
	}
}

// appendPosition8 appends a number in 8 bytes.
func appendPosition8(dst []byte, n uint64) []byte {
	for shift := 56; shift >= 0; shift -= 8 {
		dst = append(dst, byte(n>>shift))
	}
	return dst
}

// within returns the keys between two with their values.
func within(t *testing.T, s *Store, lower, upper []byte) map[string]string {
	t.Helper()
	all := contents(t, s)
	maps.DeleteFunc(all, func(key, _ string) bool { return key < string(lower) || key >= string(upper) })
	return all
}

// takenOver opens a store and its shards, and returns what it has then.
func takenOver(t *testing.T, o Options) (map[string]string, error) {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	for _, d := range formerDescriptors() {
		if _, err := s.Open(d, testSchema()); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	all := contents(t, s)
	return all, s.Close()
}

// sameContents reports the first difference.
func sameContents(t *testing.T, of string, got, want map[string]string) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if value, ok := got[key]; !ok || value != want[key] {
			t.Errorf("%s: %x: got %x, %t; want %x", of, key, value, ok, want[key])
			return
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			t.Errorf("%s: got %x; want no such key", of, key)
			return
		}
	}
}

// smallTables are options by which a takeover writes many sorted tables.
func smallTables(fs vfs.FS) Options {
	o := memOptions(fs)
	o.tableBytes, o.batchBytes = 6000, 1
	return o
}

// A directory of format 1 becomes what the present program would have written, byte for byte: in
// batches or in sorted tables, however often it is opened.
func TestTakeover(t *testing.T) {
	for name, options := range map[string]func(vfs.FS) Options{"batches": memOptions, "tables": smallTables} {
		for seed := range uint64(2) {
			fs := vfs.NewMem()
			want := formerStore(t, fs, seed, 80)
			for range 2 {
				got, err := takenOver(t, options(fs))
				if err != nil {
					t.Fatalf("%s, seed %d: %v", name, seed, err)
				}
				sameContents(t, fmt.Sprint(name, ", seed ", seed), got, want)
				compactAll(t, options(fs)) // which moves values to blob files
				wantBlobs(t, fs)
			}
			checkStore(t, memOptions(fs), 1, 2, 300)
			if c, _, err := readControl(fs, "/data/"+controlName); err != nil || c.version != controlVersion {
				t.Errorf("got %+v, %v; want a control file of version %d", c, err, controlVersion)
			}
			if left, err := fs.List("/data/" + buildDir); err != nil || len(left) > 0 {
				t.Errorf("got %v, %v; want nothing left of the tables that were built", left, err)
			}
		}
	}
}

// compactAll compacts a store of which nothing but the shards' keys is needed.
func compactAll(t *testing.T, o Options) {
	t.Helper()
	s := openPlain(t, o)
	err := s.engine.db.Compact(bg, []byte{0}, []byte{255}, false)
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}

// What an attempt has left, which may be of another build, isn't in the shard.
func TestTakeoverRemovesFormerAttempts(t *testing.T) {
	for name, options := range map[string]func(vfs.FS) Options{"batches": memOptions, "tables": smallTables} {
		fs := vfs.NewMem()
		want := formerStore(t, fs, 9, 60)
		s := openPlain(t, options(fs)) // takes the records over
		stray := thing(atBound[2], 1, "g", "2", "m", 2, "ttl", 5)
		b := builder{ctx: bg, doing: "a test", files: tableFiles{store: s}}
		to := formerDescriptors()[1].keys()
		for _, key := range [][]byte{
			to.appendChange(nil, holdfast.Position{Index: 1}), to.appendItem(nil, keyOf(t, stray)),
			to.appendExpiry(nil, 5, keyOf(t, stray)),
		} {
			if err := errors.Join(b.set(key, []byte("stray")), b.finish()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := takenOver(t, options(fs))
		if err != nil {
			t.Fatal(err)
		}
		sameContents(t, name, got, want)
	}
}

// A takeover that is ended anywhere, by a kill or a loss of power, is completed by the next start.
func TestCrashInTakeover(t *testing.T) {
	for name, options := range map[string]func(vfs.FS) Options{"batches": memOptions, "tables": smallTables} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			want := formerStore(t, disk, 3, 12)
			disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
			crashes := crashAtEvery(t, disk, func(fs vfs.FS) {
				o := options(fs)
				o.Boot = "as before"
				got, err := takenOver(t, o)
				if err != nil {
					t.Error(err)
				}
				sameContents(t, "undisturbed", got, want)
			}, func(left *stopped) {
				o := options(left.fs)
				o.Boot = left.boot
				got, err := takenOver(t, o)
				if err != nil {
					t.Errorf("after a crash: %v", err)
					return
				}
				sameContents(t, "after a crash", got, want)
			})
			if crashes < 40 {
				t.Errorf("got %d crashes; want more", crashes)
			}
			t.Logf("%d crashes", crashes)
		})
	}
}

// A disk that is full in the middle of a takeover ends it with an error, and nothing is lost: the
// next start completes it.
func TestFullDiskInTakeover(t *testing.T) {
	for n := int64(1); ; n += 1 + n/4 {
		disk := vfs.NewMem()
		want := formerStore(t, disk, 4, 24)
		var ops atomic.Int64 // Pebble's goroutines count, too
		fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if !changes(op) || filepath.Base(filepath.Dir(op.Path)) != buildDir {
				return nil
			}
			if ops.Add(1) < n {
				return nil
			}
			return syscall.ENOSPC
		}))
		_, err := takenOver(t, smallTables(fs))
		if ops.Load() < n {
			if err != nil || n < 20 {
				t.Errorf("got %v after %d operations; want more of them", err, ops.Load())
			}
			return
		}
		if !errors.Is(err, holdfast.Full) {
			t.Fatalf("operation %d fails: got %v; want that the disk is full", n, err)
		}
		got, err := takenOver(t, smallTables(disk))
		if err != nil {
			t.Fatalf("operation %d has failed: %v", n, err)
		}
		sameContents(t, fmt.Sprint("operation ", n, " has failed"), got, want)
	}
}

// A disk without the space for a second copy of the largest shard refuses the start, says how much
// space is needed, and leaves the directory in format 1, for the earlier program too.
func TestTakeoverNeedsSpace(t *testing.T) {
	fs := &smallFS{FS: vfs.NewMem()}
	fs.size.Store(1 << 30)
	want := formerStore(t, fs, 5, 60)
	o := memOptions(fs)
	o.ReserveBytes, o.MemTableBytes = testReserve, 1<<20
	fs.other.Store(fs.free() - testReserve - 1<<20)
	_, err := takenOver(t, o)
	if !errors.Is(err, holdfast.Full) || !strings.Contains(err.Error(), "bytes of disk space") {
		t.Fatalf("got %v; want that the disk is full", err)
	}
	if c, _, err := readControl(fs, "/data/"+controlName); err != nil || c.version != firstVersion {
		t.Errorf("got %+v, %v; want version %d still", c, err, firstVersion)
	}
	fs.other.Store(0)
	got, err := takenOver(t, o)
	if err != nil {
		t.Fatal(err)
	}
	sameContents(t, "with space", got, want)
}

// A check of what hasn't been taken over says what to do, and a recovery finds nothing wrong. Both
// change nothing.
func TestToolsOnFormat1(t *testing.T) {
	r := &stopped{t: t, fs: vfs.NewMem(), boot: "boot"}
	formerStore(t, r.fs, 6, 60)
	before := r.files("/data")
	schemas := func(s *Store) (map[holdfast.ShardID]Schema, error) {
		return map[holdfast.ShardID]Schema{1: testSchema()}, nil
	}
	checked, err := Check(bg, r.options(), schemas, nil, func(f Fault) { t.Errorf("got %+v; want no fault", f) })
	if !errors.Is(err, errFormer) || checked.Files == 0 {
		t.Errorf("check: got %+v, %v; want the files checked, and %v", checked, err, errFormer)
	}
	names := func(s *Store) (map[holdfast.ShardID]string, error) {
		all, err := s.Records("table/")
		if len(all) != 20 {
			t.Errorf("got %d records; want 20", len(all))
		}
		return map[holdfast.ShardID]string{1: "one", 2: "two"}, err
	}
	recovery, err := Recover(r.options(), false, names)
	if err != nil || len(recovery.Faults) > 0 || !slices.Equal(recovery.Orphans, []holdfast.ShardID{300}) {
		t.Errorf("recovery: got %+v, %v; want no fault, and shard 300 without a name", recovery, err)
	}
	r.same("check and recovery", before)
	s := openPlain(t, r.options())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Check(bg, r.options(), schemas, nil, func(f Fault) { t.Errorf("got %+v; want no fault", f) })
	if !errors.Is(err, errFormer) {
		t.Errorf("check of half of it: got %v; want %v", err, errFormer)
	}
}

// A recovery of a directory of format 1 leaves it one of format 1, and one of a directory that was
// taken over in part leaves it as that: the next start takes over what is left.
func TestRecoveryOfFormat1(t *testing.T) {
	names := func(*Store) (map[holdfast.ShardID]string, error) {
		return map[holdfast.ShardID]string{1: "one", 2: "two", 300: "three"}, nil
	}
	for _, taken := range []int{-1, 0, 1, 3} { // how many shards; -1: nothing was
		r := &stopped{t: t, fs: vfs.NewMem(), boot: "boot"}
		want := formerStore(t, r.fs, 7, 60)
		version := uint32(firstVersion)
		if taken >= 0 {
			version = controlVersion
			s := openPlain(t, r.options())
			for _, d := range formerDescriptors()[:taken] {
				if _, err := s.Open(d, testSchema()); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.fs.Remove("/data/" + controlName); err != nil {
			t.Fatal(err)
		}
		recovery, err := Recover(r.options(), true, names)
		lost := len(recovery.Cut) + len(recovery.Orphans) + len(recovery.Strays)
		if err != nil || !recovery.Done || lost > 0 {
			t.Fatalf("%d shards taken over: got %+v, %v; want the control file written again, and nothing lost", taken,
				recovery, err)
		}
		if c, _, err := readControl(r.fs, "/data/"+controlName); err != nil || c.version != version {
			t.Errorf("%d shards taken over: got %+v, %v; want version %d", taken, c, err, version)
		}
		got, err := takenOver(t, r.options())
		if err != nil {
			t.Fatal(err)
		}
		sameContents(t, fmt.Sprint(taken, " shards taken over"), got, want)
	}
}

// The program that knew only format 1 reads the records before it recovers anything, and stops at
// the guard.
func TestGuard(t *testing.T) {
	s := openStore(t, memOptions(vfs.NewMem()))
	if raw, ok, err := s.engine.read(s.engine.db, guardKey()); err != nil || !ok || raw != guardValue {
		t.Errorf("got %q, %t, %v; want %q", raw, ok, err, guardValue)
	}
}
