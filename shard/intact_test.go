package shard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast"
	"holdfast/item"
)

// The items of a stopped store: the first are in sorted tables, the others in several logs.
const (
	stoppedTabled = 50
	stoppedItems  = 250
)

// A stopped is the directory of a store that was stopped, whose files a test removes or changes.
type stopped struct {
	t    *testing.T
	fs   *vfs.MemFS
	boot string
	said strings.Builder // what stores log that are opened here
}

// newStopped returns a directory with stoppedItems items, put one after the other; the first has had
// another version, which is in a blob file. Unless clean it
// is as a kill leaves it; recorded says whether the control file has the logs' ends, as it does
// after a second.
func newStopped(t *testing.T, clean, recorded bool) *stopped {
	t.Helper()
	r := &stopped{t: t, fs: vfs.NewCrashableMem(), boot: "the first start"}
	var noTables atomic.Bool
	full := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && isTable(op.Path) && noTables.Load() {
			return errorfs.ErrInjected
		}
		return nil
	})
	o := r.options()
	o.FS, o.Log = errorfs.Wrap(r.fs, full), nil
	s := openStore(t, o)
	sh := openShard(t, s, 1)
	commitAll(t, s, put(t, sh, stoppedItem(0).With("v", item.Text(noise(0, 4000)))))
	for i := range stoppedItems {
		if i == stoppedTabled {
			if err := s.engine.db.Flush(); err != nil {
				t.Fatal(err)
			}
			wantBlobs(t, r.fs)
			noTables.Store(true) // so that logs are needed
		} else if i > stoppedTabled && i%60 == 0 {
			if _, err := s.engine.db.AsyncFlush(); err != nil { // begins another log
				t.Fatal(err)
			}
		}
		commitAll(t, s, put(t, sh, stoppedItem(i)))
	}
	if recorded {
		if err := s.control.write(); err != nil {
			t.Fatal(err)
		}
	}
	killed := r.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	noTables.Store(false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !clean {
		r.fs = killed
	}
	return r
}

func stoppedItem(i int) item.Item {
	return thing("a", i, "v", strings.Repeat(fmt.Sprintf("%08d", i), 500))
}

func (r *stopped) options() Options {
	o := memOptions(r.fs)
	o.Boot, o.Log = r.boot, slog.New(slog.NewTextHandler(&r.said, nil))
	return o
}

// pebble returns the paths of Pebble's files that have a prefix and a suffix, in order.
func (r *stopped) pebble(prefix, suffix string) (paths []string) {
	r.t.Helper()
	names, err := r.fs.List("/data/pebble")
	if err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			paths = append(paths, "/data/pebble/"+name)
		}
	}
	if len(paths) == 0 {
		r.t.Fatalf("got no file %s*%s in %v", prefix, suffix, names)
	}
	return paths
}

// inspect inspects the directory.
func (r *stopped) inspect() *inspection {
	r.t.Helper()
	o := r.options()
	o.setDefaults()
	lock, err := lockIfThere(o)
	if err != nil {
		r.t.Fatal(err)
	}
	defer lock.Close()
	in, err := inspect(o, lock)
	if err != nil {
		r.t.Fatal(err)
	}
	return in
}

// logs returns the logs that are needed.
func (r *stopped) logs() (paths []string) {
	for _, l := range r.inspect().logs {
		paths = append(paths, "/data/pebble/"+logName(l.num))
	}
	return paths
}

