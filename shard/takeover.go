package shard

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// The limits of a takeover.
const (
	takeoverBatchBytes = 1 << 20         // of keys and values that are taken over in one batch
	takeoverSortBytes  = 16 << 20        // of keys of the queue of expiring items that are sorted at once
	takeoverShare      = 8               // of a shard's bytes, what its copy may take in addition: an eighth
	takeoverShared     = 64 << 20        // at most, of sorted tables that are kept since another shard has keys in them
	takeoverWait       = 5 * time.Second // at most, for the disk space of the shard before
	takeoverLogEvery   = 10 * time.Second
)

// A takeover moves the keys of a shard, or the records, from their form in format 1 to today's:
//
//  1. The new keys that an earlier attempt of a shard has left are removed.
//  2. The new keys are written into sorted tables, which are given to the database.
//  3. One batch, which is synced, writes the descriptor, or of records the store's ID, and removes
//     the former keys.
//
// Until step 3 the former keys are whole, and nothing reads the new ones: a start that finds no
// descriptor begins with step 1. From then on nothing reads the former ones. What is small is
// written in the batch of step 3 itself.
//
// Values stay as they are. It needs little memory, and on disk as much again as the shard has: that
// of its former keys is given back before the next shard.
type takeover struct {
	store  *Store
	from   formerKeys
	to     keys
	schema *Schema // nil: these are the records
	is     []byte  // the form of the shard's descriptor

	began, logged time.Time
	bytes         int64 // of keys and values that were written
	build         builder
}

// A sink takes keys. Between two calls of finish they are set in rising order.
type sink interface {
	set(key, value []byte) error
	finish() error
}

// errTooLarge ends what a batchSink is too small for.
var errTooLarge = errors.New("shard: too much for a batch")

// A batchSink is a batch of limited size.
type batchSink struct {
	*pebble.Batch
	limit int
}

func (b batchSink) finish() error { return nil }

func (b batchSink) set(key, value []byte) error {
	if b.Len()+len(key)+len(value) > b.limit {
		return errTooLarge
	}
	return b.Set(key, value, nil)
}

// takeOver takes a shard over, if it is in format 1 and hasn't been.
func takeOver(s *Store, d *Descriptor, schema Schema) error {
	t := &takeover{store: s, from: formerKeys{d.ID}, to: d.keys(), schema: &schema, is: d.appendTo(nil)}
	_, described, err := s.engine.read(s.engine.db, t.to.meta(metaDescriptor))
	if err != nil || described {
		return err
	}
	there, err := s.engine.hasKeys(t.from.all())
	if err != nil || !there {
		return err
	}
	if s.readOnly {
		return errFormer
	}
	size, err := s.engine.sizeOnDisk(t.from.all())
	if err != nil {
		return err
	}
	if err := t.clear(); err != nil {
		return err
	}
	if err := s.takeovers.awaitSpace(s.space, t.from.shard, size); err != nil {
		return err
	}
	s.takeovers.done++
	t.began = s.now()
	if err := t.run(size); err != nil {
		return err
	}
	s.log.Info("a shard has been taken over from format 1", "shard", uint64(d.ID), "number", s.takeovers.done,
		"of", s.takeovers.shards, "bytes", t.bytes, "took", s.now().Sub(t.began))
	return nil
}

// HasFormat1 reports whether a store has shards in format 1, which are taken over when they are
// opened.
func HasFormat1(s *Store) (bool, error) {
	if err := s.gate.enter(); err != nil {
		return false, err
	}
	defer s.gate.leave()
	return s.engine.hasKeys(formerShards())
}

// takeOverRecords takes the records over, if they are in format 1, and gives the database the
// store's ID. It is in a sorted table when this returns, since a log may be lost.
func takeOverRecords(s *Store, id [16]byte) error {
	t := &takeover{store: s, from: formerKeys{records}, to: keys{shard: records}, began: s.now()}
	err := t.runWith(0, func(b *pebble.Batch) error {
		return errors.Join(b.Set(guardKey(), []byte(guardValue), nil), b.Set(t.to.meta(metaStore), id[:], nil))
	})
	if err != nil {
		return err
	}
	return s.engine.db.Flush()
}

