package rpc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"holdfast"
)

func testMember(i int) Member {
	return Member{Addr: fmt.Sprintf("127.0.0.1:%d", 7100+i), Incarnation: Incarnation{'n', byte(i)}}
}

// A meeter is a node of a test without network: what it has on disk, and what runs.
type meeter struct {
	t        *testing.T
	self     Member
	expect   int
	prepared *Formed // on disk
	formed   *Formed // likewise
	meeting  *meeting
}

func (x *meeter) start() {
	x.meeting = newMeeting(&MeetOptions{
		Name: "test", Expect: x.expect, Self: x.self, Prepared: x.prepared, Prepare: func(f Formed) error {
			if x.prepared != nil && !x.prepared.Equal(&f) {
				x.t.Errorf("%v is prepared for %v, and then for %v", x.self, *x.prepared, f)
			}
			x.prepared = &f
			return nil
		},
	})
}

// answer answers a view as the node does, and notes whether it has formed the cluster.
func (x *meeter) answer(v *view) (view, error) {
	if x.formed != nil {
		return x.formed.answer(x.formed.ID(x.self.Incarnation), v)
	}
	err := x.meeting.take(v)
	answer := x.meeting.view()
	x.note()
	return answer, err
}

func (x *meeter) note() {
	if x.formed == nil && x.meeting.view().phase == formed {
		f := x.meeting.formed()
		x.formed = &f
	}
}

// Nodes that meet in any order, of which each may be killed at any time, and whose answers may be
// lost, form one cluster, and only when all are prepared for it.
func TestMeetingsInAnyOrder(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 1))
		n := 2 + rng.IntN(4)
		all := make([]*meeter, n)
		for i := range all {
			all[i] = &meeter{t: t, self: testMember(i), expect: n}
			all[i].start()
		}
		for step := 0; slices.ContainsFunc(all, func(x *meeter) bool { return x.formed == nil }); step++ {
			if step == 10_000 {
				t.Fatalf("seed %d: no cluster after %d meetings", seed, step)
			}
			a, b := all[rng.IntN(n)], all[rng.IntN(n)]
			if a.formed != nil {
				continue
			}
			if rng.IntN(5) == 0 {
				a.start()
				continue
			}
			mine := a.meeting.view()
			v, err := parseView(mine.bytes())
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			answer, err := b.answer(&v)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if rng.IntN(4) == 0 {
				continue // the answer is lost
			}
			if err := a.meeting.take(&answer); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			a.note()
			for _, x := range all {
				if x.formed != nil && slices.ContainsFunc(all, func(y *meeter) bool {
					return y.prepared == nil || !y.prepared.Equal(x.formed)
				}) {
					t.Fatalf("seed %d: %v has formed %v before all were prepared", seed, x.self, *x.formed)
				}
			}
		}
		for i, x := range all {
			if got := x.formed.ID(x.self.Incarnation); !x.formed.Equal(all[0].formed) || got != holdfast.NodeID(i+1) {
				t.Errorf("seed %d: node %d has formed %v with the ID %d; the first %v", seed, i, *x.formed, got,
					*all[0].formed)
			}
		}
	}
}

