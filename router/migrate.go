package router

import (
	"time"

	"holdfast/mc"
)

// migrate moves traffic from a route to another, as mcrouter's MigrateRoute does. Before start all
// goes to from. Then deletes go to both, for two intervals. In the second of them each key moves at
// a time of its own, by its hash; what is written to one side after that is not on the other. After
// the two all goes to to.
//
//	                 start        start+interval        start+2×interval
//	deletes   from     │             both                    │    to
//	others    from     │    from           │    from, then to │    to
type migrate struct {
	from, to forwarder
	start    time.Time
	interval time.Duration
	now      func() time.Time
}

func (m *migrate) forward(l *lane, q *query) {
	from, to := m.sides(q.request)
	switch {
	case from && to:
		worst([]forwarder{m.from, m.to}).forward(l, q)
	case to:
		m.to.forward(l, q)
	default:
		m.from.forward(l, q)
	}
}

// sides are those that the request goes to now.
func (m *migrate) sides(r *mc.Request) (from, to bool) {
	now := m.now()
	if classOf(r.Op) == classDelete {
		return now.Before(m.start.Add(2 * m.interval)), !now.Before(m.start)
	}
	moves := m.start.Add(m.interval + time.Duration(spreadOf(r.Key).fraction()*float64(m.interval)))
	return now.Before(moves), !now.Before(moves)
}
