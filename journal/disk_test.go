package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"sync"
)

var (
	errDead = errors.New("the process is dead")
	errFull = errors.New("no space left on device")
)

// A disk is a directory whose losses the tests control: it has files as processes see them, and
// what of that is durable.
type disk struct {
	mu     sync.Mutex // guards what follows, the inodes too
	now    map[string]*inode
	synced map[string]*inode
	boot   int

	ops   int                         // so far
	fault func(op int, f *fate) error // asked before each change; nil is none
}

type inode struct {
	now, synced []byte
	durable     bool // has ever been synced
}

// fate is the outcome of a change.
type fate struct {
	kind  string // create, write, truncate, sync, remove
	bytes int    // how many of a write arrive
	grows bool   // the file
	dies  bool   // the process, after it
}

func newDisk() *disk {
	return &disk{now: make(map[string]*inode), synced: make(map[string]*inode)}
}

// A process is an FS: one process's view of the disk.
type process struct {
	*disk
	dead bool
}

func (d *disk) process() *process { return &process{disk: d} }

// change counts a change, does it, and kills the process if that is its fate. It needs mu.
func (p *process) change(f fate, do func(n int)) error {
	if p.dead {
		return errDead
	}
	p.ops++
	var err error
	if p.fault != nil {
		err = p.fault(p.ops, &f)
	}
	if err == nil || f.kind == "write" {
		do(f.bytes)
	}
	if f.dies {
		p.dead = true
		return errDead
	}
	return err
}

func (p *process) Open(name string) (File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now[name] == nil {
		return nil, fs.ErrNotExist
	}
	return &file{p, p.now[name]}, nil
}

func (p *process) Create(name string) (File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.change(fate{kind: "create"}, func(int) {
		if p.now[name] == nil {
			p.now[name] = &inode{}
		}
		p.now[name].now = nil
	})
	if err != nil {
		return nil, err
	}
	return &file{p, p.now[name]}, nil
}

func (p *process) Remove(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.change(fate{kind: "remove"}, func(int) { delete(p.now, name) })
}

func (p *process) Sync() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.change(fate{kind: "sync"}, func(int) {
		clear(p.synced)
		for name, i := range p.now {
			p.synced[name] = i
		}
	})
}

func (p *process) Boot() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprint("boot ", p.boot)
}

func (p *process) Close() error { return nil }

type file struct {
	p *process
	i *inode
}

func (f *file) ReadAt(b []byte, at int64) (int, error) {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	n := copy(b, f.i.now[min(at, int64(len(f.i.now))):])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, at int64) (int, error) {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	end := at + int64(len(b))
	written := len(b)
	err := f.p.change(fate{kind: "write", bytes: len(b), grows: end > int64(len(f.i.now))}, func(n int) {
		written = n
		if short := at + int64(n) - int64(len(f.i.now)); short > 0 {
			f.i.now = append(f.i.now, make([]byte, short)...)
		}
		copy(f.i.now[at:], b[:n])
	})
	return written, err
}

func (f *file) Truncate(size int64) error {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	return f.p.change(fate{kind: "truncate"}, func(int) { f.i.now = f.i.now[:min(size, int64(len(f.i.now)))] })
}

func (f *file) Sync() error {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	return f.p.change(fate{kind: "sync"}, func(int) { f.i.synced, f.i.durable = bytes.Clone(f.i.now), true })
}

func (f *file) Size() (int64, error) {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	return int64(len(f.i.now)), nil
}

func (f *file) Close() error { return nil }

// losePower leaves each file, and the directory, as last synced, as last written, or a mix of both.
// A file that was never synced may be gone even if its name was.
func (d *disk) losePower(r *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.boot++
	survivors := make(map[string]*inode)
	for _, names := range []map[string]*inode{d.synced, d.now} {
		for name := range names {
			i := d.now[name]
			if r.IntN(2) == 0 {
				i = d.synced[name]
			}
			if i != nil && (i.durable || r.IntN(2) == 0) {
				survivors[name] = i
			}
		}
	}
	for _, i := range survivors {
		switch r.IntN(4) {
		case 0:
			i.now = i.synced
		case 1:
			i.now = i.now[:r.IntN(len(i.now)+1)]
		case 2:
			from := r.IntN(len(i.now) + 1)
			clear(i.now[from:])
		}
		i.now = bytes.Clone(i.now)
		i.synced, i.durable = bytes.Clone(i.now), true
	}
	d.now, d.synced = survivors, make(map[string]*inode)
	for name, i := range survivors {
		d.synced[name] = i
	}
}
