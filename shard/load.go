package shard

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// Load is Copy for a shard that has a group, which this replica leads: what is copied are entries
// of that shard's log, so that all replicas have it. The shard is open, and has no changes of its
// own. If it has been loaded from the same shard as of the same time before, that is left as it is;
// what an interrupted attempt has left is removed first. The shard is whole only when Load has
// returned its counts. Errors are those of Copy, NotLeader and Refused; after any of them Load may
// be repeated, here or by the next leader.
//
// Copying beside the log, as Copy does, would need each replica to read the source as of the same
// transaction, and to keep what was changed since, however long ago its leader was the source's.
//
// A load begins with an entry whose index is the number of the attempt. Entries of another attempt
// than the last that was begun do nothing.
func Load(ctx context.Context, from, to *Shard, at time.Time) (Counts, error) {
	s := to.store
	if err := s.gate.enter(); err != nil {
		return Counts{}, err
	}
	defer s.gate.leave()
	if !s.space.hasSpace() {
		return Counts{}, errFull()
	}
	if err := Confirm(ctx, from); err != nil {
		return Counts{}, err
	}
	if err := s.ledger.Load().standStill(ctx, from, at); err != nil {
		return Counts{}, err
	}
	source := loadSource{id: from.id}
	if !at.IsZero() {
		source.at = at.UnixNano()
	}
	begin, err := proposeLoad(ctx, to, func() (body, error) { return beginLoad(to, source) })
	if err != nil {
		return Counts{}, err
	}
	if begin == nil {
		return to.Counts(), nil
	}
	snapshot := s.engine.db.NewEventuallyFileOnlySnapshot(from.keys.copied())
	defer snapshot.Close()
	if err := from.sequencer.waitDurable(ctx, from.sequencer.applied.Load()); err != nil {
		return Counts{}, err
	}
	l := &loading{ctx: ctx, to: to, next: loadBody{attempt: begin.tx.Index}}
	c := &copying{ctx: ctx, store: s, from: from, to: to.keys, target: l, snapshot: snapshot, at: at}
	if err := c.run(); err != nil {
		return Counts{}, err
	}
	if is, ok, err := readLoaded(to, s.engine.db); err != nil || !ok || !is.whole || is.loadSource != source {
		if err == nil {
			err = holdfast.Errorf(holdfast.Refused, "the load of shard %d has been begun again meanwhile", to.id)
		}
		return Counts{}, err
	}
	return to.Counts(), nil
}

// loadEntryBytes is about how many bytes of items an entry of a load has, but for one that is
// longer.
const loadEntryBytes = 256 << 10

// A loading is the target of a copy whose parts are entries.
type loading struct {
	ctx  context.Context
	to   *Shard
	next loadBody // what isn't proposed yet
	size int      // of its items
}

// add implements copyTarget.
func (l *loading) add(key item.Key, raw string, bytes int64) error {
	return l.put(loadedItem{key: key, there: true, raw: raw}, 1, bytes)
}

// added implements copyTarget.
func (l *loading) added() error { return l.propose() }

// putBack implements copyTarget.
func (l *loading) putBack(key item.Key, raw string, there bool, items, bytes int64) error {
	return l.put(loadedItem{key: key, there: there, raw: raw}, items, bytes)
}

// end implements copyTarget.
func (l *loading) end(items, bytes int64) error {
	if err := l.propose(); err != nil {
		return err
	}
	l.next.whole = true
	return l.propose()
}

// abandon implements copyTarget.
func (l *loading) abandon() {}

func (l *loading) put(x loadedItem, items, bytes int64) error {
	if l.size > 0 && l.size+len(x.key)+len(x.raw) > loadEntryBytes {
		if err := l.propose(); err != nil {
			return err
		}
	}
	x.key, l.size = append(item.Key(nil), x.key...), l.size+len(x.key)+len(x.raw)
	l.next.all = append(l.next.all, x)
	l.next.items, l.next.bytes = l.next.items+items, l.next.bytes+bytes
	return nil
}

func (l *loading) propose() error {
	if len(l.next.all) == 0 && !l.next.whole {
		return nil
	}
	x := l.next
	_, err := proposeLoad(l.ctx, l.to, func() (body, error) { return &x, nil })
	l.next, l.size = loadBody{attempt: x.attempt}, 0
	return err
}

