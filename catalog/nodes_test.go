package catalog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"

	"holdfast"
	"holdfast/shard"
)

// threeNodes are those that have formed a cluster.
func threeNodes() *Nodes {
	var all []Node
	for id := range holdfast.NodeID(3) {
		all = append(all, Node{
			ID: id + 1, Address: fmt.Sprintf("10.0.0.%d:7100", id+1), Incarnation: fmt.Sprintf("%032x", id+1),
		})
	}
	return FormedBy(all)
}

func newcomer(n int) Node {
	return Node{Address: fmt.Sprintf("10.0.1.%d:7100", n), Incarnation: fmt.Sprintf("%032x", 100+n)}
}

// The forms of the record are read for ever. That of a cluster to which no node was added is the one that
// earlier builds know.
func TestNodesForm(t *testing.T) {
	n, err := threeNodes().Replace(2, newcomer(4), 259)
	if err != nil {
		t.Fatal(err)
	}
	if n, err = n.Joined(4).Replace(4, newcomer(5), 515); err != nil {
		t.Fatal(err)
	}
	testNodesForm(t, "testdata/nodes-1.json", n)
	for _, id := range []int{6, 7} {
		if n, err = n.Add(newcomer(id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []holdfast.NodeID{1, 3} {
		if n, err = n.Leave(id, 771); err != nil {
			t.Fatal(err)
		}
	}
	testNodesForm(t, "testdata/nodes-2.json", n.Joined(6).Remove(1))
}

func testNodesForm(t *testing.T, path string, n *Nodes) {
	t.Helper()
	got := append(n.encoded().Value, '\n')
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(got) != string(want) {
		t.Fatalf("got %s; want %s, %v", got, want, err)
	}
	var read Nodes
	if err := decode(shard.Record{Name: nodesName, Value: want}, &read); err != nil || !read.same(n) {
		t.Errorf("got %+v, %v; want %+v", read, err, n)
	}
	later := shard.Record{Name: nodesName, Value: []byte(`{"Version":3}`)}
	if err := decode(later, &read); !errors.Is(err, holdfast.Corrupt) {
		t.Errorf("a later version: got %v; want %v", err, holdfast.Corrupt)
	}
}

// A node is replaced once, by one with an ID that no node ever had, and what was before stays as it is.
func TestReplace(t *testing.T) {
	was := threeNodes()
	one, err := was.Replace(2, newcomer(4), 50)
	if err != nil {
		t.Fatal(err)
	}
	two, err := one.Replace(4, newcomer(5), 50) // before all groups have node 4, no shard was drawn
	if err != nil {
		t.Fatal(err)
	}
	three, err := two.Joined(5).Replace(1, newcomer(6), 90)
	if err != nil {
		t.Fatal(err)
	}
	if !was.same(threeNodes()) {
		t.Errorf("got %+v; want that Replace leaves it as it was", was)
	}
	for _, c := range []struct {
		nodes *Nodes
		want  []holdfast.NodeID
		joins []holdfast.NodeID
	}{
		{one, []holdfast.NodeID{1, 3, 4}, []holdfast.NodeID{4}},
		{two, []holdfast.NodeID{1, 3, 5}, []holdfast.NodeID{5}},
		{three, []holdfast.NodeID{3, 5, 6}, []holdfast.NodeID{6}},
		{three.Joined(6), []holdfast.NodeID{3, 5, 6}, nil},
	} {
		var joins []holdfast.NodeID
		for _, x := range c.nodes.All {
			if x.Joining {
				joins = append(joins, x.ID)
			}
		}
		if got := c.nodes.Members(); !slices.Equal(got, c.want) || !slices.Equal(joins, c.joins) {
			t.Errorf("got %v, of which %v join; want %v and %v", got, joins, c.want, c.joins)
		}
	}
	if got := three.Joined(3); got != three {
		t.Errorf("got %+v; want nothing changed, since node 3 joins nothing", got)
	}
	for id, want := range map[holdfast.ShardID][]holdfast.NodeID{
		1: {1, 2, 3}, 49: {1, 2, 3}, 50: {1, 3, 5}, 89: {1, 3, 5}, 90: {3, 5, 6}, 1e6: {3, 5, 6},
	} {
		if got := three.Founders(id); !slices.Equal(got, want) {
			t.Errorf("shard %d: got the founders %v; want %v", id, got, want)
		}
	}
	same := newcomer(7)
	same.Incarnation = three.Node(2).Incarnation
	taken := newcomer(7)
	taken.Address = three.Node(5).Address
	for _, c := range []struct {
		lost holdfast.NodeID
		by   Node
		want holdfast.Kind
	}{
		{9, newcomer(7), holdfast.NotFound},
		{0, newcomer(7), holdfast.NotFound},
		{2, newcomer(7), holdfast.Exists},
		{4, newcomer(7), holdfast.Exists},
		{3, same, holdfast.Conflict},
		{3, newcomer(6), holdfast.Conflict},
		{3, taken, holdfast.Conflict},
	} {
		if _, err := three.Replace(c.lost, c.by, 100); !errors.Is(err, c.want) {
			t.Errorf("node %d by %+v: got %v; want %v", c.lost, c.by, err, c.want)
		}
	}
	taken.Address = three.Node(3).Address // a new machine mostly has the address of the lost one
	if _, err := three.Replace(3, taken, 100); err != nil {
		t.Error(err)
	}
}

// Nodes that are added vote nowhere until another leaves, the nodes that stay are never fewer than the
// replicas, and one that was removed never comes back.
func TestAddAndRemove(t *testing.T) {
	was := threeNodes()
	four, err := was.Add(newcomer(4))
	if err != nil {
		t.Fatal(err)
	}
	five, err := four.Joined(4).Add(newcomer(5))
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := five.Leave(2, 50)
	if err != nil {
		t.Fatal(err)
	}
	gone := leaves.Remove(2)
	replaced, err := gone.Replace(1, newcomer(6), 90)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		nodes           *Nodes
		members, voters []holdfast.NodeID
	}{
		{four, []holdfast.NodeID{1, 2, 3, 4}, []holdfast.NodeID{1, 2, 3}},
		{five, []holdfast.NodeID{1, 2, 3, 4, 5}, []holdfast.NodeID{1, 2, 3}},
		{leaves, []holdfast.NodeID{1, 2, 3, 4, 5}, []holdfast.NodeID{1, 3, 4}},
		{gone, []holdfast.NodeID{1, 3, 4, 5}, []holdfast.NodeID{1, 3, 4}},
		{replaced, []holdfast.NodeID{3, 4, 5, 6}, []holdfast.NodeID{3, 4, 5}},
	} {
		members, voters := c.nodes.Members(), c.nodes.Voters(c.nodes.Replicas())
		if !slices.Equal(members, c.members) || !slices.Equal(voters, c.voters) {
			t.Errorf("got %v, of which %v vote; want %v and %v", members, voters, c.members, c.voters)
		}
	}
	for id, want := range map[holdfast.ShardID][]holdfast.NodeID{1: {1, 2, 3}, 50: {1, 3, 4}, 90: {3, 4, 5}} {
		if got := replaced.Founders(id); !slices.Equal(got, want) {
			t.Errorf("shard %d: got the founders %v; want %v", id, got, want)
		}
	}
	if got := was.Remove(1); got != was {
		t.Errorf("got %+v; want nothing changed: node 1 doesn't leave", got)
	}
	if got, err := leaves.Leave(2, 99); got != leaves || err != nil {
		t.Errorf("asked again: got %+v, %v; want the same", got, err)
	}
	known, taken := newcomer(7), newcomer(7)
	known.Incarnation, taken.Address = gone.Node(2).Incarnation, gone.Node(4).Address
	full := was
	for n := 4; n <= MaxNodes; n++ {
		if full, err = full.Add(newcomer(n)); err != nil {
			t.Fatal(err)
		}
	}
	fails := func(what string, err error, want holdfast.Kind) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v; want %v", what, err, want)
		}
	}
	_, err = gone.Add(known)
	fails("the directory of a removed node", err, holdfast.Conflict)
	_, err = gone.Add(taken)
	fails("another's address", err, holdfast.Conflict)
	_, err = full.Add(newcomer(65))
	fails("one more than there can be", err, holdfast.Invalid)
	_, err = was.Leave(1, 9)
	fails("too few would stay", err, holdfast.Refused)
	_, err = four.Leave(9, 9)
	fails("no such node", err, holdfast.NotFound)
	_, err = gone.Leave(2, 9)
	fails("removed before", err, holdfast.Exists)
	_, err = replaced.Leave(1, 9)
	fails("replaced before", err, holdfast.Exists)
	_, err = gone.Replace(2, newcomer(8), 9)
	fails("removed, and replaced", err, holdfast.Exists)
	taken.Address = gone.Node(2).Address
	if _, err := gone.Add(taken); err != nil {
		t.Errorf("at the address of a removed node: %v", err)
	}
}

