package topology

import (
	"bufio"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A line is a request as a fake receives it.
type line struct {
	conn    int // which connection, from 0
	op, key string
	value   string
}

// Special answers of a fake's handler.
const (
	hangUp  = "\x00" // at the end of an answer, or alone: close the connection after it
	silence = "\x01" // no answer to this or anything after it
)

// serve starts a server on the loopback interface that reads requests and writes what answer
// returns, which is called for one request at a time. It returns the address.
func serve(t *testing.T, answer func(line) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	var mu sync.Mutex // one call of answer at a time
	wait.Go(func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				defer conn.Close()
				serveConn(conn, func(q line) string {
					mu.Lock()
					defer mu.Unlock()
					q.conn = n
					return answer(q)
				})
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wait.Wait()
	})
	return l.Addr().String()
}

func serveConn(conn net.Conn, answer func(line) string) {
	r := bufio.NewReader(conn)
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(text)
		if len(words) < 2 {
			return // not a request of this package
		}
		q := line{op: words[0], key: words[1]}
		if q.op == "set" {
			var n int
			fmt.Sscan(words[4], &n)
			block := make([]byte, n+2)
			if _, err := io.ReadFull(r, block); err != nil {
				return
			}
			q.value = string(block[:n])
		}
		a := answer(q)
		if a == silence {
			io.Copy(io.Discard, r)
			return
		}
		a, bye := strings.CutSuffix(a, hangUp)
		if a != "" || !bye {
			a += "\r\n"
		}
		if _, err := io.WriteString(conn, a); err != nil || bye {
			return
		}
	}
}

// A store is the items of a member.
type store struct {
	mu    sync.Mutex // guards items
	items map[string]string
}

// answer is the handler of a member.
func (s *store) answer(q line) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, found := s.items[q.key]
	switch {
	case q.op == "set":
		s.items[q.key] = q.value
		return "STORED"
	case q.op == "get" && found:
		return fmt.Sprintf("VALUE %s 0 %d\r\n%s\r\nEND", q.key, len(value), value)
	case q.op == "get":
		return "END"
	case q.op == "delete" && found:
		delete(s.items, q.key)
		return "DELETED"
	case q.op == "delete":
		return "NOT_FOUND"
	}
	return "ERROR"
}

func (s *store) contents() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.items)
}

// A cluster is a number of members.
type cluster struct {
	t         *testing.T
	stores    []*store
	addresses []string
}

// startCluster starts n members, each with an item that Run must not touch.
func startCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{t: t}
	for range n {
		s := &store{items: map[string]string{"other": "not of this run"}}
		c.stores = append(c.stores, s)
		c.addresses = append(c.addresses, serve(t, s.answer))
	}
	return c
}

// shard returns the index of the key's member.
func (c *cluster) shard(key string) int { return c.hash(key) % len(c.stores) }

func (c *cluster) hash(key string) int {
	h := fnv.New32a()
	io.WriteString(h, key)
	return int(h.Sum32() >> 8)
}

// onAll sends a request to some members and returns the last one's answer.
func (c *cluster) onAll(q line, members ...int) (answer string) {
	for _, i := range members {
		answer = c.stores[i].answer(q)
	}
	return answer
}

func (c *cluster) sharded(q line) string { return c.stores[c.shard(q.key)].answer(q) }

// replicated writes to the members, and reads from them in turn.
func (c *cluster) replicated(members ...int) func(line) string {
	turn := 0
	return func(q line) string {
		if q.op == "get" {
			turn++
			return c.stores[members[turn%len(members)]].answer(q)
		}
		return c.onAll(q, members...)
	}
}

// look calls Run for a router, without pauses; change, unless nil, changes the options. It checks
// that Run leaves nothing behind and deletes nothing else.
func (c *cluster) look(router func(line) string, change func(*Options)) Report {
	c.t.Helper()
	o := Options{
		Router: serve(c.t, router), Members: c.addresses, Timeout: 10 * time.Second,
		Pause: noPause,
	}
	if change != nil {
		change(&o)
	}
	report, err := Run(c.t.Context(), o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.checkClean(string(report.Verdict) + fmt.Sprint(report.Members))
	return report
}

func (c *cluster) checkClean(what string) {
	c.t.Helper()
	for i, s := range c.stores {
		if items := s.contents(); len(items) != 1 || items["other"] != "not of this run" {
			c.t.Errorf("%s: member %d holds %d items at the end; want only what was there before", what, i+1, len(items))
		}
	}
}

func noPause(ctx context.Context, _ time.Duration) error { return ctx.Err() }
