package router

import (
	"bytes"
	"math/rand/v2"

	"holdfast/mc"
	"holdfast/upstream"
)

// pieces are the requests for all pieces of a value, of which at most maxPiecesOpen are in flight.
type pieces struct {
	route   *chunked
	count   int
	request func(i int) *mc.Request
	keep    func(i int, a *upstream.Answer) bool // takes an answer; false if the piece failed
	// done is called with the number of pieces that were sent, and the answer to the first that
	// failed, or nil. That answer borrows nothing.
	done func(l *lane, sent int, failure *upstream.Answer)

	next    int // the piece that is sent next
	open    int // in flight
	sending bool
	failed  *upstream.Answer // to the first piece that failed
}

func (p *pieces) send(l *lane) {
	p.sending = true // answers may arrive during forward
	for p.next < p.count && p.open < maxPiecesOpen && p.failed == nil {
		one := &piece{of: p, index: p.next}
		one.request, one.taker = p.request(p.next), one
		p.next++
		p.open++
		p.route.target.forward(l, &one.query)
	}
	p.sending = false
	if p.open == 0 {
		p.done(l, p.next, p.failed)
	}
}

// A piece is the request for one of the pieces.
type piece struct {
	query
	of    *pieces
	index int
}

func (one *piece) take(l *lane, _ *query, a *upstream.Answer) {
	p := one.of
	p.open--
	if p.failed == nil && !p.keep(one.index, a) {
		failed := a.Own()
		p.failed = &failed
	}
	if !p.sending {
		p.send(l)
	}
}

// store stores the pieces of a value and then the manifest, or the value itself if it is small.
func (c *chunked) store(l *lane, q *query) {
	r := q.request
	if len(r.Value) <= c.bytes && !marked(r.Value) {
		c.target.forward(l, q)
		return
	}
	m := manifest{pieceBytes: c.bytes, total: len(r.Value), suffix: rand.Uint64()}
	m.pieces = m.count()
	if m.pieces > maxPieces {
		if r.Op == mc.Set { // like memcached, which deletes the old value if the new one is too large
			c.target.forward(l, &query{request: upstream.DeleteRequest(bytes.Clone(r.Key)), taker: discard{}})
		}
		q.taker.take(l, q, &upstream.Answer{Result: upstream.ClientError, Wire: []byte(mc.TooLarge)})
		return
	}
	p := &pieces{route: c, count: m.pieces}
	p.request = func(i int) *mc.Request {
		from, to := m.piece(i)
		return &mc.Request{Op: mc.Set, Key: pieceKey(r.Key, m.suffix, i), Value: r.Value[from:to],
			ClientFlags: r.ClientFlags, Exptime: r.Exptime}
	}
	p.keep = func(_ int, a *upstream.Answer) bool { return a.Result == upstream.Done }
	p.done = func(l *lane, sent int, failure *upstream.Answer) {
		if failure == nil {
			c.storeManifest(l, q, m)
			return
		}
		c.deletePieces(l, bytes.Clone(r.Key), m.suffix, sent)
		q.taker.take(l, q, failure)
	}
	p.send(l)
}

func (c *chunked) storeManifest(l *lane, q *query, m manifest) {
	inner := *q.request
	inner.Value = m.append(nil)
	c.target.forward(l, &query{request: &inner, taker: takeFunc(func(l *lane, _ *query, a *upstream.Answer) {
		switch {
		case a.Result == upstream.Done && q.request.Has('s'):
			a = &upstream.Answer{Result: a.Result, Wire: ofSize(a.Wire, m.total)}
		case a.Result != upstream.Done && !a.Result.Failed():
			c.deletePieces(l, bytes.Clone(q.request.Key), m.suffix, m.pieces)
		}
		q.taker.take(l, q, a)
	})})
}

