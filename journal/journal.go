package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"time"
)

// pieceBytes is the most that is read or written at once. The longest record fits in it.
const pieceBytes = 64 << 10

// A Journal has the keys that one member missed.
type Journal struct {
	member  string
	name    string // of the file
	options Options
	fs      FS
	log     *slog.Logger

	// slow is held while the disk is waited for, so that the file is not closed meanwhile. Add
	// doesn't take it.
	slow sync.Mutex // taken before mu

	mu     sync.Mutex // guards what follows
	closed bool
	down   bool   // in an outage: from the first Begin or Add to Finish
	outage uint64 // number of the outage; positions of other outages are invalid in it
	file   File   // nil if there is no outage, or the file could not be created
	begun  time.Time
	begin  cursor // before the first record
	end    cursor // after the last
	keys   int    // records
	read   int64  // a reader has had the entries up to this offset
	recent recent

	synced bool   // the file's existence survives a loss of power
	cut    string // why the journal is cut; "" if it is complete
	marked bool   // the journal is cut, and the file says so

	buffer []byte // scratch space of Add
}

// load returns a member's journal as an earlier process left it.
func load(o Options, member string) (*Journal, error) {
	j := &Journal{member: member, name: fileName(member), options: o, fs: o.FS, log: o.Logger.With("member", member)}
	file, err := j.fs.Open(j.name)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, err
	}
	j.down, j.outage, j.file, j.begun = true, 1, file, o.Now()
	if err := j.readBack(); err != nil {
		j.cutFor(err.Error())
	}
	return j, nil
}

// readBack reads and checks the whole file. Any error means that the file may lack entries.
func (j *Journal) readBack() error {
	size, err := j.file.Size()
	if err != nil {
		return err
	}
	b := make([]byte, min(size, maxHeaderBytes))
	if err := readFull(j.file, b, 0); err != nil {
		return err
	}
	h, err := parseHeader(b)
	if err != nil {
		return err
	}
	j.begun = time.Unix(0, h.begun)
	switch {
	case h.member != j.member:
		return fmt.Errorf("its file belongs to %q", h.member)
	case h.cut:
		return errors.New("an earlier process cut it")
	case h.boot == "" || h.boot != j.fs.Boot():
		return errors.New("the machine was restarted, and what was not synced may be lost")
	}
	j.begin = cursor{int64(h.len()), h.sum()}
	j.end = j.begin
	b = make([]byte, pieceBytes)
	var entries []Entry
	for j.end.offset < size {
		b = b[:min(pieceBytes, size-j.end.offset)]
		if err := readFull(j.file, b, j.end.offset); err != nil {
			return err
		}
		if entries, err = j.end.parse(entries[:0], b); err != nil {
			return err
		}
		j.keys += len(entries)
	}
	return nil
}

// readFull fills b from the file at the offset.
func readFull(f io.ReaderAt, b []byte, offset int64) error {
	n, err := f.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	return err
}

// Begin makes an outage durable, and begins it if there is none. After it has returned nil, a loss
// of power can't hide that the member was down, though it may cut the journal. Begin waits for the
// disk, and can be retried after an error; until it succeeds, no missed write may be acknowledged.
func (j *Journal) Begin() error {
	if j.isDurable() {
		return nil
	}
	j.slow.Lock()
	defer j.slow.Unlock()
	file, err := j.prepare()
	if file == nil {
		return err // nil if another Begin has done it
	}
	err = file.Sync()
	if err == nil {
		err = j.fs.Sync()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil {
		j.synced = true
		if !j.durable() {
			err = errors.New("the file could not be marked as cut")
		}
	} else {
		// After a failed sync a kernel may treat the pages as written: write the mark again.
		j.cutFor("sync: " + err.Error())
		j.marked = false
	}
	return j.wrap(err)
}

// prepare returns the file to sync; nil if there is nothing to sync, or with an error.
func (j *Journal) prepare() (File, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, ErrClosed
	}
	if j.durable() {
		return nil, nil
	}
	j.start()
	if j.cut != "" && !j.marked {
		if err := j.mark(); err != nil {
			return nil, j.wrap(err)
		}
	}
	return j.file, nil
}

func (j *Journal) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("journal: member %s: %w", j.member, err)
}

func (j *Journal) isDurable() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable()
}

// durable reports whether the outage is on disk as Begin promises. It needs mu.
func (j *Journal) durable() bool { return j.synced && (j.cut == "" || j.marked) && !j.closed }

// start begins an outage if there is none, without syncing its file. It needs mu.
func (j *Journal) start() {
	if j.down {
		return
	}
	j.down = true
	j.outage++
	j.begun = j.options.Now()
	h := j.header()
	j.begin = cursor{int64(h.len()), h.sum()}
	j.end = j.begin
	file, err := j.fs.Create(j.name)
	if err != nil {
		j.cutFor(err.Error())
		return
	}
	j.file = file
	if _, err := file.WriteAt(h.appendTo(nil), 0); err != nil {
		j.cutFor(err.Error())
	}
}

