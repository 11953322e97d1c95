package shard

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast"
	"holdfast/item"
)

// A recovery reports what it drops, with correct numbers, and keeps it.
func TestRecoveryDrops(t *testing.T) {
	r := newStopped(t, false, true)
	logs := r.logs()
	were := map[string]string{}
	for _, path := range logs {
		were[path] = string(r.read(path))
	}
	r.flip(logs[1], 50)
	damaged := string(r.read(logs[1]))
	recovery, left := r.recover()
	if len(recovery.Cut) != len(logs)-1 || recovery.Aside == "" {
		t.Fatalf("got %+v; want %d logs cut, and where they are", recovery, len(logs)-1)
	}
	readable, dropped := int64(0), int64(0)
	for i, c := range recovery.Cut {
		path := logs[1+i]
		if c.File != strings.TrimPrefix(path, "/data/") || c.Missing || (c.Kept > 0) != (i == 0) || c.Items[1] != c.Commits {
			t.Errorf("got %+v; want %s, of which %t is kept, and one item a commit", c, path, i == 0)
		}
		// The end mark of a log may end in zeros, as what isn't written does.
		if want := int64(len(strings.TrimRight(were[path], "\x00"))); c.Kept+c.Dropped < want || c.Kept+c.Dropped > want+3 {
			t.Errorf("%s: got %d bytes kept, %d dropped; want %d in all", path, c.Kept, c.Dropped, want)
		}
		readable, dropped = readable+c.Commits, dropped+c.Dropped
		kept := string(r.read("/data/" + recovery.Aside + "/" + path[len("/data/pebble/"):]))
		want := were[path]
		if i == 0 {
			want = damaged
		}
		if kept != want {
			t.Errorf("%s isn't kept as it was", path)
		}
	}
	// The record with the flipped bit, and perhaps the one behind it, can't be read.
	if unread := stoppedItems - left - int(readable); unread < 1 || unread > 2 {
		t.Errorf("got %d items left, %d commits dropped; want all of %d but one or two", left, readable, stoppedItems)
	}
	if recovery.Names[1] != "things" {
		t.Errorf("got names %v; want those of the catalog", recovery.Names)
	}
}

// What costs nothing drops nothing.
func TestRecoveryOfMarkers(t *testing.T) {
	r := newStopped(t, false, true)
	r.remove(r.pebble("marker.", "")...)
	recovery, left := r.recover()
	if left != stoppedItems || len(recovery.Cut) > 0 || recovery.Aside != "" || len(recovery.Again) != 2 {
		t.Errorf("got %+v, %d items; want two files made again, and %d items", recovery, left, stoppedItems)
	}
}

// A directory with which nothing is wrong is left alone.
func TestRecoveryOfNothing(t *testing.T) {
	for _, clean := range []bool{false, true} {
		r := newStopped(t, clean, true)
		before := r.files("/data")
		recovery, err := Recover(r.options(), true, stoppedNames)
		if err != nil || recovery.Done || len(recovery.Faults) > 0 {
			t.Errorf("got %+v, %v; want nothing to do", recovery, err)
		}
		r.same("recovery", before)
	}
}

// A shard that was copied is in sorted tables at once. When the catalog goes back to before it was
// begun, it goes too: a later shard with its ID must not begin with its items.
func TestRecoveryRemovesOrphans(t *testing.T) {
	r := &stopped{t: t, fs: vfs.NewCrashableMem(), boot: "the first start"}
	s := openStore(t, r.options())
	commitAll(t, s, put(t, openShard(t, s, 1), stoppedItem(0)))
	if err := s.engine.db.Flush(); err != nil {
		t.Fatal(err)
	}
	commitAll(t, s, put(t, openShard(t, s, 1), stoppedItem(1)))
	b := builder{ctx: bg, doing: "copying", files: tableFiles{store: s}}
	key := keysOf(9).appendItem(nil, keyOf(t, stoppedItem(0)))
	if err := errors.Join(b.set(key, item.Append(nil, stoppedItem(0))), b.finish()); err != nil {
		t.Fatal(err)
	}
	if err := s.control.write(); err != nil {
		t.Fatal(err)
	}
	r.fs = r.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	r.remove(r.logs()...)
	recovery, err := Recover(r.options(), true, stoppedNames)
	if err != nil || !slices.Equal(recovery.Strays, []holdfast.SpaceID{9}) {
		t.Fatalf("got %+v, %v; want keys of space 9 that no shard has", recovery, err)
	}
	again := openStore(t, r.options())
	if got := all(t, openShard(t, again, 9), Span{}); len(got) > 0 {
		t.Errorf("got %d items in shard 9; want none", len(got))
	}
	if got := all(t, openShard(t, again, 1), Span{}); len(got) == 0 {
		t.Errorf("got no item in shard 1; want those that are left")
	}
}

