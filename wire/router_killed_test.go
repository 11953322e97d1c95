package wire

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A gate forwards to a server, and swallows what clients send while it is shut, as a network does
// that fails without an error.
type gate struct {
	addr string
	shut atomic.Bool
}

func startGate(t *testing.T, to string) *gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{addr: listener.Addr().String()}
	var ended sync.WaitGroup
	t.Cleanup(func() { listener.Close(); ended.Wait() })
	ended.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			t.Cleanup(func() { client.Close(); server.Close() })
			ended.Go(func() {
				defer server.Close()
				_, _ = io.Copy(swallower{g, server}, client)
			})
			ended.Go(func() {
				defer client.Close()
				_, _ = io.Copy(client, server)
			})
		}
	})
	return g
}

type swallower struct {
	gate *gate
	to   io.Writer
}

func (s swallower) Write(b []byte) (int, error) {
	if s.gate.shut.Load() {
		return len(b), nil
	}
	return s.to.Write(b)
}

// TestRouterKilledWithAWriteOnItsWay kills a router whose set has reached one member of three. The
// next router returns no value that only some of the members hold.
func TestRouterKilledWithAWriteOnItsWay(t *testing.T) {
	members := startMembers(t, 3)
	gates := []*gate{startGate(t, members[1].addr), startGate(t, members[2].addr)}
	address := freeAddress(t)
	configuration := configFor(address, []*process{members[0], {addr: gates[0].addr}, {addr: gates[1].addr}},
		"kind: replicated", "timeout: 500ms", "probe_min: 5ms", "probe_max: 30ms") +
		fmt.Sprintf("  journal:\n    folder: %q\n", t.TempDir())
	router := startRouter(t, address, configuration)
	for round := range 3 {
		c := talk(t, router)
		if answer, err := c.ask("set k 0 0 3\r\nold\r\n"); err != nil || answer != "STORED\r\n" {
			t.Fatalf("round %d: got %q, %v", round, answer, err)
		}
		for _, g := range gates {
			g.shut.Store(true)
		}
		if _, err := io.WriteString(c, "set k 0 0 3\r\nnew\r\n"); err != nil {
			t.Fatal(err)
		}
		first := talk(t, members[0])
		eventually(t, "the first member has the write", func() bool {
			answer, err := first.ask("get k\r\n")
			return err == nil && answer == "VALUE k 0 3\r\nnew\r\nEND\r\n"
		})
		router.kill()
		for _, g := range gates {
			g.shut.Store(false)
		}
		router = startRouter(t, address, configuration)
		c = talk(t, router)
		values := map[string]int{}
		for range 200 {
			answer, err := c.ask("get k\r\n")
			if err != nil {
				t.Fatal(err)
			}
			values[answer]++
		}
		if len(values) != 1 {
			t.Errorf("round %d: reads differ: %v", round, values)
		}
		if _, err := c.ask("append k 0 0 1\r\n!\r\n"); err != nil {
			t.Fatal(err)
		}
		wantAlike(t, members, "k")
	}
}

// wantAlike checks that all members that hold an item under a key hold the same.
func wantAlike(t *testing.T, members []*process, keys ...string) {
	t.Helper()
	held := map[string]string{}
	for i, m := range members {
		c := talk(t, m)
		for _, key := range keys {
			answer, err := c.ask("get " + key + "\r\n")
			if err != nil {
				t.Fatal(err)
			}
			if other := held[key]; answer != "END\r\n" && other != "" && answer != other {
				t.Errorf("member %d: %s is %q, and %q on another", i, key, answer, other)
			}
			if answer != "END\r\n" {
				held[key] = answer
			}
		}
	}
}