// Whichever node leads, and however late the others follow: the groups of all shards begin with the
// members of the cluster as of when the shard was drawn, as each node finds that has the shard, and
// for ever. Nodes that have led, and are behind, commit nothing.
func TestFoundersOfACluster(t *testing.T) {
	bg := context.Background()
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 3))
		g, all := newReplicas(t, 3)
		leader, drawn := 0, map[holdfast.ShardID][]holdfast.NodeID{}
		check := func(i int) {
			t.Helper()
			_, is, _ := refresh(t, all[i])
			for _, r := range is.Tables {
				for _, s := range r.Shards {
					if got := is.Nodes.Founders(s.ID); !reflect.DeepEqual(got, drawn[s.ID]) {
						t.Fatalf("seed %d, node %d: got the founders %v of shard %d; want %v", seed, i, got, s.ID,
							drawn[s.ID])
					}
				}
			}
		}
		replace := func(c *Catalog, n int) error {
			c.Lock()
			defer c.Unlock()
			return c.SetNodes(bg, func(next holdfast.ShardID) (*Nodes, error) {
				is := c.Contents().Nodes
				if is == nil {
					return threeNodes(), nil
				}
				id := is.Members()[rng.IntN(len(is.Members()))]
				switch rng.IntN(3) {
				case 0:
					return is.Add(newcomer(n))
				case 1:
					if after, err := is.Leave(id, next); err == nil && after != is {
						return after, nil
					}
				case 2:
					if is.Node(id).Leaving {
						return is.Remove(id), nil
					}
				}
				return is.Replace(id, newcomer(n), next)
			})
		}
		if err := replace(all[0], 0); err != nil {
			t.Fatal(err)
		}
		for n := range 120 {
			c := all[leader]
			switch rng.IntN(8) {
			case 0:
				former := leader
				leader = (leader + 1) % 3
				g.lead(leader)
				refresh(t, all[leader])
				if err := all[leader].Update(bg, named("new", fmt.Sprint(n))); err != nil {
					t.Fatal(err)
				}
				g.lead(former) // again, with contents from before that
				if err := replace(all[former], 1000+n); !errors.Is(err, holdfast.Refused) {
					t.Fatalf("got %v of a node that is behind; want %v", err, holdfast.Refused)
				}
				g.lead(leader)
				continue
			case 1, 2:
				if err := replace(c, n+1); err != nil {
					t.Fatal(err)
				}
				continue
			case 3:
				check(rng.IntN(3))
			}
			r := &Table{Table: Description{Definition: Definition{Name: fmt.Sprint("t", n)}}}
			c.Lock()
			var err error
			if r.Space, r.Shards, err = c.NewSpace(bg, Even(1+rng.IntN(60))); err == nil {
				err = c.Commit(bg, Revision{Put: []Entry{r}})
			}
			for _, s := range r.Shards {
				drawn[s.ID] = c.Contents().Nodes.Voters(3)
			}
			c.Unlock()
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range all {
			check(i)
		}
	}
}

// A node is drained, and drained no more; what doesn't change makes no other record.
func TestNodesAreDrained(t *testing.T) {
	n := FormedBy([]Node{{ID: 1}, {ID: 2}, {ID: 3}})
	d, err := n.Drain(2, true)
	if err != nil || !d.Drained(2) || d.Drained(1) || n.Drained(2) {
		t.Errorf("got %+v, %v; want that node 2 is drained, and n as it was", d, err)
	}
	if again, err := d.Drain(2, true); again != d || err != nil {
		t.Errorf("again: got %p, %v; want %p", again, err, d)
	}
	back, err := d.Drain(2, false)
	if err != nil || !back.same(n) {
		t.Errorf("undone: got %+v, %v; want %+v", back, err, n)
	}
	if _, err := n.Drain(9, true); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("a node that isn't there: got %v; want that it isn't found", err)
	}
	if (*Nodes)(nil).Drained(1) {
		t.Error("a node is drained without a record; want that none is")
	}
}
