package cache

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/mc"
)

// binaryClient speaks the binary protocol to a store, without a socket.
type binaryClient struct {
	*client
	d mc.BinaryDecoder
}

func newBinaryClient(t testing.TB, s *Store) *binaryClient {
	c := &binaryClient{client: newClient(t, s)}
	c.b.Binary = true
	return c
}

// do serves the requests and returns the answers in short: "opcode status cas extras key value".
func (c *binaryClient) do(requests ...mc.Request) []string {
	c.t.Helper()
	var in []byte
	for i := range requests {
		in = appendBinary(in, &requests[i])
	}
	c.out = c.out[:0]
	for len(in) > 0 {
		c.b.Reset()
		used, err := c.d.Decode(in, c.b)
		if err != nil || used == 0 {
			c.t.Fatalf("decode % x: %d, %v", in, used, err)
		}
		for c.b.Next < len(c.b.Requests) {
			c.store.Serve(c.b)
			c.collect()
		}
		in = in[used:]
	}
	return answersOf(c.t, c.out)
}

// appendBinary appends r in its form on the wire.
func appendBinary(dst []byte, r *mc.Request) []byte {
	var extras []byte
	switch r.Opcode {
	case mc.OpcodeSet, mc.OpcodeSetQ, mc.OpcodeAdd, mc.OpcodeAddQ, mc.OpcodeReplace, mc.OpcodeReplaceQ:
		extras = binary.BigEndian.AppendUint32(extras, r.ClientFlags)
	case mc.OpcodeIncr, mc.OpcodeIncrQ, mc.OpcodeDecr, mc.OpcodeDecrQ:
		extras = binary.BigEndian.AppendUint64(extras, r.Delta)
		extras = binary.BigEndian.AppendUint64(extras, r.Initial)
	}
	switch {
	case len(extras) > 0, r.HasExptime, r.Opcode >= mc.OpcodeTouch && r.Opcode <= mc.OpcodeGatQ,
		r.Opcode == mc.OpcodeGatK, r.Opcode == mc.OpcodeGatKQ:
		extras = binary.BigEndian.AppendUint32(extras, uint32(r.Exptime))
	}
	h := make([]byte, mc.BinaryHeaderBytes)
	h[0], h[1], h[4] = mc.BinaryRequestMagic, byte(r.Opcode), byte(len(extras))
	binary.BigEndian.PutUint16(h[2:], uint16(len(r.Key)))
	binary.BigEndian.PutUint32(h[8:], uint32(len(extras)+len(r.Key)+len(r.Value)))
	binary.BigEndian.PutUint32(h[12:], r.Opaque)
	binary.BigEndian.PutUint64(h[16:], r.CAS)
	return append(append(append(append(dst, h...), extras...), r.Key...), r.Value...)
}

func answersOf(t testing.TB, out []byte) (answers []string) {
	t.Helper()
	for len(out) >= mc.BinaryHeaderBytes {
		key, extras := int(binary.BigEndian.Uint16(out[2:])), int(out[4])
		whole := mc.BinaryHeaderBytes + int(binary.BigEndian.Uint32(out[8:]))
		body := out[mc.BinaryHeaderBytes:whole]
		answers = append(answers, fmt.Sprintf("%#x %d cas=%d extras=%x key=%s value=%.20s",
			out[1], binary.BigEndian.Uint16(out[6:]),
			binary.BigEndian.Uint64(out[16:]), body[:extras], body[extras:extras+key], body[extras+key:]))
		out = out[whole:]
	}
	if len(out) > 0 {
		t.Fatalf("% x follows the answers", out)
	}
	return answers
}

func (c *binaryClient) want(r mc.Request, want ...string) {
	c.t.Helper()
	if got := c.do(r); strings.Join(got, "\n") != strings.Join(want, "\n") {
		c.t.Errorf("opcode %#x of %q:\n got %q\nwant %q", uint8(r.Opcode), r.Key, got, want)
	}
}

func ask(opcode mc.Opcode, key, value string) mc.Request {
	return mc.Request{Opcode: opcode, Key: []byte(key), Value: []byte(value)}
}

func withCAS(r mc.Request, cas uint64) mc.Request { r.CAS = cas; return r }

