package sim

import (
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A Disk is a file system in memory that can crash. Until it is synced, what was done to it is on its
// way only, and a crash loses some of that:
//
//   - of a file, its contents since its last sync: all, none, up to some byte of what was written, or
//     some of the sectors. Sectors that are missing within the file are zeros;
//   - of a directory, what was created, renamed and removed in it since its own last sync: from some
//     step on, or single ones. A rename happens as a whole or not at all.
//
// A crash leaves the Disk as it is and returns another one, so that the process that used it, and
// doesn't know that it is dead, can end in peace: nothing that it does from then on counts.
//
// All methods may be called concurrently. The order of concurrent calls, and that of maps, has no
// influence on what a crash leaves: it is decided at the crash, for each file from its path.
type Disk struct {
	mu       sync.Mutex // guards what follows, and all nodes
	root     *node
	locked   map[string]bool
	capacity int64             // in bytes; 0: no end
	free     int64             // bytes that GetDiskUsage reports; 0: those of capacity that are free
	syncing  func(path string) // nil, or called before each sync of a file, without mu
}

var _ vfs.FS = (*Disk)(nil)

// NewDisk returns a disk with nothing on it.
func NewDisk() *Disk { return &Disk{root: newDir(), locked: map[string]bool{}} }

// Limit gives the disk a size: what would write beyond it gets ENOSPC. 0 is no limit.
func (d *Disk) Limit(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = bytes
}

// plenty is more than any store needs.
const plenty = 1 << 40

// Report has GetDiskUsage report so many free bytes, whatever there are. What stores do because of that
// is the same in each run; how long Pebble's files are isn't.
func (d *Disk) Report(free int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = free
}

// OnSync has f called before each sync of a file, with its path. The file is synced when f returns.
func (d *Disk) OnSync(f func(path string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncing = f
}

// lookup returns the directory that a path is in, and its last part, which is "" for the root.
func (d *Disk) lookup(op, name string) (dir *node, base string, err error) {
	parts := strings.FieldsFunc(path.Clean("/"+name), func(r rune) bool { return r == '/' })
	if len(parts) == 0 {
		return d.root, "", nil
	}
	dir = d.root
	for _, part := range parts[:len(parts)-1] {
		if dir = dir.children[part]; dir == nil || !dir.isDir() {
			return nil, "", &os.PathError{Op: op, Path: name, Err: os.ErrNotExist}
		}
	}
	return dir, parts[len(parts)-1], nil
}

// find returns what is at a path.
func (d *Disk) find(op, name string) (*node, error) {
	dir, base, err := d.lookup(op, name)
	if err != nil || base == "" {
		return dir, err
	}
	if n := dir.children[base]; n != nil {
		return n, nil
	}
	return nil, &os.PathError{Op: op, Path: name, Err: os.ErrNotExist}
}

// Create implements vfs.FS.
func (d *Disk) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.create(name)
}

func (d *Disk) create(name string) (vfs.File, error) {
	dir, base, err := d.lookup("create", name)
	if err != nil {
		return nil, err
	}
	if n := dir.children[base]; base == "" || n != nil && n.isDir() {
		return nil, &os.PathError{Op: "create", Path: name, Err: syscall.EISDIR}
	}
	n := &node{}
	dir.step(change{base, n})
	return &file{disk: d, node: n, path: name, read: true, write: true}, nil
}

// Link implements vfs.FS.
func (d *Disk) Link(old, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find("link", old)
	if err != nil {
		return err
	}
	dir, base, err := d.lookup("link", name)
	if err != nil {
		return err
	}
	if dir.children[base] != nil {
		return &os.LinkError{Op: "link", Old: old, New: name, Err: os.ErrExist}
	}
	dir.step(change{base, n})
	return nil
}

// Open implements vfs.FS.
func (d *Disk) Open(name string, _ ...vfs.OpenOption) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find("open", name)
	if err != nil {
		return nil, err
	}
	return &file{disk: d, node: n, path: name, read: true}, nil
}

// OpenReadWrite implements vfs.FS.
func (d *Disk) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find("open", name)
	if errors.Is(err, os.ErrNotExist) {
		return d.create(name)
	}
	if err != nil {
		return nil, err
	}
	return &file{disk: d, node: n, path: name, read: true, write: true}, nil
}

