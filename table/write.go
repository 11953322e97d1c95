package table

import (
	"context"
	"errors"
	"slices"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// Put writes an item, in place of the one with its key if there is one. Errors are Invalid,
// NotFound, Overloaded, *ConditionError, and those of package shard; so are those of Delete and
// Update.
func (s *Store) Put(ctx context.Context, p Put) (Written, error) {
	if err := checkItemSize(p.Item); err != nil {
		return Written{}, err
	}
	t, err := s.tables.serving(p.Table)
	if err != nil {
		return Written{}, err
	}
	c, err := t.put(p)
	if err != nil {
		return Written{}, err
	}
	return s.write(ctx, c)
}

// Delete removes an item, if there is one.
func (s *Store) Delete(ctx context.Context, d Delete) (Written, error) {
	t, err := s.tables.serving(d.Table)
	if err != nil {
		return Written{}, err
	}
	c, err := t.delete(d)
	if err != nil {
		return Written{}, err
	}
	return s.write(ctx, c)
}

// Update changes an item, or creates it.
func (s *Store) Update(ctx context.Context, u Update) (Written, error) {
	t, err := s.tables.serving(u.Table)
	if err != nil {
		return Written{}, err
	}
	c, err := t.update(u)
	if err != nil {
		return Written{}, err
	}
	return s.write(ctx, c)
}

// write commits one change.
func (s *Store) write(ctx context.Context, c *change) (Written, error) {
	if err := s.leads(); err != nil {
		return Written{}, err
	}
	if err := c.t.throughput.admitWrite(); err != nil {
		return Written{}, err
	}
	session := sessionOf(ctx)
	if err := session.checkChanges(ctx, c); err != nil {
		return Written{}, err
	}
	results, err := s.disk.Commit(ctx, shard.Commit{
		Writes: []shard.Write{c.write(c.make)}, Acknowledge: c.t.acknowledge})
	session.seeChanges(c)
	session.seeWritten(results)
	if err != nil {
		if failed := (*ConditionError)(nil); errors.As(err, &failed) {
			units := writeUnits(failed.Item.Size())
			c.t.throughput.spend(Capacity{Table: c.t.desc.Name, Write: units, TableWrite: units})
		}
		return Written{}, s.tables.outlived(c.t, err)
	}
	w := c.written(results[0])
	c.t.throughput.spend(w.Capacity)
	return w, nil
}

// A change is what a request does to one item, checked as far as that is possible without the item.
type change struct {
	t    *live
	key  item.Key
	has  item.Item // the attributes of the key, and maybe others
	cond *item.Condition
	// of returns what an item, which may be nil, becomes.
	of func(before item.Item) (item.Item, error)
}

// acknowledgeOf returns what a commit of changes waits for: the most that any of their tables asks for.
func acknowledgeOf(changes []*change) holdfast.Acknowledge {
	a := holdfast.Acknowledge{Mode: holdfast.Async} // the least
	for _, c := range changes {
		a = a.AtLeast(c.t.acknowledge)
	}
	return a
}

// make is the Change of a shard.Write.
func (c *change) make(before item.Item) (item.Item, error) {
	if !c.cond.Match(before) {
		return nil, &ConditionError{Item: before}
	}
	return c.of(before)
}

// write returns what the change is in a commit.
func (c *change) write(of func(item.Item) (item.Item, error)) shard.Write {
	return shard.Write{Shard: c.t.shard(c.key), Key: c.key, Change: of}
}

// written returns the result of the change.
func (c *change) written(r shard.Result) Written {
	return Written{Before: r.Before, After: r.After, Capacity: c.t.writeCapacity(r.Before, r.After),
		Collection: c.collection(r)}
}

// collection returns the size of the item collection of the change's partition key, as far as it is
// known: at least the bytes of this item. Its real size would take reading the whole collection,
// which no write should wait for.
func (c *change) collection(r shard.Result) *Collection {
	local := slices.ContainsFunc(c.t.entries, func(x item.Index) bool { return x.Local })
	if !local {
		return nil
	}
	bytes := int64(r.After.Size())
	for i := range c.t.entries {
		if x := &c.t.entries[i]; x.Local {
			bytes += int64(c.t.entry(x, r.After).Size())
		}
	}
	return &Collection{Table: c.t.desc.Name, Key: c.has.Only(c.t.schema.Key.Hash.Name), Bytes: bytes}
}

// put checks a Put.
func (t *live) put(p Put) (*change, error) {
	key, err := t.schema.Key.Key(p.Item)
	if err != nil {
		return nil, err
	}
	if err := t.checkIndexed(p.Item); err != nil {
		return nil, err
	}
	return &change{t, key, p.Item, p.If, func(item.Item) (item.Item, error) { return p.Item, nil }}, nil
}

// delete checks a Delete.
func (t *live) delete(d Delete) (*change, error) {
	key, err := t.schema.Key.Exact(d.Key)
	if err != nil {
		return nil, err
	}
	return &change{t, key, d.Key, d.If, func(item.Item) (item.Item, error) { return nil, nil }}, nil
}

// check checks a Check.
func (t *live) check(c Check) (*change, error) {
	key, err := t.schema.Key.Exact(c.Key)
	if err != nil {
		return nil, err
	}
	return &change{t, key, c.Key, c.If, func(before item.Item) (item.Item, error) { return before, nil }}, nil
}

// update checks an Update.
func (t *live) update(u Update) (*change, error) {
	key, err := t.schema.Key.Exact(u.Key)
	if err != nil {
		return nil, err
	}
	if err := t.checkUpdate(u.Change); err != nil {
		return nil, err
	}
	return &change{t, key, u.Key, u.If, func(before item.Item) (item.Item, error) { return t.updated(u, before) }}, nil
}

// checkUpdate returns an error unless an update, which may be nil, leaves the key alone, and sets
// attributes of indexes' keys, as far as that is known without the item, to their types.
func (t *live) checkUpdate(u *item.Update) error {
	names := u.Names()
	for _, name := range t.schema.Key.Names() {
		if slices.Contains(names, name) {
			return invalid("One or more parameter values were invalid: Cannot update attribute %s. "+
				"This attribute is part of the key", name)
		}
	}
	for _, x := range t.indexesGlobalFirst() {
		for part := range x.Key.All() {
			if given, ok := u.Gives(part.Name); ok && given != part.Type {
				return invalid("One or more parameter values were invalid: Type mismatch for Index Key %s Expected: %s Actual: %s "+
					"IndexName: %s", part.Name, part.Type, given, x.Name)
			}
		}
	}
	return t.checkNested(u.Nested())
}

// updated returns what an item, which may be nil, becomes by an update.
func (t *live) updated(u Update, before item.Item) (item.Item, error) {
	if before == nil && u.Change.OnlyRemoves() {
		return nil, nil // a path that leads nowhere is no error here
	}
	from := before
	if from == nil {
		from = u.Key
	}
	if u.Change == nil {
		return from, nil
	}
	after, err := u.Change.Apply(from)
	if err != nil {
		return nil, err
	}
	if err := t.checkReindexed(from, after, u.Legacy); err != nil {
		return nil, err
	}
	if after.Size() > item.MaxItemBytes {
		return nil, invalid("Item size to update has exceeded the maximum allowed size")
	}
	return after, nil
}

// checkReindexed returns an error unless the indexes can take what an update has changed.
// Attributes that it left alone may be of a wrong type, since the item may be older than the index.
func (t *live) checkReindexed(before, after item.Item, legacy bool) error {
	for _, x := range t.indexesGlobalFirst() {
		if err := checkEntryChange(x, before, after, legacy); err != nil {
			return err
		}
	}
	return nil
}

// checkEntryChange is checkReindexed for one index.
func checkEntryChange(x *item.Index, before, after item.Item, legacy bool) error {
	var fit []item.Attr // the attributes of the key that the index can take, each by itself
	changed := false
	for part := range x.Key.All() {
		is, ok := after.Get(part.Name)
		if !ok {
			continue
		}
		own := item.Attr{Name: part.Name, Value: is}
		if was, had := before.Get(part.Name); had && was.Equal(is) {
			if x.Key.Multi() && x.Check(item.New(own)) == nil {
				fit = append(fit, own)
			}
			continue
		}
		if is.Type != part.Type && !legacy {
			return invalid("The update expression attempted to update the secondary index key to unsupported type")
		}
		if err := x.Check(item.New(own)); err != nil {
			return err
		}
		fit, changed = append(fit, own), true
	}
	if !changed || !x.Key.Multi() {
		return nil
	}
	return x.Check(item.New(fit...)) // together they may be too long
}

func checkItemSize(it item.Item) error {
	if it.Size() > item.MaxItemBytes {
		return invalid("Item size has exceeded the maximum allowed size")
	}
	return nil
}
