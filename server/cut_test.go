package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"holdfast/mc"
)

// TestRequestsCutAtEveryByte sends the same requests whole, and then in two pieces, cut at each
// place: the answers are the same. The second piece is sent once the server has read the first.
func TestRequestsCutAtEveryByte(t *testing.T) {
	noop := binaryRequest(mc.OpcodeNoop, "", "")
	talks := map[string]struct{ requests, last string }{ // the last bytes of the answers
		"text": {"set k 0 0 5\r\nhello\r\nget k missing k\r\nget missing\nset n 0 0 0 noreply\r\n\r\nbogus x\r\n" +
			"version\r\nset k 0 0 3\r\nlong\r\nset k 0 0 9\r\nget k\r\nmn\r\nget k\r\nmn\r\n", "\r\nEND\r\nMN\r\n"},
		"too large": {"set k 0 0 3000\r\n" + strings.Repeat("x", 3000) + "\r\nmn\r\n", "MN\r\n"},
		"binary": {binaryRequest(mc.OpcodeSet, "k", "hello") + binaryRequest(mc.OpcodeGetKQ, "none", "") +
			binaryRequest(mc.OpcodeGetK, "k", "") + binaryRequest(mc.OpcodeVersion, "", "") + noop,
			string(mc.AppendBinaryStatus(nil, &mc.Request{Opcode: mc.OpcodeNoop, Opaque: 7}, mc.StatusOK))},
	}
	overEach(t, Options{Protocol: Auto, AuthFile: users(t), ItemMaxBytes: 2000}, func(t *testing.T, s *Server, _ *memory,
		dial func() *client) {
		sent := int64(0)
		ask := func(requests, last string, cut int) []byte {
			c := dial()
			defer c.Close()
			if cut > 0 {
				c.send(requests[:cut])
				until(t, "the first piece is read", func() bool { return s.Stats().BytesRead == sent+int64(cut) })
			}
			go c.Write([]byte(requests[cut:])) // the answers may be sent before the requests' end
			var answers []byte
			for !bytes.HasSuffix(answers, []byte(last)) {
				b, err := c.r.ReadByte()
				if answers = append(answers, b); err != nil {
					t.Fatalf("cut at %d: got %q, %v; want %q at the end", cut, answers, err, last)
				}
			}
			sent += int64(len(requests))
			return answers
		}
		for name, talk := range talks {
			login := "get k\r\nset a 0 0 10\r\nann secret\r\n"
			if name == "binary" {
				login = binaryRequest(mc.OpcodeSASLAuth, "PLAIN", "") +
					binaryRequest(mc.OpcodeSASLStep, "PLAIN", "\x00ann\x00secret")
			}
			requests := login + talk.requests
			want := ask(requests, talk.last, 0)
			step := 1
			if s.tls != nil { // the same code
				step = 5
			}
			for cut := 1; cut < min(len(requests), 250); cut += step {
				if got := ask(requests, talk.last, cut); !bytes.Equal(got, want) {
					t.Fatalf("%s, cut at %d: got %q; want %q", name, cut, got, want)
				}
			}
		}
		until(t, "no request is pending", func() bool { return s.Stats().PendingBytes == 0 })
	})
}

// A client that sends its requests, a part of another one, and then its end, gets the answers to
// all whole requests: to those that the backend answers later, and to more than sockets hold.
func TestHalfClosedClients(t *testing.T) {
	overEach(t, Options{}, func(t *testing.T, s *Server, m *memory, dial func() *client) {
		value := strings.Repeat("v", 500_000)
		c := dial()
		c.ask(fmt.Sprintf("set k 0 0 %d\r\n%s\r\n", len(value), value), mc.Stored)
		later := make(chan *mc.Batch, 1)
		for _, half := range []string{"", "get", "set k 0 0 10\r\nabc"} {
			c := dial()
			c.send(strings.Repeat("get k\r\n", 20) + half)
			c.Conn.(interface{ CloseWrite() error }).CloseWrite()
			c.want(strings.Repeat(get("k", value), 20))
			c.wantEnd()

			d := dial()
			m.serveElsewhere(later)
			d.send("get none\r\nmn\r\n" + half)
			b := <-later
			m.serveElsewhere(nil)
			d.Conn.(interface{ CloseWrite() error }).CloseWrite()
			m.answer(b)
			b.Done()
			d.want(mc.End + "MN\r\n")
			d.wantEnd()
		}
		until(t, "nothing is pinned, pending or waiting", func() bool {
			st := s.Stats()
			return m.pinned() == 0 && st.PendingBytes == 0 && st.WaitingBytes == 0 && st.Connections == 1
		})
	})
}

