package dynamodb

import (
	"strconv"
	"sync"
)

// A kind is what a JSON value is.
type kind uint8

// The kinds of JSON values. absent is no value at all.
const (
	absent kind = iota
	null
	boolean
	number
	text
	array
	object
)

// maxPooledCells is up to how many cells a document may have to be used again.
const maxPooledCells = 1 << 14

// cellBytes is how large a cell is, and valueBytes about how large what is made of it.
const (
	cellBytes  = 28
	valueBytes = 56
)

// smallDocument is up to how many bytes a document is parsed without counting its values first.
const smallDocument = 4 << 10

// maxCells is how many values a document may have: more than 25 items of 400 KB in any request of a
// real program.
const maxCells = 2 << 20

// A cell is a value in a document: for an array or object, what is in it follows it.
type cell struct {
	lo, hi         uint32 // of the document: a text's bytes between its quotes; else all of the value
	nameLo, nameHi uint32 // of a member's name, between its quotes
	end            uint32 // the cell behind this one and all that is in it
	count          uint32 // how many elements or members, without shadowed ones
	kind           kind
	escaped        bool // the text has escapes
	nameEscaped    bool
	shadowed       bool // a later member of the object has the same name
}

// A document is a parsed JSON text. Its nodes are valid until release.
type document struct {
	text   string
	cells  []cell
	names  []uint32 // scratch of shadow
	at     int      // where the parser is in text
	depth  int
	failed bool
}

// A node is a value in a document. The zero node is absent. Texts that it returns share the
// document's text, which isn't reused, and so may be kept.
type node struct {
	doc *document
	at  uint32
}

var documents = sync.Pool{New: func() any { return new(document) }}

// release gives the document's memory back. Its nodes must not be used any more.
func (d *document) release() {
	d.text = ""
	if cap(d.cells) <= maxPooledCells {
		documents.Put(d)
	}
}

// root is the document's value.
func (d *document) root() node { return node{doc: d} }

func (n node) cell() *cell { return &n.doc.cells[n.at] }

func (n node) kind() kind {
	if n.doc == nil {
		return absent
	}
	return n.cell().kind
}

// text is a text without its escapes, or a number's digits as they were written; "" of others.
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

// int is a number as an integer; what is behind its point is cut off, and what is too large is the
// largest.
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

// len is how many elements or members there are.
func (n node) len() int {
	if k := n.kind(); k != array && k != object {
		return 0
	}
	return int(n.cell().count)
}

// cells is how many values there are in the value, itself among them.
func (n node) cells() int {
	if n.doc == nil {
		return 0
	}
	return int(n.cell().end - n.at)
}

// raw is the value as it was written.
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
// returns false. Unlike get it shows members that are null.
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

// get returns an object's member. It is absent if there is none or if it is null.
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

// has says whether an object has a member that isn't null.
func (n node) has(name string) bool { return n.get(name).kind() != absent }

func (d *document) name(c *cell) string { return d.unescaped(c.nameLo, c.nameHi, c.nameEscaped) }
