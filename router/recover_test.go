package router

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/mc"
	"holdfast/route"
)

// killed returns a copy of a running router's journal directory: what a process would find that is
// started after this one was killed now.
func killed(t testing.TB, folder string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "journal")
	if err := os.CopyFS(to, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	return to
}

// send sends a request whose answer nobody waits for.
func (r *running) send(lane int, request string) {
	r.t.Helper()
	b := mc.NewBatch(func(*mc.Batch) {})
	b.Lane, b.OnLoop = lane, true
	var d mc.Decoder
	if _, err := d.Decode([]byte(request), b); err != nil {
		r.t.Fatal(err)
	}
	r.loops[lane].Post(func() { r.Serve(b) })
}

// onWay runs a router whose second member's way is stalled, has it write, and returns the folder
// that it leaves when it is killed after the first member has got the write.
func onWay(t testing.TB, o route.Options, cutters []*cutter, first *cacheServer, request, got string) string {
	t.Helper()
	o.Journal.Folder, o.Pools[0].Timeout = t.TempDir(), patience
	r := run(t, o, 2)
	r.want(0, "set k 0 0 3\r\nold\r\nset other 0 0 1\r\n1\r\n", "STORED\r\nSTORED\r\n")
	cutters[1].stall.Lock()
	t.Cleanup(cutters[1].stall.Unlock)
	r.send(1, request)
	to := direct(t, first)
	await(t, "the first member has the write", func() bool { return to.ask(0, "get k\r\n") == got })
	return killed(t, o.Journal.Folder)
}

// byOwnWays has the members of the first pool at their own addresses.
func byOwnWays(o route.Options, folder string, caches []*cacheServer) route.Options {
	p := o.Pools[0]
	p.Members, p.Timeout = nil, 200*time.Millisecond
	for _, c := range caches {
		p.Members = append(p.Members, route.Member{Address: c.address()})
	}
	return route.Options{Pools: append([]route.Pool{p}, o.Pools[1:]...), Journal: route.Journal{Folder: folder}}
}

// A router that is killed with a write in flight leaves members that differ. The next one settles
// the key before it answers anything under it, and knows it still if it is killed before.
func TestWriteOfAKilledRouter(t *testing.T) {
	for _, test := range []struct{ name, request, got string }{
		{"set", "set k 0 0 3\r\nnew\r\n", value("k", "new")},
		{"append", "append k 0 0 1\r\n!\r\n", value("k", "old!")},
		{"delete", "delete k\r\n", "END\r\n"},
		{"meta", "ms k 3 I\r\nnew\r\n", value("k", "new")},
	} {
		t.Run(test.name, func(t *testing.T) {
			caches, cutters, o := replicas(t, 2)
			folder := onWay(t, o, cutters, caches[0], test.request, test.got)
			o = byOwnWays(o, folder, caches)
			second := killed(t, folder) // a router that had begun, and noted nothing more
			for _, folder := range []string{folder, second} {
				o.Journal.Folder, o.Journal.Name = folder, folder // since the one is older than the other's marks
				r := run(t, o, 2)
				r.want(0, "get other\r\n", value("other", "1"))
				for i := range 20 {
					r.want(i%2, "get k\r\n", "END\r\n")
				}
				r.want(1, "append k 0 0 1\r\n!\r\n", "NOT_STORED\r\n")
				for i, c := range caches {
					if got := direct(t, c).ask(0, "get k other\r\n"); got != value("other", "1") {
						t.Errorf("member %d: got %q", i, got)
					}
				}
				await(t, "the ledger is empty", func() bool { left, _ := r.journals.Ledger().Unresolved(); return len(left) == 0 })
			}
		})
	}
}

// A member that can't be reached when the writes are settled forgets them when it comes back.
func TestWriteOfAKilledRouterAndAMemberAway(t *testing.T) {
	caches, cutters, o := replicas(t, 2)
	folder := onWay(t, o, cutters, caches[0], "set k 0 0 3\r\nnew\r\n", value("k", "new"))
	o = byOwnWays(o, folder, caches)
	away := startCutter(t, caches[1].address())
	away.setCut(true)
	o.Pools[0].Members[1].Address, o.Pools[0].RefillRate = away.address(), -1
	r := run(t, o, 2)
	r.want(0, "get k\r\nset k 0 0 5\r\nnewer\r\n", "END\r\nSTORED\r\n")
	away.setCut(false)
	await(t, "the member is up", func() bool { return r.state(0, 1) == "up" })
	for range 20 {
		if got := r.ask(0, "get k\r\n"); got != value("k", "newer") && got != "END\r\n" {
			t.Fatalf("got %q", got)
		}
	}
	direct(t, caches[1]).want(0, "get k\r\n", "END\r\n")
}

