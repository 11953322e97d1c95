package router

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

func warmRig(t testing.TB, lanes int) (r *rig, cold, warm *stub) {
	t.Helper()
	r = rigged(t, lanes, route.Route{Kind: route.KindWarmUp, Cold: ptr(to("cold")), Warm: ptr(to("warm")),
		Exptime: time.Minute}, "cold", "warm")
	return r, r.stubs["cold"], r.stubs["warm"]
}

func TestWarmUpFillsAGet(t *testing.T) {
	r, cold, warm := warmRig(t, 1)
	warm.do(t, "set k 5 100 1\r\nv\r\nset forever 0 0 1\r\nw\r\n")
	r.want("get k none forever\r\n", "VALUE k 5 1\r\nv\r\nVALUE forever 0 1\r\nw\r\nEND\r\n")
	r.wantAsked("cold: get k; cold: add k 5 100 1 v; cold: get none; cold: get forever; cold: add forever 0 0 1 w; " +
		"warm: mg k s f t v; warm: mg none s f t v; warm: mg forever s f t v")
	r.want("get k\r\n", "VALUE k 5 1\r\nv\r\nEND\r\n")
	r.wantAsked("cold: get k")
	if got := cold.do(t, "mg k t f v\r\n"); got != "VA 1 t100 f5\r\nv\r\n" {
		t.Errorf("cold has %q", got)
	}
}

func TestWarmUpOfReadsThatOnlyColdCanAnswer(t *testing.T) {
	for _, test := range []struct{ request, answer, asked string }{
		{"gets k\r\n", "VALUE k 5 1 1\r\nv\r\nEND\r\n", "gets k"},
		{"gat 50 k\r\n", "VALUE k 5 1\r\nv\r\nEND\r\n", "gat 50 k"},
		{"mg k v f t k c Oa\r\n", "VA 1 f5 t100 kk c1 Oa\r\nv\r\n", "mg k v f t k c Oa"},
		{"mg k q v\r\nmg none q v\r\nmn\r\n", "VA 1\r\nv\r\nMN\r\n", ""},
	} {
		r, _, warm := warmRig(t, 1)
		warm.do(t, "set k 5 100 1\r\nv\r\n")
		r.want(test.request, test.answer)
		if test.asked != "" {
			r.wantAsked(fmt.Sprintf("cold: %[1]s; cold: add k 5 100 1 v; cold: %[1]s; warm: mg k s f t v", test.asked))
		}
	}
}

func TestWarmUpOfABinaryKey(t *testing.T) {
	r, cold, warm := warmRig(t, 1)
	warm.do(t, "ms YSBi 1 b F5\r\nv\r\n")
	r.want("mg YSBi b v f\r\n", "VA 1 f5\r\nv\r\n")
	if got := cold.do(t, "mg YSBi b v\r\n"); got != "VA 1\r\nv\r\n" {
		t.Errorf("cold has %q", got)
	}
}

func TestWarmUpFromAServerWithoutMetaCommands(t *testing.T) {
	r, _, warm := warmRig(t, 1)
	old := forwardFunc(func(l *lane, q *query) {
		if q.request.Op.IsMeta() {
			q.taker.take(l, q, &upstream.Answer{Result: upstream.ClientError, Wire: []byte(mc.BadCommand)})
			return
		}
		warm.forward(l, q)
	})
	r.tree.Load().pools[1].members[0].route = old
	warm.do(t, set("k", "v")+set("j", "w"))
	r.want("get k\r\ngets j\r\n", value("k", "v")+"VALUE j 0 1 2\r\nw\r\nEND\r\n")
	r.wantAsked("cold: get k; cold: add k 0 60 1 v; cold: gets j; cold: add j 0 60 1 w; cold: gets j; warm: get k; " +
		"warm: get j")
}

func TestWarmUpWhileColdOrWarmFails(t *testing.T) {
	r, cold, warm := warmRig(t, 1)
	warm.do(t, set("k", "v"))
	cold.failing(upstream.Timeout)
	r.want("get k\r\nget none\r\ngets k\r\n", value("k", "v")+failure("cold")+failure("cold"))
	cold.failing(upstream.Hit)
	r.wantAsked("cold: get k; cold: get none; cold: gets k; warm: mg k s f t v; warm: mg none s f t v; warm: mg k s f t v")
	warm.failing(upstream.Timeout)
	r.want("get k\r\nmg k v\r\n", "END\r\nEN\r\n")
}

