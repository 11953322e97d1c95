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

// Versions of the record of nodes.
const (
	replacedVersion = 1 // of nodes that formed the cluster, or have taken the place of one that did
	nodesVersion    = 2 // with nodes that were added or removed
)

// MaxNodes is how many nodes a cluster has at most.
const MaxNodes = 64

// Nodes is the record of a cluster's nodes. There is none as long as they are those that formed the
// cluster, which each node's identity has. Like other entries it is never changed: a change makes
// another one.
//
// Which of the nodes vote follows from it: see Voters. The others have all that there is, too, and
// their votes count for nothing.
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

	Replaces   holdfast.NodeID `json:",omitempty"` // in whose place it has joined; 0: in nobody's
	Joining    bool            `json:",omitempty"` // some groups may not have it yet
	ReplacedBy holdfast.NodeID `json:",omitempty"` // it is no node of the cluster any more; 0: none has its place

	Leaving bool `json:",omitempty"` // it is to be removed, once other nodes have its votes
	Removed bool `json:",omitempty"` // it is no node of the cluster any more, and none has its place

	// Drained says that the node is to be taken down: it leads nothing, as far as others can. It keeps
	// its votes.
	Drained bool `json:",omitempty"`
}

// Is reports whether the cluster has the node.
func (x *Node) Is() bool { return x.ReplacedBy == 0 && !x.Removed }

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

// HasFormed reports whether a node is one of those that have formed the cluster.
func (n *Nodes) HasFormed(id holdfast.NodeID) bool { return slices.Contains(n.Founded[0].Members, id) }

// Replicas returns how many replicas each shard has whose votes count: as many as nodes have formed the
// cluster.
func (n *Nodes) Replicas() int { return len(n.Founded[0].Members) }

