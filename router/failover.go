package router

import (
	"bytes"
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"holdfast/mc"
	"holdfast/ring"
	"holdfast/route"
	"holdfast/upstream"
)

// failover asks the children one after the other, until one's answer is no error of the policy.
type failover struct {
	kind      route.Kind
	children  []forwarder
	errors    [classes][upstream.Closed + 1]bool // the results after which the next child is asked
	afterMiss bool                               // after a miss too, and for gets and deletes only
	maxTries  int
	limit     *failoverLimit // nil is none
	ttl       time.Duration  // the longest TTL of items on the children after the first; 0 is no bound

	order    route.FailoverOrder
	ring     *ring.Ring     // rendezvous: of the children after the first
	failures []atomic.Int32 // least_failures: the errors in a row of each child
}

// failureNames are a policy's names of failures. A connection that broke counts as a time-out.
var failureNames = map[string][]upstream.Result{
	"connect": {upstream.Connect}, "connect_timeout": {upstream.ConnectTimeout},
	"timeout": {upstream.Timeout, upstream.Closed},
	"down":    {upstream.Down}, "busy": {upstream.Busy}, "server_error": {upstream.ServerError},
}

// setErrors sets the errors of a class by names that have passed route's Check. Nil is all
// failures, and of those server_error only if serverError is true.
func (f *failover) setErrors(c class, names []string, serverError bool) {
	errors := &f.errors[c]
	for r := upstream.ServerError; r <= upstream.Closed; r++ {
		errors[r] = names == nil && (r != upstream.ServerError || serverError)
	}
	for _, name := range names {
		for _, r := range failureNames[name] {
			errors[r] = true
		}
	}
}

func (f *failover) forward(l *lane, q *query) {
	a := &attempt{route: f, outer: q}
	a.request, a.taker = q.request, a
	f.limit.count()
	f.children[0].forward(l, &a.query)
}

// An attempt is a request that is forwarded to one child after the other.
type attempt struct {
	query
	route *failover
	outer *query
	order []int // the order of the children, set once the first has failed; nil is as they stand
	at    int   // the index in order
	tries int   // children that were reached and failed
}

func (a *attempt) child() int {
	if a.order == nil {
		return a.at
	}
	return a.order[a.at]
}

func (a *attempt) take(l *lane, _ *query, got *upstream.Answer) {
	f := a.route
	f.note(a.child(), got.Result)
	if a.at+1 >= len(f.children) || !f.goesOn(a.outer.request.Op, policyResult(got)) || !f.mayGoOn(a, got.Result) {
		a.outer.taker.take(l, a.outer, got)
		return
	}
	if a.at == 0 {
		a.order = f.ordered(a.outer.request.Key)
		if f.ttl > 0 {
			a.request = capExptime(a.outer.request, f.ttl, l.router.now())
		}
	}
	a.at++
	f.children[a.child()].forward(l, &a.query)
}

// busyAnswer begins the answer of mcrouter and its servers when they are busy
// (mcrouter/lib/mc/msg.h).
var busyAnswer = []byte("SERVER_ERROR 307 ")

// policyResult returns the result by which the policy decides: an answer may mean that the member
// is busy.
func policyResult(a *upstream.Answer) upstream.Result {
	if a.Result == upstream.ServerError && bytes.HasPrefix(a.Wire, busyAnswer) {
		return upstream.Busy
	}
	return a.Result
}

// goesOn reports whether the policy asks the next child after this result.
func (f *failover) goesOn(op mc.Op, r upstream.Result) bool {
	c := classOf(op)
	if f.afterMiss {
		if c != classRead && c != classDelete {
			return false
		}
		if r == upstream.Miss || r == upstream.NotFound {
			return true
		}
	}
	if c == classOther {
		c = classUpdate
	}
	return f.errors[c][r]
}

// mayGoOn reports whether the limits allow another try. As in mcrouter, children that could not be
// reached don't count.
func (f *failover) mayGoOn(a *attempt, r upstream.Result) bool {
	if r == upstream.Down || r == upstream.Connect || r == upstream.ConnectTimeout {
		return true
	}
	a.tries++
	return (f.maxTries == 0 || a.tries < f.maxTries) && (!r.Failed() || f.limit.allows())
}

// ordered returns the order in which the children are asked, beginning with the first one; nil is
// as they stand.
func (f *failover) ordered(key []byte) []int {
	n := len(f.children)
	if f.order == route.InOrder || n <= 2 {
		return nil
	}
	order := make([]int, 1, n)
	if f.order == route.InRendezvousOrder {
		order = f.ring.Next(order, key, n-1)
		for i := 1; i < n; i++ {
			order[i]++
		}
		return order
	}
	failures := make([]int32, n) // a copy, since other lanes change them during the sort
	for i := 1; i < n; i++ {
		order = append(order, i)
		failures[i] = f.failures[i].Load()
	}
	slices.SortStableFunc(order[1:], func(i, j int) int { return cmp.Compare(failures[i], failures[j]) })
	return order
}

func (f *failover) countFailures() { f.failures = make([]atomic.Int32, len(f.children)) }

func (f *failover) note(child int, r upstream.Result) {
	if f.failures == nil {
		return
	}
	if r.Failed() {
		f.failures[child].Add(1)
	} else if f.failures[child].Load() != 0 {
		f.failures[child].Store(0)
	}
}

// failoverLimit limits how many requests fail over: a share of all requests, or a number per
// second.
type failoverLimit struct {
	bucket *bucket
	clock  clock        // nil if the limit is a share
	total  atomic.Int64 // requests so far, by which the bucket of a share is filled
}

// defaultFailoverBurst is mcrouter's default for a share.
const defaultFailoverBurst = 1000

func newFailoverLimit(p *route.FailoverPolicy, c clock) *failoverLimit {
	switch {
	case p.Ratio > 0:
		return &failoverLimit{bucket: newBucket(p.Ratio, max(1, cmp.Or(p.Burst, defaultFailoverBurst)))}
	case p.PerSecond > 0:
		return &failoverLimit{bucket: newBucket(p.PerSecond, max(1, cmp.Or(p.Burst, p.PerSecond))), clock: c}
	}
	return nil
}

func (l *failoverLimit) count() {
	if l != nil && l.clock == nil {
		l.total.Add(1)
	}
}

func (l *failoverLimit) allows() bool {
	switch {
	case l == nil:
		return true
	case l.clock == nil:
		return l.bucket.spend(float64(l.total.Load()))
	}
	return l.bucket.spend(l.clock.seconds())
}
