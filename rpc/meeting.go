package rpc

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"holdfast"
)

// A meeting is what a node knows of the cluster that it helps to form, without clock and network:
// views of other nodes go in, and its own come out.
//
// It only ever adds members to those that it knows, until there are as many as expected. It is then
// prepared: it has written the list to its disk, and takes part in no other. So two lists can't
// both be formed: a list is formed when all that are on it are prepared with it.
//
//	A gathering {A}     B gathering {B}      C gathering {B, C}
//	1. A meets B:       both know {A, B}
//	2. B meets C:       B and C know all, are prepared, and say so
//	3. A meets B:       A is prepared; it knows that of B, and B knows it of A once they meet again
//	4. A meets C:       A knows that all are prepared: it has formed the cluster
//	5. B meets A:       A says that it is formed, so B has formed it, too
type meeting struct {
	self    Member
	name    string
	expect  int
	prepare func(Formed) error // writes to the disk
	report  func(Progress)

	mu        sync.Mutex // guards all below
	phase     phase
	members   []Member             // by their addresses
	met       []Member             // other nodes whose views were taken
	unfit     []Unfit              // by their addresses
	confirmed map[Incarnation]bool // those of which this node knows that they are prepared
	done      chan struct{}        // closed when phase is formed
}

func newMeeting(o *MeetOptions) *meeting {
	m := &meeting{self: o.Self, name: o.Name, expect: o.Expect, prepare: o.Prepare, members: []Member{o.Self},
		confirmed: map[Incarnation]bool{o.Self.Incarnation: true}, done: make(chan struct{})}
	if o.Prepared != nil {
		m.phase, m.members = prepared, o.Prepared.Members
	}
	if m.report = o.Progress; m.report == nil {
		m.report = func(Progress) {}
	}
	return m
}

// view returns what the node says.
func (m *meeting) view() view {
	m.mu.Lock()
	defer m.mu.Unlock()
	return view{phase: m.phase, name: m.name, expect: m.expect, self: m.self, members: slices.Clone(m.members)}
}

// formed returns what was formed. done is closed.
func (m *meeting) formed() Formed { return form(m.name, m.view().members) }

// take takes the view of another node. The error is Refused if both can't be of one cluster: it
// says what was found. Otherwise it is that of prepare.
func (m *meeting) take(v *view) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v.self == m.self {
		return nil // itself, by its own address
	}
	if err := m.check(v); err != nil {
		return err
	}
	members, err := m.with(v)
	if err != nil {
		return err
	}
	if m.phase == gathering && len(members) == m.expect {
		if err := m.prepare(form(m.name, members)); err != nil {
			return err
		}
		m.phase = prepared
	}
	known := len(m.members)
	m.members = members
	if !slices.Contains(m.met, v.self) {
		m.met, known = append(m.met, v.self), 0
	}
	if known != len(members) {
		m.reportProgress()
	}
	if m.phase != prepared || v.phase == gathering {
		return nil
	}
	m.confirmed[v.self.Incarnation] = true
	if v.phase == formed || len(m.confirmed) == m.expect {
		m.phase = formed
		close(m.done)
	}
	return nil
}

// reportProgress reports how far the node is. mu is held.
func (m *meeting) reportProgress() {
	m.report(Progress{Known: slices.Clone(m.members), Met: slices.Clone(m.met), Unfit: slices.Clone(m.unfit)})
}

// differ notes that the node at an address doesn't fit. It returns an error, Refused, if that is so
// of more nodes than fit, this one included: then it is this one that doesn't.
func (m *meeting) differ(addr string, why error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, found := m.searchUnfit(addr)
	if !found {
		m.unfit = slices.Insert(m.unfit, at, Unfit{addr, why})
		m.reportProgress()
	}
	if len(m.unfit) <= 1+len(m.met) {
		return nil
	}
	return refusal("this node doesn't fit %d of %d others: %w", len(m.unfit), len(m.unfit)+len(m.met), why)
}

// fits notes that the node at an address fits. It may have been started again since it didn't.
func (m *meeting) fits(addr string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, found := m.searchUnfit(addr); found {
		m.unfit = slices.Delete(m.unfit, at, at+1)
		m.reportProgress()
	}
}

func (m *meeting) searchUnfit(addr string) (int, bool) {
	return slices.BinarySearchFunc(m.unfit, addr, func(u Unfit, addr string) int { return cmp.Compare(u.Addr, addr) })
}

