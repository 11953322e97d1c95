package shard

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// A txnID identifies a transaction over several shards: random bytes.
type txnID [16]byte

func (id txnID) String() string { return hex.EncodeToString(id[:]) }

// A prepared is what a transaction has locked in a shard, until it is resolved there. It is
// immutable.
type prepared struct {
	id       txnID
	decision item.Key           // in the ledger
	shards   []holdfast.ShardID // all that the transaction changes, rising
	keys     []item.Key         // in the order of its writes
}

// A lock is on disk for each item that a transaction will change, from its prepare to its resolve
// entry: what becomes of the item if the transaction is committed. Its value has a byte for the
// version, the transaction's ID (16 bytes), the key of its decision in the ledger, the number of
// shards that it changes and the ID of each, the item's place among those that it changes in this
// shard, a byte for the origin, a byte that is 1 if there is an item afterwards, and that item in
// the form of item.Append. Numbers and lengths are varints; the decision's key is preceded by its
// length.
//
// The item itself, its index entries and its place in the queue of expiring items stay as they
// were meanwhile.
type lock struct {
	id       txnID
	decision item.Key
	shards   []holdfast.ShardID
	place    int
	effect   effect // without its before-image
}

const lockVersion = 1

func (l *lock) appendTo(dst []byte) []byte {
	dst = append(dst, lockVersion)
	dst = appendTransaction(dst, l.id, l.decision, l.shards)
	dst = binary.AppendUvarint(dst, uint64(l.place))
	dst = append(dst, byte(l.effect.origin))
	if l.effect.after == nil {
		return append(dst, 0)
	}
	return append(append(dst, 1), l.effect.encoded...)
}

// appendTransaction appends what locks and prepare entries say of their transaction.
func appendTransaction(dst []byte, id txnID, decision item.Key, shards []holdfast.ShardID) []byte {
	dst = append(dst, id[:]...)
	dst = appendText(dst, string(decision))
	dst = binary.AppendUvarint(dst, uint64(len(shards)))
	for _, shard := range shards {
		dst = binary.AppendUvarint(dst, uint64(shard))
	}
	return dst
}

// cutTransaction is the reverse of appendTransaction.
func cutTransaction(r *reader) (id txnID, decision item.Key, shards []holdfast.ShardID) {
	for i := range id {
		id[i] = r.octet()
	}
	decision = item.Key(r.text())
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return id, decision, nil
	}
	shards = make([]holdfast.ShardID, n)
	for i := range shards {
		shards[i] = holdfast.ShardID(r.uvarint())
	}
	return id, decision, shards
}

// decodeLock decodes the lock of the item at a key.
func decodeLock(key item.Key, raw string) (l lock, err error) {
	if raw == "" || raw[0] != lockVersion {
		return lock{}, errLock()
	}
	r := reader{rest: raw[1:]}
	l.id, l.decision, l.shards = cutTransaction(&r)
	l.place = int(r.uvarint())
	l.effect = effect{key: key, origin: holdfast.Origin(r.octet())}
	switch has := r.octet(); {
	case r.bad || has > 1 || has == 0 && r.rest != "":
		return lock{}, errLock()
	case has == 1:
		if l.effect.after, err = item.Decode(r.rest); err != nil {
			return lock{}, err
		}
		l.effect.encoded = []byte(r.rest)
	}
	return l, nil
}

func errLock() error {
	return holdfast.Errorf(holdfast.Corrupt, "a transaction's lock can't be decoded")
}

// Locks are what transactions have locked in a shard. A transaction that is under way holds the
// latches of its items until it is resolved. So a lock that a commit finds under its latches is of a
// transaction that a crash or a failure has interrupted, and the commit resolves it first.
//
// A reader takes no latch. It looks at held before it reads: if it is 0, all transactions that were
// decided by then are resolved, and what it reads has their effects.
//
//  1. a prepare raises held, then readers can see its locks;
//  2. the transaction's decision can be seen;
//  3. a reader that begins now finds held above 0, reads item, lock and decision in one view, and
//     returns what the lock says;
//  4. readers can see what the resolve entry makes of the items;
//  5. the transaction is forgotten, and held is lowered.
//
// A cursor reads no locks: it first waits until what is locked in its span is resolved. So a
// transaction is not forgotten when its resolve entry is applied, which is before step 4.
type locks struct {
	engine *engine
	keys   keys // the shard's

	held atomic.Int64  // prepared transactions
	ever atomic.Uint64 // those and all before; raised with held, never lowered

	mu    sync.Mutex // guards what follows; no other lock is taken while it is held
	byID  map[txnID]*prepared
	byKey map[string]*prepared
}

