package table

import (
	"errors"
	"slices"
	"sort"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/catalog"
)

// A directory is the set of tables as requests see them. Reading it takes no lock: a change makes a
// new set of tables and replaces the old one whole. Only the installer changes it, one change at
// a time.
type directory struct {
	set      atomic.Pointer[tableSet]
	throttle bool // whether provisioned throughput is enforced
	now      func() time.Time
}

// A tableSet is a snapshot of all tables. It is immutable.
type tableSet struct {
	byName map[string]*live
	names  []string // sorted
}

func (d *directory) init(throttle bool, now func() time.Time) {
	d.throttle, d.now = throttle, now
	d.set.Store(&tableSet{byName: map[string]*live{}})
}

// table returns the table of that name, in whatever state it is; nil: there is none.
func (d *directory) table(name string) *live { return d.set.Load().byName[name] }

// serving returns the table of that name for a request for its items. NotFound if there is none, or
// its items are still being copied.
func (d *directory) serving(name string) (*live, error) {
	t := d.table(name)
	if t == nil || t.restoring() {
		return nil, missingTable()
	}
	return t, nil
}

// all returns the tables by name. The caller must not change the map.
func (d *directory) all() map[string]*live { return d.set.Load().byName }

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

// amend publishes a change of the description alone: the shards stay, and a change that requests
// see as pending stays pending. The catalog is locked.
func (d *directory) amend(r *catalog.Table) {
	old := d.table(r.Table.Name)
	t := d.view(r, old.opened)
	t.changed = old.changed
	t.pending.Store(old.pending.Load())
	d.replace(t)
}

// view returns what requests see of a record.
func (d *directory) view(r *catalog.Table, o opened) *live {
	t := newLive(r, o, d.now())
	if d.throttle {
		t.throughput = newThroughput(&r.Table, d.table(r.Table.Name), d.now)
	}
	return t
}

func (d *directory) replace(t *live) {
	old := d.set.Load()
	set := &tableSet{byName: make(map[string]*live, len(old.byName)+1), names: old.names}
	for name, other := range old.byName {
		set.byName[name] = other
	}
	if at, ok := slices.BinarySearch(old.names, t.desc.Name); !ok {
		set.names = slices.Insert(slices.Clone(old.names), at, t.desc.Name)
	}
	set.byName[t.desc.Name] = t
	d.set.Store(set)
}

// withdraw hides a table from requests. The catalog is locked.
func (d *directory) withdraw(name string) {
	old := d.set.Load()
	set := &tableSet{byName: make(map[string]*live, len(old.byName)), names: slices.Clone(old.names)}
	for other, t := range old.byName {
		if other != name {
			set.byName[other] = t
		}
	}
	set.names = slices.DeleteFunc(set.names, func(other string) bool { return other == name })
	d.set.Store(set)
}

// outlived returns err, or the error of a missing table if the table's shards are closed because it
// was removed.
func (d *directory) outlived(t *live, err error) error {
	if !errors.Is(err, holdfast.Closed) {
		return err
	}
	if is, missing := d.serving(t.desc.Name); missing != nil || is.desc.ID != t.desc.ID {
		return missingTable()
	}
	return err
}

// outlivedAny is outlived for a commit of several tables.
func (d *directory) outlivedAny(changes []*change, err error) error {
	for _, c := range changes {
		if outlived := d.outlived(c.t, err); outlived != err {
			return outlived
		}
	}
	return err
}