// deletePieces deletes pieces that no manifest refers to. Their answers are ignored.
func (c *chunked) deletePieces(l *lane, key []byte, suffix uint64, count int) {
	p := &pieces{route: c, count: count}
	p.request = func(i int) *mc.Request { return &mc.Request{Op: mc.Delete, Key: pieceKey(key, suffix, i)} }
	p.keep = func(int, *upstream.Answer) bool { return true }
	p.done = func(*lane, int, *upstream.Answer) {}
	p.send(l)
}

// extend forwards an append or a prepend, unless the item is a manifest.
func (c *chunked) extend(l *lane, q *query) {
	look := metaOf(mc.MetaGet, q.request.Key, "v f")
	if mc.IsGraphic(q.request.Key) {
		look = &mc.Request{Op: mc.Get, Key: q.request.Key, Last: true}
	}
	c.target.forward(l, &query{request: look, taker: takeFunc(func(l *lane, _ *query, a *upstream.Answer) {
		item, ok := parseItem(a.Wire)
		switch {
		case a.Result == upstream.Hit && ok && (marked(item.value) || c.holdsTheirs(&item)):
			q.failClient(l, "a value stored in pieces can't be appended to")
		case a.Result == upstream.Hit || a.Result == upstream.Miss:
			c.target.forward(l, q)
		default:
			q.taker.take(l, q, a)
		}
	})})
}

// holdsTheirs reports whether the item is a big value that mcrouter stored.
func (c *chunked) holdsTheirs(item *foundItem) bool {
	_, ok := parseBigValue(item.clientFlags, item.value)
	return ok && c.theirs
}

// A chunkRead is a read that may find a manifest.
type chunkRead struct {
	query
	route *chunked
	outer *query
	manifest
	first mc.Answer // the line of the answer; borrows nothing once pieces are requested
	whole []byte    // the answer with the value, which begins at byte start; nil if only the TTL is changed
	start int
}

// read requests the value wherever a manifest must be recognized: also if the client asks only for
// its size, or changes only its TTL.
func (c *chunked) read(l *lane, q *query) {
	r := q.request
	switch {
	case r.Op == mc.Touch:
		r = &mc.Request{Op: mc.Gat, Key: r.Key, Exptime: r.Exptime, Last: true}
	case r.Op != mc.MetaGet || r.Has('v'):
	case r.Has('s') || r.Has('T'):
		r = withFlag(r, 'v', "")
	default:
		c.target.forward(l, q)
		return
	}
	if c.theirs && r.Op == mc.MetaGet && !r.Has('f') {
		r = withFlag(r, 'f', "") // a big value is recognized by its client flags
	}
	s := &chunkRead{route: c, outer: q}
	s.request, s.taker = r, s
	c.target.forward(l, &s.query)
}

func (s *chunkRead) take(l *lane, _ *query, a *upstream.Answer) {
	if a.Result != upstream.Hit {
		s.missed(l, a)
		return
	}
	value, ok := s.first.Parse(a.Wire)
	theirs, isTheirs := s.bigValue(value)
	cut := s.request.Has('f') && !s.outer.request.Has('f') // the client didn't ask for it
	if cut {
		s.first.Args = withoutFlag(s.first.Args, 'f')
	}
	switch {
	case !ok:
		s.outer.respondAbsent(l)
	case isTheirs:
		s.ownFirst()
		s.join(l, theirs)
	case !marked(value):
		whole := a.Wire
		if cut {
			whole = appendWhole(make([]byte, 0, len(a.Wire)), &s.first, value)
		}
		s.forward(l, len(value), whole)
	default:
		if s.manifest, ok = parseManifest(value); !ok {
			s.outer.respondAbsent(l)
			return
		}
		s.ownFirst()
		s.gather(l)
	}
}

// ownFirst copies what first borrows.
func (s *chunkRead) ownFirst() {
	s.first.Key, s.first.Args = bytes.Clone(s.first.Key), bytes.Clone(s.first.Args)
}

