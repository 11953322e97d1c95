package shard

import "github.com/cockroachdb/pebble/v2/vfs"

// pieceBytes is how many bytes of a table go to the disk's file system at once.
const pieceBytes = 128 << 10

// A piecedFile is a sorted table or a blob file that is being written, from its beginning to its end
// and by one goroutine at a time. Pebble writes each block by itself, which is 8 KiB of a sorted
// table: a call of the system for each, and of most pages a part only, which the file system
// first fills with zeros. A piecedFile gathers what is written, and passes it on in pieces of whole
// pages. An error comes with a later call than the write that it is of, but with Close at the latest.
type piecedFile struct {
	vfs.File
	piece   []byte // that isn't written yet
	written int64  // bytes before that
}

func newPiecedFile(f vfs.File) *piecedFile {
	return &piecedFile{File: f, piece: make([]byte, 0, pieceBytes)}
}

// Write implements vfs.File.
func (f *piecedFile) Write(p []byte) (n int, err error) {
	for n < len(p) {
		more := min(len(p)-n, cap(f.piece)-len(f.piece))
		f.piece = append(f.piece, p[n:n+more]...)
		n += more
		if len(f.piece) == cap(f.piece) {
			if err := f.pass(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// pass writes what was gathered. What couldn't be written is given up.
func (f *piecedFile) pass() error {
	if len(f.piece) == 0 {
		return nil
	}
	n, err := f.File.Write(f.piece)
	f.written, f.piece = f.written+int64(n), f.piece[:0]
	return err
}

// Sync implements vfs.File.
func (f *piecedFile) Sync() error {
	if err := f.pass(); err != nil {
		return err
	}
	return f.File.Sync()
}

// SyncData implements vfs.File.
func (f *piecedFile) SyncData() error {
	if err := f.pass(); err != nil {
		return err
	}
	return f.File.SyncData()
}

// SyncTo implements vfs.File. Pebble has the system begin to write what is a megabyte behind, which
// mustn't make pieces smaller.
func (f *piecedFile) SyncTo(length int64) (full bool, err error) {
	if length > f.written {
		if err := f.pass(); err != nil {
			return false, err
		}
	}
	return f.File.SyncTo(length)
}

// Close implements vfs.File.
func (f *piecedFile) Close() error {
	err := f.pass()
	if closeErr := f.File.Close(); err == nil {
		err = closeErr
	}
	return err
}
