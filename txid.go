package holdfast

import (
	"cmp"
	"fmt"
)

// A NodeID names a node of a cluster for good: it is never given to another. 0 is none.
type NodeID uint64

// A ShardID names a shard for good: it is never given to another. 0 is none.
type ShardID uint64

// A SpaceID names a space for good: the keys of a table, of a backup or of a global index, which
// shards divide among them. Its number is drawn from the same counter as the IDs of shards. 0 is none.
type SpaceID uint64

// A TxID is the transaction ID of a commit: its place in the log of its shard, which is a logical
// time and never a clock reading. Those of one shard are compared by Index. Term is that of the
// leader that gave the index: a number that no other leader of the shard has, see GroupTerm.
type TxID struct {
	Shard ShardID
	Term  uint64
	Index uint64 // from 1, rising, and users must expect gaps; 0 is before the first
}

// SaltBits is how many bits of the terms of a group are random.
const SaltBits = 24

// GroupTerm returns the term of a leader of a shard's group: the term in which Raft has elected it,
// and below that its salt, of SaltBits. Raft counts its terms, so it counts them again in a copy of
// the group's logs: another leader is elected in a term that has been before. By the salts, their
// transactions differ.
func GroupTerm(raft uint64, salt uint32) uint64 { return raft<<SaltBits | uint64(salt) }

// RaftTerm returns the term of Raft in that of a group's leader. A term without salt, of a former
// version, is that of Raft.
func RaftTerm(term uint64) uint64 {
	if term < 1<<SaltBits {
		return term
	}
	return term >> SaltBits
}

func (t TxID) String() string { return fmt.Sprintf("%d/%d/%d", t.Shard, t.Term, t.Index) }

// A Position is a place in the log of a shard, before a change. The zero Position is before the
// oldest change that is kept.
type Position struct {
	Index uint64 // of the change's transaction
	N     uint32 // which of its changes, from 0
}

// Compare returns -1, 0 or 1 as p is before, at, or behind o. Both must be of one shard.
func (p Position) Compare(o Position) int {
	return cmp.Or(cmp.Compare(p.Index, o.Index), cmp.Compare(p.N, o.N))
}
