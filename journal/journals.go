package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	defaultMaxBytes = 64 << 20
	defaultMaxAge   = 24 * time.Hour

	suffix       = ".journal"
	maxFileBytes = 200 // of a file's name without suffix
)

// Errors of this package.
var (
	ErrLocked = errors.New("journal: another process uses this directory")
	ErrClosed = errors.New("journal: closed")
	ErrCut    = errors.New("journal: cut: the member must be flushed")
)

// Options are what Journals are made from. The zero value of a field means its default.
type Options struct {
	Folder   string        // created if missing; "" keeps the keys in memory, lost with the process
	MaxBytes int64         // of a member's file or memory; its journal is cut beyond it. Default 64 MiB
	MaxAge   time.Duration // of an outage; its journal is cut beyond it. Default 24 h
	Lanes    int           // of the ledger; default 1

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default()
	FS     FS               // in place of Folder
}

// Journals have the journals of all members.
type Journals struct {
	options Options
	fs      FS
	ledger  *Ledger // nil in memory

	mu      sync.Mutex // guards what follows; taken before a Journal's locks
	members map[string]*Journal
	closed  bool
}

// Open locks the directory for this process; it returns ErrLocked if another process has it. The
// journals that an earlier process left are read by Member.
func Open(o Options) (*Journals, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.MaxAge <= 0 {
		o.MaxAge = defaultMaxAge
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	switch {
	case o.FS != nil:
	case o.Folder == "":
		o.FS = newMemory()
	default:
		f, err := openDirectory(o.Folder)
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		o.FS = f
	}
	ledger, err := openLedger(o.FS, o.Lanes)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal: %w", err), o.FS.Close())
	}
	if f, ok := o.FS.(*directory); ok {
		f.gone = func(remade error) {
			ledger.markIncomplete()
			const what = "the journal directory was removed while in use"
			if remade != nil {
				o.Logger.Error(what+": writes are refused while a member is down", "folder", o.Folder, "err", remade)
				return
			}
			o.Logger.Error(what+" and was created again: the next start flushes all members", "folder", o.Folder)
		}
	}
	return &Journals{options: o, fs: o.FS, ledger: ledger, members: make(map[string]*Journal)}, nil
}

// Ledger returns the directory's ledger; nil if the journals are in memory.
func (j *Journals) Ledger() *Ledger { return j.ledger }

// Member returns the journal of the member with this name of 1 to 4096 bytes: the same one each
// time. If an earlier process left a file for it, the member is in an outage. A file that is
// readable but invalid is a cut journal, not an error; a file that can't be opened is an error.
func (j *Journals) Member(name string) (*Journal, error) {
	if len(name) == 0 || len(name) > maxNameBytes {
		return nil, fmt.Errorf("journal: a member's name must have 1 to %d bytes; got %d", maxNameBytes, len(name))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, ErrClosed
	}
	if m := j.members[name]; m != nil {
		return m, nil
	}
	m, err := load(j.options, name)
	if err != nil {
		return nil, fmt.Errorf("journal: member %s: %w", name, err)
	}
	j.members[name] = m
	return m, nil
}

// Close releases the directory. Its files remain for the next process.
func (j *Journals) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	var errs []error
	for _, m := range j.members {
		errs = append(errs, m.close())
	}
	return errors.Join(append(errs, j.ledger.close(), j.fs.Close())...)
}

// fileName returns the name of the member's file. It works on any file system, also one that
// ignores case.
func fileName(member string) string {
	var b []byte
	for i, c := range []byte(member) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b = append(b, c)
		default:
			b = append(b, '%')
			b = hex.AppendEncode(b, []byte{c})
		}
	}
	if len(b) > maxFileBytes {
		sum := sha256.Sum256([]byte(member))
		b = hex.AppendEncode([]byte("%_"), sum[:])
	}
	return string(b) + suffix
}
