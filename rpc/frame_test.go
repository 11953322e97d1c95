package rpc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"holdfast"
)

var testWay = way{cluster: testCluster, from: 7, to: 9}

func randomBody(rng *rand.Rand, most int) []byte {
	b := make([]byte, rng.IntN(1+most>>rng.IntN(16)))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// randomFrame returns a frame as it may come on a connection that was dialled or accepted.
func randomFrame(rng *rand.Rand, dialled bool, most int) frame {
	types := []frameType{framePing, frameMessage, frameRequest, frameCancel}
	if dialled {
		types = []frameType{framePing, frameAnswer, frameFailure}
	}
	f := frame{typ: types[rng.IntN(len(types))], way: testWay}
	if f.typ == frameMessage || f.typ == frameRequest || f.typ == frameFailure {
		f.kind = uint8(rng.Uint32())
	}
	if f.typ == frameMessage || f.typ == frameRequest {
		f.shard = holdfast.ShardID(rng.Uint64())
	}
	if f.typ == frameRequest {
		f.timeout = rng.Uint32()
	}
	if f.typ != framePing && f.typ != frameMessage {
		f.id = 1 + rng.Uint64N(1<<60)
	}
	if f.typ != framePing && f.typ != frameCancel {
		f.body = randomBody(rng, most)
	}
	return f
}

func same(a, b frame) bool {
	return a.typ == b.typ && a.kind == b.kind && a.timeout == b.timeout && a.way == b.way && a.shard == b.shard &&
		a.id == b.id && bytes.Equal(a.body, b.body)
}

// Frames arrive as they were sent, however the bytes are cut, and an owned body stays as it is.
func TestFramesArrive(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		dialled := seed%2 == 1
		var wire []byte
		var want, owned []frame
		for range 60 {
			f := randomFrame(rng, dialled, 400<<10)
			want = append(want, f)
			wire = append(wire, bytesOf(f)...)
		}
		in := io.Reader(bytes.NewReader(wire))
		switch seed % 3 {
		case 1:
			in = iotest.HalfReader(in)
		case 2:
			in = iotest.DataErrReader(in)
		}
		r := newFrameReader(in, testWay, dialled, MaxBody)
		for i := range want {
			f, err := r.next()
			if err != nil || !same(f, want[i]) {
				t.Fatalf("seed %d, frame %d: got %v of %d bytes, %v; want %v of %d", seed, i, f.typ, len(f.body), err,
					want[i].typ, len(want[i].body))
			}
			f.body = r.own(f)
			owned = append(owned, f)
		}
		if _, err := r.next(); !errors.Is(err, io.EOF) {
			t.Errorf("seed %d: at the end got %v; want EOF", seed, err)
		}
		for i := range want {
			if !same(owned[i], want[i]) {
				t.Errorf("seed %d: the owned body of frame %d has changed since", seed, i)
			}
		}
	}
}

// The bytes on the wire are those that docs/formats.md describes; other nodes may be older.
func TestBytesOnTheWire(t *testing.T) {
	w := way{cluster: [16]byte{0xc0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xcf}, from: 0x0102, to: 0x0304}
	f := frame{typ: frameRequest, kind: 7, timeout: 1500, way: w, shard: 0x0506, id: 0x0708, body: []byte("body")}
	want := "44000000" + "b04d1f6f" + "03" + "07" + "0000" + "dc050000" + "c00102030405060708090a0b0c0d0ecf" +
		"0201000000000000" + "0403000000000000" + "0605000000000000" + "0807000000000000" + "626f6479"
	if got := hex.EncodeToString(bytesOf(f)); got != want {
		t.Errorf("a frame: got %s; want %s", got, want)
	}
	h := hello{lowest: 1, highest: 2, verdict: refusedSender, way: w}
	want = "686f6c646e6f6465" + "01" + "02" + "04" + "00" + "97f0510a" + "c00102030405060708090a0b0c0d0ecf" +
		"0201000000000000" + "0403000000000000"
	if got := hex.EncodeToString(h.bytes()); got != want {
		t.Errorf("a hello: got %s; want %s", got, want)
	}
}

