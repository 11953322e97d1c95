package journal

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"math"
	"sync"
	"sync/atomic"
	"unsafe"
)

// The layout is described in the package comment.
const (
	ledgerName    = "ledger"
	ledgerMagic   = "holdledg"
	ledgerVersion = 1

	ledgerHeaderBytes = 4096 // a page, which is synced alone
	slotBytes         = 272
	slotKeyBytes      = slotBytes - 16 // the longest key of an intent

	slotsPerLane  = 2048
	slotUsed      = 1 << 16 // in a slot's state, beside the bytes of its key
	ledgerInUse   = 1
	ledgerClosed  = 2 // by a process that ended in order, durably
	identityBytes = 16
)

// A Ledger is what the directory knows beside the journals of its members: the journals' identity,
// and the writes that are on their way to members. It is a file in mapped memory, so that a write
// costs no system call, and that what a process has noted there survives its end, kill -9 too.
//
// A write that the process doesn't live to see answered may have reached some members and not
// others:
//
//  1. The key is noted (Lane.Begin).
//  2. The write is sent to all members. Some have it, and the process is killed.
//  3. The next process finds the key (Unresolved) and has all members delete it before it is read.
//  4. Resolve removes it. If that process is killed too, 3 comes again.
//
// Without a kill, the key is forgotten (Lane.End) once each member has answered, or the key is in
// the journals of those that haven't. If there are more writes on their way than places, they are
// counted; a process that finds such a count, or a file that the machine's crash may have cost its
// last changes, knows that it doesn't know (Unresolved says why), and has members flushed.
//
// A nil Ledger, and its nil Lanes, note nothing: that of journals in memory.
type Ledger struct {
	mem   []byte
	sync  func(mem []byte) error
	unmap func(mem []byte) error

	id      string
	created bool
	lanes   []*Lane

	generation atomic.Uint64 // as in mem

	mu      sync.Mutex // guards what follows, and the header from changing once it is closed
	closed  bool       // mem is gone
	left    []Intent
	slots   []uint32 // those of left
	unknown string   // why there may be more
	counted uint64   // of the count of writes without a slot: what earlier processes have left

	returned []uint32 // slots for lanes that have none
}

// An Intent is a write that was on its way when its process ended.
type Intent struct {
	Pool uint64 // as given to Lane.Begin
	Key  []byte
}

// A mapper is an FS with mapped files.
type mapper interface {
	// Map returns a file of at least size bytes as memory; what it has grown by is zero, and has its
	// place on disk. was is its size before, -1 of a file that wasn't there.
	Map(name string, size int64) (mem []byte, was int64, err error)
	SyncMap(mem []byte) error
	Unmap(mem []byte) error
	Used() bool // by an earlier process
}

// openLedger opens the directory's ledger, for so many lanes.
func openLedger(f FS, lanes int) (*Ledger, error) {
	m, ok := f.(mapper)
	if !ok {
		return nil, nil
	}
	slots := int64(max(lanes, 1)) * slotsPerLane
	mem, was, err := m.Map(ledgerName, ledgerHeaderBytes+slots*slotBytes)
	if err != nil {
		return nil, err
	}
	l := &Ledger{mem: mem, sync: m.SyncMap, unmap: m.Unmap, created: was < 0 && !m.Used()}
	l.read(f.Boot())
	l.putHeader(f.Boot())
	if err := errors.Join(l.sync(mem), f.Sync()); err != nil {
		return nil, errors.Join(err, l.unmap(mem))
	}
	l.divide(max(lanes, 1))
	return l, nil
}

// Where the words of the header are.
const (
	identityAt   = 24
	generationAt = 40
	stateAt      = 48
	countedAt    = 56
	headerSumAt  = 64
	bootAt       = 68
)

func (l *Ledger) word(at int) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&l.mem[at])) }

// read takes what an earlier process has left. It stays in the file until Resolve.
func (l *Ledger) read(boot string) {
	left, known := l.bootThere()
	switch {
	case !known:
		clear(l.mem)
		rand.Read(l.mem[identityAt : identityAt+identityBytes])
		if !l.created {
			l.unknown = "the ledger is missing or garbled"
		}
	case l.word(stateAt).Load() != ledgerClosed && (left == "" || left != boot):
		l.unknown = "the machine was started anew, and notes of writes may be lost"
	case l.word(countedAt).Load() > 0:
		l.unknown = "more writes were on their way than are noted"
	}
	if l.unknown != "" {
		l.word(countedAt).Add(1)
		l.counted = l.word(countedAt).Load()
	}
	l.id = hex.EncodeToString(l.mem[identityAt : identityAt+identityBytes])
	for i := range l.count() {
		if state := l.state(i).Load(); state != 0 {
			l.left = append(l.left, l.intent(i, state))
			l.slots = append(l.slots, i)
		}
	}
}

// bootThere returns the boot that the header names; false if it is none.
func (l *Ledger) bootThere() (string, bool) {
	m := l.mem
	n := int(binary.LittleEndian.Uint16(m[bootAt:]))
	if string(m[:8]) != ledgerMagic || binary.LittleEndian.Uint32(m[8:]) != ledgerVersion ||
		binary.LittleEndian.Uint32(m[12:]) != slotBytes || n > maxBootBytes ||
		binary.LittleEndian.Uint32(m[headerSumAt:]) != l.headerSum(n) {
		return "", false
	}
	return string(m[bootAt+2 : bootAt+2+n]), true
}

// headerSum is of what doesn't change while a process has the ledger.
func (l *Ledger) headerSum(bootBytes int) uint32 {
	sum := crc32.Checksum(l.mem[:generationAt], castagnoli)
	return crc32.Update(sum, castagnoli, l.mem[bootAt:bootAt+2+bootBytes])
}

