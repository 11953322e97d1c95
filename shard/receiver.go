package shard

import (
	"bytes"
	"encoding/binary"
	"strings"

	"holdfast"
)

// A Receiver takes the chunks of a snapshot of another replica, and writes sorted tables of what they
// have, which Replica.Install puts in place of the shard's state. Until then they are files beside the
// database that nothing else uses, and a start removes them. It is for one goroutine at a time, and
// must be closed.
type Receiver struct {
	shard *Shard

	id       uint64
	next     uint32 // the place of the chunk that must follow; after 0 head, state and tables are set
	head     snapshotHeader
	sums     snapshotSums
	state    snapshotState
	tables   *snapshotTables
	last     []byte // the last key
	complete bool   // all chunks are there
	failed   error  // why no chunk can follow
}

// NewReceiver returns a receiver of a snapshot of the shard, which must be open: a replica that is to
// be made is opened first.
func NewReceiver(sh *Shard) *Receiver { return &Receiver{shard: sh} }

// Complete reports whether all chunks are there.
func (r *Receiver) Complete() bool { return r.complete && r.failed == nil }

// Tx returns the last transaction that the snapshot has, once its first chunk is there.
func (r *Receiver) Tx() holdfast.TxID { return r.head.tx }

// Members returns what the snapshot has of the members of the group, once all chunks are there, in
// the group's form; nil: they never changed.
func (r *Receiver) Members() []byte { return r.state.members }

// Add takes the next chunk. A chunk that is damaged (Corrupt), or that isn't the next one or is of
// another snapshot (Invalid), is refused, and the right one may follow. After any other error, such as
// Full, the receiver has removed its files, and gives the error again. Nothing of the shard changes.
func (r *Receiver) Add(raw []byte) error {
	s := r.shard.store
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if r.failed != nil {
		return r.failed
	}
	c, err := decodeSnapshotChunk(raw)
	if err != nil {
		return err
	}
	if c.place != r.next || r.complete || r.next > 0 && c.id != r.id {
		return holdfast.Errorf(holdfast.Invalid, "chunk %d of snapshot %x can't follow: the next is %d of snapshot %x",
			c.place, c.id, r.next, r.id)
	}
	if err := r.add(&c); err != nil {
		err = s.engine.fault("receiving a snapshot", err)
		r.end(err)
		return err
	}
	r.sums.addChunk(raw)
	r.next++
	return nil
}

// add takes a chunk that is the next.
func (r *Receiver) add(c *snapshotChunk) error {
	switch {
	case c.place == 0 && c.kind == snapshotHead:
		return r.begin(c)
	case c.place > 0 && c.kind == snapshotKeys && c.body != "":
		return eachPair(c.body, r.addPair)
	case c.place > 0 && c.kind == snapshotEnd:
		return r.finish(c.body)
	}
	return errSnapshot()
}

// begin takes the head.
func (r *Receiver) begin(c *snapshotChunk) (err error) {
	sh := r.shard
	if sh.store.readOnly {
		return errReadOnly()
	}
	if r.head, err = decodeSnapshotHeader(c.body); err != nil {
		return err
	}
	if !r.head.is.equal(&sh.is) {
		return holdfast.Errorf(holdfast.Invalid,
			"a snapshot of shard %d, from %x to %x of space %d, isn't one of shard %d",
			r.head.is.ID, r.head.is.From, r.head.is.To, r.head.is.Space, sh.id)
	}
	r.id = c.id
	r.state = snapshotState{trim: trimming{oldest: 1}, follows: follows{}, locks: lockedItems{}}
	r.tables = &snapshotTables{
		keys: sh.keys, spans: snapshotSpans(sh.keys, r.head.slots), whole: tableFiles{store: sh.store},
	}
	return nil
}

// addPair takes a key with its value.
func (r *Receiver) addPair(key []byte, value string) error {
	if r.last != nil && string(key) <= string(r.last) || !r.belongs(key) {
		return errSnapshot()
	}
	r.last = append(r.last[:0], key...)
	r.sums.add(len(key), len(value))
	if err := r.state.note(r.shard.keys, key, value); err != nil {
		return err
	}
	return r.tables.set(key, []byte(value))
}

// belongs reports whether a key, which follows all others, is the shard's.
func (r *Receiver) belongs(key []byte) bool {
	for _, span := range r.tables.spans {
		if string(key) < string(span.upper) {
			return string(key) >= string(span.lower) && (!span.shared || ownsExpiry(r.shard.keys, key))
		}
	}
	return false
}

