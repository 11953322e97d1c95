package router

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/route"
)

// replicas starts n caches behind cutters, and returns the options of a pool of them.
func replicas(t testing.TB, n int) ([]*cacheServer, []*cutter, route.Options) {
	t.Helper()
	p := route.Pool{Name: "users", Kind: route.Replicated, ProbeMin: time.Millisecond, ProbeMax: 10 * time.Millisecond}
	var caches []*cacheServer
	var cutters []*cutter
	for range n {
		c := startCache(t)
		way := startCutter(t, c.address())
		caches, cutters = append(caches, c), append(cutters, way)
		p.Members = append(p.Members, route.Member{Address: way.address()})
	}
	return caches, cutters, route.Options{Pools: []route.Pool{p}}
}

// What one member missed while it was away is gone from it when it answers again.
func TestMemberReturns(t *testing.T) {
	for _, folder := range []bool{false, true} {
		_, cutters, o := replicas(t, 2)
		if folder {
			o.Journal.Folder = t.TempDir()
		}
		o.Pools[0].Read, o.Pools[0].RefillRate = route.ReadFirst, -1
		r := run(t, o, 2)
		r.want(0, "set a 0 0 1\r\n1\r\nset b 0 0 1\r\n1\r\nset c 0 0 1\r\n1\r\n", strings.Repeat("STORED\r\n", 3))
		cutters[0].setCut(true)
		r.want(1, "set a 0 0 1\r\n2\r\ndelete b\r\n", "STORED\r\nDELETED\r\n")
		r.want(1, "add d 0 0 1\r\n1\r\n", "STORED\r\n")
		r.want(0, "get a b c d\r\n", "VALUE a 0 1\r\n2\r\nVALUE c 0 1\r\n1\r\nVALUE d 0 1\r\n1\r\nEND\r\n")
		if got := r.state(0, 0); got != "down" {
			t.Errorf("the member that was cut off is %s", got)
		}
		cutters[0].setCut(false)
		await(t, "the member is up", func() bool { return r.state(0, 0) == "up" })
		r.want(0, "get a b c d\r\n", "VALUE c 0 1\r\n1\r\nEND\r\n") // what it missed is a miss; what it has stands
	}
}

// While a key is written with fewer acknowledgements than members, its reads don't see the past.
func TestAcknowledgements(t *testing.T) {
	for _, policy := range []route.Acknowledge{route.AckAll, route.AckMajority, route.AckFirst, route.AckFastest,
		route.AckNone} {
		t.Run(string(policy), func(t *testing.T) {
			_, _, o := replicas(t, 3)
			o.Pools[0].Acknowledge = policy
			r := run(t, o, 2)
			for i := range 200 {
				r.want(i%2, fmt.Sprintf("set k 0 0 %d\r\n%d\r\n", len(strconv.Itoa(i)), i), "STORED\r\n")
				r.want((i+1)%2, "get k\r\n", fmt.Sprintf("VALUE k 0 %d\r\n%d\r\nEND\r\n", len(strconv.Itoa(i)), i))
			}
		})
	}
}

// A CAS is worth nothing at another member than the one that gave it.
func TestCASOfAnotherMember(t *testing.T) {
	_, cutters, o := replicas(t, 2)
	r := run(t, o, 1)
	r.want(0, "set k 0 0 1\r\n1\r\n", "STORED\r\n")
	answer := r.ask(0, "gets k\r\n")
	cas := strings.Fields(answer)[4]
	cutters[0].setCut(true)
	r.want(0, "set other 0 0 1\r\n1\r\n", "STORED\r\n")
	r.want(0, "cas k 0 0 1 "+cas+"\r\n2\r\n", "EXISTS\r\n")
	answer = r.ask(0, "gets k\r\n")
	r.want(0, "cas k 0 0 1 "+strings.Fields(answer)[4]+"\r\n2\r\n", "STORED\r\n")
	r.want(0, "get k\r\n", "VALUE k 0 1\r\n2\r\nEND\r\n")
}

