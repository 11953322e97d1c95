package index

import (
	"context"
	"math"
	"time"

	"holdfast/item"
	"holdfast/shard"
)

// The size of a step of a backfill.
const (
	fillItems = 1024
	fillBytes = 1 << 20
)

// A link is what follows one source in one index. All of it but at is guarded by source.mu.
type link struct {
	index   *followed
	source  *source
	targets []target  // by the index's shards
	at      watermark // all targets have applied the changes up to there
	round   round

	unfilled int    // targets that aren't whole
	late     int    // targets with late deletes
	marked   uint64 // no target was behind this by more than laggard on disk

	retry   time.Time // not to be tried before, since it has failed
	failure string    // what was logged
}

// A target is a shard of the index, and how far it follows the source: as it says itself, which may
// be behind link.at if nothing was there for it.
type target struct {
	shard *shard.Shard
	is    shard.Progress
}

// begun reports whether the target has anything from the source.
func (t *target) begun() bool { return t.is.Whole || len(t.is.Below) > 0 }

func newLink(x *followed, s *source) *link {
	l := &link{index: x, source: s}
	for _, sh := range x.Shards {
		t := target{shard: sh}
		l.targets = append(l.targets, t)
		l.unfilled++
		l.set(&l.targets[len(l.targets)-1], sh.Progress(s.shard.ID()))
	}
	l.round.init(len(l.targets))
	l.at.raise(min(l.kept(), s.reader.Durable()))
	return l
}

// whole reports whether all items that the source had are in the index.
func (l *link) whole() bool { return l.unfilled == 0 }

// set sets how far a target is.
func (l *link) set(t *target, is shard.Progress) {
	if is.Whole && !t.is.Whole {
		l.unfilled--
	}
	if len(t.is.Late) > 0 {
		l.late--
	}
	if len(is.Late) > 0 {
		l.late++
	}
	t.is = is
}

// kept returns up to which transaction no target needs the source's changes any more, even after a
// crash.
func (l *link) kept() uint64 {
	kept := uint64(math.MaxUint64)
	for i := range l.targets {
		if t := &l.targets[i]; t.begun() {
			kept = min(kept, t.is.Applied)
		}
	}
	return kept
}

// step applies some changes, and if the link isn't whole, adds some items. It returns how many
// changes there were.
func (l *link) step(ctx context.Context, last *read) (n int, err error) {
	if l.late > 0 {
		return l.follow(last, math.MaxUint64)
	}
	if !l.whole() {
		if err := l.fill(ctx, last); err != nil {
			return 0, err
		}
	}
	return l.follow(last, math.MaxUint64)
}

// lateAt returns up to where all targets must have applied the changes before what is late is
// deleted; math.MaxUint64: nothing is.
func (l *link) lateAt() uint64 {
	late := uint64(math.MaxUint64)
	if l.late == 0 {
		return late
	}
	for i := range l.targets {
		if t := &l.targets[i]; len(t.is.Late) > 0 {
			late = min(late, t.is.Applied)
		}
	}
	return late
}

// follow applies some changes, up to a transaction at most. If a round wasn't completed, because of a
// crash or a failure, it completes that.
func (l *link) follow(last *read, upTo uint64) (n int, err error) {
	from, late := l.at.load(), l.lateAt()
	if from >= late {
		return 0, l.deleteLate(from)
	}
	changes, to, err := last.get(l.source, from, min(upTo, late))
	if err != nil || to == from {
		return 0, err
	}
	if err := l.apply(changes, to); err != nil {
		return 0, err
	}
	l.at.raise(to)
	return len(changes), l.mark(laggard)
}

// mark writes how far the targets are that are more than so many transactions behind.
func (l *link) mark(behind uint64) error {
	at := l.at.load()
	if at <= l.marked+behind {
		return nil
	}
	for i := range l.targets {
		t := &l.targets[i]
		if t.begun() && at > t.is.Applied+behind {
			to := t.is
			to.Applied = at
			if err := l.submit(t, shard.Follow{To: to}); err != nil {
				return err
			}
		}
	}
	l.marked = at
	return nil
}

// submit does a step from where the target is.
func (l *link) submit(t *target, f shard.Follow) error {
	f.Source, f.From = l.source.shard.ID(), t.is.Applied
	if err := l.source.submit(t.shard, f); err != nil {
		return err
	}
	l.set(t, f.To)
	return nil
}

// fill adds the source's next items to the targets that don't have them. It first applies the
// changes up to the transaction as of which it has read them, so that from there on their changes
// can be applied to them.
func (l *link) fill(ctx context.Context, last *read) error {
	items, err := l.source.reader.Items(ctx, l.below(), l.source.fillItems, fillBytes)
	if err != nil {
		return err
	}
	for l.at.load() < items.Index {
		if _, err := l.follow(last, items.Index); err != nil {
			return err
		}
	}
	steps := make([]shard.Follow, len(l.targets))
	for _, is := range items.Items {
		key, entry, ok := l.entry(is.Item)
		if !ok {
			continue
		}
		place := l.index.shardOf(key)
		if l.targets[place].is.Covers(is.Key) {
			continue // it was added before a crash
		}
		f := &steps[place]
		f.Puts = append(f.Puts, shard.Keyed{Key: key, Item: entry})
		f.Count.Items++
		f.Count.Bytes += int64(entry.Size())
	}
	for i := range steps {
		if err := l.filled(&l.targets[i], &steps[i], items); err != nil {
			return err
		}
	}
	if l.whole() && l.index.left.Add(-1) == 0 {
		close(l.index.filled)
	}
	return nil
}

// filled does a step of the backfill in a target.
func (l *link) filled(t *target, f *shard.Follow, items shard.Items) error {
	if t.is.Whole {
		return nil
	}
	f.Fill, f.To = true, t.is
	f.To.Applied = items.Index
	switch {
	case items.Next == nil:
		f.To.Whole, f.To.Below = true, nil
	case string(items.Next) > string(t.is.Below):
		f.To.Below = items.Next
	}
	return l.submit(t, *f)
}

// below returns from where on targets lack items.
func (l *link) below() item.Key {
	var least item.Key
	first := true
	for i := range l.targets {
		t := &l.targets[i]
		if !t.is.Whole && (first || string(t.is.Below) < string(least)) {
			least, first = t.is.Below, false
		}
	}
	return least
}

// entry returns the entry of an item; !ok if it has none.
func (l *link) entry(it item.Item) (key item.Key, entry item.Item, ok bool) {
	if it == nil {
		return nil, nil, false
	}
	return l.index.Index.Index.Entry(l.source.key, it)
}
