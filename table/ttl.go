package table

import (
	"context"
	"strconv"
	"time"

	"holdfast/item"
	"holdfast/shard"
)

// The bounds of what the sweeper deletes: so many items in a commit, and so many in all each time that it runs.
const (
	expiryBatch = 100
	expirySweep = 5000
)

// maxTTLNameBytes is how long the name of the attribute can be.
const maxTTLNameBytes = 255

// TTL returns whether and by what attribute a table's items expire. NotFound if there is no such table.
func (s *Store) TTL(table string) (TTL, error) {
	t, ok := s.tables.Load().byName[table]
	if !ok {
		return TTL{}, noTable(table)
	}
	return t.desc.TTL, nil
}

// SetTTL lets a table's items expire by an attribute, or not any more. Those that have it already are found in the
// background. Errors: NotFound, Exists while the table is being made, Invalid if it is so already.
func (s *Store) SetTTL(ctx context.Context, table string, ttl TTL) error {
	if ttl.Attr == "" || len(ttl.Attr) > maxTTLNameBytes {
		return invalid("1 validation error detected: Value '%s' at 'timeToLiveSpecification.attributeName' failed to satisfy constraint: "+
			"Member must have length between 1 and %d", ttl.Attr, maxTTLNameBytes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.table(table)
	if err != nil {
		return err
	}
	switch was := old.Table.TTL; {
	case old.Table.Status == Creating:
		return inUse("created", table)
	case ttl.On && was.On && ttl.Attr != was.Attr:
		return invalid("TimeToLive is active on a different AttributeName: current AttributeName is %s", was.Attr)
	case ttl.On && was.On:
		return invalid("TimeToLive is already enabled")
	case !ttl.On && !was.On:
		return invalid("TimeToLive is already disabled")
	case !ttl.On && ttl.Attr != was.Attr:
		return invalid("TimeToLive is active on a different AttributeName: current AttributeName is %s", was.Attr)
	}
	r := old.clone()
	if ttl.On {
		r.Table.TTL, r.FillTTL = ttl, true
	} else {
		// The queue has entries by the old attribute: they must go before another one is in the schema.
		r.Table.TTL, r.FillTTL, r.ClearTTL = TTL{}, false, true
	}
	return s.replace(ctx, r)
}

// sweep deletes what has expired, in all tables. It is the sweeper's, and ends when a table has nothing more or it has
// deleted its share.
func (s *Store) sweep(ctx context.Context) error {
	left := expirySweep
	for _, t := range s.tables.Load().byName {
		if t.schema.TTL == "" {
			continue
		}
		for _, sh := range t.shards {
			for left > 0 {
				n, err := s.expire(ctx, sh, t.schema.TTL, min(left, expiryBatch))
				if err != nil {
					return err
				}
				if n == 0 {
					break
				}
				left -= n
			}
		}
	}
	return nil
}

// expire deletes up to n items of a shard that have expired, and returns how many it has deleted.
func (s *Store) expire(ctx context.Context, sh *shard.Shard, attr string, n int) (deleted int, err error) {
	now := s.now()
	keys, err := sh.Expired(now, n)
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	return s.deleteExpired(ctx, sh, keys, attr, now)
}

// deleteExpired deletes those of the items that have expired indeed. That they were in the queue is only a hint: one may have got a
// later time since.
func (s *Store) deleteExpired(ctx context.Context, sh *shard.Shard, keys []item.Key, attr string, now time.Time) (deleted int, err error) {
	writes := make([]shard.Write, len(keys))
	for i, key := range keys {
		writes[i] = shard.Write{Shard: sh, Key: key, Origin: shard.ByExpiry, Change: func(before item.Item) (item.Item, error) {
			if expired(before, attr, now) {
				return nil, nil
			}
			return before, nil
		}}
	}
	results, err := s.disk.Commit(ctx, shard.Commit{Writes: writes})
	for _, r := range results {
		if r.After == nil && r.Before != nil {
			deleted++
		}
	}
	return deleted, err
}

// expired says whether an item's time is over: its last second has gone by. One whose attribute is missing or isn't a number
// never expires.
func expired(it item.Item, attr string, now time.Time) bool {
	v, ok := it.Get(attr)
	return ok && v.Type == item.N && item.CompareNumbers(v.Text, strconv.FormatInt(now.Unix(), 10)) < 0
}
