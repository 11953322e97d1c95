package replay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"time"
)

// integers reads a trace of big-endian unsigned integers, each the key of a request, as Caffeine's
// and cache2k's simulators keep them.
type integers struct {
	name   string
	r      *bufio.Reader
	keyer  *keyer
	width  int // bytes an integer: 4 or 8
	offset int64
}

func (n *integers) Next() (Request, error) {
	b, err := peekWhole(n.r, n.width, "key")
	if err != nil {
		return Request{}, atByte(n.name, n.offset, err)
	}
	key := uint64(binary.BigEndian.Uint32(b))
	if n.width == 8 {
		key = binary.BigEndian.Uint64(b)
	}
	n.r.Discard(n.width) // can't fail: they are buffered
	n.offset += int64(n.width)
	return Request{Key: n.keyer.number(key), ValueBytes: -1, TTL: -1}, nil
}

// oracle reads libCacheSim's oracleGeneral (its oracleGeneralBin.h).
type oracle struct {
	name   string
	r      *bufio.Reader
	keyer  *keyer
	offset int64
	first  uint32 // the first request's time; set once offset isn't 0
}

const (
	oracleBytes       = 24
	maxOracleRequests = 1 << 48 // no trace has more
)

// An oracleRecord is a record of the trace.
type oracleRecord struct {
	time uint32 // seconds since any start
	key  uint64
	size uint32 // of the object, in bytes; 0 where it isn't known
	next int64  // the number of the next request for the key; -1 for none, or the largest number
}

// parseOracle parses the first oracleBytes of b.
func parseOracle(b []byte) oracleRecord {
	little := binary.LittleEndian
	return oracleRecord{
		time: little.Uint32(b),
		key:  little.Uint64(b[4:]),
		size: little.Uint32(b[12:]),
		next: int64(little.Uint64(b[16:])),
	}
}

func (o *oracle) Next() (Request, error) {
	b, err := peekWhole(o.r, oracleBytes, "record")
	if err != nil {
		return Request{}, atByte(o.name, o.offset, err)
	}
	record := parseOracle(b)
	if o.offset == 0 {
		o.first = record.time
	}
	o.r.Discard(oracleBytes) // can't fail: they are buffered
	o.offset += oracleBytes
	r := Request{Key: o.keyer.number(record.key), ValueBytes: -1, TTL: -1, HasTime: true}
	if record.size > 0 {
		r.ValueBytes = int(min(int64(record.size), MaxValueBytes))
	}
	r.At = time.Duration(int64(record.time)-int64(o.first)) * time.Second
	return r, nil
}

// peekWhole returns the next n bytes of r, which stay unread. The error is io.EOF if there are
// none, and another one if there are fewer.
func peekWhole(r *bufio.Reader, n int, what string) ([]byte, error) {
	b, err := r.Peek(n)
	if err == io.EOF && len(b) > 0 {
		return nil, fmt.Errorf("ends after %d bytes of a %d-byte %s", len(b), n, what)
	}
	return b, err
}

// atByte returns err with its place in a binary trace; io.EOF stays as it is.
func atByte(name string, offset int64, err error) error {
	if err == io.EOF {
		return err
	}
	return fmt.Errorf("%s: byte %d: %w", name, offset, err)
}

// arc reads the page lists of the ARC paper (Megiddo and Modha, FAST'03). A line "start count
// ignored number" asks for count pages from start on.
type arc struct {
	lines
	keyer *keyer
	page  uint64 // the next one
	left  uint64 // the number of pages left, this one included
}

// maxArcPages bounds one line; the paper's have at most a few thousand.
const maxArcPages = 1 << 24

func (a *arc) Next() (Request, error) {
	for a.left == 0 {
		line, err := a.next()
		if err == errLineTooLong {
			return Request{}, a.wrong(err)
		}
		if err != nil {
			return Request{}, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var ok bool
		if a.page, a.left, ok = parseARC(line); !ok {
			return Request{}, a.wrongf("%.40q: want start, count (1 to %d), ignored and number", line, maxArcPages)
		}
	}
	r := Request{Key: a.keyer.number(a.page), ValueBytes: -1, TTL: -1}
	a.page++
	a.left--
	return r, nil
}

func parseARC(line []byte) (start, count uint64, ok bool) {
	fields := bytes.Fields(line)
	if len(fields) != 4 {
		return 0, 0, false
	}
	var n [4]uint64
	for i, f := range fields {
		var err error
		if n[i], err = strconv.ParseUint(string(f), 10, 64); err != nil {
			return 0, 0, false
		}
	}
	return n[0], n[1], n[1] >= 1 && n[1] <= maxArcPages
}