func TestBinaryStoresAndGets(t *testing.T) {
	s := openStore(t, Options{})
	c := newBinaryClient(t, s)
	set := ask(mc.OpcodeSet, "k", "v")
	set.ClientFlags = 0x01020304
	c.want(set, "0x1 0 cas=1 extras= key= value=")
	c.want(ask(mc.OpcodeGet, "k", ""), "0x0 0 cas=1 extras=01020304 key= value=v")
	c.want(ask(mc.OpcodeGetK, "k", ""), "0xc 0 cas=1 extras=01020304 key=k value=v")
	c.want(ask(mc.OpcodeGetQ, "k", ""), "0x9 0 cas=1 extras=01020304 key= value=v")
	c.want(ask(mc.OpcodeGetKQ, "k", ""), "0xd 0 cas=1 extras=01020304 key=k value=v")
	c.want(ask(mc.OpcodeGet, "x", ""), "0x0 1 cas=0 extras= key= value=Not found")
	c.want(ask(mc.OpcodeGetK, "x", ""), "0xc 1 cas=0 extras= key=x value=")
	c.want(ask(mc.OpcodeGetQ, "x", ""))
	c.want(ask(mc.OpcodeGetKQ, "x", ""))

	c.want(ask(mc.OpcodeAdd, "k", "w"), "0x2 2 cas=0 extras= key= value=Data exists for key.")
	c.want(ask(mc.OpcodeAddQ, "k", "w"), "0x12 2 cas=0 extras= key= value=Data exists for key.")
	c.want(ask(mc.OpcodeReplace, "x", "w"), "0x3 1 cas=0 extras= key= value=Not found")
	c.want(ask(mc.OpcodeAppend, "x", "w"), "0xe 5 cas=0 extras= key= value=Not stored.")
	c.want(withCAS(ask(mc.OpcodeSet, "k", "w"), 9), "0x1 2 cas=0 extras= key= value=Data exists for key.")
	c.want(withCAS(ask(mc.OpcodeSet, "x", "w"), 9), "0x1 1 cas=0 extras= key= value=Not found")
	c.want(withCAS(ask(mc.OpcodeAppend, "k", "w"), 9), "0xe 2 cas=0 extras= key= value=Data exists for key.")
	c.want(withCAS(ask(mc.OpcodeAppend, "k", "w"), 1), "0xe 0 cas=2 extras= key= value=")
	c.want(ask(mc.OpcodePrependQ, "k", "u"))
	c.want(ask(mc.OpcodeGet, "k", ""), "0x0 0 cas=3 extras=01020304 key= value=uvw")
	c.want(ask(mc.OpcodeSetQ, "k", "q"))
	c.want(ask(mc.OpcodeReplaceQ, "k", "r"))
	c.want(withCAS(ask(mc.OpcodeDelete, "k", ""), 3), "0x4 2 cas=0 extras= key= value=Data exists for key.")
	c.want(withCAS(ask(mc.OpcodeDelete, "k", ""), 5), "0x4 0 cas=0 extras= key= value=")
	c.want(ask(mc.OpcodeDeleteQ, "k", ""), "0x14 1 cas=0 extras= key= value=Not found")
	c.want(ask(mc.OpcodeAddQ, "k", "w"))
	c.want(ask(mc.OpcodeDeleteQ, "k", ""))
	c.want(ask(mc.OpcodeNoop, "", ""), "0xa 0 cas=0 extras= key= value=")
	c.want(ask(mc.OpcodeSetQ, "k", "w"))
	c.want(ask(mc.OpcodeFlushQ, "", ""))
	c.want(ask(mc.OpcodeGet, "k", ""), "0x0 1 cas=0 extras= key= value=Not found")
	c.want(ask(mc.OpcodeFlush, "", ""), "0x8 0 cas=0 extras= key= value=")
}

func TestBinaryArithmetic(t *testing.T) {
	clock := newFakeClock()
	s := openStore(t, Options{Now: clock.now})
	c := newBinaryClient(t, s)
	incr := func(opcode mc.Opcode, delta, initial uint64, exptime int64) mc.Request {
		return mc.Request{Opcode: opcode, Key: []byte("n"), Delta: delta, Initial: initial, Exptime: exptime}
	}
	c.want(incr(mc.OpcodeIncr, 1, 5, 1<<32-1), "0x5 1 cas=0 extras= key= value=Not found")
	c.want(incr(mc.OpcodeDecrQ, 1, 5, 1<<32-1), "0x16 1 cas=0 extras= key= value=Not found")
	c.want(incr(mc.OpcodeIncr, 1, 5, 100), "0x5 0 cas=1 extras= key= value=\x00\x00\x00\x00\x00\x00\x00\x05")
	c.want(incr(mc.OpcodeIncr, 300, 5, 100), "0x5 0 cas=2 extras= key= value=\x00\x00\x00\x00\x00\x00\x01\x31")
	c.want(incr(mc.OpcodeIncrQ, 1, 5, 0))
	c.want(incr(mc.OpcodeDecr, 1000, 5, 0), "0x6 0 cas=4 extras= key= value=\x00\x00\x00\x00\x00\x00\x00\x00")
	c.want(withCAS(incr(mc.OpcodeIncr, 1, 5, 0), 3), "0x5 2 cas=0 extras= key= value=Data exists for key.")
	c.want(withCAS(incr(mc.OpcodeIncr, 1, 5, 0), 4), "0x5 0 cas=5 extras= key= value=\x00\x00\x00\x00\x00\x00\x00\x01")
	if n := s.Snapshot().Counters; n.IncrHits != 3 || n.IncrMisses != 1 || n.DecrHits != 1 || n.DecrMisses != 1 {
		t.Errorf("got %d hits and %d misses of incr, %d and %d of decr; want 3, 1, 1, 1",
			n.IncrHits, n.IncrMisses, n.DecrHits, n.DecrMisses)
	}
	clock.pass(s, 101*time.Second)
	c.want(ask(mc.OpcodeGet, "n", ""), "0x0 1 cas=0 extras= key= value=Not found")
	c.do(ask(mc.OpcodeSet, "n", "word"))
	c.want(incr(mc.OpcodeIncrQ, 1, 5, 0), "0x15 6 cas=0 extras= key= value=Non-numeric server-s")
}

