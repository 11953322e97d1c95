package shard

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/item"
)

// expiryReach is how long ago an item may have expired to be deleted. Items that expired earlier
// are kept, since their time is taken for a mistake. See
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/howitworks-ttl.html.
const expiryReach = 5 * 365 * 24 * time.Hour

// A sweep is how far the search for expired items is. The queue has a part for each value of the
// first two bytes of the hash, and each part is ordered by second: so a search looks at the
// beginning of each part that there is, and at what has expired, but not at the other items. Where
// there are many parts one search looks into some of them, and the next one goes on there.
type sweep struct {
	mu   sync.Mutex // guards from
	from []byte     // the key of the queue at which the next search begins; nil: the first
}

// Expired returns the keys of up to n items that have expired, in no order. If it returns fewer, there
// are no others, or it has sought in the queue seeks times, which is about how many of its parts, of
// which there are up to 65,536 in a space, it has looked into; the next call goes on there. The
// caller deletes the items with a Commit whose Change checks again.
func (sh *Shard) Expired(now time.Time, n, seeks int) ([]item.Key, error) {
	s := sh.store
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	lower, upper := sh.keys.expiries()
	it, err := s.engine.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, s.engine.fault("scanning", err)
	}
	defer it.Close()
	keys := sh.sweep.search(it, sh.keys, now, n, seeks)
	if err := it.Error(); err != nil {
		return nil, s.engine.fault("scanning", err)
	}
	if sh.isDropped() {
		return nil, errDropped(sh.id)
	}
	return keys, sh.sequencer.waitDurable(context.Background(), sh.sequencer.applied.Load())
}

// search goes through the queue of an iterator once, from where the last search ended.
func (w *sweep) search(it *pebble.Iterator, k keys, now time.Time, n, seeks int) []item.Key {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := due{
		keys: k, end: uint64(max(0, now.Unix())), first: uint64(max(0, now.Add(-expiryReach).Unix())), n: n, seeks: seeks,
	}
	from := w.from
	w.from = d.take(it, it.SeekGE(from), nil)
	if w.from == nil && from != nil && !d.enough() {
		w.from = d.take(it, it.First(), from)
	}
	return d.found
}

// A due is the search for what has expired.
type due struct {
	keys       keys
	first, end uint64 // what expires in these seconds
	n, seeks   int    // how many may be found, and how often it may seek
	found      []item.Key
}

func (d *due) enough() bool { return len(d.found) >= d.n || d.seeks <= 0 }

// take takes what has expired from the iterator's key on, up to another, nil being the last, and
// returns where it stopped before that.
func (d *due) take(it *pebble.Iterator, ok bool, to []byte) (at []byte) {
	for ok && (to == nil || bytes.Compare(it.Key(), to) < 0) {
		if d.enough() {
			return slices.Clone(it.Key())
		}
		second, key, is := d.keys.expiryOf(it.Key())
		switch {
		case !is:
			ok = it.Next()
		case second < d.first:
			ok = it.SeekGE(partOf(it.Key(), d.first))
			d.seeks--
		case second >= d.end:
			ok = it.SeekGE(partBehind(it.Key()))
			d.seeks--
		default:
			if d.keys.owns(key) {
				d.found = append(d.found, key)
			}
			ok = it.Next()
		}
	}
	return nil
}

// partOf returns the least key of the part of the queue that a key is in, from a second on.
func partOf(key []byte, second uint64) []byte {
	return binary.BigEndian.AppendUint64(slices.Clone(key[:prefixBytes+sortedBytes]), second)
}

// partBehind returns the least key behind the part of the queue that a key is in.
func partBehind(key []byte) []byte { return behind(key[:prefixBytes+sortedBytes]) }