// The promise, hunted: under random cuts and stalls of the ways to the members, no read returns a
// value older than the last write or delete that was acknowledged before the read began, nor older
// than what a read had returned by then.
func TestNoReadIsOlderThanWhatWasAcknowledged(t *testing.T) {
	for _, policy := range []route.Acknowledge{route.AckAll, route.AckMajority, route.AckFastest} {
		t.Run(string(policy), func(t *testing.T) {
			_, cutters, o := replicas(t, 3)
			o.Pools[0].Acknowledge = policy
			huntStale(t, o, cutters)
		})
	}
}

// The same with flushes beside the writes and the members that come and go.
func TestNoReadIsOlderThanAFlush(t *testing.T) {
	for _, policy := range []route.Acknowledge{route.AckAll, route.AckFirst, route.AckFastest} {
		t.Run(string(policy), func(t *testing.T) {
			_, cutters, o := replicas(t, 3)
			o.Pools[0].Acknowledge = policy
			huntStaleBeside(t, o, cutters, flushOn)
		})
	}
}

// A trail is what is known of one key. Its versions rise; a delete has one too.
type trail struct {
	acknowledged atomic.Int64 // the highest version whose write was acknowledged
	seen         atomic.Int64 // the highest that a read returned
	flushed      atomic.Int64 // the highest acknowledged before a flush began that was acknowledged
}

// huntTime bounds one hunt's load.
const huntTime = 2 * time.Second

func huntStale(t *testing.T, o route.Options, cutters []*cutter) { huntStaleBeside(t, o, cutters, nil) }

// flushOn flushes all pools now and then.
func flushOn(r *running, trails []trail, end chan struct{}) {
	pause := time.NewTicker(200 * time.Millisecond)
	defer pause.Stop()
	for n := 0; ; n++ {
		select {
		case <-end:
			return
		case <-pause.C:
		}
		before := make([]int64, len(trails))
		for i := range trails {
			before[i] = trails[i].acknowledged.Load()
		}
		if answer := r.ask(n%len(r.loops), "flush_all\r\n"); answer != "OK\r\n" {
			r.t.Errorf("flush_all was answered with %q", answer)
			continue
		}
		for i, version := range before {
			trails[i].flushed.Store(version)
		}
	}
}

func huntStaleBeside(t *testing.T, o route.Options, cutters []*cutter, beside func(*running, []trail, chan struct{})) {
	o.Journal.Folder = t.TempDir()
	for i := range o.Pools {
		o.Pools[i].Timeout = 200 * time.Millisecond // shorter than the stalls
	}
	const lanes, writers, keys, clients = 2, 4, 256, 6 // so many keys that what a member missed isn't soon written again
	r := run(t, o, lanes)
	trails := make([]trail, keys)
	end := make(chan struct{})
	var running sync.WaitGroup
	for writer := range writers { // one for each key, so that its versions rise
		running.Go(func() { writeOn(r, writer, writers, trails, end) })
	}
	var reads, hits atomic.Int64
	for client := range clients {
		running.Go(func() { readOn(r, client, trails, end, &reads, &hits) })
	}
	if beside != nil {
		running.Go(func() { beside(r, trails, end) })
	}
	random := rand.New(rand.NewPCG(1, 2))
	for began := time.Now(); time.Since(began) < huntTime; {
		way := cutters[random.IntN(len(cutters))]
		wait := time.Duration(random.IntN(60)) * time.Millisecond
		if random.IntN(3) == 0 {
			way.stall.Lock()
			time.Sleep(5 * wait)
			way.stall.Unlock()
		} else {
			way.setCut(true)
			time.Sleep(wait)
			way.setCut(false)
		}
		time.Sleep(wait)
	}
	close(end)
	running.Wait()
	if reads.Load() == 0 || hits.Load() == 0 {
		t.Errorf("%d reads with %d hits show nothing", reads.Load(), hits.Load())
	}
	t.Logf("%d reads, %d hits", reads.Load(), hits.Load())
}

