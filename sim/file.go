package sim

import (
	"errors"
	"io"
	"maps"
	"os"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A node is a file or a directory of a Disk, whose mu guards it.
type node struct {
	// Of a file.
	data     []byte
	writes   []write // since the last sync, oldest first
	modified time.Time

	// Of a directory.
	children map[string]*node // nil: it is a file
	steps    [][]change       // since the last sync, oldest first
	synced   map[string]*node // as of that sync; never changed
}

// A write is one that a crash may undo.
type write struct {
	at  int
	old []byte // what it replaced
	new int    // how many bytes it wrote
}

// A change is what one step makes of one name of a directory; nil: it is removed.
type change struct {
	name string
	node *node
}

func newDir() *node { return &node{children: map[string]*node{}} }

func (n *node) isDir() bool { return n.children != nil }

// step changes names of a directory, all at once.
func (n *node) step(changes ...change) {
	n.steps = append(n.steps, changes)
	apply(n.children, changes)
}

func apply(children map[string]*node, changes []change) {
	for _, c := range changes {
		if c.node == nil {
			delete(children, c.name)
		} else {
			children[c.name] = c.node
		}
	}
}

// put writes p at an offset. What is between the file's end and that is zeros.
func (n *node) put(p []byte, at int) {
	if gap := at - len(n.data); gap > 0 {
		n.put(make([]byte, gap), len(n.data))
	}
	over := min(len(n.data)-at, len(p))
	n.writes = append(n.writes, write{at: at, old: append([]byte(nil), n.data[at:at+over]...), new: len(p)})
	n.data = append(n.data, p[over:]...)
	copy(n.data[at:], p[:over])
	n.modified = time.Now()
}

// bytes returns how much a file, or all that is in a directory, takes.
func (n *node) bytes() (sum int64) {
	sum = int64(len(n.data))
	for _, child := range n.children {
		sum += child.bytes()
	}
	return sum
}

// A file is a node that is open. Its methods are those of a vfs.File.
type file struct {
	disk        *Disk
	node        *node
	path        string
	offset      int // guarded by disk.mu
	read, write bool
}

var _ vfs.File = (*file)(nil)

// Close implements vfs.File. A file may be used no more, but a process that is dead may do it.
func (f *file) Close() error { return nil }

// Read implements vfs.File.
func (f *file) Read(p []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	n, err := f.readAt(p, f.offset)
	f.offset += n
	if n > 0 {
		err = nil
	}
	return n, err
}

// ReadAt implements vfs.File.
func (f *file) ReadAt(p []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.readAt(p, int(at))
}

func (f *file) readAt(p []byte, at int) (int, error) {
	switch {
	case f.node.isDir():
		return 0, f.fault("read", syscall.EISDIR)
	case !f.read:
		return 0, f.fault("read", os.ErrPermission)
	case at >= len(f.node.data):
		return 0, io.EOF
	}
	n := copy(p, f.node.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Write implements vfs.File.
func (f *file) Write(p []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	n, err := f.writeAt(p, f.offset)
	f.offset += n
	return n, err
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(p []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.writeAt(p, int(at))
}

func (f *file) writeAt(p []byte, at int) (int, error) {
	if !f.write {
		return 0, f.fault("write", os.ErrPermission)
	}
	if grow := int64(at + len(p) - len(f.node.data)); f.disk.capacity > 0 && grow > 0 &&
		f.disk.root.bytes()+grow > f.disk.capacity {
		return 0, f.fault("write", syscall.ENOSPC)
	}
	f.node.put(p, at)
	return len(p), nil
}

// Sync implements vfs.File.
func (f *file) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	n := f.node
	if n.isDir() {
		n.synced, n.steps = maps.Clone(n.children), nil
		return nil
	}
	if syncing := f.disk.syncing; syncing != nil {
		f.disk.mu.Unlock()
		syncing(f.path)
		f.disk.mu.Lock()
	}
	n.writes = nil
	return nil
}

// SyncData implements vfs.File.
func (f *file) SyncData() error { return f.Sync() }

// SyncTo implements vfs.File. It promises nothing.
func (f *file) SyncTo(int64) (bool, error) { return false, nil }

// Preallocate implements vfs.File.
func (f *file) Preallocate(int64, int64) error { return errors.ErrUnsupported }

// Prefetch implements vfs.File.
func (f *file) Prefetch(int64, int64) error { return nil }

// Fd implements vfs.File.
func (f *file) Fd() uintptr { return vfs.InvalidFd }

// Stat implements vfs.File.
func (f *file) Stat() (vfs.FileInfo, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return &info{
		name: f.disk.PathBase(f.path), bytes: int64(len(f.node.data)), modified: f.node.modified, dir: f.node.isDir(),
	}, nil
}

func (f *file) fault(op string, err error) error {
	return &os.PathError{Op: op, Path: f.path, Err: err}
}

// An info is what Stat returns.
type info struct {
	name     string
	bytes    int64
	modified time.Time
	dir      bool
}

// Name implements os.FileInfo.
func (i *info) Name() string { return i.name }

// Size implements os.FileInfo.
func (i *info) Size() int64 { return i.bytes }

// Mode implements os.FileInfo.
func (i *info) Mode() os.FileMode {
	if i.dir {
		return os.ModeDir | 0o700
	}
	return 0o600
}

// ModTime implements os.FileInfo.
func (i *info) ModTime() time.Time { return i.modified }

// IsDir implements os.FileInfo.
func (i *info) IsDir() bool { return i.dir }

// Sys implements os.FileInfo.
func (i *info) Sys() any { return nil }

// DeviceID implements vfs.FileInfo.
func (i *info) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
