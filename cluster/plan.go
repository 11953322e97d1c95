package cluster

import (
	"fmt"
	"strings"

	"holdfast"
)

// A Step is what is to be done with the directories of a cluster's nodes before they start.
type Step uint8

// The steps.
const (
	Start  Step = iota // nothing: the cluster is formed
	Finish             // Commit those directories that are Forming
	Form               // from the beginning: Prepare all and Commit all
)

// Plan decides what is to be done with the directories of nodes 1, 2, 3 and so on, of which nothing
// runs. The error, which is Invalid, says why they may not start as one cluster, and what to do.
func Plan(found []Found) (Step, error) {
	var first *Found // with an identity for good
	for i := range found {
		f := &found[i]
		if f.State == Other {
			return 0, refuse("%s has %s in it, and no identity of a cluster's node: take directories that are empty or missing",
				f.Dir, f.Name)
		}
		if f.State == Drawn || f.Is != nil && len(f.Is.Met) > 0 {
			return 0, refuse("%s is that of a node that forms, or has formed, its cluster with others: start it with "+
				"\"holdfast node\"", f.Dir)
		}
		if f.State == Formed && first == nil {
			first = f
		}
	}
	if first == nil {
		return Form, nil // nothing was ever promised by any of them
	}
	step := Start
	for i := range found {
		f := &found[i]
		if err := first.sameCluster(f, holdfast.NodeID(i+1), len(found)); err != nil {
			return 0, err
		}
		if f.State == Forming {
			step = Finish
		}
	}
	return step, nil
}

// sameCluster returns an error unless another directory is that of a node of the same cluster.
func (f *Found) sameCluster(other *Found, node holdfast.NodeID, nodes int) error {
	is := f.Is
	switch {
	case len(is.Members) != nodes:
		return refuse("%s is that of %v: start it with --nodes %d", f.Dir, is, len(is.Members))
	case other.State == Empty:
		return refuse("%s is empty or missing, but %s is that of %v: node %d would take part without what it has promised "+
			"the others, which could lose writes. Put its directory back, or start the other nodes one by one, each by a "+
			"file with a cluster section",
			other.Dir, f.Dir, is, node)
	case other.Is.Cluster != is.Cluster:
		return refuse("%s is that of %v, and %s that of %v: these are different clusters", f.Dir, is, other.Dir, other.Is)
	case other.Is.Node != node:
		return refuse("%s is that of %v, and should be that of node %d: put each directory back in its place",
			other.Dir, other.Is, node)
	}
	return nil
}

// MatchMet returns an error, which is Invalid, unless an identity is that of a node as it is
// configured that has met the others, or is to.
func (is *Identity) MatchMet(name string, expect int, addr string) error {
	if len(is.Met) == 0 {
		return refuse("it is that of %v, which was formed in one process: set cluster.node and cluster.members, and "+
			"leave out what is for nodes that meet, or use \"holdfast up --nodes %d\"", is, len(is.Members))
	}
	var faults []string
	if is.Name != name {
		faults = append(faults, fmt.Sprintf("cluster.name is %q", name))
	}
	if len(is.Members) != expect {
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

func refuse(format string, args ...any) error {
	return holdfast.Errorf(holdfast.Invalid, format, args...)
}

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
