package rpc

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"holdfast"
)

// headerBytes is the length of a frame without its body.
const headerBytes = 64

// frameType is what a frame is. The numbers are on the wire.
type frameType uint8

const (
	framePing    frameType = iota + 1 // both ways, on an idle connection
	frameMessage                      // the dialler's, and so are the next two
	frameRequest
	frameCancel // the caller no longer waits for the answer
	frameAnswer // the accepting node's, and so is the next
	frameFailure
	frameMeet // in a meeting: what the dialler knows, and what the accepting node does
	frameMet
	frameLife // at the end of a handshake: what the dialler says of its life, and that it is believed
	frameWelcome
	frameStream // the dialler's, in this order: what a stream is, its parts, and its end
	framePart
	frameEnd
	frameJoin // in a meeting, too: what a node asks for that is to take a lost node's place, and what it gets
	frameJoined
)

// A frame is what goes over a connection once the handshake is done.
type frame struct {
	typ     frameType
	kind    uint8  // of a message, request or stream, its own; of a failure, the number of a holdfast.Kind
	timeout uint32 // of a request, in milliseconds; 0: none
	way     way
	shard   holdfast.ShardID
	id      uint64 // of the request that a frame is, cancels or answers, from 1; otherwise 0
	body    []byte
}

// A way is what all frames have in common that go one way on a connection.
type way struct {
	cluster  [16]byte
	from, to holdfast.NodeID
}

// back is the way of the answers.
func (w way) back() way { return way{cluster: w.cluster, from: w.to, to: w.from} }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// append appends the frame as it is on the wire. sum is bodySum's of its body.
func (f *frame) append(b []byte, sum uint32) []byte {
	b = slices.Grow(b, headerBytes+len(f.body))
	h := b[len(b) : len(b)+headerBytes]
	clear(h)
	binary.LittleEndian.PutUint32(h[0:], uint32(headerBytes+len(f.body)))
	h[8], h[9] = byte(f.typ), f.kind
	binary.LittleEndian.PutUint32(h[12:], f.timeout)
	copy(h[16:32], f.way.cluster[:])
	binary.LittleEndian.PutUint64(h[32:], uint64(f.way.from))
	binary.LittleEndian.PutUint64(h[40:], uint64(f.way.to))
	binary.LittleEndian.PutUint64(h[48:], uint64(f.shard))
	binary.LittleEndian.PutUint64(h[56:], f.id)
	binary.LittleEndian.PutUint32(h[4:], frameSum(sum, h))
	return append(b[:len(b)+headerBytes], f.body...)
}

// bodySum is the checksum of a frame's body. It comes before the header's, so that it can be made
// before the queue of a connection is locked.
func bodySum(body []byte) uint32 { return crc32.Checksum(body, castagnoli) }

// frameSum is the checksum of a frame: all of it but the checksum itself.
func frameSum(bodySum uint32, header []byte) uint32 {
	return crc32.Update(crc32.Update(bodySum, castagnoli, header[:4]), castagnoli, header[8:headerBytes])
}

// A stage is what frames are for.
type stage uint8

const (
	working   stage = iota // messages, requests, answers
	meets                  // a meeting, see Meet
	opening                // the end of a handshake
	streaming              // a stream, see Stream
)

// A frameReader reads frames of one way, of which each is checked.
type frameReader struct {
	in      *bufio.Reader
	way     way
	dialled bool // by this end, so that the frames are answers
	stage   stage
	maxBody int
	unread  int    // bytes of in that the last frame borrows
	large   []byte // the last frame, if it is longer than in's buffer
}

const (
	readBuffer = 64 << 10 // of a connection; most frames are parsed in it
	keptBuffer = 1 << 20  // of a long frame that is kept for the next
)

func newFrameReader(r io.Reader, w way, dialled bool, maxBody int) *frameReader {
	return &frameReader{in: bufio.NewReaderSize(r, readBuffer), way: w, dialled: dialled, maxBody: maxBody}
}

// next returns the next frame. Its body is valid until next is called again. The error is a *fault.
func (r *frameReader) next() (frame, error) {
	if _, err := r.in.Discard(r.unread); err != nil {
		return frame{}, faultOf(Broken, err)
	}
	r.unread = 0
	if cap(r.large) > keptBuffer {
		r.large = nil
	}
	h, err := r.in.Peek(headerBytes)
	if err != nil {
		return frame{}, faultOf(Broken, err)
	}
	length := int64(binary.LittleEndian.Uint32(h))
	if length < headerBytes || length > int64(headerBytes+r.maxBody) {
		return frame{}, faultf(WrongLength, "a frame of %d bytes; it may have %d to %d", length, headerBytes,
			headerBytes+r.maxBody)
	}
	whole, err := r.whole(int(length))
	if err != nil {
		return frame{}, faultOf(Broken, err)
	}
	return r.parse(whole)
}