// check returns an error unless the view is of a node with the same cluster in mind. mu is held.
func (m *meeting) check(v *view) error {
	switch {
	case v.name != m.name:
		return refusal("the node at %s forms the cluster %q, and the node at %s the cluster %q", v.self.Addr, v.name,
			m.self.Addr, m.name)
	case v.expect != m.expect:
		return refusal("the node at %s expects %d nodes in the cluster %q, and the node at %s %d", v.self.Addr,
			v.expect, m.name, m.self.Addr, m.expect)
	case v.phase != gathering && len(v.members) != v.expect:
		return refusal("the node at %s knows %d nodes, and calls that all %d", v.self.Addr, len(v.members), v.expect)
	case !slices.Contains(v.members, v.self):
		return refusal("the node at %s doesn't know itself", v.self.Addr)
	}
	return nil
}

// with returns the members with those of a view. mu is held.
func (m *meeting) with(v *view) ([]Member, error) {
	if v.phase == formed {
		return m.joined(v)
	}
	members := slices.Clone(m.members)
	for _, other := range v.members {
		if slices.Contains(members, other) {
			continue
		}
		for _, known := range members {
			if err := conflict(known, other); err != nil {
				return nil, err
			}
		}
		members = append(members, other)
	}
	slices.SortFunc(members, byAddr)
	if len(members) > m.expect {
		return nil, refusal("the cluster %q is to have %d nodes, and %d were found: %s", m.name, m.expect, len(members),
			names(members))
	}
	return members, nil
}

// joined returns the members of a cluster that was formed, if this node is one of them. What it had
// heard of others before is void, unless it had prepared for that. mu is held.
func (m *meeting) joined(v *view) ([]Member, error) {
	if !slices.Contains(v.members, m.self) {
		return nil, errStranger(m.name, v.members, m.self)
	}
	if m.phase != gathering && !slices.Equal(v.members, m.members) {
		return nil, refusal("the node at %s has formed the cluster %q of %s, and the node at %s is prepared for one "+
			"of %s", v.self.Addr, m.name, names(v.members), m.self.Addr, names(m.members))
	}
	return v.members, nil
}

// conflict returns an error if two nodes can't both be members.
func conflict(a, b Member) error {
	switch {
	case a.Addr == b.Addr:
		return refusal("two nodes are at %s, or one whose disk was emptied: incarnations %x and %x", a.Addr,
			a.Incarnation, b.Incarnation)
	case a.Incarnation == b.Incarnation:
		return refusal("incarnation %x is at %s and at %s: one disk was copied, or its node's address has changed",
			a.Incarnation, a.Addr, b.Addr)
	}
	return nil
}

// answerView returns what a node of a cluster says to one that isn't of it yet.
func (o *Options) answerView(v *view) (view, error) {
	if o.Formed != nil && slices.Contains(o.Formed.Members, v.self) {
		return o.Formed.answer(o.Node, v)
	}
	switch {
	case o.Formed != nil && v.name != o.Formed.Name:
		return view{}, o.Formed.errName(v)
	case o.Stranger != nil:
		return view{}, o.Stranger(v.name, v.self)
	}
	if o.Formed == nil {
		return view{}, refusal("node %d is one of a cluster that was formed before it has joined", o.Node)
	}
	return o.Formed.answer(o.Node, v)
}

func (f *Formed) errName(v *view) error {
	return refusal("the cluster here is %q, and the node at %s forms %q", f.Name, v.self.Addr, v.name)
}

// answer returns what a node of the cluster says to one that isn't formed.
func (f *Formed) answer(self holdfast.NodeID, v *view) (view, error) {
	switch {
	case v.name != f.Name:
		return view{}, f.errName(v)
	case !slices.Contains(f.Members, v.self):
		return view{}, errStranger(f.Name, f.Members, v.self)
	case v.expect != len(f.Members):
		return view{}, refusal("the cluster %q has %d nodes, and the node at %s expects %d", f.Name, len(f.Members),
			v.self.Addr, v.expect)
	}
	return view{
		phase: formed, name: f.Name, expect: len(f.Members), self: f.Members[self-1], members: f.Members,
	}, nil
}

// errStranger is for a node that isn't one of a cluster's.
func errStranger(name string, members []Member, who Member) error {
	at := ""
	if i := slices.IndexFunc(members, func(m Member) bool { return m.Addr == who.Addr }); i >= 0 {
		at = fmt.Sprintf("; node %d had that address", i+1)
	}
	return refusal(
		"the cluster %q was formed of %s: the node at %s with incarnation %x isn't one of them, or its disk "+
			"was emptied%s", name, names(members), who.Addr, who.Incarnation, at)
}

func refusal(format string, args ...any) error {
	return holdfast.Errorf(holdfast.Refused, format, args...)
}

// names returns members in words.
func names(members []Member) string {
	var b []byte
	for i, m := range members {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, m.String()...)
	}
	return string(b)
}
