package cache

import (
	"bytes"

	"holdfast/mc"
)

// PrefixStats count what happened to the keys of one prefix, the bytes before the delimiter.
type PrefixStats struct {
	Gets, Hits, Sets, Deletes  uint64
	EvictedRead, EvictedUnread uint64 // evicted after, and before, anybody read them
	Expired                    uint64
	Items, Bytes               int64 // of items that were stored while counting was on
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

// prefixes are counts by prefix. Clients choose keys, so their number is bounded.
type prefixes struct {
	byName map[string]*PrefixStats
	others PrefixStats // of prefixes beyond the bound, and of keys without a prefix
}

const (
	maxPrefixes    = 1000
	maxPrefixBytes = 64
)

// of is where key is counted.
func (p *prefixes) of(key []byte, delimiter byte) *PrefixStats {
	n := bytes.IndexByte(key, delimiter)
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

// reset forgets all but what is held now.
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

// count notes an item that was stored, if counting is on.
func (s *Store) count(l *lane, it item) {
	if !s.detail.Load() {
		it.clearBit(bitCounted)
		return
	}
	it.setBit(bitCounted)
	c := l.prefixes.of(it.key(), s.delimiter)
	c.Items++
	c.Bytes += int64(it.memoryBytes())
}

// uncount notes that an item goes, if it was counted. The lane may be another than the one that
// counted it: only their sum means something.
func (l *lane) uncount(it item, delimiter byte) { l.prefixes.uncount(it, delimiter) }

func (p *prefixes) uncount(it item, delimiter byte) {
	if it.has(bitCounted) {
		c := p.of(it.key(), delimiter)
		c.Items--
		c.Bytes -= int64(it.memoryBytes())
	}
}

func (s *Store) observeSet(l *lane, r *mc.Request) {
	if s.detail.Load() {
		l.prefixes.of(r.Key, s.delimiter).Sets++
	}
}

func (s *Store) observeDelete(l *lane, r *mc.Request) {
	if s.detail.Load() {
		l.prefixes.of(r.Key, s.delimiter).Deletes++
	}
	s.forget(r.Hash)
}

// forget tells the curve that an item is gone that more memory would not have kept.
func (s *Store) forget(h uint64) {
	if s.curve.Sampled(h) {
		s.curve.Delete(h)
	}
}

// losses count what the store took away by itself. Guarded by segments.mu.
type losses struct {
	EvictedRead, EvictedUnread uint64
	Expired, ExpiredUnread     uint64
	prefixes                   prefixes
}

// lost counts one item that was evicted or had expired.
func (s *Store) lost(it item, expired bool) {
	c := &s.evicted
	var p PrefixStats // where nobody looks
	counted := &p
	if it.has(bitCounted) || s.detail.Load() {
		c.prefixes.uncount(it, s.delimiter)
		counted = c.prefixes.of(it.key(), s.delimiter)
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
