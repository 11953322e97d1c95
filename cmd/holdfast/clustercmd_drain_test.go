package main

import (
	"testing"

	"holdfast/node"
)

func TestDrainText(t *testing.T) {
	for want, is := range map[string]node.DrainStatus{
		"node 2 is drained no more\n": {Changed: true},
		"node 2 isn't drained\n":      {},
		"node 2 is drained already: it leads nothing, and keeps its votes in 9 of 9 groups\n": {
			Drained: true, Done: true, Votes: 9, Groups: 9},
		"node 2 is drained now: it leads nothing, and keeps its votes in 8 of 9 groups\n": {
			Drained: true, Changed: true, Done: true, Votes: 8, Groups: 9},
		"node 2 still leads 3 groups: node 1 can't lead now\n": {
			Drained: true, Leads: 3, Why: "nothing was changed: node 1 can't lead now"},
	} {
		is.Node = 2
		if got := drainText(&is); got != want {
			t.Errorf("%+v: got %q; want %q", is, got, want)
		}
	}
}
