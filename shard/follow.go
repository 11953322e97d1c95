package shard

import (
	"encoding/binary"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// A Follow is a step of a shard whose items follow from the changes of other shards, its sources,
// as the entries of a global index follow from the items of its table.
type Follow struct {
	Source holdfast.ShardID
	From   uint64   // what the shard has applied of the source: its Progress.Applied
	To     Progress // what it has applied afterwards

	// What the step does: no key may be in it twice. Puts that are there already are overwritten, and
	// deletes of what isn't there do nothing, but Count must be right nevertheless.
	Puts    []Keyed
	Deletes []item.Key
	Count   Count // by how much the items of the shard, and their bytes, change

	Fill bool // the step adds items of a backfill, which may wait while the disk is full
}

// A Keyed is an item with its key.
type Keyed struct {
	Key  item.Key
	Item item.Item
}

// A Progress is how far a shard follows a source. The zero Progress has applied nothing: its
// backfill begins.
//
// A backfill adds the source's items in order of their keys. Meanwhile the shard follows the
// changes of items whose keys are less than Below, and ignores the others, which it will find
// changed when it comes to them.
type Progress struct {
	Applied uint64   // all changes of the source's transactions up to this one, as far as they are followed
	Below   item.Key // items with keys less than this were added, unless Whole
	Whole   bool     // all items were: the backfill is done

	// Late are keys whose deletion the changes up to Applied ask for and that are still there: the items
	// have moved to other shards, where they must be put first. A step deletes them and leaves none late.
	Late      []item.Key
	LateCount Count // by how much that changes the counts
}

// Covers reports whether the shard follows changes of the source's item at a key.
func (p Progress) Covers(key item.Key) bool { return p.Whole || string(key) < string(p.Below) }

// In a log, a step has the source (8 bytes), From (a varint), the form of To, both numbers of Count
// (varints with signs), the number of puts and for each the key and the item in the form of
// item.Append, and the number of deletes and for each the key (numbers are varints; keys and items
// are preceded by their lengths, varints).
func (f *Follow) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(f.Source))
	dst = binary.AppendUvarint(dst, f.From)
	dst = f.To.appendTo(dst)
	dst = binary.AppendVarint(dst, f.Count.Items)
	dst = binary.AppendVarint(dst, f.Count.Bytes)
	dst = binary.AppendUvarint(dst, uint64(len(f.Puts)))
	for i := range f.Puts {
		dst = appendText(dst, string(f.Puts[i].Key))
		dst = appendText(dst, string(item.Append(nil, f.Puts[i].Item)))
	}
	dst = binary.AppendUvarint(dst, uint64(len(f.Deletes)))
	for _, key := range f.Deletes {
		dst = appendText(dst, string(key))
	}
	return dst
}

// decodeFollow decodes a step.
func decodeFollow(r *reader) (*followBody, error) {
	f := &followBody{}
	f.Source, f.From, f.To = holdfast.ShardID(r.fixed()), r.uvarint(), readProgress(r)
	f.Count = Count{Items: r.varint(), Bytes: r.varint()}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		key := item.Key(r.text())
		it, err := item.Decode(r.text())
		if err != nil {
			return nil, errEntry()
		}
		f.Puts = append(f.Puts, Keyed{Key: key, Item: it})
	}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		f.Deletes = append(f.Deletes, item.Key(r.text()))
	}
	return f, nil
}

// appendTo appends the progress in the form that it has on disk and in a log: Applied (a varint), a
// byte that is 1 if it is whole, Below, the number of keys in Late (a varint), these, and if there
// are any, both numbers of LateCount (varints with signs). Keys are preceded by their lengths.
func (p Progress) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, p.Applied)
	whole := byte(0)
	if p.Whole {
		whole = 1
	}
	dst = append(dst, whole)
	dst = appendText(dst, string(p.Below))
	dst = binary.AppendUvarint(dst, uint64(len(p.Late)))
	if len(p.Late) == 0 {
		return dst
	}
	for _, key := range p.Late {
		dst = appendText(dst, string(key))
	}
	return binary.AppendVarint(binary.AppendVarint(dst, p.LateCount.Items), p.LateCount.Bytes)
}

