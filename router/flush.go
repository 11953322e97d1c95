package router

import (
	"fmt"

	"holdfast/mc"
	"holdfast/upstream"
)

// flush flushes all members: those that are down when they come back. In a replicated pool a flush
// is ordered with writes and copies: see flushBarrier. In a sharded pool only one member has a key,
// so that no order is needed.
func (p *pool) flush(l *lane, q *query) {
	if p.replicated == nil {
		flushMembers(l, q, p.members)
		return
	}
	latches := p.replicated.latches
	latches.flush(l, func() {
		ordered := &query{request: q.request, taker: takeFunc(func(l *lane, _ *query, a *upstream.Answer) {
			latches.endFlush()
			q.taker.take(l, q, a)
		})}
		flushMembers(l, ordered, latches.newest.Load().members)
	})
}

func flushMembers(l *lane, q *query, members []*member) {
	f := &fan{query: q, open: len(members)}
	for _, m := range members {
		part := &flushPart{fan: f, to: m.to}
		part.request, part.taker = q.request, part
		m.flush(l, &part.query)
	}
}

// flush sends q's flush_all to the member itself.
func (m *member) flush(l *lane, q *query) {
	if m.to == nil {
		m.route.forward(l, q)
		return
	}
	upstreamRoute{m.to}.forward(l, q)
}

// A flushPart is a flush in flight to one member.
type flushPart struct {
	query
	fan *fan
	to  *upstream.Upstream
}

func (part *flushPart) take(l *lane, q *query, a *upstream.Answer) {
	if !a.Result.Failed() || part.to == nil || part.to.Outage == nil {
		part.fan.take(l, q, a)
		return
	}
	cause := fmt.Errorf("a flush failed: %s", a.Wire)
	part.to.Outage.MissedFlush(l.Lane, a.Result.CountsAsSent(), cause,
		func() { upstreamRoute{part.to}.forward(l, &part.query) },
		func(err error) {
			got := &upstream.Answer{Result: upstream.Done, Wire: []byte(mc.OK)}
			if err != nil {
				got = &upstream.Answer{Result: upstream.ServerError, Wire: mc.AppendServerError(nil, err.Error())}
			}
			part.fan.take(l, q, got)
		})
}
