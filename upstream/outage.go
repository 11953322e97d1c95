package upstream

import (
	"sync"

	"holdfast/journal"
)

// An Outage is the record of what an upstream with a journal misses while it is down, and the way
// that it comes back:
//
//  1. A write fails on the upstream, which may have applied it or not. Under Upstream.mu the
//     upstream goes down, and the key is added to its journal. Only then is the client answered.
//  2. The keys of writes that come while it is down are added to the journal, under the same lock.
//  3. Each lane breaks its connections to the upstream and drops what they had to send. So no write
//     from before can leave this machine any more.
//  4. A probe is answered. Writes that had reached the upstream's machine before may still wait to
//     be read there, after the probe: fence waits until the upstream has closed the earlier
//     connections.
//  5. The keys in the journal are deleted on the upstream, which serves no reads and gets no writes
//     yet. If the journal was cut, everything is flushed instead.
//  6. Under Upstream.mu: if nothing was added to the journal after the last delete, the outage ends
//     and the upstream is up. Otherwise step 5 is repeated.
type Outage struct {
	of      *Upstream
	journal *journal.Journal
	marker  Marker // nil if the journal is in memory

	mu     sync.Mutex     // guards what follows; taken after Upstream.mu
	broken sync.WaitGroup // lanes that have not broken their connections
	local  []string       // our ends of connections that the upstream may still have: "tcp:host:port"
	// strangers is true while the upstream may have unread connections of the process before this one,
	// whose ends it is not known.
	strangers bool
	begin     []func(error) // who waits for the journal's begin
}

// A Marker keeps a mark on each upstream that has a journal on disk, by which it finds out that a
// journal isn't the one that counts for the upstream.
type Marker interface {
	// Check is called before the keys in the journal are deleted. It may mark the journal as cut.
	Check(*Side, *Upstream) error
	// Mark is called before the upstream counts as up.
	Mark(*Side, *Upstream) error
}

// A missed says what has to follow a write that an upstream has missed.
type missed uint8

const (
	missedKept  missed = iota // the journal has it
	missedBegin               // likewise, but a crash may lose it until the outage has begun on disk
	missedSend                // the upstream is up again: the write can be sent, and isn't in the journal
)

// Missed records that the upstream did not get a write of key or, if it was sent, may not have got
// it. The lane l is locked, and one of the functions is called on it: again, perhaps at once, if
// nothing was sent and the upstream is up again, so that the write can be; kept otherwise, once the
// journal has the key. Kept's error is that a crash could lose what the journal has, so that the
// write can't be acknowledged.
func (a *Outage) Missed(l *Lane, key []byte, sent bool, cause error, again func(), kept func(error)) {
	a.follow(l, a.add(key, sent, cause), again, kept)
}

// MissedFlush is Missed of a flush_all.
func (a *Outage) MissedFlush(l *Lane, sent bool, cause error, again func(), kept func(error)) {
	a.follow(l, a.addFlush(sent, cause), again, kept)
}

// Suspect takes down an upstream that has missed nothing, but may read late what it was sent. Kept
// is called as Missed does.
func (a *Outage) Suspect(l *Lane, cause error, kept func(error)) {
	a.follow(l, a.addNothing(cause), nil, kept)
}

// MissedAll records that the upstream may not have got writes of the keys. An error is that a crash
// could lose that.
func (a *Outage) MissedAll(keys [][]byte, cause error) error {
	durable := true
	for _, key := range keys {
		durable = a.add(key, true, cause) == missedKept && durable
	}
	if durable {
		return nil
	}
	return a.journal.Begin()
}

func (a *Outage) add(key []byte, sent bool, cause error) missed {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	if a.of.Up() {
		if !sent {
			return missedSend
		}
		a.of.goDown(cause)
	}
	return inJournal(a.journal.Add(key))
}

func (a *Outage) addFlush(sent bool, cause error) missed {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	if a.of.Up() {
		if !sent {
			return missedSend
		}
		a.of.goDown(cause)
	}
	return inJournal(a.journal.MarkCut("a flush was missed"))
}

// addNothing takes the upstream down. Its answer is never missedSend.
func (a *Outage) addNothing(cause error) missed {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	if a.of.Up() {
		a.of.goDown(cause)
	}
	return inJournal(a.journal.Add()) // no key: the outage begins
}

func inJournal(durable bool) missed {
	if durable {
		return missedKept
	}
	return missedBegin
}

// follow goes on after what became of a request that the upstream has missed.
func (a *Outage) follow(l *Lane, m missed, again func(), kept func(error)) {
	switch m {
	case missedSend:
		again()
	case missedKept:
		kept(nil)
	case missedBegin:
		a.beginDurably(func(err error) {
			l.loop.Post(func() { l.Enter(func() { kept(err) }) })
		})
	}
}

// beginDurably makes it durable that the upstream is down, and then calls f on another goroutine.
// It doesn't wait.
func (a *Outage) beginDurably(f func(error)) {
	a.mu.Lock()
	a.begin = append(a.begin, f)
	first := len(a.begin) == 1
	a.mu.Unlock()
	if !first {
		return
	}
	go func() {
		for {
			a.mu.Lock()
			waiting := a.begin
			a.mu.Unlock()
			err := a.journal.Begin()
			for _, f := range waiting {
				f(err)
			}
			a.mu.Lock()
			a.begin = a.begin[len(waiting):]
			done := len(a.begin) == 0
			a.mu.Unlock()
			if done {
				return
			}
		}
	}()
}

// breakConnections has all lanes close their connections to the upstream, whose mu is held.
func (a *Outage) breakConnections() {
	d := a.of
	a.broken.Add(len(d.lanes))
	for _, l := range d.lanes {
		l.loop.Post(func() {
			defer a.broken.Done()
			l.Enter(func() {
				for _, k := range l.linksTo(d) {
					k.cut()
				}
			})
		})
	}
}

// connected notes our end of a connection that was made.
func (a *Outage) connected(local string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.local = append(a.local, local)
}

// SetStrangers notes that the upstream may have unread connections of an earlier process.
func (a *Outage) SetStrangers() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.strangers = true
}
