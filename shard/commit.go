package shard

import (
	"cmp"
	"context"
	"hash/maphash"
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
type commit struct {
	store *Store
	Commit
	guards  []int   // indexes into Store.guards, rising, none twice
	parts   []part  // one for each shard, by rising ID
	latched []latch // by rising shard and stripe, none twice
	decided uint64  // the newest commit of records that Decide may have read
	batch   *pebble.Batch
	entries []*entry // of the parts that change something
	results []Result
	scratch []byte // the buffer of encoded items
}

// keptScratch is how many bytes of a commit's scratch are kept for another.
const keptScratch = 64 << 10

// newCommit returns a commit, with the memory of one that was released if there is any.
func (s *Store) newCommit(c Commit) *commit {
	t, _ := s.free.Get().(*commit)
	if t == nil {
		t = &commit{store: s}
	}
	t.Commit = c
	return t
}

// release keeps the commit's memory for another.
func (t *commit) release() {
	for i := range t.parts {
		p := &t.parts[i]
		clear(p.entry.effects)
		*p = part{entry: entry{effects: p.entry.effects[:0]}, writes: p.writes[:0]}
	}
	next := commit{store: t.store, guards: t.guards[:0], parts: t.parts[:0], latched: t.latched[:0],
		entries: t.entries[:0]}
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
// of c.Writes. ctx can end it only before step 4 of the package's description. An error of c.Decide
// or of a Change is returned as it is. Other errors: Full and Overloaded, if nothing was changed;
// Unavailable, if the outcome is unknown; Invalid for a key that is in c twice. For a Removal the
// error is Full only if not even the last bytes of the reserve are free.
func (s *Store) Commit(ctx context.Context, c Commit) ([]Result, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if s.readOnly {
		return nil, holdfast.Errorf(holdfast.Invalid, "the store was opened for reading only")
	}
	t := s.newCommit(c)
	defer t.release()
	t.plan()
	err := t.perform(ctx)
	if err == nil && t.batch != nil {
		if err = s.entries.wait(t.batch); err != nil {
			return nil, err
		}
		_ = t.batch.Close()
		t.acknowledge()
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

// plan finds the guards, shards and latches, in the order in which they are locked.
func (t *commit) plan() {
	for _, name := range t.Guards {
		t.guards = append(t.guards, int(maphash.String(t.store.seed, name)%guards))
	}
	slices.Sort(t.guards)
	t.guards = slices.Compact(t.guards)
	for i := range t.Writes {
		if sh := t.Writes[i].Shard; t.partOf(sh) < 0 {
			t.addPart(sh)
		}
	}
	slices.SortFunc(t.parts, func(a, b part) int { return cmp.Compare(a.shard.id, b.shard.id) })
	for i := range t.Writes {
		w := &t.Writes[i]
		t.latched = append(t.latched, latch{t.partOf(w.Shard), stripeOf(w.Key.Hash())})
	}
	slices.SortFunc(t.latched, func(a, b latch) int {
		return cmp.Or(cmp.Compare(a.part, b.part), cmp.Compare(a.stripe, b.stripe))
	})
	t.latched = slices.Compact(t.latched)
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

// perform does the steps from the latches to the submitted batch.
func (t *commit) perform(ctx context.Context) error {
	t.latch()
	defer t.unlatch()
	if err := ctx.Err(); err != nil {
		return ended(ctx)
	}
	if err := t.decide(); err != nil {
		return err
	}
	b, rest, err := t.build()
	if err != nil || b == nil {
		return err
	}
	if err = t.store.admitBatch(ctx, b.Len()+rest, t.Removal); err == nil {
		err = t.propose(b)
	}
	if err != nil {
		_ = b.Close()
		return err
	}
	t.batch = b
	return nil
}

// latch takes the locks up to the latches: guards, then the shards' schemas, then stripes, each in
// rising order.
func (t *commit) latch() {
	for _, g := range t.guards {
		t.store.guards[g].Lock()
	}
	for i := range t.parts {
		t.parts[i].shard.schemas.RLock()
	}
	for _, l := range t.latched {
		t.parts[l.part].shard.sequencer.latches[l.stripe].Lock()
	}
}

func (t *commit) unlatch() {
	for _, l := range t.latched {
		t.parts[l.part].shard.sequencer.latches[l.stripe].Unlock()
	}
	for i := range t.parts {
		t.parts[i].shard.schemas.RUnlock()
	}
	for _, g := range t.guards {
		t.store.guards[g].Unlock()
	}
}

// decide finds what each item becomes.
func (t *commit) decide() error {
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
	if t.Decide != nil {
		err := t.Decide(t.store.record)
		t.decided = t.store.records.applied.Load()
		if err != nil {
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
	old, err := w.Shard.items.image(t.store.engine.db, w.Key)
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

// build returns the batch without the items and the log's entries, and about how many bytes those
// have. The batch is nil if nothing changes.
func (t *commit) build() (b *pebble.Batch, bytes int, err error) {
	for i := range t.parts {
		for _, f := range t.parts[i].entry.effects {
			bytes += len(f.encoded) + len(f.before.raw) + 3*len(f.key) + changeOverhead
		}
	}
	if bytes == 0 && len(t.Records) == 0 {
		return nil, 0, nil
	}
	b = t.store.engine.db.NewBatchWithSize(bytes)
	if err := t.fill(b); err != nil {
		_ = b.Close()
		return nil, 0, err
	}
	return b, bytes, nil
}

// changeOverhead is about how many bytes a change in the log has beside its images and key.
const changeOverhead = 128

func (t *commit) fill(b *pebble.Batch) error {
	for i := range t.parts {
		if e := &t.parts[i].entry; len(e.effects) > 0 {
			if err := e.stage(b, t.store.engine.db); err != nil {
				return err
			}
		}
	}
	for _, r := range t.Records {
		if err := setRecord(b, r); err != nil {
			return err
		}
	}
	return nil
}

// propose gives the records their place, and has the log give the entries theirs and submit the
// batch.
func (t *commit) propose(b *pebble.Batch) error {
	if len(t.Records) > 0 {
		l := &t.store.records
		l.mu.Lock()
		defer l.mu.Unlock()
		t.decided = l.applied.Add(1)
	}
	for i := range t.parts {
		if p := &t.parts[i]; len(p.entry.effects) > 0 {
			t.entries = append(t.entries, &p.entry)
		}
	}
	if err := t.store.entries.propose(b, t.entries); err != nil {
		return err
	}
	for i := range t.parts {
		for _, w := range t.parts[i].writes {
			t.results[w].Tx = t.parts[i].entry.tx
		}
	}
	return nil
}

// acknowledge raises the durable watermarks, which ends the waits for the commit's sync.
func (t *commit) acknowledge() {
	if len(t.Records) > 0 {
		t.store.records.durable.raise(t.decided)
	}
	for i := range t.parts {
		if p := &t.parts[i]; p.entry.tx.Index > 0 {
			p.shard.sequencer.durable.raise(p.entry.tx.Index)
		}
	}
}

// waitForReads waits until all that the commit has read is on disk. What it changed is already.
func (t *commit) waitForReads(ctx context.Context) error {
	if t.batch != nil {
		ctx = context.WithoutCancel(ctx)
	}
	if err := t.store.records.waitDurable(ctx, t.decided); err != nil {
		return err
	}
	for i := range t.parts {
		if err := t.parts[i].shard.sequencer.waitDurable(ctx, t.parts[i].read); err != nil {
			return err
		}
	}
	return nil
}
