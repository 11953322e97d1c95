package cache

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// adviseHuge asks for pages of 2 MiB: a get of one item of millions costs two or three cache
// misses, and with 4-KiB pages as many TLB misses, too. If the kernel refuses, only speed is lost.
func adviseHuge(mem []byte) { _ = unix.Madvise(mem, unix.MADV_HUGEPAGE) }

// reserveFile makes f n bytes long, with all of them allocated by its file system.
func reserveFile(f *os.File, n int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, n)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return writeZeros(f, n)
	}
	return err
}