// finish takes the end.
func (r *Receiver) finish(body string) error {
	if body != string(r.sums.appendTo(nil)) {
		return holdfast.Errorf(holdfast.Corrupt, "the snapshot of shard %d doesn't have the keys that it should",
			r.shard.id)
	}
	if err := r.state.complete(&r.head); err != nil {
		return err
	}
	if err := r.tables.finish(); err != nil {
		return err
	}
	r.complete = true
	return nil
}

// end removes the files. err is what later calls get.
func (r *Receiver) end(err error) {
	if r.failed == nil {
		r.failed = err
	}
	if r.tables != nil {
		r.tables.remove()
	}
	r.state = snapshotState{}
}

// Close removes what was received, unless it was installed. It may be called more than once.
func (r *Receiver) Close() {
	if r.shard.store.gate.enter() != nil {
		return // a start removes the files
	}
	defer r.shard.store.gate.leave()
	r.end(holdfast.Errorf(holdfast.Invalid, "the receiver of shard %d is closed", r.shard.id))
}

// A snapshotState is what a shard has in memory, as the keys of a snapshot say.
type snapshotState struct {
	tally   tally
	trim    trimming
	follows follows
	schema  *schema
	terms   []termBegin
	locks   lockedItems

	is      *Descriptor
	change  *string // the last one in the log
	members []byte  // in the group's form; nil: there are none
}

// note notes what a key says.
func (s *snapshotState) note(k keys, key []byte, value string) (err error) {
	switch {
	case family(key[0]) == bySpace && kindOf(key) == kindLock:
		var l lock
		if l, err = decodeLock(bytes.Clone(k.lockOf(key)), value); err == nil {
			s.locks.add(l)
		}
	case family(key[0]) == bySpace || isLink(key):
	case kindOf(key) == kindLog:
		s.change = &value
	case kindOf(key) == kindMeta:
		return s.noteMeta(k, string(key[prefixBytes:]), strings.Clone(value)) // without the rest of its chunk
	}
	return err
}

// noteMeta notes what a shard's metadata says.
func (s *snapshotState) noteMeta(k keys, name, value string) (err error) {
	switch name {
	case metaDescriptor:
		var d Descriptor
		d, err = decodeDescriptor(k.shard, value)
		s.is = &d
	case metaCounts:
		var t tally
		if t, err = decodeTally(value); err == nil {
			s.count(t)
		}
	case metaTrim:
		s.trim, err = decodeTrimming(value)
	case metaSchema:
		s.schema, err = decodeSchema(value)
	case metaTerms:
		s.terms, err = decodeTerms(value)
	case metaLoad:
		_, err = decodeLoaded(value)
	case metaMembers:
		s.members = []byte(value)
	default:
		source, ok := strings.CutPrefix(name, metaSource)
		if !ok || len(source) != 8 {
			return holdfast.Errorf(holdfast.Invalid, "a snapshot of shard %d has unknown metadata, %q", k.shard, name)
		}
		var p Progress
		var t tally
		if p, t, err = decodeProgress(value); err == nil {
			s.follows.set(holdfast.ShardID(binary.BigEndian.Uint64([]byte(source))), p)
			s.count(t)
		}
	}
	return err
}

// count notes a tally. The newest holds.
func (s *snapshotState) count(t tally) {
	if t.applied > s.tally.applied {
		s.tally = t
	}
}

// complete is called behind the last key. It returns an error unless the keys are of a whole shard as
// of the transaction that the head names.
func (s *snapshotState) complete(h *snapshotHeader) error {
	if s.change != nil {
		c, err := decodeChange(*s.change)
		if err != nil {
			return err
		}
		t, err := decodeTally(c.tally)
		if err != nil {
			return err
		}
		s.count(t)
	}
	if s.terms == nil {
		s.terms = []termBegin{{formerTerm, 1}}
	}
	if newest := s.terms[len(s.terms)-1]; s.is == nil || !s.is.equal(&h.is) || s.schema == nil ||
		s.tally.applied != h.tx.Index || newest.term != h.tx.Term {
		return holdfast.Errorf(holdfast.Corrupt, "the snapshot of shard %d isn't the shard as of %v", h.is.ID, h.tx)
	}
	s.change = nil
	return nil
}
