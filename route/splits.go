package route

import "time"

// A ShardSplit says over how many keys the requests to the keys of a shard are spread, as
// mcrouter's shard_splits does (mcrouter/routes/ShardSplitRoute.h). A key is PREFIX:SHARD:REST,
// where SHARD ends in a digit; its splits are the key itself and PREFIX:SHARDaa:REST,
// PREFIX:SHARDba:REST …, one of which this host uses for everything but deletes, which go to all of
// them.
type ShardSplit struct {
	Shard  string `yaml:"shard"`
	Splits int    `yaml:"splits"` // 1 to 677

	// From OldSplits hosts move to Splits one after the other, over Interval from Start on.
	OldSplits int           `yaml:"old_splits"` // 0: there were none other
	Start     time.Time     `yaml:"start"`
	Interval  time.Duration `yaml:"interval"`

	DeleteOne bool `yaml:"delete_one"` // deletes go to the split of this host alone
}

// MaxShardSplits is as many as two letters tell apart, and the key itself.
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
