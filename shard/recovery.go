package shard

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// errLeft ends an attempt of a commit that has found locks of an interrupted transaction.
var errLeft = errors.New("shard: an item is locked by a transaction that was interrupted")

// A leftLocks is what an interrupted transaction has left in a shard.
type leftLocks struct {
	shard    *Shard
	prepared *prepared
}

// resolve resolves what a transaction has locked in a shard. If the transaction is under way, it
// only waits for its latches; if it was interrupted, what stands in the ledger holds, and if nothing
// does, that it is aborted.
func (l *Ledger) resolve(ctx context.Context, sh *Shard, p *prepared) error {
	if l == nil && sh.group.grouped() {
		return errNoLedger()
	}
	if l == nil {
		return holdfast.Errorf(holdfast.Invalid, "transaction %v of shard %d can't be resolved without a ledger",
			p.id, sh.id)
	}
	s := l.store
	t := s.newCommit(Commit{Removal: true})
	defer t.release()
	t.addPart(sh)
	t.addPart(l.shard)
	sortParts(t.parts)
	for _, key := range p.keys {
		t.latched = append(t.latched, latch{t.partOf(sh), stripeOf(key.Hash())})
	}
	t.latched = append(t.latched, latch{t.partOf(l.shard), stripeOf(p.decision.Hash())})
	t.latched = sortedLatches(t.latched)
	if err := t.resolveLatched(ctx, sh, p); err != nil || t.batch == nil {
		return err
	}
	if err := t.wait(); err != nil {
		return err
	}
	_ = t.batch.Close()
	t.acknowledge()
	return nil
}

func (t *commit) resolveLatched(ctx context.Context, sh *Shard, p *prepared) error {
	if err := t.leads(); err != nil {
		return err
	}
	t.latch()
	defer t.unlatch()
	s := t.store
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if err := t.lead(ctx, 0, 0); err != nil {
		return err
	}
	for i := range t.parts {
		if t.parts[i].shard.isDropped() {
			return errDropped(t.parts[i].shard.id)
		}
		t.parts[i].entry.schema = t.parts[i].shard.schema.Load()
	}
	if sh.locks.of(p.id) != p {
		return nil
	}
	d, _, ok, err := t.ledger.read(s.engine.db, p.decision)
	if err != nil {
		return err
	}
	if err := s.space.admitBatch(ctx, 2*decisionBytes, true); err != nil {
		return err
	}
	switch {
	case !ok:
		err = t.abort(ctx, p)
	case d.id != p.id: // another that leads may have replaced it by the transaction's own
		err = t.ledger.shard.group.confirm(ctx, t.parts[t.partOf(t.ledger.shard)].entry.term)
	}
	if err != nil {
		return err
	}
	e := &t.parts[t.partOf(sh)].entry
	r := &resolve{id: p.id, committed: ok && d.id == p.id && d.committed, at: d.at}
	e.body = r
	if err = t.put(ctx, e, true); err != nil {
		return err
	}
	s.log.Info("a transaction that was interrupted is resolved", "transaction", p.id.String(), "shard", uint64(sh.id),
		"committed", r.committed)
	return nil
}

// abort puts the decision that a transaction is aborted into the ledger, where none is.
func (t *commit) abort(ctx context.Context, p *prepared) error {
	now := t.store.now()
	d := decision{id: p.id, at: now.UnixNano(), shards: p.shards, used: now, expires: now.Unix()}
	name, err := decisionNameOf(p.decision)
	if err != nil {
		return err
	}
	e := &t.parts[t.partOf(t.ledger.shard)].entry
	e.effects = append(e.effects[:0], ledgerEffect(p.decision, image{}, d.item(name), holdfast.ByClient))
	if err := t.put(ctx, e, false); err != nil {
		return err
	}
	return e.shard.group.entries().order([]*entry{e})
}

// decisionNameOf returns the name of the decision at a key.
func decisionNameOf(key item.Key) (string, error) {
	it, err := LedgerSchema().Key.Decode(key)
	if err != nil {
		return "", err
	}
	name, _ := it.Get(ledgerKey)
	return name.Text, nil
}

// ResolveAll resolves what interrupted transactions have left in all open shards.
func (l *Ledger) ResolveAll(ctx context.Context) error {
	if err := l.store.gate.enter(); err != nil {
		return err
	}
	defer l.store.gate.leave()
	for _, sh := range l.store.opened() {
		if err := l.settle(ctx, sh, item.Range{}); err != nil {
			return err
		}
	}
	return nil
}

