package group

import (
	"slices"
	"sort"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// A retention decides which entries of its log a replica keeps. An entry goes when it is applied here,
// and
//
//   - each member that is up has it on disk. One that was silent for awayTicks isn't up: it gets a
//     snapshot when it comes back. To one that is being sent a snapshot, what follows that will be
//     sent;
//   - or the log has more than maxBytes: a member that is up and still needs the entry gets a
//     snapshot. While a snapshot is on its way, the log may have twice as much, so that the member
//     can go on behind it.
//
// Only the leader knows that, and says it to the others in each entry. So a follower may have
// removed what a member needs: if it leads, it sends a snapshot in its turn.
type retention struct {
	maxBytes  uint64
	awayTicks int
	every     int // ticks between two trims of the log; trimTicks but in tests

	// unneeded is up to where the log is committed, and isn't kept for anybody, as this leader or
	// former ones have found.
	unneeded uint64
}

// learn takes what an entry of the leader says.
func (k *retention) learn(unneeded uint64) { k.unneeded = max(k.unneeded, unneeded) }

// measure finds up to where each member that is up is known in this term to have the log on disk, if
// the replica leads. What is committed there stays.
func (k *retention) measure(c *core) (least uint64) {
	least = c.commit
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		switch {
		case id != c.node && c.silent(id) >= k.awayTicks:
		case p.State == tracker.StateSnapshot:
			least = min(least, max(p.Match, p.PendingSnapshot))
		default:
			least = min(least, c.onDisk(id, p))
		}
	})
	k.learn(least)
	return least
}

// trim returns the index before which the entries may go. What the shard has applied last stays: a
// snapshot that is made now has it, and a start compares it with the log.
func (k *retention) trim(c *core) uint64 {
	if c.began == 0 {
		return min(k.unneeded, c.effect)
	}
	// What former leaders have measured may be more than Raft knows of a member in this term: it
	// sends what comes behind that.
	index := min(k.unneeded, k.measure(c))
	limit := k.maxBytes
	if c.sendings.some() {
		limit *= 2
	}
	if over := min(c.log.beyond(limit), c.effect); over > index {
		index = over
		k.learn(over)
	}
	c.log.forget(min(k.unneeded, c.applied))
	return min(index, c.effect)
}

// Sizes are how many bytes the entries of a log have, about: by marks, between which the entries are
// taken for equal in size.
type sizes struct {
	marks []sizeMark // by rising index, the first at or before that of the first entry
	next  uint64     // index behind the last entry
	bytes uint64     // of the entries from the first mark up to next
}

// A sizeMark says how many bytes the entries before an index have, from the first mark on.
type sizeMark struct{ index, bytes uint64 }

const markBytes = 64 << 10 // between two marks, at least

// newSizes returns those of a log whose entries have so many bytes.
func newSizes(first, next, bytes uint64) sizes {
	return sizes{marks: []sizeMark{{first, 0}}, next: next, bytes: bytes}
}

// append notes entries that are put in the place of those from the first of them on.
func (s *sizes) append(entries []*raftpb.Entry) {
	if from := entries[0].GetIndex(); from < s.next {
		s.bytes = s.before(from)
		n := max(1, sort.Search(len(s.marks), func(i int) bool { return s.marks[i].index > from }))
		s.marks = s.marks[:n]
	}
	for _, e := range entries {
		if s.bytes >= s.marks[len(s.marks)-1].bytes+markBytes {
			s.marks = append(s.marks, sizeMark{e.GetIndex(), s.bytes})
		}
		s.bytes += uint64(raftBytes(e))
		s.next = e.GetIndex() + 1
	}
}

// segment returns the ends of the n-th segment between marks.
func (s *sizes) segment(n int) (from, to sizeMark) {
	if n+1 < len(s.marks) {
		return s.marks[n], s.marks[n+1]
	}
	return s.marks[n], sizeMark{s.next, s.bytes}
}

// before returns how many bytes the entries before an index have, from the first mark on.
func (s *sizes) before(index uint64) uint64 {
	n := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].index > index }) - 1
	if n < 0 {
		return 0
	}
	from, to := s.segment(n)
	if to.index <= from.index {
		return from.bytes
	}
	return from.bytes + (to.bytes-from.bytes)*(min(index, to.index)-from.index)/(to.index-from.index)
}

// from returns how many bytes the entries from an index on have.
func (s *sizes) from(first uint64) uint64 { return s.bytes - s.before(first) }

// beyond returns the index before which the entries are too many, if those behind may have so many
// bytes; 0: none is.
func (s *sizes) beyond(limit uint64) uint64 {
	if s.bytes <= limit {
		return 0
	}
	excess := s.bytes - limit
	n := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].bytes > excess }) - 1
	from, to := s.segment(n)
	if to.bytes == from.bytes {
		return from.index
	}
	each := to.bytes - from.bytes
	return from.index + ((excess-from.bytes)*(to.index-from.index)+each-1)/each
}

// trim notes that the entries before an index are removed.
func (s *sizes) trim(first uint64) {
	n := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].index > first }) - 1
	if n <= 0 {
		return
	}
	s.marks = slices.Clone(s.marks[n:])
	base := s.marks[0].bytes
	for i := range s.marks {
		s.marks[i].bytes -= base
	}
	s.bytes -= base
}
