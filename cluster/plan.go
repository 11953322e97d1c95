package cluster

import (
	"slices"
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
	meets := func(f *Found) bool { return f.State == Drawn || f.Is != nil && len(f.Is.Met) > 0 }
	if others := dirs(found, meets); len(others) > 0 {
		return 0, refuse("%s is that of a node that forms, or has formed, its cluster with others: start it with "+
			"\"holdfast node\"", others[0])
	}
	if stray := dirs(found, func(f *Found) bool { return f.State == Other && f.Tables }); len(stray) > 0 {
		return 0, NoIdentity(stray...)
	}
	i := slices.IndexFunc(found, func(f Found) bool { return f.State == Formed })
	if i < 0 {
		return Form, noneOther(found) // nothing was ever promised by any of them
	}
	first, step := &found[i], Start
	if n := len(first.Is.Members); n != len(found) {
		return 0, refuse("%s is that of %v: start it with --nodes %d", first.Dir, first.Is, n)
	}
	for i := range found {
		f := &found[i]
		if err := first.sameCluster(f, holdfast.NodeID(i+1)); err != nil {
			return 0, err
		}
		if f.State == Forming {
			step = Finish
		}
	}
	return step, first.noneLost(found)
}

// dirs names the directories that are so.
func dirs(found []Found, are func(*Found) bool) (names []string) {
	for i := range found {
		if are(&found[i]) {
			names = append(names, found[i].Dir)
		}
	}
	return names
}

// noneOther returns an error if a directory has something in it that isn't a node's.
func noneOther(found []Found) error {
	for i := range found {
		if f := &found[i]; f.State == Other {
			return refuse(
				"%s has %s in it, and no identity of a cluster's node: take directories that are empty or missing",
				f.Dir, f.Name)
		}
	}
	return nil
}

// sameCluster returns an error if another directory has the identity of another cluster or node.
func (f *Found) sameCluster(other *Found, node holdfast.NodeID) error {
	is := f.Is
	switch {
	case other.Is == nil: // noneLost reports it
	case other.Is.Cluster != is.Cluster:
		return refuse("%s is that of %v, and %s that of %v: these are different clusters", f.Dir, is, other.Dir,
			other.Is)
	case other.Is.Node != node:
		return refuse("%s is that of %v, and should be that of node %d: put each directory back in its place",
			other.Dir, other.Is, node)
	}
	return nil
}

// noneLost returns an error if a node has lost its directory or its tables. Each node had both: no
// directory is Formed, as f is, before all have an identity and tables.
func (f *Found) noneLost(found []Found) error {
	without := dirs(found, func(f *Found) bool { return f.Is != nil && !f.Tables })
	lost := dirs(found, func(f *Found) bool { return f.Is == nil })
	if len(lost) == 0 {
		for i := range found {
			if !found[i].Tables {
				return found[i].Is.NoTables(found[i].Dir)
			}
		}
		return nil
	}
	are, they, its := "is", "its node", "it has"
	if len(lost) > 1 {
		are, they, its = "are", "their nodes", "they have"
	}
	what := "empty or missing"
	if slices.ContainsFunc(found, func(f Found) bool { return f.State == Other }) {
		what = "without " + identityName + " and tables"
	}
	advice := "put back what is missing as it was: the nodes that have their directories are no majority, and can't " +
		"serve without it"
	if left := len(found) - len(lost) - len(without); left > len(found)/2 {
		advice = "put back what is missing as it was, or start the other nodes one by one, each by a file with a " +
			"cluster section"
	}
	return refuse("%s %s %s, but %s is that of %v: %s would take part without what %s promised the others, "+
		"which could lose writes; %s", list(lost), are, what, f.Dir, f.Is, they, its, advice)
}

// NoTables returns the error of a node's directory that has its identity, and no tables.
func (is *Identity) NoTables(dir string) error {
	return refuse(
		"%s: the tables of %v are missing: it would take part without what it has promised the others, which "+
			"could lose writes; put the directory back as it was", dir, is)
}

// NoIdentity returns the error of directories that have tables, and should be those of a cluster's
// nodes, but have no identity.
func NoIdentity(dirs ...string) error {
	have, them := "has", "it is the directory of a cluster's node, put that file back"
	if len(dirs) > 1 {
		have, them = "have", "they are the directories of a cluster's nodes, put those files back"
	}
	return refuse("%s %s tables, but %s, a node's identity, is missing: if %s; if these are the tables of a single "+
		"node, choose another directory with --data", list(dirs), have, identityName, them)
}

// list returns names as a sentence does.
func list(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

func refuse(format string, args ...any) error {
	return holdfast.Errorf(holdfast.Invalid, format, args...)
}
