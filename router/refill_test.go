package router

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/route"
)

// A member that comes back empty gets what another has, with its flags and what is left of its TTL.
func TestMemberIsRefilled(t *testing.T) {
	caches, cutters, o := replicas(t, 2)
	o.Pools[0].Read = route.ReadFirst
	r := run(t, o, 2)
	const n = 500
	for i := range n {
		r.want(0, fmt.Sprintf("set key%d %d 1000 2\r\nvv\r\n", i, i), "STORED\r\n")
	}
	r.want(0, "set forever 0 0 1\r\nv\r\nms a2V5IDE= 1 b\r\nv\r\n", "STORED\r\nHD\r\n")
	cutters[0].setCut(true)
	r.want(1, "set key0 7 0 3\r\nnew\r\ndelete key1\r\n", "STORED\r\nDELETED\r\n")
	direct := run(t, route.Options{Pools: []route.Pool{{Name: "direct",
		Members: []route.Member{{Address: caches[0].address()}}}}}, 1)
	direct.want(0, "flush_all\r\n", "OK\r\n") // as a restart would
	cutters[0].setCut(false)
	await(t, "the member is full", func() bool {
		m := r.Pools()[0].Members[0]
		return m.State == "up" && !m.Refill.Cold
	})
	if got := r.Pools()[0].Members[0].Refill; got.Listed != n+1 || got.Tried != got.Listed || got.Filled != n+1 {
		t.Errorf("got %+v; want all of the %d listed to have come", got, n+1)
	}
	direct.want(0, "get key0 key1\r\nmg a2V5IDE= b t v\r\n", "VALUE key0 7 3\r\nnew\r\nEND\r\nVA 1 t-1\r\nv\r\n")
	direct.want(0, "mg forever t\r\n", "HD t-1\r\n")
	for i := 2; i < n; i++ {
		answer := direct.ask(0, fmt.Sprintf("mg key%d f t v\r\n", i))
		var size, flags, ttl int
		if _, err := fmt.Sscanf(answer, "VA %d f%d t%d\r\n", &size, &flags, &ttl); err != nil || flags != i || ttl < 900 ||
			ttl > 1000 {
			t.Fatalf("key%d: got %q (%v)", i, answer, err)
		}
	}
}

// allDown cuts all ways, and has a write and a read notice it.
func (r *running) allDown(cutters []*cutter) {
	for _, c := range cutters {
		c.setCut(true)
	}
	await(r.t, "all members are down", func() bool {
		r.ask(0, "set poke 0 0 1\r\nv\r\n")
		for i := range cutters {
			if r.state(0, i) == "up" {
				return false
			}
		}
		return true
	})
}

func (r *running) awaitWarm(members ...int) {
	r.t.Helper()
	await(r.t, fmt.Sprintf("members %v are filled", members), func() bool {
		for _, i := range members {
			if m := r.Pools()[0].Members[i]; m.State != "up" || m.Refill.Cold {
				return false
			}
		}
		return true
	})
}

// wantHeld checks how many of the keys key0 to key99 a cache holds.
func wantHeld(t *testing.T, c *cacheServer, want int) {
	t.Helper()
	direct := run(t, route.Options{Pools: []route.Pool{{Name: "direct",
		Members: []route.Member{{Address: c.address()}}}}}, 1)
	held := 0
	for i := range 100 {
		held += strings.Count(direct.ask(0, fmt.Sprintf("get key%d\r\n", i)), "VALUE")
	}
	if held != want {
		t.Errorf("%s holds %d keys; want %d", c.address(), held, want)
	}
}

// After all members were down at once, those that are back are the ones to fill from: later
// restarts too.
func TestRefillAfterAllWereDown(t *testing.T) {
	caches, cutters, o := replicas(t, 3)
	r := run(t, o, 1)
	for i := range 100 {
		r.want(0, fmt.Sprintf("set key%d 0 0 1\r\nv\r\n", i), "STORED\r\n")
	}
	r.allDown(cutters)
	for _, c := range cutters {
		c.setCut(false)
	}
	r.awaitWarm(0, 1, 2)
	cutters[2].setCut(true)
	await(t, "it is down", func() bool { r.ask(0, "delete key0\r\n"); return r.state(0, 2) == "down" })
	flush(t, caches[2])
	cutters[2].setCut(false)
	r.awaitWarm(2)
	wantHeld(t, caches[2], 99)
}

// flush empties the cache, as a restart would.
func flush(t *testing.T, c *cacheServer) {
	direct := run(t, route.Options{Pools: []route.Pool{{Name: "direct",
		Members: []route.Member{{Address: c.address()}}}}}, 1)
	direct.want(0, "flush_all\r\n", "OK\r\n")
}

// Those that are back first may have been restarted: what the last warm one holds comes to them
// when it is back.
func TestRefillFromTheLastThatWasWarm(t *testing.T) {
	caches, cutters, o := replicas(t, 3)
	r := run(t, o, 1)
	for i := range 100 {
		r.want(0, fmt.Sprintf("set key%d 0 0 1\r\nv\r\n", i), "STORED\r\n")
	}
	for i := range 2 {
		cutters[i].setCut(true)
		await(t, "it is down", func() bool { r.ask(0, "set poke 0 0 1\r\nv\r\n"); return r.state(0, i) == "down" })
		flush(t, caches[i])
	}
	r.allDown(cutters)
	cutters[0].setCut(false)
	cutters[1].setCut(false)
	r.awaitWarm(0, 1)
	r.want(0, "delete key7\r\n", "NOT_FOUND\r\n") // what C holds of it is older, and nobody gets it from there
	cutters[2].setCut(false)
	r.awaitWarm(0, 1, 2)
	for _, c := range caches {
		wantHeld(t, c, 99)
	}
	r.want(0, "get key7\r\n", "END\r\n")
}

// While a member is cold, its misses are answered by others, and it gets what they have.
func TestColdMemberAsksOthers(t *testing.T) {
	caches, cutters, o := replicas(t, 2)
	o.Pools[0].Read, o.Pools[0].RefillRate = route.ReadFirst, 1 // the list alone would take minutes
	r := run(t, o, 1)
	for i := range 100 {
		r.want(0, fmt.Sprintf("set key%d 0 0 1\r\nv\r\n", i), "STORED\r\n")
	}
	cutters[0].setCut(true)
	r.want(0, "delete key1\r\n", "DELETED\r\n")
	direct := run(t, route.Options{Pools: []route.Pool{{Name: "direct",
		Members: []route.Member{{Address: caches[0].address()}}}}}, 1)
	direct.want(0, "flush_all\r\n", "OK\r\n")
	cutters[0].setCut(false)
	await(t, "the member is up", func() bool { return r.state(0, 0) == "up" })
	r.want(0, "get key50 key1 key51\r\n", "VALUE key50 0 1\r\nv\r\nVALUE key51 0 1\r\nv\r\nEND\r\n")
	await(t, "both items were added", func() bool {
		return strings.Count(direct.ask(0, "get key50 key51\r\n"), "VALUE") == 2
	})
}
