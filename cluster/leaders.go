package cluster

import "holdfast"

// Transfers returns the shards whose groups a node must hand over to the node that leads the
// catalog's group, of those that it leads, which led returns: one node leads all groups, so that what needs several of
// them finds all their leaders in one place. catalogLeader is 0 while nobody is known to lead it;
// then nothing is handed over, since a leader that can't be replaced yet is better than none.
func Transfers(catalogLeader, self holdfast.NodeID, led func() []holdfast.ShardID) []holdfast.ShardID {
	if catalogLeader == 0 || catalogLeader == self {
		return nil
	}
	return led()
}
