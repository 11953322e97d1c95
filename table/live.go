package table

import (
	"sort"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// A live is a table as requests see it. It is immutable: a change of the table makes another one.
// Only its throughput is consumed, and pending is cleared.
type live struct {
	opened
	desc    catalog.Description // without counts
	streams []catalog.Stream    // some may no longer be readable
	schema  shard.Schema        // of its shards
	key     item.IndexKey       // schema.Key, in the form that queries use
	starts  []uint64            // the first hash of each shard, rising from 0
	since   time.Time           // from when it can be restored to a point in time; zero: it can't
	entries []item.Index        // the indexes that have entries or are being filled
	indexes map[string]liveIndex

	// whole is that of the record; arrived is set when the shards here have got there.
	whole   map[holdfast.ShardID]holdfast.Position
	arrived atomic.Bool

	throughput  *throughput          // nil: no limit
	acknowledge holdfast.Acknowledge // what writes wait for, by the table's setting
	tokenWait   time.Duration
	replicated  bool // its shards have groups

	// pending is the Status in the response to the last change, until a Describe reports that the
	// change is complete; then 0.
	pending atomic.Uint32
	changed time.Time // when that change was made
}

// A liveIndex is an index of the schema.
type liveIndex struct {
	index  *item.Index // in live.entries
	active bool        // it has the entries of all items
}

// newLive returns what requests see of a record that was changed at now, without a limit to its
// throughput.
func newLive(r *catalog.Table, o opened, now time.Time) *live {
	t := &live{
		opened: o, desc: r.Table, streams: r.Streams, schema: r.Schema(), key: r.Table.Key.Index(), since: r.Since,
		changed: now, entries: r.Entries(), indexes: map[string]liveIndex{}, whole: r.Whole,
		acknowledge: r.Table.Acknowledge(),
	}
	for _, part := range r.Shards {
		t.starts = append(t.starts, part.FirstHash())
	}
	for i := range t.entries {
		x := &t.entries[i]
		t.indexes[x.Name] = liveIndex{index: x, active: r.Index(x.Name).Status == catalog.Active}
	}
	return t
}

// shard returns the shard of an item.
func (t *live) shard(key item.Key) *shard.Shard {
	if len(t.shards) == 1 {
		return t.shards[0]
	}
	hash := key.Hash()
	return t.shards[sort.Search(len(t.starts), func(i int) bool { return t.starts[i] > hash })-1]
}

// index returns the index of that name. It can be queried only if it is active; one that isn't is
// being filled or removed.
func (t *live) index(name string) (x *item.Index, active, ok bool) {
	entry, ok := t.indexes[name]
	return entry.index, entry.active, ok
}

// restoring reports whether the table's items are still being copied.
func (t *live) restoring() bool { return t.desc.Restored != nil && t.desc.Restored.InProgress }

// partial reports whether a replica here lags so far behind that it lacks items of a table that was
// restored, or entries of its local indexes.
func (t *live) partial() bool {
	if len(t.whole) == 0 || t.arrived.Load() {
		return false
	}
	for _, sh := range t.shards {
		if sh.End().Compare(t.whole[sh.ID()]) < 0 {
			return true
		}
	}
	t.arrived.Store(true)
	return false
}

// busy returns an error if the table's settings can't be changed at now.
func (t *live) busy(now time.Time) error {
	status := t.desc.Status
	if status == catalog.Active && now.Sub(t.changed) < changeTime {
		status = catalog.Status(t.pending.Load())
	}
	switch status {
	case catalog.Creating:
		return inUse("created", t.desc.Name)
	case catalog.Updating:
		return inUse("updated", t.desc.Name)
	}
	return nil
}
