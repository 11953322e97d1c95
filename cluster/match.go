package cluster

import (
	"fmt"
	"strings"

	"holdfast"
)

// Match returns an error, which is Invalid, unless an identity is that of a node as it is configured.
func (is *Identity) Match(name string, node holdfast.NodeID, members []holdfast.NodeID) error {
	if len(is.Met) > 0 {
		return refuse("it is that of %v, which has met the others: start it with \"holdfast node\", and leave out "+
			"cluster.node and cluster.members", is)
	}
	var faults []string
	if is.Name != name {
		faults = append(faults, fmt.Sprintf("cluster.name is %q", name))
	}
	if is.Node != node {
		faults = append(faults, fmt.Sprintf("cluster.node is %d", node))
	}
	if fmt.Sprint(is.Members) != fmt.Sprint(members) {
		faults = append(faults, fmt.Sprintf("cluster.members have the IDs %v", members))
	}
	if len(faults) == 0 {
		return nil
	}
	return refuse("it is that of %v, whose members are %v, but %s", is, is.Members, strings.Join(faults, ", "))
}

// MatchMet returns an error, which is Invalid, unless an identity is that of a node as it is
// configured that has met the others, or is to. How many nodes were expected says nothing of one that
// has joined later.
func (is *Identity) MatchMet(name string, expect int, addr string) error {
	if len(is.Met) == 0 {
		return refuse("it is that of %v, which was formed in one process: set cluster.node and cluster.members, and "+
			"leave out what is for nodes that meet, or use \"holdfast up --nodes %d\"", is, len(is.Members))
	}
	var faults []string
	if is.Name != name {
		faults = append(faults, fmt.Sprintf("cluster.name is %q", name))
	}
	if len(is.Members) != expect && !is.Joined() {
		faults = append(faults, fmt.Sprintf("cluster.expect is %d", expect))
	}
	if got := is.Self().Addr; got != addr {
		faults = append(faults, fmt.Sprintf("cluster.advertise is %q, and the others know the node by %q, which can't "+
			"be changed in this version", addr, got))
	}
	if len(faults) == 0 {
		return nil
	}
	return refuse("it is that of %v, but %s", is, strings.Join(faults, ", "))
}
