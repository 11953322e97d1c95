package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFullDisk fills a file system that has 64 KiB beside the ledger.
func TestFullDisk(t *testing.T) {
	directory := t.TempDir()
	if err := syscall.Mount("tmpfs", directory, "tmpfs", 0, "size=612k"); err != nil {
		t.Skipf("cannot mount a file system: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(directory, 0); err != nil {
			t.Error(err)
		}
	}()
	first := open(t, quiet(directory))
	m, other := member(t, first, "m"), member(t, first, "other")
	for _, j := range []*Journal{m, other} {
		if err := j.Begin(); err != nil {
			t.Fatal(err)
		}
	}
	other.Add([]byte("k"))
	cut, why := m.Cut()
	for n := 0; !cut; n++ {
		m.Add(fmt.Appendf(nil, "key %d", n))
		cut, why = m.Cut()
	}
	if !strings.Contains(why, syscall.ENOSPC.Error()) {
		t.Errorf("cut because of %q", why)
	}
	// The cut journal has freed its space; fill that, too.
	err := os.WriteFile(filepath.Join(directory, "filler"), make([]byte, 1<<20), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v; want %v", err, syscall.ENOSPC)
	}
	third := member(t, first, "third")
	third.Add([]byte("k"))
	if err := third.Begin(); err != nil {
		t.Errorf("Begin on a full disk: got %v; want nil, since an empty file needs no space", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := open(t, quiet(directory))
	for _, name := range []string{"m", "third"} {
		if cut, _ := member(t, second, name).Cut(); !cut {
			t.Errorf("%s: not cut in the next process", name)
		}
	}
	wantKeys(t, member(t, second, "other"), "k")
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}
