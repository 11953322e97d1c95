package table

import (
	"context"
	"slices"

	"holdfast/item"
	"holdfast/shard"
)

const (
	// batchBytes is how much a BatchGet returns at most, as items count.
	batchBytes = 16 << 20
	// batchShardBytes is how much it returns of one shard: a page, and what one item may have
	// beyond.
	batchShardBytes = pageBytes + item.MaxItemBytes - 3
	// batchCommitBytes is about how much a BatchWrite commits at once.
	batchCommitBytes = 4 << 20
)

const duplicates = "Provided list of item keys contains duplicates"

// BatchGet returns several items: got has one for each of gets, in order. It reads up to 16 MiB,
// and of one shard up to 1 MiB and an item, as long as there is throughput; unprocessed has the
// places in gets of the others, for another request. caps has what each table consumed. It is
// Overloaded if nothing could be read. Errors are else those of Get.
func (s *Store) BatchGet(ctx context.Context, gets []Get) (got []Got, unprocessed []int, caps []Capacity, err error) {
	if err := checkDistinct(gets); err != nil {
		return nil, nil, nil, err
	}
	b, err := s.locateGets(gets)
	if err != nil {
		return nil, nil, nil, err
	}
	b.got = make([]Got, len(gets))
	for i := range gets {
		if err := b.get(ctx, i); err != nil {
			return nil, nil, nil, s.tables.outlived(b.tables[i], err)
		}
	}
	if len(b.unprocessed) == len(gets) && b.refused != nil {
		return nil, nil, nil, b.refused
	}
	return b.got, b.unprocessed, b.caps, nil
}

// A getBatch is a BatchGet in progress.
type getBatch struct {
	gets        []Get
	tables      []*live
	keys        []item.Key
	got         []Got
	unprocessed []int
	refused     error // why a get was unprocessed for want of throughput
	bytes       int
	shardBytes  map[*shard.Shard]int
	confirmed   map[*shard.Shard]bool // those that need not be confirmed again
	caps        capacities
}

