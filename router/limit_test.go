package router

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/mc"
	"holdfast/route"
)

func TestBucket(t *testing.T) {
	b := newBucket(10, 3)
	for i, test := range []struct {
		at    float64
		taken bool
	}{
		{0, true}, {0, true}, {0, true}, {0, false}, {0.05, false}, {0.1, true}, {0.1, false}, {0.05, false},
		{100, true}, {100, true}, {100, true}, {100, false},
	} {
		if got := b.spend(test.at); got != test.taken {
			t.Errorf("%d: at %v: %v; want %v", i, test.at, got, test.taken)
		}
	}
}

func TestRateLimit(t *testing.T) {
	r := rigged(t, 2, route.Route{Kind: route.KindRateLimit, Rates: route.Rates{Gets: 2, Sets: 1, SetsBurst: 3},
		Target: ptr(to("a"))}, "a")
	now := time.Duration(0)
	r.tree.Load().root.(*rateLimit).clock = func() time.Duration { return now }
	over := "SERVER_ERROR too many requests\r\n"
	r.want("get k\r\nmg k v\r\nget k\r\n", "END\r\nEN\r\n"+over)
	if got := r.ask(1, "get k\r\n"); got != over { // all lanes have one
		t.Errorf("got %q; want %q", got, over)
	}
	r.want(strings.Repeat(set("k", "v"), 4), "STORED\r\nSTORED\r\nSTORED\r\n"+over)
	r.want(strings.Repeat("delete k\r\n", 3)+strings.Repeat("touch k 1\r\n", 9),
		"DELETED\r\n"+strings.Repeat("NOT_FOUND\r\n", 11))
	now = time.Second
	r.want("get k\r\nget k\r\nget k\r\n", "END\r\nEND\r\n"+over)
}

func TestOutstandingLimitHasOthersWait(t *testing.T) {
	r := rigged(t, 2, route.Route{Kind: route.KindOutstandingLimit, MaxInFlight: 2, Target: ptr(to("a"))}, "a")
	a := r.stubs["a"]
	a.holding(mc.Get)
	var all sync.WaitGroup
	for lane := range 2 {
		all.Go(func() {
			if got := r.ask(lane, "get k\r\nget k\r\nget k\r\n"); got != "END\r\nEND\r\nEND\r\n" {
				t.Errorf("got %q", got)
			}
		})
	}
	await(t, "two on their way", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.held) == 2
	})
	r.settle()
	if got := len(a.takeAsked()); got != 2 {
		t.Errorf("%d were sent; want 2", got)
	}
	a.free()
	all.Wait()
	if got := len(a.takeAsked()); got != 4 {
		t.Errorf("%d more were sent; want 4", got)
	}
	if o := r.tree.Load().root.(*outstandingLimit); o.open != 0 {
		t.Errorf("%d are open; want 0", o.open)
	}
}

func TestAnswersWithoutAMember(t *testing.T) {
	for _, kind := range []route.Kind{route.KindNull, route.KindDevNull} {
		r := rigged(t, 1, route.Route{Kind: kind}, "a")
		r.want("get k\r\n"+set("k", "v")+"delete k\r\nincr k 1\r\nmg k v\r\nms k 1\r\nv\r\nmd k q\r\nmn\r\n",
			"END\r\nNOT_STORED\r\nNOT_FOUND\r\nNOT_FOUND\r\nEN\r\nNS\r\nNF\r\nMN\r\n")
		r.wantAsked("")
	}
	r := rigged(t, 1, route.Route{Kind: route.KindFailover,
		Children: []route.Route{{Kind: route.KindError, Response: "no such service"}}}, "a")
	r.want("get k j\r\nms k 1 q\r\nv\r\n", "SERVER_ERROR no such service\r\nSERVER_ERROR no such service\r\n")
}

func TestLogging(t *testing.T) {
	var text bytes.Buffer
	r := rigged(t, 1, route.Route{Kind: route.KindLogging, Name: "watched", Target: ptr(to("a"))}, "a")
	r.tree.Load().root.(*logging).log = slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.want("get k\r\n", "END\r\n")
	const want = `level=DEBUG msg=request route=watched op=get key=k result=miss answer_bytes=0`
	if !strings.Contains(text.String(), want) {
		t.Errorf("got %q; want %q", text.String(), want)
	}
}
