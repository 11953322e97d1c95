package catalog

import (
	"maps"

	"holdfast"
	"holdfast/shard"
)

// Contents are the state of a catalog. They are immutable, and so are the entries in them.
type Contents struct {
	Tables  map[string]*Table   // by name
	Backups map[string]*Backup  // by ID
	Removed map[string]*Removed // by ID of the table or backup
	Ledger  *Ledger             // nil: there is none yet
	Nodes   *Nodes              // of a cluster; nil: those that have formed it
	Next    holdfast.ShardID    // no shard or space has this ID or a higher one
}

// An Entry is a *Table, a *Backup, a *Removed, a *Ledger or a *Nodes.
type Entry interface {
	recordName() string
	encoded() shard.Record
	addTo(*Contents)      // in place of the entry of that name, if there is one
	removeFrom(*Contents) // the entry of that name
}

// A Revision is a change of the contents that happens whole or not at all.
type Revision struct {
	Remove, Put []Entry // those of Remove first
	Removal     bool    // disk space is given back in the end, so that a full disk takes it, too

	next holdfast.ShardID // what Contents.Next becomes; 0: it stays
}

// Apply returns the contents after a revision. It leaves c as it is.
func (c Contents) Apply(v Revision) Contents {
	c.Tables, c.Backups, c.Removed = maps.Clone(c.Tables), maps.Clone(c.Backups), maps.Clone(c.Removed)
	for _, e := range v.Remove {
		e.removeFrom(&c)
	}
	for _, e := range v.Put {
		e.addTo(&c)
	}
	if v.next > 0 {
		c.Next = v.next
	}
	return c
}

// records returns what the revision changes on disk.
func (v *Revision) records() []shard.Record {
	all := make([]shard.Record, 0, len(v.Remove)+len(v.Put)+1)
	for _, e := range v.Remove {
		all = append(all, shard.Record{Name: e.recordName()})
	}
	for _, e := range v.Put {
		all = append(all, e.encoded())
	}
	if v.next > 0 {
		all = append(all, encode(nextName, nextIDs{Version: nextVersion, Shard: v.next}))
	}
	return all
}

// Copied reports whether such a copy is under way.
func (c *Contents) Copied(such func(*Copying) bool) bool {
	for _, r := range c.Tables {
		if r.Copy != nil && such(r.Copy) {
			return true
		}
	}
	for _, b := range c.Backups {
		if b.Copy != nil && such(b.Copy) {
			return true
		}
	}
	return false
}
