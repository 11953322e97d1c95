package shard

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// described returns the descriptors that are on disk, by rising ID. bad are the shards that have
// keys, and no descriptor that can be decoded.
func (e *engine) described() (all []Descriptor, bad []holdfast.ShardID, err error) {
	it, err := e.db.NewIter(&pebble.IterOptions{
		LowerBound: keys{shard: records + 1}.state().Start, UpperBound: []byte{byte(bySpace)},
	})
	if err != nil {
		return nil, nil, e.fault("reading", err)
	}
	for ok := it.First(); ok; {
		k := keys{shard: holdfast.ShardID(numberOf(it.Key()))}
		raw, _, err := e.read(e.db, k.meta(metaDescriptor))
		if err != nil {
			return nil, nil, errors.Join(err, it.Close())
		}
		if d, err := decodeDescriptor(k.shard, raw); err == nil {
			all = append(all, d)
		} else {
			bad = append(bad, k.shard)
		}
		ok = it.SeekGE(k.state().End)
	}
	return all, bad, e.fault("reading", errors.Join(it.Error(), it.Close()))
}

// A stray is where there are keys of no shard.
type stray struct {
	key   []byte // the first of them
	where pebble.KeyRange
}

// strays returns where there are keys of spaces that none of the shards has.
func (e *engine) strays(shards []Descriptor) (all []stray, err error) {
	it, err := e.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{byte(bySpace)}, UpperBound: []byte{byte(bySpace) + 1},
	})
	if err != nil {
		return nil, e.fault("reading", err)
	}
	shards = slices.Clone(shards)
	slices.SortFunc(shards, func(a, b Descriptor) int {
		return cmp.Or(cmp.Compare(a.Space, b.Space), bytes.Compare(a.From, b.From))
	})
	for ok := it.First(); ok; {
		own, next := place(shards, it.Key())
		if !own {
			all = append(all, stray{key: bytes.Clone(it.Key()), where: pebble.KeyRange{Start: bytes.Clone(it.Key()), End: next}})
		}
		ok = it.SeekGE(next)
	}
	return all, e.fault("reading", errors.Join(it.Error(), it.Close()))
}

// place reports whether one of the shards, which are sorted, has a key of a space, and up to where
// that is so of all keys behind it.
func place(shards []Descriptor, key []byte) (own bool, next []byte) {
	space, of := holdfast.SpaceID(numberOf(key)), kindOf(key)
	end := appendPrefix(nil, bySpace, uint64(space), of+1)
	if of == 0xFF {
		end = keys{space: space}.whole().End
	}
	if !slices.ContainsFunc(shards, func(d Descriptor) bool { return d.Space == space }) {
		return false, end
	}
	if of == kindExpiry {
		return placeExpiry(shards, key)
	}
	for i := range shards {
		if shards[i].Space != space {
			continue
		}
		lower, upper := shards[i].keys().inSpace(of, item.Range{})
		if bytes.Compare(key, lower) < 0 {
			return false, lower
		}
		if bytes.Compare(key, upper) < 0 {
			return true, upper
		}
	}
	return false, end
}

// placeExpiry is place for a key of a queue of expiring items, where those of neighbours may lie
// one among the other.
func placeExpiry(shards []Descriptor, key []byte) (own bool, next []byte) {
	k := keys{space: holdfast.SpaceID(numberOf(key))}
	_, of, ok := k.expiryOf(key)
	after := append(bytes.Clone(key), 0)
	if !ok {
		return false, after
	}
	for i := range shards {
		if shards[i].Space != k.space || !shards[i].keys().owns(of) {
			continue
		}
		lower, upper := shards[i].keys().ownExpiries()
		if bytes.Compare(lower, key) <= 0 && bytes.Compare(key, upper) < 0 {
			return true, upper
		}
		return true, after
	}
	return false, after
}

// orphans returns the shards that have keys but no name, and where there are keys of spaces that no
// shard with a name has. A shard that was copied is in sorted tables at once, and remains when the
// catalog goes back to a time before it; a later shard with the same ID must not begin with its
// items.
func (e *engine) orphans(
	names map[holdfast.ShardID]string,
) (ids []holdfast.ShardID, spaces []holdfast.SpaceID, where []pebble.KeyRange, err error) {
	all, bad, err := e.described()
	if err != nil {
		return nil, nil, nil, err
	}
	var named []Descriptor
	for _, d := range all {
		if _, ok := names[d.ID]; ok {
			named = append(named, d)
		} else {
			ids = append(ids, d.ID)
		}
	}
	for _, id := range bad {
		if _, ok := names[id]; !ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	strays, err := e.strays(named)
	for _, at := range strays {
		where = append(where, at.where)
		spaces = append(spaces, holdfast.SpaceID(numberOf(at.key)))
	}
	return ids, slices.Compact(spaces), where, err
}

// checkDescriptors returns the descriptors of all shards, and reports those that contradict each
// other, and keys of no shard.
func (c *checker) checkDescriptors() (map[holdfast.ShardID]Descriptor, error) {
	all, bad, err := c.store.engine.described()
	if err != nil {
		return nil, err
	}
	byID := map[holdfast.ShardID]Descriptor{}
	for _, d := range all {
		byID[d.ID] = d
	}
	for _, id := range bad {
		c.fault(id, "descriptor", "there are keys of shard %d, and no descriptor", id)
	}
	slices.SortStableFunc(all, func(a, b Descriptor) int {
		return cmp.Or(cmp.Compare(a.Space, b.Space), bytes.Compare(a.From, b.From))
	})
	for i := 1; i < len(all); i++ {
		a, b := &all[i-1], &all[i]
		if a.Space == b.Space && (a.To == nil || bytes.Compare(b.From, a.To) < 0) {
			c.fault(b.ID, "descriptor", "has keys that shard %d has too: from %x on, of space %d", a.ID, b.From, b.Space)
		}
	}
	strays, err := c.store.engine.strays(all)
	for _, at := range strays {
		c.fault(0, "descriptor", "%x: is of no shard", at.key)
	}
	return byID, err
}
