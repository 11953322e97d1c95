package catalog

import (
	"context"
	"encoding/json"
	"slices"

	"holdfast"
	"holdfast/shard"
)

// nodesName is the name of the record of a cluster's nodes.
const nodesName = "nodes"

const nodesVersion = 1

// Nodes is the record of a cluster's nodes. There is none as long as they are those that formed the
// cluster, which each node's identity has. Like other entries it is never changed: a change makes
// another one.
type Nodes struct {
	Version int
	All     []Node     // by rising ID: those that were replaced, too, so that no ID is used again
	Founded []Founding // by rising From; that of the first is 0
}

// A Node is a node of a cluster, or was one.
type Node struct {
	ID          holdfast.NodeID
	Address     string // HOST:PORT, at which the others reach it
	Incarnation string // of its directory, in hexadecimal digits

	Replaces   holdfast.NodeID `json:",omitempty"` // in whose place it has joined; 0: it has formed the cluster
	Joining    bool            `json:",omitempty"` // some groups may not have it yet in the place of that
	ReplacedBy holdfast.NodeID `json:",omitempty"` // it is no node of the cluster any more; 0: it is one
}

// A Founding says with which members the groups of shards begin, from a shard on up to the next
// Founding. It follows from a shard's ID alone, so every node founds a group with the same ones,
// however much of the catalog it has followed.
type Founding struct {
	From    holdfast.ShardID
	Members []holdfast.NodeID
}

// FormedBy returns the record of a cluster whose nodes are those that have formed it.
func FormedBy(all []Node) *Nodes {
	n := &Nodes{All: slices.Clone(all)}
	n.Founded = []Founding{{Members: n.Members()}}
	return n
}

func (n *Nodes) recordName() string               { return nodesName }
func (n *Nodes) addTo(c *Contents)                { c.Nodes = n }
func (n *Nodes) removeFrom(c *Contents)           { c.Nodes = nil }
func (n *Nodes) latest() int                      { return nodesVersion }
func (n *Nodes) decode(_ int, value []byte) error { return json.Unmarshal(value, n) }
func (n *Nodes) same(other *Nodes) bool {
	return string(n.encoded().Value) == string(other.encoded().Value)
}

// encoded returns the nodes as a record of the disk.
func (n *Nodes) encoded() shard.Record {
	c := *n
	c.Version = nodesVersion
	return encode(nodesName, &c)
}

// clone returns a copy that can be changed.
func (n *Nodes) clone() *Nodes {
	return &Nodes{All: slices.Clone(n.All), Founded: slices.Clone(n.Founded)}
}

// Node returns the node that has, or had, an ID; nil: none had it ever.
func (n *Nodes) Node(id holdfast.NodeID) *Node {
	for i := range n.All {
		if n.All[i].ID == id {
			return &n.All[i]
		}
	}
	return nil
}

// Known returns the node whose directory has an incarnation; nil: there is none.
func (n *Nodes) Known(incarnation string) *Node {
	for i := range n.All {
		if n.All[i].Incarnation == incarnation {
			return &n.All[i]
		}
	}
	return nil
}

// Present returns the nodes that the cluster has, by rising ID.
func (n *Nodes) Present() (all []Node) {
	for _, x := range n.All {
		if x.ReplacedBy == 0 {
			all = append(all, x)
		}
	}
	return all
}

// Members returns the IDs of the nodes that the cluster has, by rising ID.
func (n *Nodes) Members() (ids []holdfast.NodeID) {
	for _, x := range n.Present() {
		ids = append(ids, x.ID)
	}
	return ids
}

// Founders returns the members with which the group of a shard begins.
func (n *Nodes) Founders(id holdfast.ShardID) []holdfast.NodeID {
	for i := len(n.Founded) - 1; i >= 0; i-- {
		if n.Founded[i].From <= id {
			return n.Founded[i].Members
		}
	}
	return nil
}

// Replace returns the nodes when a new one has taken the place of a lost one, which gets the ID
// behind all that there ever were. The groups of shards from an ID on begin with it. The error says
// why that can't be: it is NotFound if no node had the ID lost, Exists if it was replaced before, and
// Conflict if another node has the address, or the incarnation.
func (n *Nodes) Replace(lost holdfast.NodeID, by Node, from holdfast.ShardID) (*Nodes, error) {
	was := n.Node(lost)
	switch {
	case was == nil:
		return nil, holdfast.Errorf(holdfast.NotFound,
			"the cluster has no node %d, and never had one: its nodes are %v", lost, n.Members())
	case was.ReplacedBy != 0:
		return nil, holdfast.Errorf(holdfast.Exists, "node %d was replaced before, by node %d at %s: its nodes are %v",
			lost, was.ReplacedBy, n.Node(was.ReplacedBy).Address, n.Members())
	}
	if known := n.Known(by.Incarnation); known != nil {
		return nil, holdfast.Errorf(holdfast.Conflict, "the directory is that of node %d at %s already", known.ID,
			known.Address)
	}
	for _, x := range n.Present() {
		if x.Address == by.Address && x.ID != lost {
			return nil, holdfast.Errorf(holdfast.Conflict, "node %d has the address %s", x.ID, x.Address)
		}
	}
	next := n.clone()
	by.ID, by.Replaces, by.Joining, by.ReplacedBy = n.All[len(n.All)-1].ID+1, lost, true, 0
	next.Node(lost).ReplacedBy, next.Node(lost).Joining = by.ID, false
	next.All = append(next.All, by)
	next.Founded = append(next.Founded, Founding{From: from, Members: next.Members()})
	return next, nil
}

// Joined returns the nodes when all groups have a node that has joined in the place of the one that
// it replaces; n itself if it isn't joining.
func (n *Nodes) Joined(id holdfast.NodeID) *Nodes {
	if x := n.Node(id); x == nil || !x.Joining {
		return n
	}
	next := n.clone()
	next.Node(id).Joining = false
	return next
}

// SetNodes commits other nodes. It is called between Lock and Unlock. change gets the first ID that
// no shard has had: those that are drawn from now on have it or a higher one, so the groups of these
// begin with other members, and no other's do.
func (c *Catalog) SetNodes(ctx context.Context, change func(next holdfast.ShardID) (*Nodes, error)) error {
	n, err := change(c.is.Next)
	if err != nil || n == c.is.Nodes {
		return err
	}
	if err := c.Commit(ctx, Revision{Put: []Entry{n}}); err != nil {
		return err
	}
	c.next = c.is.Next // what was reserved isn't drawn any more
	return nil
}
