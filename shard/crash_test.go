package shard

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast"
	"holdfast/item"
)

// A journal is what a crash must leave of the commits of some writers, each of which has its own
// keys in two shards. It is locked while a crash is taken, and no commit begins or is acknowledged
// meanwhile.
type journal struct {
	mu      sync.Mutex
	writers []*journaled
}

// A journaled is one writer: its version n is the state after n commits. After a crash all of its
// keys are as they were at the version that was acknowledged, or at the next one.
type journaled struct {
	acked   map[string]item.Item // by shard and key, at version
	pending map[string]item.Item // what the commit in flight changes; nil: none is
	version int
	seen    int // the highest version that a reader got
}

// next returns what the state is at the version behind the acknowledged one.
func (w *journaled) next() map[string]item.Item {
	state := map[string]item.Item{}
	for key, it := range w.acked {
		state[key] = it
	}
	for key, it := range w.pending {
		if it == nil {
			delete(state, key)
		} else {
			state[key] = it
		}
	}
	return state
}

// write does one commit of the writer with that number.
func (j *journal) write(t *testing.T, rng *rand.Rand, number int, shards []*Shard) {
	j.mu.Lock()
	w := j.writers[number]
	w.pending = map[string]item.Item{}
	var writes []Write
	for range 1 + rng.IntN(4) {
		sh := shards[rng.IntN(len(shards))]
		it := thing(fmt.Sprintf("w%d-%d", number, rng.IntN(5)), rng.IntN(3), "v", w.version+1, "w", number,
			"g", fmt.Sprint(rng.IntN(4)), "m", rng.IntN(4), "ttl", rng.IntN(3), "fat", noise(w.version, rng.IntN(2000)))
		key := fmt.Sprint(sh.id, string(keyOf(t, it)))
		if _, twice := w.pending[key]; twice {
			continue
		}
		if rng.IntN(4) == 0 {
			w.pending[key] = nil
			writes = append(writes, remove(t, sh, it))
		} else {
			w.pending[key] = it
			writes = append(writes, put(t, sh, it))
		}
	}
	j.mu.Unlock()
	_, err := shards[0].store.Commit(bg, Commit{Writes: writes})
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		t.Error(err)
		return
	}
	w.acked, w.pending = w.next(), nil
	w.version++
}

