package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// The layout is described in the package comment.
const (
	magic   = "holdjrnl"
	version = 1

	headerFixedBytes = 36 // of a header without boot ID and name
	maxNameBytes     = 1 << 12
	maxBootBytes     = 1 << 8
	maxHeaderBytes   = headerFixedBytes + maxBootBytes + maxNameBytes

	recordFixedBytes = 14 // of a record without its key
	maxKeyBytes      = 1 << 14
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errHeader = errors.New("its header is invalid")
	errRecord = errors.New("a record is invalid")
	errTorn   = errors.New("its last record is incomplete")
)

// A header is the beginning of a file.
type header struct {
	begun  int64 // nanoseconds since 1970
	cut    bool
	boot   string
	member string
}

// appendTo appends the header's bytes to dst, len() of them.
func (h header) appendTo(dst []byte) []byte {
	from := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint32(dst, version)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.len()))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.begun))
	cut := uint32(0)
	if h.cut {
		cut = 1
	}
	dst = binary.LittleEndian.AppendUint32(dst, cut)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(h.boot)))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(h.member)))
	dst = append(dst, h.boot...)
	dst = append(dst, h.member...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
}

func (h header) len() int { return headerFixedBytes + len(h.boot) + len(h.member) }

// sum returns the sum that the first record's sum continues.
func (h header) sum() uint32 {
	return crc32.Checksum(binary.LittleEndian.AppendUint64(nil, uint64(h.begun)), castagnoli)
}

// parseHeader returns the header that b begins with.
func parseHeader(b []byte) (header, error) {
	if len(b) < headerFixedBytes || string(b[:8]) != magic {
		return header{}, errHeader
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != version {
		return header{}, fmt.Errorf("it has format version %d, not %d", v, version)
	}
	boot := int(binary.LittleEndian.Uint16(b[28:]))
	end := 32 + boot + int(binary.LittleEndian.Uint16(b[30:]))
	if end+4 > len(b) || binary.LittleEndian.Uint32(b[12:]) != uint32(end+4) {
		return header{}, errHeader
	}
	if binary.LittleEndian.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli) {
		return header{}, errHeader
	}
	return header{
		begun:  int64(binary.LittleEndian.Uint64(b[16:])),
		cut:    binary.LittleEndian.Uint32(b[24:]) != 0,
		boot:   string(b[32 : 32+boot]),
		member: string(b[32+boot : end]),
	}, nil
}

// An Entry is a key that a member missed.
type Entry struct {
	Key []byte
	At  time.Time // when it was added
}

// appendRecord appends the record of a key of 1 to maxKeyBytes bytes, and also returns its sum. The
// argument sum is that of the record before.
func appendRecord(dst, key []byte, at int64, sum uint32) ([]byte, uint32) {
	from := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(key)))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(at))
	dst = append(dst, key...)
	sum = crc32.Update(sum, castagnoli, dst[from+4:])
	binary.LittleEndian.PutUint32(dst[from:], sum)
	return dst, sum
}

// A cursor parses records whose bytes come in pieces.
type cursor struct {
	offset int64  // of the next record, in the file
	sum    uint32 // of the record before it
}

// parse appends the entries of b's whole records to dst, and moves past them. The keys are slices
// of b. b holds at least the longest record, or all bytes to the file's end: if it has no whole
// record, that is an error, like a wrong sum or length.
func (c *cursor) parse(dst []Entry, b []byte) ([]Entry, error) {
	first := c.offset
	for len(b) >= recordFixedBytes {
		keyBytes := int(binary.LittleEndian.Uint16(b[4:]))
		if keyBytes == 0 || keyBytes > maxKeyBytes {
			return dst, errRecord
		}
		n := recordFixedBytes + keyBytes
		if n > len(b) {
			break
		}
		sum := crc32.Update(c.sum, castagnoli, b[4:n])
		if sum != binary.LittleEndian.Uint32(b) {
			return dst, errRecord
		}
		dst = append(dst, Entry{Key: b[recordFixedBytes:n:n], At: time.Unix(0, int64(binary.LittleEndian.Uint64(b[6:])))})
		c.offset += int64(n)
		c.sum = sum
		b = b[n:]
	}
	if c.offset == first {
		return dst, errTorn
	}
	return dst, nil
}

// isRecordOf reports whether b begins with a record of the key. It doesn't check the sum; a reader
// does.
func isRecordOf(b, key []byte) bool {
	return len(b) >= recordFixedBytes && int(binary.LittleEndian.Uint16(b[4:])) == len(key) &&
		bytes.Equal(b[recordFixedBytes:], key)
}
