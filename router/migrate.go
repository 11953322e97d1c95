package router

import (
	"time"

	"holdfast/mc"
)

// migrate moves the requests from one route to another, as mcrouter's MigrateRoute does. Before
// start all requests go to from. Then, for two intervals, deletes go to both. During the second
// interval each key moves at a time that depends on its hash; items that are stored on one side
// aren't on the other. After the two intervals all requests go to to.
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

// sides returns the sides that the request goes to now.
func (m *migrate) sides(r *mc.Request) (from, to bool) {
	now := m.now()
	if classOf(r.Op) == classDelete {
		return now.Before(m.start.Add(2 * m.interval)), !now.Before(m.start)
	}
	moves := m.start.Add(m.interval + time.Duration(spreadOf(r.Key).fraction()*float64(m.interval)))
	return now.Before(moves), !now.Before(moves)
}
