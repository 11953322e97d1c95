package topology

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// check compares the verdict, and checks that the report's text contains each of want.
func check(t *testing.T, what string, r Report, verdict Verdict, want ...string) {
	t.Helper()
	var text strings.Builder
	if err := Print(&text, r); err != nil {
		t.Fatal(err)
	}
	if r.Verdict != verdict {
		t.Errorf("%s: got %s; want %s", what, r.Verdict, verdict)
	}
	for _, w := range want {
		if !strings.Contains(text.String(), w) {
			t.Errorf("%s: got no %q in\n%s", what, w, text.String())
		}
	}
	if r.Operations > 6000 {
		t.Errorf("%s: got %d operations; want a few thousand", what, r.Operations)
	}
}

func TestShapes(t *testing.T) {
	for _, test := range []struct {
		what    string
		members int
		router  func(*cluster) func(line) string
		verdict Verdict
		want    []string
	}{
		{"sharded", 3, func(c *cluster) func(line) string { return c.sharded }, Sharded, []string{
			"sharded: each of 200 keys is on exactly one of 3 members",
			"200 of 200 sets acknowledged, 200 read back",
			"reads    each key from the member that holds it (200 reads of 20 keys)",
			"deletes  reach the members that hold the key, no others (20 keys)", "all keys deleted"}},
		{"replicated, reads spread", 3,
			func(c *cluster) func(line) string { return c.replicated(0, 1, 2) }, Replicated, []string{
				"replicated: each of 200 keys is on all 3 members", "reads    spread over the members",
				"deletes  reach all members"}},
		{"replicated, a primary", 3, func(c *cluster) func(line) string {
			return func(q line) string {
				if q.op == "get" {
					return c.stores[1].answer(q)
				}
				return c.onAll(q, 0, 1, 2)
			}
		}, Replicated, []string{"reads    all from 127.0.0.1:"}},
		{"replicated, reads by key", 3, func(c *cluster) func(line) string {
			return func(q line) string {
				if q.op == "get" {
					return c.sharded(q)
				}
				return c.onAll(q, 0, 1, 2)
			}
		}, Replicated, []string{"reads    each key always from the same"}},
		{"deletes to one replica", 2, func(c *cluster) func(line) string {
			replicated := c.replicated(0, 1)
			return func(q line) string {
				if q.op == "delete" {
					return c.stores[0].answer(q)
				}
				return replicated(q)
			}
		}, Replicated, []string{"deletes  leave 20 of 20 keys on members that hold them"}},
		{"groups of replicas", 4, func(c *cluster) func(line) string {
			groups := []func(line) string{c.replicated(0, 2), c.replicated(1, 3)}
			return func(q line) string { return groups[c.shard(q.key)%2](q) }
		}, Mixed, []string{"sharded over 2 groups", "\non members  keys\n", "\n1 3 ", "\n2 4 ", "reads    spread"}},
		{"copies", 3, func(c *cluster) func(line) string {
			return func(q line) string { i := c.shard(q.key); return c.onAll(q, (i+1)%3, i) }
		}, Mixed, []string{"sharded with copies: each of 200 keys is on 2 of 3 members"}},
		{"some of the members", 3, func(c *cluster) func(line) string { return c.replicated(0, 2) }, Mixed,
			[]string{"each of 200 keys is on the same 2 of 3 members"}},
		{"one member", 3, func(c *cluster) func(line) string { return c.replicated(1) }, Unclear,
			[]string{"one member in use", "none on the other 2"}},
		{"one key in a hundred everywhere", 3, func(c *cluster) func(line) string {
			sets := 0
			return func(q line) string {
				if q.op == "set" {
					if sets++; sets%100 == 0 {
						return c.onAll(q, 0, 1, 2)
					}
				}
				return c.sharded(q)
			}
		}, Mixed, []string{"sharded with exceptions: 2 of 200 keys"}},
		{"one copy in a hundred lost", 3, func(c *cluster) func(line) string {
			sets, all := 0, c.replicated(0, 1, 2)
			return func(q line) string {
				if q.op == "set" {
					if sets++; sets%100 == 0 {
						return c.onAll(q, 0, 1)
					}
				}
				return all(q)
			}
		}, Mixed, []string{"replicated with exceptions: 2 of 200 keys"}},
		{"connections are balanced", 3, func(c *cluster) func(line) string {
			return func(q line) string { return c.stores[q.conn%3].answer(q) }
		}, Mixed, []string{"not spread by the key alone"}},
	} {
		c := startCluster(t, test.members)
		check(t, test.what, c.look(test.router(c), nil), test.verdict, test.want...)
	}
}

