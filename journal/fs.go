package journal

import "io"

// An FS is the directory with the files; names are relative to it.
type FS interface {
	// Open opens an existing file for reading and writing. Its error is fs.ErrNotExist if and only
	// if there is none.
	Open(name string) (File, error)
	// Create creates a file, or truncates an existing one.
	Create(name string) (File, error)
	Remove(name string) error
	// Sync makes creations and removals durable.
	Sync() error
	// Boot returns an ID that changes whenever writes that were not synced may have been lost; "" if
	// that is unknown.
	Boot() string
	Close() error
}

// A File is a file of an FS. It may be read and written concurrently.
type File interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}