func readProgress(r *reader) Progress {
	p := Progress{Applied: r.uvarint(), Whole: r.octet() == 1, Below: item.Key(r.text())}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		p.Late = append(p.Late, item.Key(r.text()))
	}
	if len(p.Late) > 0 {
		p.LateCount = Count{Items: r.varint(), Bytes: r.varint()}
	}
	return p
}

// progressVersion is the first byte of a Progress on disk.
const progressVersion = 1

// decodeProgress decodes a Progress on disk, and the shard's tally after the step that made it.
func decodeProgress(raw string) (Progress, tally, error) {
	if raw == "" || raw[0] != progressVersion {
		return Progress{}, tally{}, errLog()
	}
	r := reader{rest: raw[1:]}
	p := readProgress(&r)
	if r.bad {
		return Progress{}, tally{}, errLog()
	}
	t, err := decodeTally(r.rest)
	return p, t, err
}

// Follow does a step. Readers see all of it or nothing, and see it when Follow returns. It isn't
// synced: after a crash the shard's Progress says whether it is there, and its changes can be read
// from the source again, which is on disk. So the source's changes must be durable.
//
// The error is Invalid if the shard isn't at f.From, and nothing is changed. A step may use the
// reserve of a full disk, as removals may, since it follows from what was accepted. One that fills
// gets Full.
func (sh *Shard) Follow(f Follow) error {
	s := sh.store
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	sh.schemas.RLock()
	defer sh.schemas.RUnlock()
	if sh.isDropped() {
		return errDropped(sh.id)
	}
	// Another step that follows the source waits, and no replica that led meanwhile has done any.
	latch := &sh.sequencer.latches[stripeOf(uint64(f.Source))]
	latch.Lock()
	defer latch.Unlock()
	term, err := sh.group.lead(nil)
	if err != nil {
		return err
	}
	if is := sh.Progress(f.Source); is.Applied != f.From {
		return errElsewhere(sh.id, is, f)
	}
	b := s.engine.db.NewBatchWithSize(f.bytes())
	defer b.Close()
	e := &entry{shard: sh, schema: sh.schema.Load(), term: term, body: &followBody{f}}
	if err := e.stage(b, nil); err != nil {
		return err
	}
	err = s.space.admit(b.Len())
	if err != nil && !f.Fill {
		err = s.space.admitRemoval(b.Len()) // which looks at the disk each time
	}
	if err != nil {
		return err
	}
	return sh.group.entries().proposeLazily(b, []*entry{e})
}

func errElsewhere(id holdfast.ShardID, is Progress, f Follow) error {
	return holdfast.Errorf(holdfast.Invalid, "shard %d has applied %d of shard %d, not %d",
		id, is.Applied, f.Source, f.From)
}

// bytes returns about how many bytes the batch of a step has.
func (f *Follow) bytes() int {
	bytes := changeOverhead
	for i := range f.Puts {
		bytes += 2*len(f.Puts[i].Key) + f.Puts[i].Item.Size() + changeOverhead
	}
	return bytes + len(f.Deletes)*changeOverhead
}

// A followBody is the body of a step's entry.
type followBody struct{ Follow }

func (f *followBody) kind() entryKind { return entryFollow }

func (f *followBody) appendTo(dst []byte) []byte { return f.Follow.appendTo(dst) }

