package mc

import (
	"encoding/binary"
	"errors"
)

// ErrMagic is BinaryDecoder's only error: the first byte of a request is not BinaryRequestMagic. As
// in memcached, the connection is closed without an answer.
var ErrMagic = errors.New("mc: no binary request")

// Limits of a client's messages for authentication.
const (
	maxMechanismBytes = 32        // memcached's MAX_SASL_MECH_LEN
	maxSASLBytes      = 1 << 10   // a message; a user and a password have 256 bytes in memcached's files
	neverCreate       = 1<<32 - 1 // the expiration with which incr and decr create no item
)

// A BinaryDecoder decodes the requests of a connection that speaks the binary protocol. The zero
// value has memcached's defaults.
//
// What it accepts, refuses and skips follows memcached 1.6.18, except where memcached loses its
// place in the stream or waits for a body that it will refuse:
//   - only the body of an unknown command is skipped; memcached skips the length of its extras and
//     key twice;
//   - a value after touch, gat or stat is refused, not decoded as the next request;
//   - a request that is refused because of its header is refused as soon as the header has arrived.
type BinaryDecoder struct {
	ItemMaxBytes int  // memcached's -I: see Decoder
	MaxRequests  int  // memcached's -R: see Decoder
	NoFlush      bool // memcached's -F: refuse flush
	SASL         bool // accept the commands for authentication, which are unknown otherwise
	Locked       bool // refuse all commands but these and version: the client has not authenticated

	need    int // what Need returns
	swallow int // bytes of a refused request that remain to be skipped
}

// Decode is like Decoder.Decode. A request that ends the connection, because the next request can't
// be found or must not be served, has Op Malformed and is alone in its batch, like an admin
// request.
func (d *BinaryDecoder) Decode(in []byte, b *Batch) (used int, err error) {
	d.need = 0
	limit := maxRequests(d.MaxRequests)
	for used < len(in) {
		if d.swallow > 0 {
			n := min(d.swallow, len(in)-used)
			d.swallow -= n
			used += n
			continue
		}
		if len(b.Requests) >= limit || len(b.Requests) == 1 && b.Requests[0].Op.Admin() {
			return used, nil
		}
		if in[used] != BinaryRequestMagic {
			return used, ErrMagic
		}
		n := d.next(in[used:], b)
		if n == 0 {
			return used, nil
		}
		used += n
	}
	return used, nil
}

// Need is like Decoder.Need.
func (d *BinaryDecoder) Need() int { return d.need }

// A binaryHeader is the header of a request.
type binaryHeader struct {
	opcode                           Opcode
	extrasBytes, keyBytes, bodyBytes int
	opaque                           uint32
	cas                              uint64
}

func parseBinaryHeader(in []byte) binaryHeader {
	return binaryHeader{
		opcode:      Opcode(in[1]),
		keyBytes:    int(binary.BigEndian.Uint16(in[2:])),
		extrasBytes: int(in[4]),
		bodyBytes:   int(binary.BigEndian.Uint32(in[8:])),
		opaque:      binary.BigEndian.Uint32(in[12:]),
		cas:         binary.BigEndian.Uint64(in[16:]),
	}
}

// valueBytes returns the length of the value, which follows the key.
func (h *binaryHeader) valueBytes() int { return h.bodyBytes - h.extrasBytes - h.keyBytes }

// next decodes one request and returns its length in bytes, or 0 if it is incomplete or must wait
// for another batch.
func (d *BinaryDecoder) next(in []byte, b *Batch) int {
	if len(in) < BinaryHeaderBytes {
		return 0
	}
	h := parseBinaryHeader(in)
	shape := &binaryOps[h.opcode]
	switch {
	case h.extrasBytes+h.keyBytes > h.bodyBytes:
		return d.malformed(b, &h, StatusUnknownCommand)
	case h.bodyBytes > maxBlockBytes:
		return d.malformed(b, &h, StatusInvalid)
	case d.Locked && !openToAll(shape.op):
		return d.malformed(b, &h, StatusAuthError)
	case h.keyBytes > MaxKeyBytes:
		return d.malformed(b, &h, StatusInvalid)
	case shape.op == Invalid, !d.SASL && isSASL(shape.op):
		return d.skip(b, &h, StatusUnknownCommand)
	case !fits(&h, shape.extras, shape.body):
		return d.malformed(b, &h, StatusInvalid)
	case shape.op == FlushAll && d.NoFlush:
		return d.skip(b, &h, StatusAuthError)
	case shape.op.Admin() && len(b.Requests) > 0:
		return 0
	}
	if shape.body == bodyValue {
		if n, refused := d.refuseValue(in, b, &h, shape.op); refused {
			return n
		}
	}
	whole := BinaryHeaderBytes + h.bodyBytes
	if len(in) < whole {
		d.need = whole
		return 0
	}
	r := b.addBinary(&h, shape.op)
	r.NoReply = shape.quiet
	r.fillBinary(in[BinaryHeaderBytes:whole:whole], &h)
	return whole
}

