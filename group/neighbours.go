package group

import (
	"maps"
	"slices"
	"sync"

	"holdfast"
)

// A neighbours is which other nodes a host hears: those on which the groups of its replicas have
// members. Hosts send each other beats, a few in an election's time, however many groups they have.
// Since the goroutine that steps replicas sends them, a node is heard only as long as that runs.
//
// Only hear may be called concurrently with the other methods.
type neighbours struct {
	patience int // ticks after which a node that isn't heard is silent
	every    int // ticks between two beats
	ticks    int
	last     map[holdfast.NodeID]int // the tick at which a node was heard last, or became a neighbour
	full     bool                    // this node's own disk, see fullness

	mu    sync.Mutex               // guards heard
	heard map[holdfast.NodeID]bool // since the last tick; none but neighbours of the last tick are true
}

func newNeighbours(electionTicks int) *neighbours {
	return &neighbours{patience: electionTicks, every: max(1, electionTicks/3), last: map[holdfast.NodeID]int{},
		heard: map[holdfast.NodeID]bool{}}
}

// set sets which nodes there are. They are taken for heard at first.
func (n *neighbours) set(ids []holdfast.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		if _, found := n.last[id]; !found {
			n.last[id], n.heard[id] = n.ticks, false
		}
	}
	gone := func(id holdfast.NodeID) bool { return !slices.Contains(ids, id) }
	maps.DeleteFunc(n.last, func(id holdfast.NodeID, _ int) bool { return gone(id) })
	maps.DeleteFunc(n.heard, func(id holdfast.NodeID, _ bool) bool { return gone(id) })
}

// hear notes that a node was heard.
func (n *neighbours) hear(id holdfast.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, found := n.heard[id]; found {
		n.heard[id] = true
	}
}

// tick is called when ticks have passed. It reports whether a node has become silent, or is heard
// again.
func (n *neighbours) tick(ticks int) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ticks += ticks
	for id, heard := range n.heard {
		was := n.ticks-ticks-n.last[id] >= n.patience
		if heard {
			n.last[id], n.heard[id] = n.ticks, false
		}
		changed = changed || was != n.silent(id)
	}
	return changed
}

// beats returns the nodes that are to be sent a beat now that ticks have passed, by rising ID.
func (n *neighbours) beats(ticks int) []holdfast.NodeID {
	if n.ticks/n.every == (n.ticks-ticks)/n.every {
		return nil
	}
	return slices.Sorted(maps.Keys(n.last))
}

// steady reports whether no node that is heard has missed a beat: none becomes silent before the next
// beats are due, or soon after.
func (n *neighbours) steady() bool {
	for id := range n.last {
		if silence := n.silence(id); silence > n.every && silence < n.patience {
			return false
		}
	}
	return true
}

// silence returns for how many ticks a node wasn't heard; one that is no neighbour never was.
func (n *neighbours) silence(id holdfast.NodeID) int {
	last, found := n.last[id]
	if !found {
		return max(n.ticks, n.patience)
	}
	return n.ticks - last
}

// silent reports whether a node wasn't heard for an election's time.
func (n *neighbours) silent(id holdfast.NodeID) bool { return n.silence(id) >= n.patience }

// hears reports the opposite.
func (n *neighbours) hears(id holdfast.NodeID) bool { return !n.silent(id) }

// beat returns a message that says that a node is there. It is of no group.
func beat(from, to holdfast.NodeID) Message {
	return Message{From: from, To: to, Body: []byte{beatByte}}
}

func (m *Message) isBeat() bool { return len(m.Body) == 1 && m.Body[0] == beatByte }
