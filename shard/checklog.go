package shard

import (
	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// A logCheck is the progress of the check of a log. Transactions that are missing are noticed by the
// bytes of all changes that the next tally counts, since indexes have gaps.
type logCheck struct {
	least  holdfast.Position // of the next change
	within bool              // the last change wasn't its transaction's last
	at     int64             // the highest time up to there
	logged uint64            // bytes up to there
}

// follows reports whether a change may be the next one.
func (l *logCheck) follows(p holdfast.Position) bool {
	return p == l.least || !l.within && p.Index > l.least.Index && p.N == 0
}

// checkLog goes through the log in order.
func (k *shardCheck) checkLog() error {
	sh := k.shard
	l := logCheck{least: holdfast.Position{Index: sh.history.trim.oldest}, logged: sh.history.trim.logged}
	if sh.history.trim.oldest > 1 {
		l.at = sh.history.trim.at // a copy's is when it was made, perhaps by another clock
	}
	it, err := sh.history.iter(k.store.engine.db, holdfast.Position{}, holdfast.Position{})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; {
		if k.ctx.Err() != nil {
			return ended(k.ctx)
		}
		if ok, err = k.checkChange(it, &l); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return k.store.engine.fault("checking", err)
	}
	if l.within || l.least.Index > sh.tally.applied+1 || l.logged != sh.tally.logged {
		k.wrong("log", "ends before %d.%d with %d bytes, and %d entries with %d bytes are counted",
			l.least.Index, l.least.N, l.logged, sh.tally.applied, sh.tally.logged)
	}
	return nil
}

// checkChange checks the change at the iterator, and moves it to the next one.
func (k *shardCheck) checkChange(it *pebble.Iterator, l *logCheck) (more bool, err error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return false, k.store.engine.fault("checking", err)
	}
	k.checked.Changes++
	l.logged += uint64(changeKeyBytes + len(value))
	p, ok := logPosition(it.Key())
	c, err := decodeChange(string(value))
	if !ok || err != nil {
		k.wrong("log", "%x: %v", it.Key(), err)
		l.least, l.within = holdfast.Position{Index: p.Index + 1}, false
		return it.Next(), nil
	}
	if !l.follows(p) {
		k.wrong("log", "%d.%d follows where %d.%d should", p.Index, p.N, l.least.Index, l.least.N)
	}
	l.least, l.within = c.behind(p), !c.last
	if c.last {
		k.checkTally(p, &c, l)
	}
	it.Next()
	if err := k.checkImages(p, &c, it); err != nil {
		return false, err
	}
	if it.Valid() && isLink(it.Key()) {
		it.Next()
	}
	return it.Valid(), nil
}

// checkImages checks whether a change's images can be decoded, and have its key and sizes. The
// iterator is behind the change.
func (k *shardCheck) checkImages(p holdfast.Position, c *change, it *pebble.Iterator) error {
	after, err := k.shard.history.afterImage(k.store.engine.db, p, c, it)
	if err != nil {
		k.wrong("log", "%d.%d: its after-image: %v", p.Index, p.N, err)
		return nil
	}
	d, err := c.decoded(k.shard.id, p, after)
	if err != nil {
		k.wrong("log", "%d.%d: %v", p.Index, p.N, err)
		return nil
	}
	if d.Before.Size() != c.beforeSize || d.After.Size() != c.afterSize {
		k.wrong("log", "%d.%d: its images have %d and %d bytes, and %d and %d are counted",
			p.Index, p.N, d.Before.Size(), d.After.Size(), c.beforeSize, c.afterSize)
	}
	for _, image := range []item.Item{d.Before, d.After} {
		if image == nil {
			continue
		}
		if key, err := k.schema.Key.Key(image); err != nil || string(key) != c.key {
			k.wrong("log", "%d.%d: has an image of another key: %v", p.Index, p.N, err)
		}
	}
	if !c.hasAfter {
		return k.checkDeleted(p, c)
	}
	return nil
}

// checkDeleted checks whether an item that a change removed is gone, or was made by a later change.
func (k *shardCheck) checkDeleted(p holdfast.Position, c *change) error {
	is, err := k.shard.items.image(k.store.engine.db, item.Key(c.key))
	if err != nil {
		return err
	}
	if is.item != nil && is.made.Compare(p) < 0 {
		k.wrong("log", "%d.%d: removed an item that is there", p.Index, p.N)
	}
	return nil
}

// checkMade checks whether the change that made an item is in the log, unless it was trimmed, and
// is the item's last one.
func (k *shardCheck) checkMade(key item.Key, made holdfast.Position) error {
	if made.Index < k.shard.history.trim.oldest {
		return nil
	}
	raw, there, err := k.store.engine.read(k.store.engine.db, k.shard.keys.appendChange(nil, made))
	if err != nil {
		return err
	}
	c, err := decodeChange(raw)
	if !there || err != nil || !c.hasAfter || c.key != string(key) {
		k.wrong("log", "%x: was made by %d.%d, which isn't its change", []byte(key), made.Index, made.N)
	}
	_, linked, err := k.store.engine.read(k.store.engine.db, k.shard.keys.appendLink(nil, made))
	if linked {
		k.wrong("log", "%x: was made by %d.%d, which is linked to a later change", []byte(key), made.Index, made.N)
	}
	return err
}

// checkTally checks the tally of a transaction's last change.
func (k *shardCheck) checkTally(p holdfast.Position, c *change, l *logCheck) {
	t, err := decodeTally(c.tally)
	if err != nil {
		k.wrong("log", "%d.%d: %v", p.Index, p.N, err)
		return
	}
	if t.at < l.at || t.at < c.at {
		k.wrong("log", "%d.%d: time falls", p.Index, p.N)
	}
	l.at = max(l.at, t.at)
	if t.applied != p.Index || t.logged != l.logged {
		k.wrong("count", "%d.%d: %d bytes of log are counted, %d are there", p.Index, p.N, t.logged, l.logged)
	}
}
