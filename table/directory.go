package table

import (
	"errors"
	"maps"
	"slices"
	"sort"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/shard"
)

// A directory is the set of tables as requests see them. Reading it takes no lock: a change makes a
// new set of tables and replaces the old one whole. Only the installer changes it, one change at
// a time.
type directory struct {
	set      atomic.Pointer[tableSet]
	throttle bool // whether provisioned throughput is enforced
	now      func() time.Time

	tokenWait  time.Duration // how long a read waits for what its session has seen
	replicated bool          // the tables are those of a cluster
	joins      atomic.Bool   // this node still joins its cluster: its replicas may lack most of the items
}

// A tableSet is a snapshot of all tables, and of the removed ones whose streams are kept. It is
// immutable.
type tableSet struct {
	byName  map[string]*live
	names   []string            // sorted
	retired map[string]*retired // by ID of the table
}

// A retired is a removed table whose streams are kept.
type retired struct {
	record *catalog.Removed
	logs   []*shard.Shard // of its shards
}

func (d *directory) init(throttle bool, now func() time.Time) {
	d.throttle, d.now = throttle, now
	d.set.Store(&tableSet{byName: map[string]*live{}})
}

// table returns the table of that name, in whatever state it is; nil: there is none.
func (d *directory) table(name string) *live { return d.set.Load().byName[name] }

// serving returns the table of that name for a request for its items. NotFound if there is none,
// its items are still being copied, or this node's replicas don't have all that were copied yet, or
// join their groups.
func (d *directory) serving(name string) (*live, error) {
	t := d.table(name)
	if t == nil || t.restoring() || t.partial() || d.joins.Load() {
		return nil, missingTable()
	}
	return t, nil
}

// all returns the tables by name. The caller must not change the map.
func (d *directory) all() map[string]*live { return d.set.Load().byName }

// logsOf returns the shards that the streams of a removed table are read from; none if it has no
// streams.
func (d *directory) logsOf(id string) []*shard.Shard {
	if r := d.set.Load().retired[id]; r != nil {
		return r.logs
	}
	return nil
}

// list returns up to limit names, sorted, that come after a name. more reports whether there are
// others.
func (d *directory) list(after string, limit int) (names []string, more bool) {
	all := d.set.Load().names
	from := sort.Search(len(all), func(i int) bool { return all[i] > after })
	to := min(len(all), from+limit)
	return slices.Clone(all[from:to]), to < len(all)
}

// publish makes a table visible to requests as its record describes it, with its shards, in place
// of the table that had the name. pending is that of the live; 0: none. The catalog is
// locked.
func (d *directory) publish(r *catalog.Table, o opened, pending catalog.Status) *live {
	t := d.view(r, o)
	t.pending.Store(uint32(pending))
	d.replace(t)
	return t
}

// amend publishes a change that isn't a request's: a change that requests see as pending stays
// pending. The catalog is locked.
func (d *directory) amend(r *catalog.Table, o opened) {
	old := d.table(r.Table.Name)
	t := d.view(r, o)
	t.changed = old.changed
	t.pending.Store(old.pending.Load())
	d.replace(t)
}

// view returns what requests see of a record.
func (d *directory) view(r *catalog.Table, o opened) *live {
	t := newLive(r, o, d.now())
	t.tokenWait, t.replicated = d.tokenWait, d.replicated
	if d.throttle {
		t.throughput = newThroughput(&r.Table, d.table(r.Table.Name), d.now)
	}
	return t
}

func (d *directory) replace(t *live) {
	old := d.set.Load()
	set := &tableSet{byName: make(map[string]*live, len(old.byName)+1), names: old.names, retired: old.retired}
	for name, other := range old.byName {
		set.byName[name] = other
	}
	if at, ok := slices.BinarySearch(old.names, t.desc.Name); !ok {
		set.names = slices.Insert(slices.Clone(old.names), at, t.desc.Name)
	}
	set.byName[t.desc.Name] = t
	d.set.Store(set)
}

// withdraw hides a table from requests, but for the streams that are left of it; a nil rest has
// none. The catalog is locked.
func (d *directory) withdraw(name string, rest *catalog.Removed) {
	old := d.set.Load()
	set := &tableSet{
		byName: make(map[string]*live, len(old.byName)), names: slices.Clone(old.names), retired: old.retired,
	}
	if t := old.byName[name]; rest != nil && len(rest.Streams) > 0 {
		set.retired = with(old.retired, &retired{rest, slices.Concat(t.shards, t.closed)})
	}
	for other, t := range old.byName {
		if other != name {
			set.byName[other] = t
		}
	}
	set.names = slices.DeleteFunc(set.names, func(other string) bool { return other == name })
	d.set.Store(set)
}

// retire has requests find the streams of a removed table. The catalog is locked.
func (d *directory) retire(r *catalog.Removed, logs []*shard.Shard) {
	set := *d.set.Load()
	set.retired = with(set.retired, &retired{r, logs})
	d.set.Store(&set)
}

// with returns the removed tables with another one.
func with(all map[string]*retired, r *retired) map[string]*retired {
	next := maps.Clone(all)
	if next == nil {
		next = map[string]*retired{}
	}
	next[r.record.ID] = r
	return next
}

// forget hides the streams of a removed table. The catalog is locked.
func (d *directory) forget(id string) {
	set := *d.set.Load()
	set.retired = maps.Clone(set.retired)
	delete(set.retired, id)
	d.set.Store(&set)
}

// outlived returns err, with the table's name if it is one of a shard's group, or the error of a
// missing table if the table's shards are closed because it was removed.
func (d *directory) outlived(t *live, err error) error {
	if !errors.Is(err, holdfast.Closed) {
		return t.naming(err)
	}
	if is, missing := d.serving(t.desc.Name); missing != nil || is.desc.ID != t.desc.ID {
		return missingTable()
	}
	return err
}

// outlivedAny is outlived for a commit of several tables.
func (d *directory) outlivedAny(changes []*change, err error) error {
	err = asking(changes, err)
	for _, c := range changes {
		if outlived := d.outlived(c.t, err); outlived != err {
			return outlived
		}
	}
	return err
}
