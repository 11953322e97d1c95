package shard

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// changes reports whether an operation changes the disk.
func changes(op errorfs.Op) bool { return op.Kind.ReadOrWrite() == errorfs.OpIsWrite }

// A clonableDisk may be cloned while others use it. MemFS alone may then hang: its Link takes a lock
// for reading twice, and a clone that comes in between waits for the first, and the second for it.
type clonableDisk struct {
	vfs.FS
	mem   *vfs.MemFS
	links sync.Mutex
}

func clonable(mem *vfs.MemFS) *clonableDisk { return &clonableDisk{FS: mem, mem: mem} }

// Link implements vfs.FS.
func (d *clonableDisk) Link(from, to string) error {
	d.links.Lock()
	defer d.links.Unlock()
	return d.FS.Link(from, to)
}

func (d *clonableDisk) clone(c vfs.CrashCloneCfg) *vfs.MemFS {
	d.links.Lock()
	defer d.links.Unlock()
	return d.mem.CrashClone(c)
}

// crashAtEvery takes the disk away before each change that doing makes to it, and opens what is
// left; with -short at every fourth only. A start is never refused for what a loss of power leaves.
// It returns how many changes there were.
func crashAtEvery(t *testing.T, mem *vfs.MemFS, doing func(fs vfs.FS), opened func(r *stopped)) (crashes int) {
	t.Helper()
	disk := clonable(mem)
	chance := rand.New(rand.NewPCG(7, 7))
	var mu sync.Mutex // guards chance and crashes: Pebble and the control file write concurrently
	crash := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !changes(op) || t.Failed() {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if crashes++; testing.Short() && crashes%4 != 1 {
			return nil
		}
		percent := crashes % 3 * 50
		left := &stopped{t: t, fs: disk.clone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: chance}),
			boot: "after the crash"}
		if percent == 100 {
			left.boot = "as before" // it was a kill
		}
		done := make(chan struct{})
		go func() { // since a Fatal must not end Pebble's goroutine
			defer close(done)
			s, err := Open(left.options())
			if err != nil {
				t.Errorf("crash %d, before %v of %s: %v", crashes, op.Kind, op.Path, err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if opened != nil {
				opened(left)
			}
		}()
		<-done
		return nil
	})
	doing(errorfs.Wrap(disk, crash))
	mu.Lock()
	defer mu.Unlock()
	return crashes
}

// A first start that is ended anywhere is begun again by the next one.
func TestCrashInTheFirstStart(t *testing.T) {
	disk := vfs.NewCrashableMem()
	crashes := crashAtEvery(t, disk, func(fs vfs.FS) {
		o := memOptions(fs)
		o.Boot = "as before"
		s := openStore(t, o)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}, nil)
	if crashes < 50 {
		t.Errorf("got %d crashes; want more", crashes)
	}
}