// run takes a shard over.
func (t *takeover) run(size int64) error {
	return t.runWith(size, func(b *pebble.Batch) error {
		for _, name := range []string{metaCounts, metaTrim} {
			raw, ok, err := t.store.engine.read(t.store.engine.db, t.from.meta(name))
			if err == nil && ok {
				err = b.Set(t.to.meta(name), []byte(raw), nil)
			}
			if err != nil {
				return err
			}
		}
		return b.Set(t.to.meta(metaDescriptor), t.is, nil)
	})
}

// runWith is run with what step 3 writes beside what is copied.
func (t *takeover) runWith(size int64, last func(*pebble.Batch) error) error {
	b := t.store.engine.db.NewBatch()
	defer func() { _ = b.Close() }()
	if err := removeRanges(b, t.replaced()); err != nil {
		return err
	}
	err := t.copy(batchSink{b, t.store.takeovers.batchBytes})
	if errors.Is(err, errTooLarge) {
		b.Reset()
		err = t.copyInTables()
	}
	if err == nil {
		err = errors.Join(removeRanges(b, []pebble.KeyRange{t.from.all()}), last(b))
	}
	if err == nil {
		err = t.store.engine.write(b)
	}
	if err != nil || t.schema == nil {
		return err
	}
	return t.store.takeovers.giveBack(t.store.engine, t.from.all(), size)
}

// replaced returns what step 3 removes of the new keys: those of records, which step 1 leaves.
func (t *takeover) replaced() []pebble.KeyRange {
	if t.schema != nil {
		return nil
	}
	return []pebble.KeyRange{t.to.state()}
}

// clear is step 1. It gives the disk space back at once, without which the shard might not be taken
// over, and the tombstones of the ranges with it: sorted tables that are given to the database over
// those would begin at the top of the tree, and each compaction on their way down takes time and space.
func (t *takeover) clear() error {
	e := t.store.engine
	slots, err := e.slots(e.db, t.to)
	if err != nil {
		return err
	}
	var left []pebble.KeyRange
	for _, r := range t.to.all(slots...) {
		there, err := e.hasKeys(r)
		if err != nil {
			return err
		}
		if there {
			left = append(left, r)
		}
	}
	b := e.db.NewBatch()
	defer func() { _ = b.Close() }()
	if err := errors.Join(removeRanges(b, left), e.removeExpiries(b, e.db, t.to)); err != nil || b.Empty() {
		return err
	}
	if err := e.write(b); err != nil {
		return err
	}
	t.store.takeovers.freed = true
	return e.giveBack(left)
}

// copyInTables is step 2.
func (t *takeover) copyInTables() error {
	t.bytes = 0
	t.build = builder{ctx: context.Background(), doing: "taking over", files: tableFiles{store: t.store}}
	err := t.copy(&t.build)
	t.build.abandon()
	return err
}

// copy sets all keys in their new form.
func (t *takeover) copy(to sink) error {
	if t.schema == nil {
		return t.move(to, t.from.kind(formerRecord), func(key []byte) ([]byte, bool) {
			name := string(key[formerPrefixBytes:])
			return recordKey(name), name != guardName
		})
	}
	if err := t.move(to, t.from.kind(formerChange), t.changeKey); err != nil {
		return err
	}
	err := t.move(to, t.from.kind(formerItem), func(key []byte) ([]byte, bool) {
		return t.to.appendItem(nil, key[formerPrefixBytes:]), true
	})
	if err != nil {
		return err
	}
	for i := range t.schema.Indexes {
		x := &t.schema.Indexes[i]
		span := t.from.entries(x.ID)
		if err := t.move(to, span, func(key []byte) ([]byte, bool) {
			return t.to.appendEntry(nil, x, key[len(span.Start):]), true
		}); err != nil {
			return err
		}
	}
	return t.copyExpiries(to)
}

