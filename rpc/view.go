package rpc

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"net"
	"slices"

	"holdfast"
)

// An Incarnation is the life of a node's disk: 16 random bytes that were written to it when it was
// empty.
type Incarnation [16]byte

// A Member is a node of a cluster that was formed, or is being formed.
type Member struct {
	Addr        string // host:port, at which other nodes reach it
	Incarnation Incarnation
}

// Formed is what the nodes of a cluster have agreed on. The ID of a node is one more than its place
// among Members.
type Formed struct {
	Cluster [16]byte
	Name    string
	Members []Member // by their addresses
}

// form returns what nodes agree on that know each other. members are by their addresses.
func form(name string, members []Member) Formed {
	sum := sha256.New()
	sum.Write([]byte("holdfast cluster\x00" + name + "\x00"))
	for _, m := range members {
		sum.Write(m.Incarnation[:])
	}
	return Formed{Cluster: [16]byte(sum.Sum(nil)), Name: name, Members: members}
}

// ID returns the ID of the node that has an incarnation; 0: it is no member.
func (f *Formed) ID(of Incarnation) holdfast.NodeID {
	return holdfast.NodeID(1 + slices.IndexFunc(f.Members, func(m Member) bool { return m.Incarnation == of }))
}

// Equal reports whether both are of one cluster.
func (f *Formed) Equal(g *Formed) bool {
	return f.Cluster == g.Cluster && f.Name == g.Name && slices.Equal(f.Members, g.Members)
}

// A phase is how far a node is on its way into a cluster. The numbers are on the wire.
type phase uint8

const (
	gathering phase = iota // it doesn't know all nodes
	prepared               // it knows all, has that on disk, and will never take part with others
	formed                 // it knows that all are prepared with the same members
	phases
)

// A view is what a node says when it meets another: itself, and who it knows.
type view struct {
	phase   phase
	name    string
	expect  int
	self    Member   // as the sender is
	members []Member // that it knows, itself among them if it isn't formed; by their addresses
}

// Limits of a view, so that its form has less than maxViewBytes.
const (
	maxNameBytes = 64
	maxAddrBytes = 255
	maxMembers   = 64
	maxViewBytes = 32 << 10
)

const viewVersion = 1

// bytes returns the form of a view on the wire: see docs/formats.md.
func (v *view) bytes() []byte {
	b := []byte{viewVersion, byte(v.phase), byte(v.expect)}
	b = appendText(b, v.name)
	b = v.self.append(b)
	b = append(b, byte(len(v.members)))
	for i := range v.members {
		b = v.members[i].append(b)
	}
	return b
}

func (m *Member) append(b []byte) []byte { return appendText(append(b, m.Incarnation[:]...), m.Addr) }

func appendText(b []byte, text string) []byte { return append(append(b, byte(len(text))), text...) }

// parseView returns the view of a form, which the other end may have garbled. The error is Invalid.
func parseView(b []byte) (v view, err error) {
	r := viewReader{rest: b}
	if r.byte() != viewVersion {
		return view{}, holdfast.Errorf(holdfast.Invalid, "what a node knows, in an unknown form")
	}
	v.phase, v.expect = phase(r.byte()), int(r.byte())
	v.name = string(r.bytes(int(r.byte())))
	v.self = r.member()
	n := int(r.byte())
	for range min(n, maxMembers) {
		v.members = append(v.members, r.member())
	}
	sorted := slices.IsSortedFunc(v.members, byAddr)
	if r.short || len(r.rest) != 0 || n > maxMembers || v.phase >= phases || !sorted {
		return view{}, holdfast.Errorf(holdfast.Invalid, "what a node knows, garbled")
	}
	if err := checkName(v.name, v.expect); err != nil {
		return view{}, err
	}
	for _, m := range append([]Member{v.self}, v.members...) {
		if err := m.check(); err != nil {
			return view{}, err
		}
	}
	return v, nil
}

// A viewReader reads the parts of a view's form.
type viewReader struct {
	rest  []byte
	short bool // a part was missing
}

func (r *viewReader) bytes(n int) []byte {
	if n > len(r.rest) {
		r.rest, r.short = nil, true
		return nil
	}
	part := r.rest[:n]
	r.rest = r.rest[n:]
	return part
}

func (r *viewReader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *viewReader) member() (m Member) {
	copy(m.Incarnation[:], r.bytes(len(m.Incarnation)))
	m.Addr = string(r.bytes(int(r.byte())))
	return m
}

func byAddr(a, b Member) int {
	return cmp.Or(cmp.Compare(a.Addr, b.Addr), bytes.Compare(a.Incarnation[:], b.Incarnation[:]))
}

// check returns an error unless the member can be one.
func (m *Member) check() error {
	_, port, err := net.SplitHostPort(m.Addr)
	if err != nil || len(m.Addr) > maxAddrBytes || port == "" || port == "0" {
		return holdfast.Errorf(holdfast.Invalid, "a node can't be reached at %q", m.Addr)
	}
	if binary.LittleEndian.Uint64(m.Incarnation[:8])|binary.LittleEndian.Uint64(m.Incarnation[8:]) == 0 {
		return holdfast.Errorf(holdfast.Invalid, "the node at %s has no incarnation", m.Addr)
	}
	return nil
}

func checkName(name string, expect int) error {
	if name == "" || len(name) > maxNameBytes {
		return holdfast.Errorf(holdfast.Invalid, "a cluster's name has 1 to %d bytes", maxNameBytes)
	}
	if expect < 1 || expect > maxMembers {
		return holdfast.Errorf(holdfast.Invalid, "a cluster has 1 to %d nodes, not %d", maxMembers, expect)
	}
	return nil
}
