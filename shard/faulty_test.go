package shard

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast"
	"holdfast/item"
)

// A faultyDisk fails some of the operations that change it. It spares what beginning and ending a
// log takes, which is the control file and Pebble's directory, and logs except while a commit
// writes them: if those fail Pebble ends the process at once, and a test's with it.
type faultyDisk struct {
	vfs.FS
	ofLogs bool         // only logs fail; else all but logs
	writes atomic.Bool  // a commit writes a log
	ops    atomic.Int64 // so far
	blobs  atomic.Int64 // of those, the ones on blob files
	first  atomic.Int64 // the number of the first that fails; 0: none does
	times  int64        // how many fail, one after the other
	err    error
}

// newFaultyDisk returns a disk whose operations on logs, or on all else, fail with err.
func newFaultyDisk(disk vfs.FS, ofLogs bool, times int64, err error) *faultyDisk {
	f := &faultyDisk{ofLogs: ofLogs, times: times, err: err}
	f.FS = errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		base := filepath.Base(op.Path)
		if !changes(op) || slices.Contains([]string{"LOCK", engineDir, controlName, controlPartial}, base) ||
			isLog(base) != f.ofLogs || f.ofLogs && !f.writes.Load() {
			return nil
		}
		n, first := f.ops.Add(1), f.first.Load()
		if isBlob(base) {
			f.blobs.Add(1)
		}
		if first > 0 && n >= first && n < first+f.times {
			return f.err
		}
		return nil
	}))
	return f
}

// A scenario is a store on a disk that fails, and what a start on a sound disk must find
// afterwards: each item as the last acknowledged commit left it, or as a later one of unknown
// outcome did.
type scenario struct {
	t      *testing.T
	rng    *rand.Rand
	disk   *faultyDisk
	s      *Store
	shards []*Shard
	fatal  chan struct{} // closed when the process would have ended

	mu      sync.Mutex           // guards what follows
	acked   map[string]item.Item // by shard and key; nil: removed
	pending map[string]item.Item // what a commit changes that is in flight, or of unknown outcome
	broken  bool                 // a commit's outcome was unknown: later ones are refused
	ended   atomic.Bool          // what is done from now on doesn't count
}

// run does all that a store does, in an order that is the same each time.
func (a *scenario) run(o Options) {
	var err error
	if a.s, err = Open(o); err != nil {
		a.expect("opening", err)
		return
	}
	defer func() { a.expect("closing", a.s.Close()) }()
	ledger, err := a.s.Open(whole(ledgerShard), LedgerSchema())
	if err != nil {
		a.expect("opening the ledger", err)
		return
	}
	a.s.UseLedger(ledger)
	for _, id := range []holdfast.ShardID{1, 2} {
		sh, err := a.s.Open(whole(id), testSchema())
		if err != nil {
			a.expect("opening a shard", err)
			return
		}
		a.shards = append(a.shards, sh)
	}
	for range 8 {
		a.commit()
	}
	a.flush()
	for range 4 {
		a.commit()
	}
	if !a.disk.ofLogs { // Pebble flushes what removes ranges 10 s later, and panics then if its log has failed
		a.makeRoom()
	}
	for range 4 {
		a.commit()
	}
}

// makeRoom copies and drops a shard, trims, fills and reclaims, with commits between.
func (a *scenario) makeRoom() {
	one := a.shards[0]
	_, err := a.s.Copy(bg, one, whole(9), time.Time{})
	a.expect("a copy", err)
	a.expect("a trim", a.s.Trim(bg))
	a.expect("a drop", a.s.Drop(whole(9)))
	_, err = one.Backfill(bg, 1, nil, 3)
	a.expect("a fill", err)
	for range 4 {
		a.commit()
	}
	_, err = a.s.Reclaim(bg)
	a.expect("a reclaim", err)
}

// flush has Pebble flush, which it repeats for as long as the disk fails.
func (a *scenario) flush() {
	err := a.s.engine.attempt(func() error {
		flushed, err := a.s.engine.db.AsyncFlush()
		if err == nil {
			select {
			case <-flushed:
			case <-a.s.engine.broken:
			}
		}
		return err
	})
	a.expect("a flush", err)
}

// expect fails unless an error is one that a failing disk explains.
func (a *scenario) expect(doing string, err error) {
	if err == nil || errors.Is(err, holdfast.Full) || a.ended.Load() {
		return
	}
	if !errors.Is(err, holdfast.Unavailable) {
		a.t.Errorf("%s: got %v; want none, full or unavailable", doing, err)
	}
}

