package node

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"holdfast"
	"holdfast/catalog"
	"holdfast/group"
)

// A modelGroup is a group's members, as its leader changes them. Only learners that have been there for a
// while can be promoted.
type modelGroup struct {
	group.Members
	caughtUp map[holdfast.NodeID]bool
}

// change makes a change, and reports whether the group takes it.
func (g *modelGroup) change(c group.Change) bool {
	drop := func(list *[]holdfast.NodeID, id holdfast.NodeID) {
		*list = slices.DeleteFunc(slices.Clone(*list), func(x holdfast.NodeID) bool { return x == id })
	}
	insert := func(list *[]holdfast.NodeID, id holdfast.NodeID) {
		*list = append(slices.Clone(*list), id)
		slices.Sort(*list)
	}
	if c.Promote != 0 && !g.caughtUp[c.Promote] {
		return false
	}
	if c.Add != 0 {
		insert(&g.Learners, c.Add)
	}
	if c.Promote != 0 {
		drop(&g.Learners, c.Promote)
		insert(&g.Voters, c.Promote)
	}
	if c.Remove != 0 {
		drop(&g.Learners, c.Remove)
		drop(&g.Voters, c.Remove)
		insert(&g.Removed, c.Remove)
	}
	return true
}

// Whatever nodes are added, replaced and removed, and when: each change that a group's members get is one
// that the group can take, at no time do fewer nodes vote than shards have replicas, and in the end those
// vote that are to, and all others learn.
func TestMembersFollowTheNodes(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 11))
		var formed []catalog.Node
		size := []int{1, 3, 5}[rng.IntN(3)]
		for id := range size {
			formed = append(formed, catalog.Node{ID: holdfast.NodeID(id + 1), Address: fmt.Sprint(id),
				Incarnation: fmt.Sprint(id)})
		}
		n := catalog.FormedBy(formed)
		g := &modelGroup{caughtUp: map[holdfast.NodeID]bool{}}
		g.Voters = n.Members()
		step := func() (any bool) {
			for _, c := range stepsOf(n, &g.Members) {
				if c.Add != 0 && (g.Has(c.Add) || slices.Contains(g.Removed, c.Add)) ||
					c.Promote != 0 && !g.Learns(c.Promote) || c.Remove != 0 && !g.Has(c.Remove) ||
					c.Promote != 0 && n.Node(c.Promote).Leaving {
					t.Fatalf("seed %d: got %+v for %+v of %+v", seed, c, g.Members, n.All)
				}
				if g.change(c) {
					any = true
					break
				}
			}
			if len(g.Voters) < size {
				t.Fatalf("seed %d: got the voters %v; want %d at any time", seed, g.Voters, size)
			}
			return any
		}
		for event := range 60 {
			ids := n.Members()
			id := ids[rng.IntN(len(ids))]
			fresh := catalog.Node{Address: fmt.Sprint("a", event), Incarnation: fmt.Sprint("i", event)}
			next, err := n, error(nil)
			switch rng.IntN(8) {
			case 0:
				next, err = n.Add(fresh)
			case 1:
				next, err = n.Leave(id, 9)
			case 2:
				next, err = n.Replace(id, fresh, 9)
			case 3:
				if !slices.Contains(g.Voters, id) { // as noteRemoved does
					next = n.Remove(id)
				}
			case 4:
				g.caughtUp[id] = true
			default:
				step()
			}
			if err == nil {
				n = next
			}
		}
		for _, id := range n.Members() {
			g.caughtUp[id] = true
		}
		for steps := 0; step(); steps++ {
			if steps > 100 {
				t.Fatalf("seed %d: got no end of changes: %+v of %+v", seed, g.Members, n.All)
			}
		}
		votes := n.Voters(n.Replicas())
		for _, id := range n.Members() {
			gone := n.Node(id).Leaving && slices.Contains(g.Removed, id)
			if is := slices.Contains(votes, id); slices.Contains(g.Voters, id) != is || !is && !gone && !g.Learns(id) {
				t.Fatalf("seed %d: got %+v of %+v; want that %v vote, and the others learn", seed, g.Members, n.All,
					votes)
			}
		}
		if len(g.Voters) != size {
			t.Fatalf("seed %d: got the voters %v; want %v", seed, g.Voters, votes)
		}
	}
}
