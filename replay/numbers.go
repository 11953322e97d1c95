package replay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
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
	b, err := n.r.Peek(n.width)
	switch {
	case err == io.EOF && len(b) == 0:
		return Request{}, io.EOF
	case err == io.EOF:
		return Request{}, fmt.Errorf("%s: byte %d: ends after %d bytes of a %d-byte key", n.name, n.offset, len(b), n.width)
	case err != nil:
		return Request{}, fmt.Errorf("%s: byte %d: %w", n.name, n.offset, err)
	}
	key := uint64(binary.BigEndian.Uint32(b))
	if n.width == 8 {
		key = binary.BigEndian.Uint64(b)
	}
	n.r.Discard(n.width) // can't fail: they are buffered
	n.offset += int64(n.width)
	return Request{Key: n.keyer.number(key), ValueBytes: -1, TTL: -1}, nil
}

// arc reads the page lists of the ARC paper (Megiddo and Modha, FAST'03). A line "start count
// ignored number" asks for count pages from start on.
type arc struct {
	lines
	keyer *keyer
	page  uint64 // the next one
	left  uint64 // how many, page included
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
