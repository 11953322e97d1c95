package dynamodb

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxJSONDepth limits how deep arrays and objects may nest; it is encoding/json's limit. An
// attribute may have 32 levels of two objects each, so one that nests too deep still gets its own
// error.
const maxJSONDepth = 10_000

// parse parses a JSON text as RFC 8259 defines it, in UTF-8; ok is false if it isn't valid. The
// last of several members with one name counts. cells is the number of values, for which memory is
// allocated at once; 0 if unknown. The caller releases the document.
func parse(s string, cells int) (doc *document, ok bool) {
	d := documents.Get().(*document)
	if cells > cap(d.cells) {
		d.cells = make([]cell, 0, cells)
	}
	d.text, d.cells, d.at, d.depth, d.failed = s, d.cells[:0], 0, 0, false
	if !utf8.ValidString(s) {
		d.release()
		return nil, false
	}
	d.space()
	d.value(cell{})
	d.space()
	if d.failed || d.at != len(s) {
		d.release()
		return nil, false
	}
	return d, true
}

// countCells returns how many values a document has: each is either the first in its container or
// preceded by a comma. In an invalid document, parse finds no more values than that before it
// fails.
func countCells(s string) int {
	n := 1
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '[', '{', ',':
			n++
		case '"':
			i = endOfText(s, i)
		}
	}
	return n
}

// endOfText returns the position of the quote that ends the text that begins at i; len(s) if there
// is none.
func endOfText(s string, i int) int {
	for i++; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return i
}

// fail stops the parser, by leaving it nothing to read.
func (d *document) fail() {
	d.failed = true
	d.at = len(d.text)
}

// peek returns the next byte; at the end 0, which no JSON contains.
func (d *document) peek() byte {
	if d.at < len(d.text) {
		return d.text[d.at]
	}
	return 0
}

func (d *document) space() {
	for d.at < len(d.text) {
		switch d.text[d.at] {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return
		}
	}
}

// value parses a value into the next cell. c already has the name if the value is a member.
func (d *document) value(c cell) {
	c.lo = uint32(d.at)
	switch b := d.peek(); {
	case b == '"':
		c.kind = text
		c.lo, c.hi, c.escaped = d.quoted()
	case b == '{':
		c.kind = object
		d.container(c, '}')
		return
	case b == '[':
		c.kind = array
		d.container(c, ']')
		return
	case b == '-' || '0' <= b && b <= '9':
		c.kind = number
		d.number()
		c.hi = uint32(d.at)
	case b == 't':
		c.kind = boolean
		c.hi = d.literal("true")
	case b == 'f':
		c.kind = boolean
		c.hi = d.literal("false")
	case b == 'n':
		c.kind = null
		c.hi = d.literal("null")
	default:
		d.fail()
	}
	c.end = uint32(len(d.cells)) + 1
	d.cells = append(d.cells, c)
}

func (d *document) literal(word string) uint32 {
	if !strings.HasPrefix(d.text[d.at:], word) {
		d.fail()
		return 0
	}
	d.at += len(word)
	return uint32(d.at)
}

// container parses an array or object and its contents.
func (d *document) container(c cell, closing byte) {
	if d.depth++; d.depth > maxJSONDepth {
		d.fail()
		return
	}
	at := len(d.cells)
	d.cells = append(d.cells, c)
	count := uint32(0)
	d.at++
	d.space()
	for more := d.peek() != closing; more && !d.failed; count++ {
		d.element(closing)
		d.space()
		if more = d.peek() == ','; more {
			d.at++
			d.space()
		}
	}
	if d.peek() != closing {
		d.fail()
		return
	}
	d.at++
	d.depth--
	if closing == '}' && count > 1 {
		count -= d.shadow(uint32(at), count)
	}
	opened := &d.cells[at]
	opened.hi, opened.end, opened.count = uint32(d.at), uint32(len(d.cells)), count
}

// element parses an element of an array, or a member of an object.
func (d *document) element(closing byte) {
	var c cell
	if closing == '}' {
		if d.peek() != '"' {
			d.fail()
			return
		}
		c.nameLo, c.nameHi, c.nameEscaped = d.quoted()
		d.space()
		if d.peek() != ':' {
			d.fail()
			return
		}
		d.at++
		d.space()
	}
	d.value(c)
}

// quoted parses a text and returns its position, without its quotes.
func (d *document) quoted() (lo, hi uint32, escaped bool) {
	start := d.at + 1
	long := start + longRun
	for i := start; i < len(d.text); i++ {
		if i >= long {
			if i = plainEnd(d.text, i); i >= len(d.text) {
				break
			}
			long = i + longRun
		}
		switch b := d.text[i]; {
		case b == '"':
			d.at = i + 1
			return uint32(start), uint32(i), escaped
		case b == '\\':
			escaped = true
			n := escapeBytes(d.text[i:])
			if n == 0 {
				d.fail()
				return 0, 0, false
			}
			i += n - 1
		case b < ' ':
			d.fail()
			return 0, 0, false
		}
	}
	d.fail()
	return 0, 0, false
}

