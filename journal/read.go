package journal

import (
	"errors"
	"io/fs"
	"time"
)

// A Position is between two entries of an outage. The zero Position is before the first, and so
// is one of an outage that is over.
type Position struct {
	outage uint64
	cursor cursor
}

// A Batch is some of a journal's entries, in order. It can be read into again.
type Batch struct {
	Entries []Entry  // until the next Read into this Batch; none at the journal's end
	Next    Position // behind them
	bytes   []byte
}

// Read reads the entries behind from, up to 64 KiB of them: each key that was added, at least once
// after it was added last. The error is ErrCut or ErrClosed. Adding goes on meanwhile.
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

// toRead says what to read: n bytes at the cursor.
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

// hasRead notes that a reader has what is before the cursor.
func (j *Journal) hasRead(at cursor, err error, b *Batch) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.cutFor(err.Error()) // if a cut in between has emptied the file, it is so already
	}
	if j.cut != "" {
		b.Entries = b.Entries[:0]
		return ErrCut
	}
	j.read = max(j.read, at.offset)
	b.Next.cursor = at
	return nil
}

// resolve is where the position is in the present outage. It needs mu.
func (j *Journal) resolve(p Position) cursor {
	if !j.away || p.outage != j.outage {
		return j.begin
	}
	return p.cursor
}

// End returns the position behind all that was added up to now, also if the journal is cut: for
// Finish, when the member is flushed after this.
func (j *Journal) End() Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cutByAge(j.options.Now())
	j.read = j.end.offset // a key that is added from now on is added, though it be there already
	return Position{j.outage, j.end}
}

// Finish ends the outage if nothing was added behind the position, and reports whether it did. The
// member must have applied the deletes of all that is before it, or a flush. The journal
// is then empty and complete.
func (j *Journal) Finish(upTo Position) bool {
	j.slow.Lock()
	defer j.slow.Unlock()
	file, over := j.finish(upTo)
	if !over || file == nil {
		return over
	}
	// That the file is gone need not be durable: if a loss of power brings it back, then with
	// another boot ID, and the member is flushed for nothing. The sync only makes that unlikely.
	if err := j.fs.Sync(); err != nil {
		j.log.Warn("the directory of the journals could not be synced", "err", err)
	}
	if err := file.Close(); err != nil {
		j.log.Warn("a journal of missed keys could not be closed", "err", err)
	}
	return true
}

// finish returns the file of the outage that is over, nil if there was none.
func (j *Journal) finish(upTo Position) (file File, over bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, false
	}
	if !j.away {
		return nil, true
	}
	if j.resolve(upTo) != j.end {
		return nil, false
	}
	if j.file != nil {
		// Under mu, so that the file of the next outage is not removed.
		if err := j.fs.Remove(j.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			j.log.Warn("a journal of missed keys could not be removed: a restart will apply it again", "err", err)
		}
	}
	file = j.file
	j.away, j.file, j.begun = false, nil, time.Time{}
	j.begin, j.end, j.keys, j.read = cursor{}, cursor{}, 0, 0
	j.recent = recent{}
	j.synced, j.cut, j.marked = false, "", false
	return file, true
}
