package group

import (
	"slices"

	"holdfast"
	"holdfast/shard"
)

// Known reports whether a store has a replica of a shard's group, be it one that was founded or one
// that has joined. A node without one must not found the group again, unless it never had one.
func Known(store *shard.Store, id holdfast.ShardID) (bool, error) {
	log, err := shard.OpenGroupLog(store, id)
	if err != nil {
		return false, err
	}
	raw, err := log.State()
	return raw != nil, err
}

// Learns reports whether a node has the log, and doesn't count for any majority.
func (m *Members) Learns(id holdfast.NodeID) bool { return slices.Contains(m.Learners, id) }

// Joint reports whether a change of several voters is under way: it ends by itself.
func (m *Members) Joint() bool { return m.joint() }