// forgetControl makes a store's directory one of a version that had no control files.
func forgetControl(t *testing.T, r *stopped) {
	t.Helper()
	r.remove("/data/control")
	e := newEngine(discard(), func(error) {})
	e.fs, e.space = r.fs, &space{}
	cache := newCache(0, defaultMemTable)
	defer cache.Unref()
	db, err := pebble.Open("/data/pebble", e.pebbleOptions(cache, defaultMemTable, false))
	if err != nil {
		t.Fatal(err)
	}
	e.db = db
	rewriteFormer(t, &Store{engine: e}, whole(1))
	if err := errors.Join(db.Delete(formerKeys{records}.meta(metaStore), pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// What an earlier version left is taken over once, with a line in the log, whatever ends the start
// that does it.
func TestTakenOver(t *testing.T) {
	r := newStopped(t, true, true)
	forgetControl(t, r)
	disk := r.fs
	crashes := crashAtEvery(t, disk, func(fs vfs.FS) {
		o := memOptions(fs)
		o.Boot = "as before"
		s := openStore(t, o)
		openShard(t, s, 1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}, nil)
	if crashes < 20 {
		t.Errorf("got %d crashes; want more", crashes)
	}
	if got := r.left(); got != stoppedItems {
		t.Errorf("got %d items; want %d", got, stoppedItems)
	}
	if said := r.said.String(); strings.Contains(said, "taken over") {
		t.Errorf("got %q in the log; want it taken over once only", said)
	}
	again := newStopped(t, true, true)
	forgetControl(t, again)
	s := openStore(t, again.options())
	openShard(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := again.left(); got != stoppedItems || !strings.Contains(again.said.String(),
		"is of an earlier version, and is taken over") {
		t.Errorf("got %d items, and %q in the log; want %d, and that it is taken over", got, again.said.String(),
			stoppedItems)
	}
	again.remove("/data/control")
	again.refused("control is missing")
}

// A start after a crash that is ended anywhere is begun again by the next one: what it accepted of
// the logs is on disk before it is on record.
func TestCrashInALaterStart(t *testing.T) {
	r, looked := newStopped(t, false, false), 0
	crashes := crashAtEvery(t, r.fs, func(fs vfs.FS) {
		o := memOptions(fs)
		o.Boot = "as before"
		s := openStore(t, o)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}, func(left *stopped) {
		if looked++; looked%5 != 0 {
			return // it takes time
		}
		if got := left.left(); got != stoppedItems {
			t.Errorf("got %d items; want %d", got, stoppedItems)
		}
	})
	if crashes < 50 {
		t.Errorf("got %d crashes; want more", crashes)
	}
}

// Behind what is on record, the end of a log may be torn, which is logged with numbers. In the same
// start of the machine, what was written before something else is whole: there damage isn't taken
// for the end.
func TestBehindTheRecord(t *testing.T) {
	newest := func(r *stopped) string { return r.logs()[len(r.logs())-1] }
	for _, test := range []struct {
		name    string
		harm    func(r *stopped)
		boot    string
		refused string
		says    string
	}{
		{"a bit, after a kill", func(r *stopped) { r.flip(newest(r), 90) }, "the first start",
			"and what follows is whole", ""},
		{"a bit of the last record, after a kill", func(r *stopped) { r.flip(newest(r), 99) }, "the first start", "",
			"never acknowledged"},
		{"a bit, after a loss of power", func(r *stopped) { r.flip(newest(r), 90) }, "another start",
			"", "never acknowledged"},
		{"cut", func(r *stopped) { r.cut(newest(r), 90) }, "the first start", "", "never acknowledged"},
		{"no end mark in an older log", func(r *stopped) {
			p := bytesOf(r, r.logs()[1])
			r.write(r.logs()[1], p[:len(p)-20])
		}, "another start", ".log ", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newStopped(t, false, false)
			test.harm(r)
			r.boot = test.boot
			if test.refused != "" {
				r.refused(test.refused)
				return
			}
			got := r.left()
			if got < stoppedTabled || got >= stoppedItems {
				t.Errorf("got %d items; want some of %d to be lost", got, stoppedItems)
			}
			said := r.said.String()
			if !strings.Contains(said, test.says) || !strings.Contains(said, "kept_commits=") {
				t.Errorf("got %q in the log; want %q and how much", said, test.says)
			}
		})
	}
}

func bytesOf(r *stopped, path string) []byte {
	return []byte(strings.TrimRight(string(r.read(path)), "\x00"))
}

// A clean stop has all on record: not one byte may be missing.
func TestAfterACleanStop(t *testing.T) {
	last := func(r *stopped) string { return r.pebble("", ".log")[len(r.pebble("", ".log"))-1] }
	manifest := func(r *stopped) string { return r.pebble("MANIFEST", "")[len(r.pebble("MANIFEST", ""))-1] }
	chop := func(r *stopped, path string) {
		p := r.read(path)
		r.write(path, p[:len(p)-1])
	}
	for _, test := range []struct {
		name  string
		harm  func(r *stopped)
		words string
	}{
		{"the last byte of the log", func(r *stopped) { chop(r, last(r)) }, " bytes of the "},
		{"the log", func(r *stopped) { r.remove(last(r)) }, " is missing"},
		{"the last byte of the manifest", func(r *stopped) { chop(r, manifest(r)) }, " bytes of the "},
		{"the markers", func(r *stopped) { r.remove(r.pebble("marker.", "")...) }, "is missing, an empty file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newStopped(t, true, false)
			test.harm(r)
			r.refused(test.words)
		})
	}
}

// What a killed process had written but not synced is read by the next start, and may be lost with
// the power after that. So it is synced before it is on record.
func TestCrashAfterAKill(t *testing.T) {
	r := newStopped(t, false, true)
	c, _, err := readControl(r.fs, "/data/control")
	if err != nil {
		t.Fatal(err)
	}
	last := &c.logs[len(c.logs)-1]
	*last = extent{num: last.num}
	if err := makeControl(r.fs, "/data", c); err != nil {
		t.Fatal(err)
	}
	path := "/data/pebble/" + logName(last.num)
	p := bytesOf(r, path)
	f, err := r.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	synced := len(p) - 2000 // the last record isn't whole without the rest
	for i, part := range [][]byte{p[:synced], p[synced:]} {
		if _, err := f.Write(bytes.Clone(part)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := errors.Join(f.Sync(), syncDir(r.fs, "/data/pebble")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	crashAtEvery(t, r.fs, func(fs vfs.FS) {
		o := memOptions(fs)
		o.Boot = r.boot
		s := openStore(t, o)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}, nil)
}
