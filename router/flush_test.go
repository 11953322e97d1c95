package router

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/route"
)

// direct returns a router before one cache alone: a client that speaks to the member itself.
func direct(t testing.TB, c *cacheServer) *running {
	t.Helper()
	return run(t, route.Options{Pools: []route.Pool{{Name: "direct", Members: []route.Member{{Address: c.address()}}}}}, 1)
}

// copyTo begins a copy of a key from a member of the first pool to another. The channel is closed
// at its end.
func (r *running) copyTo(lane int, key string, from, to int) <-chan struct{} {
	l, p, done := r.lanes[lane], r.tree.Load().pools[0].replicated, make(chan struct{})
	l.loop.Post(func() { l.Enter(func() { p.copyItem(l, []byte(key), from, to, func(bool) { close(done) }) }) })
	return done
}

// A flush and a copy that is in flight:
//
//  1. Member 0 lacks k, and the copy from member 1 begins. Member 1 has answered with the item,
//     which the router has not got yet.
//  2. A flush of all is asked for.
//  3. The router gets the item.
//
// After the flush was acknowledged, k is nowhere.
func TestFlushWaitsForCopies(t *testing.T) {
	caches, cutters, o := replicas(t, 2)
	r := run(t, o, 2)
	to := direct(t, caches[0])
	r.want(0, "set k 0 0 1\r\n1\r\nset other 0 0 1\r\n1\r\n", "STORED\r\nSTORED\r\n")
	to.want(0, "delete k\r\n", "DELETED\r\n")
	held, release := cutters[1].holding("VA 1 ")
	defer release()
	done := r.copyTo(1, "k", 1, 0)
	<-held
	flushed := make(chan string)
	go func() { flushed <- r.ask(0, "flush_all\r\n") }()
	for deadline := time.Now().Add(300 * time.Millisecond); time.Now().Before(deadline); { // unless it waits
		if to.ask(0, "get other\r\n") == "END\r\n" {
			break
		}
	}
	release()
	<-done
	if got := <-flushed; got != "OK\r\n" {
		t.Errorf("flush_all: got %q", got)
	}
	to.want(0, "get k\r\n", "END\r\n")
	for range 20 {
		r.want(0, "get k\r\n", "END\r\n")
	}
	r.want(0, "set k 0 0 1\r\n2\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\n2\r\nEND\r\n") // nothing is closed any more
}

// Requests of one connection keep their order about a flush_all that waits for a write.
func TestPipelinesKeepTheirOrderAboutAFlush(t *testing.T) {
	_, cutters, o := replicas(t, 3)
	r := run(t, o, 1)
	r.want(0, "set a 0 0 1\r\n1\r\n", "STORED\r\n")
	for i := range 20 {
		held, release := cutters[i%3].holding("STORED")
		written := make(chan string)
		go func() { written <- r.ask(0, "set b 0 0 1\r\n1\r\n") }()
		<-held
		go func() {
			written <- r.ask(0, "set a 0 0 1\r\n2\r\nflush_all\r\nget a b\r\nflush_all\r\nset a 0 0 1\r\n3\r\nget a\r\n"+
				"append a 0 0 1\r\n3\r\nget a b\r\n")
		}()
		time.AfterFunc(time.Duration(i%4)*time.Millisecond, release)
		const want = "STORED\r\nOK\r\nEND\r\nOK\r\nSTORED\r\nVALUE a 0 1\r\n3\r\nEND\r\nSTORED\r\nVALUE a 0 2\r\n33\r\n" +
			"END\r\n"
		if one, two := <-written, <-written; one+two != "STORED\r\n"+want && two+one != "STORED\r\n"+want {
			t.Fatalf("round %d: got %q and %q", i, one, two)
		}
	}
}

// Flushes from several lanes that never end keep no write waiting for ever, and none is forgotten.
func TestFlushesAndWritesTakeTurns(t *testing.T) {
	_, _, o := replicas(t, 2)
	r := run(t, o, 2)
	answers := make(chan string)
	const clients, rounds = 6, 50
	for client := range clients {
		go func() {
			request := "flush_all\r\n"
			if client%2 == 1 {
				request = fmt.Sprintf("set k%d 0 0 1\r\n1\r\n", client%4)
			}
			var all strings.Builder
			for range rounds {
				all.WriteString(r.ask(client/2%2, request))
			}
			answers <- all.String()
		}()
	}
	for range clients {
		if got := <-answers; got != strings.Repeat("OK\r\n", rounds) && got != strings.Repeat("STORED\r\n", rounds) {
			t.Errorf("got %.200q", got)
		}
	}
}

