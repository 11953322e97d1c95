package journal

import "io"

// An FS is the directory that the files are in; names are within it.
type FS interface {
	// Open opens a file that is there, for reading and writing. Its error is fs.ErrNotExist if
	// there is none, and only then.
	Open(name string) (File, error)
	// Create opens a file that is empty, or is emptied.
	Create(name string) (File, error)
	Remove(name string) error
	// Sync makes durable which files there are.
	Sync() error
	// Boot changes whenever writes that were not synced may have been lost; "" where that can't
	// be told.
	Boot() string
	Close() error
}

// A File is one of an FS. It may be read while it is written to.
type File interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}