func TestBinaryTouch(t *testing.T) {
	clock := newFakeClock()
	s := openStore(t, Options{Now: clock.now})
	c := newBinaryClient(t, s)
	touch := func(opcode mc.Opcode, exptime int64) mc.Request {
		return mc.Request{Opcode: opcode, Key: []byte("k"), Exptime: exptime}
	}
	c.want(touch(mc.OpcodeTouch, 9), "0x1c 1 cas=0 extras= key= value=Not found")
	c.want(touch(mc.OpcodeGatQ, 9))
	c.want(touch(mc.OpcodeGatKQ, 9))
	c.want(touch(mc.OpcodeGatK, 9), "0x23 1 cas=0 extras= key=k value=")
	c.do(ask(mc.OpcodeSet, "k", "v"))
	c.want(touch(mc.OpcodeTouch, 9), "0x1c 0 cas=1 extras=00000000 key= value=")
	clock.pass(s, 5*time.Second)
	c.want(touch(mc.OpcodeGat, 9), "0x1d 0 cas=1 extras=00000000 key= value=v")
	clock.pass(s, 5*time.Second)
	c.want(touch(mc.OpcodeGatKQ, 9), "0x24 0 cas=1 extras=00000000 key=k value=v")
	clock.pass(s, 10*time.Second)
	c.want(touch(mc.OpcodeGat, 9), "0x1d 1 cas=0 extras= key= value=Not found")
	if n := s.Snapshot().Counters; n.Touches != 8 || n.TouchHits != 3 || n.Gets != 0 {
		t.Errorf("got %d touches, %d hits, %d gets; want 8, 3, 0", n.Touches, n.TouchHits, n.Gets)
	}
}

// A large value is sent from where it is stored, and a value that is too large removes the old one.
func TestBinaryLargeValues(t *testing.T) {
	s := openStore(t, Options{MemoryBytes: 16 << 20})
	c := newBinaryClient(t, s)
	big := strings.Repeat("large", 150_000)
	c.d.ItemMaxBytes = 1 << 20
	c.do(ask(mc.OpcodeSet, "k", big))
	c.do(ask(mc.OpcodeGetK, "k", ""))
	if out := string(c.out); !strings.HasSuffix(out, "k"+big) || len(out) != mc.BinaryHeaderBytes+4+1+len(big) {
		t.Errorf("got %d bytes; want the header, the key and %d bytes of value", len(out), len(big))
	}
	c.want(ask(mc.OpcodeSetQ, "k", big+big), "0x11 3 cas=0 extras= key= value=Too large.")
	c.want(ask(mc.OpcodeGet, "k", ""), "0x0 1 cas=0 extras= key= value=Not found")
}

// A key of the binary protocol may contain line ends: everything that prints keys escapes them.
func TestBinaryKeysInText(t *testing.T) {
	s := openStore(t, Options{Detail: true, Delimiter: ':'})
	c := newBinaryClient(t, s)
	c.do(ask(mc.OpcodeSet, "a\r\nEND\r\n:b", "v"))
	text := newClient(t, s)
	text.want("mg YQ0KRU5EDQo6Yg== b k v", "VA 1 kYQ0KRU5EDQo6Yg== b|v")
	var dump []byte
	for cursor, more := uint64(0), true; more && len(dump) == 0; more = cursor != 0 {
		dump, cursor = s.Dump(dump, cursor, true)
	}
	if want := "mg YQ0KRU5EDQo6Yg== b\r\n"; string(dump) != want {
		t.Errorf("mgdump: got %q; want %q", dump, want)
	}
	for _, group := range []string{"cachedump 1 0", "detail dump"} {
		out, _ := s.Stats(nil, group)
		got := string(out)
		if strings.Count(got, "\n") != 1 || !strings.Contains(got, "a%0D%0AEND%0D%0A") {
			t.Errorf("stats %s: got %q; want one line with the key's bytes escaped", group, got)
		}
	}
}
