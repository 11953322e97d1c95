package holdfast

import "fmt"

// A ShardID names a shard for good: it is never given to another. 0 is none.
type ShardID uint64

// A TxID is the transaction ID of a commit: its place in the log of its shard, which is a logical
// time and never a clock reading. Those of one shard are compared by Index. Term is that of the
// leader that gave the index; with one replica it is always 1.
type TxID struct {
	Shard ShardID
	Term  uint64
	Index uint64 // from 1, without gaps; 0 is before the first
}

func (t TxID) String() string { return fmt.Sprintf("%d/%d/%d", t.Shard, t.Term, t.Index) }
