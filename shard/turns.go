package shard

import "sync"

// A turnLock is a lock for several readers or one writer. Whoever waits gets it in turn, so that
// neither keeps the other away.
//
// A sync.RWMutex does the same for as short a time as a mutex should be held. Latches and schemas are
// held while other replicas answer. A goroutine that waits for a turnLock waits for a channel: so a
// test in virtual time (testing/synctest) knows that it is blocked, and time goes on.
type turnLock struct {
	mu      sync.Mutex // guards what follows; no other lock is taken while it is held
	holders int32      // readers; -1: a writer
	last    *turn      // of those who wait, whose next is the first; nil: nobody waits
}

// A turn is that of a goroutine that waits. It is one of a ring.
type turn struct {
	next  *turn
	write bool
	comes chan struct{} // closed when the goroutine has the lock
}

// Lock locks for writing.
func (l *turnLock) Lock() {
	l.mu.Lock()
	if l.last == nil && l.holders == 0 {
		l.holders = -1
		l.mu.Unlock()
		return
	}
	l.wait(true)
}

// RLock locks for reading.
func (l *turnLock) RLock() {
	l.mu.Lock()
	if l.last == nil && l.holders >= 0 {
		l.holders++
		l.mu.Unlock()
		return
	}
	l.wait(false)
}

// TryLock locks for writing if nobody has the lock, and reports whether it did.
func (l *turnLock) TryLock() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last != nil || l.holders != 0 {
		return false
	}
	l.holders = -1
	return true
}

// wait waits for the caller's turn. mu is held, and isn't afterwards.
func (l *turnLock) wait(write bool) {
	t := &turn{write: write, comes: make(chan struct{})}
	if l.last == nil {
		t.next = t
	} else {
		t.next, l.last.next = l.last.next, t
	}
	l.last = t
	l.mu.Unlock()
	<-t.comes
}

// Unlock ends Lock.
func (l *turnLock) Unlock() { l.end(-1) }

// RUnlock ends RLock.
func (l *turnLock) RUnlock() { l.end(1) }

// end ends a writer's or a reader's hold, and gives the lock to those whose turn it is.
func (l *turnLock) end(held int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held < 0 != (l.holders < 0) || l.holders == 0 {
		panic("shard: a lock is unlocked that isn't locked") // our own bug
	}
	l.holders -= held
	for l.last != nil {
		first := l.last.next
		switch {
		case first.write && l.holders == 0:
			l.holders = -1
		case !first.write && l.holders >= 0:
			l.holders++
		default:
			return
		}
		if first == l.last {
			l.last = nil
		} else {
			l.last.next = first.next
		}
		close(first.comes)
	}
}
