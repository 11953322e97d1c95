package router

import (
	"slices"
	"sync/atomic"

	"holdfast/mc"
	"holdfast/upstream"
)

// counts are the numbers of client requests that were answered, by their results. A lane's counts
// are written with its lock held, and read without it.
type counts struct {
	requests [mc.MetaDebug + 1][upstream.Closed + 1]atomic.Int64
	decrs    [upstream.Closed + 1]atomic.Int64 // of requests[MetaArithmetic]: those that decrement
	tooLarge atomic.Int64                      // stores that were refused for their size
}

// note counts an answer. A lane is the only writer of its counts, so that no locked instruction is
// needed.
func (c *counts) note(r *mc.Request, result upstream.Result) {
	if r.Op > mc.MetaDebug {
		return
	}
	add(&c.requests[r.Op][result])
	switch {
	case r.Op == mc.MetaArithmetic && decrements(r):
		add(&c.decrs[result])
	case r.Op == mc.Invalid && r.Drop:
		add(&c.tooLarge)
	}
}

func add(n *atomic.Int64) { n.Store(n.Load() + 1) }

// decrements reports whether a meta arithmetic request decrements.
func decrements(r *mc.Request) bool { return r.Mode == 'D' || r.Mode == 'd' || r.Mode == '-' }

// ClientCounts are the client requests that were answered since the start, by their operations and
// the names of their results. The operations are the classic commands; a meta command counts as the
// classic one that does the same.
type ClientCounts struct {
	Requests map[string]map[string]int64
	Meta     int64 // of those, meta commands
	TooLarge int64 // stores that were refused for their size, which are not among them
}

// classicNames are the operations that meta commands count as. MetaArithmetic is incr or decr.
var classicNames = map[mc.Op]string{mc.MetaGet: "get", mc.MetaSet: "set", mc.MetaDelete: "delete",
	mc.MetaArithmetic: "incr", mc.MetaDebug: "me"}

// ClientCounts may be called from any goroutine.
func (r *Router) ClientCounts() ClientCounts {
	c := ClientCounts{Requests: map[string]map[string]int64{}}
	count := func(name string, result upstream.Result, n int64) {
		if c.Requests[name] == nil {
			c.Requests[name] = map[string]int64{}
		}
		c.Requests[name][result.String()] += n
	}
	for _, l := range r.lanes {
		c.TooLarge += l.counts.tooLarge.Load()
		for op := mc.Invalid + 1; op <= mc.MetaDebug; op++ {
			name, meta := classicNames[op]
			if !meta {
				name = op.String()
			}
			for result := upstream.Hit; result <= upstream.Closed; result++ {
				n := l.counts.requests[op][result].Load()
				if n == 0 {
					continue
				}
				if meta {
					c.Meta += n
				}
				if op == mc.MetaArithmetic {
					decrs := l.counts.decrs[result].Load()
					count("decr", result, decrs)
					n -= decrs
				}
				count(name, result, n)
			}
		}
	}
	return c
}

// of returns the number of requests of some operations with one of these results, or with any.
func (c *ClientCounts) of(ops []string, results ...string) int64 {
	var n int64
	for _, op := range ops {
		for result, count := range c.Requests[op] {
			if len(results) == 0 || slices.Contains(results, result) {
				n += count
			}
		}
	}
	return n
}