func TestPrefixes(t *testing.T) {
	c := startCluster(t, 4)
	replicas := c.replicated(2, 3)
	router := func(q line) string {
		if strings.HasPrefix(q.key, "s:") {
			return replicas(q)
		}
		return c.onAll(q, c.shard(q.key)%2)
	}
	r := c.look(router, func(o *Options) { o.Prefixes = []string{"s:", "u:"} })
	check(t, "prefixes", r, Mixed, `keys with "s:": mixed: each of 100 keys is on the same 2 of 4 members`,
		`keys with "u:": sharded: each of 100 keys is on exactly one of 4 members`,
		"\non members  prefix  keys\n", "\n3 4         \"s:\"     100\n")
}

// A router that answers before it writes: the fake writes when Run pauses.
func TestAsync(t *testing.T) {
	for name, behind := range map[string][]int{"all": {0, 1, 2}, "all but the first": {1, 2}} {
		c := startCluster(t, 3)
		var later []line
		router := func(q line) string {
			if q.op == "get" {
				return c.stores[0].answer(q)
			}
			later = append(later, q)
			if len(behind) < 3 {
				c.stores[0].answer(q)
			}
			if q.op == "delete" {
				return "DELETED"
			}
			return "STORED"
		}
		pauses := 0
		write := func() {
			for _, q := range later {
				c.onAll(q, behind...)
			}
			later = nil
		}
		o := Options{Router: serve(t, router), Members: c.addresses, Pause: func(ctx context.Context, _ time.Duration) error {
			if pauses++; pauses%2 == 0 {
				write()
			}
			return ctx.Err()
		}}
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		check(t, name, r, Replicated, "answers before it has written", "deletes  reach all members")
		if want := 200 * len(behind); r.Late != want {
			t.Errorf("%s: got %d late copies; want %d", name, r.Late, want)
		}
		write()
		c.checkClean("at the end")
	}
}

func TestMissingMembers(t *testing.T) {
	c := startCluster(t, 3)
	listed := func(n int) func(*Options) { return func(o *Options) { o.Members = c.addresses[:n] } }
	check(t, "two of three", c.look(c.sharded, listed(2)), Sharded, "no key is on two of 2 members",
		"on none of those listed", "there are members that are not listed")
	check(t, "one of three", c.look(c.sharded, listed(1)), Unclear, "the only member listed",
		"there are members that are not listed")
	check(t, "one replica", c.look(c.replicated(0, 1, 2), listed(1)), Unclear, "all 200 keys are on")
	check(t, "two replicas of three", c.look(c.replicated(0, 1, 2), listed(2)), Replicated)
	check(t, "none", c.look(c.replicated(2), listed(2)), Unclear, "none of 200 keys is on a listed member",
		"there are members that are not listed")
	dropping := func(q line) string {
		return map[string]string{"set": "STORED", "get": "END", "delete": "NOT_FOUND"}[q.op]
	}
	check(t, "nothing is stored", c.look(dropping, nil), Unclear,
		"can't be read back: the router acknowledged them, but stored nothing")
	renaming := func(q line) string {
		q.key = "ns:" + q.key
		return strings.Replace(c.sharded(q), "VALUE ns:", "VALUE ", 1)
	}
	check(t, "another namespace", c.look(renaming, nil), Unclear, "or the router changes the keys")
}

