package index

import (
	"holdfast/item"
	"holdfast/shard"
)

// A round is changes that are applied at once, with one step for each shard of the index, or two. An
// entry that moves to another shard must be put there before it is deleted where it was, so the
// shards from which none moves away are first. If entries move to a shard and others away from it, it
// can't come first nor last: its first step puts and counts the entries and says which are late, and
// its second deletes those. A crash in between leaves the late ones in its progress.
type round struct {
	parts  []part // by the index's shards
	active []int  // the places of those that have something to do
}

// A part is what a round does in one shard.
type part struct {
	ops    map[string]op // by entry key
	gains  bool          // an entry moves here from another shard
	sheds  bool          // an entry moves from here to another shard
	active bool          // it is in round.active
}

// An op is what becomes of an entry.
type op struct {
	entry item.Item   // nil: it is deleted
	late  bool        // it is deleted after all puts, since it has moved to another shard
	count shard.Count // by how much it changes the shard's counts
}

// A move is what a change does to the entry of its item. A place is that of a shard in the index;
// -1: there is nothing to do.
type move struct {
	from, to   int
	old, next  item.Key
	was, entry item.Item
}

func (r *round) init(parts int) { r.parts = make([]part, parts) }

// apply applies changes, which go up to a transaction.
func (l *link) apply(changes []shard.Change, to uint64) error {
	l.round.clear()
	for i := range changes {
		l.round.add(l.moveOf(&changes[i]))
	}
	return l.submitRound(to)
}

// moveOf returns what a change does to the entry of its item, in the shards that don't have it yet.
func (l *link) moveOf(c *shard.Change) move {
	m := move{from: -1, to: -1}
	var had, has bool
	m.old, m.was, had = l.entry(c.Before)
	m.next, m.entry, has = l.entry(c.After)
	same := had && has && string(m.old) == string(m.next)
	if same && m.was.Equal(m.entry) {
		return m
	}
	if had {
		m.from = l.placeFor(c, m.old)
	}
	switch {
	case same:
		m.to = m.from
	case has:
		m.to = l.placeFor(c, m.next)
	}
	return m
}

// placeFor returns the place of the shard to whose entry a change must be applied; -1: it was, or
// the backfill will find the item as the change left it.
func (l *link) placeFor(c *shard.Change, key item.Key) int {
	place := l.index.shardOf(key)
	t := &l.targets[place]
	if c.Tx.Index <= t.is.Applied {
		return -1
	}
	if t.is.Whole {
		return place
	}
	it := c.After
	if it == nil {
		it = c.Before
	}
	if own, err := l.source.key.Key(it); err != nil || !t.is.Covers(own) {
		return -1
	}
	return place
}

// add adds a move to the round.
func (r *round) add(m move) {
	across := m.from >= 0 && m.to >= 0 && m.from != m.to
	if m.from >= 0 {
		p := r.part(m.from)
		o := p.ops[string(m.old)]
		o.entry, o.late = nil, across
		o.count.Items--
		o.count.Bytes -= int64(m.was.Size())
		p.ops[string(m.old)] = o
		p.sheds = p.sheds || across
	}
	if m.to >= 0 {
		p := r.part(m.to)
		o := p.ops[string(m.next)]
		o.entry, o.late = m.entry, false
		o.count.Items++
		o.count.Bytes += int64(m.entry.Size())
		p.ops[string(m.next)] = o
		p.gains = p.gains || across
	}
}

func (r *round) part(place int) *part {
	p := &r.parts[place]
	if !p.active {
		p.active = true
		r.active = append(r.active, place)
		if p.ops == nil {
			p.ops = map[string]op{}
		}
	}
	return p
}

func (r *round) clear() {
	for _, place := range r.active {
		p := &r.parts[place]
		clear(p.ops)
		*p = part{ops: p.ops}
	}
	r.active = r.active[:0]
}

// submitRound submits the round, which goes up to a transaction.
func (l *link) submitRound(upTo uint64) error {
	shedding := 0
	for _, place := range l.round.active {
		if l.round.parts[place].sheds {
			shedding++
		}
	}
	for _, last := range []bool{false, true} {
		for _, place := range l.round.active {
			p, t := &l.round.parts[place], &l.targets[place]
			if last != (p.sheds && (!p.gains || shedding == 1)) {
				continue
			}
			if err := l.submit(t, p.step(t, upTo, last)); err != nil {
				return err
			}
		}
	}
	return l.deleteLate(upTo)
}

// step returns the step of a part. If it is one of the last, nothing in it need be late.
func (p *part) step(t *target, upTo uint64, last bool) shard.Follow {
	f := shard.Follow{To: t.is}
	f.To.Applied = upTo
	for key, o := range p.ops {
		switch {
		case o.late && !last:
			f.To.Late = append(f.To.Late, item.Key(key))
			add(&f.To.LateCount, o.count)
			continue
		case o.entry == nil:
			f.Deletes = append(f.Deletes, item.Key(key))
		default:
			f.Puts = append(f.Puts, shard.Keyed{Key: item.Key(key), Item: o.entry})
		}
		add(&f.Count, o.count)
	}
	return f
}

func add(to *shard.Count, c shard.Count) {
	to.Items += c.Items
	to.Bytes += c.Bytes
}

// deleteLate deletes what is late in targets that aren't beyond a transaction: all others have
// applied the changes up to there.
func (l *link) deleteLate(upTo uint64) error {
	if l.late == 0 {
		return nil
	}
	for i := range l.targets {
		t := &l.targets[i]
		if len(t.is.Late) == 0 || t.is.Applied > upTo {
			continue
		}
		f := shard.Follow{To: t.is, Deletes: t.is.Late, Count: t.is.LateCount}
		f.To.Late, f.To.LateCount = nil, shard.Count{}
		if err := l.submit(t, f); err != nil {
			return err
		}
	}
	return nil
}
