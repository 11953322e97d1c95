//go:build unix

package cache

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// mapAnonymous maps zeroed memory, which the kernel allocates when it is first touched.
func mapAnonymous(n int64) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	adviseHuge(mem)
	return mem, nil
}

func mapFile(f *os.File, n int64) ([]byte, error) {
	return unix.Mmap(int(f.Fd()), 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

func unmap(mem []byte) error { return unix.Munmap(mem) }

// lockFile locks f, and fails if another process has mapped it as its memory.
func lockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// noFollow is the flag with which opening a symbolic link fails.
const noFollow = unix.O_NOFOLLOW

// owner returns the user that info's file belongs to, and whether it is not this process's user.
func owner(info os.FileInfo) (user uint32, others bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return stat.Uid, int(stat.Uid) != os.Geteuid()
}

// keepLock returns a duplicate of f, which keeps the lock after f is closed.
func keepLock(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// writeZeros appends zeros to f up to n bytes.
func writeZeros(f *os.File, n int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for at := info.Size(); at < n; {
		written, err := f.WriteAt(zeros[:min(int64(len(zeros)), n-at)], at)
		if err != nil {
			return err
		}
		at += int64(written)
	}
	return nil
}