// addBinary appends a request with the header's fields.
func (b *Batch) addBinary(h *binaryHeader, op Op) *Request {
	r := b.add(op)
	r.Opcode, r.Opaque, r.CAS = h.opcode, h.opaque, h.cas
	return r
}

// fillBinary sets the fields that are in the body: extras, key and value.
func (r *Request) fillBinary(body []byte, h *binaryHeader) {
	extras := body[:h.extrasBytes]
	end := h.extrasBytes + h.keyBytes
	if h.keyBytes > 0 {
		r.Key = body[h.extrasBytes:end:end]
	}
	switch r.Op {
	case Set, Add, Replace:
		r.ClientFlags = binary.BigEndian.Uint32(extras)
		r.Exptime = int64(binary.BigEndian.Uint32(extras[4:]))
		r.Value = body[end:len(body):len(body)]
		if r.CAS != 0 {
			r.Op = CAS // for all three, as in memcached
		}
		r.markBinaryKey()
	case Append, Prepend, SASLAuth, SASLStep:
		r.Value = body[end:len(body):len(body)]
	case Incr, Decr:
		r.Delta = binary.BigEndian.Uint64(extras)
		r.Initial = binary.BigEndian.Uint64(extras[8:])
		r.Exptime = int64(binary.BigEndian.Uint32(extras[16:]))
		r.HasExptime = r.Exptime != neverCreate
		r.markBinaryKey()
	case Touch, Gat, Verbosity:
		r.Exptime = int64(binary.BigEndian.Uint32(extras))
	case FlushAll:
		if r.HasExptime = len(extras) > 0; r.HasExptime {
			r.Exptime = int64(binary.BigEndian.Uint32(extras))
		}
	}
}

// markBinaryKey marks a key that can't be in a line of text, like the meta flag b does, so that
// dumps and watchers print it as base64.
func (r *Request) markBinaryKey() {
	if !IsGraphic(r.Key) {
		r.Flags = Flag('b')
	}
}

// fits reports whether the lengths are valid for the command.
func fits(h *binaryHeader, extras uint8, body bodyShape) bool {
	if h.extrasBytes != int(extras) && !(body == bodyOptional && h.extrasBytes == 0) {
		return false
	}
	switch body {
	case bodyKey:
		return h.keyBytes > 0 && h.valueBytes() == 0
	case bodyValue:
		return h.keyBytes > 0
	case bodyGroup:
		return h.valueBytes() == 0
	}
	return h.keyBytes == 0 && h.valueBytes() == 0
}

// refuseValue refuses a value that is too large, and skips it. A refused set deletes the item of
// its key, so refuseValue waits for the key; n is 0 until then.
func (d *BinaryDecoder) refuseValue(in []byte, b *Batch, h *binaryHeader, op Op) (n int, refused bool) {
	if isSASL(op) {
		if h.keyBytes > maxMechanismBytes {
			return d.skip(b, h, StatusInvalid), true
		}
		if h.valueBytes() > maxSASLBytes {
			return d.skip(b, h, StatusAuthError), true
		}
		return 0, false
	}
	flags := uint32(0)
	if h.extrasBytes >= 4 && len(in) >= BinaryHeaderBytes+4 {
		flags = binary.BigEndian.Uint32(in[BinaryHeaderBytes:])
	}
	if !itemTooLarge(d.ItemMaxBytes, h.keyBytes, flags, h.valueBytes()) {
		return 0, false
	}
	end := BinaryHeaderBytes + h.extrasBytes + h.keyBytes
	if len(in) < end {
		d.need = end
		return 0, true
	}
	d.skip(b, h, StatusTooLarge)
	if op == Set {
		r := &b.Requests[len(b.Requests)-1]
		r.Drop, r.Key = true, in[end-h.keyBytes:end:end]
	}
	d.swallow = h.valueBytes()
	return end, true
}

// skip appends a request that is answered with the status, and skips its body.
func (d *BinaryDecoder) skip(b *Batch, h *binaryHeader, s Status) int {
	b.addBinary(h, Invalid).Status = s
	d.swallow = h.bodyBytes
	return BinaryHeaderBytes
}

// malformed appends a request that ends the connection.
func (d *BinaryDecoder) malformed(b *Batch, h *binaryHeader, s Status) int {
	if len(b.Requests) > 0 {
		return 0
	}
	b.addBinary(h, Malformed).Status = s
	return BinaryHeaderBytes
}

// WithoutMemory returns the request to serve in place of the one at the start of in, if there is no
// memory to receive all of it.
func (d *BinaryDecoder) WithoutMemory(in []byte) Request {
	h := parseBinaryHeader(in)
	r := Request{Op: Invalid, Opcode: h.opcode, Opaque: h.opaque, Status: StatusOutOfMemory}
	end := BinaryHeaderBytes + h.extrasBytes + h.keyBytes
	if binaryOps[h.opcode].op == Set && len(in) >= end {
		r.Drop, r.Key = true, in[end-h.keyBytes:end:end]
	}
	return r
}

func isSASL(op Op) bool { return op >= SASLList && op <= SASLStep }

// openToAll reports whether a client may send op before it has authenticated.
func openToAll(op Op) bool { return isSASL(op) || op == Version }
