package shard

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/zeebo/xxh3"

	"holdfast"
)

// A Checksum is that of a shard as of one transaction. Replicas that have applied the same have the
// same, whatever batches they applied it in, and whatever snapshots were installed between.
//
// It is of all keys that replicas have in common, see Shared, with their values: items, entries of
// indexes, the queue of expiring items, locks, the log of changes with its before-images, and the
// metadata. The members of the shard's group aren't in it, since a replica may know of later ones
// than those as of what it has applied.
type Checksum struct {
	Tx    holdfast.TxID
	Sum   [16]byte
	Keys  uint64
	Bytes uint64 // of keys and values
}

// ProposeChecksum has each replica of a shard compute its checksum as of one transaction, which is
// returned and changes nothing, once it is applied here. The error is Invalid if the shard has no
// group, and else that of a commit.
func ProposeChecksum(ctx context.Context, sh *Shard) (holdfast.TxID, error) {
	if !sh.group.grouped() {
		return holdfast.TxID{}, holdfast.Errorf(holdfast.Invalid,
			"shard %d has one replica: there is nothing to compare it with", sh.id)
	}
	if err := sh.store.gate.enter(); err != nil {
		return holdfast.TxID{}, err
	}
	defer sh.store.gate.leave()
	sh.schemas.RLock()
	defer sh.schemas.RUnlock()
	p, err := sh.stage(ctx, &checksumBody{checksumXXH3}, sh.engine.db)
	if err != nil {
		return holdfast.TxID{}, err
	}
	if err := p.propose(true); err != nil {
		return holdfast.TxID{}, err
	}
	return p.entry.tx, p.wait()
}

// ChecksumAt returns the checksum of a shard as of a transaction that ProposeChecksum has returned at
// the leader. The error is Behind if this replica hasn't applied the transaction yet, or hasn't
// computed the checksum by the time that ctx ends; Corrupt if it can't read what it has; and Gone if
// it was given up, or never begun here: the node has started since, the replica has installed a
// snapshot, or a later checksum has begun on the node.
func ChecksumAt(ctx context.Context, sh *Shard, tx holdfast.TxID) (Checksum, error) {
	sh.sequencer.mu.Lock() // which is held from when an entry is applied until its checksum has begun
	c, applied := sh.checksum, sh.tally.applied
	sh.sequencer.mu.Unlock()
	switch {
	case c != nil && c.tx == tx:
	case applied < tx.Index:
		return Checksum{}, holdfast.Errorf(holdfast.Behind, "shard %d hasn't applied %v yet", sh.id, tx)
	default:
		return Checksum{}, errNoChecksum(sh.id, "this replica has none as of that transaction any more")
	}
	select {
	case <-c.done:
		return c.is, c.err
	default:
	}
	select {
	case <-c.done:
		return c.is, c.err
	case <-ctx.Done():
		return Checksum{}, holdfast.Errorf(holdfast.Behind, "the checksum of shard %d isn't computed yet", sh.id)
	}
}

func errNoChecksum(id holdfast.ShardID, why string) error {
	return holdfast.Errorf(holdfast.Gone, "shard %d has no checksum: %s", id, why)
}

// A checksumBody is an entry that changes nothing: replicas that apply it compute a checksum of what
// they have then. Its form for a log is a byte for how that is computed. An entry by which a newer
// version computes another is applied, too, and nothing is computed here.
type checksumBody struct{ how byte }

// checksumXXH3 is the 128-bit XXH3 of all keys that count, in order: of each the lengths of the key
// and of its value (4 bytes each, big-endian), the key, and the value.
const checksumXXH3 = 1

func decodeChecksum(r *reader) (body, error) { return &checksumBody{r.octet()}, nil }

func (x *checksumBody) kind() entryKind { return entryChecksum }

func (x *checksumBody) appendTo(dst []byte) []byte { return append(dst, x.how) }

func (x *checksumBody) stage(*entry, *pebble.Batch, pebble.Reader) error { return nil }

func (x *checksumBody) apply(*entry, *pebble.Batch) error { return nil }

func (x *checksumBody) install(*entry) {}

// throughChecksum returns how many entries there are up to the first of a checksum, with it. What
// follows is applied in another batch, so that readers can see the state as of that entry.
func throughChecksum(entries []Committed) int {
	for i := range entries {
		if raw := entries[i].Raw; len(raw) > 1 && entryKind(raw[1]) == entryChecksum {
			return i + 1
		}
	}
	return len(entries)
}

// Checksums are those that a store computes: one at a time.
type checksums struct {
	rate int64 // Options.ChecksumBytesPerSecond

	mu      sync.Mutex    // guards running
	running *checksumming // the one that began last; nil: none did
}

// A checksumming is a checksum that is being computed, or was.
type checksumming struct {
	shard *Shard
	tx    holdfast.TxID
	files *pebble.EventuallyFileOnlySnapshot // the state as of tx

	once    sync.Once     // of stop
	stopped chan struct{} // closed when it is given up
	why     error         // for which it is; set before that

	done chan struct{} // closed when is and err are set
	is   Checksum
	err  error
}

