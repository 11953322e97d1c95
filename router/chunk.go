package router

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"holdfast/mc"
	"holdfast/upstream"
)

// A chunked pool stores a value above a size in pieces, as mcrouter's BigValueRoute does. The item
// of the value's key is a manifest, by which this router finds the pieces.
//
//	set k …  →  set k:chunk:SUFFIX:0 …, set k:chunk:SUFFIX:1 …, and once all are stored: set k MANIFEST
//	get k    →  get k returns a manifest: get the pieces, and answer with all of them as one value
//
// Each store has its own suffix, so that a manifest never refers to pieces of another store. If a
// piece is missing, the value is a miss. Pieces that no manifest refers to any more expire or are
// evicted. The manifest's item has the client flags, the TTL and the CAS of the value, so that cas,
// touch and the meta flags work as for other items.
//
// A value that begins like a manifest is stored in pieces whatever its size, so that no client can
// forge a manifest.
type chunked struct {
	target forwarder
	bytes  int  // of a piece; larger values are split
	theirs bool // mcrouter's big values are read as well: see bigvalue.go
}

// Limits of a value in pieces.
const (
	maxPieces     = 1 << 16
	maxPiecesOpen = 16 // in flight at once
)

// manifestBytes is more than a manifest has.
const manifestBytes = 128

// A manifest begins with manifestMark and ends with a zero byte, so that it can be seen whether an
// append or a prepend has added to it.
const manifestMark = "\x00holdfast chunks 1 "

// A manifest is "MARK PIECES PIECE-BYTES TOTAL-BYTES SUFFIX\x00".
type manifest struct {
	pieces, pieceBytes, total int
	suffix                    uint64
}

func (m *manifest) append(b []byte) []byte {
	return fmt.Appendf(append(b, manifestMark...), "%d %d %d %016x\x00", m.pieces, m.pieceBytes, m.total, m.suffix)
}

// piece returns which bytes of the value the i-th piece has.
func (m *manifest) piece(i int) (from, to int) {
	return i * m.pieceBytes, min((i+1)*m.pieceBytes, m.total)
}

// marked reports whether value is a manifest, or was one to which an append or a prepend has added,
// so that the stored value is lost.
func marked(value []byte) bool {
	if bytes.HasPrefix(value, []byte(manifestMark)) {
		return true
	}
	end := value[max(0, len(value)-manifestBytes):]
	return len(end) > 0 && end[len(end)-1] == 0 && bytes.Contains(end, []byte(manifestMark))
}

// parseManifest accepts only what append makes.
func parseManifest(value []byte) (m manifest, ok bool) {
	text, ok := strings.CutPrefix(string(value[:min(len(value), manifestBytes)]), manifestMark)
	parts := strings.Split(strings.TrimSuffix(text, "\x00"), " ")
	if !ok || len(parts) != 4 {
		return m, false
	}
	for i, to := range []*int{&m.pieces, &m.pieceBytes, &m.total} {
		*to, _ = strconv.Atoi(parts[i])
	}
	m.suffix, _ = strconv.ParseUint(parts[3], 16, 64)
	if m.pieceBytes <= 0 || m.total < 0 || m.total > upstream.MaxValueBytes || m.pieces > maxPieces {
		return m, false
	}
	return m, m.pieces == m.count() && bytes.Equal(m.append(nil), value)
}

func (m *manifest) count() int { return (m.total + m.pieceBytes - 1) / m.pieceBytes }

// pieceKey returns the key of a piece. If the value's key is too long, or can't be sent in classic
// commands, its hash is used instead; values with the same hash still differ in their suffix.
func pieceKey(key []byte, suffix uint64, i int) []byte {
	const mark = ":chunk:"
	tail := len(mark) + 16 + 1 + 5
	var b []byte
	if len(key)+tail > mc.MaxKeyBytes || !mc.IsGraphic(key) {
		h := fnv.New64a()
		h.Write(key)
		b = fmt.Appendf(make([]byte, 0, 16+tail), "%016x", h.Sum64())
	} else {
		b = append(make([]byte, 0, len(key)+tail), key...)
	}
	b = fmt.Appendf(append(b, mark...), "%016x:", suffix)
	return strconv.AppendInt(b, int64(i), 10)
}

func (c *chunked) forward(l *lane, q *query) {
	r := q.request
	switch r.Op {
	case mc.Get, mc.Gets, mc.Gat, mc.Gats, mc.MetaGet, mc.Touch:
		c.read(l, q)
	case mc.Set, mc.Add, mc.Replace, mc.CAS:
		c.store(l, q)
	case mc.Append, mc.Prepend:
		c.extend(l, q)
	case mc.MetaSet:
		if m := r.Mode | 0x20; r.Has('M') && (m == 'a' || m == 'p') {
			c.extend(l, q)
			return
		}
		c.store(l, q)
	default:
		c.target.forward(l, q)
	}
}
