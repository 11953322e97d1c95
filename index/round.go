package index

import (
	"holdfast/item"
	"holdfast/shard"
)

// A round is changes that are applied at once, with one step for each shard of the index. An entry
// that moves to another shard must be put there before it is deleted where it was. So the shards
// from which none moves away are first, and a round ends before a change because of which entries
// would move both to a shard and away from it.
//
// If a single transaction does that, its entries may be in no shard for a moment.
type round struct {
	parts []part // by the index's shards
	moves []move // of the transaction that is being added
}

// A part is what a round does in one shard.
type part struct {
	ops    map[string]item.Item // by entry key: what becomes of it; nil: it is deleted
	count  shard.Count
	gains  bool // an entry moves here from another shard
	sheds  bool // an entry moves from here to another shard
	active bool // there are ops
}

// A move is what a change does to the entry of its item. A place is that of a shard in the index;
// -1: there is nothing to do.
type move struct {
	from, to   int
	old, next  item.Key
	was, entry item.Item
}

func (r *round) init(parts int) { r.parts = make([]part, parts) }

// apply applies changes, which go up to a transaction, in as many rounds as necessary.
func (l *link) apply(changes []shard.Change, to uint64) error {
	for len(changes) > 0 {
		n := l.gather(changes)
		upTo := to
		if n < len(changes) {
			upTo = changes[n-1].Tx.Index
		}
		if err := l.submitRound(upTo); err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

// gather adds changes to an empty round, and returns how many.
func (l *link) gather(changes []shard.Change) (n int) {
	r := &l.round
	r.clear()
	for n < len(changes) {
		end := n + 1
		for end < len(changes) && changes[end].Tx.Index == changes[n].Tx.Index {
			end++
		}
		r.moves = r.moves[:0]
		for i := range changes[n:end] {
			if m := l.moveOf(&changes[n+i]); m.from >= 0 || m.to >= 0 {
				r.moves = append(r.moves, m)
			}
		}
		if n > 0 && r.crosses() {
			break
		}
		r.add()
		n = end
	}
	return n
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

// crosses reports whether entries would move both to a shard and away from it with r.moves.
func (r *round) crosses() bool {
	for i := range r.moves {
		m := &r.moves[i]
		if m.across() && (r.parts[m.from].gains || r.parts[m.to].sheds) {
			return true
		}
	}
	return false
}

// across reports whether the entry moves to another shard.
func (m *move) across() bool { return m.from >= 0 && m.to >= 0 && m.from != m.to }

// add adds the moves to the round.
func (r *round) add() {
	for i := range r.moves {
		m := &r.moves[i]
		if m.across() {
			r.parts[m.from].sheds, r.parts[m.to].gains = true, true
		}
		if m.from >= 0 {
			p := r.part(m.from)
			p.ops[string(m.old)] = nil
			p.count.Items--
			p.count.Bytes -= int64(m.was.Size())
		}
		if m.to >= 0 {
			p := r.part(m.to)
			p.ops[string(m.next)] = m.entry
			p.count.Items++
			p.count.Bytes += int64(m.entry.Size())
		}
	}
}

func (r *round) part(place int) *part {
	p := &r.parts[place]
	if !p.active {
		p.active = true
		if p.ops == nil {
			p.ops = map[string]item.Item{}
		}
	}
	return p
}

func (r *round) clear() {
	for i := range r.parts {
		p := &r.parts[i]
		clear(p.ops)
		*p = part{ops: p.ops}
	}
}

// submitRound submits the round, which goes up to a transaction: the shards that no entry leaves first.
func (l *link) submitRound(upTo uint64) error {
	for _, sheds := range []bool{false, true} {
		for i := range l.round.parts {
			p := &l.round.parts[i]
			if !p.active || p.sheds != sheds {
				continue
			}
			t := &l.targets[i]
			f := shard.Follow{To: t.is, Count: p.count}
			f.To.Applied = upTo
			for key, entry := range p.ops {
				if entry == nil {
					f.Deletes = append(f.Deletes, item.Key(key))
				} else {
					f.Puts = append(f.Puts, shard.Keyed{Key: item.Key(key), Item: entry})
				}
			}
			if err := l.submit(t, f); err != nil {
				return err
			}
		}
	}
	return nil
}
