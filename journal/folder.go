package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockName is the file that the process which uses the folder has locked.
const lockName = "lock"

// folder is an FS on disk.
type folder struct {
	path string
	dir  *os.File
	lock *os.File
	boot string
}

// openFolder makes the folder if there is none, and takes it for this process.
func openFolder(path string) (*folder, error) {
	if err := makeFolder(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), lock.Close())
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &folder{path: path, dir: dir, lock: lock, boot: bootID()}, nil
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

func (f *folder) Open(name string) (File, error)   { return f.open(name, 0) }
func (f *folder) Create(name string) (File, error) { return f.open(name, os.O_CREATE|os.O_TRUNC) }
func (f *folder) Remove(name string) error         { return os.Remove(filepath.Join(f.path, name)) }
func (f *folder) Sync() error                      { return f.dir.Sync() }
func (f *folder) Boot() string                     { return f.boot }
func (f *folder) Close() error                     { return errors.Join(f.dir.Close(), f.lock.Close()) }

// diskFile is a File on disk.
type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