func TestFaultyMembers(t *testing.T) {
	for what, test := range map[string]struct {
		answer func(line) string // nil is the second member under another address
		want   string
	}{
		"garbles":         {always("HTTP/1.1 400 Bad Request"), `answers a set with "HTTP/1.1 400 Bad Request"`},
		"closes":          {always(hangUp), "closes the connection"},
		"is silent":       {always(silence), "no answer within 500ms"},
		"refuses":         {always("CLIENT_ERROR unauthenticated"), "refuses a set: CLIENT_ERROR unauthenticated"},
		"drops":           {drops, "doesn't hold what was set on it"},
		"another's value": {garbles("VALUE other 0 3\r\nabc\r\nEND"), `answers a get with "VALUE other 0 3"`},
		"half a line":     {garbles("VALUE"), `answers a get with "VALUE"`},
		"no end of lines": {garbles(strings.Repeat("x", 10000)), "answers a line without an end"},
		"is another here": {nil, "is the same server as"},
	} {
		c := startCluster(t, 2)
		answer := test.answer
		if answer == nil {
			answer = c.stores[1].answer
		}
		third := serve(t, answer)
		members := func(o *Options) {
			o.Members = append(o.Members[:2:2], third)
			if what == "is silent" {
				o.Timeout = 500 * time.Millisecond
			}
		}
		check(t, what+", sharded", c.look(c.sharded, members), Sharded, test.want)
		check(t, what+", replicated", c.look(c.replicated(0, 1), members), Replicated, test.want,
			"2 members that could be queried, of 3")
	}
}

func drops(q line) string {
	return map[string]string{"set": "STORED", "get": "END", "delete": "NOT_FOUND"}[q.op]
}

// garbles accepts sets and gives the same answer to every get.
func garbles(answer string) func(line) string {
	return func(q line) string {
		if q.op == "get" {
			return answer
		}
		return drops(q)
	}
}

// always returns a handler that always gives the same answer.
func always(answer string) func(line) string { return func(line) string { return answer } }

// A member that fails while it is searched for keys is excluded, and the verdict is of the others.
func TestMemberFailsDuringRun(t *testing.T) {
	c := startCluster(t, 3)
	gets := 0
	c.addresses[2] = serve(t, func(q line) string {
		if q.op == "get" {
			if gets++; gets == 50 {
				return hangUp
			}
		}
		return c.stores[2].answer(q)
	})
	check(t, "a member fails", c.look(c.sharded, nil), Sharded, "closes the connection",
		"on none of those that could be queried", "they may be on the others")
}

func TestUnreachable(t *testing.T) {
	c := startCluster(t, 2)
	free := serve(t, func(line) string { return hangUp })
	check(t, "a router that closes", c.look(c.sharded, func(o *Options) { o.Router = free }), Unreachable,
		"the router stored none of the keys: closes the connection")
	check(t, "a router that refuses",
		c.look(func(line) string { return "SERVER_ERROR Connection refused" }, nil), Unreachable,
		"stored none of the keys: SERVER_ERROR Connection refused", "note     200 of 200 sets through the router failed")
	socket := t.TempDir() + "/none"
	check(t, "no router", c.look(c.sharded, func(o *Options) { o.Router = socket }), Unreachable, "can't connect: ",
		"no such file or directory")
	check(t, "no members", c.look(c.sharded, func(o *Options) { o.Members = []string{socket, socket + "2"} }), Unreachable,
		"no member could be queried")
}