// The numbers of errors' kinds are those of docs/formats.md.
func TestKindsOnTheWire(t *testing.T) {
	var said []string
	for number, kind := range wireKinds {
		if number > 0 {
			said = append(said, fmt.Sprintf("%d %v", number, kind))
		}
	}
	text, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join(said, ", ")
	if !strings.Contains(strings.Join(strings.Fields(string(text)), " "), want) {
		t.Errorf("docs/formats.md doesn't say %q", want)
	}
}

func faultOfNext(wire []byte, w way, dialled bool, maxBody int) (Fault, error) {
	_, err := newFrameReader(bytes.NewReader(wire), w, dialled, maxBody).next()
	var f *fault
	if !errors.As(err, &f) {
		return faults, err
	}
	return f.Fault, err
}

// A frame in which any bit is another, or that ends early, is refused.
func TestDamagedFrames(t *testing.T) {
	whole := bytesOf(frame{
		typ: frameRequest, kind: 3, timeout: 100, way: testWay, shard: 12, id: 5, body: []byte("body"),
	})
	for bit := range 8 * len(whole) {
		wire := bytes.Clone(whole)
		wire[bit/8] ^= 1 << (bit % 8)
		got, err := faultOfNext(append(wire, make([]byte, 1000)...), testWay, false, 1000)
		if got != WrongChecksum && (bit >= 32 || got != WrongLength) {
			t.Errorf("bit %d changed: got %v, %v; want a wrong checksum", bit, got, err)
		}
	}
	for n := range len(whole) {
		if got, err := faultOfNext(whole[:n], testWay, false, MaxBody); got != Broken {
			t.Errorf("%d bytes: got %v, %v; want a broken connection", n, got, err)
		}
	}
}

// A frame that is whole, but not one that this node should get on this connection, is refused.
func TestMisplacedFrames(t *testing.T) {
	message := frame{typ: frameMessage, way: testWay}
	request := frame{typ: frameRequest, way: testWay, id: 1}
	cancel := frame{typ: frameCancel, way: testWay, id: 1}
	answer := frame{typ: frameAnswer, way: testWay, id: 1}
	for _, test := range []struct {
		name    string
		of      frame
		change  func(f *frame)
		dialled bool
		want    Fault
	}{
		{"another cluster", message, func(f *frame) { f.way.cluster[15]++ }, false, WrongCluster},
		{"another receiver", message, func(f *frame) { f.way.to = 8 }, false, WrongReceiver},
		{"another sender", message, func(f *frame) { f.way.from = 8 }, false, WrongSender},
		{"its own", message, func(f *frame) { f.way = f.way.back() }, false, WrongReceiver},
		{"type 0", message, func(f *frame) { f.typ = 0 }, false, Unexpected},
		{"type 7", message, func(f *frame) { f.typ = 7 }, false, Unexpected},
		{"a message where answers come", message, func(*frame) {}, true, Unexpected},
		{"a request where answers come", request, func(*frame) {}, true, Unexpected},
		{"an answer where requests come", answer, func(*frame) {}, false, Unexpected},
		{"a failure where requests come", answer, func(f *frame) { f.typ = frameFailure }, false, Unexpected},
		{"a message with an ID", message, func(f *frame) { f.id = 1 }, false, Unexpected},
		{"a message with a timeout", message, func(f *frame) { f.timeout = 1 }, false, Unexpected},
		{"a request without ID", request, func(f *frame) { f.id = 0 }, false, Unexpected},
		{"a cancel without ID", cancel, func(f *frame) { f.id = 0 }, false, Unexpected},
		{"a cancel with a body", cancel, func(f *frame) { f.body = []byte("x") }, false, Unexpected},
		{"an answer without ID", answer, func(f *frame) { f.id = 0 }, true, Unexpected},
		{"an answer with a kind", answer, func(f *frame) { f.kind = 1 }, true, Unexpected},
		{"an answer with a shard", answer, func(f *frame) { f.shard = 1 }, true, Unexpected},
		{"a ping with a body", message, func(f *frame) { f.typ, f.body = framePing, []byte("x") }, false, Unexpected},
	} {
		f := test.of
		test.change(&f)
		if got, err := faultOfNext(bytesOf(f), testWay, test.dialled, MaxBody); got != test.want {
			t.Errorf("%s: got %v, %v; want %v", test.name, got, err, test.want)
		}
	}
	h := bytesOf(message)
	h[10] = 1
	binary.LittleEndian.PutUint32(h[4:], frameSum(0, h))
	if got, err := faultOfNext(h, testWay, false, MaxBody); got != Unexpected {
		t.Errorf("byte 10 is 1: got %v, %v; want it unexpected", got, err)
	}
}