// The control file is written by itself after commits, and not with each: no commit waits for it.
func TestControlIsWrittenBesides(t *testing.T) {
	fs := vfs.NewMem()
	syncs := make(chan struct{}, 1<<16)
	counted := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Path == "/data/control" && (op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSync) {
			syncs <- struct{}{}
		}
		return nil
	})
	s := openStore(t, memOptions(errorfs.Wrap(fs, counted)))
	sh := openShard(t, s, 1)
	for len(syncs) > 0 {
		<-syncs
	}
	const commits = 2000
	begun := time.Now()
	for i := range commits {
		commitAll(t, s, put(t, sh, thing("a", i)))
	}
	if got, most := len(syncs), copies*(6+int(time.Since(begun)/recordEvery)); got > most {
		t.Errorf("got %d syncs of the control file beside %d commits; want %d at most", got, commits, most)
	}
	end := newestLog(s).extent().bytes
	for {
		select {
		case <-syncs:
		case <-time.After(time.Minute):
			t.Fatal("the control file isn't written")
		}
		c, _, err := readControl(fs, "/data/control")
		if err != nil {
			t.Fatal(err)
		}
		if c.logs[len(c.logs)-1].bytes == end {
			return
		}
	}
}

func newestLog(s *Store) *watchedFile {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	return s.control.logs[s.control.record.logs[len(s.control.record.logs)-1].num]
}

// The control file's bytes are those of docs/formats.md.
func TestControlFormat(t *testing.T) {
	c := &control{
		version: controlVersion, sequence: 0x0102, id: [16]byte([]byte("identity of test")),
		at: time.Unix(0, 0x0304), phase: phaseRunning, boot: "boot", format: 24,
		manifest: extent{num: 11, bytes: 12, sum: 13},
		logs: []extent{
			{num: 21, bytes: 22, sum: 23, head: head{bytes: 5, sum: 6}, closed: true},
			{num: 31, reused: true},
		},
	}
	p := c.appendTo(nil)
	const text = "686f6c646374726c" + "02000000" + "9a000000" + "0201000000000000" + "6964656e74697479206f662074657374" +
		"0403000000000000" +
		"02" + "04" + "0000" + "18000000" + "0b00000000000000" + "0c00000000000000" + "0d000000" + "02000000" + "626f6f74" +
		"1500000000000000" + "1600000000000000" + "17000000" + "0500000000000000" + "06000000" + "01" +
		"1f00000000000000" + "0000000000000000" + "00000000" + "0000000000000000" + "00000000" + "02"
	if got := hex.EncodeToString(p[:len(p)-sumBytes]); got != text {
		t.Errorf("got  %s\nwant %s", got, text)
	}
	got, err := decodeControl(p)
	if err != nil || got.sequence != c.sequence || got.boot != c.boot || !slices.Equal(got.logs, c.logs) ||
		got.manifest != c.manifest {
		t.Errorf("got %+v, %v; want %+v", got, err, c)
	}
	for i := range p {
		p[i] ^= 0x10
		if got, err := decodeControl(p); err == nil {
			t.Errorf("byte %d changed: got %+v; want an error", i, got)
		}
		p[i] ^= 0x10
	}
	if _, err := decodeControl(p[:len(p)-1]); err == nil {
		t.Error("a copy that is cut: got no error")
	}
}