// Clients that stall in their handshake keep no other out, count against the limit, and are closed
// by Shutdown.
func TestStalledHandshakes(t *testing.T) {
	s := start(t, Options{TLS: newCertificate(t, "one"), MaxConnections: 4}, newMemory())
	var stalled []*client
	for _, begun := range []string{"", "\x16", "\x16\x03\x01\x02\x00\x01"} {
		c := dial(t, s)
		c.send(begun)
		stalled = append(stalled, c)
	}
	until(t, "they are accepted", func() bool { return s.Stats().Connections == 3 })
	dialTLS(t, s, nil).ask("mn\r\n", "MN\r\n")
	over := dial(t, s)
	over.wantEnd()
	wrong := s.Stats().TLSErrors
	// Without its help they would end by themselves, after handshakeTimeout.
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout/2)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown beside stalled handshakes: %v", err)
	}
	for _, c := range stalled {
		io.Copy(io.Discard, c.r) // an alert may come first
	}
	if st := s.Stats(); wrong != 0 || st.TLSErrors != 3 || st.Connections != 0 || st.RejectedConnections != 1 {
		t.Errorf("got %d failed handshakes before, %+v; want 0, then 3, and no connection", wrong, st)
	}
}

// sizes is a backend that notes how many requests its batches have.
type sizes struct {
	*memory
	mu   sync.Mutex
	seen []int
}

func (s *sizes) Serve(b *mc.Batch) {
	s.mu.Lock()
	s.seen = append(s.seen, len(b.Requests))
	s.mu.Unlock()
	s.memory.Serve(b)
}

// No batch has more than Options.BatchRequests requests, and pipelined requests come in as few
// batches as that allows.
func TestBatchSizes(t *testing.T) {
	for _, protocol := range []Protocol{Text, Binary} {
		for most, want := range map[int]string{1: "1 1 1 1 1 1 1", 2: "2 2 2 1", 3: "3 3 1", 7: "7", 0: "7"} {
			backend := &sizes{memory: newMemory()}
			s := start(t, Options{Threads: 1, BatchRequests: most, Protocol: protocol}, backend)
			c := dial(t, s)
			blocked, release := make(chan struct{}), make(chan struct{})
			s.lanes[0].loop.Post(func() { close(blocked); <-release })
			<-blocked // so that one read brings all
			if protocol == Text {
				c.send(strings.Repeat("get none\r\n", 6) + "mn\r\n")
				close(release)
				c.want(strings.Repeat(mc.End, 6) + "MN\r\n")
			} else {
				c.send(strings.Repeat(binaryRequest(mc.OpcodeGetQ, "none", ""), 6) + binaryRequest(mc.OpcodeNoop, "", ""))
				close(release)
				c.askBinary("", "0xa 0x0  ")
			}
			backend.mu.Lock()
			if got := strings.Trim(fmt.Sprint(backend.seen), "[]"); got != want {
				t.Errorf("%v, at most %d: got batches of %s; want %s", protocol, most, got, want)
			}
			backend.mu.Unlock()
		}
	}
}

// connections_wait holds connections over the limit in the backlog of a TLS listener, too: none is
// rejected, and the next one is served once there is a free place.
func TestTLSListenerWaits(t *testing.T) {
	s := start(t, Options{TLS: newCertificate(t, "one"), MaxConnections: 2, WaitOverMax: true}, newMemory())
	first, second := dialTLS(t, s, nil), dialTLS(t, s, nil)
	first.ask("mn\r\n", "MN\r\n")
	if got := first.stats("")["accepting_conns"]; got != "0" {
		t.Errorf("accepting_conns %s at the limit; want 0", got)
	}
	third := make(chan error)
	go func() {
		conn, err := net.DialTimeout("tcp", s.Addrs()[0].String(), patience)
		if err == nil {
			conn.Close()
		}
		third <- err
	}()
	if err := <-third; err != nil { // the kernel accepts it
		t.Fatal(err)
	}
	first.Close()
	second.Close()
	dialTLS(t, s, nil).ask("mn\r\n", "MN\r\n")
	until(t, "the listener accepts", func() bool { return s.conns.accepting() == 1 })
	if got := s.Stats().RejectedConnections; got != 0 {
		t.Errorf("%d connections rejected; want 0", got)
	}
}