// locateGets finds the tables and keys of gets.
func (s *Store) locateGets(gets []Get) (*getBatch, error) {
	b := &getBatch{gets: gets, tables: make([]*live, len(gets)), keys: make([]item.Key, len(gets)),
		shardBytes: map[*shard.Shard]int{}, confirmed: map[*shard.Shard]bool{}}
	for i, g := range gets {
		t, err := s.tables.serving(g.Table)
		if err != nil {
			return nil, err
		}
		b.tables[i] = t
		if b.keys[i], err = t.schema.Key.Exact(g.Key); err != nil {
			return nil, err
		}
		if err := t.checkNested(g.Project.Nested()); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// get reads the i-th item, if the response has space for it.
func (b *getBatch) get(ctx context.Context, i int) error {
	g, t, key := b.gets[i], b.tables[i], b.keys[i]
	if err := t.throughput.admitRead(nil); err != nil {
		b.refused, b.unprocessed = err, append(b.unprocessed, i)
		return nil
	}
	sh, session := t.shard(key), sessionOf(ctx)
	if err := t.readable(ctx, sh, session, g.Consistent && !b.confirmed[sh]); err != nil {
		return err
	}
	b.confirmed[sh] = b.confirmed[sh] || g.Consistent
	it, err := sh.Get(ctx, key)
	if err != nil {
		return err
	}
	session.see(sh)
	size := it.Size()
	if b.bytes+size > batchBytes || b.shardBytes[sh]+size > batchShardBytes {
		// Finding that the item doesn't fit costs as much as the smallest read.
		b.unprocessed, size = append(b.unprocessed, i), 0
	} else {
		b.bytes += size
		b.shardBytes[sh] += size
		b.got[i].Item = g.Project.Apply(it)
	}
	c := readCapacity(g.Table, readUnits(size, g.Consistent))
	b.got[i].Capacity = c
	b.caps.add(c)
	t.throughput.spend(c)
	return nil
}

// Capacities are what several tables consumed, in the order in which they were first added.
type capacities []Capacity

func (all *capacities) add(c Capacity) {
	at := slices.IndexFunc(*all, func(sum Capacity) bool { return sum.Table == c.Table })
	if at < 0 {
		*all = append(*all, Capacity{Table: c.Table})
		at = len(*all) - 1
	}
	(*all)[at].add(c)
}

// checkDistinct returns an error if an item is asked for twice. DynamoDB checks that before it
// looks for the tables.
func checkDistinct(gets []Get) error {
	seen := make(map[string]bool, len(gets))
	var id []byte
	for _, g := range gets {
		id = append(append(id[:0], g.Table...), 0)
		id = item.Append(id, g.Key)
		if seen[string(id)] {
			return invalid(duplicates)
		}
		seen[string(id)] = true
	}
	return nil
}

// BatchWrite does several puts and deletes, of different items. They are independent: though many
// are committed together, a failure may leave some done. unprocessed has the places in ws of those
// for which there was no throughput, or that were refused when others were done; caps has what each
// table consumed, cols what is known of the item collections. It is Overloaded if nothing could be
// written. Errors are else those of Put.
func (s *Store) BatchWrite(
	ctx context.Context, ws []BatchWrite,
) (unprocessed []int, caps []Capacity, cols []Collection, err error) {
	changes, err := s.locateWrites(ws)
	if err != nil {
		return nil, nil, nil, err
	}
	session := sessionOf(ctx)
	if err := s.leads(); err != nil {
		return nil, nil, nil, err
	}
	if err := session.checkChanges(ctx, changes...); err != nil {
		return nil, nil, nil, err
	}
	defer func() { session.seeChanges(changes...) }()
	b := writeBatch{store: s, changes: changes}
	var refused error
	bytes := 0
	for _, i := range byPolicy(changes) {
		c := changes[i]
		if err := c.t.throughput.admitWrite(); err != nil {
			refused, b.unprocessed = err, append(b.unprocessed, i)
			continue
		}
		if ws[i].Put != nil {
			bytes += ws[i].Put.Item.Size()
		}
		if len(b.part) > 0 && (bytes > batchCommitBytes || b.waitsForOther(c)) {
			if err := b.commit(ctx); err != nil {
				return nil, nil, nil, err
			}
			bytes = 0
		}
		b.part = append(b.part, i)
	}
	if len(b.unprocessed) == len(ws) && refused != nil {
		return nil, nil, nil, refused
	}
	if err := b.commit(ctx); err != nil {
		return nil, nil, nil, err
	}
	slices.Sort(b.unprocessed)
	return b.unprocessed, b.caps, b.cols, nil
}

// byPolicy returns the places of changes, first those of tables whose writes wait for the least: if
// too few followers are up for the others, those alone are refused.
func byPolicy(changes []*change) []int {
	places := make([]int, len(changes))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(a, b int) int {
		return changes[a].t.acknowledge.Compare(changes[b].t.acknowledge)
	})
	return places
}

// A writeBatch is a BatchWrite in progress.
type writeBatch struct {
	store       *Store
	changes     []*change
	part        []int // the places of those that are committed next
	done        bool  // some were committed
	unprocessed []int
	caps        capacities
	cols        []Collection
}

// waitsForOther reports whether a change waits for something else than those of the part.
func (b *writeBatch) waitsForOther(c *change) bool {
	return c.t.acknowledge.Compare(b.changes[b.part[0]].t.acknowledge) != 0
}

// commit commits the part. An error that says that nothing was changed is true of the part alone:
// if others were committed before, it is left for another request.
func (b *writeBatch) commit(ctx context.Context) error {
	part := b.part
	b.part = nil
	if len(part) == 0 {
		return nil
	}
	changes := make([]*change, len(part))
	for i, at := range part {
		changes[i] = b.changes[at]
	}
	err := b.store.batchWrite(ctx, b, changes)
	if err != nil && b.done && unchanged(err) {
		b.unprocessed = append(b.unprocessed, part...)
		return nil
	}
	b.done = b.done || err == nil
	return err
}

// locateWrites checks all writes of a batch, before any is done.
func (s *Store) locateWrites(ws []BatchWrite) ([]*change, error) {
	for _, w := range ws {
		if w.Put == nil {
			continue
		}
		if err := checkItemSize(w.Put.Item); err != nil {
			return nil, err
		}
	}
	type place struct {
		t   *live
		key string
	}
	changes, seen := make([]*change, len(ws)), make(map[place]bool, len(ws))
	for i, w := range ws {
		c, err := s.batchChange(w)
		if err != nil {
			return nil, err
		}
		at := place{c.t, string(c.key)}
		if seen[at] {
			return nil, invalid(duplicates)
		}
		changes[i], seen[at] = c, true
	}
	return changes, nil
}

// batchChange checks one write of a batch. For an item without its key, DynamoDB's message differs
// from that of PutItem.
func (s *Store) batchChange(w BatchWrite) (*change, error) {
	if w.Delete != nil {
		t, err := s.tables.serving(w.Delete.Table)
		if err != nil {
			return nil, err
		}
		return t.delete(*w.Delete)
	}
	t, err := s.tables.serving(w.Put.Table)
	if err != nil {
		return nil, err
	}
	for _, part := range []item.KeyAttr{t.schema.Key.Hash, t.schema.Key.Range} {
		if v, _ := w.Put.Item.Get(part.Name); part.Name != "" && v.Type != part.Type {
			return nil, invalid(notSchema)
		}
	}
	return t.put(*w.Put)
}

// batchWrite commits some of the changes of a batch.
func (s *Store) batchWrite(ctx context.Context, b *writeBatch, changes []*change) error {
	commit := shard.Commit{Writes: make([]shard.Write, len(changes)), Acknowledge: acknowledgeOf(changes)}
	for i, c := range changes {
		commit.Writes[i] = c.write(c.make)
	}
	results, err := s.disk.Commit(ctx, commit)
	sessionOf(ctx).seeWritten(results)
	if err != nil {
		return s.tables.outlivedAny(changes, err)
	}
	for i, c := range changes {
		w := c.written(results[i])
		b.caps.add(w.Capacity)
		c.t.throughput.spend(w.Capacity)
		if w.Collection != nil {
			b.cols = append(b.cols, *w.Collection)
		}
	}
	return nil
}