// begin begins a checksum of a shard if entries that were applied and can be seen end with one. The
// caller holds sequencer.mu, so that nothing was applied since.
//
// A later checksum takes the place of one that is under way: whoever asked for that has lost the
// leadership since, or has given up waiting.
func (all *checksums) begin(sh *Shard, applied []*entry) {
	if len(applied) == 0 {
		return
	}
	last := applied[len(applied)-1]
	if x, ok := last.body.(*checksumBody); !ok || x.how != checksumXXH3 || sh.store.gate.enter() != nil {
		return
	}
	c := &checksumming{
		shard: sh, tx: last.tx, stopped: make(chan struct{}), done: make(chan struct{}),
		files: sh.engine.db.NewEventuallyFileOnlySnapshot([]pebble.KeyRange{sh.keys.state(), sh.keys.whole()}),
	}
	all.mu.Lock()
	former := all.running
	all.running = c
	all.mu.Unlock()
	if former != nil {
		former.stop("a later one has begun")
	}
	sh.checksum = c
	go c.run(all.rate)
}

// forgetChecksum gives up the checksum that is being computed, and forgets the last: the shard doesn't
// have that state any more. sequencer.mu is held.
func forgetChecksum(sh *Shard, why string) {
	if sh.checksum != nil {
		sh.checksum.stop(why)
		sh.checksum = nil
	}
}

// stop gives up the checksum, unless it is computed.
func (c *checksumming) stop(why string) {
	c.once.Do(func() {
		c.why = errNoChecksum(c.shard.id, why)
		close(c.stopped)
	})
}

func (c *checksumming) run(rate int64) {
	defer c.shard.store.gate.leave()
	defer close(c.done)
	c.is, c.err = c.compute(rate)
	if err := c.files.Close(); err != nil {
		c.shard.engine.log.Warn("what a checksum was computed of can't be released", "shard", uint64(c.shard.id),
			"err", err)
	}
	c.files = nil
}

func (c *checksumming) compute(rate int64) (Checksum, error) {
	sh := c.shard
	is := newShard(sh.store, sh.is)
	if err := is.load(c.files); err != nil {
		return Checksum{}, err
	}
	if at := is.At(is.tally.applied); at != c.tx {
		return Checksum{}, holdfast.Errorf(holdfast.Corrupt, "shard %d is as of %v on disk where it has applied %v",
			sh.id, at, c.tx)
	}
	slots, err := sh.engine.slots(c.files, sh.keys)
	if err != nil {
		return Checksum{}, err
	}
	keys := sharedKeys{shard: sh, from: c.files, spans: snapshotSpans(sh.keys, slots)}
	defer keys.close()
	p := pace{rate: rate}
	defer p.end()
	s := keySum{without: sh.keys.meta(metaMembers), hash: xxh3.New()}
	for {
		key, value, err := keys.at()
		if err != nil {
			return Checksum{}, err
		}
		if key == nil {
			return s.end(c.tx), nil
		}
		s.add(key, value)
		keys.next()
		if p.add(len(key) + len(value)) {
			if p.steps%checksumReopen == 0 {
				keys.pause()
			}
			if err := c.wait(p.next()); err != nil {
				return Checksum{}, err
			}
		}
	}
}

// wait returns when a timer fires; the error says why the checksum is given up.
func (c *checksumming) wait(timer <-chan time.Time) error {
	select {
	case <-c.stopped:
		return c.why
	case <-c.shard.dropped:
		return errDropped(c.shard.id)
	case <-c.shard.store.closing:
		return errClosed()
	case <-c.shard.engine.broken:
		return errBroken()
	case <-timer:
		return nil
	}
}

// A keySum adds keys and values up.
type keySum struct {
	without []byte // a key that doesn't count
	hash    *xxh3.Hasher
	is      Checksum
}

func (s *keySum) add(key, value []byte) {
	if bytes.Equal(key, s.without) {
		return
	}
	var lengths [8]byte
	binary.BigEndian.PutUint32(lengths[:], uint32(len(key)))
	binary.BigEndian.PutUint32(lengths[4:], uint32(len(value)))
	_, _ = s.hash.Write(lengths[:]) // never fails
	_, _ = s.hash.Write(key)
	_, _ = s.hash.Write(value)
	s.is.Keys++
	s.is.Bytes += uint64(len(key) + len(value))
}

func (s *keySum) end(tx holdfast.TxID) Checksum {
	s.is.Tx, s.is.Sum = tx, s.hash.Sum128().Bytes()
	return s.is
}

const (
	checksumStep   = 256 << 10 // bytes that are read at once
	checksumReopen = 16        // steps after which memory that an iterator holds is released
)

// A pace limits the rate of a checksum: behind each step it waits as long as the step may take, so
// that it needs no clock, and is slower by the time that reading takes.
type pace struct {
	rate  int64 // bytes per second, at most
	bytes int   // since the last step
	steps int
	timer *time.Timer
}

// add counts bytes, and reports whether a step has ended.
func (p *pace) add(bytes int) bool {
	p.bytes += bytes
	return p.bytes >= checksumStep
}

// next begins the next step, which is due when the channel has something.
func (p *pace) next() <-chan time.Time {
	d := time.Duration(float64(p.bytes) / float64(p.rate) * float64(time.Second))
	p.bytes, p.steps = 0, p.steps+1
	if p.timer == nil {
		p.timer = time.NewTimer(d)
	} else {
		p.timer.Reset(d)
	}
	return p.timer.C
}

func (p *pace) end() {
	if p.timer != nil {
		p.timer.Stop()
	}
}
