package upstream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/mc"
)

// Owed is the deletes that an upstream refused with SERVER_ERROR while it was up: a proxy does that
// while the server behind it is down. Taking the upstream down, as for a delete that was lost,
// would make all of its other keys unavailable. So the delete is answered as done, and
//
//  1. until the upstream has accepted it, reads of the key are misses, and commands that depend on
//     the item find none;
//  2. it is sent again, on a connection of its own, until the upstream accepts it;
//  3. stores are sent as usual. The delete may then remove a newer item, which is a miss and no
//     stale read.
//
// A router that stops leaves them in the upstream's journal. Against a kill, the first maxOwedNotes
// of an upstream stay in the ledger of writes in flight, if there is a journal directory, and the
// next start recovers them.
type Owed struct {
	of    *Upstream
	count atomic.Int32 // of keys; most reads look no further than that it is 0

	mu      sync.Mutex        // guards what follows; nothing is locked with it
	keys    map[string]func() // what ends a key's note, or nil
	sending bool
}

// Limits of owed deletes.
const (
	MaxOwed      = 100_000 // keys of one upstream; beyond, it is taken down, and its journal has them
	maxOwedNotes = 256     // of those, how many keep their places in the ledger
	owedBatch    = 64      // deletes that are sent at once
	owedMin      = time.Second
	owedMax      = 10 * time.Second
)

// Add records a delete that the upstream refused, and calls end once the ledger needn't have it any
// more. It returns false, and doesn't call end, if there are MaxOwed already.
func (o *Owed) Add(key []byte, end func()) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, already := o.keys[string(key)]
	switch {
	case already:
		end() // the one before is noted
	case len(o.keys) >= MaxOwed:
		return false
	default:
		if o.keys == nil {
			o.keys = map[string]func(){}
		}
		if len(o.keys) >= maxOwedNotes {
			end()
			end = nil
		}
		o.keys[string(key)] = end
		o.count.Add(1)
	}
	if !o.sending {
		o.sending = true
		o.of.log.Warn("a delete was refused; it is sent again until the member accepts it", "member", o.of.Address)
		go o.send()
	}
	return true
}

// Has reports whether a delete of the key is owed.
func (o *Owed) Has(key []byte) bool {
	if o.count.Load() == 0 {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	_, found := o.keys[string(key)]
	return found
}

// send sends the owed deletes again and again, until the upstream has accepted all or is closed.
func (o *Owed) send() {
	d := o.of
	for wait := owedMin; ; wait = min(2*wait, owedMax) {
		if !Wait(d.clock, wait, d.closed) {
			return
		}
		if d.Up() {
			if err := o.trySend(); err != nil {
				d.log.Debug("deletes are still owed", "member", d.Address, "err", err)
			}
		}
		if o.nothing() {
			d.log.Info("the member has accepted all owed deletes", "member", d.Address)
			return
		}
	}
}

// nothing reports whether no delete is owed any more. Then the next Add starts send again.
func (o *Owed) nothing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sending = len(o.keys) > 0
	return !o.sending
}

// trySend sends each owed delete once, and drops those that the upstream accepts.
func (o *Owed) trySend() error {
	conn, err := o.of.dial(context.Background())
	if err != nil {
		return err
	}
	defer conn.Close()
	side := newSide(conn, o.of.Timeout)
	keys := o.list()
	for len(keys) > 0 {
		batch := keys[:min(owedBatch, len(keys))]
		keys = keys[len(batch):]
		var b []byte
		for _, key := range batch {
			b = mc.AppendRequest(b, DeleteRequest([]byte(key)))
		}
		if err := side.send(b); err != nil {
			return err
		}
		for _, key := range batch {
			a, _, err := side.answer()
			if err != nil {
				return err
			}
			switch a.Kind {
			case mc.AnswerDeleted, mc.AnswerNotFound, mc.AnswerHD, mc.AnswerNF:
				o.paid(key)
			}
		}
	}
	return nil
}

func (o *Owed) list() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	keys := make([]string, 0, len(o.keys))
	for key := range o.keys {
		keys = append(keys, key)
	}
	return keys
}

// paid drops a key whose delete the upstream has accepted.
func (o *Owed) paid(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if end, found := o.keys[key]; found {
		delete(o.keys, key)
		o.count.Add(-1)
		if end != nil {
			end()
		}
	}
}

// Leave adds the keys of owed deletes to the journal, for the next start.
func (o *Owed) Leave() error {
	keys, outage := o.list(), o.of.Outage
	if len(keys) == 0 || outage == nil {
		return nil
	}
	for _, key := range keys {
		outage.journal.Add([]byte(key))
	}
	return outage.journal.Begin()
}
