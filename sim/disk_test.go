package sim

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// contents returns all files of a disk by path. Directories end in a slash.
func contents(d *Disk) map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]string{}
	var walk func(name string, n *node)
	walk = func(name string, n *node) {
		if !n.isDir() {
			all[name] = string(n.data)
			return
		}
		all[name+"/"] = ""
		for base, child := range n.children {
			walk(name+"/"+base, child)
		}
	}
	walk("", d.root)
	return all
}

func create(t *testing.T, d *Disk, name string) vfs.File {
	t.Helper()
	f, err := d.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func writeTo(t *testing.T, f vfs.File, text string) {
	t.Helper()
	_, err := f.Write([]byte(text))
	must(t, err)
}

func syncDir(t *testing.T, d *Disk, name string) {
	t.Helper()
	dir, err := d.OpenDir(name)
	must(t, err)
	must(t, dir.Sync())
}

// outcomes returns what a thousand crashes leave, each once.
func outcomes(d *Disk) []string {
	seen := map[string]bool{}
	for seed := range uint64(1000) {
		seen[fmt.Sprint(contents(d.Crash(seed)))] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// Each step of a file that isn't synced may be lost, and nothing else can come of it.
func TestWhatACrashLeaves(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, d *Disk)
		want []string
	}{
		{"nothing is synced", func(t *testing.T, d *Disk) { writeTo(t, create(t, d, "a"), "x") },
			[]string{"map[/:]", "map[/: /a:]", "map[/: /a:x]"}},
		{"only the file is", func(t *testing.T, d *Disk) {
			f := create(t, d, "a")
			writeTo(t, f, "x")
			must(t, f.Sync())
		}, []string{"map[/:]", "map[/: /a:x]"}},
		{"only the directory is", func(t *testing.T, d *Disk) {
			writeTo(t, create(t, d, "a"), "x")
			syncDir(t, d, "/")
		}, []string{"map[/: /a:]", "map[/: /a:x]"}},
		{"a torn write", func(t *testing.T, d *Disk) {
			f := create(t, d, "a")
			syncDir(t, d, "/")
			writeTo(t, f, "12")
			must(t, f.Sync())
			writeTo(t, f, "34")
		}, []string{"map[/: /a:12]", "map[/: /a:123]", "map[/: /a:1234]"}},
		{"a torn overwrite", func(t *testing.T, d *Disk) {
			f := create(t, d, "a")
			syncDir(t, d, "/")
			writeTo(t, f, "12")
			must(t, f.Sync())
			_, err := f.WriteAt([]byte("abc"), 0)
			must(t, err)
		}, []string{"map[/: /a:12]", "map[/: /a:a2]", "map[/: /a:ab]", "map[/: /a:abc]"}},
		{"a rename", func(t *testing.T, d *Disk) {
			f := create(t, d, "a")
			writeTo(t, f, "x")
			must(t, f.Sync())
			syncDir(t, d, "/")
			must(t, d.Rename("a", "b"))
		}, []string{"map[/: /a:x]", "map[/: /b:x]"}},
		{"two removals", func(t *testing.T, d *Disk) {
			create(t, d, "a")
			create(t, d, "b")
			syncDir(t, d, "/")
			must(t, d.Remove("a"), d.Remove("b"))
		}, []string{"map[/:]", "map[/: /a:]", "map[/: /a: /b:]", "map[/: /b:]"}},
		{"a directory that isn't in its parent", func(t *testing.T, d *Disk) {
			must(t, d.MkdirAll("a", 0o700))
			create(t, d, "a/b")
			syncDir(t, d, "a")
		}, []string{"map[/:]", "map[/: /a/: /a/b:]"}},
		{"all is synced", func(t *testing.T, d *Disk) {
			f := create(t, d, "a")
			writeTo(t, f, "x")
			must(t, f.Sync())
			syncDir(t, d, "/")
		}, []string{"map[/: /a:x]"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := NewDisk()
			test.do(t, d)
			slices.Sort(test.want)
			if got := outcomes(d); !slices.Equal(got, test.want) {
				t.Errorf("got %q; want %q", got, test.want)
			}
		})
	}
}

// Random writes: before undoes them all, written has each of them, and a sector that is left has what
// was written last, whether it is in the middle or torn off at the end.
func TestWritesAreUndone(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		n := &node{}
		random := func(bytes int) []byte {
			p := make([]byte, bytes)
			for i := range p {
				p[i] = byte('a' + rng.IntN(26))
			}
			return p
		}
		n.put(random(rng.IntN(2000)), 0)
		n.writes = nil
		synced, history := bytes.Clone(n.data), [][]byte(nil)
		for range rng.IntN(8) {
			p := random(rng.IntN(1500))
			n.put(p, rng.IntN(len(n.data)+700))
			history = append(history, p)
		}
		if got := n.before(); !bytes.Equal(got, synced) {
			t.Fatalf("seed %d: got %q before; want %q", seed, got, synced)
		}
		for i, w := range n.writes {
			if got := n.written(i); len(history) > 0 && bytes.Equal(history[0], got) {
				history = history[1:]
			} else if strings.Trim(string(got), "\x00") != "" {
				t.Fatalf("seed %d: got write %d at %d as %q; want it as it was written", seed, i, w.at, got)
			}
		}
		if len(history) > 0 {
			t.Fatalf("seed %d: %d writes weren't found", seed, len(history))
		}
		for i, b := range n.survives(rng) {
			if (i >= len(synced) || b != synced[i]) && b != 0 && b != n.data[i] && !everWritten(n, i, b) {
				t.Fatalf("seed %d: got %q at %d; want what was there or was written", seed, b, i)
			}
		}
	}
}

