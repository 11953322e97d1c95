package router

import (
	"fmt"
	"strings"
	"testing"
)

// A member that comes back empty gets what another has, with its flags and what is left of its TTL.
func TestMemberIsRefilled(t *testing.T) {
	caches, cutters, o := replicas(t, 2)
	o.Pools[0].Read = ReadFirst
	r := run(t, o, 2)
	const n = 500
	for i := range n {
		r.want(0, fmt.Sprintf("set key%d %d 1000 2\r\nvv\r\n", i, i), "STORED\r\n")
	}
	r.want(0, "set forever 0 0 1\r\nv\r\nms a2V5IDE= 1 b\r\nv\r\n", "STORED\r\nHD\r\n")
	cutters[0].setCut(true)
	r.want(1, "set key0 7 0 3\r\nnew\r\ndelete key1\r\n", "STORED\r\nDELETED\r\n")
	direct := run(t, Options{Pools: []Pool{{Name: "direct", Members: []Member{{Address: caches[0].address()}}}}}, 1)
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
		if _, err := fmt.Sscanf(answer, "VA %d f%d t%d\r\n", &size, &flags, &ttl); err != nil || flags != i || ttl < 900 || ttl > 1000 {
			t.Fatalf("key%d: got %q (%v)", i, answer, err)
		}
	}
}

// While a member is cold, its misses are answered by others, and it gets what they have.
func TestColdMemberAsksOthers(t *testing.T) {
	caches, cutters, o := replicas(t, 2)
	o.Pools[0].Read, o.Pools[0].RefillRate = ReadFirst, 1 // the list alone would take minutes
	r := run(t, o, 1)
	for i := range 100 {
		r.want(0, fmt.Sprintf("set key%d 0 0 1\r\nv\r\n", i), "STORED\r\n")
	}
	cutters[0].setCut(true)
	r.want(0, "delete key1\r\n", "DELETED\r\n")
	direct := run(t, Options{Pools: []Pool{{Name: "direct", Members: []Member{{Address: caches[0].address()}}}}}, 1)
	direct.want(0, "flush_all\r\n", "OK\r\n")
	cutters[0].setCut(false)
	await(t, "the member is up", func() bool { return r.state(0, 0) == "up" })
	r.want(0, "get key50 key1 key51\r\n", "VALUE key50 0 1\r\nv\r\nVALUE key51 0 1\r\nv\r\nEND\r\n")
	await(t, "both items were added", func() bool {
		return strings.Count(direct.ask(0, "get key50 key51\r\n"), "VALUE") == 2
	})
}