// longRun is the number of bytes after which quoted calls plainEnd, which isn't worth its cost for
// short names and texts.
const longRun = 16

// plainEnd returns the first position from i on that isn't known to be inside of a text: that of a
// quote, of a backslash, of a control character, or of one of the last seven bytes. It looks at
// eight bytes at once: a byte less than n borrows, when n is subtracted from it, into a high bit
// that it didn't have. A borrow can reach into the bytes behind the first such byte, but not before
// it.
func plainEnd(s string, i int) int {
	const (
		each  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	for ; i+8 <= len(s); i += 8 {
		b := s[i : i+8]
		word := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		quote, backslash := word^each*'"', word^each*'\\'
		found := (quote-each)&^quote | (backslash-each)&^backslash | (word-each*' ')&^word
		if found &= highs; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	return i
}

// escapeBytes returns the length of the escape that s begins with; 0 if s begins with none.
func escapeBytes(s string) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(s); ok {
			return 6
		}
	}
	return 0
}

// hex4 returns the code of the escape \uXXXX that s begins with.
func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var r rune
	for i := 2; i < 6; i++ {
		switch b := s[i]; {
		case '0' <= b && b <= '9':
			r = r<<4 | rune(b-'0')
		case 'a' <= b && b <= 'f':
			r = r<<4 | rune(b-'a'+10)
		case 'A' <= b && b <= 'F':
			r = r<<4 | rune(b-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

func (d *document) number() {
	if d.peek() == '-' {
		d.at++
	}
	if d.peek() == '0' {
		d.at++
	} else {
		d.digits()
	}
	if d.peek() == '.' {
		d.at++
		d.digits()
	}
	if b := d.peek(); b == 'e' || b == 'E' {
		d.at++
		if b := d.peek(); b == '+' || b == '-' {
			d.at++
		}
		d.digits()
	}
}

// digits parses one or more digits.
func (d *document) digits() {
	start := d.at
	for b := d.peek(); '0' <= b && b <= '9'; b = d.peek() {
		d.at++
	}
	if d.at == start {
		d.fail()
	}
}

// unescaped returns a text without its escapes. An unpaired surrogate becomes U+FFFD.
func (d *document) unescaped(lo, hi uint32, escaped bool) string {
	s := d.text[lo:hi]
	if !escaped {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			b = append(b, s[i])
			i++
			continue
		}
		if s[i+1] != 'u' {
			b = append(b, unescape[s[i+1]])
			i += 2
			continue
		}
		r, _ := hex4(s[i:])
		i += 6
		if utf16.IsSurrogate(r) {
			low, _ := hex4(s[i:])
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				i += 6
			}
		}
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}

var unescape = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// manyMembers is the number of members from which shadow no longer compares each pair.
const manyMembers = 16

// shadow marks those members of the object at a cell that have the name of a later one, and returns
// their number.
func (d *document) shadow(at, count uint32) (shadowed uint32) {
	d.names = d.names[:0]
	escaped := false
	for i := at + 1; i < uint32(len(d.cells)); i = d.cells[i].end {
		d.names = append(d.names, i)
		escaped = escaped || d.cells[i].nameEscaped
	}
	switch {
	case count < manyMembers:
		return d.shadowFew()
	case escaped:
		return d.shadowEscaped()
	}
	slices.SortFunc(d.names, func(a, b uint32) int {
		if order := strings.Compare(d.name(&d.cells[a]), d.name(&d.cells[b])); order != 0 {
			return order
		}
		return cmp.Compare(a, b)
	})
	for i := range d.names[1:] {
		shadowed += d.hide(d.names[i], d.names[i+1])
	}
	return shadowed
}

func (d *document) shadowFew() (shadowed uint32) {
	for i, earlier := range d.names {
		for _, later := range d.names[i+1:] {
			if hidden := d.hide(earlier, later); hidden > 0 {
				shadowed += hidden
				break
			}
		}
	}
	return shadowed
}

// shadowEscaped is shadow for names with escapes. It unescapes each name only once, because that
// allocates.
func (d *document) shadowEscaped() (shadowed uint32) {
	last := make(map[string]uint32, len(d.names))
	for _, i := range d.names {
		name := d.name(&d.cells[i])
		if earlier, ok := last[name]; ok {
			d.cells[earlier].shadowed = true
			shadowed++
		}
		last[name] = i
	}
	return shadowed
}

// hide marks the earlier of two members as shadowed if they have the same name, and returns the
// number of members it marked.
func (d *document) hide(earlier, later uint32) uint32 {
	a, b := &d.cells[earlier], &d.cells[later]
	if !a.nameEscaped && !b.nameEscaped && a.nameHi-a.nameLo != b.nameHi-b.nameLo {
		return 0
	}
	if d.name(a) != d.name(b) {
		return 0
	}
	a.shadowed = true
	return 1
}
