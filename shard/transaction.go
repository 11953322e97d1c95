package shard

import (
	"context"
	"crypto/rand"
	"errors"

	"holdfast"
	"holdfast/item"
)

// A transaction is what a commit over several shards, or with a token, is beside a commit. The
// obvious way, one batch for all shards and the token, needs them to share a log, so that no shard
// could ever have replicas elsewhere. So each shard has entries of its own:
//
//  1. under the latches of all items and of the decision's key, all items are decided;
//  2. each shard that changes gets a prepare entry, which locks what will change (prepare.go);
//  3. when those can't be lost any more without what follows, the ledger gets the decision
//     (ledger.go), if none is there: this is the instant at which the transaction takes effect. Its
//     time is the highest that the prepare entries propose;
//  4. each shard gets a resolve entry, which makes changes of the locks at that one time;
//  5. unlatch, wait for one sync, and for what each shard's acknowledgement waits for; acknowledge.
//
// Until step 3 nothing was changed, whatever happens; from there on everything was, whatever
// happens: a crash leaves locks, and the next start, reader or writer that finds one looks at the
// decision, and resolves it (recovery.go). A shard that only decides, and doesn't change, takes no
// part: its latches keep what it read as it was until step 3.
//
// On a log of one replica, batches are durable in the order in which they were submitted. So one
// sync, behind the last entry, serves all of them.
type transaction struct {
	id   txnID
	name string   // of its decision
	key  item.Key // of its decision
	was  image    // what stands there, and is replaced; mostly nothing

	parts  []*part // that change
	shards []holdfast.ShardID
	at     int64 // its time
}

// decisionBytes is about how many bytes a decision, and the records of what shards count, have.
const decisionBytes = 1024

// begin returns the transaction of a commit.
func (t *commit) begin() (*transaction, error) {
	if t.ledger == nil && t.parts[0].shard.group.grouped() {
		return nil, errNoLedger()
	}
	if t.ledger == nil {
		return nil, holdfast.Errorf(holdfast.Invalid, "a commit over several shards or with a token needs a ledger")
	}
	x := &transaction{}
	_, _ = rand.Read(x.id[:]) // never fails
	x.name = decisionName(t.Token, x.id)
	var err error
	x.key, err = decisionKey(x.name)
	return x, err
}

// checkToken returns ErrCommitted or ErrTokenReused if the commit's token was used. The decision's
// key is latched, so that a commit with the same token that is under way has ended.
func (t *commit) checkToken(ctx context.Context) error {
	d, was, ok, err := t.ledger.read(t.store.engine.db, t.txn.key)
	t.txn.was = was
	if err != nil || !ok {
		return err
	}
	if d.remembered(t.store.now()) {
		if d.digest != string(t.Digest) {
			return ErrTokenReused
		}
		return ErrCommitted
	}
	if err := t.ledger.confirm(ctx, &d); err != nil {
		return err
	}
	if sh, p := t.ledger.held(&d); p != nil {
		t.left = leftLocks{sh, p}
		return errLeft
	}
	return nil
}

// transact does steps 2 to 4. The latches are held.
func (t *commit) transact(ctx context.Context) error {
	x, bytes := t.txn, decisionBytes
	for i := range t.parts {
		p := &t.parts[i]
		if len(p.entry.effects) == 0 {
			continue
		}
		x.parts, x.shards = append(x.parts, p), append(x.shards, p.shard.id)
		bytes += decisionBytes
		for _, f := range p.entry.effects {
			bytes += 2*len(f.encoded) + len(f.before.raw) + 5*len(f.key) + 2*changeOverhead
		}
	}
	if err := t.store.space.admitBatch(ctx, bytes, t.Removal); err != nil {
		return err
	}
	if err := t.prepare(ctx); err != nil {
		return err
	}
	for i := range t.parts {
		if p := &t.parts[i]; len(p.entry.effects) == 0 && p.shard != t.ledger.shard {
			if err := p.shard.group.confirm(ctx, p.entry.term); err != nil {
				return err
			}
		}
	}
	if err := t.record(ctx); err != nil {
		return err
	}
	if err := t.resolve(ctx); err != nil {
		return errDecided(err)
	}
	return nil
}