// Voters returns the nodes that vote in groups of so many replicas, by rising ID: the first of those
// that stay in the cluster. So a node that is added votes nowhere, and one that goes is followed by
// the next.
func (n *Nodes) Voters(replicas int) (ids []holdfast.NodeID) {
	for _, x := range n.Present() {
		if !x.Leaving && len(ids) < replicas {
			ids = append(ids, x.ID)
		}
	}
	return ids
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
	c.Version = replacedVersion
	for _, x := range n.All {
		if x.Leaving || x.Removed || x.Drained || x.Replaces == 0 && !n.HasFormed(x.ID) {
			c.Version = nodesVersion
		}
	}
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
		if x.Is() {
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
// behind all that there ever were. The groups of shards from an ID on begin with it, if it is to vote. The
// error says why that can't be: it is NotFound if no node had the ID lost, Exists if it was replaced or
// removed before, and Conflict if another node has the address, or the incarnation.
func (n *Nodes) Replace(lost holdfast.NodeID, by Node, from holdfast.ShardID) (*Nodes, error) {
	if _, err := n.present(lost); err != nil {
		return nil, err
	}
	if err := n.free(&by, lost); err != nil {
		return nil, err
	}
	next := n.clone()
	by.ID, by.Replaces, by.Joining, by.ReplacedBy = n.All[len(n.All)-1].ID+1, lost, true, 0
	was := next.Node(lost)
	was.ReplacedBy, was.Joining, was.Leaving = by.ID, false, false
	next.All = append(next.All, by)
	next.found(from)
	return next, nil
}

// Add returns the nodes when a new one is one of them, beside those that there are: it gets the ID
// behind all that there ever were, and votes once one of the others doesn't. The error is Conflict if
// another node has the address, or the incarnation, and Invalid if there are MaxNodes.
func (n *Nodes) Add(x Node) (*Nodes, error) {
	if err := n.free(&x, 0); err != nil {
		return nil, err
	}
	if len(n.Present()) >= MaxNodes {
		return nil, holdfast.Errorf(holdfast.Invalid, "a cluster has at most %d nodes", MaxNodes)
	}
	next := n.clone()
	x.ID, x.Replaces, x.Joining, x.ReplacedBy = n.All[len(n.All)-1].ID+1, 0, true, 0
	next.All = append(next.All, x)
	return next, nil
}

// Leave returns the nodes when one of them is to be removed: others vote in its place in the groups of
// shards from an ID on, and, sooner or later, in all; n itself if it leaves already. The error is
// NotFound if no node had the ID, Exists if it is no node any more, and Refused if fewer nodes would
// stay than a shard has replicas.
func (n *Nodes) Leave(id holdfast.NodeID, from holdfast.ShardID) (*Nodes, error) {
	switch x, err := n.present(id); {
	case err != nil:
		return nil, err
	case x.Leaving:
		return n, nil
	}
	next := n.clone()
	next.Node(id).Leaving = true
	if stay := len(next.Voters(MaxNodes)); stay < n.Replicas() {
		return nil, holdfast.Errorf(holdfast.Refused, "without node %d, %d nodes would stay, and tables have %d "+
			"replicas: add a node first", id, stay, n.Replicas())
	}
	next.found(from)
	return next, nil
}

// Remove returns the nodes without one that leaves; n itself if it doesn't.
func (n *Nodes) Remove(id holdfast.NodeID) *Nodes {
	if x := n.Node(id); x == nil || !x.Leaving {
		return n
	}
	next := n.clone()
	x := next.Node(id)
	x.Leaving, x.Joining, x.Removed = false, false, true
	return next
}

// present returns the node of an ID. The error is NotFound if no node had it, and Exists if it is no
// node of the cluster any more.
func (n *Nodes) present(id holdfast.NodeID) (*Node, error) {
	x := n.Node(id)
	switch {
	case x == nil:
		return nil, holdfast.Errorf(holdfast.NotFound,
			"the cluster has no node %d, and never had one: its nodes are %v", id, n.Members())
	case x.Removed:
		return nil, holdfast.Errorf(holdfast.Exists, "node %d was removed before: the nodes are %v", id, n.Members())
	case x.ReplacedBy != 0:
		return nil, holdfast.Errorf(holdfast.Exists, "node %d was replaced before, by node %d at %s: its nodes are %v",
			id, x.ReplacedBy, n.Node(x.ReplacedBy).Address, n.Members())
	}
	return x, nil
}

// free returns an error, which is Conflict, unless a new node's address and incarnation are those of no
// other. lost may have had the address.
func (n *Nodes) free(x *Node, lost holdfast.NodeID) error {
	if known := n.Known(x.Incarnation); known != nil {
		return holdfast.Errorf(holdfast.Conflict, "the directory is that of node %d at %s already", known.ID,
			known.Address)
	}
	for _, other := range n.Present() {
		if other.Address == x.Address && other.ID != lost {
			return holdfast.Errorf(holdfast.Conflict, "node %d has the address %s: if its directory is lost for good, "+
				"have the new node take its place, with --replace %d", other.ID, x.Address, other.ID)
		}
	}
	return nil
}

// found has the groups of shards from an ID on begin with those that vote now.
func (n *Nodes) found(from holdfast.ShardID) {
	members := n.Voters(n.Replicas())
	if !slices.Equal(members, n.Founded[len(n.Founded)-1].Members) {
		n.Founded = append(n.Founded, Founding{From: from, Members: members})
	}
}

// Joined returns the nodes when all groups have a node that has joined, in the place of the one that it
// replaces if it does; n itself if it isn't joining.
func (n *Nodes) Joined(id holdfast.NodeID) *Nodes {
	if x := n.Node(id); x == nil || !x.Joining {
		return n
	}
	next := n.clone()
	next.Node(id).Joining = false
	return next
}

// Drain returns the nodes when one is drained, or isn't any more; n itself if that is so. The error is
// NotFound if the cluster has no such node.
func (n *Nodes) Drain(id holdfast.NodeID, drained bool) (*Nodes, error) {
	x := n.Node(id)
	switch {
	case x == nil || !x.Is():
		return nil, holdfast.Errorf(holdfast.NotFound, "the cluster has no node %d: its nodes are %v", id, n.Members())
	case x.Drained == drained:
		return n, nil
	}
	next := n.clone()
	next.Node(id).Drained = drained
	return next, nil
}

// Drained reports whether a node is drained; n may be nil.
func (n *Nodes) Drained(id holdfast.NodeID) bool {
	return n != nil && n.Node(id) != nil && n.Node(id).Drained
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