func TestWarmUpIgnoresStaleItems(t *testing.T) {
	r, _, warm := warmRig(t, 1)
	warm.do(t, set("k", "v")+"md k I T30\r\n")
	r.want("get k\r\n", "END\r\n")
	r.wantAsked("cold: get k; warm: mg k s f t v")
}

func TestWarmUpWritesTakeTheKeyFromWarm(t *testing.T) {
	r, cold, warm := warmRig(t, 1)
	for _, test := range []struct{ request, answer, held string }{
		{"delete k\r\n", "NOT_FOUND\r\n", "EN\r\n"},
		{"md k q\r\nmn\r\n", "NF\r\nMN\r\n", "EN\r\n"},
		{set("k", "new"), "STORED\r\n", "EN\r\n"},
		{"add k 0 0 1\r\nn\r\n", "STORED\r\n", "EN\r\n"},
		{"replace k 0 0 1\r\nn\r\n", "NOT_STORED\r\n", "VA 3\r\nold\r\n"}, // nothing has changed
		{"incr k 1\r\n", "NOT_FOUND\r\n", "VA 3\r\nold\r\n"},
		{"touch k 10\r\n", "NOT_FOUND\r\n", "VA 3\r\nold\r\n"},
	} {
		cold.do(t, "delete k\r\n")
		warm.do(t, set("k", "old"))
		r.want(test.request, test.answer)
		if got := warm.do(t, "mg k v\r\n"); got != test.held {
			t.Errorf("after %q warm has %q; want %q", test.request, got, test.held)
		}
	}
}

func TestWarmUpDoesNotAskForWhatWarmCouldNotForget(t *testing.T) {
	r, cold, warm := warmRig(t, 1)
	warm.do(t, set("k", "old"))
	warm.failing(upstream.Down)
	r.want("delete k\r\n", "NOT_FOUND\r\n")
	warm.failing(upstream.Hit)
	r.want("get k\r\nget k\r\n", "END\r\nEND\r\n")
	if got := cold.do(t, "get k\r\n"); got != "END\r\n" {
		t.Errorf("cold has %q", got)
	}
	f := r.fills.clock
	r.fills.clock = func() time.Duration { return f() + 2*avoidWarmTime }
	r.want("get k\r\n", value("k", "old"))
}

// A delete comes while an add is in flight to cold: it waits, and takes what was added.
func TestADeleteWaitsForTheAddOfItsKey(t *testing.T) {
	r, cold, warm := warmRig(t, 2)
	warm.do(t, set("k", "old"))
	cold.holding(mc.Add)
	r.want("get k\r\n", value("k", "old"))
	r.settle()
	done := make(chan string)
	go func() { done <- r.ask(1, "delete k\r\n") }()
	await(t, "the delete", func() bool {
		stripe, slot := r.fills.at(keyHash([]byte("k")))
		stripe.mu.Lock()
		defer stripe.mu.Unlock()
		return slot.writing == 1
	})
	r.want("get other\r\n", "END\r\n")
	cold.free()
	if got := <-done; got != "DELETED\r\n" {
		t.Errorf("got %q; want what was added deleted", got)
	}
	r.want("get k\r\n", "END\r\n")
}

// A delete comes and ends while a read waits for warm: the read adds nothing.
func TestAReadBegunBeforeADeleteAddsNothing(t *testing.T) {
	r, cold, warm := warmRig(t, 2)
	warm.do(t, set("k", "old"))
	warm.set(func(s *stub) {
		s.hold = func(r *mc.Request) bool { return r.Op == mc.MetaGet }
	})
	done := make(chan string)
	go func() { done <- r.ask(1, "get k\r\n") }()
	await(t, "the read", func() bool {
		warm.mu.Lock()
		defer warm.mu.Unlock()
		return len(warm.held) == 1
	})
	r.want("delete k\r\n", "NOT_FOUND\r\n")
	warm.do(t, set("k", "old")) // as the read has found it
	warm.free()
	if got := <-done; got != value("k", "old") {
		t.Errorf("got %q", got)
	}
	r.settle()
	if got := cold.do(t, "get k\r\n"); got != "END\r\n" {
		t.Errorf("the read has added %q", got)
	}
}