// proposeLoad proposes an entry of a load, and returns it when it is applied here; nil: there is
// none.
func proposeLoad(ctx context.Context, sh *Shard, what func() (body, error)) (*entry, error) {
	sh.schemas.RLock()
	defer sh.schemas.RUnlock()
	p, err := decide(ctx, sh, what, sh.engine.db)
	if err != nil || p == nil {
		return nil, err
	}
	if err := p.propose(false); err != nil {
		return nil, err
	}
	return p.entry, p.wait()
}

// beginLoad returns the entry that begins a load; nil: the shard was loaded so before.
func beginLoad(sh *Shard, from loadSource) (body, error) {
	is, ok, err := readLoaded(sh, sh.engine.db)
	if err != nil || ok && is.whole && is.loadSource == from {
		return nil, err
	}
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	if inUse(sh, sh.schema.Load()) {
		return nil, holdfast.Errorf(holdfast.Invalid, "shard %d can't be loaded: it is in use", sh.id)
	}
	return &loadBody{begins: true, source: from}, nil
}

// inUse reports whether the shard has ever had a change of its own, or has more than items. Nothing
// may remove those for a load. sequencer.mu is held.
func inUse(sh *Shard, s *schema) bool {
	return sh.tally.logged > 0 || len(s.Indexes) > 0 || s.TTL != ""
}

// A loadSource is what a shard is loaded from.
type loadSource struct {
	id holdfast.ShardID
	at int64 // in nanoseconds since 1970; 0: when the load was begun
}

// A loaded is how far the load of a shard has come. It is on disk in the form of a byte for the
// version, and, as varints, the index of the entry that has begun it, the ID of the source, and the
// time in nanoseconds since 1970 (0: none); and a byte that is 1 if it is whole.
type loaded struct {
	attempt uint64
	loadSource
	whole bool
}

const loadedVersion = 1

func (l *loaded) appendTo(dst []byte) []byte {
	dst = append(dst, loadedVersion)
	dst = l.loadSource.appendTo(binary.AppendUvarint(dst, l.attempt))
	return append(dst, octetOf(l.whole))
}

func decodeLoaded(raw string) (l loaded, err error) {
	if raw == "" || raw[0] != loadedVersion {
		return loaded{}, errLoaded()
	}
	r := reader{rest: raw[1:]}
	l.attempt = r.uvarint()
	l.loadSource = cutLoadSource(&r)
	whole := r.octet()
	l.whole = whole == 1
	if r.bad || r.rest != "" || whole > 1 {
		return loaded{}, errLoaded()
	}
	return l, nil
}

func errLoaded() error {
	return holdfast.Errorf(holdfast.Corrupt, "what a shard was loaded from can't be decoded")
}

func (s *loadSource) appendTo(dst []byte) []byte {
	return binary.AppendVarint(binary.AppendUvarint(dst, uint64(s.id)), s.at)
}

// cutLoadSource is the reverse of appendTo.
func cutLoadSource(r *reader) loadSource {
	return loadSource{id: holdfast.ShardID(r.uvarint()), at: r.varint()}
}

func octetOf(is bool) byte {
	if is {
		return 1
	}
	return 0
}

// readLoaded returns how far the load of the shard has come in what can be seen through from; !ok:
// none was begun.
func readLoaded(sh *Shard, from pebble.Reader) (l loaded, ok bool, err error) {
	raw, ok, err := sh.engine.read(from, sh.keys.meta(metaLoad))
	if err != nil || !ok {
		return loaded{}, false, err
	}
	if l, err = decodeLoaded(raw); err != nil {
		return loaded{}, false, sh.engine.damaged(sh.id, []byte(metaLoad), err)
	}
	return l, true, nil
}

// A loadedItem is an item of an entry of a load, or that there is none.
type loadedItem struct {
	key   item.Key
	there bool
	raw   string // in the form of item.Append
}