// commit changes up to three items of both shards.
func (a *scenario) commit() {
	var c Commit
	next := map[string]item.Item{}
	for range 1 + a.rng.IntN(3) {
		sh := a.shards[a.rng.IntN(2)]
		it := thing(fmt.Sprint("id", a.rng.IntN(4)), a.rng.IntN(2), "g", fmt.Sprint(a.rng.IntN(3)), "m", a.rng.IntN(3),
			"v", a.rng.IntN(1000), "ttl", a.rng.IntN(1000), "fat", noise(a.rng.IntN(9), a.rng.IntN(8*blobValueBytes)))
		at := fmt.Sprint(sh.id, "/", string(keyOf(a.t, it)))
		if _, twice := next[at]; twice {
			continue
		}
		next[at] = it
		w := put(a.t, sh, it)
		if a.rng.IntN(4) == 0 {
			next[at], w = nil, remove(a.t, sh, it)
		}
		c.Writes = append(c.Writes, w)
	}
	a.mu.Lock()
	if !a.broken { // else the commit is refused before anything is changed
		a.pending = next
	}
	a.mu.Unlock()
	a.disk.writes.Store(true)
	results, err := a.s.Commit(bg, c)
	a.disk.writes.Store(false)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.ended.Load():
	case err == nil:
		if a.broken && slices.ContainsFunc(results, func(r Result) bool { return r.Tx.Index > 0 }) {
			a.t.Error("got a change acknowledged after one whose outcome is unknown")
		}
		if !a.broken {
			maps.Copy(a.acked, next)
			a.pending = nil
		}
	case errors.Is(err, holdfast.Unavailable):
		a.broken = true
	default:
		a.expect("a commit", err)
		a.pending = nil
	}
}

// verify opens what is left on a sound disk: a start is never refused, and has what was
// acknowledged, and of the commit of unknown outcome all or nothing.
func (a *scenario) verify(fs vfs.FS, boot string) {
	a.t.Helper()
	o := memOptions(fs)
	o.Boot = boot
	s, err := Open(o)
	if err != nil {
		a.t.Errorf("a start on a sound disk: got %v; want none", err)
		return
	}
	useLedger(a.t, s)
	left := map[string]item.Item{}
	for _, id := range []holdfast.ShardID{1, 2} {
		for _, it := range all(a.t, openShard(a.t, s, id), Span{}) {
			left[fmt.Sprint(id, "/", string(keyOf(a.t, it)))] = it
		}
	}
	if err := s.Close(); err != nil {
		a.t.Error(err)
	}
	with := cloned(a.acked)
	maps.Copy(with, a.pending)
	if !sameState(left, present(a.acked)) && !sameState(left, present(with)) {
		a.t.Errorf("got %v; want %v, or with the last commit %v", left, present(a.acked), present(with))
	}
	checkStore(a.t, o, 1, 2)
}

// present returns the items that are there.
func present(all map[string]item.Item) map[string]item.Item {
	some := map[string]item.Item{}
	for at, it := range all {
		if it != nil {
			some[at] = it
		}
	}
	return some
}

// The disk fails one operation after the other of all that a store does, from its first start to
// its stop: with an error, or as full, once or some times in a row. Each call says what is true:
// what was acknowledged is there after a kill and after a loss of power, what was refused as full
// isn't, and of one unknown outcome all or nothing is.
func TestFailuresAtEveryChangeOfTheDisk(t *testing.T) {
	for _, c := range []struct {
		name   string
		ofLogs bool
		err    error
		times  int64
		every  int64
		least  int64 // changes that may fail
	}{
		{"full once", false, syscall.ENOSPC, 1, 4, 50}, {"full for long", false, syscall.ENOSPC, 12, 12, 50},
		{"an error once", false, syscall.EIO, 1, 4, 50},
		{"the log is full once", true, syscall.ENOSPC, 1, 1, 10},
		{"the log is full for long", true, syscall.ENOSPC, 12, 1, 10},
		{"an error of the log", true, syscall.EIO, 1, 1, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			sound := newFaultyDisk(vfs.NewCrashableMem(), c.ofLogs, 0, nil)
			runScenario(t, sound)
			total := sound.ops.Load()
			if total < c.least {
				t.Fatalf("got %d changes of the disk; want %d at least", total, c.least)
			}
			if got := sound.blobs.Load(); (got > 0) == c.ofLogs {
				t.Errorf("got %d changes of blob files; want some unless only logs fail", got)
			}
			broken := 0
			for first := int64(1); first <= total && !t.Failed(); first += c.every {
				disk := clonable(vfs.NewCrashableMem())
				faulty := newFaultyDisk(disk, c.ofLogs, c.times, c.err)
				faulty.first.Store(first)
				a := runScenario(t, faulty)
				a.mu.Lock()
				a.ended.Store(true)
				if a.broken {
					broken++
				}
				chance := rand.New(rand.NewPCG(uint64(first), 62)) // the scenario may still go on, with its own
				for i, boot := range []string{"as before", "after a loss of power"} {
					percent := 100 - 100*i
					a.verify(disk.clone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: chance}), boot)
				}
				a.mu.Unlock()
				if t.Failed() {
					t.Logf("operation %d of %d failed", first, total)
				}
			}
			t.Logf("%d changes, %d times broken", total, broken)
		})
	}
}

// runScenario runs a scenario on a disk, until its end or that of the process.
func runScenario(t *testing.T, disk *faultyDisk) *scenario {
	t.Helper()
	const seed = 61
	a := &scenario{t: t, rng: rand.New(rand.NewPCG(seed, seed)), disk: disk, acked: map[string]item.Item{},
		fatal: make(chan struct{})}
	o := memOptions(disk)
	o.Boot = "as before"
	o.CacheBytes, o.MemTableBytes = 1<<20, 1<<20 // those of a store that hangs stay in memory
	o.Fatal = func(error) { close(a.fatal) }
	done := make(chan struct{})
	go func() { // Pebble never returns from a call that is fatal
		defer close(done)
		a.run(o)
	}()
	select {
	case <-done:
	case <-a.fatal:
	}
	return a
}
