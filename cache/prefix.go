package cache

import (
	"bytes"
	"sync/atomic"

	"holdfast/mrc"
)

// This file counts by key prefix. A lane's counts are guarded by its lock, the evictor's by
// segments.mu.

// PrefixStats count the requests and items of one key prefix, the bytes before the delimiter.
type PrefixStats struct {
	Gets, Hits, Sets, Deletes  uint64
	EvictedRead, EvictedUnread uint64 // evicted after, and before, their first read
	Expired                    uint64
	Items, Bytes               int64 // of items that this process has stored while counting by prefix
}

func (p *PrefixStats) add(o *PrefixStats) {
	p.Gets += o.Gets
	p.Hits += o.Hits
	p.Sets += o.Sets
	p.Deletes += o.Deletes
	p.EvictedRead += o.EvictedRead
	p.EvictedUnread += o.EvictedUnread
	p.Expired += o.Expired
	p.Items += o.Items
	p.Bytes += o.Bytes
}

// prefixRule says whether and how keys are counted by prefix.
type prefixRule struct {
	on        atomic.Bool
	delimiter byte
	since     uint64 // the last sequence number before this process: items up to it are not counted
}

// prefixes are counts by prefix. Their number is limited, since clients choose the keys.
type prefixes struct {
	rule   *prefixRule
	byName map[string]*PrefixStats
	others PrefixStats // of prefixes beyond the limit, and of keys without a prefix
}

const (
	maxPrefixes    = 1000
	maxPrefixBytes = 64
)

// of returns the counts of key's prefix.
func (p *prefixes) of(key []byte) *PrefixStats {
	n := bytes.IndexByte(key, p.rule.delimiter)
	if n < 1 || n > maxPrefixBytes {
		return &p.others
	}
	if c := p.byName[string(key[:n])]; c != nil {
		return c
	}
	if len(p.byName) == maxPrefixes {
		return &p.others
	}
	if p.byName == nil {
		p.byName = map[string]*PrefixStats{}
	}
	c := &PrefixStats{}
	p.byName[string(key[:n])] = c
	return c
}

// reset zeroes all counts except the present items and bytes.
func (p *prefixes) reset() {
	for _, c := range p.byName {
		*c = PrefixStats{Items: c.Items, Bytes: c.Bytes}
	}
	p.others = PrefixStats{Items: p.others.Items, Bytes: p.others.Bytes}
}

// addTo adds p's counts to sum.
func (p *prefixes) addTo(sum *prefixes) {
	for name, c := range p.byName {
		if sum.byName[name] == nil {
			sum.byName[name] = &PrefixStats{}
		}
		sum.byName[name].add(c)
	}
	sum.others.add(&p.others)
}

// count counts an item that was stored, if counting is on. An item of an earlier process isn't
// counted even if a touch has moved it.
func (p *prefixes) count(it item) {
	if !p.rule.on.Load() || it.seq() <= p.rule.since {
		it.clearBit(bitCounted)
		return
	}
	it.setBit(bitCounted)
	c := p.of(it.key())
	c.Items++
	c.Bytes += int64(it.memoryBytes())
}

// uncount undoes count for an item that is removed. Another lane may have counted it: only the sum
// over all lanes is meaningful.
func (p *prefixes) uncount(it item) {
	if it.has(bitCounted) && it.seq() > p.rule.since {
		c := p.of(it.key())
		c.Items--
		c.Bytes -= int64(it.memoryBytes())
	}
}

// deleteFromCurve tells the curve that an item is gone for another reason than a lack of memory.
func deleteFromCurve(curve *mrc.Sampler, h uint64) {
	if curve.Sampled(h) {
		curve.Delete(h)
	}
}

// losses count the items that the evictor has removed. segments.mu guards them.
type losses struct {
	EvictedRead, EvictedUnread uint64
	Expired, ExpiredUnread     uint64
	prefixes                   prefixes
}

// count counts an item that was evicted or had expired.
func (c *losses) count(it item, expired bool) {
	var p PrefixStats // discarded
	counted := &p
	if it.has(bitCounted) || c.prefixes.rule.on.Load() {
		c.prefixes.uncount(it)
		counted = c.prefixes.of(it.key())
	}
	read := it.has(bitFetched)
	switch {
	case expired:
		c.Expired++
		counted.Expired++
		if !read {
			c.ExpiredUnread++
		}
	case read:
		c.EvictedRead++
		counted.EvictedRead++
	default:
		c.EvictedUnread++
		counted.EvictedUnread++
	}
}
