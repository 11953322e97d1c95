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

// lockName is the file that the process which uses the folder has locked.
const lockName = "lock"

// folder is an FS on disk. It may be removed while it is in use, by a hand or by a volume that goes away:
//
//  1. The folder is removed, or another is put in its place. The files that are open stay usable.
//  2. A member goes down, and Create finds that the folder is not the one that was opened.
//  3. It is made again if need be, and locked. gone is called, and the journal is made in it.
//  4. The next process finds a folder that was used and has no ledger, and draws a new identity: what the
//     members are marked with isn't that, and they are flushed. If it finds the old folder instead, as on
//     a volume that is back, then gone has noted there that the ledger doesn't tell all.
type folder struct {
	path string
	boot string
	used bool               // there was a lock file
	gone func(remade error) // the folder was removed, and was made again or not; nil until it is set

	mu   sync.Mutex // guards what follows
	dir  *os.File
	lock *os.File
	lost bool // gone was called, and the folder is not there
}

// openFolder makes the folder if there is none, and takes it for this process.
func openFolder(path string) (*folder, error) {
	if err := makeFolder(path); err != nil {
		return nil, err
	}
	_, statErr := os.Stat(filepath.Join(path, lockName))
	f := &folder{path: path, boot: bootID(), used: statErr == nil}
	return f, f.take()
}

// take locks the folder, and opens it.
func (f *folder) take() error {
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

// ensure has the folder be there: if it was removed, it is made again.
func (f *folder) ensure() error {
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

// remake needs mu.
func (f *folder) remake() error {
	if err := makeFolder(f.path); err != nil {
		return err
	}
	dir, lock := f.dir, f.lock
	if err := f.take(); err != nil {
		return err
	}
	return errors.Join(f.dir.Sync(), dir.Close(), lock.Close())
}

// makeFolder makes the folder, and those above that are missing, durably.
func makeFolder(path string) error {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
		}
		return nil
	}
	above := filepath.Dir(path)
	if above != path {
		if err := makeFolder(above); err != nil {
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

func (f *folder) open(name string, flags int) (File, error) {
	file, err := os.OpenFile(filepath.Join(f.path, name), os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{file}, nil
}

func (f *folder) Open(name string) (File, error) { return f.open(name, 0) }
func (f *folder) Remove(name string) error       { return os.Remove(filepath.Join(f.path, name)) }
func (f *folder) Boot() string                   { return f.boot }

func (f *folder) Create(name string) (File, error) {
	if err := f.ensure(); err != nil {
		return nil, err
	}
	return f.open(name, os.O_CREATE|os.O_TRUNC)
}

func (f *folder) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dir.Sync()
}

func (f *folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.dir.Close(), f.lock.Close())
}

// Used reports whether an earlier process had the folder.
func (f *folder) Used() bool { return f.used }

// Map is a mapper's. It writes zeros where the file grows, so that a full disk is an error here, and not
// a fault of the memory later.
func (f *folder) Map(name string, size int64) (mem []byte, was int64, err error) {
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

func (f *folder) SyncMap(mem []byte) error { return unix.Msync(mem, unix.MS_SYNC) }
func (f *folder) Unmap(mem []byte) error   { return unix.Munmap(mem) }

// diskFile is a File on disk.
type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
