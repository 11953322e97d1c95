package catalog

import (
	"context"
	"encoding/json"

	"holdfast"
	"holdfast/shard"
)

// ledgerName is the name of the record of the ledger, in which transactions are decided.
const ledgerName = "ledger"

// A Ledger is the record of the ledger's space and shards. There is one, from the first start on.
type Ledger struct {
	Version int
	Space   holdfast.SpaceID
	Shards  []Shard
}

const ledgerVersion = 1

func (l *Ledger) recordName() string     { return ledgerName }
func (l *Ledger) addTo(c *Contents)      { c.Ledger = l }
func (l *Ledger) removeFrom(c *Contents) { c.Ledger = nil }
func (l *Ledger) latest() int            { return ledgerVersion }

// encoded returns the ledger as a record of the disk.
func (l *Ledger) encoded() shard.Record {
	c := *l
	c.Version = ledgerVersion
	return encode(ledgerName, &c)
}

func (l *Ledger) decode(_ int, value []byte) error { return json.Unmarshal(value, l) }

// OpenLedger returns the ledger, and makes its record, with one shard, if there is none. A full disk
// takes the record, since nothing else could be opened otherwise. It is called between Lock and
// Unlock.
func (c *Catalog) OpenLedger(ctx context.Context) (*Ledger, error) {
	if c.is.Ledger != nil {
		return c.is.Ledger, nil
	}
	l := &Ledger{Space: holdfast.SpaceID(c.next), Shards: []Shard{{ID: c.next + 1}}}
	err := c.Commit(ctx, Revision{Put: []Entry{l}, Removal: true, next: max(c.is.Next, c.next+2)})
	if err != nil {
		return nil, err
	}
	c.next += 2
	return l, nil
}
