package table

import (
	"slices"
	"sort"
	"time"

	"holdfast/shard"
)

// settleTime is how long a change of a table's settings keeps the next one waiting, unless somebody asks in between and is told
// that it is over. DynamoDB takes seconds to minutes; clients know that they must wait.
const settleTime = time.Second

// Describe returns what is known of a table. NotFound if there is none.
func (s *Store) Describe(name string) (Description, error) {
	t, ok := s.tables.Load().byName[name]
	if !ok {
		return Description{}, noTable(name)
	}
	t.settling.Store(0)
	return s.describe(t), nil
}

// HasIndex says whether the table has an index of that name.
func (d *Description) HasIndex(name string) bool {
	return slices.ContainsFunc(d.Indexes, func(x IndexDescription) bool { return x.Index.Name == name })
}

// List returns up to limit names of tables, sorted, from the one behind after. more says whether there are others.
func (s *Store) List(after string, limit int) (names []string, more bool) {
	all := s.tables.Load().names
	from := sort.Search(len(all), func(i int) bool { return all[i] > after })
	to := min(len(all), from+limit)
	return slices.Clone(all[from:to]), to < len(all)
}

// describe returns what is known of a table, with what its shards hold now.
func (s *Store) describe(t *live) Description {
	d := t.desc
	d.Indexes = slices.Clone(d.Indexes)
	byID := map[uint32]*IndexDescription{}
	for i := range d.Indexes {
		byID[d.Indexes[i].Index.ID] = &d.Indexes[i]
	}
	for _, sh := range t.shards {
		counts := sh.Counts()
		d.Items += counts.Items
		d.ItemBytes += counts.ItemBytes
		for id, n := range counts.Indexes {
			if x := byID[id]; x != nil {
				x.Items += n.Items
				x.ItemBytes += n.Bytes
			}
		}
	}
	s.age(&d)
	d.PointInTime = s.pointInTime(t)
	return d
}

// age forgets decreases of throughput that weren't today.
func (s *Store) age(d *Description) {
	today := s.now().UTC().Truncate(24 * time.Hour)
	if d.LastDecrease.Before(today) {
		d.DecreasesToday = 0
	}
	for i := range d.Indexes {
		if d.Indexes[i].LastDecrease.Before(today) {
			d.Indexes[i].DecreasesToday = 0
		}
	}
}

// pointInTime returns from when to when a table can be restored: from when that was switched on, or from the oldest change of
// which the log still has what was before.
func (s *Store) pointInTime(t *live) PointInTime {
	if t.since.IsZero() {
		return PointInTime{}
	}
	p := PointInTime{On: true, Earliest: t.since, Latest: s.now()}
	for _, sh := range t.shards {
		oldest, _, err := sh.Changes(shard.Position{}, shard.Limit{Changes: 1})
		if err == nil && len(oldest) == 1 && oldest[0].Tx.Index > 1 && oldest[0].At.After(p.Earliest) {
			p.Earliest = oldest[0].At
		}
	}
	return p
}

// busy returns an error if a table's settings can't be changed now. s.mu is held.
func (s *Store) busy(r *record) error {
	name := r.Table.Name
	switch r.Table.Status {
	case Creating:
		return inUse("created", name)
	case Updating:
		return inUse("updated", name)
	}
	t := s.tables.Load().byName[name]
	if s.now().Sub(t.changed) >= settleTime {
		return nil
	}
	switch Status(t.settling.Load()) {
	case Creating:
		return inUse("created", name)
	case Updating:
		return inUse("updated", name)
	}
	return nil
}
