package server

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/mc"
)

// overEach runs a test over the event loops, and over goroutines with TLS.
func overEach(t *testing.T, o Options, test func(t *testing.T, s *Server, m *memory, dial func() *client)) {
	t.Run("loops", func(t *testing.T) {
		m := newMemory()
		s := start(t, o, m)
		test(t, s, m, func() *client { return dial(t, s) })
	})
	t.Run("tls", func(t *testing.T) {
		m := newMemory()
		o := o
		o.TLS = newCertificate(t, "one")
		s := start(t, o, m)
		test(t, s, m, func() *client { return dialTLS(t, s, nil) })
	})
}

func TestRequestsInPieces(t *testing.T) {
	overEach(t, Options{}, func(t *testing.T, _ *Server, _ *memory, dial func() *client) {
		c := dial()
		for _, b := range "set k 0 0 5\r\nhello\r\nget k missing k\r\nversion\r\nbogus\r\n" {
			c.send(string(b))
		}
		c.want("STORED\r\nVALUE k 0 5\r\nhello\r\nVALUE k 0 5\r\nhello\r\nEND\r\nVERSION 1.6.40\r\nERROR\r\n")
	})
}

func TestLargeValues(t *testing.T) {
	overEach(t, Options{ItemMaxBytes: 8 << 20}, func(t *testing.T, s *Server, m *memory, dial func() *client) {
		c := dial()
		for _, size := range []int{0, 100, 2000, 2048, 4096, 65_000, 65_536, 70_000, 300_000, 1 << 20, 5 << 20} {
			value := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			go c.Write(fmt.Appendf(nil, "set k 0 0 %d\r\n%s\r\nget k k\r\nmn\r\n", size, value))
			one := fmt.Sprintf("VALUE k 0 %d\r\n%s\r\n", size, value)
			c.want("STORED\r\n" + one + one + "END\r\nMN\r\n")
		}
		until(t, "no value is pinned", func() bool { return m.pinned() == 0 })
		until(t, "no request is pending", func() bool { return s.Stats().PendingBytes == 0 })
		c.ask("set big 0 0 9000000\r\n"+strings.Repeat("x", 9_000_000)+"\r\nmn\r\n", mc.TooLarge+"MN\r\n")
	})
}

// A pipeline of many times the receive buffer and of more requests than a batch holds, whose
// answers are larger than what sockets hold: they are read only after all has been sent.
func TestLongPipeline(t *testing.T) {
	overEach(t, Options{}, func(t *testing.T, s *Server, m *memory, dial func() *client) {
		c := dial()
		value := strings.Repeat("v", 1000)
		c.ask("set k 0 0 1000\r\n"+value+"\r\n", mc.Stored)
		const n = 30_000
		go func() {
			for i := range n {
				c.Write(fmt.Appendf(nil, "get k miss%d\r\n", i))
			}
		}()
		answer := get("k", value)
		for range n {
			c.want(answer)
		}
		for range 1000 { // noreply requests have no answers, and don't stop the next
			c.send("set q 0 0 1 noreply\r\nx\r\n")
		}
		c.ask("mn\r\n", "MN\r\n")
	})
}

// A batch may be done later, on any goroutine. Each connection gets its own answers, in order.
func TestDoneElsewhere(t *testing.T) {
	overEach(t, Options{}, func(t *testing.T, s *Server, m *memory, dial func() *client) {
		later := make(chan *mc.Batch, 1000)
		m.serveElsewhere(later)
		var servers sync.WaitGroup
		for seed := range uint64(4) {
			servers.Go(func() { serveInDisorder(m, later, rand.New(rand.NewPCG(seed, 0))) })
		}
		var clients sync.WaitGroup
		for i := range 20 {
			c := dial()
			clients.Go(func() {
				random := rand.New(rand.NewPCG(uint64(i), 1))
				for round := range 200 {
					value := fmt.Sprintf("%d-%d-%s", i, round, strings.Repeat("x", random.IntN(3000)))
					c.Write(fmt.Appendf(nil, "set k%d 0 0 %d\r\n%s\r\nget k%d\r\nget none\r\n", i, len(value), value, i))
					c.want(mc.Stored + get(fmt.Sprintf("k%d", i), value) + mc.End)
				}
			})
		}
		clients.Wait()
		close(later)
		servers.Wait()
	})
}

// serveInDisorder holds a few batches back and ends them in random order.
func serveInDisorder(m *memory, later chan *mc.Batch, random *rand.Rand) {
	var held []*mc.Batch
	for {
		b, ok := <-later
		if ok {
			held = append(held, b)
		}
		for len(held) > 0 && (!ok || len(later) == 0 || len(held) > 8) {
			i := random.IntN(len(held))
			m.answer(held[i])
			held[i].Done()
			held = append(held[:i], held[i+1:]...)
		}
		if !ok {
			return
		}
	}
}

// Connections that break at any moment, also while a handler has their batch, leave nothing behind
// and disturb nobody.
func TestResets(t *testing.T) {
	m := newMemory()
	m.values["big"] = []byte(strings.Repeat("b", 200_000))
	later := make(chan *mc.Batch, 1000)
	m.serveElsewhere(later)
	s := start(t, Options{Threads: 2}, m)
	var servers sync.WaitGroup
	servers.Go(func() {
		for b := range later {
			m.answer(b)
			b.Done()
		}
	})
	steady := dial(t, s)
	var breakers sync.WaitGroup
	for i := range 8 {
		breakers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 2))
			for range 100 {
				conn, err := net.Dial("tcp", s.Addrs()[0].String())
				if err != nil {
					t.Error(err)
					return
				}
				first := "get none\r\n" // so that there is something to read
				text := strings.Repeat("get big big\r\nget none\r\nset x 0 0 3\r\nabc\r\n", 1+random.IntN(20))
				conn.Write([]byte(first + text[:random.IntN(len(text))]))
				if random.IntN(2) == 0 {
					conn.SetReadDeadline(time.Now().Add(patience))
					conn.Read(make([]byte, 1+random.IntN(100_000)))
				}
				conn.(*net.TCPConn).SetLinger(0) // RST
				conn.Close()
			}
		})
	}
	for range 500 {
		steady.ask("get none\r\n", mc.End)
	}
	breakers.Wait()
	until(t, "only the steady connection is left", func() bool { return s.Stats().Connections == 1 })
	until(t, "no value is pinned", func() bool { return m.pinned() == 0 })
	until(t, "no request is pending", func() bool { return s.Stats().PendingBytes == 0 })
	steady.ask("get none\r\n", mc.End)
	close(later)
	servers.Wait()
}
