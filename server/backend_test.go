package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/mc"
)

// memory is a backend over a map. Values of pinBytes and more are pinned.
type memory struct {
	mu       sync.Mutex // guards what follows
	values   map[string][]byte
	clock    time.Duration
	paused   bool
	detail   bool
	resets   int
	pins     int // taken and not released
	watch    *Watch
	dumpStep int
	largest  int // group of batches that Prefetch was given

	elsewhere chan *mc.Batch // see serveElsewhere
}

const pinBytes = 64 << 10

func newMemory() *memory { return &memory{values: map[string][]byte{}, dumpStep: 10} }

func (m *memory) Serve(b *mc.Batch) {
	m.mu.Lock()
	elsewhere := m.elsewhere
	m.mu.Unlock()
	if elsewhere != nil && len(b.Requests)%2 == 0 {
		elsewhere <- b
		return
	}
	m.answer(b)
	b.Done()
}

// Prefetch is Prefetcher's, so that all tests have their small batches served in groups.
func (m *memory) Prefetch(batches []*mc.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.largest = max(m.largest, len(batches))
	for _, b := range batches {
		if len(b.Requests) == 0 || b.Next != 0 || len(b.Out) > 0 || b.Requests[0].Op.Admin() {
			panic("a batch that Serve doesn't get next")
		}
	}
}

// serveElsewhere has batches sent to later from now on, those of an even number of requests.
func (m *memory) serveElsewhere(later chan *mc.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.elsewhere = later
}

func (m *memory) answer(b *mc.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for b.Next < len(b.Requests) {
		m.one(b, &b.Requests[b.Next])
		b.Next++
		if b.Full() {
			return
		}
	}
}

func (m *memory) one(b *mc.Batch, r *mc.Request) {
	if b.Binary {
		m.binary(b, r)
		return
	}
	switch r.Op {
	case mc.Get:
		m.get(b, r)
	case mc.Set:
		m.values[string(r.Key)] = bytes.Clone(r.Value)
		if m.watch != nil && m.watch.Wants(WatchMutations) {
			m.watch.Stored(r.Key, "stored", "set", 0, 1, b.Conn, len(r.Value))
		}
		if !r.NoReply {
			b.Out = append(b.Out, mc.Stored...)
		}
	case mc.FlushAll:
		clear(m.values)
		b.Out = append(b.Out, mc.OK...)
	case mc.MetaNoop:
		b.Out = append(b.Out, "MN\r\n"...)
	case mc.Invalid:
		if r.Drop {
			delete(m.values, string(r.Key))
		}
		b.Out = append(b.Out, r.Fault...)
	default:
		b.Out = append(b.Out, mc.BadCommand...)
	}
}

func (m *memory) get(b *mc.Batch, r *mc.Request) {
	value, ok := m.values[string(r.Key)]
	if ok {
		b.Out = mc.AppendValue(b.Out, r.Key, 0, len(value))
		if len(value) >= pinBytes {
			m.pins++
			half := len(value) / 2
			b.Pin([][]byte{value[:half], value[half:]}, m.unpin)
		} else {
			b.Out = append(b.Out, value...)
		}
		b.Out = append(b.Out, mc.CRLF...)
	}
	if m.watch != nil && m.watch.Wants(WatchFetchers) {
		status := "not_found"
		if ok {
			status = "found"
		}
		m.watch.Fetched(r.Key, status, 1, b.Conn, len(value))
	}
	if r.Last {
		b.Out = append(b.Out, mc.End...)
	}
}

func (m *memory) unpin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pins--
}

func (m *memory) pinned() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pins
}

func (m *memory) Stats(dst []byte, group string) ([]byte, bool) {
	switch group {
	case "":
		return append(dst, "STAT curr_items 0\r\n"...), true
	case "settings", "items", "detail dump":
		return append(dst, "STAT group "+group+"\r\n"...), true
	}
	return dst, false
}

func (m *memory) ResetStats() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.resets++
}

func (m *memory) Detail(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.detail = on
}

func (m *memory) Dump(dst []byte, cursor uint64, mgdump bool) ([]byte, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := make([]string, 0, len(m.values))
	for key := range m.values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	end := min(len(keys), int(cursor)+m.dumpStep)
	for _, key := range keys[cursor:end] {
		if mgdump {
			dst = append(dst, "mg "+key+"\r\n"...)
		} else {
			dst = append(dst, "key="+key+" exp=-1\n"...)
		}
	}
	if end == len(keys) {
		return dst, 0
	}
	return dst, uint64(end)
}

func (m *memory) AdvanceClock(by time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock += by
}

func (m *memory) PauseClock(paused bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.paused = paused
}

// listeners are plain ones at the addresses.
func listeners(addresses ...string) []Listener {
	all := make([]Listener, len(addresses))
	for i, address := range addresses {
		all[i].Address = address
	}
	return all
}

// start runs a server on a free port until the test ends.
func start(t testing.TB, o Options, backend Backend) *Server {
	t.Helper()
	if len(o.Listeners) == 0 && o.UnixSocket == "" {
		o.Listeners = listeners("127.0.0.1:0")
	}
	if o.Threads == 0 {
		o.Threads = 2
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := New(o, backend)
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := backend.(*memory); ok {
		m.watch = s.Watch()
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.Shutdown(ctx)
	})
	return s
}

// patience is after how long a test gives up; nothing is expected to take a part of it.
const patience = 20 * time.Second

// client is a connection that fails the test rather than return errors.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, s *Server) *client {
	t.Helper()
	addr := s.Addrs()[0]
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

func newClient(t testing.TB, conn net.Conn) *client {
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &client{t: t, Conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *client) line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("after %q: %v", line, err)
	}
	return line
}

// want expects exactly text next.
func (c *client) want(text string) {
	c.t.Helper()
	got := make([]byte, len(text))
	n, err := io.ReadFull(c.r, got)
	if string(got[:n]) != text {
		c.t.Fatalf("got %.200q; want %.200q (%v)", got[:n], text, err)
	}
}

func (c *client) ask(text, want string) {
	c.t.Helper()
	c.send(text)
	c.want(want)
}

// wantEnd expects that the server closes without another byte.
func (c *client) wantEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	var timeout net.Error
	if len(rest) > 0 || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("got %.200q, %v; want the end", rest, err)
	}
}

// stats are the lines up to END of a stats command.
func (c *client) stats(group string) map[string]string {
	c.t.Helper()
	c.send(strings.TrimSpace("stats "+group) + "\r\n")
	stats := map[string]string{}
	for {
		fields := strings.Fields(c.line())
		if len(fields) == 1 && fields[0] == "END" {
			return stats
		}
		if len(fields) < 2 || fields[0] != "STAT" {
			c.t.Fatalf("stats %s: got %q", group, fields)
		}
		stats[fields[1]] = strings.Join(fields[2:], " ")
	}
}

// until waits for something that another goroutine brings about and that has no channel.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func get(key, value string) string {
	return fmt.Sprintf("VALUE %s 0 %d\r\n%s\r\nEND\r\n", key, len(value), value)
}

// dialAt is dial at one of several addresses.
func dialAt(t testing.TB, s *Server, i int) *client {
	t.Helper()
	addr := s.Addrs()[i]
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}
