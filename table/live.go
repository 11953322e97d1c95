package table

import (
	"log/slog"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// A Store is all tables of a node.
type Store struct {
	disk           *shard.Store
	shardsPerTable int
	throttle       bool
	log            *slog.Logger
	now            func() time.Time

	tables atomic.Pointer[tableSet] // what requests see; replaced under mu

	mu      sync.Mutex          // guards what follows, and is held through each change of the catalog
	catalog map[string]*record  // by table
	removed map[string]*removed // by ID of the table or backup: shards that are still to go
	backups map[string]*backup  // by ID
	next    holdfast.ShardID    // the next ID that no shard has had
	closed  bool                // no change begins any more

	background background
}

// A tableSet is all tables at one moment. It is immutable.
type tableSet struct {
	byName map[string]*live
	names  []string // sorted
}

// live returns the table of that name, for a request for its items.
func (s *Store) live(name string) (*live, error) {
	t, ok := s.tables.Load().byName[name]
	if !ok || t.restoring() {
		return nil, holdfast.Errorf(holdfast.NotFound, "Requested resource not found")
	}
	return t, nil
}

// A live is a table as requests see it. It is immutable: a change of the table makes another. Only its buckets are filled and
// emptied, and settling is cleared.
type live struct {
	desc    Description   // without counts
	schema  shard.Schema  // of its shards: keys and the indexes that have entries
	key     item.IndexKey // schema.Key, as queries of the table go by it
	shards  []*shard.Shard
	starts  []uint64  // the first hash of each shard, rising from 0
	since   time.Time // from when it can be restored as it was; zero: it can't
	indexes map[string]liveIndex

	// buckets has the throughput of the table under "", and of each global index under its name; it is empty where nothing is
	// bounded.
	buckets map[string]buckets

	settling atomic.Uint32 // the Status that the last change is answered with, until somebody is told that it is over; then 0
	changed  time.Time     // when it was made
}

// A liveIndex is an index of the schema.
type liveIndex struct {
	index  *item.Index // in live.schema
	active bool        // it has the entries of all items
}

// Buckets are what is left of a throughput. A nil bucket has no bound.
type buckets struct{ read, write *bucket }

// shard returns the shard of an item.
func (t *live) shard(key item.Key) *shard.Shard {
	if len(t.shards) == 1 {
		return t.shards[0]
	}
	hash := key.Hash()
	return t.shards[sort.Search(len(t.starts), func(i int) bool { return t.starts[i] > hash })-1]
}

// index returns the index of that name. It can be queried only if it is active; one that isn't is being filled or removed.
func (t *live) index(name string) (x *item.Index, active, ok bool) {
	entry, ok := t.indexes[name]
	return entry.index, entry.active, ok
}

// restoring says whether the table's items are still being copied.
func (t *live) restoring() bool { return t.desc.Restored != nil && t.desc.Restored.InProgress }

// newLive returns what requests shall see of a record.
func (s *Store) newLive(r *record, shards []*shard.Shard) *live {
	t := &live{desc: r.Table, schema: r.schema(), key: r.Table.Key.Index(), shards: shards, since: r.Since, changed: s.now(), indexes: map[string]liveIndex{}}
	for _, part := range r.Shards {
		t.starts = append(t.starts, part.Start)
	}
	for i := range t.schema.Indexes {
		x := &t.schema.Indexes[i]
		d := r.Table.Indexes[slices.IndexFunc(r.Table.Indexes, func(d IndexDescription) bool { return d.Index.ID == x.ID })]
		t.indexes[x.Name] = liveIndex{index: x, active: d.Status == Active}
	}
	t.buckets = s.newBuckets(&r.Table, s.tables.Load().byName[r.Table.Name])
	return t
}

// newBuckets returns full buckets for a table and its global indexes, if throughput is enforced. Those of which the bound stays
// are taken from old, the table before, if there is one.
func (s *Store) newBuckets(d *Description, old *live) map[string]buckets {
	if !s.throttle {
		return nil
	}
	now, all := s.now(), map[string]buckets{}
	add := func(name string, provisioned, limit Throughput) {
		bound, was := provisioned, buckets{}
		if d.Billing == OnDemand {
			bound = limit
		}
		if old != nil && old.desc.ID == d.ID {
			was = old.buckets[name]
		}
		all[name] = buckets{read: refill(was.read, bound.Read, now), write: refill(was.write, bound.Write, now)}
	}
	add("", d.Throughput, d.OnDemandLimit)
	for _, x := range d.Indexes {
		if !x.Index.Local {
			add(x.Index.Name, x.Throughput, x.OnDemandLimit)
		}
	}
	return all
}

// refill returns a bucket of that rate: the one there was, or a full one.
func refill(was *bucket, unitsPerSecond int64, now time.Time) *bucket {
	if was != nil && was.unitsPerSecond == float64(unitsPerSecond) {
		return was
	}
	return newBucket(unitsPerSecond, now)
}

// publish makes t what requests see under its name.
func (s *Store) publish(t *live) {
	old := s.tables.Load()
	set := &tableSet{byName: make(map[string]*live, len(old.byName)+1), names: old.names}
	for name, other := range old.byName {
		set.byName[name] = other
	}
	if at, ok := slices.BinarySearch(old.names, t.desc.Name); !ok {
		set.names = slices.Insert(slices.Clone(old.names), at, t.desc.Name)
	}
	set.byName[t.desc.Name] = t
	s.tables.Store(set)
}

// withdraw makes a table unseen.
func (s *Store) withdraw(name string) {
	old := s.tables.Load()
	set := &tableSet{byName: make(map[string]*live, len(old.byName)), names: slices.Clone(old.names)}
	for other, t := range old.byName {
		if other != name {
			set.byName[other] = t
		}
	}
	set.names = slices.DeleteFunc(set.names, func(other string) bool { return other == name })
	s.tables.Store(set)
}