// TestRouterIsKilledAndPromisesOn kills and starts the router under load, with members that are
// stopped and continued: no read, through any of the routers, returns a value older than a write
// that any of them has acknowledged.
func TestRouterIsKilledAndPromisesOn(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	members := startMembers(t, 3)
	address := freeAddress(t)
	options := []string{"kind: replicated", "timeout: 150ms", "probe_min: 5ms", "probe_max: 30ms"}
	configuration := configFor(address, members, options...) +
		fmt.Sprintf("  journal:\n    folder: %q\n", t.TempDir())
	router := startRouter(t, address, configuration)
	h := &killHunt{t: t, address: address, trails: make([]trail, staleKeys), end: make(chan struct{})}
	var clients sync.WaitGroup
	for i := range staleWriters {
		clients.Go(func() { h.write(i) })
	}
	for i := range staleReaders {
		clients.Go(func() { h.read(i) })
	}
	random := rand.New(rand.NewPCG(seed, 0))
	kills := 0
	for began := time.Now(); time.Since(began) < 2*staleLasts; {
		m := members[random.IntN(len(members))]
		wait := time.Duration(random.IntN(200)) * time.Millisecond
		signal(t, m, syscall.SIGSTOP)
		time.Sleep(wait)
		if random.IntN(2) == 0 {
			router.kill()
			kills++
			if random.IntN(2) == 0 {
				signal(t, m, syscall.SIGCONT)
			}
			router = startRouter(t, address, configuration)
		} else { // whatever happens to the member meanwhile
			signal(t, router, syscall.SIGSTOP)
			time.Sleep(wait)
			signal(t, m, syscall.SIGCONT)
			signal(t, router, syscall.SIGCONT)
		}
		time.Sleep(wait)
		signal(t, m, syscall.SIGCONT)
		time.Sleep(2 * wait)
	}
	close(h.end)
	clients.Wait()
	t.Logf("%d kills, %d writes, %d reads with %d hits", kills, h.writes.Load(), h.reads.Load(), h.hits.Load())
	if kills == 0 || h.writes.Load() == 0 || h.hits.Load() == 0 {
		t.Error("this shows nothing")
	}
	var keys []string
	for i := range staleKeys {
		keys = append(keys, fmt.Sprintf("key%d", i))
	}
	last := talk(t, router)
	eventually(t, "all members are back", func() bool {
		if answer, err := last.ask("set last 0 0 1\r\n1\r\n"); err != nil || answer != "STORED\r\n" {
			return false
		}
		for _, m := range members {
			if answer, err := talk(t, m).ask("get last\r\n"); err != nil || answer == "END\r\n" {
				return false
			}
		}
		return true
	})
	wantAlike(t, members, keys...)
}

// A killHunt is the state that clients share, of routers that run one after the other at one
// address.
type killHunt struct {
	t                   *testing.T
	address             string
	trails              []trail
	end                 chan struct{}
	writes, reads, hits atomic.Int64
}

// ask sends a request to the running router, on *c if that is still open. There is no answer if the
// router dies meanwhile.
func (h *killHunt) ask(c **talker, request string) string {
	for *c == nil {
		select {
		case <-h.end:
			return ""
		default:
		}
		conn, err := net.Dial("tcp", h.address)
		if err != nil {
			time.Sleep(5 * time.Millisecond) // no router is running
			continue
		}
		*c = newTalker(conn)
	}
	answer, err := (*c).ask(request)
	if err != nil {
		(*c).Close()
		*c = nil
		return ""
	}
	return answer
}

func (h *killHunt) ended() bool {
	select {
	case <-h.end:
		return true
	default:
		return false
	}
}

func (h *killHunt) write(first int) {
	var c *talker
	key := first
	for version := int64(1); !h.ended(); version++ {
		if key += staleWriters; key >= len(h.trails) {
			key = first
		}
		text := strconv.FormatInt(version, 10)
		request := fmt.Sprintf("set key%d 0 0 %d\r\n%s\r\n", key, len(text), text)
		if version%7 == 0 {
			request = fmt.Sprintf("delete key%d\r\n", key)
		}
		switch answer := h.ask(&c, request); answer {
		case "STORED\r\n", "DELETED\r\n", "NOT_FOUND\r\n":
			h.trails[key].acknowledged.Store(version)
			h.writes.Add(1)
		case "":
		default:
			if !isServerError(answer) {
				h.t.Errorf("%q was answered with %q", request, answer)
			}
		}
	}
	if c != nil {
		c.Close()
	}
}

func (h *killHunt) read(client int) {
	var c *talker
	for i := 0; !h.ended(); i++ {
		key := (i*7 + client*31) % len(h.trails)
		trail := &h.trails[key]
		acknowledged := trail.acknowledged.Load()
		answer := h.ask(&c, fmt.Sprintf("get key%d\r\n", key))
		h.reads.Add(1)
		lines := strings.Split(answer, "\r\n")
		if !strings.HasPrefix(answer, "VALUE ") || len(lines) < 3 {
			continue
		}
		h.hits.Add(1)
		if version, err := strconv.ParseInt(lines[1], 10, 64); err != nil || version < acknowledged {
			h.t.Errorf("key%d: version %q was read after %d had been acknowledged", key, lines[1], acknowledged)
		}
	}
	if c != nil {
		c.Close()
	}
}
