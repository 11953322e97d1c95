package shard

import (
	"cmp"
	"context"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// A commit is a Commit in progress. The obvious way to make it durable and isolated, a lock on each
// item until its sync is done, lets an item change no more often than the disk can sync. So latches
// are held only until the batch is submitted to Pebble: the next commit of the item reads what
// isn't on disk yet, but its own batch is behind it on disk, so that it can't be there without what
// it was made from. Two things must hold for that:
//
//   - the order of transactions in a shard is the order of their batches on disk: a transaction
//     gets its index and its batch is submitted under one lock, sequencer.mu. So what is durable is
//     always a prefix of the log;
//   - nothing that isn't durable is returned to a caller: readers wait by the marks of the
//     sequencer, and a commit that changes nothing, because of a failed condition for example,
//     waits for the transactions that it has read.
//
// A commit that changes one shard is one entry. One over several shards, or with a token, is a
// transaction. In a shard with a group, what isn't committed yet can be lost and isn't in the
// database: what takes its place there is in overlay.go.
type commit struct {
	store  *Store
	ledger *Ledger // the store's; nil: it has none yet
	Commit
	parts   []part        // one for each shard, and for the ledger if txn isn't nil; by rising ID
	latched []latch       // by rising shard and stripe, none twice
	txn     *transaction  // nil: there is one shard, and no token
	left    leftLocks     // what an attempt has found
	batch   *pebble.Batch // of the last entry, of the shard waits; nil: there is none
	waits   *Shard
	unacked []*entry // that may not be acknowledged yet, although they are applied
	behind  []*way   // of a shard with a group: by which the commit was decided; they may not be applied yet
	way     *way     // its own; nil: it has proposed nothing, or propose has
	wrote   *part    // that the way is of
	entries []*entry // the one of a commit that is no transaction
	results []Result
	scratch []byte // the buffer of encoded items

	unchanged bool // it was decided that nothing changes
}

// keptScratch is how many bytes of a commit's scratch are kept for another.
const keptScratch = 64 << 10

// newCommit returns a commit, with the memory of one that was released if there is any.
func (s *Store) newCommit(c Commit) *commit {
	t, _ := s.free.Get().(*commit)
	if t == nil {
		t = &commit{store: s}
	}
	t.Commit, t.ledger = c, s.ledger.Load()
	return t
}

// release keeps the commit's memory for another.
func (t *commit) release() {
	for i := range t.parts {
		p := &t.parts[i]
		clear(p.entry.effects)
		*p = part{entry: entry{effects: p.entry.effects[:0]}, writes: p.writes[:0]}
	}
	clear(t.behind)
	next := commit{store: t.store, parts: t.parts[:0], latched: t.latched[:0], entries: t.entries[:0],
		unacked: t.unacked[:0], behind: t.behind[:0]}
	if cap(t.scratch) <= keptScratch {
		next.scratch = t.scratch[:0]
	}
	*t = next
	t.store.free.Put(t)
}

// A part is what a commit does in one shard.
type part struct {
	shard  *Shard
	entry  entry  // whose effects are of the writes that change something
	writes []int  // the indexes of those writes
	read   uint64 // the newest transaction that this one may have read something of
}

// A latch is a stripe of a part's shard.
type latch struct{ part, stripe int }

// Commit does all writes of c or none, and returns when they are on disk. Results are in the order
// of c.Writes. ctx can end it only before step 4 of the package's description. An error of a Change
// is returned as it is. Other errors: Full and Overloaded, if nothing was changed; Unavailable, if
// the outcome is unknown; Invalid for a key that is in c twice; ErrCommitted and ErrTokenReused for
// a token that was used. For a Removal the error is Full only if not even the last bytes of the
// reserve are free.
func (s *Store) Commit(ctx context.Context, c Commit) ([]Result, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if s.readOnly {
		return nil, errReadOnly()
	}
	t := s.newCommit(c)
	defer t.release()
	if err := t.plan(); err != nil {
		return nil, err
	}
	err := t.perform(ctx)
	if err == nil && t.batch != nil {
		if err = t.wait(); err != nil {
			return nil, err
		}
		_ = t.batch.Close()
		t.acknowledge()
	}
	if err == nil && t.way != nil {
		if err = t.waitInGroup(ctx); err != nil {
			return nil, err
		}
	}
	if t.unchanged {
		err = cmp.Or(t.confirm(ctx), err)
	}
	if waitErr := t.waitForReads(ctx); waitErr != nil {
		return nil, waitErr
	}
	if err != nil {
		return nil, err
	}
	s.commits.Add(1)
	return t.results, nil
}

// plan finds the shards and latches, in the order in which they are locked.
func (t *commit) plan() (err error) {
	for i := range t.Writes {
		if sh := t.Writes[i].Shard; t.partOf(sh) < 0 {
			t.addPart(sh)
		}
	}
	if len(t.parts) > 1 || t.Token != "" {
		if t.txn, err = t.begin(); err != nil {
			return err
		}
		if t.partOf(t.ledger.shard) < 0 {
			t.addPart(t.ledger.shard)
		}
	}
	sortParts(t.parts)
	for i := range t.Writes {
		w := &t.Writes[i]
		t.latched = append(t.latched, latch{t.partOf(w.Shard), stripeOf(w.Key.Hash())})
	}
	if t.txn != nil {
		t.latched = append(t.latched, latch{t.partOf(t.ledger.shard), stripeOf(t.txn.key.Hash())})
	}
	t.latched = sortedLatches(t.latched)
	return nil
}

func sortParts(parts []part) {
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.shard.id, b.shard.id) })
}

