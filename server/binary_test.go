package server

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/mc"
)

// binary is one for the binary protocol.
func (m *memory) binary(b *mc.Batch, r *mc.Request) {
	switch r.Op {
	case mc.Get:
		value, ok := m.values[string(r.Key)]
		if !ok {
			b.Out = mc.AppendBinaryMiss(b.Out, r)
			return
		}
		b.Out = mc.AppendBinaryValue(b.Out, r, 0, len(value), 1)
		if len(value) >= pinBytes {
			m.pins++
			b.Pin([][]byte{value}, m.unpin)
		} else {
			b.Out = append(b.Out, value...)
		}
	case mc.Set:
		m.values[string(r.Key)] = slices.Clone(r.Value)
		if !r.NoReply {
			b.Out = mc.AppendBinaryStatus(b.Out, r, mc.StatusOK)
		}
	case mc.MetaNoop:
		b.Out = mc.AppendBinaryStatus(b.Out, r, mc.StatusOK)
	default:
		if r.Drop {
			delete(m.values, string(r.Key))
		}
		b.Out = mc.AppendBinaryStatus(b.Out, r, r.Status)
	}
}

// binaryRequest returns a request with zeros, or the given bytes, as its extras.
func binaryRequest(opcode mc.Opcode, key, value string, extras ...byte) string {
	switch opcode {
	case mc.OpcodeSet, mc.OpcodeSetQ:
		extras = make([]byte, 8)
	}
	h := make([]byte, mc.BinaryHeaderBytes)
	h[0], h[1], h[4], h[15] = mc.BinaryRequestMagic, byte(opcode), byte(len(extras)), 7 // the opaque
	binary.BigEndian.PutUint16(h[2:], uint16(len(key)))
	binary.BigEndian.PutUint32(h[8:], uint32(len(extras)+len(key)+len(value)))
	return string(h) + string(extras) + key + value
}

// packet reads one answer: "opcode status key value".
func (c *client) packet() string {
	c.t.Helper()
	h := make([]byte, mc.BinaryHeaderBytes)
	if _, err := io.ReadFull(c.r, h); err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	body := make([]byte, binary.BigEndian.Uint32(h[8:]))
	if _, err := io.ReadFull(c.r, body); err != nil {
		c.t.Fatalf("no body of %d bytes: %v", len(body), err)
	}
	if h[0] != 0x81 || binary.BigEndian.Uint32(h[12:]) != 7 {
		c.t.Errorf("got the header % x; want the magic 81 and the opaque 7", h)
	}
	key := int(binary.BigEndian.Uint16(h[2:]))
	body = body[h[4]:]
	return fmt.Sprintf("%#x %#x %s %s", h[1], binary.BigEndian.Uint16(h[6:]), body[:key], body[key:])
}

// askBinary sends requests and wants the answers, in the form of packet.
func (c *client) askBinary(requests string, want ...string) {
	c.t.Helper()
	c.send(requests)
	for _, w := range want {
		if got := c.packet(); got != w {
			c.t.Errorf("got %.100q; want %.100q", got, w)
		}
	}
}

