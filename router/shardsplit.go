package router

import (
	"bytes"
	"fmt"
	"time"

	"holdfast/mc"
	"holdfast/route"
)

// shardSplit spreads the requests for each key of a shard over several keys.
type shardSplit struct {
	target forwarder
	splits map[string]*route.ShardSplit
	host   uint64 // the hash of the host's name, which chooses its split
	now    func() time.Time
}

func newShardSplit(target forwarder, splits []route.ShardSplit, host string, now func() time.Time) *shardSplit {
	s := &shardSplit{target: target, splits: map[string]*route.ShardSplit{}, host: uint64(spreadOfText(host)) >> 32,
		now: now}
	for i := range splits {
		s.splits[splits[i].Shard] = &splits[i]
	}
	return s
}

// shardOf returns the part between the first two colons of the key up to "|#|", and its end in key.
// It must end in a digit.
func shardOf(key []byte) (shard []byte, end int) {
	if i := bytes.Index(key, []byte("|#|")); i >= 0 {
		key = key[:i]
	}
	begin := bytes.IndexByte(key, ':') + 1
	n := bytes.IndexByte(key[begin:], ':')
	if last := begin + n - 1; begin == 0 || n <= 0 || key[last] < '0' || key[last] > '9' {
		return nil, 0
	}
	return key[begin : begin+n], begin + n
}

// splitKey returns the key of a split; split 0 is the key itself.
func splitKey(key []byte, end, split int) []byte {
	if split == 0 {
		return key
	}
	b := append(make([]byte, 0, len(key)+2), key[:end]...)
	b = append(b, 'a'+byte((split-1)%26), 'a'+byte((split-1)/26))
	return append(b, key[end:]...)
}

// size returns how many splits this host uses for the shard now.
func (s *shardSplit) size(o *route.ShardSplit) int {
	if o.OldSplits == 0 {
		return o.Splits
	}
	passed := s.now().Sub(o.Start)
	if passed >= o.Interval && passed >= 0 {
		return o.Splits
	}
	const hosts = 16384 // mcrouter's kHostIdModulo
	if passed > 0 && float64(s.host%hosts)/hosts < passed.Seconds()/o.Interval.Seconds() {
		return o.Splits
	}
	return o.OldSplits
}

// find returns the options of the key's shard and the end of the shard in key; nil if the shard
// isn't split.
func (s *shardSplit) find(key []byte) (o *route.ShardSplit, end int) {
	shard, end := shardOf(key)
	return s.splits[string(shard)], end
}

func (s *shardSplit) forward(l *lane, q *query) {
	o, end := s.find(q.request.Key)
	if o == nil {
		s.target.forward(l, q)
		return
	}
	n := s.size(o)
	if isDelete(q.request) && !o.DeleteOne {
		for i := 1; i < n; i++ {
			s.deleteSplit(l, q, end, i)
		}
		s.target.forward(l, q)
		return
	}
	split := int(s.host % uint64(n))
	if split == 0 {
		s.target.forward(l, q)
		return
	}
	inner := *q.request
	inner.Key = splitKey(q.request.Key, end, split)
	if keyBytes(inner.Key, inner.Has('b')) > mc.MaxKeyBytes {
		q.failClient(l, "the key is too long with the letters of its split")
		return
	}
	s.target.forward(l, rewritten(q, &inner))
}

// deleteSplit deletes a split that isn't the key itself. Its answer is dropped.
func (s *shardSplit) deleteSplit(l *lane, q *query, end, split int) {
	key := splitKey(q.request.Key, end, split)
	if keyBytes(key, q.request.Has('b')) > mc.MaxKeyBytes {
		return // no item can be stored under it
	}
	own := detach(q.request)
	own.Key = key
	s.target.forward(l, &query{request: own, taker: discard{}})
}

func (s *shardSplit) explain(r *mc.Request) route.Hop {
	o, end := s.find(r.Key)
	if o == nil {
		return through(route.KindShardSplit, "the shard isn't split", s.target, r)
	}
	n := s.size(o)
	if isDelete(r) && !o.DeleteOne {
		return through(route.KindShardSplit, fmt.Sprintf("all %d splits of shard %s", n, o.Shard), s.target, r)
	}
	inner := *r
	inner.Key = splitKey(r.Key, end, int(s.host%uint64(n)))
	return through(route.KindShardSplit, fmt.Sprintf("key %q, of %d splits of shard %s", inner.Key, n, o.Shard), s.target,
		&inner)
}