// A member that is stopped has a write of the killed router in a socket, and reads it after it has
// answered the next router: nothing is undone by it.
func TestWriteOfAKilledRouterThatComesLate(t *testing.T) {
	hold, applied := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release)
	var listed atomic.Int32 // how often the member was asked for its connections
	late := startFake(t, func(f *fakeMember, line, block string) string {
		switch {
		case strings.HasPrefix(line, "set k ") && block == "2":
			<-hold
			defer close(applied)
		case line == "stats conns" && listed.Add(1) == 3: // none of them is this router's
			release()
		case line == "delete k":
			defer release()
		}
		return f.store(line, block)
	})
	other := startFake(t, nil)
	o := route.Options{Pools: []route.Pool{{
		Name: "p", Kind: route.Replicated, Read: route.ReadFirst, RefillRate: -1, ProbeMin: time.Millisecond,
		Timeout: patience,
		Members: []route.Member{{Address: late.address()}, {Address: other.address()}},
	}}}
	o.Journal.Folder = t.TempDir()
	first := run(t, o, 1)
	first.want(0, "set k 0 0 1\r\n1\r\n", "STORED\r\n")
	first.send(0, "set k 0 0 1\r\n2\r\n")
	await(t, "the other member has it", func() bool {
		other.mu.Lock()
		defer other.mu.Unlock()
		return other.items["k"] == "2"
	})
	o.Journal.Folder, o.Pools[0].Timeout = killed(t, o.Journal.Folder), 500*time.Millisecond
	r := run(t, o, 1)
	r.want(0, "get k\r\nset k 0 0 1\r\n3\r\n", "END\r\nSTORED\r\n")
	<-applied
	r.want(0, "get k\r\n", value("k", "3"))
}

// Where the writes in flight aren't all known, one member of a replicated pool keeps its items,
// if that has all that was acknowledged, and the others are filled from it.
func TestUnknownWritesOfAKilledRouter(t *testing.T) {
	for policy, want := range map[route.Acknowledge]string{route.AckAll: value("k", "1"), route.AckFirst: "END\r\n"} {
		t.Run(string(policy), func(t *testing.T) {
			caches, _, o := replicas(t, 3)
			o.Pools[0].Acknowledge = policy
			o = byOwnWays(o, t.TempDir(), caches)
			first := run(t, o, 1)
			for i, c := range caches {
				direct(t, c).want(0, set("k", fmt.Sprint(1+i)), "STORED\r\n")
			}
			first.want(0, set("other", "1"), "STORED\r\n")
			o.Journal.Folder = killed(t, o.Journal.Folder)
			miscount(t, o.Journal.Folder)
			r := run(t, o, 1)
			for range 2 {
				await(t, "the members are up", func() bool {
					for i := range caches {
						if r.state(0, i) != "up" {
							return false
						}
					}
					return true
				})
				for range 20 {
					r.want(0, "get k\r\n", want)
				}
				if _, unknown := r.journals.Ledger().Unresolved(); unknown != "" {
					t.Errorf("still unknown: %s", unknown)
				}
				o.Journal.Folder = killed(t, o.Journal.Folder) // once is enough
				r = run(t, o, 1)
			}
		})
	}
}

// miscount has a ledger say that a write had no place in it.
func miscount(t testing.TB, folder string) {
	t.Helper()
	const countedAt = 56 // see package journal
	file := filepath.Join(folder, "ledger")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint64(b[countedAt:], 1)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A pool with a gutter: the owner has the write, and the gutter has not forgotten the key.
func TestWriteOfAKilledRouterBeforeAGutter(t *testing.T) {
	caches, _, o := replicas(t, 2)
	main, gutter := o.Pools[0], o.Pools[0]
	gate := startCutter(t, caches[1].address())
	main.Kind, main.Members = route.Sharded, []route.Member{{Address: caches[0].address()}}
	main.Failover, main.FailoverTTL = "gutter", time.Minute
	gutter.Kind, gutter.Name, gutter.Members = route.Sharded, "gutter", []route.Member{{Address: gate.address()}}
	main.Timeout, gutter.Timeout = patience, patience
	o = route.Options{Pools: []route.Pool{main, gutter}, Journal: route.Journal{Folder: t.TempDir()}}
	first := run(t, o, 1)
	direct(t, caches[1]).want(0, set("k", "old"), "STORED\r\n") // of an outage of the owner
	gate.stall.Lock()
	t.Cleanup(gate.stall.Unlock)
	first.send(0, set("k", "new"))
	await(t, "the owner has it", func() bool { return direct(t, caches[0]).ask(0, "get k\r\n") == value("k", "new") })
	o.Journal.Folder = killed(t, o.Journal.Folder)
	o.Pools[0].Timeout, o.Pools[1].Timeout = 200*time.Millisecond, 200*time.Millisecond
	o.Pools[1].Members = []route.Member{{Address: caches[1].address()}}
	r := run(t, o, 1)
	r.want(0, "get k\r\n", "END\r\n")
	for _, c := range caches {
		direct(t, c).want(0, "get k\r\n", "END\r\n")
	}
}