// read shows some items to a reader, which notes of which version they are.
func (j *journal) read(t *testing.T, rng *rand.Rand, sh *Shard) {
	var shown []item.Item
	switch rng.IntN(6) {
	case 0:
		shown = all(t, sh, Span{})
	case 5:
		partition := testSchema().Indexes[3].Key.Partition(item.Text(fmt.Sprint(rng.IntN(4))), number(rng.IntN(3)))
		shown = all(t, sh, Span{Index: 4, Range: partition})
	case 1:
		shown = all(t, sh, Span{Index: 1, Range: testSchema().Indexes[0].Key.Partition(item.Text(fmt.Sprint(rng.IntN(4))))})
	case 2:
		from := sh.End()
		if from.Index > 5 {
			from.Index -= 5
		}
		changes, _, err := sh.Changes(from, Limit{})
		if err != nil {
			t.Error(err)
		}
		for _, c := range changes {
			shown = append(shown, c.After)
		}
	case 3:
		id := fmt.Sprintf("w%d-%d", rng.IntN(len(j.writers)), rng.IntN(5))
		shown = all(t, sh, Span{Range: testSchema().Key.Index().Partition(item.Text(id))})
	default:
		it, err := sh.Get(bg, keyOf(t, thing(fmt.Sprintf("w%d-%d", rng.IntN(len(j.writers)), rng.IntN(5)), rng.IntN(3))))
		if err != nil {
			t.Error(err)
		}
		shown = append(shown, it)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note(shown)
}

// probe notes what readers get, right before a sync, of what the commits in flight change.
// Its context has ended, so a reader that waits for the disk gets an error instead. It takes no
// lock that a commit holds while it waits for a sync.
func (j *journal) probe(shards []*Shard) {
	ctx, cancel := context.WithCancel(bg)
	cancel()
	for _, sh := range shards {
		for _, w := range j.writers {
			for _, it := range w.pending {
				if it == nil {
					continue
				}
				key, _ := testSchema().Key.Key(it)
				if got, err := sh.Get(ctx, key); err == nil {
					j.note([]item.Item{got})
				}
				id, _ := it.Get("id")
				g, _ := it.Get("g")
				j.scan(ctx, sh, Span{Range: testSchema().Key.Index().Partition(id)})
				j.scan(ctx, sh, Span{Index: 1, Range: testSchema().Indexes[0].Key.Partition(g)})
				n, _ := it.Get("n")
				j.scan(ctx, sh, Span{Index: 4, Range: testSchema().Indexes[3].Key.Partition(g, n)})
			}
		}
		j.scan(ctx, sh, Span{})
		j.scan(ctx, sh, Span{Index: 1})
		j.scan(ctx, sh, Span{Index: 4})
	}
}

// scan notes what a cursor returns.
func (j *journal) scan(ctx context.Context, sh *Shard, span Span) {
	c, err := sh.Cursor(ctx, span)
	if err != nil {
		return
	}
	defer c.Close()
	for c.Next() {
		if it, err := c.Item(); err == nil {
			j.note([]item.Item{it})
		}
	}
}

// note marks the versions of items as shown. The journal is locked.
func (j *journal) note(shown []item.Item) {
	for _, it := range shown {
		v, _ := it.Get("v")
		of, _ := it.Get("w")
		version, number := 0, 0
		if fmt.Sscan(v.Text, &version); version > 0 {
			fmt.Sscan(of.Text, &number)
			j.writers[number].seen = max(j.writers[number].seen, version)
		}
	}
}

// verify opens what a crash left, in that start of the machine, and compares it with the journal,
// which is locked.
func (j *journal) verify(t *testing.T, fs vfs.FS, boot string) {
	o := memOptions(fs)
	o.Boot = boot
	s, err := Open(o)
	if err != nil {
		t.Error(err)
		return
	}
	useLedger(t, s)
	states := make([]map[string]item.Item, len(j.writers))
	for i := range states {
		states[i] = map[string]item.Item{}
	}
	for _, id := range []holdfast.ShardID{1, 2} {
		sh := openShard(t, s, id)
		for _, it := range all(t, sh, Span{}) {
			of, _ := it.Get("w")
			number := 0
			fmt.Sscan(of.Text, &number)
			states[number][fmt.Sprint(id, string(keyOf(t, it)))] = it
		}
	}
	for i, w := range j.writers {
		version := w.version
		if !sameState(states[i], w.acked) {
			version++
			if !sameState(states[i], w.next()) {
				t.Errorf("writer %d: got %d items that are neither version %d, which was acknowledged, nor the next",
					i, len(states[i]), w.version)
				continue
			}
		} else if sameState(w.acked, w.next()) {
			version++ // either
		}
		if w.seen > version {
			t.Errorf("writer %d: version %d is left; %d was shown", i, version, w.seen)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	checkStore(t, o, 1, 2)
}

func sameState(a, b map[string]item.Item) bool {
	if len(a) != len(b) {
		return false
	}
	for key, it := range a {
		if !it.Equal(b[key]) {
			return false
		}
	}
	return true
}

// The disk is taken away at every sync of a load of commits over two shards, with readers, flushes
// and reclaims. What is left must have each acknowledged commit, none in part, and all that was
// shown. It finds these bugs, if they're put in: commits that aren't synced, that are acknowledged
// before the sync, readers that don't wait for their mark (each kind of them), marks that are
// raised after the batch, logs that are removed before what is in them was flushed, an entry of an
// index that isn't removed, a tally that misses an index.
func TestCrashAtEverySync(t *testing.T) {
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { crashAtEverySync(t, seed) })
	}
}

func crashAtEverySync(t *testing.T, seed uint64) {
	disk := clonable(vfs.NewCrashableMem())
	j := &journal{}
	for range 4 {
		j.writers = append(j.writers, &journaled{acked: map[string]item.Item{}})
	}
	crashes := 0 // guarded by j.mu
	var open atomic.Pointer[[]*Shard]
	chance := rand.New(rand.NewPCG(seed, 0))
	ofBlobs := 0 // guarded by j.mu
	crash := func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			j.mu.Lock()
			defer j.mu.Unlock()
			crashes++
			if isBlob(op.Path) {
				ofBlobs++
			}
			if all := open.Load(); all != nil {
				j.probe(*all)
			}
			if !t.Failed() {
				boot, unsynced := "after a loss of power", crashes%3*50
				if unsynced == 100 {
					boot = "as before" // it is a kill
				}
				left := disk.clone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: chance})
				verified := make(chan struct{})
				go func() { // since a Fatal must not end Pebble's goroutine
					defer close(verified)
					j.verify(t, left, boot)
				}()
				<-verified
			}
		}
		return nil
	}
	setup := openStore(t, memOptions(disk)) // so that there is something to open after the first crash
	_ = setup.Close()
	o := memOptions(errorfs.Wrap(disk, errorfs.InjectorFunc(crash)))
	o.Boot = "as before"
	s := openStore(t, o)
	shards := []*Shard{openShard(t, s, 1), openShard(t, s, 2)}
	open.Store(&shards)
	write := func(number int) {
		rng := rand.New(rand.NewPCG(seed, uint64(number)))
		for i := range 30 {
			j.write(t, rng, number, shards)
			if number == 0 && i%10 == 9 {
				if err := s.engine.db.Flush(); err != nil {
					t.Error(err)
				}
			}
			if number == 1 && i%10 == 9 {
				if _, err := s.Reclaim(bg); err != nil {
					t.Error(err)
				}
			}
		}
	}
	var readers []func()
	for number := range 2 {
		rng := rand.New(rand.NewPCG(seed, uint64(100+number)))
		readers = append(readers, func() { j.read(t, rng, shards[rng.IntN(2)]) })
	}
	whileReading(func() {
		var writers sync.WaitGroup
		for number := range j.writers {
			writers.Go(func() { write(number) })
		}
		writers.Wait()
	}, readers...)
	open.Store(nil)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if crashes < 50 {
		t.Errorf("got %d crashes; want more", crashes)
	}
	if ofBlobs == 0 {
		t.Error("got no crash at the sync of a blob file; want some")
	}
	t.Logf("%d crashes, %d of them at syncs of blob files", crashes, ofBlobs)
}
