package journal

import (
	"errors"
	"io/fs"
	"time"
)

// A Position is between two entries of an outage. The zero Position, and any Position of an outage
// that is over, mean the beginning.
type Position struct {
	outage uint64
	cursor cursor
}

// A Batch is a part of a journal's entries, in order. It can be reused.
type Batch struct {
	Entries []Entry  // valid until the next Read into this Batch; none at the journal's end
	Next    Position // after them
	bytes   []byte
}

// Read reads the entries after from, up to 64 KiB of them. Reading to the end returns each key at
// least once after its last Add. The error is ErrCut or ErrClosed. Add may be called meanwhile.
func (j *Journal) Read(from Position, b *Batch) error {
	j.slow.Lock()
	defer j.slow.Unlock()
	b.Entries = b.Entries[:0]
	file, at, n, err := j.toRead(from, b)
	if err != nil || n == 0 {
		return err
	}
	if cap(b.bytes) < pieceBytes {
		b.bytes = make([]byte, pieceBytes)
	}
	b.bytes = b.bytes[:n]
	if err = readFull(file, b.bytes, at.offset); err == nil {
		b.Entries, err = at.parse(b.Entries, b.bytes)
	}
	return j.hasRead(at, err, b)
}

// toRead returns what to read: n bytes at the cursor.
func (j *Journal) toRead(from Position, b *Batch) (file File, at cursor, n int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, cursor{}, 0, ErrClosed
	}
	j.cutByAge(j.options.Now())
	if j.cut != "" {
		return nil, cursor{}, 0, ErrCut
	}
	at = j.resolve(from)
	b.Next = Position{j.outage, at}
	return j.file, at, min(pieceBytes, j.end.offset-at.offset), nil
}

// hasRead records that a reader has had all entries before the cursor.
func (j *Journal) hasRead(at cursor, err error, b *Batch) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.cutFor(err.Error()) // no change if the error came of a cut that emptied the file meanwhile
	}
	if j.cut != "" {
		b.Entries = b.Entries[:0]
		return ErrCut
	}
	j.read = max(j.read, at.offset)
	b.Next.cursor = at
	return nil
}

// resolve returns where the position is in the present outage. It needs mu.
func (j *Journal) resolve(p Position) cursor {
	if !j.down || p.outage != j.outage {
		return j.begin
	}
	return p.cursor
}

// End returns the position after everything that was added so far, even if the journal is cut. A
// caller that flushes the member afterwards passes it to Finish.
func (j *Journal) End() Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cutByAge(j.options.Now())
	j.read = j.end.offset // so that Add leaves out no key from now on
	return Position{j.outage, j.end}
}

// Finish ends the outage if nothing was added after the position, and reports whether it did. The
// member must have deleted all keys before the position, or have been flushed. The journal is then
// empty and complete.
func (j *Journal) Finish(upTo Position) bool {
	j.slow.Lock()
	defer j.slow.Unlock()
	file, over := j.finish(upTo)
	if !over || file == nil {
		return over
	}
	// The removal need not be durable: if a loss of power brings the file back, its boot ID differs
	// and the member is flushed without need. The sync only makes that unlikely.
	if err := j.fs.Sync(); err != nil {
		j.log.Warn("the journal directory could not be synced", "err", err)
	}
	if err := file.Close(); err != nil {
		j.log.Warn("the journal of missed keys could not be closed", "err", err)
	}
	return true
}

// finish ends the outage as Finish does, and returns its file, which is removed; nil if there was
// none.
func (j *Journal) finish(upTo Position) (file File, over bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, false
	}
	if !j.down {
		return nil, true
	}
	if j.resolve(upTo) != j.end {
		return nil, false
	}
	if j.file != nil {
		// Under mu, so that the file of the next outage is not removed.
		if err := j.fs.Remove(j.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			j.log.Warn("the journal of missed keys could not be removed: the next start applies it again", "err", err)
		}
	}
	file = j.file
	j.down, j.file, j.begun = false, nil, time.Time{}
	j.begin, j.end, j.keys, j.read = cursor{}, cursor{}, 0, 0
	j.recent = recent{}
	j.synced, j.cut, j.marked = false, "", false
	return file, true
}
