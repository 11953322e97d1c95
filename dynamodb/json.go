package dynamodb

import (
	"strconv"
	"sync"
)

// A kind is the type of a JSON value.
type kind uint8

// The kinds of JSON values. absent means that there is no value.
const (
	absent kind = iota
	null
	boolean
	number
	text
	array
	object
)

// maxPooledCells is the most cells that a document may have for its memory to be reused.
const maxPooledCells = 1 << 14

// cellBytes is the size of a cell, and valueBytes about the size of what is made from it.
const (
	cellBytes  = 28
	valueBytes = 56
)

// smallDocument is the length in bytes up to which a document is parsed without counting its values
// first.
const smallDocument = 4 << 10

// maxCells is the most values that a document may have. It is more than 25 items of 400 KB have in
// the requests of real programs.
const maxCells = 2 << 20

// A cell is a value in a document. The cells of an array's or object's contents follow its own.
type cell struct {
	lo, hi         uint32 // range in the document: a text without its quotes, any other value whole
	nameLo, nameHi uint32 // range of a member's name, without its quotes
	end            uint32 // index of the cell after this value and its contents
	count          uint32 // number of elements or members, without shadowed ones
	kind           kind
	escaped        bool // the text contains escapes
	nameEscaped    bool
	shadowed       bool // a later member of the object has the same name
}

// A document is a parsed JSON text. Its nodes are valid until release.
type document struct {
	text   string
	cells  []cell
	names  []uint32 // scratch memory of shadow
	at     int      // the parser's position in text
	depth  int
	failed bool
}

// A node is a value in a document. The zero node is absent. Texts that it returns are substrings of
// the document's text. That text is never reused, so they may be kept.
type node struct {
	doc *document
	at  uint32
}

var documents = sync.Pool{New: func() any { return new(document) }}

// release returns the document's memory for reuse. Its nodes must not be used any more.
func (d *document) release() {
	d.text = ""
	if cap(d.cells) <= maxPooledCells {
		documents.Put(d)
	}
}

// root returns the document's value.
func (d *document) root() node { return node{doc: d} }

func (n node) cell() *cell { return &n.doc.cells[n.at] }

func (n node) kind() kind {
	if n.doc == nil {
		return absent
	}
	return n.cell().kind
}

// text returns a text without its escapes, or a number's digits as they were written; "" for other
// kinds.
func (n node) text() string {
	switch n.kind() {
	case text:
		c := n.cell()
		return n.doc.unescaped(c.lo, c.hi, c.escaped)
	case number:
		return n.raw()
	}
	return ""
}

func (n node) bool() bool {
	return n.kind() == boolean && n.doc.text[n.cell().lo] == 't'
}

// int returns a number as an integer. Decimals are cut off, and a number that is too large becomes
// the largest integer.
func (n node) int() int64 {
	s := n.text()
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		return v
	}
	f, _ := strconv.ParseFloat(s, 64)
	const limit = 1<<63 - 1
	switch {
	case f >= limit:
		return limit
	case f <= -limit-1:
		return -limit - 1
	}
	return int64(f)
}

// len returns the number of elements or members.
func (n node) len() int {
	if k := n.kind(); k != array && k != object {
		return 0
	}
	return int(n.cell().count)
}

// cells returns the number of values in the value, including itself.
func (n node) cells() int {
	if n.doc == nil {
		return 0
	}
	return int(n.cell().end - n.at)
}

// raw returns the value's JSON as it was written.
func (n node) raw() string {
	if n.doc == nil {
		return ""
	}
	c := n.cell()
	if c.kind == text {
		return n.doc.text[c.lo-1 : c.hi+1]
	}
	return n.doc.text[c.lo:c.hi]
}

// each calls f for each element, or each member with its name, in the order of the text, until f
// returns false. Unlike get, it includes members that are null.
func (n node) each(f func(name string, v node) bool) {
	if k := n.kind(); k != array && k != object {
		return
	}
	for at, end := n.at+1, n.cell().end; at < end; {
		c := &n.doc.cells[at]
		if !c.shadowed && !f(n.doc.name(c), node{n.doc, at}) {
			return
		}
		at = c.end
	}
}

// get returns an object's member; absent if it doesn't exist or is null.
func (n node) get(name string) node {
	if n.kind() != object {
		return node{}
	}
	for at, end := n.at+1, n.cell().end; at < end; {
		c := &n.doc.cells[at]
		if !c.shadowed && n.doc.name(c) == name {
			if c.kind == null {
				return node{}
			}
			return node{n.doc, at}
		}
		at = c.end
	}
	return node{}
}

// has reports whether an object has a member that isn't null.
func (n node) has(name string) bool { return n.get(name).kind() != absent }

func (d *document) name(c *cell) string { return d.unescaped(c.nameLo, c.nameHi, c.nameEscaped) }