// whole returns the next frame's bytes. One that is longer than the buffer takes memory as its
// bytes arrive, twice as much as have arrived at most, whatever its header announces.
func (r *frameReader) whole(length int) ([]byte, error) {
	if length <= r.in.Size() {
		r.unread = length
		return r.in.Peek(length)
	}
	r.large = r.large[:0]
	for len(r.large) < length {
		n := min(length-len(r.large), max(len(r.large), readBuffer))
		r.large = slices.Grow(r.large, n)
		n, err := io.ReadFull(r.in, r.large[len(r.large):len(r.large)+n])
		r.large = r.large[:len(r.large)+n]
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	return r.large, nil
}

// parse checks and returns the frame that whole holds.
func (r *frameReader) parse(whole []byte) (frame, error) {
	h, body := whole[:headerBytes], whole[headerBytes:]
	if got, want := frameSum(bodySum(body), h), binary.LittleEndian.Uint32(h[4:]); got != want {
		return frame{}, faultf(WrongChecksum, "a frame of %d bytes has the CRC-32C %08x and says %08x", len(whole),
			got, want)
	}
	f := frame{
		typ: frameType(h[8]), kind: h[9], timeout: binary.LittleEndian.Uint32(h[12:]),
		way: way{
			cluster: [16]byte(h[16:32]),
			from:    holdfast.NodeID(binary.LittleEndian.Uint64(h[32:])),
			to:      holdfast.NodeID(binary.LittleEndian.Uint64(h[40:])),
		},
		shard: holdfast.ShardID(binary.LittleEndian.Uint64(h[48:])),
		id:    binary.LittleEndian.Uint64(h[56:]),
		body:  body,
	}
	if err := f.way.check(r.way); err != nil {
		return frame{}, err
	}
	if h[10] != 0 || h[11] != 0 || !f.inPlace(r.dialled, r.stage) {
		return frame{}, faultf(Unexpected, "a frame out of place (%v), with the header % x", f.typ, h[8:16])
	}
	return f, nil
}

// check returns a *fault if something doesn't go the way that it should.
func (w way) check(want way) error {
	switch {
	case w.cluster != want.cluster:
		return faultf(WrongCluster, "it is of the cluster %x; this is %x", w.cluster, want.cluster)
	case w.to != want.to:
		return faultf(WrongReceiver, "it is for node %d; this is %d", w.to, want.to)
	case w.from != want.from:
		return faultf(WrongSender, "it is of node %d; the connection is to %d", w.from, want.from)
	}
	return nil
}

// inPlace says whether the frame may come in a stage of a connection that this end has dialled or
// accepted, and has only what one of its type has.
func (f *frame) inPlace(dialled bool, in stage) bool {
	switch in {
	case meets:
		return f.opens(dialled, frameMeet, frameMet) || f.opens(dialled, frameJoin, frameJoined)
	case opening:
		return f.opens(dialled, frameLife, frameWelcome)
	case streaming:
		return f.streams(dialled)
	}
	switch f.typ {
	case framePing:
		return f.kind == 0 && f.shard == 0 && f.id == 0 && f.timeout == 0 && len(f.body) == 0
	case frameMessage:
		return !dialled && f.id == 0 && f.timeout == 0
	case frameRequest:
		return !dialled && f.id != 0
	case frameCancel:
		return !dialled && f.id != 0 && f.kind == 0 && f.shard == 0 && f.timeout == 0 && len(f.body) == 0
	case frameAnswer:
		return dialled && f.id != 0 && f.kind == 0 && f.shard == 0 && f.timeout == 0
	case frameFailure:
		return dialled && f.id != 0 && f.shard == 0 && f.timeout == 0
	}
	return false
}

// opens says whether the frame may be what the dialler asks before the connection works, or the
// answer.
func (f *frame) opens(dialled bool, asks, answers frameType) bool {
	bare := f.shard == 0 && f.id == 0 && f.timeout == 0
	return bare && (f.typ == asks && !dialled && f.kind == 0 || f.typ == answers && dialled && f.kind == 0 ||
		f.typ == frameFailure && dialled)
}

// streams is inPlace for the connection of a stream.
func (f *frame) streams(dialled bool) bool {
	if f.id != 0 || f.timeout != 0 || f.typ != frameStream && f.shard != 0 {
		return false
	}
	switch f.typ {
	case framePing:
		return f.kind == 0 && len(f.body) == 0
	case frameStream:
		return !dialled
	case framePart:
		return !dialled && f.kind == 0 && len(f.body) > 0
	case frameEnd:
		return !dialled && f.kind == 0 && len(f.body) == 0
	case frameAnswer:
		return dialled && f.kind == 0 && len(f.body) == 0
	case frameFailure:
		return dialled
	}
	return false
}

// own returns the body of the frame that next has returned last, for good.
func (r *frameReader) own(f frame) []byte {
	if r.unread > 0 {
		return slices.Clone(f.body)
	}
	r.large = nil
	return f.body
}

func (t frameType) String() string {
	names := [...]string{
		framePing: "ping", frameMessage: "message", frameRequest: "request", frameCancel: "cancel",
		frameAnswer: "answer", frameFailure: "failure", frameMeet: "meet", frameMet: "met",
		frameLife: "life", frameWelcome: "welcome", frameStream: "stream", framePart: "part", frameEnd: "end",
	}
	if int(t) < len(names) && names[t] != "" {
		return names[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}