// A flush comes while a read has what it flushes: nothing of before is added.
func TestAFlushIsNotUndone(t *testing.T) {
	r, cold, warm := warmRig(t, 2)
	flushed := forwardFunc(func(l *lane, q *query) { q.respond(l, upstream.Done) })
	warm.do(t, set("k", "old")+set("j", "old"))
	cold.holding(mc.Add)
	r.want("get k\r\n", value("k", "old")) // its add is in flight
	done := make(chan struct{})
	l := r.lanes[1]
	l.loop.Post(func() {
		l.Enter(func() {
			(&flushGuard{r.fills, flushed}).forward(l,
				&query{request: &mc.Request{Op: mc.FlushAll},
					taker: takeFunc(func(*lane, *query, *upstream.Answer) { close(done) })})
		})
	})
	await(t, "the flush", func() bool { return r.fills.flushing.Load() == 1 })
	r.want("get j\r\n", value("j", "old"))
	select {
	case <-done:
		t.Error("the flush didn't wait for the add")
	default:
	}
	cold.free()
	<-done
	r.settle()
	if got := cold.do(t, "get j\r\n"); got != "END\r\n" {
		t.Errorf("added while the flush was on its way: %q", got)
	}
	r.want("get j\r\n", value("j", "old"))
	r.settle()
	if got := cold.do(t, "get j\r\n"); got != value("j", "old") {
		t.Errorf("after the flush nothing is added: %q", got)
	}
}

// Readers and writers of a few keys on several lanes, over members that take and answer requests in
// any order: what a write has replaced never comes back.
func TestWarmUpNeverBringsBackWhatWasReplaced(t *testing.T) {
	const lanes, keys, rounds = 3, 4, 60
	r, cold, warm := warmRig(t, lanes)
	cold.set(func(s *stub) { s.late = true })
	warm.set(func(s *stub) { s.late = true })
	for round := range rounds {
		var all sync.WaitGroup
		for k := range keys {
			key := fmt.Sprintf("k%d:%d", round, k)
			warm.do(t, set(key, "old"))
			for lane := range lanes - 1 {
				all.Go(func() { readBesides(r, lane, key) })
			}
			all.Go(func() {
				if k%2 == 0 {
					r.ask(lanes-1, "delete "+key+"\r\n")
				} else {
					r.ask(lanes-1, set(key, "new"))
				}
				for range 3 {
					if got := r.ask(lanes-1, "get "+key+"\r\n"); strings.Contains(got, "old") {
						t.Errorf("%s: old after the write", key)
					}
				}
			})
		}
		all.Wait()
		r.settle()
		for k := range keys {
			if got := cold.do(t, fmt.Sprintf("get k%d:%d\r\n", round, k)); strings.Contains(got, "old") {
				t.Fatalf("round %d: cold has %q", round, got)
			}
		}
	}
	if added := strings.Count(strings.Join(cold.takeAsked(), ";"), "add "); added == 0 {
		t.Error("nothing was added at all: the test is void")
	}
}

func readBesides(r *rig, lane int, key string) {
	for i := range 4 {
		if i%2 == 0 {
			r.ask(lane, "get "+key+"\r\n")
		} else {
			r.ask(lane, "gets "+key+"\r\n")
		}
	}
}

// The same where deletes go by their own way to both, and nobody waits for warm's answer.
func TestDeletesBesideAWarmUpAreRemembered(t *testing.T) {
	both := route.Route{Kind: route.KindAllInitial, Children: toAll("cold", "warm")}
	r := rigged(t, 2, route.Route{Kind: route.KindOperationSelector,
		Operations: []route.OperationRoute{{Operations: []string{"delete"}, Route: both}},
		Default:    &route.Route{Kind: route.KindWarmUp, Cold: ptr(to("cold")), Warm: ptr(to("warm"))}}, "cold", "warm")
	cold, warm := r.stubs["cold"], r.stubs["warm"]
	warm.do(t, set("k", "old"))
	warm.holding(mc.Delete)
	r.want("delete k\r\n", "NOT_FOUND\r\n")
	r.want("get k\r\n", value("k", "old")) // as the delete hasn't reached warm
	warm.free()
	r.settle()
	if got := cold.do(t, "get k\r\n") + warm.do(t, "get k\r\n"); got != "END\r\nEND\r\n" {
		t.Errorf("held %q", got)
	}
}

