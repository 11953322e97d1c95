package mc

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// packet is a request of the binary protocol.
type packet struct {
	opcode             Opcode
	extras, key, value string
	cas                uint64
	opaque             uint32
	lengths            *[3]int // of extras, key and body, if the header's are wrong
}

func (p packet) String() string {
	h := make([]byte, BinaryHeaderBytes)
	extras, key, body := len(p.extras), len(p.key), len(p.extras)+len(p.key)+len(p.value)
	if p.lengths != nil {
		extras, key, body = p.lengths[0], p.lengths[1], p.lengths[2]
	}
	h[0], h[1], h[4] = BinaryRequestMagic, byte(p.opcode), byte(extras)
	binary.BigEndian.PutUint16(h[2:], uint16(key))
	binary.BigEndian.PutUint32(h[8:], uint32(body))
	binary.BigEndian.PutUint32(h[12:], p.opaque)
	binary.BigEndian.PutUint64(h[16:], p.cas)
	return string(h) + p.extras + p.key + p.value
}

func packets(ps ...packet) string {
	var s strings.Builder
	for _, p := range ps {
		s.WriteString(p.String())
	}
	return s.String()
}

// u32s returns extras of these numbers.
func u32s(ns ...uint32) string {
	var b []byte
	for _, n := range ns {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return string(b)
}

// count returns the extras of incr and decr.
func count(delta, initial uint64, exptime uint32) string {
	b := binary.BigEndian.AppendUint64(nil, delta)
	b = binary.BigEndian.AppendUint64(b, initial)
	return string(binary.BigEndian.AppendUint32(b, exptime))
}

// checkBinary decodes in, whole and cut at each byte.
func checkBinary(t *testing.T, d BinaryDecoder, in, want string) {
	t.Helper()
	for cut := range len(in) + 1 {
		decoder := d
		f := feederOf(&decoder)
		if err := f.feed([]byte(in[:cut])); err != nil {
			t.Fatalf("% x: %v", in[:cut], err)
		}
		if err := f.feed([]byte(in[cut:])); err != nil {
			t.Fatalf("% x: %v", in, err)
		}
		if got := showAll(f.got); got != want {
			t.Fatalf("% x cut at %d:\n got %s\nwant %s", in, cut, got, want)
		}
	}
}

func TestDecodeBinary(t *testing.T) {
	noop := packet{opcode: OpcodeNoop}
	for _, c := range []struct {
		in   packet
		want string
	}{
		{packet{opcode: OpcodeGet, key: "k", opaque: 7}, `get key="k" opaque=7`},
		{packet{opcode: OpcodeGetQ, key: "k"}, `get key="k" noreply=true opcode=9`},
		{packet{opcode: OpcodeGetK, key: "a b"}, `get key="a b" opcode=12`},
		{packet{opcode: OpcodeGetKQ, key: "k", cas: 5}, `get key="k" noreply=true cas=5 opcode=13`},
		{packet{opcode: OpcodeSet, extras: u32s(1, 2), key: "k", value: "v\r\n"},
			`set key="k" value="v\r\n" flags=1 exptime=2 opcode=1`},
		{packet{opcode: OpcodeSetQ, extras: u32s(0, 1<<32-1), key: "k"},
			`set key="k" noreply=true exptime=4294967295 opcode=17`},
		{packet{opcode: OpcodeAdd, extras: u32s(0, 0), key: "k", value: "v"}, `add key="k" value="v" opcode=2`},
		{packet{opcode: OpcodeAddQ, extras: u32s(0, 0), key: "k", value: "v", cas: 3},
			`cas key="k" value="v" noreply=true cas=3 opcode=18`},
		{packet{opcode: OpcodeReplaceQ, extras: u32s(0, 0), key: "k"}, `replace key="k" noreply=true opcode=19`},
		{packet{opcode: OpcodeAppend, key: "k", value: "v", cas: 4}, `append key="k" value="v" cas=4 opcode=14`},
		{packet{opcode: OpcodePrependQ, key: "k", value: "v"}, `prepend key="k" value="v" noreply=true opcode=26`},
		{packet{opcode: OpcodeDelete, key: "k", cas: 9}, `delete key="k" cas=9 opcode=4`},
		{packet{opcode: OpcodeIncr, extras: count(1, 2, 3), key: "k"},
			`incr key="k" delay=true exptime=3 delta=1 initial=2 opcode=5`},
		{packet{opcode: OpcodeDecrQ, extras: count(1, 2, neverCreate), key: "k"},
			`decr key="k" noreply=true exptime=4294967295 delta=1 initial=2 opcode=22`},
		{packet{opcode: OpcodeTouch, extras: u32s(9), key: "k"}, `touch key="k" exptime=9 opcode=28`},
		{packet{opcode: OpcodeGat, extras: u32s(9), key: "k"}, `gat key="k" exptime=9 opcode=29`},
		{packet{opcode: OpcodeGatKQ, extras: u32s(9), key: "k"}, `gat key="k" noreply=true exptime=9 opcode=36`},
		{packet{opcode: OpcodeFlush}, `flush_all opcode=8`},
		{packet{opcode: OpcodeFlushQ, extras: u32s(5)}, `flush_all noreply=true delay=true exptime=5 opcode=24`},
		{packet{opcode: OpcodeVersion}, `version opcode=11`},
		{packet{opcode: OpcodeVerbosity, extras: u32s(2)}, `verbosity exptime=2 opcode=27`},
		{packet{opcode: OpcodeStat}, `stats opcode=16`},
		{packet{opcode: OpcodeStat, key: "settings"}, `stats key="settings" opcode=16`},
		{packet{opcode: OpcodeQuitQ}, `quit noreply=true opcode=23`},
		{packet{opcode: OpcodeSASLList}, `sasl_list_mechs opcode=32`},
		{packet{opcode: OpcodeSASLAuth, key: "PLAIN", value: "\x00u\x00p"},
			`sasl_auth key="PLAIN" value="\x00u\x00p" opcode=33`},

		// Refused, and the next request is decoded.
		{packet{opcode: 0x1f, extras: "e", key: "k", value: "v", opaque: 8}, `invalid "" opcode=31 status=129 opaque=8`},
		{packet{opcode: 0xff}, `invalid "" opcode=255 status=129`},
		{packet{opcode: OpcodeSet, extras: u32s(0, 0), key: "k", value: strings.Repeat("v", 2000)},
			`invalid "" key="k" drop=true opcode=1 status=3`},
		{packet{opcode: OpcodeReplace, extras: u32s(0, 0), key: "k", value: strings.Repeat("v", 2000)},
			`invalid "" opcode=3 status=3`},
		{packet{opcode: OpcodeAppendQ, key: "k", value: strings.Repeat("v", 2000)}, `invalid "" opcode=25 status=3`},
		{packet{opcode: OpcodeSASLAuth, key: strings.Repeat("M", 33), value: "v"}, `invalid "" opcode=33 status=4`},
		{packet{opcode: OpcodeSASLStep, key: "PLAIN", value: strings.Repeat("v", 1025)}, `invalid "" opcode=34 status=32`},
	} {
		checkBinary(t, BinaryDecoder{ItemMaxBytes: 1024, SASL: true}, packets(noop, c.in, noop),
			"mn opcode=10; "+c.want+"; mn opcode=10")
	}
}

// A fault after which the next request can't be found, or must not be served, ends the connection:
// see Malformed.
func TestDecodeBinaryMalformed(t *testing.T) {
	for _, c := range []struct {
		in     packet
		status Status
	}{
		{packet{opcode: OpcodeGet, lengths: &[3]int{0, 5, 4}}, StatusUnknownCommand},
		{packet{opcode: OpcodeSet, lengths: &[3]int{8, 5, 12}}, StatusUnknownCommand},
		{packet{opcode: OpcodeSet, lengths: &[3]int{8, 5, 1<<32 - 1}}, StatusInvalid},
		{packet{opcode: OpcodeGet, key: strings.Repeat("k", 251)}, StatusInvalid},
		{packet{opcode: 0x1f, key: strings.Repeat("k", 251)}, StatusInvalid},
		{packet{opcode: OpcodeGet}, StatusInvalid},
		{packet{opcode: OpcodeGet, extras: "e", key: "k"}, StatusInvalid},
		{packet{opcode: OpcodeGetKQ, key: "k", value: "v"}, StatusInvalid},
		{packet{opcode: OpcodeSet, extras: "1234", key: "k"}, StatusInvalid},
		{packet{opcode: OpcodeSet, extras: u32s(0, 0)}, StatusInvalid},
		{packet{opcode: OpcodeAppend, extras: u32s(0, 0), key: "k", value: "v"}, StatusInvalid},
		{packet{opcode: OpcodeDelete, extras: u32s(0), key: "k"}, StatusInvalid},
		{packet{opcode: OpcodeIncr, extras: u32s(0), key: "k"}, StatusInvalid},
		{packet{opcode: OpcodeTouch, key: "k"}, StatusInvalid},
		{packet{opcode: OpcodeGat, extras: u32s(0), key: "k", value: "v"}, StatusInvalid},
		{packet{opcode: OpcodeFlush, key: "k"}, StatusInvalid},
		{packet{opcode: OpcodeFlush, extras: "12345678"}, StatusInvalid},
		{packet{opcode: OpcodeNoop, value: "v"}, StatusInvalid},
		{packet{opcode: OpcodeVersion, key: "k"}, StatusInvalid},
		{packet{opcode: OpcodeQuit, extras: "e"}, StatusInvalid},
		{packet{opcode: OpcodeStat, key: "k", value: "v"}, StatusInvalid},
		{packet{opcode: OpcodeSASLAuth, value: "v"}, StatusInvalid},
	} {
		f := feederOf(&BinaryDecoder{SASL: true})
		noop := packet{opcode: OpcodeNoop}
		c.in.opaque = 3
		_ = f.feed([]byte(packets(noop, c.in))) // what follows the header may be no request
		want := fmt.Sprintf("malformed opcode=%d status=%d opaque=3", c.in.opcode, c.status)
		want = strings.Replace(want, " opcode=0", "", 1)
		if len(f.got) < 2 || show(&f.got[1]) != want || f.batches < 2 {
			t.Errorf("% x: got %s in %d batches; want %s, alone",
				c.in.String()[:BinaryHeaderBytes], showAll(f.got), f.batches, want)
		}
	}
}

func TestDecodeBinaryMagic(t *testing.T) {
	for _, c := range []struct {
		in   string
		used int
	}{{"get k\r\n", 0}, {"\x81", 0}, {packets(packet{opcode: OpcodeNoop}) + "x", BinaryHeaderBytes}} {
		var d BinaryDecoder
		used, err := d.Decode([]byte(c.in), NewBatch(nil))
		if used != c.used || err != ErrMagic {
			t.Errorf("%q: got %d, %v; want %d, %v", c.in, used, err, c.used, ErrMagic)
		}
	}
}

// A request of a client that has not authenticated is refused by its header, before its body
// arrives.
func TestDecodeBinaryLocked(t *testing.T) {
	for opcode := range 256 {
		d := BinaryDecoder{SASL: true, Locked: true}
		p := packet{opcode: Opcode(opcode), lengths: &[3]int{0, 1, 1 << 30}}
		b := NewBatch(nil)
		used, err := d.Decode([]byte(p.String()), b)
		switch p.opcode {
		case OpcodeSASLAuth, OpcodeSASLStep, OpcodeSASLList, OpcodeVersion:
			if len(b.Requests) == 1 && b.Requests[0].Op == Malformed && b.Requests[0].Status == StatusAuthError {
				t.Errorf("opcode %#x is refused", opcode)
			}
		default:
			want := fmt.Sprintf("malformed opcode=%d status=32", opcode)
			if got := showAll(b.Requests); used != BinaryHeaderBytes || err != nil ||
				got != strings.Replace(want, " opcode=0", "", 1) {
				t.Errorf("opcode %#x: got %d, %v, %s; want %s", opcode, used, err, got, want)
			}
		}
	}
	checkBinary(t, BinaryDecoder{},
		packets(packet{opcode: OpcodeSASLAuth, key: "PLAIN", value: "\x00u\x00p"}, packet{opcode: OpcodeSASLList}),
		`invalid "" opcode=33 status=129; invalid "" opcode=32 status=129`)
	checkBinary(t, BinaryDecoder{NoFlush: true}, packets(packet{opcode: OpcodeFlush}), `invalid "" opcode=8 status=32`)
}

func TestBinaryLimits(t *testing.T) {
	many := strings.Repeat(packet{opcode: OpcodeGetKQ, key: "k"}.String(), 300) + packets(packet{opcode: OpcodeNoop})
	for limit, want := range map[int]int{0: 2, 1: 301, 20: 16, 1000: 2} {
		f := feederOf(&BinaryDecoder{MaxRequests: limit})
		if err := f.feed([]byte(many)); err != nil || len(f.got) != 301 || f.batches != want {
			t.Errorf("limit %d: got %d requests in %d batches, %v; want 301 in %d", limit, len(f.got), f.batches, err, want)
		}
	}
	for _, c := range []struct {
		p    packet
		sent int // bytes of it
		need int
	}{
		{packet{opcode: OpcodeSet, extras: u32s(0, 0), key: "k", value: "value"}, 20, 0},
		{packet{opcode: OpcodeSet, extras: u32s(0, 0), key: "k", value: "value"}, 24, 38},
		{packet{opcode: OpcodeSet, extras: u32s(0, 0), key: "k", value: "value"}, 38, 0},
		{packet{opcode: OpcodeSet, lengths: &[3]int{8, 1, 2 << 20}}, 24, 33}, // refused once its key is there
	} {
		var d BinaryDecoder
		if _, err := d.Decode([]byte(c.p.String()[:c.sent]), NewBatch(nil)); err != nil {
			t.Fatal(err)
		}
		if got := d.Need(); got != c.need {
			t.Errorf("%d bytes: need %d; want %d", c.sent, got, c.need)
		}
	}
	in := []byte(many)
	d, b := BinaryDecoder{}, NewBatch(nil)
	if n := testing.AllocsPerRun(100, func() {
		b.Reset()
		if _, err := d.Decode(in, b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations a batch; want 0", n)
	}
}

func TestBinaryAnswers(t *testing.T) {
	r := Request{Opcode: OpcodeGetK, Opaque: 0x01020304, Key: []byte("key")}
	quiet := Request{Opcode: OpcodeGetKQ, Key: r.Key, NoReply: true}
	plain := Request{Opcode: OpcodeGet, Key: r.Key}
	for _, c := range []struct{ got, want string }{
		{string(AppendBinaryValue(nil, &r, 5, 2, 9)),
			"\x81\x0c\x00\x03\x04\x00\x00\x00\x00\x00\x00\x09\x01\x02\x03\x04\x00\x00\x00\x00\x00\x00\x00\x09" +
				"\x00\x00\x00\x05key"},
		{string(AppendBinaryValue(nil, &plain, 0, 2, 9)),
			"\x81\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x00"},
		{string(AppendBinaryMiss(nil, &r)),
			"\x81\x0c\x00\x03\x00\x00\x00\x01\x00\x00\x00\x03\x01\x02\x03\x04\x00\x00\x00\x00\x00\x00\x00\x00key"},
		{string(AppendBinaryMiss(nil, &quiet)), ""},
		{string(AppendBinaryMiss(nil, &plain)),
			"\x81\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00Not found"},
		{string(AppendBinaryUint(nil, &plain, 258, 1)),
			"\x81\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
				"\x00\x00\x00\x00\x00\x00\x01\x02"},
		{string(AppendBinaryStatus(nil, &plain, StatusUnknownCommand))[:8], "\x81\x00\x00\x00\x00\x00\x00\x81"},
	} {
		if c.got != c.want {
			t.Errorf("got  % x\nwant % x", c.got, c.want)
		}
	}
}
