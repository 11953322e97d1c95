package shard

import (
	"cmp"
	"context"
	"fmt"
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
	guards    []int      // indexes into Store.guards, rising, none twice
	mutations []mutation // of the writes, in their order
	changed   []bool     // whether the mutation changes its item
	parts     []part     // one for each shard, by rising ID
	latched   []latch    // by rising shard and stripe, none twice
	decided   uint64     // the newest commit of records that Decide may have read
	batch     *pebble.Batch
	results   []Result
	scratch   []byte // the buffer of encoded items
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
	clear(t.mutations)
	clear(t.parts)
	next := commit{store: t.store, guards: t.guards[:0], mutations: t.mutations[:0], changed: t.changed[:0],
		parts: t.parts[:0], latched: t.latched[:0]}
	if cap(t.scratch) <= keptScratch {
		next.scratch = t.scratch[:0]
	}
	*t = next
	t.store.free.Put(t)
}

// A part is what a commit does in one shard.
type part struct {
	shard  *Shard
	schema *schema
	delta  delta
	writes []int  // indexes of the writes that change something
	read   uint64 // the newest transaction that this one may have read something of
	index  uint64 // of its transaction; 0: it changes nothing
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
		if err = s.engine.syncWait(t.batch); err != nil {
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
			t.parts = append(t.parts, part{shard: sh})
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
	if t.Removal {
		err = t.store.space.admitRemoval(b.Len() + rest)
	} else {
		err = t.store.space.admit(b.Len() + rest)
	}
	if err == nil {
		if err = ctx.Err(); err != nil {
			err = ended(ctx)
		}
	}
	if err == nil {
		err = t.apply(b)
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
		p.schema = p.shard.schema.Load()
		if n := len(p.schema.Indexes); n > 0 {
			p.delta.indexes = make([]Count, n)
		}
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
	t.mutations = append(t.mutations, make([]mutation, len(t.Writes))...)
	t.changed = append(t.changed, make([]bool, len(t.Writes))...)
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
	t.changed[i] = true
	p.writes = append(p.writes, i)
	t.mutations[i] = mutation{shard: w.Shard, schema: p.schema, key: w.Key, before: old, after: after}
	if after != nil {
		begin := len(t.scratch)
		t.scratch = item.Append(t.scratch, after)
		t.mutations[i].encoded = t.scratch[begin:len(t.scratch):len(t.scratch)]
	}
	return nil
}

// build returns the batch without the items and the log's entries, and about how many bytes those
// have. The batch is nil if nothing changes.
func (t *commit) build() (b *pebble.Batch, bytes int, err error) {
	for i := range t.mutations {
		if t.changed[i] {
			bytes += len(t.mutations[i].encoded) + len(t.mutations[i].before.raw) + 3*len(t.mutations[i].key) + changeOverhead
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
		p := &t.parts[i]
		for _, w := range p.writes {
			if err := t.mutations[w].write(b, &p.delta); err != nil {
				return err
			}
		}
	}
	for _, r := range t.Records {
		var err error
		if r.Value == nil {
			err = b.Delete(recordKey(r.Name), nil)
		} else {
			err = b.Set(recordKey(r.Name), r.Value, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// apply gives each part its transaction ID and all of them one time, adds the items and the log's
// entries, and submits the batch. The time is one so that a copy as of any time has the whole commit
// or nothing of it, even when the clock was set back since a shard's last transaction.
func (t *commit) apply(b *pebble.Batch) error {
	if len(t.Records) > 0 {
		l := &t.store.records
		l.mu.Lock()
		defer l.mu.Unlock()
		t.decided = l.applied.Add(1)
	}
	at := t.store.now().UnixNano()
	for i := range t.parts {
		p := &t.parts[i]
		if len(p.writes) == 0 {
			continue
		}
		p.shard.sequencer.mu.Lock()
		defer p.shard.sequencer.mu.Unlock()
		at = max(at, p.shard.tally.at) // time never falls within a shard
	}
	for i := range t.parts {
		if p := &t.parts[i]; len(p.writes) > 0 {
			t.advance(p, at, b)
		}
	}
	return t.store.engine.submit(b)
}

// advance gives the part's transaction its index and time, and adds its changes to the batch.
// sequencer.mu is held.
func (t *commit) advance(p *part, at int64, b *pebble.Batch) {
	sh := p.shard
	next := sh.tally
	next.indexes = slices.Clone(sh.tally.indexes)
	next.applied++
	next.at = at
	next.add(&p.delta, p.schema)
	t.appendLog(p, &next, b)
	sh.tally = next
	p.index = next.applied
	for _, w := range p.writes {
		sh.sequencer.marks[stripeOf(t.Writes[w].Key.Hash())].Store(p.index)
		t.results[w].Tx = holdfast.TxID{Shard: sh.id, Term: term, Index: p.index}
	}
	for _, hash := range p.delta.hashes {
		sh.sequencer.marks[stripeOf(hash)].Store(p.index)
	}
	sh.sequencer.applied.Store(p.index)
}

// term is the term of all transactions while a shard has one replica.
const term = 1

// add adds what a transaction changes.
func (t *tally) add(d *delta, s *schema) {
	t.items += d.items
	t.bytes += d.bytes
	for i := range d.indexes {
		x := t.index(s.Indexes[i].ID)
		x.items += d.indexes[i].Items
		x.bytes += d.indexes[i].Bytes
	}
}

// appendLog adds the part's items and changes to the batch, the tally to the last change, and their
// bytes to the tally.
func (t *commit) appendLog(p *part, next *tally, b *pebble.Batch) {
	var room [256]byte
	for n, w := range p.writes {
		m := &t.mutations[w]
		at := Position{next.applied, uint32(n)}
		m.writeItem(b, at)
		c := change{
			last: n == len(p.writes)-1, hasBefore: m.before.item != nil, hasAfter: m.after != nil,
			origin: t.Writes[w].Origin, at: next.at, term: term,
			beforeSize: m.before.item.Size(), afterSize: m.after.Size(),
			key: string(m.key), before: m.before.raw,
		}
		if c.last {
			c.tally = string(next.appendTo(room[:0]))
		}
		size := c.size()
		next.logged += uint64(logBytes + size)
		if c.last {
			c.tally = string(next.appendTo(room[:0])) // it counts its own bytes, and has the same length
		}
		op := b.SetDeferred(logBytes, size)
		appendLogKey(op.Key[:0], p.shard.id, at)
		if wrote := len(c.appendTo(op.Value[:0])); wrote != size {
			panic(fmt.Sprintf("shard: a change has %d bytes where %d were counted", wrote, size))
		}
		_ = op.Finish()
		p.shard.history.link(b, m.before.made, at)
	}
}

// acknowledge raises the durable watermarks, which ends the waits for the commit's sync.
func (t *commit) acknowledge() {
	if len(t.Records) > 0 {
		t.store.records.durable.raise(t.decided)
	}
	for i := range t.parts {
		if p := &t.parts[i]; p.index > 0 {
			p.shard.sequencer.durable.raise(p.index)
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