// A length is checked before memory is taken, and memory is taken as bytes arrive.
func TestLengthsTakeNoMemory(t *testing.T) {
	h := bytesOf(frame{typ: frameMessage, way: testWay})
	for _, length := range []uint32{0, 1, headerBytes - 1, headerBytes + MaxBody + 1, 1 << 31, 1<<32 - 1} {
		binary.LittleEndian.PutUint32(h, length)
		endless := io.MultiReader(bytes.NewReader(h), neverRead{t})
		r := newFrameReader(iotest.OneByteReader(endless), testWay, false, MaxBody)
		_, err := r.next()
		var f *fault
		if !errors.As(err, &f) || f.Fault != WrongLength || r.large != nil {
			t.Errorf("length %d: got %v, with %d bytes of memory; want a wrong length, with none", length, err,
				cap(r.large))
		}
	}
	binary.LittleEndian.PutUint32(h, headerBytes+MaxBody)
	for _, arrived := range []int{headerBytes, 100 << 10, 1 << 20} {
		wire := append(bytes.Clone(h), make([]byte, arrived-headerBytes)...)
		r := newFrameReader(bytes.NewReader(wire), testWay, false, MaxBody)
		_, err := r.next()
		if most := 3*arrived + 2*readBuffer; !errors.Is(err, io.ErrUnexpectedEOF) || cap(r.large) > most {
			t.Errorf("%d bytes of %d arrived: got %v, with %d bytes of memory; want at most %d", arrived,
				headerBytes+MaxBody, err, cap(r.large), most)
		}
	}
}

// neverRead fails the test if it is read.
type neverRead struct{ t *testing.T }

func (r neverRead) Read([]byte) (int, error) {
	r.t.Error("the body was read")
	return 0, io.EOF
}

// endless repeats the same bytes for ever.
type endless struct {
	bytes []byte
	at    int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.bytes[e.at:])
	e.at = (e.at + n) % len(e.bytes)
	return n, nil
}

// Neither reading nor queueing a frame allocates.
func TestFramesAllocateNothing(t *testing.T) {
	f := frame{typ: frameMessage, way: testWay, body: make([]byte, 300)}
	r := newFrameReader(&endless{bytes: bytesOf(f)}, testWay, false, MaxBody)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := r.next(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations per frame that is read; want none", n)
	}
	q := newQueue(1<<20, 100)
	if n := testing.AllocsPerRun(1000, func() {
		f := frame{typ: frameMessage, way: testWay, body: f.body}
		q.add(&f)
		batch, _, _ := q.take()
		q.giveBack(batch)
	}); n != 0 {
		t.Errorf("got %v allocations per frame that is queued; want none", n)
	}
}

// Whatever arrives, nothing panics, and what is accepted would be sent as the same bytes.
func FuzzFrames(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	for n := range 20 {
		fr := randomFrame(rng, n%2 == 1, 200)
		f.Add(bytesOf(fr), n%2 == 1, false)
		f.Add(bytesOf(fr)[:8], n%2 == 1, true)
	}
	f.Fuzz(func(t *testing.T, wire []byte, dialled, sum bool) {
		if sum && len(wire) >= headerBytes { // or nothing would get behind the checksum
			wire = bytes.Clone(wire)
			binary.LittleEndian.PutUint32(wire, uint32(len(wire)))
			copy(wire[16:], testWay.cluster[:])
			wire[39], wire[47] = 0, 0
			binary.LittleEndian.PutUint32(wire[4:], frameSum(bodySum(wire[headerBytes:]), wire))
		}
		r := newFrameReader(bytes.NewReader(wire), testWay, dialled, 1<<20)
		for rest := wire; ; {
			fr, err := r.next()
			if err != nil {
				var fa *fault
				if !errors.As(err, &fa) {
					t.Fatalf("the error %v is no fault", err)
				}
				return
			}
			again := bytesOf(fr)
			if !bytes.HasPrefix(rest, again) {
				t.Fatalf("accepted % x; it would be sent as % x", rest, again)
			}
			rest = rest[len(again):]
		}
	})
}