// A flush that a member can't take, since too many requests wait for it, is journaled.
func TestFlushOfABusyMember(t *testing.T) {
	_, cutters, o := replicas(t, 2)
	o.Pools[0].MaxInFlight, o.Pools[0].Read = 1, route.ReadFirst
	r := run(t, o, 1)
	r.want(0, "set k 0 0 1\r\n1\r\n", "STORED\r\n")
	held, release := cutters[0].holding("VALUE")
	got := make(chan string)
	go func() { got <- r.ask(0, "get k\r\n") }()
	<-held
	r.want(0, "flush_all\r\n", "OK\r\n")
	release()
	<-got
	r.want(0, "get k\r\n", "END\r\n")
	await(t, "the member is up", func() bool { return r.state(0, 0) == "up" })
	r.want(0, "get k\r\n", "END\r\n")
}

// A copy whose outcome isn't known takes the member down, which has forgotten the key when it
// answers again.
func TestCopyThatIsLost(t *testing.T) {
	caches, cutters, o := replicas(t, 2)
	o.Pools[0].Read, o.Pools[0].RefillRate = route.ReadFirst, -1
	r := run(t, o, 1)
	to := direct(t, caches[0])
	r.want(0, "set k 0 0 1\r\n1\r\n", "STORED\r\n")
	to.want(0, "delete k\r\n", "DELETED\r\n")
	held, release := cutters[0].holding("STORED") // the add is done, and its answer lost
	defer release()
	done := r.copyTo(0, "k", 1, 0)
	<-held
	cutters[0].setCut(true)
	<-done
	if got := r.state(0, 0); got != "down" {
		t.Errorf("the member is %s", got)
	}
	r.want(0, "get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n")
	r.want(0, "delete k\r\n", "DELETED\r\n")
	cutters[0].setCut(false)
	await(t, "the member is up", func() bool { return r.state(0, 0) == "up" })
	r.want(0, "get k\r\n", "END\r\n")
}

// A member that joins while a store in pieces goes on by the old tree gets what that writes from
// then on:
//
//  1. Pieces of the new value of k go to members 0 and 1. Member 1 is slow.
//  2. Member 2 joins, is filled, and holds k's old manifest.
//  3. The pieces are stored, and the new manifest follows.
func TestMemberJoinsBesideAWrite(t *testing.T) {
	caches, cutters, o := replicas(t, 3)
	all := o.Pools[0].Members
	all[2].Address = caches[2].address() // so that its connections are told, and it comes up at once
	o.Pools[0].ChunkBytes, o.Pools[0].Timeout = 1024, patience
	o.Pools[0].Members = all[:2]
	r := run(t, o, 2)
	before, after := strings.Repeat("1", 2000), strings.Repeat("2", 2000)
	r.want(0, set("k", before), "STORED\r\n")
	held, release := cutters[1].holding("STORED")
	defer release()
	stored := make(chan string)
	go func() { stored <- r.ask(0, set("k", after)) }()
	<-held
	o.Pools[0].Members = all
	if err := r.Reload(o); err != nil {
		t.Fatal(err)
	}
	joined := direct(t, caches[2])
	await(t, "the member has the old manifest", func() bool { return joined.ask(0, "get k\r\n") != "END\r\n" })
	release()
	if got := <-stored; got != "STORED\r\n" {
		t.Errorf("got %q", got)
	}
	for range 40 {
		if got := r.ask(1, "get k\r\n"); got != value("k", after) && got != "END\r\n" {
			t.Fatalf("got %q", got)
		}
	}
}

// A flush with a delay comes for all members at once, also for one that has come back since.
func TestDelayedFlush(t *testing.T) {
	caches, cutters, o := replicas(t, 2)
	o.Pools[0].RefillRate, o.Pools[0].Read = -1, route.ReadFirst
	r := run(t, o, 2)
	cutters[0].setCut(true)
	r.want(0, set("k", "1")+"flush_all 2\r\n", "STORED\r\nOK\r\n")
	cutters[0].setCut(false)
	r.upAgain()
	r.want(1, set("k", "2"), "STORED\r\n")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	await(t, "k is gone", func() bool {
		<-tick.C
		caches[1].store.Tick()
		return r.ask(0, "get k\r\n") == "END\r\n"
	})
	for _, c := range caches {
		direct(t, c).want(0, "get k\r\n", "END\r\n")
	}
	r.want(0, "flush_all 1\r\nflush_all\r\n"+set("k", "3"), "OK\r\nOK\r\nSTORED\r\n") // the second replaces the first
	r.delayed.mu.Lock()
	defer r.delayed.mu.Unlock()
	if n := len(r.delayed.timers); n != 0 {
		t.Errorf("%d flushes are still to come", n)
	}
}