func TestPoolWarmFromAnother(t *testing.T) {
	member := func(name string) []route.Member { return []route.Member{{Address: "127.0.0.1:1", Name: name}} }
	r := riggedWith(t, 1, route.Options{Pools: []route.Pool{
		{Name: "new", Members: member("new"), WarmFrom: "old", ChunkBytes: 1024},
		{Name: "old", Members: member("old"), WarmFrom: "older"},
		{Name: "older", Members: member("older")},
	}})
	big := strings.Repeat("x", 5000)
	r.stubs["older"].do(t, set("k", big))
	r.want("get k\r\n", value("k", big))
	r.settle()
	r.stubs["older"].do(t, "delete k\r\n")
	r.stubs["old"].do(t, "delete k\r\n")
	r.want("get k\r\n", value("k", big))
	if got := r.stubs["new"].do(t, "get k\r\n"); strings.Contains(got, big) {
		t.Error("the value isn't in pieces")
	}
}

func TestL1L2Cache(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindL1L2Cache, Cold: ptr(to("l1")), Warm: ptr(to("l2")),
		Exptime: 7 * time.Second, NegativeTTL: 3 * time.Second}, "l1", "l2")
	l2 := r.stubs["l2"]
	l2.do(t, "set k 5 100 1\r\nv\r\n")
	r.want("get k none\r\n", "VALUE k 5 1\r\nv\r\nEND\r\n")
	r.wantAsked("l1: get k; l1: add k 5 7 1 v; l1: get none; l1: add none 65536 3 6 ncache; l2: get k; l2: get none")
	r.want("get none k\r\ngets none\r\nmg none v\r\nmg none t\r\n", "VALUE k 5 1\r\nv\r\nEND\r\nEND\r\nEN\r\nEN\r\n")
	r.want("mg k v\r\nmg k f v\r\nmg k t\r\n", "VA 1\r\nv\r\nVA 1 f5\r\nv\r\nHD t7\r\n")
	r.wantAsked("l1: get none; l1: get k; l1: gets none; l1: mg none v f; l1: mg none t f; l1: mg k v f; l1: mg k f v; " +
		"l1: mg k t f")
	r.want(set("none", "n")+"get none\r\ndelete none\r\n", "STORED\r\n"+value("none", "n")+"DELETED\r\n")
	r.wantAsked("l1: set none 0 0 1 n; l1: get none; l1: delete none")
	l2.do(t, set("j", "w"))
	r.want("mg j v\r\n", "VA 1\r\nw\r\n")
	r.wantAsked("l1: mg j v f; l1: add j 0 7 1 w; l1: mg j v f; l2: get j")
	r.stubs["l1"].failing(upstream.Timeout)
	r.want("get k none\r\n", "VALUE k 5 1\r\nv\r\nEND\r\n")
}

// The same over connections, with gets that leave as one line.
func TestWarmFromAndChunksOverConnections(t *testing.T) {
	cold, warm := startCache(t), startCache(t)
	r := run(t, route.Options{Pools: []route.Pool{
		{Name: "new", Members: []route.Member{{Address: cold.address()}}, WarmFrom: "old", ChunkBytes: 1024},
		{Name: "old", Members: []route.Member{{Address: warm.address()}}},
	}, Route: route.Route{Kind: route.KindPrefixSelector, Prefixes: []route.PrefixRoute{{Prefix: "old:",
		Route: route.Route{Kind: route.KindModifyKey, ReplaceKeyPrefix: "old:",
			Target: ptr(to("old"))}}}, Default: ptr(to("new"))}}, 2)
	small, large := big(100, "s"), big(20_000, "l")
	r.want(0, set("old:small", small)+set("old:large", large), "STORED\r\nSTORED\r\n")
	both := fmt.Sprintf("VALUE small 0 100\r\n%s\r\nVALUE large 0 20000\r\n%s\r\nEND\r\n", small, large)
	for range 3 {
		for lane := range 2 {
			r.want(lane, "get small none large\r\nmg large s\r\n", both+"HD s20000\r\n")
		}
	}
	r.want(1, "get small\r\nget small\r\ndelete large\r\nget large\r\n",
		value("small", small)+value("small", small)+"DELETED\r\nEND\r\n")
	r.want(0, "get old:large old:small\r\n", strings.Replace(value("small", small), "VALUE ", "VALUE old:", 1))
}
