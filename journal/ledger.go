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

	ledgerHeaderBytes = 4096 // a page, which is synced without the slots
	slotBytes         = 272
	slotKeyBytes      = slotBytes - 16 // the longest key of an intent

	slotsPerLane  = 2048
	slotUsed      = 1 << 16 // a bit of a slot's state; the lower ones are the length of its key
	ledgerInUse   = 1
	ledgerClosed  = 2 // durably, by a process that stopped cleanly
	identityBytes = 16
)

// A Ledger records the journals' identity, and the writes to members that are in flight. It is a
// file in mapped memory, so that recording a write costs no system call, and so that the records
// survive the end of the process, kill -9 too.
//
// If a process ends while a write is in flight, some members may have the write and others not:
//
//  1. Lane.Begin records the key.
//  2. The write is sent to all members. Some apply it, and the process is killed.
//  3. The next process finds the key (Unresolved), and deletes it on all members before any read of
//     it is answered.
//  4. Resolve removes the record. If that process is killed first, the next one continues at 3.
//
// Without a kill, Lane.End removes the record once each member has answered, or the key is in the
// journals of those that haven't. Writes beyond the number of slots are only counted. If a process
// finds such a count, or a ledger whose last changes a crash of the machine may have lost, then
// Unresolved returns the reason why its list may be incomplete, and the caller flushes the members.
//
// A nil Ledger, and its nil Lanes, record nothing: journals in memory have no ledger.
type Ledger struct {
	mem   []byte
	sync  func(mem []byte) error
	unmap func(mem []byte) error

	id      string
	created bool
	lanes   []*Lane

	generation atomic.Uint64 // as in mem

	mu         sync.Mutex // guards what follows, and keeps the header from changing once it is closed
	closed     bool       // mem is unmapped
	unresolved []Intent   // of earlier processes
	slots      []uint32   // of unresolved
	incomplete string     // why unresolved may lack intents; "" if it has all
	uncounted  uint64     // how much of the header's count of writes without a slot is of earlier processes

	returned []uint32 // free slots that no lane has yet
}

// An Intent is a write that was in flight when its process ended.
type Intent struct {
	Pool uint64 // as given to Lane.Begin
	Key  []byte
}

// A mapper is an FS with mapped files.
type mapper interface {
	// Map maps a file of at least size bytes. The bytes by which the file grows are zero and
	// allocated on disk. was is its size before, -1 if it didn't exist.
	Map(name string, size int64) (mem []byte, was int64, err error)
	SyncMap(mem []byte) error
	Unmap(mem []byte) error
	Used() bool // an earlier process used the directory
}

// openLedger opens the directory's ledger for this number of lanes.
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

// Offsets of the header's fields.
const (
	identityAt   = 24
	generationAt = 40
	stateAt      = 48
	countedAt    = 56
	headerSumAt  = 64
	bootAt       = 68
)

func (l *Ledger) word(at int) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&l.mem[at])) }

// read reads the intents of earlier processes. They stay in the file until Resolve.
func (l *Ledger) read(boot string) {
	wrote, valid := l.headerBoot()
	switch {
	case !valid:
		clear(l.mem)
		rand.Read(l.mem[identityAt : identityAt+identityBytes])
		if !l.created {
			l.incomplete = "the ledger is missing or damaged"
		}
	case l.word(stateAt).Load() != ledgerClosed && (wrote == "" || wrote != boot):
		l.incomplete = "the machine was restarted, and records of writes in flight may be lost"
	case l.word(countedAt).Load() > 0:
		l.incomplete = "more writes were in flight than the ledger has slots"
	}
	if l.incomplete != "" {
		l.word(countedAt).Add(1) // the next process finds the ledger incomplete, too, until Resolve
		l.uncounted = l.word(countedAt).Load()
	}
	l.id = hex.EncodeToString(l.mem[identityAt : identityAt+identityBytes])
	for i := range l.count() {
		if state := l.state(i).Load(); state != 0 {
			l.unresolved = append(l.unresolved, l.intent(i, state))
			l.slots = append(l.slots, i)
		}
	}
}

// headerBoot returns the boot ID in the header, and whether the header is valid.
func (l *Ledger) headerBoot() (boot string, valid bool) {
	m := l.mem
	n := int(binary.LittleEndian.Uint16(m[bootAt:]))
	if string(m[:8]) != ledgerMagic || binary.LittleEndian.Uint32(m[8:]) != ledgerVersion ||
		binary.LittleEndian.Uint32(m[12:]) != slotBytes || n > maxBootBytes ||
		binary.LittleEndian.Uint32(m[headerSumAt:]) != l.headerSum(n) {
		return "", false
	}
	return string(m[bootAt+2 : bootAt+2+n]), true
}

// headerSum is the sum of the fields that don't change while a process uses the ledger.
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

// count returns the number of slots.
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

// divide distributes the free slots to the lanes.
func (l *Ledger) divide(lanes int) {
	for range lanes {
		l.lanes = append(l.lanes, &Lane{ledger: l})
	}
	for i := l.count(); i > 0; i-- { // a lane takes its last first: low slots, so that few pages change
		if l.state(i-1).Load() == 0 {
			lane := l.lanes[int(i-1)%lanes]
			lane.free = append(lane.free, i-1)
		}
	}
}

// Created reports whether the directory was new, so that it can't have keys that members missed
// before.
func (l *Ledger) Created() bool { return l != nil && l.created }

// Identity returns 32 hexadecimal digits, random, drawn when the ledger was created.
func (l *Ledger) Identity() string { return l.id }

// Generation returns a number that each process and each Advance increments, so that an older copy
// of the directory has a lower one.
func (l *Ledger) Generation() uint64 { return l.generation.Load() }

// Advance increments the generation, durably.
func (l *Ledger) Advance() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, ErrClosed
	}
	l.generation.Store(l.word(generationAt).Add(1))
	return l.generation.Load(), l.sync(l.mem[:ledgerHeaderBytes])
}

// Unresolved returns the writes that were in flight when earlier processes ended, until Resolve. If
// incomplete isn't "", it is the reason why there may be others.
func (l *Ledger) Unresolved() (intents []Intent, incomplete string) {
	if l == nil {
		return nil, ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unresolved, l.incomplete
}

// markIncomplete makes the next process that opens this ledger find it incomplete.
func (l *Ledger) markIncomplete() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.word(countedAt).Add(1)
	}
}

// Resolve removes the intents that Unresolved returned: their keys are deleted on all members, or
// the members are marked for a flush. It is called once.
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
	l.word(countedAt).Add(-l.uncounted)
	l.returned = append(l.returned, l.slots...)
	l.unresolved, l.slots, l.incomplete, l.uncounted = nil, nil, "", 0
}

// close records durably that the process stopped cleanly. No lane may be used afterwards.
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

// A Lane records the writes of one event loop. Its methods are called by one goroutine at a time.
type Lane struct {
	ledger *Ledger
	free   []uint32
}

// Lane returns lane i of Options.Lanes.
func (l *Ledger) Lane(i int) *Lane {
	if l == nil {
		return nil
	}
	return l.lanes[i]
}

// A Note identifies the record of a write in flight. The zero Note identifies none.
type Note uint32

// noteCounted is the Note of every write that has no slot and is only counted.
const noteCounted Note = math.MaxUint32

// Begin records a write of the key, before any of it is sent.
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

// End removes the record of a write: each member has the write, or the key is in its journal.
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
