package router

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

// randomRoute is a route of any kind, up to so many levels deep.
func randomRoute(rnd *rand.Rand, depth int) route.Route {
	pools := []string{"a", "b", "c", "d"}
	if depth == 0 {
		leaves := []route.Route{to(pools[rnd.IntN(4)]), to(pools[rnd.IntN(4)]), to(pools[rnd.IntN(4)]),
			{Kind: route.KindNull}, {Kind: route.KindError}}
		return leaves[rnd.IntN(len(leaves))]
	}
	next := func() route.Route { return randomRoute(rnd, depth-1) }
	children := []route.Route{next(), next(), next()}
	one, other := ptr(children[0]), ptr(children[1])
	orders := []route.FailoverOrder{route.InOrder, route.InRendezvousOrder, route.LeastFailures}
	policy := route.FailoverPolicy{Order: orders[rnd.IntN(3)], MaxTries: rnd.IntN(3)}
	kinds := []route.Route{
		{Kind: route.KindHash, Children: children},
		{Kind: route.KindHash, Children: children, Hash: route.Hash{Load: 1.25}},
		{Kind: route.KindAllSync, Children: children},
		{Kind: route.KindAllAsync, Children: children},
		{Kind: route.KindAllInitial, Children: children},
		{Kind: route.KindAllMajority, Children: children},
		{Kind: route.KindAllFastest, Children: children},
		{Kind: route.KindFailover, Children: children, Failover: policy, Exptime: time.Minute},
		{Kind: route.KindMissFailover, Children: children, Failover: policy},
		{Kind: route.KindLatest, Children: children, Failover: policy},
		{Kind: route.KindRandom, Children: children},
		{Kind: route.KindShadow, Target: one, Shadows: []route.Shadow{{Route: children[1], KeyFraction: []float64{0, 0.5}}}},
		{Kind: route.KindMigrate, From: one, To: other, Start: time.Now().Add(-time.Hour), Interval: time.Hour},
		{Kind: route.KindWarmUp, Cold: one, Warm: other, Exptime: time.Minute},
		{Kind: route.KindL1L2Cache, Cold: one, Warm: other, Exptime: time.Minute, NegativeTTL: time.Minute},
		{Kind: route.KindModifyKey, EnsureKeyPrefix: "p", Target: one},
		{Kind: route.KindModifyExptime, Exptime: time.Minute, ExptimeAction: route.ExptimeMin, Target: one},
		{Kind: route.KindRateLimit, Rates: route.Rates{Gets: 1000}, Target: one},
		{Kind: route.KindOutstandingLimit, MaxInFlight: 1 + rnd.IntN(3), Target: one},
		{Kind: route.KindLogging, Target: one},
		{Kind: route.KindOperationSelector, Operations: []route.OperationRoute{{Operations: []string{"get"},
			Route: children[0]}, {Operations: []string{"set"}, Route: children[1]}}, Default: ptr(children[2])},
		{Kind: route.KindPrefixSelector, Prefixes: []route.PrefixRoute{{Prefix: "k1", Route: children[0]},
			{Prefix: "k", Route: children[1]}}, Default: ptr(children[2])},
	}
	return kinds[rnd.IntN(len(kinds))]
}

// randomRequest is one of any kind.
func randomRequest(rnd *rand.Rand) string {
	key := fmt.Sprintf("k%d", rnd.IntN(6))
	v := big([]int{0, 5, 1500, 5000}[rnd.IntN(4)], key)
	forms := []string{
		"get %[1]s", "get %[1]s none %[1]s", "gets %[1]s", "gat 100 %[1]s", "mg %[1]s v f k", "mg %[1]s s t",
		"mg %[1]s T30 v q", "me %[1]s",
		"set %[1]s 1 0 %[2]d\r\n%[3]s", "add %[1]s 0 50 %[2]d\r\n%[3]s", "cas %[1]s 0 0 %[2]d 1\r\n%[3]s",
		"append %[1]s 0 0 %[2]d\r\n%[3]s",
		"ms %[1]s %[2]d F3 T9\r\n%[3]s", "ms %[1]s %[2]d MA\r\n%[3]s", "set %[1]s 0 0 %[2]d noreply\r\n%[3]s",
		"delete %[1]s", "delete %[1]s noreply", "md %[1]s q", "touch %[1]s 10", "incr %[1]s 1", "ma %[1]s N0 v",
	}
	return fmt.Sprintf(forms[rnd.IntN(len(forms))]+"%[4]s", key, len(v), v, mc.CRLF)
}

