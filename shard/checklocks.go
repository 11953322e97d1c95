package shard

import (
	"cmp"
	"context"
	"slices"

	"holdfast/item"
)

// checkLocks counts the locks of transactions that were interrupted. A lock says what becomes of an
// item that differs; when its transaction is resolved it goes, in the same batch.
func (k *shardCheck) checkLocks() error {
	lower, upper := k.shard.keys.locks()
	return k.each(lower, upper, prefixBytes, func(key []byte, value string) error {
		k.checked.Locks++
		l, err := decodeLock(key, value)
		if err != nil {
			k.wrong("lock", "%x: %v", key, err)
			return nil
		}
		it, err := k.shard.items.get(k.store.engine.db, key)
		if err != nil {
			return err
		}
		if it.Equal(l.effect.after) {
			k.wrong("lock", "%x: is locked by transaction %v, which has changed it already", key, l.id)
		}
		return nil
	})
}

// Check compares what transactions have locked in the open shards with what was decided, for Check,
// while nothing changes them. An item that is locked can't have changed since its transaction was
// committed. That a transaction has a decision, or none, and has locked items, is what a crash
// leaves.
func (l *Ledger) Check(ctx context.Context, report func(Fault)) error {
	for _, sh := range l.store.opened() {
		all := sh.locks.in(item.Range{})
		slices.SortFunc(all, func(a, b *prepared) int { return cmp.Compare(string(a.id[:]), string(b.id[:])) })
		for _, p := range all {
			if ctx.Err() != nil {
				return ended(ctx)
			}
			d, _, ok, err := l.read(l.store.engine.db, p.decision)
			if err != nil {
				return err
			}
			if !ok || d.id != p.id || !d.committed {
				continue
			}
			if err := checkUnchanged(sh, p, d.at, report); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkUnchanged reports the items that a transaction has locked and that have changed since it was
// committed, as far as the log reaches back.
func checkUnchanged(sh *Shard, p *prepared, committed int64, report func(Fault)) error {
	for _, key := range p.keys {
		is, err := sh.items.image(sh.engine.db, key)
		if err != nil {
			return err
		}
		raw, there, err := sh.engine.read(sh.engine.db, sh.keys.appendChange(nil, is.made))
		if err != nil {
			return err
		}
		if is.item == nil || !there {
			continue
		}
		if c, err := decodeChange(raw); err == nil && c.at > committed {
			report(faultOf(sh.id, "lock", "%x: is locked by transaction %v, and was changed after that was committed",
				[]byte(key), p.id))
		}
	}
	return nil
}