func TestBinaryRequests(t *testing.T) {
	overEach(t, Options{Protocol: Auto, ItemMaxBytes: 8 << 20}, func(t *testing.T, s *Server, m *memory,
		dial func() *client) {
		c := dial()
		pieces := binaryRequest(mc.OpcodeSet, "k", "hello") + binaryRequest(mc.OpcodeGetKQ, "none", "") +
			binaryRequest(mc.OpcodeGetKQ, "k", "") + binaryRequest(mc.OpcodeNoop, "", "") + binaryRequest(mc.OpcodeGet, "none",
			"")
		for i := range pieces {
			c.send(pieces[i : i+1])
		}
		c.askBinary("", "0x1 0x0  ", "0xd 0x0 k hello", "0xa 0x0  ", "0x0 0x1  Not found")
		for _, size := range []int{0, 2000, 4096, 65_536, 300_000, 5 << 20} {
			value := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			go c.Write([]byte(binaryRequest(mc.OpcodeSetQ, "k", value) + binaryRequest(mc.OpcodeGetK, "k", "")))
			c.askBinary("", "0xc 0x0 k "+value)
		}
		many := strings.Repeat(binaryRequest(mc.OpcodeGetKQ, "none", ""), 1000)
		c.askBinary(many+binaryRequest(mc.OpcodeNoop, "", ""), "0xa 0x0  ")

		text := dial()
		text.ask("set t 0 0 1\r\nx\r\nget t\r\n", mc.Stored+get("t", "x"))
		text.send("\x80\r\n") // no more the first byte
		text.want(mc.BadLine)
		c.askBinary(binaryRequest(mc.OpcodeQuit, "", ""), "0x7 0x0  ")
		c.wantEnd()
		until(t, "nothing is pinned or pending", func() bool { return m.pinned() == 0 && s.Stats().PendingBytes == 0 })
	})
}

func TestBinaryMalformedEnds(t *testing.T) {
	s := start(t, Options{Protocol: Auto}, newMemory())
	c := dial(t, s)
	c.askBinary(binaryRequest(mc.OpcodeNoop, "", "")+binaryRequest(mc.OpcodeGet, strings.Repeat("k", 251), ""),
		"0xa 0x0  ", "0x0 0x4  Invalid arguments")
	c.wantEnd()
	d := dial(t, s)
	d.askBinary(binaryRequest(mc.OpcodeNoop, "", "")+"get k\r\n", "0xa 0x0  ")
	d.wantEnd()
	q := dial(t, s)
	q.send(binaryRequest(mc.OpcodeQuitQ, "", ""))
	q.wantEnd()
}

func TestBinaryListeners(t *testing.T) {
	s := start(t, Options{Protocol: Binary, Listeners: []Listener{
		{Address: "127.0.0.1:0"}, {Address: "127.0.0.1:0", Protocol: Text}, {Address: "127.0.0.1:0", Protocol: Auto},
	}}, newMemory())
	noop, answer := binaryRequest(mc.OpcodeNoop, "", ""), "0xa 0x0  "
	dialAt(t, s, 0).askBinary(noop, answer)
	text := dialAt(t, s, 0)
	text.send("mn\r\n")
	text.wantEnd()
	dialAt(t, s, 1).ask("mn\r\n", "MN\r\n")
	refused := dialAt(t, s, 1)
	refused.askBinary(noop, "0xa 0x81  Only memcached's text protocol is served here")
	refused.wantEnd()
	dialAt(t, s, 2).askBinary(noop, answer)
	dialAt(t, s, 2).ask("mn\r\n", "MN\r\n")
}

func TestBinaryAdmin(t *testing.T) {
	s := start(t, Options{Protocol: Auto}, newMemory())
	c := dial(t, s)
	c.askBinary(binaryRequest(mc.OpcodeVersion, "", ""), "0xb 0x0  1.6.40")
	c.askBinary(binaryRequest(mc.OpcodeVerbosity, "", "", 0, 0, 0, 1), "0x1b 0x0  ")
	if got := s.Verbosity(); got != 1 {
		t.Errorf("verbosity %d; want 1", got)
	}
	stats := func(group string) map[string]string {
		c.send(binaryRequest(mc.OpcodeStat, group, ""))
		all := map[string]string{}
		for {
			words := strings.SplitN(c.packet(), " ", 4)
			if words[2] == "" {
				return all
			}
			all[words[2]] = words[3]
		}
	}
	if got := stats(""); got["version"] != "1.6.40" || got["curr_items"] != "0" || got["curr_connections"] != "1" {
		t.Errorf("stat: got %v", got)
	}
	if got := stats("settings"); got["binding_protocol"] != "auto-negotiate" || got["auth_enabled_sasl"] != "no" {
		t.Errorf("stat settings: got %v", got)
	}
	if got := stats("detail dump"); got["detailed"] != "STAT group detail dump\r\nEND\r\n" {
		t.Errorf("stat detail dump: got %q", got)
	}
	for _, group := range []string{"reset", "detail on"} {
		if got := stats(group); len(got) != 0 {
			t.Errorf("stat %s: got %v; want the end alone", group, got)
		}
	}
	c.askBinary(binaryRequest(mc.OpcodeStat, "nonsense", "")+binaryRequest(mc.OpcodeStat, "detail", ""),
		"0x10 0x1  Not found", "0x10 0x1  Not found")
	c.askBinary(binaryRequest(mc.OpcodeSASLList, "", "")+binaryRequest(mc.OpcodeSASLAuth, "PLAIN", "\x00u\x00p"),
		"0x20 0x81  Unknown command", "0x21 0x81  Unknown command") // nobody needs it here
}