// changeKey returns the new key of a change or link.
func (t *takeover) changeKey(key []byte) ([]byte, bool) {
	p, link, ok := formerPosition(key)
	switch {
	case !ok:
		return nil, true
	case link:
		return t.to.appendLink(nil, p), true
	}
	return t.to.appendChange(nil, p), true
}

// move sets the keys of a range in the form that the function returns; !ok leaves one out, and nil
// is that of one that makes no sense. The order stays the same.
func (t *takeover) move(to sink, from pebble.KeyRange, form func(key []byte) (as []byte, ok bool)) error {
	return t.each(from, func(key []byte, value func() ([]byte, error)) error {
		as, ok := form(key)
		if !ok {
			return nil
		}
		if as == nil {
			return t.store.engine.damaged(t.from.shard, key, errLog())
		}
		v, err := value()
		if err != nil {
			return t.store.engine.fault("taking over", err)
		}
		return t.set(to, as, v)
	}, to.finish)
}

// set sets a key, and logs from time to time how far the takeover is.
func (t *takeover) set(to sink, key, value []byte) error {
	t.bytes += int64(len(key) + len(value))
	return to.set(key, value)
}

// each calls f with each key of a range, and then finish.
func (t *takeover) each(
	span pebble.KeyRange, f func(key []byte, value func() ([]byte, error)) error, finish func() error,
) error {
	it, err := t.store.engine.db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return t.store.engine.fault("taking over", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := f(it.Key(), it.ValueAndErr); err != nil {
			return err
		}
		t.progress()
	}
	if err := it.Error(); err != nil {
		return t.store.engine.fault("taking over", err)
	}
	return finish()
}

// progress logs how far a long takeover is.
func (t *takeover) progress() {
	if t.build.files.store == nil { // it is small
		return
	}
	now := t.store.now()
	if t.logged.IsZero() {
		t.logged = t.began
	}
	if now.Sub(t.logged) < takeoverLogEvery {
		return
	}
	t.logged = now
	t.store.log.Info("a shard is being taken over from format 1", "shard", uint64(t.from.shard), "number",
		t.store.takeovers.done, "of", t.store.takeovers.shards, "bytes", t.bytes)
}

// copyExpiries sets the keys of the queue of expiring items, which have another order now. A part
// of them is sorted at a time, and becomes tables of its own.
func (t *takeover) copyExpiries(to sink) error {
	var part [][]byte
	bytes := 0
	flush := func() error {
		slices.SortFunc(part, slices.Compare[[]byte])
		for _, key := range part {
			if err := t.set(to, key, nil); err != nil {
				return err
			}
		}
		part, bytes = part[:0], 0
		return to.finish()
	}
	return t.each(t.from.kind(formerExpiry), func(key []byte, _ func() ([]byte, error)) error {
		second, of, ok := formerExpiryOf(key)
		if !ok {
			return t.store.engine.damaged(t.from.shard, key, errLog())
		}
		as := t.to.appendExpiry(nil, second, of)
		part = append(part, as)
		if bytes += len(as); bytes < takeoverSortBytes {
			return nil
		}
		return flush()
	}, flush)
}

// hasKeys reports whether there are keys in a range.
func (e *engine) hasKeys(r pebble.KeyRange) (bool, error) {
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: r.Start, UpperBound: r.End})
	if err != nil {
		return false, e.fault("reading", err)
	}
	there := it.First()
	return there, e.fault("reading", errors.Join(it.Error(), it.Close()))
}

// sizeOnDisk returns about how many bytes of the disk a range takes.
func (e *engine) sizeOnDisk(r pebble.KeyRange) (int64, error) {
	n, err := e.db.EstimateDiskUsage(r.Start, r.End)
	return int64(n), e.fault("reading", err)
}

// forTakeover returns an error unless the disk has space to take over a shard of that size, while so
// many bytes of other shards are in format 1, or were.
func (p *space) forTakeover(id holdfast.ShardID, size, others int64) error {
	if p.reserve == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	need, free := size+size/takeoverShare+min(others, takeoverShared)+startBytes, p.freeNow()-p.need()
	if free >= need {
		return nil
	}
	return holdfast.Errorf(holdfast.Full, "to take shard %d over from format 1 takes %d bytes of disk space, and %d are "+
		"free beside the reserve of %d: nothing of it was changed; make space and start again", id, need, max(0, free),
		p.reserve)
}