// asked counts queries and their answers.
type asked struct {
	query
	outer   *query
	answers atomic.Int32
	twice   *atomic.Int64
	open    *atomic.Int64
}

func (a *asked) take(l *lane, _ *query, got *upstream.Answer) {
	if a.answers.Add(1) > 1 {
		a.twice.Add(1)
		return
	}
	a.open.Add(-1)
	a.outer.taker.take(l, a.outer, got)
}

// Whatever the routes are, and whatever members fail, each request is answered exactly once.
func TestEveryRequestIsAnsweredOnce(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { answeredOnce(t, seed) })
	}
}

func answeredOnce(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	const lanes = 2
	o := route.Options{Route: randomRoute(rnd, 1+rnd.IntN(4))}
	for i, name := range []string{"a", "b", "c", "d"} {
		p := route.Pool{Name: name, Members: []route.Member{{Address: fmt.Sprintf("127.0.0.1:%d", i+1), Name: name}}}
		switch name {
		case "b":
			p.ChunkBytes = 1024
		case "c":
			p.WarmFrom, p.OnError = "b", route.ErrorAsMiss
		}
		o.Pools = append(o.Pools, p)
	}
	r := riggedWith(t, lanes, o)
	var twice, open atomic.Int64
	tree := r.tree.Load()
	inner := tree.root
	tree.root = forwardFunc(func(l *lane, q *query) {
		a := &asked{outer: q, twice: &twice, open: &open}
		a.request, a.taker = q.request, a
		open.Add(1)
		inner.forward(l, &a.query)
	})
	failures := []upstream.Result{upstream.Hit, upstream.Hit, upstream.Hit,
		upstream.ServerError, upstream.Busy, upstream.Down, upstream.Connect,
		upstream.Timeout, upstream.Closed}
	for i, name := range []string{"a", "b", "c", "d"} {
		own := rand.New(rand.NewPCG(seed, uint64(i+1)))
		r.stubs[name].set(func(s *stub) {
			s.late, s.lost = true, i%2 == 0
			s.fails = func(*mc.Request) upstream.Result { return failures[own.IntN(len(failures))] }
		})
	}
	var all sync.WaitGroup
	for lane := range lanes {
		own := rand.New(rand.NewPCG(seed, uint64(10+lane)))
		all.Go(func() {
			for range 25 {
				var b strings.Builder
				for range 1 + own.IntN(8) {
					b.WriteString(randomRequest(own))
				}
				if got := r.ask(lane, b.String()+"mn\r\n"); !strings.HasSuffix(got, "MN\r\n") {
					t.Errorf("%q: got %q", b.String(), got)
				}
			}
		})
	}
	all.Wait()
	for range 10 {
		r.settle()
	}
	if twice.Load() > 0 || open.Load() != 0 {
		t.Errorf("%d answers too many, %d too few; route %+v", twice.Load(), open.Load(), o.Route)
	}
	nothingIsLeft(t, r)
}

// nothingIsLeft checks that what the router counts has ended.
func nothingIsLeft(t *testing.T, r *rig) {
	t.Helper()
	if r.fills == nil {
		return
	}
	await(t, "adds and writes end", func() bool {
		for i := range r.fills.stripes {
			s := &r.fills.stripes[i]
			s.mu.Lock()
			open := s.open + len(s.adds)
			for j := range s.slots {
				open += int(s.slots[j].writing)
			}
			s.mu.Unlock()
			if open != 0 {
				return false
			}
		}
		return true
	})
}