// stage implements body.
func (f *followBody) stage(e *entry, b *pebble.Batch, _ pebble.Reader) error {
	e.delta.items, e.delta.bytes = f.Count.Items, f.Count.Bytes
	e.delta.hashes = make([]uint64, 0, len(f.Puts)+len(f.Deletes))
	var raw []byte
	for i := range f.Puts {
		if raw = raw[:0]; raw == nil {
			raw = make([]byte, 0, f.Puts[i].Item.Size()+changeOverhead)
		}
		raw = item.Append(raw, f.Puts[i].Item)
		key := f.Puts[i].Key
		if !e.shard.keys.owns(key) {
			return errRange(e.shard.id, key)
		}
		op := b.SetDeferred(e.shard.keys.itemBytes(key), copiedBytes+len(raw))
		e.shard.keys.appendItem(op.Key[:0], key)
		copy(op.Value[len(appendPosition(op.Value[:0], holdfast.Position{})):], raw)
		if err := op.Finish(); err != nil {
			return err
		}
		e.delta.hashes = append(e.delta.hashes, key.Hash())
	}
	for _, key := range f.Deletes {
		if !e.shard.keys.owns(key) {
			return errRange(e.shard.id, key)
		}
		op := b.DeleteDeferred(e.shard.keys.itemBytes(key))
		e.shard.keys.appendItem(op.Key[:0], key)
		if err := op.Finish(); err != nil {
			return err
		}
		e.delta.hashes = append(e.delta.hashes, key.Hash())
	}
	return nil
}

// copiedBytes is the length of the position of an item that no change of its shard made.
const copiedBytes = 2

// apply implements body. It adds how far the shard follows the source, and with that the counts, so
// that a step writes one key beside its items.
func (f *followBody) apply(e *entry, b *pebble.Batch) error {
	sh := e.shard
	if is := sh.follows[f.Source]; is.Applied != f.From {
		return errElsewhere(sh.id, is, f.Follow)
	}
	if f.To.Applied < f.From {
		return holdfast.Errorf(holdfast.Invalid, "shard %d can't go back to %d of shard %d", sh.id, f.To.Applied, f.Source)
	}
	e.next.add(&e.delta, e.schema)
	e.counted = true
	var buf [256]byte
	value := e.next.appendTo(f.To.appendTo(append(buf[:0], progressVersion)))
	return b.Set(sh.keys.source(f.Source), value, nil)
}

// install implements body. What was applied is as durable as its readers need it to be, since it
// follows from what is durable: none waits for a sync.
func (f *followBody) install(e *entry) {
	e.shard.sequencer.durable.raise(e.tx.Index)
	e.shard.follows.set(f.Source, f.To)
}

// Progress returns how far the shard follows a source.
func (sh *Shard) Progress(source holdfast.ShardID) Progress {
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	return sh.follows[source]
}

// metaSource, and the source's ID (8 bytes), is the name of how far a shard follows it.
const metaSource = "source/"

// source returns the key of how far the shard follows a source.
func (k keys) source(source holdfast.ShardID) []byte {
	return binary.BigEndian.AppendUint64(k.meta(metaSource), uint64(source))
}

// A follows is how far a shard follows each of its sources.
type follows map[holdfast.ShardID]Progress

// load reads what a shard has on disk, and sets the tally to that of the newest step if it is newer.
func (f *follows) load(e *engine, from pebble.Reader, of keys, counts *tally) error {
	lower, upper := of.source(0), append(of.source(math.MaxUint64), 0)
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return e.fault("opening a shard", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return e.fault("opening a shard", err)
		}
		p, t, err := decodeProgress(string(value))
		if err == nil && len(it.Key()) != len(lower) {
			err = errLog()
		}
		if err != nil {
			return e.damaged(of.shard, it.Key(), err)
		}
		if t.applied > counts.applied {
			*counts = t
		}
		f.set(holdfast.ShardID(binary.BigEndian.Uint64(it.Key()[len(lower)-8:])), p)
	}
	return e.fault("opening a shard", it.Error())
}

func (f *follows) set(source holdfast.ShardID, p Progress) {
	if *f == nil {
		*f = follows{}
	}
	(*f)[source] = p
}