func everWritten(n *node, at int, b byte) bool {
	for i, w := range n.writes {
		if at >= w.at && at < w.at+w.new && n.written(i)[at-w.at] == b {
			return true
		}
	}
	return false
}

// What a crash leaves depends on the seed, and not on the order in which goroutines wrote.
func TestCrashIsDeterministic(t *testing.T) {
	run := func() *Disk {
		d := NewDisk()
		must(t, d.MkdirAll("/data", 0o700))
		syncDir(t, d, "/")
		var files []vfs.File
		for i := range 20 {
			files = append(files, create(t, d, fmt.Sprintf("/data/%d", i)))
		}
		syncDir(t, d, "/data")
		var writers sync.WaitGroup
		for i, f := range files {
			writers.Go(func() {
				for j := range 10 {
					if _, err := f.Write(bytes.Repeat([]byte{byte('a' + j)}, 100*(i+1))); err != nil {
						t.Error(err)
					}
					if j == i%10 {
						if err := f.Sync(); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		writers.Wait()
		return d
	}
	a, b := run(), run()
	for seed := range uint64(20) {
		if one, two := contents(a.Crash(seed)), contents(b.Crash(seed)); !maps.Equal(one, two) {
			t.Fatalf("seed %d: got two outcomes", seed)
		}
	}
	if one, two := contents(a.Crash(1)), contents(a.Crash(2)); maps.Equal(one, two) {
		t.Error("got one outcome of two seeds")
	}
	before, after := contents(a), contents(a.Crash(1))
	if maps.Equal(before, after) || !maps.Equal(before, contents(b)) {
		t.Error("a crash must lose something, and leave the disk itself as it was")
	}
}

func TestFullDiskSaysSo(t *testing.T) {
	d := NewDisk()
	d.Limit(10)
	f := create(t, d, "a")
	writeTo(t, f, "12345678")
	if _, err := f.Write([]byte("abc")); !errors.Is(err, syscall.ENOSPC) || !vfs.IsNoSpaceError(err) {
		t.Errorf("got %v; want ENOSPC", err)
	}
	if _, err := f.WriteAt([]byte("abc"), 0); err != nil {
		t.Errorf("got %v; want space for what is there already", err)
	}
	if usage, err := d.GetDiskUsage("/"); err != nil || usage.AvailBytes != 2 {
		t.Errorf("got %+v, %v; want 2 bytes free", usage, err)
	}
	must(t, d.Remove("a"))
	writeTo(t, create(t, d, "b"), "1234567890")
}

// A file isn't synced before the stall ends, and other calls go on meanwhile.
func TestStalledSync(t *testing.T) {
	d := NewDisk()
	began, end := make(chan string), make(chan struct{})
	d.OnSync(func(name string) {
		began <- name
		<-end
	})
	f := create(t, d, "a")
	syncDir(t, d, "/")
	writeTo(t, f, "x")
	done := make(chan error)
	go func() { done <- f.SyncData() }()
	if name := <-began; name != "a" {
		t.Errorf("got a sync of %q; want a", name)
	}
	if got := outcomes(d); len(got) != 2 {
		t.Errorf("got %q; want that what is being synced may be lost", got)
	}
	close(end)
	must(t, <-done)
	if got := outcomes(d); len(got) != 1 {
		t.Errorf("got %q; want it synced", got)
	}
}