func (l *Ledger) putHeader(boot string) {
	m := l.mem
	copy(m, ledgerMagic)
	binary.LittleEndian.PutUint32(m[8:], ledgerVersion)
	binary.LittleEndian.PutUint32(m[12:], slotBytes)
	binary.LittleEndian.PutUint64(m[16:], uint64(l.count()))
	boot = boot[:min(len(boot), maxBootBytes)]
	binary.LittleEndian.PutUint16(m[bootAt:], uint16(len(boot)))
	copy(m[bootAt+2:], boot)
	binary.LittleEndian.PutUint32(m[headerSumAt:], l.headerSum(len(boot)))
	l.generation.Store(l.word(generationAt).Add(1))
	l.word(stateAt).Store(ledgerInUse)
}

// count is how many slots there are.
func (l *Ledger) count() uint32 {
	return uint32(min((len(l.mem)-ledgerHeaderBytes)/slotBytes, math.MaxInt32))
}

func (l *Ledger) slot(i uint32) []byte {
	at := ledgerHeaderBytes + int(i)*slotBytes
	return l.mem[at : at+slotBytes : at+slotBytes]
}

func (l *Ledger) state(i uint32) *atomic.Uint64 { return l.word(ledgerHeaderBytes + int(i)*slotBytes) }

func (l *Ledger) intent(i uint32, state uint64) Intent {
	s := l.slot(i)
	n := min(int(state&(slotUsed-1)), slotKeyBytes)
	return Intent{Pool: binary.LittleEndian.Uint64(s[8:]), Key: append([]byte(nil), s[16:16+n]...)}
}

// divide gives each lane its free slots.
func (l *Ledger) divide(lanes int) {
	for range lanes {
		l.lanes = append(l.lanes, &Lane{ledger: l})
	}
	for i := l.count(); i > 0; i-- { // the first are taken first, so that few pages are written to
		if l.state(i-1).Load() == 0 {
			lane := l.lanes[int(i-1)%lanes]
			lane.free = append(lane.free, i-1)
		}
	}
}

// Created reports whether the directory was empty: nothing is known of what members missed before.
func (l *Ledger) Created() bool { return l != nil && l.created }

// Identity is 32 hexadecimal digits, drawn when the ledger was made.
func (l *Ledger) Identity() string { return l.id }

// Generation rises with each process and each Advance: a copy of the directory of earlier has a
// lower one.
func (l *Ledger) Generation() uint64 { return l.generation.Load() }

// Advance raises the generation, durably.
func (l *Ledger) Advance() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, ErrClosed
	}
	l.generation.Store(l.word(generationAt).Add(1))
	return l.generation.Load(), l.sync(l.mem[:ledgerHeaderBytes])
}

// Unresolved returns the writes that were on their way when the last process ended. If unknown isn't ""
// there may be others, and it says why.
func (l *Ledger) Unresolved() (intents []Intent, unknown string) {
	if l == nil {
		return nil, ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left, l.unknown
}

// doubt lets the next process that finds this ledger know that it is incomplete.
func (l *Ledger) doubt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.word(countedAt).Add(1)
	}
}

// Resolve removes the intents that Unresolved returned. It is called once.
func (l *Ledger) Resolve() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	for _, i := range l.slots {
		l.state(i).Store(0)
	}
	l.word(countedAt).Add(-l.counted)
	l.returned = append(l.returned, l.slots...)
	l.left, l.slots, l.unknown, l.counted = nil, nil, "", 0
}

// close makes it durable that the process has ended in order. Its lanes are not used any more.
func (l *Ledger) close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	err := l.sync(l.mem)
	if err == nil {
		l.word(stateAt).Store(ledgerClosed)
		err = l.sync(l.mem[:ledgerHeaderBytes])
	}
	return errors.Join(err, l.unmap(l.mem))
}

// A Lane notes the writes of one event loop. Its methods are called by one goroutine at a time.
type Lane struct {
	ledger *Ledger
	free   []uint32
}

// Lane returns the i-th, from 0 on to Options.Lanes.
func (l *Ledger) Lane(i int) *Lane {
	if l == nil {
		return nil
	}
	return l.lanes[i]
}

// A Note is of a write that was noted; the zero Note is of none.
type Note uint32

// noteCounted is of a write for which there was no slot.
const noteCounted Note = math.MaxUint32

// Begin notes a write of the key before anything of it is sent.
func (l *Lane) Begin(pool uint64, key []byte) Note {
	if l == nil {
		return 0
	}
	if len(l.free) == 0 {
		l.takeReturned()
	}
	if len(l.free) == 0 || len(key) > slotKeyBytes {
		l.ledger.word(countedAt).Add(1)
		return noteCounted
	}
	i := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	s := l.ledger.slot(i)
	binary.LittleEndian.PutUint64(s[8:], pool)
	copy(s[16:], key)
	l.ledger.state(i).Store(slotUsed | uint64(len(key)))
	return Note(i + 1)
}

// End removes the note of the write: each member has it, or the key is in its journal.
func (l *Lane) End(n Note) {
	switch {
	case l == nil || n == 0:
	case n == noteCounted:
		l.ledger.word(countedAt).Add(math.MaxUint64)
	default:
		l.ledger.state(uint32(n) - 1).Store(0)
		l.free = append(l.free, uint32(n)-1)
	}
}

func (l *Lane) takeReturned() {
	l.ledger.mu.Lock()
	defer l.ledger.mu.Unlock()
	l.free, l.ledger.returned = append(l.free, l.ledger.returned...), nil
}
