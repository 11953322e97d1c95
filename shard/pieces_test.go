package shard

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A writesFS notes the lengths of the writes to each table.
type writesFS struct {
	vfs.FS
	mu     sync.Mutex // guards writes
	writes map[string][]int
}

// Create implements vfs.FS.
func (w *writesFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.Create(name, category)
	if err != nil || !isSorted(name) && !isBlob(name) {
		return f, err
	}
	return &notedFile{f, w, name}, nil
}

type notedFile struct {
	vfs.File
	fs   *writesFS
	name string
}

// Write implements vfs.File.
func (f *notedFile) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	f.fs.writes[f.name] = append(f.fs.writes[f.name], len(p))
	f.fs.mu.Unlock()
	return f.File.Write(p)
}

// Tables and blob files are written in pieces of whole pages, however small their blocks are.
func TestTablesAreWrittenInPieces(t *testing.T) {
	fs := &writesFS{FS: vfs.NewMem(), writes: map[string][]int{}}
	s := openStore(t, memOptions(fs))
	sh := openShard(t, s, 1)
	for n := range 400 {
		commitAll(t, s, put(t, sh, version("a", n, 4000)), put(t, sh, thing("b", n, "v", noise(n, 1000))))
	}
	if err := s.engine.db.Flush(); err != nil {
		t.Fatal(err)
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	long := map[bool]int{} // files of more than one piece; key: it is a blob file
	for name, writes := range fs.writes {
		for _, n := range writes[:len(writes)-1] {
			if n != pieceBytes {
				t.Errorf("%s: got a write of %d bytes before the last; want %d", name, n, pieceBytes)
			}
		}
		if len(writes) > 1 {
			long[isBlob(name)]++
		}
	}
	if long[false] == 0 || long[true] == 0 {
		t.Errorf("got %d tables and %d blob files of more than a piece; want one at least", long[false], long[true])
	}
}

// Whatever is written to a file, and whenever it is synced, is in it in order, and synced when that is
// asked for.
func TestPiecedFile(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	for range 50 {
		fs := vfs.NewCrashableMem()
		under, err := fs.Create("/f", vfs.WriteCategoryUnspecified)
		if err == nil {
			err = syncDir(fs, "/")
		}
		if err != nil {
			t.Fatal(err)
		}
		f := newPiecedFile(under)
		var want, durable []byte
		for range 20 {
			switch rng.IntN(6) {
			case 0:
				err = f.SyncData()
				durable = slices.Clone(want)
			case 1:
				err = f.Sync()
				durable = slices.Clone(want)
			case 2:
				_, err = f.SyncTo(int64(rng.IntN(len(want) + 1)))
			default:
				p := []byte(noise(rng.Int(), rng.IntN(3*pieceBytes/2)))
				var n int
				if n, err = f.Write(p); n != len(p) {
					t.Fatalf("got %d bytes written; want %d", n, len(p))
				}
				want = append(want, p...)
			}
			if err != nil {
				t.Fatal(err)
			}
			crashed := fs.CrashClone(vfs.CrashCloneCfg{})
			if got := wholeFile(t, crashed); !bytes.HasPrefix(got, durable) {
				t.Fatalf("got %d bytes after a crash; want the %d that were synced", len(got), len(durable))
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got := wholeFile(t, fs); !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes; want %d others", len(got), len(want))
		}
	}
}

// wholeFile returns what is in a file; nothing if it isn't there.
func wholeFile(t *testing.T, fs vfs.FS) []byte {
	t.Helper()
	info, err := fs.Stat("/f")
	if err != nil || info.Size() == 0 {
		return nil
	}
	f, err := fs.Open("/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// The error of a piece comes with the call that writes it, be that a sync or the end.
func TestPieceNotWritten(t *testing.T) {
	full := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	}))
	for name, call := range map[string]func(f *piecedFile) error{
		"Write":    func(f *piecedFile) error { _, err := f.Write(make([]byte, pieceBytes)); return err },
		"Sync":     (*piecedFile).Sync,
		"SyncData": (*piecedFile).SyncData,
		"SyncTo":   func(f *piecedFile) error { _, err := f.SyncTo(1); return err },
		"Close":    (*piecedFile).Close,
	} {
		under, err := full.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		f := newPiecedFile(under)
		if _, err := f.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := call(f); err == nil {
			t.Errorf("%s: got no error; want that of the disk", name)
		}
	}
}

// A SyncTo of what was passed on leaves the piece that is being gathered as it is.
func TestSyncToCutsNoPiece(t *testing.T) {
	fs := &writesFS{FS: vfs.NewMem(), writes: map[string][]int{}}
	under, err := fs.Create("f"+tableSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	f := newPiecedFile(under)
	for range 4 {
		if _, err := f.Write(make([]byte, pieceBytes*3/4)); err != nil {
			t.Fatal(err)
		}
		if _, err := f.SyncTo(f.written); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := fs.writes["f"+tableSuffix], []int{pieceBytes, pieceBytes, pieceBytes}; !slices.Equal(got, want) {
		t.Errorf("got writes of %d bytes; want %d", got, want)
	}
}