// errDecided returns the error of a step behind the proposal of the decision: that isn't taken back,
// whatever the step failed by. Whoever finds the locks that are left resolves them. The step's error
// isn't wrapped, since its kind may say that nothing was changed.
func errDecided(err error) error {
	return holdfast.Errorf(holdfast.Unavailable, "outcome unknown: the transaction may have been made: %v", err)
}

// prepare gives each shard that changes its prepare entry.
func (t *commit) prepare(ctx context.Context) error {
	x := t.txn
	var entries []*entry
	for _, p := range x.parts {
		e := &entry{shard: p.shard, schema: p.entry.schema, term: p.entry.term,
			body: &prepare{id: x.id, decision: x.key, shards: x.shards, effects: p.entry.effects}}
		if err := t.put(ctx, e, false); err != nil {
			return errUndecided(p.shard, err)
		}
		x.at = max(x.at, timeOf(e))
		entries = append(entries, e)
	}
	for _, e := range entries {
		if err := e.shard.group.entries().order([]*entry{e}); err != nil {
			return err
		}
	}
	return nil
}

// errUndecided returns the error of a prepare entry. Whatever it has locked or not, the transaction
// will never be committed: nothing is changed, also if it isn't known whether the group of the shard
// has the entry.
func errUndecided(sh *Shard, err error) error {
	if sh.group.grouped() && errors.Is(err, holdfast.Unavailable) {
		return holdfast.Errorf(holdfast.Overloaded,
			"nothing was changed: the replicas of shard %d didn't agree in time to prepare the transaction", sh.id)
	}
	return err
}

// timeOf returns a time that isn't before that of an entry that was proposed. A group may have raised
// the entry's own, if it has put one of a later time before it.
func timeOf(e *entry) int64 {
	sh := e.shard
	if !sh.group.grouped() {
		return e.at
	}
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	return max(e.at, sh.tally.at)
}

// record puts the decision into the ledger.
func (t *commit) record(ctx context.Context) error {
	x := t.txn
	if len(x.parts) == 0 {
		x.at = t.store.now().UnixNano()
	}
	now := t.store.now()
	d := decision{id: x.id, committed: true, at: x.at, shards: x.shards, used: now, expires: now.Unix()}
	if t.Token != "" {
		d.digest, d.expires = string(t.Digest), expiresAt(now)
	}
	e := &t.parts[t.partOf(t.ledger.shard)].entry
	e.effects = append(e.effects[:0], ledgerEffect(x.key, x.was, d.item(x.name), holdfast.ByClient))
	if err := t.put(ctx, e, len(x.parts) == 0); err != nil {
		return err
	}
	t.unacked = append(t.unacked, e)
	if err := e.shard.group.entries().order([]*entry{e}); err != nil {
		return errDecided(err)
	}
	return nil
}

// ledgerEffect returns the effect that puts a decision into the ledger.
func ledgerEffect(key item.Key, was image, it item.Item, by holdfast.Origin) effect {
	return effect{key: key, origin: by, before: was, after: it, encoded: item.Append(nil, it)}
}

// resolve gives each shard that has changed its resolve entry.
func (t *commit) resolve(ctx context.Context) error {
	x := t.txn
	for i, p := range x.parts {
		e := &p.entry
		r := &resolve{id: x.id, committed: true, at: x.at, known: e.effects}
		e.body = r
		if err := t.put(ctx, e, i == len(x.parts)-1); err != nil {
			return err
		}
		t.unacked = append(t.unacked, e)
		for _, w := range p.writes {
			t.results[w].Tx = e.tx
		}
	}
	return nil
}

// put stages an entry and gives it to its log. If it is the last of a transaction, that is what the
// commit waits for; else it will be durable when the last one is.
//
// ctx ends the wait of a shard with a group only, for its other replicas.
func (t *commit) put(ctx context.Context, e *entry, last bool) error {
	s := t.store
	e.done, e.acknowledge = ctx.Done(), t.Acknowledge.AtLeast(holdfast.Acknowledge{})
	b := s.engine.db.NewBatch()
	err := e.stage(b, s.engine.db)
	switch {
	case err != nil:
	case last:
		if err = e.shard.group.entries().propose(b, []*entry{e}); err == nil {
			t.batch, t.waits = b, e.shard
			return nil
		}
	default:
		err = e.shard.group.entries().proposeLazily(b, []*entry{e})
	}
	return errors.Join(err, b.Close())
}
