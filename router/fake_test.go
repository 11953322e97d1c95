package router

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast/cache"
	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

// A stub is a member without a connection: a cache that notes what it is asked, and fails or
// answers late when it is told to.
type stub struct {
	name  string
	cache localRoute

	mu    sync.Mutex // guards what follows
	asked []string   // requests as on the wire, without \r\n
	fails func(r *mc.Request) upstream.Result
	late  bool                     // requests come later, in their order, and answers in any order
	lost  bool                     // requests that fail are carried out nevertheless
	hold  func(r *mc.Request) bool // these are answered by free
	held  []func()
	inWay map[*lane][]func() // late requests that weren't carried out, in their order
}

// newStub makes a stub for a member of r. Its cache closes after r has stopped, since what the
// router does after an answer (fills, say) may still ask it.
func newStub(t testing.TB, r *running, name string) *stub {
	t.Helper()
	store, err := cache.Open(cache.Options{MemoryBytes: 16 << 20, Lanes: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.stop()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &stub{name: name, cache: localRoute{store}}
}

func (s *stub) forward(l *lane, q *query) {
	s.mu.Lock()
	s.asked = append(s.asked, strings.TrimSpace(strings.ReplaceAll(string(mc.AppendRequest(nil, q.request)), mc.CRLF,
		" ")))
	failure := upstream.Hit
	if s.fails != nil {
		failure = s.fails(q.request)
	}
	late, lost := s.late, s.lost
	if s.hold != nil && s.hold(q.request) {
		s.held = append(s.held, func() { l.loop.Post(func() { l.Enter(func() { s.answer(l, q, failure, lost) }) }) })
		s.mu.Unlock()
		return
	}
	if !late {
		s.mu.Unlock()
		s.answer(l, q, failure, lost)
		return
	}
	if s.inWay == nil {
		s.inWay = map[*lane][]func(){}
	}
	s.inWay[l] = append(s.inWay[l], func() {
		s.answer(l, &query{request: q.request, taker: lateTaker{q}}, failure, lost)
	})
	s.mu.Unlock()
	after(l, func() { s.arrive(l) })
}

// arrive carries out the first late request of a lane: a connection keeps their order.
func (s *stub) arrive(l *lane) {
	s.mu.Lock()
	first := s.inWay[l][0]
	s.inWay[l] = s.inWay[l][1:]
	s.mu.Unlock()
	first()
}

// after calls f on the lane after a random number of turns of its loop.
func after(l *lane, f func()) {
	turns := int(l.rand() % 8)
	var wait func()
	wait = func() {
		if turns--; turns > 0 {
			l.loop.Post(wait)
			return
		}
		l.Enter(f)
	}
	l.loop.Post(wait)
}

// A lateTaker has the answer in flight for a while.
type lateTaker struct{ outer *query }

func (t lateTaker) take(l *lane, _ *query, a *upstream.Answer) {
	own := upstream.Answer{Result: a.Result, Wire: bytes.Clone(a.Wire)}
	after(l, func() { t.outer.taker.take(l, t.outer, &own) })
}

func (s *stub) answer(l *lane, q *query, failure upstream.Result, lost bool) {
	if failure != upstream.Hit {
		if lost {
			s.cache.forward(l, &query{request: q.request, taker: discard{}})
		}
		q.fail(l, failure, s.name+" fails")
		return
	}
	s.cache.forward(l, q)
}

// free answers what was held.
func (s *stub) free() {
	s.mu.Lock()
	held := s.held
	s.held, s.hold = nil, nil
	s.mu.Unlock()
	for _, f := range held {
		f()
	}
}

// set tells the stub how to behave from now on.
func (s *stub) set(f func(s *stub)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// failing has all requests fail, or with resultHit none.
func (s *stub) failing(r upstream.Result) {
	s.set(func(s *stub) { s.fails = func(*mc.Request) upstream.Result { return r } })
}

// holding has the stub keep these requests until free.
func (s *stub) holding(op mc.Op) {
	s.set(func(s *stub) { s.hold = func(r *mc.Request) bool { return r.Op == op } })
}

// takeAsked returns what the stub was asked since the last call.
func (s *stub) takeAsked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// do carries out requests on the stub's cache, not by the router.
func (s *stub) do(t testing.TB, requests string) string {
	t.Helper()
	var d mc.Decoder
	b := mc.NewBatch(func(*mc.Batch) {})
	input := []byte(requests)
	for len(input) > 0 {
		used, err := d.Decode(input, b)
		if err != nil || used == 0 {
			t.Fatalf("%q: %v", requests, err)
		}
		input = input[used:]
	}
	for b.Next < len(b.Requests) {
		s.cache.cache.Serve(b)
	}
	return string(flatten(b))
}

// A rig is a router over stubs, one for each pool: a, b, c, ….
type rig struct {
	*running
	stubs map[string]*stub
}

// rigged runs a router with the route over pools with these names, or with o's.
func rigged(t testing.TB, lanes int, to route.Route, pools ...string) *rig {
	t.Helper()
	o := route.Options{Route: to}
	for _, name := range pools {
		o.Pools = append(o.Pools, route.Pool{Name: name, Members: []route.Member{{Address: "127.0.0.1:1", Name: name}}})
	}
	return riggedWith(t, lanes, o)
}

func riggedWith(t testing.TB, lanes int, o route.Options) *rig {
	t.Helper()
	return riggedOn(t, run(t, o, lanes))
}

// riggedOn has a router that runs forward to stubs.
func riggedOn(t testing.TB, running *running) *rig {
	t.Helper()
	r := &rig{running: running, stubs: map[string]*stub{}}
	for _, p := range r.tree.Load().pools {
		for _, m := range p.members {
			if r.stubs[m.name] == nil {
				r.stubs[m.name] = newStub(t, running, m.name)
			}
			m.route = r.stubs[m.name]
		}
	}
	return r
}

// to is the route to a pool.
func to(pool string) route.Route { return route.Route{Kind: route.KindPool, Pool: pool} }

func toAll(pools ...string) []route.Route {
	routes := make([]route.Route, len(pools))
	for i, p := range pools {
		routes[i] = to(p)
	}
	return routes
}

// ask is running.ask, of which the input is overwritten once all is answered: what goes on after
// that must not borrow it.
func (r *rig) ask(lane int, requests string) string {
	var d mc.Decoder
	input := []byte(requests)
	out := ""
	for at := 0; at < len(input); {
		done := make(chan struct{}, 1)
		b := mc.NewBatch(func(*mc.Batch) { done <- struct{}{} })
		b.Lane, b.OnLoop = lane, true
		used, err := d.Decode(input[at:], b)
		if err != nil || used == 0 {
			r.t.Errorf("%.60q: %v", input[at:], err)
			return out
		}
		for b.Next < len(b.Requests) {
			r.loops[lane].Post(func() { r.Serve(b) })
			<-done
			out += string(b.Out)
			b.ResetOut()
		}
		for i := range b.Requests {
			b.Requests[i] = mc.Request{}
		}
		copy(input[at:], bytes.Repeat([]byte{'#'}, used))
		at += used
	}
	return out
}

func (r *rig) want(requests, want string) {
	r.t.Helper()
	if got := r.ask(0, requests); got != want {
		r.t.Errorf("%q: got %q; want %q", requests, got, want)
	}
}

// wantAsked checks what the stubs were asked since the last time, as "a: get k; b: delete k". The
// stubs that are not named were asked nothing.
func (r *rig) wantAsked(want string) {
	r.t.Helper()
	r.settle()
	var got []string
	for name, s := range r.stubs {
		for _, asked := range s.takeAsked() {
			got = append(got, name+": "+asked)
		}
	}
	slices.SortStableFunc(got, func(a, b string) int {
		return strings.Compare(a[:strings.Index(a, ":")],
			b[:strings.Index(b, ":")])
	})
	if text := strings.Join(got, "; "); text != want {
		r.t.Errorf("asked %q; want %q", text, want)
	}
}

// settle waits until the loops have done what was posted, some of which posts more.
func (r *rig) settle() {
	for range 20 {
		for _, l := range r.loops {
			done := make(chan struct{})
			l.Post(func() { close(done) })
			<-done
		}
	}
}

func value(key, value string) string {
	return fmt.Sprintf("VALUE %s 0 %d\r\n%s\r\nEND\r\n", key, len(value), value)
}

func set(key, value string) string {
	return fmt.Sprintf("set %s 0 0 %d\r\n%s\r\n", key, len(value), value)
}

func failure(stub string) string { return "SERVER_ERROR " + stub + " fails\r\n" }