// OpenDir implements vfs.FS.
func (d *Disk) OpenDir(name string) (vfs.File, error) { return d.Open(name) }

// Remove implements vfs.FS.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, base, err := d.lookup("remove", name)
	if err != nil {
		return err
	}
	n := dir.children[base]
	if n == nil {
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrNotExist}
	}
	if len(n.children) > 0 {
		return &os.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	dir.step(change{base, nil})
	return nil
}

// RemoveAll implements vfs.FS.
func (d *Disk) RemoveAll(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, base, err := d.lookup("remove", name)
	if err == nil && dir.children[base] != nil {
		dir.step(change{base, nil})
	}
	return nil // also if there is no such directory
}

// Rename implements vfs.FS.
func (d *Disk) Rename(old, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.rename(old, name)
	return err
}

func (d *Disk) rename(old, name string) (*node, error) {
	from, oldBase, err := d.lookup("rename", old)
	if err != nil {
		return nil, err
	}
	to, base, err := d.lookup("rename", name)
	if err != nil {
		return nil, err
	}
	n := from.children[oldBase]
	if n == nil {
		return nil, &os.PathError{Op: "rename", Path: old, Err: os.ErrNotExist}
	}
	if from == to {
		from.step(change{oldBase, nil}, change{base, n})
	} else {
		to.step(change{base, n})
		from.step(change{oldBase, nil})
	}
	return n, nil
}

// ReuseForWrite implements vfs.FS.
func (d *Disk) ReuseForWrite(old, name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.rename(old, name)
	if err != nil {
		return nil, err
	}
	return &file{disk: d, node: n, path: name, write: true}, nil
}

// MkdirAll implements vfs.FS.
func (d *Disk) MkdirAll(name string, _ os.FileMode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := d.root
	for _, part := range strings.FieldsFunc(path.Clean("/"+name), func(r rune) bool { return r == '/' }) {
		n := dir.children[part]
		if n == nil {
			n = newDir()
			dir.step(change{part, n})
		}
		if !n.isDir() {
			return &os.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
		}
		dir = n
	}
	return nil
}

// Lock implements vfs.FS.
func (d *Disk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked[name] {
		return nil, syscall.EAGAIN
	}
	if _, err := d.create(name); err != nil {
		return nil, err
	}
	d.locked[name] = true
	return &lock{d, name}, nil
}

// A lock is a file that is locked.
type lock struct {
	disk *Disk
	name string
}

// Close implements io.Closer.
func (l *lock) Close() error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	delete(l.disk.locked, l.name)
	return nil
}

// List implements vfs.FS. The names are sorted.
func (d *Disk) List(name string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find("list", name)
	if err != nil {
		return nil, err
	}
	if !n.isDir() {
		return nil, &os.PathError{Op: "list", Path: name, Err: syscall.ENOTDIR}
	}
	return slices.Sorted(maps.Keys(n.children)), nil
}

// Stat implements vfs.FS.
func (d *Disk) Stat(name string) (vfs.FileInfo, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	return f.Stat()
}

// PathBase implements vfs.FS.
func (*Disk) PathBase(name string) string { return path.Base(name) }

// PathJoin implements vfs.FS.
func (*Disk) PathJoin(parts ...string) string { return path.Join(parts...) }

// PathDir implements vfs.FS.
func (*Disk) PathDir(name string) string { return path.Dir(name) }

// GetDiskUsage implements vfs.FS.
func (d *Disk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.free > 0 {
		return vfs.DiskUsage{AvailBytes: uint64(d.free), TotalBytes: plenty}, nil
	}
	if d.capacity == 0 {
		return vfs.DiskUsage{}, vfs.ErrUnsupported
	}
	used := d.root.bytes()
	return vfs.DiskUsage{
		AvailBytes: uint64(max(0, d.capacity-used)), TotalBytes: uint64(d.capacity), UsedBytes: uint64(used),
	}, nil
}

// Unwrap implements vfs.FS.
func (*Disk) Unwrap() vfs.FS { return nil }
