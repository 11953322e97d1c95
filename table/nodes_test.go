package table

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"holdfast"
	"holdfast/catalog"
)

// A followedNodes is what a testNode has been given as the nodes of its cluster. in.mu guards it.
type followedNodes struct {
	nodes    *catalog.Nodes
	founders map[holdfast.ShardID][]holdfast.NodeID // of the shards that were started, as the nodes were then
}

// start notes that a shard is started.
func (f *followedNodes) start(id holdfast.ShardID) {
	if f.nodes == nil {
		return
	}
	if f.founders == nil {
		f.founders = map[holdfast.ShardID][]holdfast.NodeID{}
	}
	f.founders[id] = f.nodes.Founders(id)
}

// Follow implements Replicas. The node with the ID 4 is the second one of the test.
func (n *testNode) Follow(nodes *catalog.Nodes) bool {
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	n.followed.nodes = nodes
	four := nodes.Node(4)
	return four != nil && four.Joining && n.self == 1
}

func formedNodes() *catalog.Nodes {
	var all []catalog.Node
	for id := range holdfast.NodeID(3) {
		all = append(all, catalog.Node{ID: id + 1, Address: fmt.Sprint("n", id), Incarnation: fmt.Sprint(id)})
	}
	return catalog.FormedBy(all)
}

// replaceTwo has a node take the place of node 2.
func replaceTwo(is *catalog.Nodes, next holdfast.ShardID) (*catalog.Nodes, error) {
	return formedNodes().Replace(2, catalog.Node{Address: "n4", Incarnation: "4"}, next)
}

// All nodes follow which nodes there are before they start the shards of that revision, also after a
// start. One that joins answers no reads until it has joined, or leads.
func TestNodesFollowTheNodes(t *testing.T) {
	c := newCluster(t, 2)
	active, joining := c.lead(0), c.nodes[1]
	d, attributes := indexed(tokenTable)
	active.createAt(d, attributes)
	_, err := active.Put(bg, Put{Table: tokenTable, Item: order(1, 1)})
	c.follow()
	read := func() error {
		_, err := joining.Get(bg, Get{Table: tokenTable, Key: order(1, 0).Only("id", "seq")})
		return err
	}
	if err := errors.Join(err, read()); err != nil {
		t.Fatal(err)
	}
	if _, err := ChangeNodes(bg, joining.Store, replaceTwo); !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("at another node: got %v; want %v", err, holdfast.NotLeader)
	}
	n, err := ChangeNodes(bg, active.Store, replaceTwo)
	if err != nil || active.followed.nodes != n || n.Node(4) == nil {
		t.Fatalf("got %+v, %v, and the node follows %+v", n, err, active.followed.nodes)
	}
	other, _ := indexed("later")
	active.createAt(other, attributes)
	c.same()
	for i, node := range c.nodes {
		if i == 1 {
			node.followed = followedNodes{}
			node.restart()
			c.follow()
		}
		node.catalog.Read(func(is catalog.Contents) {
			for _, s := range is.Tables["later"].Shards {
				want := []holdfast.NodeID{1, 3, 4}
				if got := node.followed.founders[s.ID]; !slices.Equal(got, want) {
					t.Errorf("node %d: got the founders %v of shard %d; want %v", i, got, s.ID, want)
				}
			}
		})
	}
	if err := read(); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("a read at a node that joins: got %v; want %v, so that it is forwarded", err, holdfast.NotFound)
	}
	if _, err := active.Get(bg, Get{Table: tokenTable, Key: order(1, 0).Only("id", "seq")}); err != nil {
		t.Errorf("a read at another node: %v", err)
	}

	added, err := ChangeNodes(bg, active.Store, func(is *catalog.Nodes, _ holdfast.ShardID) (*catalog.Nodes, error) {
		return is.Add(catalog.Node{Address: "n5", Incarnation: "5"})
	})
	if err != nil || len(added.Members()) != 4 {
		t.Fatalf("got %+v, %v; want four nodes", added, err)
	}
	for value, ok := range map[string]bool{"semisync:2": true, "semisync:3": false} { // one learns
		err := active.Tag(bg, tokenTable, map[string]string{catalog.AcknowledgeSetting: value})
		if ok != (err == nil) || !ok && !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%s: got %v; want it taken: %t", value, err, ok)
		}
	}
	if err := active.Untag(bg, tokenTable, []string{catalog.AcknowledgeSetting}); err != nil {
		t.Fatal(err)
	}

	active = c.lead(1)
	if err := read(); err != nil {
		t.Errorf("a read at a node that leads: %v", err)
	}
	refused := holdfast.Errorf(holdfast.Conflict, "no")
	n, err = ChangeNodes(bg, active.Store, func(is *catalog.Nodes, _ holdfast.ShardID) (*catalog.Nodes, error) {
		return nil, refused
	})
	if !errors.Is(err, refused) || n == nil || !n.Node(4).Joining {
		t.Errorf("got %+v, %v; want nothing changed, and the error", n, err)
	}
	_, err = ChangeNodes(bg, active.Store, func(is *catalog.Nodes, _ holdfast.ShardID) (*catalog.Nodes, error) {
		return is.Joined(4), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.lead(0)
	c.follow()
	if err := read(); err != nil {
		t.Errorf("a read at a node that has joined: %v", err)
	}
}