// A router that can't reach the members of half of the keys.
func TestHalfTheKeysFail(t *testing.T) {
	c := startCluster(t, 4)
	dead := func(q line) bool { return c.shard(q.key)%2 == 1 }
	router := func(q line) string {
		if dead(q) {
			return "SERVER_ERROR Connection timed out"
		}
		return c.sharded(q)
	}
	r := c.look(router, nil)
	check(t, "half fails", r, Sharded, "sets through the router failed: SERVER_ERROR Connection timed out",
		"is on exactly one of 4 members")
	if r.Acknowledged < 50 || r.Acknowledged > 150 || r.Left != r.Keys-r.Acknowledged {
		t.Errorf("got %d acknowledged, %d left; want about half, the rest unsure", r.Acknowledged, r.Left)
	}
	perConn := map[int]int{}
	hangs := func(q line) string {
		if perConn[q.conn]++; perConn[q.conn] > 1 {
			return hangUp
		}
		return c.sharded(q)
	}
	r, err := Run(t.Context(), Options{Router: serve(t, hangs), Members: c.addresses, Pause: noPause})
	if err != nil {
		t.Fatal(err)
	}
	check(t, "hangs up", r, Unclear, "only 8 keys", "192 of 200 sets through the router failed: closes the connection")
}

func TestRouterWithACache(t *testing.T) {
	c := startCluster(t, 3)
	cache := map[string]string{}
	r := c.look(func(q line) string {
		switch {
		case q.op == "set":
			cache[q.key] = q.value
		case q.op == "get" && cache[q.key] != "":
			s := store{items: cache}
			return s.answer(q)
		case q.op == "delete":
			delete(cache, q.key)
		}
		return c.sharded(q)
	}, nil)
	check(t, "a cache", r, Sharded, "200 of 200 reads were answered with what no listed member held any more",
		"no read was answered by a listed member")
}

// A run that is interrupted in any of its steps still deletes what it wrote.
func TestInterrupted(t *testing.T) {
	for _, at := range []int{1, 100, 250, 420, 450, 610} { // requests that the router has had
		c := startCluster(t, 3)
		ctx, interrupt := context.WithCancelCause(t.Context())
		why := errors.New("interrupted by the test")
		served := 0
		router := serve(t, func(q line) string {
			if served++; served == at {
				interrupt(why)
			}
			return c.sharded(q)
		})
		r, err := Run(ctx, Options{Router: router, Members: c.addresses, Pause: noPause})
		if served < at {
			t.Fatalf("got %d requests; want %d", served, at)
		}
		if !errors.Is(err, why) || r.Verdict != Unclear || r.Left != 0 {
			t.Errorf("at request %d: got %v, %s, %d keys left; want the interruption, unclear, 0", at, err, r.Verdict, r.Left)
		}
		c.checkClean("at the end")
	}
}

func TestOptions(t *testing.T) {
	many := make([]string, MaxMembers+1)
	for i := range many {
		many[i] = strings.Repeat("m", i+1)
	}
	for want, o := range map[string]Options{
		"no router":                    {Members: []string{"a"}},
		"0 members":                    {Router: "r"},
		"101 members":                  {Router: "r", Members: many},
		"a:11211 is listed twice":      {Router: "r", Members: []string{"a", "a:11211"}},
		"r:11211 is the router":        {Router: "r", Members: []string{"a", "r:11211"}},
		"member 2 of 2 has no address": {Router: "r", Members: []string{"a", ""}},
		"9 keys; with 1 members and 1 prefixes, want 10 to":  {Router: "r", Members: []string{"a"}, Keys: 9},
		"5001 keys; with 2 members and 1 prefixes, want 10 ": {Router: "r", Members: []string{"a", "b"}, Keys: 5001},
		`prefix "a b"`:              {Router: "r", Members: []string{"a"}, Prefixes: []string{"a b"}},
		`prefix "a" is given twice`: {Router: "r", Members: []string{"a"}, Prefixes: []string{"a", "a"}},
		"11 prefixes":               {Router: "r", Members: []string{"a"}, Prefixes: many[:11]},
		"can't be negative":         {Router: "r", Members: []string{"a"}, Settle: -1},
	} {
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
	o := Options{Router: "::1", Members: many[:MaxMembers]}
	if err := o.complete(); err != nil || o.Router != "[::1]:11211" || o.Keys != 20 {
		t.Errorf("got %v, router %q, %d keys; want none, [::1]:11211, 20", err, o.Router, o.Keys)
	}
}