func (j *Journal) header() header {
	return header{begun: j.begun.UnixNano(), cut: j.cut != "", boot: j.fs.Boot(), member: j.member}
}

// Add adds keys of 1 to 16384 bytes. It may leave out a key that is already in the journal and that
// no reader has had since. If it returns false, a crash may lose the keys: the write may not be
// acknowledged until a Begin has succeeded.
func (j *Journal) Add(keys ...[]byte) (durable bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return false
	}
	j.start()
	now := j.options.Now()
	j.cutByAge(now)
	if j.cut != "" {
		j.end.offset++
		return j.durable()
	}
	next, at, added := j.end, now.UnixNano(), 0
	j.buffer = j.buffer[:0]
	for _, key := range keys {
		if len(key) == 0 || len(key) > maxKeyBytes {
			j.cutFor(fmt.Sprintf("a key of %d bytes", len(key)))
			return j.durable()
		}
		if j.has(key) {
			continue
		}
		n := int64(recordFixedBytes + len(key))
		if next.offset+n > j.options.MaxBytes {
			j.cutFor(fmt.Sprintf("it would exceed %d bytes", j.options.MaxBytes))
			return j.durable()
		}
		j.buffer, next.sum = appendRecord(j.buffer, key, at, next.sum)
		j.recent.set(key, next.offset)
		next.offset += n
		added++
	}
	if added > 0 {
		if _, err := j.file.WriteAt(j.buffer, j.end.offset); err != nil {
			j.cutFor(err.Error())
			return j.durable()
		}
		j.end = next
		j.keys += added
	}
	if cap(j.buffer) > pieceBytes {
		j.buffer = nil
	}
	return j.durable()
}

// has reports whether the key is in the part of the file that no reader has had yet. It needs mu.
func (j *Journal) has(key []byte) bool {
	offset := j.recent.find(key)
	if offset < j.begin.offset || offset < j.read || offset >= j.end.offset {
		return false
	}
	// Another key may have the same hash, so the key itself is compared.
	n := recordFixedBytes + len(key)
	buffer := j.recent.scratch(n)
	return readFull(j.file, buffer, offset) == nil && isRecordOf(buffer, key)
}

// MarkCut cuts the journal: the member missed something that no list of keys describes, such as a
// flush_all. Its result is like Add's.
func (j *Journal) MarkCut(why string) (durable bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return false
	}
	j.start()
	if j.cut != "" {
		j.end.offset++
	}
	j.cutFor(why)
	return j.durable()
}

// Cut reports whether the journal may lack keys, so that the member must be flushed, and why.
func (j *Journal) Cut() (cut bool, why string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cutByAge(j.options.Now())
	return j.cut != "", j.cut
}

func (j *Journal) cutByAge(now time.Time) {
	if j.down && now.Sub(j.begun) > j.options.MaxAge {
		j.cutFor(fmt.Sprintf("it is older than %v", j.options.MaxAge))
	}
}

// cutFor cuts the journal unless it is cut already. It needs mu.
func (j *Journal) cutFor(why string) {
	if j.cut != "" || j.closed {
		return
	}
	j.cut = why
	j.keys = 0
	j.end.offset++ // so that no position read before is the end
	j.recent = recent{}
	j.log.Warn("the journal of missed keys is cut: the member will be flushed", "why", why)
	if err := j.mark(); err != nil {
		j.log.Error("the journal of missed keys could not be marked as cut", "err", err)
	}
}

// mark writes to the file that the journal is cut, and frees its disk space. It needs mu.
func (j *Journal) mark() error {
	if j.file == nil {
		file, err := j.fs.Create(j.name)
		if err != nil {
			return err
		}
		j.file = file
	}
	h := j.header()
	if _, err := j.file.WriteAt(h.appendTo(nil), 0); err != nil {
		if emptied := j.file.Truncate(0); emptied != nil {
			return errors.Join(err, emptied)
		}
		j.marked = true // a file without a header counts as a cut journal
		return nil
	}
	j.marked = true
	if err := j.file.Truncate(int64(h.len())); err != nil {
		j.log.Warn("the disk space of a cut journal could not be freed", "err", err)
	}
	return nil
}

// Stats describe one journal.
type Stats struct {
	Keys  int       // records; 0 if it is cut
	Bytes int64     // of the file; 0 if it is cut
	Since time.Time // when the outage began; zero if there is none
}

// Stats returns the journal's present Stats.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := Stats{Keys: j.keys, Since: j.begun}
	if j.down && j.cut == "" {
		s.Bytes = j.end.offset
	}
	return s
}

// InOutage reports whether an outage has begun, by Begin or Add, and is not finished.
func (j *Journal) InOutage() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.down
}

func (j *Journal) close() error {
	j.slow.Lock()
	defer j.slow.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}