// sortedLatches returns latches, in whose place they are, in the order in which they are taken.
func sortedLatches(latches []latch) []latch {
	slices.SortFunc(latches, func(a, b latch) int {
		return cmp.Or(cmp.Compare(a.part, b.part), cmp.Compare(a.stripe, b.stripe))
	})
	return slices.Compact(latches)
}

// addPart adds the part of a shard, with the memory of one that was released if there is any.
func (t *commit) addPart(sh *Shard) {
	n := len(t.parts)
	if n == cap(t.parts) {
		t.parts = append(t.parts, part{})
	}
	t.parts = t.parts[:n+1]
	t.parts[n].shard, t.parts[n].entry.shard = sh, sh
}

// partOf returns the index of a shard's part, or -1. Few commits have more than two parts.
func (t *commit) partOf(sh *Shard) int {
	for i := range t.parts {
		if t.parts[i].shard == sh {
			return i
		}
	}
	return -1
}

// perform does the steps from the latches to the submitted batch. If an attempt finds what a
// transaction that was interrupted has left, it is resolved, and the commit begins again: it can't
// be resolved under the commit's latches, since it may need others that come before them. It also
// begins again if nothing is to change, and what has decided that was lost.
func (t *commit) perform(ctx context.Context) error {
	for {
		err := t.attempt(ctx)
		switch {
		case t.left.prepared != nil:
			if err := t.ledger.resolve(ctx, t.left.shard, t.left.prepared); err != nil {
				return err
			}
		case t.unchanged:
			stands, waitErr := allStand(ctx.Done(), t.behind)
			if waitErr != nil {
				t.unchanged = false
				return waitErr
			}
			if stands {
				return err
			}
		default:
			return err
		}
		clear(t.behind)
		t.left, t.unchanged, t.behind = leftLocks{}, false, t.behind[:0]
		for i := range t.parts {
			p := &t.parts[i]
			p.entry.effects, p.writes = p.entry.effects[:0], p.writes[:0]
		}
	}
}

