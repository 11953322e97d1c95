package cluster

import (
	"fmt"
	"testing"

	"holdfast"
)

// A replica is at fault only if a majority of all voters agree without it, whoever leads; learners are
// compared, and don't count for the majority.
func TestCompare(t *testing.T) {
	sum := func(s string) Compared { return Compared{Sum: s} }
	bad := Compared{Unreadable: "a damaged block"}
	three := []holdfast.NodeID{1, 2, 3}
	for _, test := range []struct {
		name   string
		voters []holdfast.NodeID
		found  map[holdfast.NodeID]Compared
		want   string
	}{
		{"all agree", three, map[holdfast.NodeID]Compared{1: sum("a"), 2: sum("a"), 3: sum("a")}, "{[1 2 3] [] false}"},
		{"one differs", three, map[holdfast.NodeID]Compared{1: sum("a"), 2: sum("b"), 3: sum("a")}, "{[1 3] [2] true}"},
		{"the first differs", three, map[holdfast.NodeID]Compared{1: sum("b"), 2: sum("a"), 3: sum("a")},
			"{[2 3] [1] true}"},
		{"all differ", three, map[holdfast.NodeID]Compared{1: sum("a"), 2: sum("b"), 3: sum("c")}, "{[] [] true}"},
		{"two differ, one is away", three, map[holdfast.NodeID]Compared{1: sum("a"), 2: sum("b")}, "{[] [] true}"},
		{"two agree, one is away", three, map[holdfast.NodeID]Compared{1: sum("a"), 3: sum("a")}, "{[1 3] [] false}"},
		{"one alone", three, map[holdfast.NodeID]Compared{2: sum("a")}, "{[] [] false}"},
		{"one can't be read", three, map[holdfast.NodeID]Compared{1: sum("a"), 2: sum("a"), 3: bad},
			"{[1 2] [3] true}"},
		{"two can't be read", three, map[holdfast.NodeID]Compared{1: bad, 2: sum("a"), 3: bad}, "{[] [] true}"},
		{"none can be read", three, map[holdfast.NodeID]Compared{1: bad, 2: bad, 3: bad}, "{[] [] true}"},
		{"a learner differs", three, map[holdfast.NodeID]Compared{1: sum("a"), 2: sum("a"), 4: sum("b")},
			"{[1 2] [4] true}"},
		{"learners agree with a minority", three,
			map[holdfast.NodeID]Compared{1: sum("a"), 2: sum("b"), 4: sum("b"), 5: sum("b")}, "{[] [] true}"},
		{"two of five differ", []holdfast.NodeID{1, 2, 3, 4, 5},
			map[holdfast.NodeID]Compared{1: sum("a"), 2: sum("a"), 3: sum("b"), 4: sum("a"), 5: sum("c")},
			"{[1 2 4] [3 5] true}"},
		{"half of four", []holdfast.NodeID{1, 2, 3, 4},
			map[holdfast.NodeID]Compared{1: sum("a"), 2: sum("a"), 3: sum("b")}, "{[] [] true}"},
		{"nothing", three, nil, "{[] [] false}"},
	} {
		if got := fmt.Sprint(Compare(test.voters, test.found)); got != test.want {
			t.Errorf("%s: got %s; want %s", test.name, got, test.want)
		}
	}
}