// A lockState is whether a shard had locks, and how many transactions had ever had some.
type lockState struct {
	held bool
	ever uint64
}

// state returns the state before a view is made, for none. held is looked at last, since it is
// raised first.
func (l *locks) state() (s lockState) {
	s.ever = l.ever.Load()
	s.held = l.held.Load() != 0
	return s
}

// none reports whether a view that was made after that state has no locks: there were none, and no
// transaction has locked anything since.
func (l *locks) none(before lockState) bool { return !before.held && l.ever.Load() == before.ever }

// add notes what a transaction has locked.
func (l *locks) add(p *prepared) {
	l.held.Add(1)
	l.ever.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byID == nil {
		l.byID, l.byKey = map[txnID]*prepared{}, map[string]*prepared{}
	}
	l.byID[p.id] = p
	for _, key := range p.keys {
		l.byKey[string(key)] = p
	}
}

// remove forgets what a transaction has locked, when readers can see what became of it.
func (l *locks) remove(id txnID) {
	l.mu.Lock()
	p := l.byID[id]
	delete(l.byID, id)
	for _, key := range p.keys {
		if l.byKey[string(key)] == p { // else one in the same batch has locked it since
			delete(l.byKey, string(key))
		}
	}
	l.mu.Unlock()
	l.held.Add(-1)
}

// of returns what a transaction has locked, or nil.
func (l *locks) of(id txnID) *prepared {
	if l.held.Load() == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byID[id]
}

// at returns what has locked an item, or nil.
func (l *locks) at(key item.Key) *prepared {
	if l.held.Load() == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byKey[string(key)]
}

// in returns what is locked in a range, by rising ID of the transaction: an order that is the same in each
// run of a simulation.
func (l *locks) in(r item.Range) (all []*prepared) {
	if l.held.Load() == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.byID {
		if slices.ContainsFunc(p.keys, func(key item.Key) bool {
			return string(key) >= string(r.From) && (r.To == nil || string(key) < string(r.To))
		}) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *prepared) int { return bytes.Compare(a.id[:], b.id[:]) })
	return all
}

// read returns the lock of an item in what can be seen through from.
func (l *locks) read(from pebble.Reader, key item.Key) (is lock, ok bool, err error) {
	full := l.keys.appendLock(nil, key)
	raw, ok, err := l.engine.read(from, full)
	if err != nil || !ok {
		return lock{}, false, err
	}
	if is, err = decodeLock(key, raw); err != nil {
		return lock{}, false, l.engine.damaged(l.keys.shard, full, err)
	}
	return is, true, nil
}

// load reads what is locked on disk, before the shard is in use.
func (l *locks) load(from pebble.Reader) error {
	lower, upper := l.keys.locks()
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return l.engine.fault("opening a shard", err)
	}
	defer it.Close()
	found := lockedItems{}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return l.engine.fault("opening a shard", err)
		}
		is, err := decodeLock(slices.Clone(l.keys.lockOf(it.Key())), string(value))
		if err != nil {
			return l.engine.damaged(l.keys.shard, it.Key(), err)
		}
		found.add(is)
	}
	for _, p := range found.prepared() {
		l.add(p)
	}
	return l.engine.fault("opening a shard", it.Error())
}

// LockedItems are locks that are read from keys, by their transactions.
type lockedItems map[txnID][]lock

func (x lockedItems) add(is lock) {
	is.effect = effect{key: is.effect.key}
	x[is.id] = append(x[is.id], is)
}

// prepared returns what each transaction has locked, in no order.
func (x lockedItems) prepared() (found []*prepared) {
	for id, all := range x {
		slices.SortFunc(all, func(a, b lock) int { return a.place - b.place })
		p := &prepared{id: id, decision: all[0].decision, shards: all[0].shards}
		for i := range all {
			p.keys = append(p.keys, all[i].effect.key)
		}
		found = append(found, p)
	}
	return found
}

// replace forgets all that is noted as locked, for what is locked in another state of the shard. The
// caller keeps held above 0 from before readers can see that state until replace has returned.
func (l *locks) replace(all []*prepared) {
	l.mu.Lock()
	gone := len(l.byID)
	l.byID, l.byKey = nil, nil
	l.mu.Unlock()
	for _, p := range all {
		l.add(p)
	}
	l.held.Add(-int64(gone))
}
