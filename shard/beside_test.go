package shard

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A store is made beside the files that its owner names, and beside no others. Its identity is the
// same at each start.
func TestFilesBesideAStore(t *testing.T) {
	fs := vfs.NewMem()
	write := func(name string) {
		t.Helper()
		f, err := fs.Create(fs.PathJoin("/d", name), vfs.WriteCategoryUnspecified)
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := fs.MkdirAll("/d", 0o700); err != nil {
		t.Fatal(err)
	}
	write("ours")
	o := Options{Dir: "/d", FS: fs, unreserved: true}
	if HasTables(fs, "/d") {
		t.Error("got tables in a directory without any")
	}
	for _, beside := range [][]string{nil, {"theirs"}} {
		o.Beside = beside
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "it has ours in it") {
			t.Errorf("beside %q: got %v; want the file refused", beside, err)
		}
	}
	o.Beside = []string{"theirs", "ours"}
	// As after a start that was killed before it wrote anything.
	if err := fs.MkdirAll("/d/pebble", 0o700); err != nil {
		t.Fatal(err)
	}
	var first [16]byte
	for start := range 2 {
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if start == 0 {
			first = StoreID(s)
		}
		if got := StoreID(s); got != first || got == [16]byte{} {
			t.Errorf("start %d: got the identity %x; want %x", start, got, first)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		o.Beside = nil // only a directory that becomes a store's needs it
	}
	if !HasTables(fs, "/d") {
		t.Error("got no tables in a store's directory")
	}
}
