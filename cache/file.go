package cache

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/zeebo/xxh3"
)

// This file maps the memory file and decides whether its items can be used. It runs in Open, before
// anything else uses the mapping, and in Close, after everything else; only CheckFile and
// explainFault may run concurrently with requests.

// openFile maps o.File. Its contents are kept if the header agrees with s, it was stopped cleanly
// and it is not damaged; otherwise the file is emptied.
func (a *arena) openFile(o Options, s shape) (warm bool, cold string, err error) {
	f, info, err := openOwn(o.File)
	if err != nil {
		return false, "", err
	}
	defer f.Close() // the mapping keeps the file
	if err := lockFile(f); err != nil {
		return false, "", fmt.Errorf("%s is in use: %w", o.File, err)
	}
	cold = "" // a new file
	if info.Size() > 0 {
		cold = fmt.Sprintf("it has %d bytes, and this cache's memory %d", info.Size(), s.memoryBytes)
	}
	if err := ours(f, info.Size()); err != nil {
		return false, "", err
	}
	if info.Size() != s.memoryBytes {
		// Truncate to 0 first, so that old bytes are not mistaken for ours.
		if err := f.Truncate(0); err != nil {
			return false, "", err
		}
	}
	// Allocate all of it now: if the file system fills up later, touching the mapping raises SIGBUS.
	if err := reserveFile(f, s.memoryBytes); err != nil {
		f.Truncate(0) // free what was allocated; the first error is the one to report
		return false, "", fmt.Errorf("%s needs %d bytes: %w", o.File, s.memoryBytes, err)
	}
	lock, err := keepLock(f)
	if err != nil {
		return false, "", err
	}
	mem, err := mapFile(f, s.memoryBytes)
	if err != nil {
		lock.Close()
		return false, "", err
	}
	a.lay(mem, s)
	a.file = lock
	a.unmap = func() error {
		err := unmap(mem)
		lock.Close() // only now may another process use the file
		return err
	}
	if info.Size() == s.memoryBytes {
		cold = a.head.check(o, s)
		if cold == "" && !a.intact() {
			cold = "it is damaged: it differs from what the last stop wrote"
		}
		return cold == "", cold, nil
	}
	return false, cold, nil
}

// openOwn opens or creates the file at path, accessible only to this user. The path is often in a
// directory that all users share, such as /dev/shm. Another user may have put a link there, so that
// this process would overwrite another file, or a file of their own, with items that they chose.
func openOwn(path string) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		if info, failed := os.Lstat(path); failed == nil && info.Mode()&os.ModeSymlink != 0 {
			err = fmt.Errorf("%s is a symbolic link, which is not followed: name the file itself", path)
		}
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = own(path, info)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// own refuses what is not a regular file, and a file that another user may change.
func own(path string, info os.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	if user, others := owner(info); others {
		return fmt.Errorf("%s belongs to user %d, and this process runs as user %d", path, user, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%s has the mode %04o: other users could change it; chmod go-w it, or remove it", path, mode)
	}
	return nil
}

// ours refuses a file that is not a memory file, so that it is not destroyed. A start that did not
// finish leaves a file of zeros.
func ours(f *os.File, size int64) error {
	var magic [8]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil && err != io.EOF {
		return err
	}
	if size > 0 && magic != headerMagic && magic != [8]byte{} {
		return fmt.Errorf("%s is not a memory file; it is left unchanged", f.Name())
	}
	return nil
}

// check returns the reason why the items of a mapped file can't be used, or "".
func (h *header) check(o Options, s shape) string {
	switch {
	case h.magic != headerMagic:
		return "its first start did not finish"
	case h.version != formatVersion || h.headerBytes != uint32(unsafe.Sizeof(header{})):
		return fmt.Sprintf("its format is version %d (%d) and this program's is %d (%d)",
			h.version, h.headerBytes, formatVersion, unsafe.Sizeof(header{}))
	case h.memoryBytes != uint64(s.memoryBytes) || h.segmentBytes != uint64(s.segmentBytes):
		return fmt.Sprintf("it is for %d bytes of memory, and this cache has %d", h.memoryBytes, s.memoryBytes)
	case o.Seed != 0 && h.seed != o.Seed:
		return "its hash seed differs"
	case h.clean != 1:
		return "it was not stopped cleanly"
	}
	return ""
}

// markClean marks the mapping as left by a clean stop.
func (a *arena) markClean() {
	if a.file != nil {
		a.head.sum = a.sum()
	}
	a.head.clean = 1
}

// intact reports whether the mapping is, to the byte, as markClean left it. Damage since then, by
// another program, a disk, or an incomplete copy, changes the sum; so a file with the right sum
// needs no other checks, neither of the header's fields nor of its lists.
func (a *arena) intact() bool {
	a.head.clean = 0
	return a.head.sum == a.sum()
}

// sumBytes is the size of the parts of the mapping that are summed separately.
const sumBytes = 4 << 20

// sum returns the xxh3 of the xxh3s of the mapping's parts of sumBytes, with 0 for clean and sum in
// the header. It uses all processors, since each start and stop reads all of the memory.
func (a *arena) sum() uint64 {
	clean, sum := a.head.clean, a.head.sum
	a.head.clean, a.head.sum = 0, 0
	defer func() { a.head.clean, a.head.sum = clean, sum }()
	parts := make([]byte, 8*((len(a.mem)+sumBytes-1)/sumBytes))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i*8 >= len(parts) {
					return
				}
				part := a.mem[i*sumBytes : min(len(a.mem), (i+1)*sumBytes)]
				binary.LittleEndian.PutUint64(parts[i*8:], xxh3.Hash(part))
			}
		})
	}
	workers.Wait()
	return xxh3.Hash(parts)
}

// CheckFile returns an error if the memory file was truncated. Touching the mapping beyond the
// file's end is a fault that ends the process, so such a store can only be closed.
func (s *Store) CheckFile() error {
	if s.file == nil {
		return nil
	}
	info, err := s.file.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("cache: memory file: %w", err)
	case info.Size() < int64(len(s.mem)):
		return fmt.Errorf("cache: memory file %s: another program truncated it from %d bytes to %d while it was in use",
			s.file.Name(), len(s.mem), info.Size())
	}
	return nil
}

// explainFault is deferred by the functions that touch the mapping. It turns a memory fault into a
// panic that names its cause. The process can't go on: locks may be held at the fault.
func (s *Store) explainFault() {
	fault := recover()
	if fault == nil {
		return
	}
	if err := s.CheckFile(); err != nil {
		panic(err)
	}
	panic(fault)
}
