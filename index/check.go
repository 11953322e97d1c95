package index

import (
	"context"
	"fmt"
	"slices"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// A Fault is an entry that differs from its item.
type Fault struct {
	Shard holdfast.ShardID // of the index
	Text  string
}

// Check compares the entries of an index with the items of its table, both of which nothing changes
// meanwhile, and reports each difference. What a shard of the index has still to apply is no fault.
// sources are the table's shards, with the first hash of each.
func Check(ctx context.Context, key item.KeySchema, sources, x Index, report func(Fault)) error {
	c := &check{ctx: ctx, key: key, sources: sources, index: x, report: report}
	for place, sh := range x.Shards {
		c.progress = append(c.progress, nil)
		for _, source := range sources.Shards {
			c.progress[place] = append(c.progress[place], sh.Progress(source.ID()))
		}
	}
	for n := range sources.Shards {
		if err := c.checkSource(n); err != nil {
			return err
		}
	}
	for place := range x.Shards {
		if err := c.checkShard(place); err != nil {
			return err
		}
	}
	return nil
}

// A check compares an index with its table.
type check struct {
	ctx      context.Context
	key      item.KeySchema
	sources  Index // without the index
	index    Index
	report   func(Fault)
	progress [][]shard.Progress             // by shard of the index, by source
	behind   []map[string]holdfast.Position // by source: the keys of items that changed lately, and when last
}

// checkSource looks for the entries of the items of a source.
func (c *check) checkSource(n int) error {
	source := c.sources.Shards[n]
	changed, err := c.changes(n)
	if err != nil {
		return err
	}
	c.behind = append(c.behind, changed)
	return c.each(source, func(key item.Key, it item.Item) error {
		entryKey, want, ok := c.index.Index.Entry(c.key, it)
		if !ok {
			return nil
		}
		place := c.index.shardOf(entryKey)
		if !c.applied(place, n, key) {
			return nil
		}
		got, err := c.index.Shards[place].Get(c.ctx, entryKey)
		switch {
		case err != nil:
			return err
		case got == nil:
			c.fault(place, "%x of shard %d has no entry in index %s", []byte(key), source.ID(), c.index.Index.Name)
		case !got.Equal(want):
			c.fault(place, "%x of shard %d: its entry in index %s isn't what it says",
				[]byte(key), source.ID(), c.index.Index.Name)
		}
		return nil
	})
}

// checkShard looks for the items of the entries of a shard of the index.
func (c *check) checkShard(place int) error {
	return c.each(c.index.Shards[place], func(key item.Key, entry item.Item) error {
		base, err := c.key.Key(entry)
		if err != nil {
			c.fault(place, "%x has no key of an item: %v", []byte(key), err)
			return nil
		}
		n := c.sources.shardOf(base)
		if !c.applied(place, n, base) {
			return nil
		}
		it, err := c.sources.Shards[n].Get(c.ctx, base)
		if err != nil {
			return err
		}
		if is, _, ok := c.index.Index.Entry(c.key, it); it == nil || !ok || string(is) != string(key) {
			c.fault(place, "%x of index %s is of no item", []byte(key), c.index.Index.Name)
		}
		return nil
	})
}

// changes returns the keys of a source's items whose last changes some shard of the index may have
// to apply.
func (c *check) changes(n int) (map[string]holdfast.Position, error) {
	from := c.progress[0][n].Applied
	for place := range c.progress {
		from = min(from, c.progress[place][n].Applied)
	}
	source, all := c.sources.Shards[n], map[string]holdfast.Position{}
	at := holdfast.Position{Index: from + 1}
	if oldest := source.Oldest(); at.Compare(oldest) < 0 {
		at = oldest
	}
	for {
		changes, next, err := source.Changes(at, shard.Limit{})
		if err != nil || len(changes) == 0 {
			return all, err
		}
		for i := range changes {
			is := changes[i].After
			if is == nil {
				is = changes[i].Before
			}
			key, err := c.key.Key(is)
			if err != nil {
				return nil, err
			}
			all[string(key)] = changes[i].Position()
		}
		at = next
	}
}

// applied reports whether a shard of the index has applied all changes of the item at a key of a
// source.
func (c *check) applied(place, n int, key item.Key) bool {
	p := c.progress[place][n]
	at, changed := c.behind[n][string(key)]
	return p.Covers(key) && (!changed || at.Index <= p.Applied)
}

// each calls f with the items of a shard.
func (c *check) each(sh *shard.Shard, f func(item.Key, item.Item) error) (err error) {
	all, err := sh.Cursor(c.ctx, shard.Span{})
	if err != nil {
		return err
	}
	defer func() {
		if closed := all.Close(); err == nil {
			err = closed
		}
	}()
	for all.Next() {
		it, err := all.Item()
		if err != nil {
			continue // the check of the shard reports it
		}
		if err := f(slices.Clone(all.Key()), it); err != nil {
			return err
		}
	}
	return all.Err()
}

func (c *check) fault(place int, format string, args ...any) {
	c.report(Fault{Shard: c.index.Shards[place].ID(), Text: fmt.Sprintf(format, args...)})
}
