package route

import "time"

// A ShardSplit spreads the requests for each key of a shard over several keys, as mcrouter's
// shard_splits does (mcrouter/routes/ShardSplitRoute.h). A key is PREFIX:SHARD:REST, where SHARD
// ends in a digit. Its splits are the key itself, PREFIX:SHARDaa:REST, PREFIX:SHARDba:REST …. Each
// host uses one of them for all requests but deletes, which go to all splits.
type ShardSplit struct {
	Shard  string `yaml:"shard"`
	Splits int    `yaml:"splits"` // 1 to 677

	// From Start on, and within Interval, one host after the other changes from OldSplits to Splits.
	OldSplits int           `yaml:"old_splits"` // 0: all hosts use Splits
	Start     time.Time     `yaml:"start"`
	Interval  time.Duration `yaml:"interval"`

	DeleteOne bool `yaml:"delete_one"` // deletes go to the split of this host alone
}

// MaxShardSplits is the key itself and as many as two letters distinguish.
const MaxShardSplits = 26*26 + 1

func (s *ShardSplit) check(f *Faults, path string) {
	if s.Shard == "" || !isDigit(s.Shard[len(s.Shard)-1]) {
		f.Add(path+".shard", "%q doesn't end in a digit", s.Shard)
	}
	f.Within(path+".splits", int64(s.Splits), 1, MaxShardSplits)
	f.Within(path+".old_splits", int64(s.OldSplits), 0, MaxShardSplits)
	notNegative(f, path+".interval", s.Interval)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
