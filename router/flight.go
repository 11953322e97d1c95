package router

import (
	"holdfast/mc"
	"holdfast/upstream"
)

// A flight is a batch in flight. It has a place for each of the requests, whose answers are written
// in order.
type flight struct {
	lane   *lane
	batch  *mc.Batch
	places []place
	head   int    // the first place whose answer isn't in the batch yet
	open   int    // places without an answer
	bytes  int    // of the answers so far
	held   []byte // answers that came before those ahead of them
	failed []byte // the error of a get line in progress, which ends it instead of END
}

// A place is that of one request's answer in the flight.
type place struct {
	query
	flight   *flight
	answered bool
	result   upstream.Result
	from, to int // of the answer in flight.held
}

// How many requests of a batch are in flight at once, its window: all of them, unless answers are
// large, or the lane holds many bytes of answers already.
const (
	windowBytes  = 1 << 20 // the answers that a window should bring, if they are as large as the last ones
	narrowWindow = 4
	answersMax   = 64 << 20 // bytes of answers that a lane holds, above which windows are narrow
	meanShare    = 64       // an answer counts 1/meanShare in the mean
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

// launch sends the batch's requests, or as many as fit into a window.
func (l *lane) launch(b *mc.Batch) {
	f := l.takeFlight(b)
	t := l.router.tree.Load().at(b.Entry)
	f.open++ // until all are sent: otherwise the first answers could end the flight
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

// take writes the answer to the batch if all answers before it are there, and keeps it otherwise.
func (p *place) take(l *lane, _ *query, a *upstream.Answer) {
	if a.Missed && a.Result.Failed() {
		p.respond(l, upstream.Miss)
		return
	}
	f := p.flight
	p.answered, p.result = true, a.Result
	l.counts.note(p.request, a.Result)
	f.open--
	f.bytes += len(a.Wire)
	f.lane.answerBytes += len(a.Wire)
	f.lane.meanBytes += (len(a.Wire) - f.lane.meanBytes) / meanShare
	if p != &f.places[f.head] {
		p.from = len(f.held)
		f.held = append(f.held, a.Wire...)
		p.to = len(f.held)
		return
	}
	f.put(p, a.Wire)
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
	case !p.result.Failed() && p.result != upstream.ClientError:
		b.Out = append(b.Out, wire...)
	case len(f.failed) == 0:
		f.failed = append(f.failed, wire...)
	}
	if !r.Last {
		return
	}
	if len(f.failed) > 0 { // the error after the values tells the client that more may be missing
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
	b.Carry = append(b.Carry, f.failed...) // for the rest of a get line that continues in the next flight
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
