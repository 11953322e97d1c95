package router

// worst sends a request to all routes and answers with the worst of their answers once it has them.
func worst(routes []route) route {
	return routeFunc(func(l *lane, q *query) {
		f := &fan{query: q, open: len(routes)}
		f.spread(l, routes)
	})
}

// A fan is a request that went to several routes at once.
type fan struct {
	query *query
	open  int    // those that have not answered
	worst answer // so far; wire is its own
	any   bool
}

func (f *fan) spread(l *lane, routes []route) {
	for _, to := range routes {
		to.serve(l, &query{request: f.query.request, taker: f})
	}
}

func (f *fan) take(l *lane, _ *query, a *answer) {
	f.open--
	if !f.any || a.result > f.worst.result {
		f.any = true
		f.worst = answer{result: a.result, wire: append([]byte(nil), a.wire...)}
	}
	if f.open == 0 {
		f.query.taker.take(l, f.query, &f.worst)
	}
}

// initial sends a request to all routes and answers with what the first of them does.
func initial(routes []route) route {
	if len(routes) == 1 {
		return routes[0]
	}
	return routeFunc(func(l *lane, q *query) {
		r := detach(q.request)
		for _, to := range routes[1:] {
			to.serve(l, &query{request: r, taker: nobody{}})
		}
		routes[0].serve(l, q)
	})
}