// A loadBody is a part of a load. Its form for a log is a byte that is 1 if it begins one, 2 if it
// has items, and 3 if it is the end. A beginning goes on with the ID of the source and the time, as
// in a loaded. The others go on with the index of the beginning, by how much the number of items
// and their bytes change, the number of items in the entry, and for each of them its key, a byte
// that is 1 if there is an item, and that item. Numbers are varints, keys and items are preceded by
// their lengths.
//
// The items have no changes in the log, as if they had always been there.
type loadBody struct {
	begins, whole bool

	source loadSource // of a beginning

	attempt      uint64 // of the others
	items, bytes int64
	all          []loadedItem

	stale bool // another attempt has begun since; set by stage
}

const (
	loadBegins = 1
	loadItems  = 2
	loadEnds   = 3
)

func (x *loadBody) kind() entryKind { return entryLoad }

func (x *loadBody) appendTo(dst []byte) []byte {
	if x.begins {
		return x.source.appendTo(append(dst, loadBegins))
	}
	step := byte(loadItems)
	if x.whole {
		step = loadEnds
	}
	dst = binary.AppendUvarint(append(dst, step), x.attempt)
	dst = binary.AppendVarint(binary.AppendVarint(dst, x.items), x.bytes)
	dst = binary.AppendUvarint(dst, uint64(len(x.all)))
	for i := range x.all {
		dst = append(appendText(dst, string(x.all[i].key)), octetOf(x.all[i].there))
		dst = appendText(dst, x.all[i].raw)
	}
	return dst
}

func decodeLoad(r *reader) (body, error) {
	x := &loadBody{}
	switch r.octet() {
	case loadBegins:
		x.begins, x.source = true, cutLoadSource(r)
		return x, nil
	case loadItems:
	case loadEnds:
		x.whole = true
	default:
		return nil, errEntry()
	}
	x.attempt, x.items, x.bytes = r.uvarint(), r.varint(), r.varint()
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		return nil, errEntry()
	}
	x.all = make([]loadedItem, n)
	for i := range x.all {
		l := &x.all[i]
		l.key = item.Key(r.text())
		there := r.octet()
		l.there, l.raw = there == 1, r.text()
		if there > 1 || !l.there && l.raw != "" {
			return nil, errEntry()
		}
	}
	return x, nil
}

// stage implements body.
func (x *loadBody) stage(e *entry, b *pebble.Batch, from pebble.Reader) error {
	if x.begins {
		return nil
	}
	sh := e.shard
	is, ok, err := readLoaded(sh, from)
	if err != nil {
		return err
	}
	if x.stale = !ok || is.attempt != x.attempt || is.whole; x.stale {
		return nil
	}
	for i := range x.all {
		l := &x.all[i]
		if !sh.keys.owns(l.key) {
			return errRange(sh.id, l.key)
		}
		key := sh.keys.appendItem(nil, l.key)
		if !l.there {
			err = b.Delete(key, nil)
		} else {
			err = b.Set(key, copied(l.raw), nil)
		}
		if err != nil {
			return err
		}
	}
	if x.whole {
		is.whole = true
		return b.Set(sh.keys.meta(metaLoad), is.appendTo(nil), nil)
	}
	return nil
}

func (x *loadBody) apply(e *entry, b *pebble.Batch) error {
	switch {
	case x.begins:
		return x.applyBeginning(e, b)
	case x.stale:
		return nil
	}
	e.next.items += x.items
	e.next.bytes += x.bytes
	if x.whole {
		return b.Set(e.shard.keys.meta(metaTrim), x.trim(e).appendTo(nil), nil)
	}
	return nil
}

// applyBeginning removes what an earlier attempt has left.
func (x *loadBody) applyBeginning(e *entry, b *pebble.Batch) error {
	sh := e.shard
	if inUse(sh, e.schema) {
		return nil
	}
	lower, upper := sh.keys.items()
	if err := b.DeleteRange(lower, upper, nil); err != nil {
		return err
	}
	e.next.items, e.next.bytes = 0, 0
	is := loaded{attempt: e.tx.Index, loadSource: x.source}
	return b.Set(sh.keys.meta(metaLoad), is.appendTo(nil), nil)
}

// trim returns how far the log of the shard reaches back when it is whole: to now.
func (x *loadBody) trim(e *entry) *trimming {
	is := e.shard.history.trim
	is.at = max(is.at, e.next.at)
	return &is
}

func (x *loadBody) install(e *entry) {
	if x.whole && !x.stale {
		e.shard.history.trim = *x.trim(e)
	}
}
