package router

import (
	"bytes"
	"cmp"
	"fmt"

	"holdfast/journal"
	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

// A replicated pool holds each item on all of its members. It makes a promise that other routers
// don't make: no read returns a value older than the last write, delete or flush that was
// acknowledged through this process, even if members fail in between. It keeps this promise by four
// rules:
//
//  1. Writes of one key go to the members one after the other (latches), so that all members apply
//     them in the same order.
//  2. Each member gets a write before the write is acknowledged. A member that doesn't goes down,
//     and the key is added to its journal (outage). If the pool acknowledges a write before all
//     members have it, reads of the key ask the first member or wait until they do.
//  3. A member that is down answers no request until the keys in its journal are deleted on it.
//  4. A write whose outcome depends on the item that is held (add, cas, incr, …) goes to the first
//     member alone. The others are then sent a write that leaves the same item, or a delete. So
//     each member holds the same item under a key, or none.
//
// A read may miss an item that other members hold. After an error a write may have been applied or
// not; once the outcome on all members is known, all reads agree on one of the two.
type replicated struct {
	options *route.Pool
	members []*member
	near    []int // the members that are Near
	latches *latches
	id      uint64 // in the ledger
}

func (p *replicated) forward(l *lane, q *query) {
	switch intentOf(q.request) {
	case intentRead:
		p.read(l, q, p.options.Read == route.ReadFirst)
	case intentReadFirst:
		p.read(l, q, true)
	default:
		p.write(l, q)
	}
}

// An intent is how a request reads or changes what the members hold.
type intent uint8

const (
	intentRead      intent = iota
	intentReadFirst        // a read for a later cas: only the first member's answer is valid
	intentWrite            // a write whose outcome doesn't depend on the item that is held
	intentDepends          // a write whose outcome does
)

func intentOf(r *mc.Request) intent {
	switch r.Op {
	case mc.Get, mc.MetaDebug:
		return intentRead
	case mc.Gets:
		return intentReadFirst
	case mc.Set, mc.Delete, mc.FlushAll:
		return intentWrite
	case mc.MetaGet:
		switch {
		case r.Has('T') || r.Has('E'):
			return intentDepends
		case r.Has('c') || r.Has('C') || r.Has('N') || r.Has('R'):
			return intentReadFirst
		}
		return intentRead
	case mc.MetaSet:
		if r.Has('C') || r.Has('I') || r.Has('E') || r.Has('c') || r.Has('M') && r.Mode != 'S' && r.Mode != 's' {
			return intentDepends
		}
		return intentWrite
	case mc.MetaDelete:
		if r.Has('C') || r.Has('I') || r.Has('E') || r.Has('x') {
			return intentDepends
		}
		return intentWrite
	}
	return intentDepends
}

// first returns the first member that is up, -1 if none is.
func (p *replicated) first() int {
	for i, m := range p.members {
		if m.up() {
			return i
		}
	}
	return -1
}

// A read asks the members one after the other, until one of them answers.
type read struct {
	query
	outer *query
	pool  *replicated
	start int // the index of the first member that it may ask
	tried int // how many members it has considered, from start on
	asked int // the member that was asked last
	cold  int // 1 + the last cold member that missed the key; 0 is none
}

// read begins a read: at the first member that is up, or at one that the pool's policy chooses.
func (p *replicated) read(l *lane, q *query, atFirst bool) {
	hash := keyHash(q.request.Key)
	if p.latches.barrier.holds(l) {
		p.latches.park(q.request.Key, hash, latched{lane: l, read: true, run: func() { p.begin(l, q, true) }})
		return
	}
	if p.latches.busy(hash) {
		first := p.first()
		if p.options.Acknowledge == route.AckFastest || p.options.Acknowledge == route.AckNone {
			first = -1 // a write may have been acknowledged before the first member has it
		}
		wait := latched{lane: l, read: true, run: func() { p.begin(l, q, true) }}
		if p.latches.await(q.request.Key, hash, first, wait) {
			return
		}
		atFirst = true
	}
	p.begin(l, q, atFirst)
}

func (p *replicated) begin(l *lane, q *query, atFirst bool) {
	p = p.latches.newest.Load()
	r := l.takeRead()
	r.request, r.taker = q.request, r
	r.outer, r.pool, r.tried, r.cold = q, p, 0, 0
	switch {
	case atFirst:
		r.start = max(0, p.first())
	case len(p.near) > 0:
		r.start = p.near[l.rand()%uint64(len(p.near))]
	default:
		r.start = int(l.rand() % uint64(len(p.members)))
	}
	r.next(l)
}

// next asks the next member that is up.
func (r *read) next(l *lane) {
	p := r.pool
	for r.tried < len(p.members) {
		i := (r.start + r.tried) % len(p.members)
		r.tried++
		if m := p.members[i]; m.up() {
			r.asked = i
			r.request = p.checkCAS(i, r.outer.request)
			m.route.forward(l, &r.query)
			return
		}
	}
	outer, cold := r.outer, r.cold > 0
	l.putRead(r)
	if cold { // a cold member has answered, with a miss
		outer.respondAbsent(l)
		return
	}
	outer.fail(l, upstream.Down, fmt.Sprintf("no member of %s is up", p.options.Name))
}

func (r *read) take(l *lane, q *query, a *upstream.Answer) {
	if a.Result.Failed() && r.tried < len(r.pool.members) {
		r.next(l)
		return
	}
	switch {
	case a.Result == upstream.Miss && r.tried < len(r.pool.members) && r.pool.members[r.asked].cold():
		r.cold = 1 + r.asked
		r.next(l)
		return
	case a.Result == upstream.Hit && r.cold > 0 && l.fills < fillsAtOnce:
		l.fills++
		r.pool.copyItem(l, bytes.Clone(r.request.Key), r.asked, r.cold-1, func(bool) { l.fills-- })
	}
	outer := r.outer
	if a.Result == upstream.Hit && intentOf(r.request) == intentReadFirst {
		a = r.pool.markCAS(r.asked, a, r.request)
	}
	l.putRead(r)
	outer.taker.take(l, outer, a)
}

func (l *lane) takeRead() *read {
	if last := len(l.reads) - 1; last >= 0 {
		r := l.reads[last]
		l.reads = l.reads[:last]
		return r
	}
	return &read{}
}

func (l *lane) putRead(r *read) {
	*r = read{}
	l.reads = append(l.reads, r)
}

// A write is in flight to the members of a replicated pool. It holds the latch of its key.
type write struct {
	pool    *replicated
	outer   *query      // nil once it is acknowledged
	request *mc.Request // borrows nothing
	hash    uint64
	depends bool // it goes to the first member alone, and then to the others
	first   int  // the member that it goes to first
	parts   []part
	open    int             // members whose outcome is not known yet
	done    int             // members that have it
	best    upstream.Answer // the answer for the client so far
	failure upstream.Answer // of the first member that failed

	noted       journal.Note // in the ledger, from before it is sent until it ends
	unjournaled bool         // a journal could not store the key of a missed write: the note stays
	answered    bool         // there is a best
	firstDone   bool         // the first member has answered
	decided     bool         // best is final
}

// A part is the part of a write that goes to one member.
type part struct {
	query
	write    *write
	member   int
	compare  []byte // the first member's answer, if this member's must be equal; else nil
	deleting bool   // a delete, after the member refused the write or had another outcome
}

// write latches the key and begins.
func (p *replicated) write(l *lane, q *query) {
	w := &write{pool: p, outer: q, request: detach(q.request), hash: keyHash(q.request.Key)}
	w.depends = intentOf(w.request) == intentDepends
	if p.latches.acquire(w.request.Key, w.hash, latched{lane: l, run: func() { w.begin(l) }}) {
		w.begin(l)
	}
}

// begin sends the write to all members, or to the first one alone. They are the members of the
// newest tree, even if the request came by an older one: reads may already ask a member that has
// joined.
func (w *write) begin(l *lane) {
	w.pool = w.pool.latches.newest.Load()
	p := w.pool
	w.parts = make([]part, len(p.members))
	for i := range w.parts {
		w.parts[i] = part{write: w, member: i}
	}
	w.first = p.first()
	if w.first < 0 {
		w.outerFail(l, fmt.Sprintf("no member of %s is up", p.options.Name))
		p.latches.release(w.request.Key, w.hash)
		return
	}
	p.latches.setFirst(w.request.Key, w.hash, w.first)
	w.noted = l.notes.Begin(p.id, w.request.Key)
	if w.depends {
		w.open = 1
		w.send(l, w.first, p.checkCAS(w.first, w.request))
		return
	}
	w.open = len(p.members) + 1 // one more for this loop, since answers may come at once
	if p.options.Acknowledge == route.AckNone {
		w.acknowledge(l, nil)
	}
	for i := range p.members {
		w.send(l, i, w.request)
	}
	w.open--
	w.advance(l)
}

// send sends a member its part. If the member is down, take adds the key to its journal.
func (w *write) send(l *lane, i int, r *mc.Request) {
	part := &w.parts[i]
	part.request, part.taker = r, part
	w.pool.members[i].route.forward(l, &part.query)
}

// take finishes a member's part once it is certain that the member has the write, holds nothing
// under the key, or has the key in its journal.
func (part *part) take(l *lane, _ *query, a *upstream.Answer) {
	w := part.write
	switch {
	case a.Result.Failed() && a.Result != upstream.ServerError:
		w.missed(l, part, a)
	case part.deleting && a.Result == upstream.ServerError:
		w.missed(l, part, &upstream.Answer{Result: upstream.Closed, Wire: a.Wire})
	case part.deleting:
		w.open--
		w.advance(l)
	case w.depends && part.member == w.first && !w.decided:
		w.decide(l, a)
	case a.Result == upstream.ServerError, part.compare != nil && string(a.Wire) != string(part.compare):
		w.keepBest(part.member, a)
		part.delete(l)
	default:
		if !w.decided {
			w.keepBest(part.member, a)
		}
		w.firstDone = w.firstDone || part.member == w.first
		w.done++
		w.open--
		w.advance(l)
	}
}

// delete deletes the key on the member, which may hold the item from before the write.
func (part *part) delete(l *lane) {
	part.deleting, part.compare = true, nil
	part.write.send(l, part.member, deleteOf(part.write.request))
}

// keepBest keeps the answer for the client: the best one, and among equal ones the first member's.
func (w *write) keepBest(member int, a *upstream.Answer) {
	if !w.answered || a.Result < w.best.Result || a.Result == w.best.Result && member == w.first {
		w.answered = true
		w.best = a.Own()
	}
}

// missed adds the key to the journal of a member that didn't get the write, or may not have got it.
func (w *write) missed(l *lane, part *part, a *upstream.Answer) {
	if w.failure.Wire == nil {
		w.failure = a.Own()
	}
	at := w.pool.members[part.member].to.Outage
	cause := fmt.Errorf("a write failed: %s", a.Wire)
	sent := a.Result.CountsAsSent() || part.deleting || part.compare != nil
	at.Missed(l.Lane, w.request.Key, sent, cause,
		func() { w.send(l, part.member, part.request) },
		func(err error) { w.afterMissed(l, sent, err) })
}

// afterMissed continues once the journal of a member that is down has the key. An error is that the
// journal may not have it, so that the write can't be acknowledged.
func (w *write) afterMissed(l *lane, sent bool, err error) {
	if err != nil {
		w.failure = upstream.Answer{Result: upstream.ServerError, Wire: mc.AppendServerError(nil, err.Error())}
		w.done = -len(w.parts)
		w.unjournaled = true
	}
	if w.depends && !w.decided && !sent && err == nil { // the first member hasn't seen it: ask the next
		if first := w.pool.first(); first >= 0 {
			w.first = first
			w.pool.latches.setFirst(w.request.Key, w.hash, first)
			w.send(l, first, w.pool.checkCAS(first, w.request))
			return
		}
	}
	w.open--
	w.advance(l)
}

// decide continues a write that depends on what is held, once the first member has answered it.
func (w *write) decide(l *lane, a *upstream.Answer) {
	w.decided, w.answered = true, true
	w.best = a.Own()
	if a.Result == upstream.ServerError { // whether it still holds the item from before isn't known
		w.open += len(w.parts) - 1
		for i := range w.parts {
			w.parts[i].delete(l)
		}
		return
	}
	w.done++
	w.open--
	next, same := followUp(w.request, a.Result)
	if a.Result == upstream.Done || a.Result == upstream.Hit {
		w.best = *w.pool.markCAS(w.first, &w.best, w.request)
	}
	if next == nil {
		w.advance(l)
		return
	}
	w.open += len(w.parts) // the first member's stands for this loop
	for i := range w.parts {
		if i == w.first {
			continue
		}
		if same {
			w.parts[i].compare = append([]byte(nil), a.Wire...)
		}
		w.parts[i].deleting = next.Op == mc.Delete || next.Op == mc.MetaDelete
		w.send(l, i, next)
	}
	w.open--
	w.advance(l)
}

// advance acknowledges the write as soon as the pool's policy allows, and ends it once the outcome
// on all members is known.
func (w *write) advance(l *lane) {
	p := w.pool
	if w.open > 0 {
		if w.outer == nil || w.done <= 0 {
			return
		}
		firstDone := w.decided || w.firstDone
		switch p.options.Acknowledge {
		case route.AckFirst:
			if firstDone {
				w.acknowledge(l, &w.best)
			}
		case route.AckMajority:
			if firstDone && w.done > len(p.members)/2 {
				w.acknowledge(l, &w.best)
			}
		case route.AckFastest:
			w.acknowledge(l, &w.best)
		}
		return
	}
	switch {
	case w.outer == nil:
	case w.answered && w.done >= 0:
		w.acknowledge(l, &w.best)
	default:
		w.acknowledge(l, &w.failure)
	}
	if !w.unjournaled {
		l.notes.End(w.noted)
	}
	p.latches.release(w.request.Key, w.hash)
}

// acknowledge answers the client. Nil is the answer of a write that succeeded.
func (w *write) acknowledge(l *lane, a *upstream.Answer) {
	outer := w.outer
	w.outer = nil
	if a == nil {
		outer.respond(l, upstream.Done)
		return
	}
	outer.taker.take(l, outer, a)
}

func (w *write) outerFail(l *lane, text string) {
	outer := w.outer
	w.outer = nil
	outer.fail(l, upstream.Down, text)
}

// nearMembers returns the indexes of the members to ask first.
func nearMembers(o *route.Pool) []int {
	var near []int
	for i, m := range o.Members {
		if m.Near && cmp.Or(o.Read, route.ReadRandom) == route.ReadNear {
			near = append(near, i)
		}
	}
	return near
}
