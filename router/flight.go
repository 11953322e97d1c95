package router

import (
	"holdfast/mc"
)

// A flight is a batch in flight: a place for each of its requests, whose answers go out in order.
type flight struct {
	lane   *lane
	batch  *mc.Batch
	places []place
	head   int    // the first place whose answer isn't in the batch
	open   int    // places that have no answer
	bytes  int    // of answers so far
	held   []byte // answers that came before their turn
	failed []byte // the error of a get line in progress, which ends it in the place of END
}

// A place is where the answer of one request belongs.
type place struct {
	query
	flight   *flight
	answered bool
	result   result
	from, to int // of the answer in flight.held
}

// How many requests of a batch are in flight at once: as many as a batch has, unless answers are
// large, or the lane holds many already, whose clients wait for others.
const (
	windowBytes  = 1 << 20 // of answers that a window is to bring, by what the last ones were like
	narrowWindow = 4
	answersMax   = 64 << 20 // bytes of a lane from where on its windows are narrow
	meanShare    = 64       // of which one answer counts
)

func (l *lane) window() int {
	if l.answerBytes > answersMax {
		return narrowWindow
	}
	return max(narrowWindow, min(windowBytes/max(l.meanBytes, 1), mc.MaxRequests))
}

// spareFlights is how many flights a lane keeps for its next batches.
const spareFlights = 256

// spareHeldBytes is how much memory a flight may keep for the next batch.
const spareHeldBytes = 64 << 10

// launch sends the batch in flight, or as much of it as fits.
func (l *lane) launch(b *mc.Batch) {
	f := l.takeFlight(b)
	t := l.router.tree.Load().at(b.Entry)
	f.open++ // until all are in flight, or the first answers would end the flight
	for i := range f.places {
		p := &f.places[i]
		p.request, p.taker, p.flight = &b.Requests[b.Next+i], p, f
		t.dispatch(l, &p.query)
	}
	f.open--
	f.end()
}

func (l *lane) takeFlight(b *mc.Batch) *flight {
	var f *flight
	if last := len(l.flights) - 1; last >= 0 {
		f = l.flights[last]
		l.flights = l.flights[:last]
	} else {
		f = &flight{lane: l}
	}
	f.batch = b
	n := min(len(b.Requests)-b.Next, l.window())
	if cap(f.places) < n {
		f.places = make([]place, n, max(n, 4))
	}
	f.places = f.places[:n]
	f.open, f.head, f.bytes = n, 0, 0
	f.failed = append(f.failed[:0], b.Carry...)
	b.Carry = b.Carry[:0]
	return f
}

// take puts the answer where it belongs: out, if all before it are out.
func (p *place) take(l *lane, _ *query, a *answer) {
	if a.missed && a.result.failed() {
		p.respond(l, resultMiss)
		return
	}
	f := p.flight
	p.answered, p.result = true, a.result
	l.counts.note(p.request, a.result)
	f.open--
	f.bytes += len(a.wire)
	f.lane.answerBytes += len(a.wire)
	f.lane.meanBytes += (len(a.wire) - f.lane.meanBytes) / meanShare
	if p != &f.places[f.head] {
		p.from = len(f.held)
		f.held = append(f.held, a.wire...)
		p.to = len(f.held)
		return
	}
	f.put(p, a.wire)
	for f.head++; f.head < len(f.places) && f.places[f.head].answered; f.head++ {
		next := &f.places[f.head]
		f.put(next, f.held[next.from:next.to])
	}
	f.end()
}

// put writes one answer for the client.
func (f *flight) put(p *place, wire []byte) {
	b, r := f.batch, p.request
	switch {
	case !r.Op.IsGet():
		if !silent(r, p.result) {
			b.Out = append(b.Out, wire...)
		}
		return
	case !p.result.failed() && p.result != resultClientError:
		b.Out = append(b.Out, wire...)
	case len(f.failed) == 0:
		f.failed = append(f.failed, wire...)
	}
	if !r.Last {
		return
	}
	if len(f.failed) > 0 { // the values that were found stand, and the client learns that more may be missing
		b.Out = append(b.Out, f.failed...)
		f.failed = f.failed[:0]
		return
	}
	b.Out = append(b.Out, mc.End...)
}

// end ends the batch once all places are answered.
func (f *flight) end() {
	if f.open > 0 {
		return
	}
	l, b := f.lane, f.batch
	b.Next += len(f.places)
	b.Carry = append(b.Carry, f.failed...) // for the rest of a get line that was too long for this flight
	clear(f.places)
	f.batch = nil
	f.held = f.held[:0]
	if cap(f.held) > spareHeldBytes {
		f.held = nil
	}
	l.answerBytes -= f.bytes
	if len(l.flights) < spareFlights {
		l.flights = append(l.flights, f)
	}
	b.Done()
}
