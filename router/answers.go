package router

import (
	"log/slog"

	"holdfast/route"
	"holdfast/upstream"
)

// nothingHeld answers at once, as if nothing were held or stored.
type nothingHeld struct{ kind route.Kind }

func (nothingHeld) forward(l *lane, q *query) { q.respondAbsent(l) }

// refusing answers with an error. Since the request was not sent, another route may be tried.
type refusing struct{ text string }

func (r refusing) forward(l *lane, q *query) { q.fail(l, upstream.Down, r.text) }

// logging logs each request with its result.
type logging struct {
	log    *slog.Logger
	name   string
	target forwarder
}

func (g *logging) forward(l *lane, q *query) {
	s := &logged{outer: q, to: g}
	s.request, s.taker = q.request, s
	g.target.forward(l, &s.query)
}

// A logged is a query that is logged once it is answered.
type logged struct {
	query
	outer *query
	to    *logging
}

func (s *logged) take(l *lane, _ *query, a *upstream.Answer) {
	s.to.log.Debug("request", "route", s.to.name, "op", s.request.Op.String(), "key", string(s.request.Key),
		"result", a.Result.String(), "answer_bytes", len(a.Wire))
	s.outer.taker.take(l, s.outer, a)
}
