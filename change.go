package holdfast

import "time"

// A Change is what a transaction did to one item. Image is the form of the item before and after it:
// an item of our tables, or a row of a database that is followed. Its zero value is no item.
type Change[Image any] struct {
	Tx     TxID
	N      uint32    // among the changes of that transaction in this shard
	At     time.Time // the transaction's, which may be below that of an earlier one of the shard
	Origin Origin

	Before, After Image
}

// Position returns where the change is in the log of its shard.
func (c *Change[Image]) Position() Position { return Position{Index: c.Tx.Index, N: c.N} }

// An Origin is what changed an item. The numbers are on disk.
type Origin uint8

// The origins of changes.
const (
	ByClient Origin = iota
	ByExpiry        // its time to live has ended
)