func (t *commit) attempt(ctx context.Context) error {
	if err := t.leads(); err != nil {
		return err
	}
	t.latch()
	defer t.unlatch()
	if ctx.Err() != nil {
		return ended(ctx)
	}
	images, bytes := maxOverlaid-1, maxOverlaidBytes
	if t.txn != nil {
		images, bytes = 0, 0
	}
	if err := t.lead(ctx, images, bytes); err != nil {
		return err
	}
	if err := t.decide(ctx); err != nil {
		t.unchanged = true
		return err
	}
	changed, last := 0, -1
	for i := range t.parts {
		if len(t.parts[i].entry.effects) > 0 {
			changed, last = changed+1, i
		}
	}
	switch {
	case changed > 1 || t.Token != "" || changed == 1 && t.txn != nil && t.parts[last].shard.group.grouped():
		// In a group, one entry isn't enough either when other shards were only read: another leader may
		// change these before it has a place.
		return t.transact(ctx)
	case changed == 1:
		return t.change(ctx, &t.parts[last])
	case t.txn == nil && t.Acknowledge.Exceeds() && t.parts[0].shard.group.grouped():
		// What it has found is committed, and may not be on the disks that this commit asks for, as
		// when a write that couldn't be acknowledged is repeated. An entry without effects, which is
		// behind it, is acknowledged when it is.
		return t.change(ctx, &t.parts[0])
	}
	t.unchanged = true
	return nil
}

// latch takes the locks up to the latches: the shards' schemas, then stripes, in rising order.
func (t *commit) latch() {
	for i := range t.parts {
		t.parts[i].shard.schemas.RLock()
	}
	for _, l := range t.latched {
		t.parts[l.part].shard.sequencer.latches[l.stripe].Lock()
	}
}

// unlatch releases the locks.
func (t *commit) unlatch() {
	for _, l := range t.latched {
		t.parts[l.part].shard.sequencer.latches[l.stripe].Unlock()
	}
	for i := range t.parts {
		t.parts[i].shard.schemas.RUnlock()
	}
}

// leads returns an error if another replica leads: it is known before the latches are taken, which may
// be held as long as the outcome of an earlier commit isn't known.
func (t *commit) leads() error {
	for i := range t.parts {
		if _, err := t.parts[i].shard.group.leads(); err != nil {
			return err
		}
	}
	return nil
}

// lead finds the terms in which the commit is decided, when at most so many images are on their way to
// each stripe, of so many bytes. The latches are held.
func (t *commit) lead(ctx context.Context, images, bytes int) (err error) {
	for _, l := range t.latched {
		sh := t.parts[l.part].shard
		if err := sh.group.overlay.wait(ctx.Done(), sh.id, l.stripe, images, bytes); err != nil {
			return err
		}
	}
	for i := range t.parts {
		p := &t.parts[i]
		if p.entry.term, err = p.shard.group.lead(ctx.Done()); err != nil {
			return err
		}
	}
	return nil
}

// confirm returns an error if what a commit without changes has read may have been stale, since
// another replica leads. A change needn't be confirmed: the group refuses it if its term has ended.
func (t *commit) confirm(ctx context.Context) error {
	for i := range t.parts {
		if err := t.parts[i].shard.group.confirm(ctx, t.parts[i].entry.term); err != nil {
			return err
		}
	}
	return nil
}

// decide finds what each item becomes.
func (t *commit) decide(ctx context.Context) error {
	for i := range t.parts {
		p := &t.parts[i]
		if p.shard.isDropped() {
			return errDropped(p.shard.id)
		}
		p.entry.schema = p.shard.schema.Load()
	}
	for _, l := range t.latched {
		p := &t.parts[l.part]
		p.read = max(p.read, p.shard.sequencer.marks[l.stripe].Load())
	}
	if t.Token != "" {
		if err := t.checkToken(ctx); err != nil {
			return err
		}
	}
	t.results = make([]Result, len(t.Writes))
	for i := range t.Writes {
		if err := t.decideItem(i); err != nil {
			return err
		}
	}
	return nil
}