func (r *stopped) remove(paths ...string) {
	for _, path := range paths {
		if err := r.fs.RemoveAll(path); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *stopped) read(path string) []byte {
	f, err := r.fs.Open(path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	p, err := io.ReadAll(f)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// write writes a copy of p, as writeFile does.
func (r *stopped) write(path string, p []byte) {
	f, err := r.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(bytes.Clone(p))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		r.t.Fatal(err)
	}
}

// cut leaves a part of what is in a file.
func (r *stopped) cut(path string, percent int) {
	p := bytes.TrimRight(r.read(path), "\x00")
	r.write(path, p[:len(p)*percent/100])
}

// flip changes a bit of a file.
func (r *stopped) flip(path string, percent int) {
	p := r.read(path)
	p[len(bytes.TrimRight(p, "\x00"))*percent/100] ^= 8
	r.write(path, p)
}

// files returns all that is in the directory, by path, without locks.
func (r *stopped) files(dir string) map[string]string {
	all := map[string]string{}
	names, err := r.fs.List(dir)
	if err != nil {
		return all
	}
	for _, name := range names {
		path := dir + "/" + name
		info, err := r.fs.Stat(path)
		switch {
		case err != nil:
			r.t.Fatal(err)
		case info.IsDir():
			for below, is := range r.files(path) {
				all[below] = is
			}
		case name != "LOCK":
			all[path] = string(r.read(path))
		}
	}
	return all
}

// same fails unless the directory has what it had.
func (r *stopped) same(doing string, before map[string]string) {
	r.t.Helper()
	after := r.files("/data")
	for path, is := range before {
		if now, there := after[path]; !there || now != is {
			r.t.Errorf("%s: %s was changed or removed; want it left alone", doing, path)
		}
	}
	for path := range after {
		if _, there := before[path]; !there {
			r.t.Errorf("%s: %s was made; want nothing made", doing, path)
		}
	}
}

// refused fails unless a start is refused with some words and nothing touched, and a check reports
// them too.
func (r *stopped) refused(words string) {
	r.t.Helper()
	before := r.files("/data")
	s, err := Open(r.options())
	if err == nil {
		_ = s.Close()
	}
	if !errors.Is(err, holdfast.Corrupt) || !strings.Contains(err.Error(), words) {
		r.t.Errorf("got %v; want corrupt, with %q", err, words)
	}
	r.same("start", before)
	if faults := r.check(); !strings.Contains(strings.Join(faults, "\n"), words) {
		r.t.Errorf("check: got %q; want %q", faults, words)
	}
	r.same("check", before)
}

func (r *stopped) check() (faults []string) {
	r.t.Helper()
	_, err := Check(bg, r.options(), func(*Store) (map[holdfast.ShardID]Schema, error) {
		return map[holdfast.ShardID]Schema{1: testSchema()}, nil
	}, nil, func(f Fault) { faults = append(faults, f.Kind+": "+f.Text) })
	if err != nil {
		r.t.Errorf("check: got %v", err)
	}
	return faults
}

func stoppedNames(*Store) (map[holdfast.ShardID]string, error) {
	return map[holdfast.ShardID]string{1: "things"}, nil
}

// recover reports what a recovery would drop, checks that this changes nothing, and does it. It
// returns how many items are left.
func (r *stopped) recover() (Recovery, int) {
	r.t.Helper()
	before := r.files("/data")
	planned, err := Recover(r.options(), false, stoppedNames)
	if err != nil || planned.Done || len(planned.Faults) == 0 {
		r.t.Fatalf("got %+v, %v; want faults, and nothing done", planned, err)
	}
	r.same("a recovery that was not accepted", before)
	done, err := Recover(r.options(), true, stoppedNames)
	if err != nil || done.Done == done.Unrecoverable {
		r.t.Fatalf("got %+v, %v; want it done", done, err)
	}
	if done.Unrecoverable {
		r.same("a recovery that can't help", before)
		return done, 0
	}
	if fmt.Sprint(planned.Cut) != fmt.Sprint(done.Cut) {
		r.t.Errorf("got %+v; want what was planned, %+v", done.Cut, planned.Cut)
	}
	return done, r.left()
}

// left opens the store, and returns how many items it has: the first ones, and no others.
func (r *stopped) left() int {
	r.t.Helper()
	if faults := r.check(); len(faults) > 0 {
		r.t.Errorf("check: got %q; want no fault", faults)
	}
	s := openStore(r.t, r.options())
	sh := openShard(r.t, s, 1)
	items := all(r.t, sh, Span{})
	for i, it := range items {
		if !it.Equal(stoppedItem(i)) {
			r.t.Fatalf("item %d of %d isn't the one that was put there", i, len(items))
		}
	}
	commitAll(r.t, s, put(r.t, sh, stoppedItem(len(items)))) // it can be written
	if err := s.Close(); err != nil {
		r.t.Fatal(err)
	}
	return len(items)
}

// What isn't needed may be missing, and what a kill leaves is taken as it is.
func TestStartsOfAKilledStore(t *testing.T) {
	for _, clean := range []bool{false, true} {
		for _, test := range []struct {
			name, says string
			harm       func(r *stopped)
		}{
			{"as it is", "", func(r *stopped) {}},
			{"without LOCK", "", func(r *stopped) { r.remove("/data/pebble/LOCK") }},
			{"without ballast", "", func(r *stopped) { r.remove("/data/" + ballastName) }},
			{"without options", "OPTIONS-* is missing", func(r *stopped) { r.remove(r.pebble("OPTIONS-", "")...) }},
			{"first copy of the control file damaged", "copy 1 of control", func(r *stopped) { r.flip("/data/control", 0) }},
			{"second copy of the control file missing", "copy 2 of control", func(r *stopped) { r.cut("/data/control", 50) }},
			{"after another start of the machine", "", func(r *stopped) { r.boot = "another start" }},
		} {
			t.Run(fmt.Sprintf("%s, clean %t", test.name, clean), func(t *testing.T) {
				r := newStopped(t, clean, true)
				test.harm(r)
				if got := r.left(); got != stoppedItems {
					t.Errorf("got %d items; want %d", got, stoppedItems)
				}
				if said := r.said.String(); !strings.Contains(said, test.says) || test.says == "" &&
					strings.Contains(said, "level=WARN") {
					t.Errorf("got %q in the log; want %q", said, test.says)
				}
			})
		}
	}
}

// Every file that a start needs is missed when it is gone, shorter or changed: the start is
// refused, nothing is touched, a check reports it, and a recovery leaves the first items, all where
// it costs nothing.
func TestRefusals(t *testing.T) {
	oldest := func(r *stopped) string { return r.logs()[0] }
	middle := func(r *stopped) string { return r.logs()[1] }
	newest := func(r *stopped) string { return r.logs()[len(r.logs())-1] }
	const unrecoverable, none = -1, -2
	for _, test := range []struct {
		name  string
		harm  func(r *stopped)
		words string
		least int // items that must be left: unrecoverable; none: fewer than all
	}{
		{"no marker of the manifest", func(r *stopped) { r.remove(r.pebble("marker.manifest", "")...) },
			"marker.manifest.* is missing", stoppedItems},
		{"no marker of the format", func(r *stopped) { r.remove(r.pebble("marker.format", "")...) },
			"marker.format-version.* is missing", stoppedItems},
		{"no marker", func(r *stopped) { r.remove(r.pebble("marker.", "")...) },
			"marker.manifest.* is missing", stoppedItems},
		{"no manifest", func(r *stopped) { r.remove(r.pebble("MANIFEST", "")...) }, " is missing: it says which files",
			unrecoverable},
		{"empty manifest", func(r *stopped) { r.cut(r.pebble("MANIFEST", "")[1], 0) }, "has 0 bytes of the ", unrecoverable},
		{"cut manifest", func(r *stopped) { r.cut(r.pebble("MANIFEST", "")[1], 66) }, " bytes of the ", unrecoverable},
		{"changed manifest", func(r *stopped) { r.flip(r.pebble("MANIFEST", "")[1], 50) }, "isn't as it was written",
			unrecoverable},
		{"the manifest before", func(r *stopped) {
			r.remove(r.pebble("marker.manifest", "")...)
			r.write("/data/pebble/marker.manifest.000009."+r.fs.PathBase(r.pebble("MANIFEST", "")[0]), nil)
		}, "it is from an older copy", unrecoverable},
		{"a manifest of others", func(r *stopped) {
			r.remove(r.pebble("marker.manifest", "")...)
			r.write("/data/pebble/marker.manifest.000009.MANIFEST-000099", nil)
		}, "isn't this store's", unrecoverable},
		{"no sorted table", func(r *stopped) { r.remove(r.pebble("", ".sst")[0]) }, ".sst is missing", unrecoverable},
		{"an empty sorted table", func(r *stopped) { r.cut(r.pebble("", ".sst")[0], 0) }, ".sst has 0 bytes of the ",
			unrecoverable},
		{"no blob file", func(r *stopped) { r.remove(r.pebble("", ".blob")[0]) }, ".blob is missing", unrecoverable},
		{"an empty blob file", func(r *stopped) { r.cut(r.pebble("", ".blob")[0], 0) }, ".blob has 0 bytes of the ",
			unrecoverable},
		{"a cut blob file", func(r *stopped) { r.cut(r.pebble("", ".blob")[0], 50) }, ".blob has ", unrecoverable},
		{"nothing of Pebble's", func(r *stopped) { r.remove("/data/pebble") }, "pebble", unrecoverable},
		{"no file of Pebble's", func(r *stopped) { r.remove(r.pebble("", "")...) }, "pebble", unrecoverable},
		{"no control file", func(r *stopped) { r.remove("/data/control") }, "control is missing", stoppedItems},
		{"an empty control file", func(r *stopped) { r.write("/data/control", nil) }, "control is damaged", stoppedItems},
		{"both copies damaged", func(r *stopped) { r.write("/data/control", make([]byte, 2*copyBytes)) },
			"control is damaged",
			stoppedItems},
		{"no oldest log", func(r *stopped) { r.remove(oldest(r)) }, ".log is missing", stoppedTabled},
		{"no middle log", func(r *stopped) { r.remove(middle(r)) }, ".log is missing", none},
		{"no newest log", func(r *stopped) { r.remove(newest(r)) }, ".log is missing", none},
		{"no log", func(r *stopped) { r.remove(r.logs()...) }, ".log is missing", stoppedTabled},
		{"oldest log cut", func(r *stopped) { r.cut(oldest(r), 66) }, " bytes of the ", none},
		{"newest log cut", func(r *stopped) { r.cut(newest(r), 66) }, " bytes of the ", none},
		{"newest log emptied", func(r *stopped) { r.cut(newest(r), 0) }, "has 0 bytes of the ", none},
		{"a bit in the oldest log", func(r *stopped) { r.flip(oldest(r), 50) }, "is damaged at byte ", none},
		{"a bit in the newest log", func(r *stopped) { r.flip(newest(r), 90) }, "is damaged at byte ", none},
		{"zeros at the end", func(r *stopped) {
			p := r.read(newest(r))
			clear(p[len(p)*9/10:])
			r.write(newest(r), p)
		}, "is damaged at byte ", none},
		{"a log of others", func(r *stopped) { r.write("/data/pebble/000099.log", alienLog(r, 99)) },
			"is none of this store's logs", stoppedItems},
		{"a log of others in the place of ours", func(r *stopped) {
			num, _ := logNumber(r.fs.PathBase(newest(r)))
			p := alienLog(r, num)
			r.write(newest(r), append(p, make([]byte, len(r.read(newest(r))))...))
		}, "isn't what was written", none},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newStopped(t, false, true)
			if len(r.logs()) < 3 {
				t.Fatalf("got logs %v; want three at least", r.logs())
			}
			test.harm(r)
			r.refused(test.words)
			recovery, left := r.recover()
			switch {
			case recovery.Unrecoverable != (test.least == unrecoverable):
				t.Errorf("got %+v; want unrecoverable %t", recovery, test.least == unrecoverable)
			case recovery.Unrecoverable:
			case test.least == none && (left < stoppedTabled || left >= stoppedItems), test.least != none && left != test.least:
				t.Errorf("got %d items left; want %d", left, test.least)
			}
		})
	}
}

// alienLog returns a log of another store, with a number.
func alienLog(r *stopped, num uint64) []byte {
	fs := vfs.NewMem()
	s := openStore(r.t, memOptions(fs))
	sh := openShard(r.t, s, 1)
	commitAll(r.t, s, put(r.t, sh, thing("alien", 1)))
	if err := s.Close(); err != nil {
		r.t.Fatal(err)
	}
	other := &stopped{t: r.t, fs: fs}
	p := other.read(other.pebble("", ".log")[len(other.pebble("", ".log"))-1])
	return renumbered(p, num)
}

// renumbered returns a log as if it had another number.
func renumbered(log []byte, num uint64) []byte {
	le := binary.LittleEndian
	old := le.Uint32(log[chunkHeader:])
	for at := 0; at < len(log); {
		n := chunkAt(log, at, old)
		if n == 0 {
			return log[:at]
		}
		le.PutUint32(log[at+chunkHeader:], uint32(num))
		le.PutUint32(log[at:], chunkSum(log[at+6:at+n]))
		at += n
	}
	return log
}