// missed answers with a result other than a hit. For a touch, a is the answer to a gat.
func (s *chunkRead) missed(l *lane, a *upstream.Answer) {
	if a.Result == upstream.Miss {
		s.outer.respondAbsent(l)
		return
	}
	s.outer.taker.take(l, s.outer, a)
}

// forward answers the client's request. whole is the answer with the value, which has size bytes.
func (s *chunkRead) forward(l *lane, size int, whole []byte) {
	r := s.outer.request
	switch {
	case r.Op == mc.Touch:
		s.outer.respond(l, upstream.Done)
	case r.Op == mc.MetaGet && !r.Has('v'):
		s.outer.taker.take(l, s.outer, &upstream.Answer{Result: upstream.Hit, Wire: s.appendLine(nil, mc.AnswerHD, size)})
	default:
		s.outer.taker.take(l, s.outer, &upstream.Answer{Result: upstream.Hit, Wire: whole})
	}
}

// appendLine appends the line of first, but with this kind and for a value of this size.
func (s *chunkRead) appendLine(dst []byte, kind mc.AnswerKind, size int) []byte {
	line := s.first
	line.Kind, line.ValueBytes = kind, size
	if kind != mc.AnswerValue {
		line.Args = replaceFlag(line.Args, 's', mc.AppendUint(nil, uint64(size)))
	}
	return append(line.AppendLine(dst), mc.CRLF...)
}

// gather gets, or touches, the pieces that the manifest refers to.
func (s *chunkRead) gather(l *lane) {
	r := s.outer.request
	piece := mc.Request{Op: mc.Get, Exptime: r.Exptime, Last: true}
	touches := r.Op == mc.Gat || r.Op == mc.Gats || r.Op == mc.Touch || r.Has('T')
	reads := r.Op.IsGet() || r.Has('v')
	switch {
	case touches && reads:
		piece.Op = mc.Gat
	case touches:
		piece.Op = mc.Touch
	case !reads: // only the size is asked for
		s.forward(l, s.total, nil)
		return
	}
	if reads {
		head := s.appendLine(nil, s.first.Kind, s.total)
		s.start = len(head)
		s.whole = append(make([]byte, 0, len(head)+s.total+len(mc.CRLF)), head...)[:len(head)+s.total]
	}
	p := &pieces{route: s.route, count: s.pieces, keep: s.piece, done: s.gathered}
	p.request = func(i int) *mc.Request {
		own := piece
		own.Key = pieceKey(r.Key, s.suffix, i)
		return &own
	}
	p.send(l)
}

// piece copies a piece to its place in whole.
func (s *chunkRead) piece(i int, a *upstream.Answer) bool {
	if s.whole == nil {
		return a.Result == upstream.Done
	}
	from, to := s.manifest.piece(i)
	value, ok := blockOf(a)
	if !ok || len(value) != to-from {
		return false
	}
	copy(s.whole[s.start+from:], value)
	return true
}

func (s *chunkRead) gathered(l *lane, _ int, failure *upstream.Answer) {
	if failure != nil {
		s.lost(l, failure)
		return
	}
	s.forward(l, s.total, append(s.whole, mc.CRLF...))
}

// lost answers when a piece is missing, or could not be read.
func (s *chunkRead) lost(l *lane, failure *upstream.Answer) {
	if failure.Result.Failed() || failure.Result == upstream.ClientError {
		s.outer.taker.take(l, s.outer, failure)
		return
	}
	s.outer.respondAbsent(l)
}

// blockOf returns the value of a hit.
func blockOf(a *upstream.Answer) ([]byte, bool) {
	var first mc.Answer
	value, ok := first.Parse(a.Wire)
	return value, ok && a.Result == upstream.Hit && value != nil
}

// ofSize returns an answer to a meta set with the size of the whole value.
func ofSize(wire []byte, size int) []byte {
	var first mc.Answer
	if _, ok := first.Parse(wire); !ok {
		return wire
	}
	first.Args = replaceFlag(first.Args, 's', mc.AppendUint(nil, uint64(size)))
	return appendWhole(nil, &first, nil)
}