func (t *commit) decideItem(i int) error {
	w := &t.Writes[i]
	place := t.partOf(w.Shard)
	p := &t.parts[place]
	for j := range i {
		if t.Writes[j].Shard == w.Shard && string(t.Writes[j].Key) == string(w.Key) {
			return holdfast.Errorf(holdfast.Invalid, "a commit has a key twice")
		}
	}
	if left := w.Shard.locks.at(w.Key); left != nil {
		t.left = leftLocks{w.Shard, left}
		return errLeft
	}
	old, err := t.imageOf(w, p.entry.term)
	if err != nil {
		return err
	}
	before := old.item
	after, err := w.Change(before)
	if err != nil {
		return err
	}
	t.results[i] = Result{Before: before, After: after}
	if after.Equal(before) {
		return nil
	}
	f := effect{key: w.Key, origin: w.Origin, before: old, after: after}
	if after != nil {
		begin := len(t.scratch)
		t.scratch = item.Append(t.scratch, after)
		f.encoded = t.scratch[begin:len(t.scratch):len(t.scratch)]
	}
	p.writes = append(p.writes, i)
	p.entry.effects = append(p.entry.effects, f)
	return nil
}

// imageOf returns the image of an item by which a write of it is decided.
func (t *commit) imageOf(w *Write, term uint64) (image, error) {
	if term != 0 {
		// Before the database: an image goes when it can be found there.
		if x, ok := w.Shard.group.overlay.at(w.Key, term); ok {
			t.behind = append(t.behind, x.way)
			it, err := x.item()
			return image{item: it}, err
		}
	}
	return w.Shard.items.image(t.store.engine.db, w.Key)
}

// changeOverhead is about how many bytes a change in the log has beside its images and key.
const changeOverhead = 128

// change gives the entry of the one shard that changes to the log.
func (t *commit) change(ctx context.Context, p *part) error {
	if p.shard.group.grouped() {
		return t.changeInGroup(ctx, p)
	}
	bytes := 0
	for i := range p.entry.effects {
		f := &p.entry.effects[i]
		bytes += len(f.encoded) + len(f.before.raw) + 3*len(f.key) + changeOverhead
	}
	b := t.store.engine.db.NewBatchWithSize(bytes)
	err := p.entry.stage(b, t.store.engine.db)
	if err == nil {
		err = t.store.space.admitBatch(ctx, b.Len()+bytes, t.Removal)
	}
	if err == nil {
		t.entries = append(t.entries, &p.entry)
		err = p.shard.group.entries().propose(b, t.entries)
	}
	if err != nil {
		_ = b.Close()
		return err
	}
	for _, w := range p.writes {
		t.results[w].Tx = p.entry.tx
	}
	t.batch, t.waits = b, p.shard
	return nil
}

// wait returns when the commit's last entry is durable, and the entries are acknowledged by all shards.
func (t *commit) wait() error {
	err := t.waits.group.entries().wait(t.batch)
	for _, e := range t.unacked {
		if e.way != nil {
			err = cmp.Or(err, e.way.waitAcknowledged(e.done, nil))
		}
	}
	return err
}

// acknowledge raises the durable watermarks, which ends the waits for the commit's sync. Those of
// shards with groups rise when entries are applied.
func (t *commit) acknowledge() {
	for i := range t.parts {
		if p := &t.parts[i]; p.entry.tx.Index > 0 && !p.shard.group.grouped() {
			p.shard.sequencer.durable.raise(p.entry.tx.Index)
		}
	}
}

// readsDurable reports whether all that the commit has read is on disk.
func (t *commit) readsDurable() bool {
	for i := range t.parts {
		if t.parts[i].shard.sequencer.durable.at.Load() < t.parts[i].read {
			return false
		}
	}
	return true
}

// waitForReads waits until all that the commit has read is on disk. What it changed is already.
func (t *commit) waitForReads(ctx context.Context) error {
	if t.readsDurable() {
		return nil // most commits, without a context of their own
	}
	if t.batch != nil || t.way != nil {
		ctx = context.WithoutCancel(ctx)
	}
	for i := range t.parts {
		if err := t.parts[i].shard.sequencer.waitDurable(ctx, t.parts[i].read); err != nil {
			return err
		}
	}
	return nil
}
