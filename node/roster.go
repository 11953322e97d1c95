package node

import (
	"sync"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cluster"
	"holdfast/rpc"
)

// A roster is which nodes the cluster has, as this node knows: those of the catalog, or, as long as
// it knows of no such record, those of its identity.
type roster struct {
	is    *cluster.Identity
	peers func(map[holdfast.NodeID]rpc.Peer) // gets the other nodes whenever they change

	mu        sync.Mutex                 // guards what follows, and calls of peers
	addresses map[holdfast.NodeID]string // of the nodes of the identity; nil: this node takes no part yet
	nodes     *catalog.Nodes             // nil: the catalog has no such record
}

// introduce begins to connect to the other nodes. addresses are those that they have unless the
// catalog has others.
func (r *roster) introduce(addresses map[holdfast.NodeID]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addresses = addresses
	r.connect()
}

// follow takes the nodes that the catalog has.
func (r *roster) follow(n *catalog.Nodes) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes = n
	r.connect()
}

// connect has this node take part with those that there are. mu is held.
func (r *roster) connect() {
	if r.addresses == nil {
		return
	}
	peers := map[holdfast.NodeID]rpc.Peer{}
	if r.nodes == nil {
		for id, address := range r.addresses {
			peers[id] = rpc.Peer{Addr: address}
		}
	} else {
		for _, x := range r.nodes.Present() {
			peers[x.ID] = rpc.Peer{Addr: x.Address}
		}
	}
	r.peers(peers)
}

// known returns the nodes that the catalog has; nil: it has no such record.
func (r *roster) known() *catalog.Nodes {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nodes
}

// members returns the IDs of the nodes, by rising ID. The caller must not change them.
func (r *roster) members() []holdfast.NodeID {
	if n := r.known(); n != nil {
		return n.Members()
	}
	return r.is.Members
}

// founders returns the members with which the group of a shard begins; none if this node doesn't know
// them, and so is none of them: it has joined later, and hasn't followed the catalog yet.
func (r *roster) founders(id holdfast.ShardID) []holdfast.NodeID {
	switch n := r.known(); {
	case n != nil:
		return n.Founders(id)
	case r.is.Joined():
		return nil
	}
	return r.is.Members
}
