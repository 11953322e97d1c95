package cluster

import (
	"maps"
	"slices"

	"holdfast"
)

// A Compared is what one replica of a shard has as of a transaction: the text of its checksum, or why
// its disk can't be read.
type Compared struct {
	Sum        string
	Unreadable string // why; "": it can
}

// A Verdict is what a comparison of replicas says of them. All lists are by rising ID.
type Verdict struct {
	Agree []holdfast.NodeID // a majority of the voters, and learners, with one checksum; nil: there is no majority
	Odd   []holdfast.NodeID // those that differ from that majority, or can't be read; they are at fault

	// Differ says that replicas differ, or one can't be read. Without a majority nobody knows which of
	// them is at fault.
	Differ bool
}

// Compare compares what the replicas of a shard have as of one transaction. voters are all that the
// group has, also those of which nothing was found: a majority is one of them. The node that leads has
// no say beyond its vote.
func Compare(voters []holdfast.NodeID, found map[holdfast.NodeID]Compared) (v Verdict) {
	votes, sums := map[string]int{}, map[string]bool{}
	for id, f := range found {
		if f.Unreadable != "" {
			v.Differ = true
			continue
		}
		sums[f.Sum] = true
		if slices.Contains(voters, id) {
			votes[f.Sum]++
		}
	}
	v.Differ = v.Differ || len(sums) > 1
	for sum, n := range votes {
		if 2*n <= len(voters) {
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(found)) {
			if f := found[id]; f.Unreadable == "" && f.Sum == sum {
				v.Agree = append(v.Agree, id)
			} else {
				v.Odd = append(v.Odd, id)
			}
		}
	}
	return v
}
