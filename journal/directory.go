package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// lockName is the file that the process using the directory has locked.
const lockName = "lock"

// directory is an FS on disk. It may be removed while it is in use, by a person or with its volume:
//
//  1. The directory is removed or replaced by another. Open files stay usable.
//  2. A member goes down, and Create finds that the path is not the directory that was opened.
//  3. Create creates the directory if it is missing, locks it, calls gone, and creates the member's
//     journal in it.
//  4. The next process finds a directory that was used and has no ledger, and draws a new identity.
//     The members' marks have the old identity, so they are flushed. If the next process finds the
//     old directory instead, for example because its volume is back, it finds the ledger marked
//     incomplete, which gone has done.
type directory struct {
	path string
	boot string
	used bool               // there was a lock file
	gone func(remade error) // called after a removal, with the error of creating it again; nil until set

	mu   sync.Mutex // guards what follows
	dir  *os.File
	lock *os.File
	lost bool // gone was called, and the directory is still missing
}

// openDirectory creates the directory if it is missing, and locks it for this process.
func openDirectory(path string) (*directory, error) {
	if err := makeDirectory(path); err != nil {
		return nil, err
	}
	_, statErr := os.Stat(filepath.Join(path, lockName))
	f := &directory{path: path, boot: bootID(), used: statErr == nil}
	return f, f.take()
}

// take locks the directory, and opens it.
func (f *directory) take() error {
	lock, err := os.OpenFile(filepath.Join(f.path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return errors.Join(fmt.Errorf("%s: %w", f.path, err), lock.Close())
	}
	dir, err := os.Open(f.path)
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	f.lock, f.dir = lock, dir
	return nil
}

// ensure creates the directory again if it was removed.
func (f *directory) ensure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	was, err := f.dir.Stat()
	if err != nil {
		return err
	}
	if is, err := os.Stat(f.path); err == nil && os.SameFile(was, is) {
		return nil
	}
	err = f.remake()
	if !f.lost || err == nil {
		f.gone(err)
	}
	f.lost = err != nil
	return err
}

// remake creates, opens and locks the directory again. It needs mu.
func (f *directory) remake() error {
	if err := makeDirectory(f.path); err != nil {
		return err
	}
	dir, lock := f.dir, f.lock
	if err := f.take(); err != nil {
		return err
	}
	return errors.Join(f.dir.Sync(), dir.Close(), lock.Close())
}

// makeDirectory creates the directory and its missing parents, durably.
func makeDirectory(path string) error {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
		}
		return nil
	}
	above := filepath.Dir(path)
	if above != path {
		if err := makeDirectory(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(above)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (f *directory) open(name string, flags int) (File, error) {
	file, err := os.OpenFile(filepath.Join(f.path, name), os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{file}, nil
}

func (f *directory) Open(name string) (File, error) { return f.open(name, 0) }
func (f *directory) Remove(name string) error       { return os.Remove(filepath.Join(f.path, name)) }
func (f *directory) Boot() string                   { return f.boot }

func (f *directory) Create(name string) (File, error) {
	if err := f.ensure(); err != nil {
		return nil, err
	}
	return f.open(name, os.O_CREATE|os.O_TRUNC)
}

func (f *directory) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dir.Sync()
}

func (f *directory) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.dir.Close(), f.lock.Close())
}

// Used reports whether an earlier process used the directory.
func (f *directory) Used() bool { return f.used }

// Map implements mapper. It writes zeros where the file grows, so that a full disk is an error here
// and not a memory fault later.
func (f *directory) Map(name string, size int64) (mem []byte, was int64, err error) {
	path := filepath.Join(f.path, name)
	was = -1
	if info, err := os.Stat(path); err == nil {
		was = info.Size()
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	if grown := size - max(was, 0); grown > 0 {
		if _, err := file.WriteAt(make([]byte, grown), max(was, 0)); err != nil {
			return nil, 0, err
		}
		if err := file.Sync(); err != nil {
			return nil, 0, err
		}
	}
	mem, err = unix.Mmap(int(file.Fd()), 0, int(max(size, was)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return mem, was, err
}

func (f *directory) SyncMap(mem []byte) error { return unix.Msync(mem, unix.MS_SYNC) }
func (f *directory) Unmap(mem []byte) error   { return unix.Munmap(mem) }

// diskFile is a File on disk.
type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
