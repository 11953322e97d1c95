package node

import (
	"fmt"
	"strings"
	"time"

	"holdfast"
	"holdfast/cluster"
)

// The results of a comparison.
const (
	Equal      = "equal"      // all replicas have the same
	Incomplete = "incomplete" // those that could be compared have the same
	Differs    = "differs"    // a majority has the same, and some replicas have something else
	Undecided  = "undecided"  // replicas differ, and no majority has the same
)

// A Comparison is what was found when the replicas of a shard were compared as of one transaction.
type Comparison struct {
	Shard    holdfast.ShardID  `json:"shard"`
	Name     string            `json:"name"` // for people, with the table's
	Tx       string            `json:"transaction"`
	At       time.Time         `json:"at"`
	Result   string            `json:"result"`
	Why      string            `json:"why,omitempty"` // nothing was compared
	Replicas []ComparedReplica `json:"replicas"`      // by their nodes' rising IDs
}

// A ComparedReplica is what a node has of a shard.
type ComparedReplica struct {
	Node       holdfast.NodeID `json:"node"`
	Sum        string          `json:"checksum,omitempty"` // XXH3, 128 bits; "": one of the next two
	Unreadable string          `json:"unreadable,omitempty"`
	Missing    string          `json:"missing,omitempty"` // why the node has none
	Keys       uint64          `json:"keys"`
	Bytes      uint64          `json:"bytes"`
	Odd        bool            `json:"odd"`     // it differs from a majority
	Stopped    bool            `json:"stopped"` // its node was told so, and ends
}

// found returns what can be compared.
func (c *Comparison) found() map[holdfast.NodeID]cluster.Compared {
	all := map[holdfast.NodeID]cluster.Compared{}
	for _, r := range c.Replicas {
		if r.Missing == "" {
			all[r.Node] = cluster.Compared{Sum: r.Sum, Unreadable: r.Unreadable}
		}
	}
	return all
}

// replica returns that of a node, which must be there.
func (c *Comparison) replica(node holdfast.NodeID) *ComparedReplica {
	for i := range c.Replicas {
		if c.Replicas[i].Node == node {
			return &c.Replicas[i]
		}
	}
	panic(fmt.Sprintf("node: node %d wasn't compared", node))
}

// judge sets the result.
func (c *Comparison) judge(v *cluster.Verdict) {
	for _, node := range v.Odd {
		c.replica(node).Odd = true
	}
	switch {
	case v.Differ && len(v.Agree) > 0:
		c.Result = Differs
	case v.Differ:
		c.Result = Undecided
	case len(c.found()) == len(c.Replicas):
		c.Result = Equal
	}
}

// String describes the comparison in a line.
func (c *Comparison) String() string {
	if c.Why != "" {
		return fmt.Sprintf("%s: not compared: %s", c.Name, c.Why)
	}
	var agree, odd, missing []string
	for _, r := range c.Replicas {
		switch id := fmt.Sprint(r.Node); {
		case r.Missing != "":
			missing = append(missing, fmt.Sprintf("node %s: %s", id, r.Missing))
		case r.Unreadable != "":
			odd = append(odd, id+" (can't be read)")
		case r.Odd || c.Result == Undecided:
			odd = append(odd, id)
		default:
			agree = append(agree, id)
		}
	}
	text := fmt.Sprintf("%s as of transaction %s: ", c.Name, c.Tx)
	switch c.Result {
	case Differs:
		text += fmt.Sprintf("node %s differs from a majority, nodes %s", strings.Join(odd, ", "),
			strings.Join(agree, ", "))
	case Undecided:
		text += fmt.Sprintf("nodes %s differ, and no majority agrees", strings.Join(odd, ", "))
	default:
		text += fmt.Sprintf("the same at nodes %s", strings.Join(agree, ", "))
	}
	if len(missing) > 0 {
		text += "; not compared: " + strings.Join(missing, ", ")
	}
	return text
}
