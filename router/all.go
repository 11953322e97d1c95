package router

import "holdfast/upstream"

// severity orders results from good to bad, as mcrouter's resultSeverity does
// (mcrouter/lib/McResUtil.h).
func severity(r upstream.Result) int {
	switch r {
	case upstream.Hit, upstream.Done, upstream.Exists:
		return 1
	case upstream.Miss, upstream.NotStored, upstream.NotFound:
		return 2
	case upstream.ServerError:
		return 4
	case upstream.ClientError:
		return 5
	}
	return 3 // the member wasn't reached or didn't answer
}

func worse(r, other upstream.Result) bool {
	return severity(r) > severity(other)
}

// worst returns a route that sends a request to all routes, and answers with the worst of their
// answers once all have answered.
func worst(routes []forwarder) forwarder { return allSync(routes) }

// allSync answers with the worst of all answers; of equally bad ones, with the first that came.
type allSync []forwarder

func (routes allSync) forward(l *lane, q *query) {
	f := &fan{query: q, open: len(routes)}
	f.spread(l, routes)
}

// A fan is a request that was sent to several routes at once.
type fan struct {
	query *query
	open  int             // routes that haven't answered
	worst upstream.Answer // so far; borrows nothing
	any   bool            // there is a worst
}

func (f *fan) spread(l *lane, routes []forwarder) {
	for _, to := range routes {
		to.forward(l, &query{request: f.query.request, taker: f})
	}
}

func (f *fan) take(l *lane, _ *query, a *upstream.Answer) {
	f.open--
	if !f.any || worse(a.Result, f.worst.Result) {
		f.any = true
		f.worst = a.Own()
	}
	if f.open == 0 {
		f.query.taker.take(l, f.query, &f.worst)
	}
}

// initial returns a route that sends a request to all routes, and answers with the answer of the
// first route.
func initial(routes []forwarder) forwarder {
	if len(routes) == 1 {
		return routes[0]
	}
	return allInitial(routes)
}

type allInitial []forwarder

func (routes allInitial) forward(l *lane, q *query) {
	sendCopies(l, routes[1:], q)
	routes[0].forward(l, q)
}

// sendCopies sends the request to routes whose answers are dropped.
func sendCopies(l *lane, routes []forwarder, q *query) {
	r := detach(q.request)
	for _, to := range routes {
		to.forward(l, &query{request: r, taker: discard{}})
	}
}

// allAsync sends a request to all routes, and answers at once as if nothing were held.
type allAsync []forwarder

func (routes allAsync) forward(l *lane, q *query) {
	sendCopies(l, routes, q)
	q.respondAbsent(l)
}

// allFastest answers with the first answer that is no failure, or if all fail with the last
// failure.
type allFastest []forwarder

func (routes allFastest) forward(l *lane, q *query) {
	r := &race{outer: q, open: len(routes), decide: (*race).fastest}
	r.run(l, routes)
}

// allMajority answers with the result that more than half of the routes have. If there is none, it
// answers with the most frequent result, and of equally frequent ones with the worst.
type allMajority []forwarder

func (routes allMajority) forward(l *lane, q *query) {
	r := &race{outer: q, open: len(routes), half: len(routes) / 2, decide: (*race).majority}
	r.run(l, routes)
}

// A race is a request that was sent to several routes at once. It may be answered before all of
// them have answered.
type race struct {
	outer  *query // nil once it is answered
	open   int    // routes that haven't answered
	half   int
	counts [upstream.Closed + 1]int
	best   upstream.Answer // so far; borrows nothing
	decide func(*race, *upstream.Answer) (keep, over bool)
}

func (r *race) run(l *lane, routes []forwarder) {
	own := detach(r.outer.request)
	for _, to := range routes {
		to.forward(l, &query{request: own, taker: r})
	}
}

func (r *race) take(l *lane, _ *query, a *upstream.Answer) {
	r.open--
	if r.outer == nil {
		return
	}
	keep, over := r.decide(r, a)
	if keep {
		r.best = a.Own()
	}
	if over || r.open == 0 {
		outer := r.outer
		r.outer = nil
		outer.taker.take(l, outer, &r.best)
	}
}

func (r *race) fastest(a *upstream.Answer) (keep, over bool) { return true, !a.Result.Failed() }

func (r *race) majority(a *upstream.Answer) (keep, over bool) {
	r.counts[a.Result]++
	n, most := r.counts[a.Result], r.counts[r.best.Result]
	keep = n > most || n == most && (a.Result == r.best.Result || worse(a.Result, r.best.Result))
	return keep, n > r.half
}