// writeOn writes rising versions of every step-th key from first on, and deletes some now and then.
func writeOn(r *running, first, step int, trails []trail, end chan struct{}) {
	key := first
	for version := int64(1); ; version++ {
		if key += step; key >= len(trails) {
			key = first
		}
		select {
		case <-end:
			return
		default:
		}
		request, want := fmt.Sprintf("set key%d 0 0 %d\r\n%d\r\n", key, len(strconv.FormatInt(version, 10)),
			version), "STORED\r\n"
		if version%7 == 0 {
			request, want = fmt.Sprintf("delete key%d\r\n", key), "DELETED\r\n"
		}
		answer := r.ask(int(version)%len(r.loops), request)
		if answer == want || answer == "NOT_FOUND\r\n" {
			trails[key].acknowledged.Store(version)
		} else if !strings.HasPrefix(answer, "SERVER_ERROR ") {
			r.t.Errorf("%q was answered with %q", request, answer)
		}
	}
}

// readOn reads keys and checks how old what it gets is.
func readOn(r *running, client int, trails []trail, end chan struct{}, reads, hits *atomic.Int64) {
	for i := 0; ; i++ {
		select {
		case <-end:
			return
		default:
		}
		key := (i*7 + client*31) % len(trails)
		trail := &trails[key]
		acknowledged, seen, flushed := trail.acknowledged.Load(), trail.seen.Load(), trail.flushed.Load()
		answer := r.ask((i+client)%len(r.loops), fmt.Sprintf("get key%d\r\n", key))
		reads.Add(1)
		lines := strings.Split(answer, "\r\n")
		if len(lines) < 3 || !strings.HasPrefix(answer, "VALUE ") {
			continue
		}
		hits.Add(1)
		version, err := strconv.ParseInt(lines[1], 10, 64)
		if err != nil {
			r.t.Errorf("answer %q: %v", answer, err)
			return
		}
		if version < acknowledged {
			r.t.Errorf("key%d: version %d was read after %d had been acknowledged", key, version, acknowledged)
		}
		if version <= flushed {
			r.t.Errorf("key%d: version %d was read after %d had been flushed", key, version, flushed)
		}
		if version < seen {
			r.t.Errorf("key%d: version %d was read after %d had been", key, version, seen)
		}
		for seen < version && !trail.seen.CompareAndSwap(seen, version) {
			seen = trail.seen.Load()
		}
	}
}

// A write that a member got before it went away, and reads only after it has answered again, undoes
// nothing of what it was told then.
func TestWriteThatComesLate(t *testing.T) {
	hold, applied := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	var listed atomic.Int32 // how often the member was asked for its connections
	late := startFake(t, func(f *fakeMember, line, block string) string {
		switch {
		case strings.HasPrefix(line, "set k ") && block == "2":
			<-hold
			defer close(applied)
		case line == "stats conns" && listed.Add(1) == 3: // the connection of before still stands
			release()
		case line == "delete k":
			defer release()
		}
		return f.store(line, block)
	})
	other := startFake(t, nil)
	r := run(t, route.Options{Pools: []route.Pool{{
		Name: "p", Kind: route.Replicated, Read: route.ReadFirst, RefillRate: -1, ProbeMin: time.Millisecond,
		Timeout: 500 * time.Millisecond,
		Members: []route.Member{{Address: late.address()}, {Address: other.address()}},
	}}}, 1)
	r.want(0, "set k 0 0 1\r\n1\r\n", "STORED\r\n")
	r.want(0, "set k 0 0 1\r\n2\r\n", "STORED\r\n") // late doesn't answer: it goes down
	r.want(0, "set k 0 0 1\r\n3\r\n", "STORED\r\n")
	await(t, "the member is up", func() bool { return r.state(0, 0) == "up" })
	<-applied
	r.want(0, "get k\r\n", "END\r\n")
}