// errFormer is the error of a reader of what hasn't been taken over.
var errFormer error = holdfast.Errorf(holdfast.Invalid, "the tables are of format 1, in which only the program that "+
	"wrote them can check them: start this program with the directory once, which takes it over for good, and check it "+
	"then")

// A takeovers is how far a store is with its takeover.
type takeovers struct {
	batchBytes   int   // takeoverBatchBytes
	shards, done int   // in format 1 when the store was opened; taken over since, or being so
	total        int64 // bytes on disk of their keys then

	owed      []pebble.KeyRange // former keys whose disk space wasn't given back
	owedBytes int64
	freed     bool // disk space was given back, or is about to be
}

// countFormer counts the shards in format 1, and returns the largest with its bytes on disk.
func (k *takeovers) countFormer(e *engine) (largest holdfast.ShardID, bytes int64, err error) {
	k.shards, k.total = 0, 0
	err = e.eachFormer(func(id holdfast.ShardID) error {
		k.shards++
		is, err := e.sizeOnDisk(formerKeys{id}.all())
		if k.total += is; is >= bytes {
			largest, bytes = id, is
		}
		return err
	})
	return largest, bytes, err
}

// awaitSpace is space.forTakeover, and waits a little for disk space that was given back: Pebble
// removes files in the background.
func (k *takeovers) awaitSpace(p *space, id holdfast.ShardID, size int64) error {
	for deadline := time.Now().Add(takeoverWait); ; time.Sleep(takeoverWait / 100) {
		err := p.forTakeover(id, size, k.total-size)
		if err == nil || !k.freed || time.Now().After(deadline) {
			return err
		}
	}
}

// giveBack returns the disk space of former keys, which have been removed, as the next shard needs
// it. What is little is returned with that of the next shards.
func (k *takeovers) giveBack(e *engine, former pebble.KeyRange, size int64) error {
	k.owed, k.owedBytes = append(k.owed, former), k.owedBytes+size
	if k.owedBytes < int64(k.batchBytes) {
		return nil
	}
	err := e.giveBack(k.owed)
	k.owed, k.owedBytes, k.freed = nil, 0, true
	return err
}

// giveBack returns the disk space of ranges, whose keys have been removed, without a compaction.
func (e *engine) giveBack(ranges []pebble.KeyRange) error {
	err := e.db.Flush()
	for _, r := range ranges {
		err = errors.Join(err, e.db.Excise(context.Background(), r))
	}
	return e.fault("taking over", err)
}

// eachFormer calls f with the shards in format 1.
func (e *engine) eachFormer(f func(holdfast.ShardID) error) error {
	span := formerShards()
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return e.fault("reading", err)
	}
	defer it.Close()
	for ok := it.First(); ok; {
		k := formerKeys{formerShardOf(it.Key())}
		if err := f(k.shard); err != nil {
			return err
		}
		ok = it.SeekGE(k.all().End)
	}
	return e.fault("reading", it.Error())
}

// formerPosition returns the position of a change's or a link's key.
func formerPosition(key []byte) (p holdfast.Position, link, ok bool) {
	raw := key[formerPrefixBytes:]
	const bytes = 8 + 4
	if len(raw) != bytes && (len(raw) != bytes+1 || raw[bytes] != linkMark) {
		return holdfast.Position{}, false, false
	}
	r := reader{rest: string(raw[:8])}
	p.Index = r.fixed()
	for _, b := range raw[8:bytes] {
		p.N = p.N<<8 | uint32(b)
	}
	return p, len(raw) > bytes, true
}

// formerExpiryOf returns what a key of the queue of expiring items says.
func formerExpiryOf(key []byte) (second uint64, of item.Key, ok bool) {
	raw := key[formerPrefixBytes:]
	if len(raw) < 8+sortedBytes {
		return 0, nil, false
	}
	r := reader{rest: string(raw[:8])}
	return r.fixed(), raw[8:], true
}
