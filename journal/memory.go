package journal

import (
	"io"
	"io/fs"
	"sync"
)

// chunkBytes is the step in which a file in memory grows, without moving its contents.
const chunkBytes = 64 << 10

// memory is an FS in memory, lost with the process.
type memory struct {
	mu    sync.Mutex // guards files
	files map[string]*memoryFile
}

func newMemory() *memory { return &memory{files: make(map[string]*memoryFile)} }

func (m *memory) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.files[name]; f != nil {
		return f, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (m *memory) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := &memoryFile{}
	m.files[name] = f
	return f, nil
}

func (m *memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, name)
	return nil
}

func (m *memory) Sync() error  { return nil }
func (m *memory) Boot() string { return "memory" }
func (m *memory) Close() error { return nil }

// memoryFile is a File of chunks, all of them chunkBytes long.
type memoryFile struct {
	mu     sync.RWMutex // guards what follows
	chunks [][]byte
	size   int64
}

func (f *memoryFile) ReadAt(p []byte, at int64) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n := 0
	for n < len(p) && at < f.size {
		chunk := f.chunks[at/chunkBytes]
		from := at % chunkBytes
		copied := copy(p[n:], chunk[from:min(chunkBytes, from+f.size-at)])
		n += copied
		at += int64(copied)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) WriteAt(p []byte, at int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := 0; n < len(p); {
		for at/chunkBytes >= int64(len(f.chunks)) {
			f.chunks = append(f.chunks, make([]byte, chunkBytes))
		}
		copied := copy(f.chunks[at/chunkBytes][at%chunkBytes:], p[n:])
		n += copied
		at += int64(copied)
	}
	f.size = max(f.size, at)
	return len(p), nil
}

// Truncate only shortens the file.
func (f *memoryFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size = min(f.size, size)
	chunks := int((f.size + chunkBytes - 1) / chunkBytes)
	clear(f.chunks[chunks:])
	f.chunks = f.chunks[:chunks]
	return nil
}

func (f *memoryFile) Size() (int64, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.size, nil
}

func (f *memoryFile) Sync() error  { return nil }
func (f *memoryFile) Close() error { return nil }
