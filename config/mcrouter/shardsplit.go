package mcrouter

import (
	"time"

	"holdfast/route"
)

// shardSplits returns target behind the shard splits of a PoolRoute or a ShardSplitRoute, if any.
func (b *builder) shardSplits(r *reader, target route.Route) route.Route {
	r.ignore("keys have no fan-out numbers", "split_shard_fanout")
	o := r.object("shard_splits")
	if o == nil || b.options.NoShardSplits {
		return target
	}
	made := route.Route{Kind: route.KindShardSplit, Target: &target}
	for _, shard := range o.keys {
		if s := b.shardSplit(join(r.at("shard_splits"), shard), shard, o.values[shard]); s != nil {
			made.ShardSplits = append(made.ShardSplits, *s)
		}
	}
	if len(made.ShardSplits) == 0 {
		return target
	}
	return made
}

// shardSplit reads the splits of one shard; nil if it isn't split.
func (b *builder) shardSplit(path, shard string, v any) *route.ShardSplit {
	s := &route.ShardSplit{Shard: shard}
	switch v := v.(type) {
	case int64:
		s.Splits = b.splits(path, v)
	case *object:
		r := b.reader(path, v)
		old, renewed := int64(1), int64(1)
		if r.has("old_split_size") {
			old = int64(r.int("old_split_size"))
		}
		if r.has("new_split_size") {
			renewed = int64(r.int("new_split_size"))
		}
		s.Splits = b.splits(r.at("new_split_size"), renewed)
		start, period := int64(r.int("split_start")), r.int("migration_period")
		if n := b.splits(r.at("old_split_size"), old); n != s.Splits {
			s.OldSplits, s.Start, s.Interval = n, time.Unix(start, 0).UTC(), time.Duration(period)*time.Second
		}
		s.DeleteOne = !r.bool("fanout_deletes")
		r.end()
	default:
		b.fault(path, "must be a number of splits or a mapping, not %s", typeName(v))
		return nil
	}
	if s.Splits == 1 && s.OldSplits == 0 {
		return nil
	}
	return s
}

// splits limits the number of splits to what two letters can distinguish, as in mcrouter.
func (b *builder) splits(path string, n int64) int {
	if n <= 0 {
		b.fault(path, "%d is not above 0", n)
		return 1
	}
	if n > route.MaxShardSplits {
		b.warn(path, "%d is above the limit; %d is used instead", n, route.MaxShardSplits)
		return route.MaxShardSplits
	}
	return int(n)
}