// settle returns when all that transactions had locked in a range of a shard, when it was called, is
// resolved.
func (l *Ledger) settle(ctx context.Context, sh *Shard, r item.Range) error {
	if sh.locks.held.Load() == 0 || sh.store.readOnly {
		return nil
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	for _, p := range sh.locks.in(r) {
		if err := l.resolve(ctx, sh, p); err != nil {
			return err
		}
	}
	return nil
}

// standStill returns when all transactions up to a time are resolved in the shard, and no later one
// can get a time up to it, even if the clock is set back, or that of another leader is behind. So
// copies of several shards as of that time have all of a transaction over them or nothing, although
// they are made one after the other.
func (l *Ledger) standStill(ctx context.Context, sh *Shard, at time.Time) error {
	if !at.IsZero() {
		if err := notBefore(ctx, sh, at.Add(1)); err != nil {
			return err
		}
	}
	return l.settle(ctx, sh, item.Range{})
}

// A standing is what a reader finds at an item.
type standing int

const (
	unlocked standing = iota
	undecided
	decided // by a decision, on which the item depends
)

// current returns the item at a key in a view, as the transactions that are decided in the view have
// left it.
func (l *Ledger) current(view pebble.Reader, sh *Shard, key item.Key) (it item.Item, is standing, err error) {
	lock, locked, err := sh.locks.read(view, key)
	if err != nil {
		return nil, unlocked, err
	}
	if locked && l != nil {
		d, _, ok, err := l.read(view, lock.decision)
		if err != nil {
			return nil, unlocked, err
		}
		if ok && d.id == lock.id && d.committed {
			return lock.effect.after, decided, nil
		}
	}
	if locked {
		is = undecided
	}
	it, err = sh.items.get(view, key)
	return it, is, err
}

// A reign is the terms in which the replicas here lead a shard and the ledger. Zeros: they have no
// groups.
type reign struct{ shard, ledger uint64 }

// reign returns that of a shard. The error is NotLeader.
//
// A replica that doesn't lead may lack the decisions of the locks that it has, or have them no longer.
// So a reader that saw what was decided, there or elsewhere, could find what was before. A replica that
// leads both, from before the reader has its view until it has read there, has them all.
func (l *Ledger) reign(sh *Shard) (is reign, err error) {
	if is.shard, err = sh.group.leads(); err != nil {
		return reign{}, err
	}
	if l == nil {
		if sh.group.grouped() {
			err = errNoLedger()
		}
		return is, err
	}
	is.ledger, err = l.shard.group.leads()
	return is, err
}

// reigns returns that of the shard of each get; nil: no shard has a group.
func (l *Ledger) reigns(gets []Get) (all []reign, err error) {
	if !slices.ContainsFunc(gets, func(g Get) bool { return g.Shard.group.grouped() }) {
		return nil, nil
	}
	all = make([]reign, len(gets))
	for i := range gets {
		if all[i], err = l.reign(gets[i].Shard); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// lasts returns an error unless a reign still is what it was.
func (l *Ledger) lasts(sh *Shard, before reign) error {
	if now, err := l.reign(sh); err != nil || now != before {
		return cmp.Or(err, error(holdfast.Errorf(holdfast.NotLeader,
			"nothing was changed: the leader of shard %d or of the ledger has changed", sh.id)))
	}
	return nil
}

func errNoLedger() error {
	return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: the ledger isn't open on this node yet")
}

// get is Shard.Get while transactions have locks in the shard. The error is NotLeader if the item is
// locked, and another replica leads.
func (l *Ledger) get(ctx context.Context, sh *Shard, key item.Key) (item.Item, error) {
	before, notLeader := l.reign(sh)
	view, err := sh.engine.view()
	if err != nil {
		return nil, err
	}
	it, is, err := l.current(view, sh, key)
	if err = errors.Join(err, view.Close()); err != nil {
		return nil, err
	}
	if is != unlocked {
		if err := cmp.Or(notLeader, l.lasts(sh, before)); err != nil {
			return nil, err
		}
	}
	if err := sh.sequencer.waitDurable(ctx, sh.sequencer.marks[stripeOf(key.Hash())].Load()); err != nil ||
		is != decided {
		return it, err
	}
	return it, l.waitDurable(ctx)
}

// waitDurable returns when all decisions that could be seen are on disk, and so are the prepare
// entries before them.
func (l *Ledger) waitDurable(ctx context.Context) error {
	return l.shard.sequencer.waitDurable(ctx, l.shard.sequencer.applied.Load())
}
