package table

import (
	"context"
	"slices"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/shard"
)

// changeTime is how long a change of a table's settings keeps the next one waiting, unless a
// Describe in between reports that it is over. DynamoDB takes seconds to minutes; clients know that
// they must wait.
const changeTime = time.Second

// Describe returns the description of a table. NotFound if there is none.
func (s *Store) Describe(name string) (catalog.Description, error) {
	t := s.tables.table(name)
	if t == nil {
		return catalog.Description{}, noTable(name)
	}
	t.pending.Store(0)
	for id := range t.globals {
		if t.followers == nil {
			break // this node isn't the active one of its cluster
		}
		_ = t.followers.Wait(context.Background(), id) // its error is the context's
	}
	return t.describe(s.now()), nil
}

// List returns up to limit names of tables, sorted, that come after a name. more reports whether
// there are others.
func (s *Store) List(after string, limit int) (names []string, more bool) {
	return s.tables.list(after, limit)
}

// describe returns the description of a table at now, with what its shards hold.
func (t *live) describe(now time.Time) catalog.Description {
	d := t.desc
	d.Indexes = slices.Clone(d.Indexes)
	byID := map[uint32]*catalog.IndexDescription{}
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
	for id, global := range t.globals {
		x := byID[id]
		for _, sh := range global.Shards {
			counts := sh.Counts()
			x.Items += counts.Items
			x.ItemBytes += counts.ItemBytes
		}
	}
	d.Age(now)
	d.PointInTime = t.pointInTime(now)
	return d
}

// time returns now, or the time of the newest change of the table if the clock that has given it
// that is ahead: another node's, or this one before it was set back.
func (t *live) time(now time.Time) time.Time {
	for _, sh := range t.shards {
		if at := sh.Time(); at.After(now) {
			now = at
		}
	}
	return now
}

// pointInTime returns from when to when a table can be restored: from when that was switched on, or
// from the oldest change whose before-image the log still has. The earliest time is one that an
// answer can say, and a client can ask for.
func (t *live) pointInTime(now time.Time) catalog.PointInTime {
	if t.since.IsZero() {
		return catalog.PointInTime{}
	}
	p := catalog.PointInTime{On: true, Earliest: t.since, Latest: t.time(now)}
	for _, sh := range t.shards {
		oldest, _, err := sh.Changes(holdfast.Position{}, shard.Limit{Changes: 1})
		if err == nil && len(oldest) == 1 && oldest[0].Tx.Index > 1 && oldest[0].At.After(p.Earliest) {
			p.Earliest = oldest[0].At
		}
	}
	if said := p.Earliest.Truncate(catalog.TimeUnit); said.Before(p.Earliest) {
		p.Earliest = said.Add(catalog.TimeUnit)
	}
	return p
}