// Whatever the state of a node, it refuses those that can't be of its cluster, and names them.
func TestMeetingRefuses(t *testing.T) {
	base := func(i int) view {
		return view{name: "test", expect: 3, self: testMember(i), members: []Member{testMember(i)}}
	}
	emptied := testMember(1)
	emptied.Incarnation = Incarnation{'x'}
	moved := testMember(1)
	moved.Addr = "127.0.0.1:7999"
	with := func(m Member) view { return view{name: "test", expect: 3, self: m, members: []Member{m}} }
	whole := []Member{testMember(0), testMember(1), testMember(2)}
	for name, c := range map[string]struct {
		change func(v *view)
		says   string
	}{
		"another name":      {func(v *view) { v.name = "other" }, `"other"`},
		"another number":    {func(v *view) { v.expect = 5 }, "5"},
		"one too many":      {func(v *view) { *v = base(3) }, "7103"},
		"an emptied disk":   {func(v *view) { *v = with(emptied) }, "emptied"},
		"a copied disk":     {func(v *view) { *v = with(moved) }, "7999"},
		"not with itself":   {func(v *view) { v.members = []Member{testMember(2)} }, "itself"},
		"prepared too soon": {func(v *view) { v.phase = prepared }, "1 nodes"},
	} {
		for _, phase := range []phase{gathering, prepared, formed} {
			v := base(1)
			c.change(&v)
			x := &meeter{t: t, self: testMember(0), expect: 3}
			f := form("test", whole)
			switch {
			case phase == gathering && name == "one too many":
				continue // there may be a place
			case phase == formed && (name == "not with itself" || name == "prepared too soon"):
				continue // its identity is all that counts
			case phase == formed:
				x.formed = &f
			case phase == prepared:
				x.prepared = &f
			}
			x.start()
			if phase == gathering {
				known := base(1)
				if err := x.meeting.take(&known); err != nil {
					t.Fatal(err)
				}
			}
			was := x.meeting.view()
			_, err := x.answer(&v)
			if !errors.Is(err, holdfast.Refused) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s, in phase %d: got %v; want it refused, with %s", name, phase, err, c.says)
			}
			if got := x.meeting.view(); got.phase != was.phase || !slices.Equal(got.members, was.members) {
				t.Errorf("%s, in phase %d: the node now knows %v; want %v", name, phase, got.members, was.members)
			}
		}
	}
}

// A node takes what was formed only if it is one of the members, and not prepared for another.
func TestMeetingJoinsWhatWasFormed(t *testing.T) {
	whole := []Member{testMember(0), testMember(1), testMember(2)}
	f := form("test", whole)
	v := view{phase: formed, name: "test", expect: 3, self: testMember(1), members: whole}

	x := &meeter{t: t, self: testMember(0), expect: 3}
	x.start()
	stray := view{name: "test", expect: 3, self: testMember(7), members: []Member{testMember(7)}}
	if err := x.meeting.take(&stray); err != nil {
		t.Fatal(err)
	}
	if _, err := x.answer(&v); err != nil || x.formed == nil || !x.formed.Equal(&f) || x.prepared == nil {
		t.Errorf("got %v, formed %v; want %v", err, x.formed, f)
	}
	for name, y := range map[string]*meeter{
		"no member":           {self: testMember(4), expect: 3},
		"prepared for others": {self: testMember(0), expect: 3},
	} {
		y.t = t
		if name != "no member" {
			other := form("test", []Member{testMember(0), testMember(1), testMember(3)})
			y.prepared = &other
		}
		y.start()
		if _, err := y.answer(&v); !errors.Is(err, holdfast.Refused) || y.formed != nil {
			t.Errorf("%s: got %v, formed %v; want it refused", name, err, y.formed)
		}
	}
}

// A node whose disk fails isn't prepared, and says so to nobody.
func TestMeetingWithABrokenDisk(t *testing.T) {
	broken := errors.New("the disk is broken")
	m := newMeeting(&MeetOptions{Name: "test", Expect: 2, Self: testMember(0),
		Prepare: func(Formed) error { return broken }})
	v := view{name: "test", expect: 2, self: testMember(1), members: []Member{testMember(1)}}
	if err := m.take(&v); !errors.Is(err, broken) {
		t.Errorf("got %v; want %v", err, broken)
	}
	if got := m.view(); got.phase != gathering {
		t.Errorf("its phase is %d; want that it gathers", got.phase)
	}
}

// FuzzView parses garbled views. One that is parsed has the same form again.
func FuzzView(f *testing.F) {
	both := []Member{testMember(0), testMember(1)}
	v := view{phase: prepared, name: "test", expect: 2, self: testMember(0), members: both}
	f.Add(v.bytes())
	f.Add([]byte{viewVersion, 0, 200})
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := parseView(raw)
		if err != nil {
			return
		}
		if got := v.bytes(); string(got) != string(raw) || len(got) > maxViewBytes {
			t.Errorf("got %x; want %x", got, raw)
		}
		m := newMeeting(&MeetOptions{Name: v.name, Expect: v.expect, Self: testMember(9),
			Prepare: func(Formed) error { return nil }})
		_ = m.take(&v)
		if got := m.view(); len(got.members) > got.expect || !slices.Contains(got.members, testMember(9)) ||
			got.phase != gathering && len(got.members) != got.expect {
			t.Errorf("the node knows %v of %d, in phase %d", got.members, got.expect, got.phase)
		}
	})
}
