package mc

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// FuzzDecodeBinary checks of the binary protocol what FuzzDecode checks of text: nothing panics,
// cutting the input anywhere changes nothing, and accepted requests print and decode as the same.
func FuzzDecodeBinary(f *testing.F) {
	for _, p := range []packet{
		{opcode: OpcodeGet, key: "k", opaque: 7}, {opcode: OpcodeGetKQ, key: "a b"}, {opcode: OpcodeNoop},
		{opcode: OpcodeSetQ, extras: u32s(1, 2), key: "k", value: "v\r\n", cas: 5},
		{opcode: OpcodeAppend, key: "k", value: "v"},
		{opcode: OpcodeSet, extras: u32s(1, 2), key: "k", value: strings.Repeat("v", 2000)},
		{opcode: OpcodeDecrQ, extras: count(1, 2, neverCreate), key: "k"}, {opcode: OpcodeGatK, extras: u32s(9), key: "k"},
		{opcode: OpcodeFlush, extras: u32s(5)}, {opcode: OpcodeStat, key: "settings"}, {opcode: OpcodeVersion},
		{opcode: OpcodeQuit},
		{opcode: OpcodeSASLAuth, key: "PLAIN", value: "\x00u\x00p"}, {opcode: 0x1f, extras: "e", key: "k", value: "v"},
		{opcode: OpcodeGet, lengths: &[3]int{0, 5, 4}}, {opcode: OpcodeVerbosity, extras: u32s(1)},
	} {
		f.Add([]byte(p.String()), uint16(11), uint8(0), false)
		f.Add([]byte(packets(p, packet{opcode: OpcodeNoop}, p)), uint16(30), uint8(2), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16, limit uint8, locked bool) {
		options := BinaryDecoder{ItemMaxBytes: 1024, MaxRequests: int(limit), SASL: limit%2 == 0, Locked: locked}
		feed := func(parts ...[]byte) (*feeder, error) {
			d := options
			f := feederOf(&d)
			for _, part := range parts {
				if err := f.feed(part); err != nil {
					return f, err
				}
			}
			return f, nil
		}
		whole, wholeErr := feed(in)
		at := min(int(cut), len(in))
		split, splitErr := feed(in[:at], in[at:])
		if wholeErr != splitErr || !sameRequests(whole.got, split.got) {
			t.Errorf("cut at %d:\n got %s, %v\nwant %s, %v", at, showAll(split.got), splitErr, showAll(whole.got), wholeErr)
		}
		var printed []byte
		var valid []Request
		for _, r := range whole.got {
			if r.Op != Invalid && r.Op != Malformed {
				valid = append(valid, r)
				printed = appendBinaryRequest(printed, &r)
			}
		}
		again, err := feed(printed)
		if err != nil || !sameRequests(again.got, valid) {
			t.Errorf("printed as % x:\n got %s, %v\nwant %s", printed, showAll(again.got), err, showAll(valid))
		}
		if len(whole.got) == len(valid) && !bytes.HasPrefix(normal(in), printed) {
			t.Errorf("printed as % x; want the start of % x", printed, in)
		}
	})
}

// normal returns in with the header's unused bytes, the data type and the reserved ones, set to 0
// in all whole requests.
func normal(in []byte) []byte {
	in = bytes.Clone(in)
	for rest := in; len(rest) >= BinaryHeaderBytes && rest[0] == BinaryRequestMagic; {
		clear(rest[5:8])
		rest = rest[min(len(rest), BinaryHeaderBytes+parseBinaryHeader(rest).bodyBytes):]
	}
	return in
}

// appendBinaryRequest appends r, a request of the binary protocol, in its form on the wire.
// Decoding that returns r again. It uses r.Opcode and ignores r.Op. It appends nothing for a
// refused request.
func appendBinaryRequest(dst []byte, r *Request) []byte {
	if r.Status != StatusOK {
		return dst
	}
	var buffer [20]byte
	extras := r.appendExtras(buffer[:0])
	var h [BinaryHeaderBytes]byte
	h[0] = BinaryRequestMagic
	h[1] = byte(r.Opcode)
	binary.BigEndian.PutUint16(h[2:], uint16(len(r.Key)))
	h[4] = byte(len(extras))
	binary.BigEndian.PutUint32(h[8:], uint32(len(extras)+len(r.Key)+len(r.Value)))
	binary.BigEndian.PutUint32(h[12:], r.Opaque)
	binary.BigEndian.PutUint64(h[16:], r.CAS)
	dst = append(dst, h[:]...)
	dst = append(dst, extras...)
	dst = append(dst, r.Key...)
	return append(dst, r.Value...)
}

// appendExtras appends the extras, the fields before the key.
func (r *Request) appendExtras(dst []byte) []byte {
	switch binaryOps[r.Opcode].op {
	case Set, Add, Replace:
		dst = binary.BigEndian.AppendUint32(dst, r.ClientFlags)
		return binary.BigEndian.AppendUint32(dst, uint32(r.Exptime))
	case Incr, Decr:
		dst = binary.BigEndian.AppendUint64(dst, r.Delta)
		dst = binary.BigEndian.AppendUint64(dst, r.Initial)
		return binary.BigEndian.AppendUint32(dst, uint32(r.Exptime))
	case Touch, Gat, Verbosity:
		return binary.BigEndian.AppendUint32(dst, uint32(r.Exptime))
	case FlushAll:
		if r.HasExptime {
			return binary.BigEndian.AppendUint32(dst, uint32(r.Exptime))
		}
	}
	return dst
}