// A large request that there is no memory for is refused and skipped.
func TestBinaryPendingBytes(t *testing.T) {
	s := start(t, Options{Protocol: Auto, PendingBytes: minPendingSize}, newMemory())
	c := dial(t, s)
	c.askBinary(binaryRequest(mc.OpcodeSet, "k", "old"), "0x1 0x0  ")
	big := binaryRequest(mc.OpcodeSet, "k", strings.Repeat("v", 500_000))
	go c.Write([]byte(big[:200_000]))
	c.askBinary("", "0x1 0x82  Out of memory")
	c.askBinary(big[200_000:]+binaryRequest(mc.OpcodeGet, "k", ""), "0x0 0x1  Not found")
	if n := s.Stats().PendingRefused; n != 1 {
		t.Errorf("%d requests refused; want 1", n)
	}
}

// atOnce is for Options.after, where a test doesn't look at the pause.
func atOnce(_ time.Duration, f func()) { go f() }

func users(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("ann:secret\nbob:a:b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSASL(t *testing.T) {
	overEach(t, Options{Protocol: Auto, AuthFile: users(t), after: atOnce}, func(t *testing.T, s *Server, m *memory,
		dial func() *client) {
		get, good := binaryRequest(mc.OpcodeGet, "k", ""), binaryRequest(mc.OpcodeSASLAuth, "PLAIN", "\x00ann\x00secret")
		const missed, failed, in = "0x0 0x1  Not found", " 0x20  Auth failure.", "0x21 0x0  Authenticated"
		c := dial()
		c.askBinary(binaryRequest(mc.OpcodeVersion, "", "")+binaryRequest(mc.OpcodeSASLList, "", ""), "0xb 0x0  1.6.40",
			"0x20 0x0  PLAIN")
		c.askBinary(good+get, in, missed)
		for _, first := range []string{get, binaryRequest(mc.OpcodeStat, "", ""), binaryRequest(mc.OpcodeQuit, "", ""),
			binaryRequest(0x55, "", "")} {
			c := dial()
			c.askBinary(first+good, fmt.Sprintf("%#x", first[1])+failed)
			c.wantEnd()
		}
		for message, want := range map[string]string{
			"\x00bob\x00a:b": in, "ann\x00ann\x00secret": in,
			"\x00ann\x00secre": "0x21" + failed, "\x00ann\x00secret\x00": "0x21" + failed,
			"bob\x00ann\x00secret": "0x21" + failed,
			"\x00nobody\x00secret": "0x21" + failed, "ann\x00secret": "0x21" + failed, "x": "0x21" + failed,
			"\x00\x00": "0x21" + failed,
		} {
			dial().askBinary(binaryRequest(mc.OpcodeSASLAuth, "PLAIN", message), want)
		}
		steps := dial()
		steps.askBinary(binaryRequest(mc.OpcodeSASLStep, "PLAIN", "\x00ann\x00secret"), "0x22"+failed) // before it has begun
		steps.askBinary(binaryRequest(mc.OpcodeSASLAuth, "CRAM-MD5", ""), "0x21"+failed)
		steps.askBinary(binaryRequest(mc.OpcodeSASLAuth, "PLAIN", ""), "0x21 0x21  ")
		steps.askBinary(binaryRequest(mc.OpcodeSASLStep, "PLAIN", "\x00ann\x00secret")+get, "0x22 0x0  Authenticated", missed)
		// which takes away what it had
		steps.askBinary(binaryRequest(mc.OpcodeSASLAuth, "PLAIN", "\x00ann\x00wrong"), "0x21"+failed)
		steps.askBinary(get, "0x0"+failed)
		steps.wantEnd()

		text := dial() // the same users, by the text protocol
		text.ask("get k\r\n", "CLIENT_ERROR unauthenticated\r\n")
		text.ask("set k 0 0 10\r\nann secret\r\n", mc.Stored)
		if len(m.values) != 0 {
			t.Errorf("the store has %v", m.values)
		}
	})
}

// TestWrongPasswords: the answer to a wrong password waits, and the third ends the connection, in
// both protocols.
func TestWrongPasswords(t *testing.T) {
	type pause struct {
		d time.Duration
		f func()
	}
	pauses := make(chan pause, 1)
	o := Options{Protocol: Auto, AuthFile: users(t), after: func(d time.Duration, f func()) { pauses <- pause{d, f} }}
	overEach(t, o, func(t *testing.T, s *Server, _ *memory, dial func() *client) {
		answered := int64(0)
		for protocol, guess := range map[string]string{
			"text":   "set k 0 0 9\r\nann guess\r\n",
			"binary": binaryRequest(mc.OpcodeSASLAuth, "PLAIN", "\x00ann\x00guess"),
		} {
			c := dial()
			for range maxWrongPasswords {
				until(t, "the answers are counted", func() bool { return s.Stats().BytesWritten == answered })
				c.send(guess + guess[:4]) // what follows waits, too
				var p pause
				select {
				case p = <-pauses:
				case <-time.After(patience):
					t.Fatalf("%s: no pause", protocol)
				}
				if p.d != wrongPasswordPause {
					t.Errorf("%s: a pause of %v; want %v", protocol, p.d, wrongPasswordPause)
				}
				if got := s.Stats().BytesWritten; got != answered {
					t.Errorf("%s: %d bytes of answer before the pause is over", protocol, got-answered)
				}
				p.f()
				if protocol == "text" {
					const failure = "CLIENT_ERROR authentication failure\r\n"
					c.want(failure)
					answered += int64(len(failure))
				} else {
					c.askBinary("", "0x21 0x20  Auth failure.")
					answered += mc.BinaryHeaderBytes + int64(len("Auth failure."))
				}
				guess = guess[4:] + guess[:4]
			}
			c.wantEnd()
		}
		until(t, "no request is pending", func() bool { return s.Stats().PendingBytes == 0 })
	})
}

func TestWatchOfBinary(t *testing.T) {
	s := start(t, Options{Protocol: Auto, AuthFile: users(t)}, newMemory())
	w := dial(t, s)
	w.ask("set k 0 0 10\r\nann secret\r\nwatch rawcmds\r\n",
		mc.Stored+"ERROR cannot pipeline other commands before watch\r\n")
	w.ask("watch rawcmds\r\n", mc.OK)
	c := dial(t, s)
	c.askBinary(binaryRequest(mc.OpcodeSASLAuth, "PLAIN", "\x00ann\x00secret"), "0x21 0x0  Authenticated")
	c.askBinary(binaryRequest(mc.OpcodeGet, "a\r\nb", ""), "0x0 0x1  Not found")
	for _, want := range []string{" sasl_auth PLAIN\n", " get a%0D%0Ab\n"} {
		if got := w.line(); !strings.HasSuffix(got, want) {
			t.Errorf("got %q; want …%q", got, want)
		}
	}
}
