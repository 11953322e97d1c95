package shard

import (
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// Items are the items of a shard in its database.
type items struct {
	engine  *engine
	keys    keys
	dropped <-chan struct{} // the shard's
}

// An image is an item as it is stored.
type image struct {
	item item.Item         // nil: none
	raw  string            // the item in the form of item.Append
	made holdfast.Position // the change that made it; zero: it was copied here
}

// get returns the item at a key in what can be seen through from, which may not be on disk yet;
// nil: there is none.
func (s *items) get(from pebble.Reader, key item.Key) (item.Item, error) {
	is, err := s.image(from, key)
	return is.item, err
}

// image returns the item at a key as an image. The item shares the strings of its form on disk.
func (s *items) image(from pebble.Reader, key item.Key) (image, error) {
	if !s.keys.owns(key) {
		return image{}, errRange(s.keys.shard, key)
	}
	var buf [128]byte
	full := s.keys.appendItem(buf[:0], key)
	raw, ok, err := s.engine.read(from, full)
	if err != nil {
		return image{}, err
	}
	if isClosed(s.dropped) {
		return image{}, errDropped(s.keys.shard)
	}
	if !ok {
		return image{}, nil
	}
	is, err := decodeImage(raw)
	if err != nil {
		return image{}, s.engine.damaged(s.keys.shard, full, err)
	}
	return is, nil
}

func errRange(id holdfast.ShardID, key item.Key) error {
	return holdfast.Errorf(holdfast.Invalid, "key %x is not in the range of shard %d", []byte(key), id)
}

// decodeImage returns the image of an item's value.
func decodeImage(raw string) (was image, err error) {
	if was.made, was.raw, err = cutPosition(raw); err != nil {
		return image{}, err
	}
	if was.item, err = item.Decode(was.raw); err != nil {
		return image{}, err
	}
	return was, nil
}

// keysFrom returns up to n keys of items from one on, and the next one; nil: there is none.
func (s *items) keysFrom(from item.Key, n int) (keys []item.Key, next item.Key, err error) {
	lower, upper, prefix := s.keys.span(nil, item.Range{From: from})
	it, err := s.engine.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, nil, s.engine.fault("scanning", err)
	}
	defer it.Close()
	n = max(n, 1)
	for ok := it.First(); ok; ok = it.Next() {
		key := slices.Clone(item.Key(it.Key()[prefix:]))
		if len(keys) == n {
			return keys, key, nil
		}
		keys = append(keys, key)
	}
	return keys, nil, s.engine.fault("scanning", it.Error())
}
