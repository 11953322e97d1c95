package shard

import (
	"context"
	"io"
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// SnapshotOptions are how a snapshot is read.
type SnapshotOptions struct {
	ChunkBytes     int   // of a chunk, about, unless it is one key that is longer; default 256 KiB
	BytesPerSecond int64 // of chunks, at most; 0: as fast as they are read

	Now   func() time.Time                       // default time.Now
	After func(d time.Duration) <-chan time.Time // default time.After
}

const defaultSnapshotChunk = 256 << 10

func (o *SnapshotOptions) setDefaults() {
	if o.ChunkBytes == 0 {
		o.ChunkBytes = defaultSnapshotChunk
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
}

// A Snapshot is all keys of a shard as of one transaction, as a sequence of chunks, which a Receiver
// at another replica puts together. It has the items, the entries of indexes, the queue of expiring
// items, the locks, the log of changes and the metadata, but neither the log nor the state of the
// shard's group. It is for one goroutine at a time, and must be closed: Store.Close waits for it.
//
// It reads one of Pebble's EventuallyFileOnlySnapshots, so that it keeps no memtable for long, and
// what is excised or installed meanwhile doesn't change what it has. The transaction is the one that
// the snapshot's keys name, and not the one that the shard has in memory: that is raised before the
// keys can be seen.
type Snapshot struct {
	shard   *Shard
	options SnapshotOptions
	head    snapshotHeader
	members []byte
	files   *pebble.EventuallyFileOnlySnapshot // nil: the snapshot is closed

	id    uint64
	place uint32 // of the next chunk
	sums  snapshotSums
	ended bool // the end was returned
	chunk []byte

	keys sharedKeys
	key  []byte // the last one in the chunk

	due time.Time // when the next chunk may be returned
}

// NewSnapshot returns a snapshot of a shard. It waits until all that the snapshot has is on disk.
func NewSnapshot(ctx context.Context, sh *Shard, o SnapshotOptions) (*Snapshot, error) {
	if err := sh.store.gate.enter(); err != nil {
		return nil, err
	}
	o.setDefaults()
	s := &Snapshot{shard: sh, options: o}
	s.files = sh.engine.db.NewEventuallyFileOnlySnapshot([]pebble.KeyRange{sh.keys.state(), sh.keys.whole()})
	if err := s.begin(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Snapshot) begin(ctx context.Context) error {
	sh := s.shard
	is := newShard(sh.store, sh.is)
	if err := is.load(s.files); err != nil {
		return err
	}
	slots, err := sh.engine.slots(s.files, sh.keys)
	if err != nil {
		return err
	}
	members, ok, err := sh.engine.read(s.files, sh.keys.meta(metaMembers))
	if err != nil {
		return err
	}
	if ok {
		s.members = []byte(members)
	}
	if sh.isDropped() {
		return errDropped(sh.id)
	}
	if is.tally.applied == 0 {
		return holdfast.Errorf(holdfast.Invalid, "shard %d is new: there is nothing of which to make a snapshot", sh.id)
	}
	s.head = snapshotHeader{tx: is.At(is.tally.applied), is: sh.is, slots: slots}
	s.keys = sharedKeys{shard: sh, from: s.files, spans: snapshotSpans(sh.keys, slots)}
	s.id = rand.Uint64()
	s.due = s.options.Now()
	return sh.sequencer.waitDurable(ctx, s.head.tx.Index)
}

// Tx returns the last transaction that the snapshot has.
func (s *Snapshot) Tx() holdfast.TxID { return s.head.tx }

// Members returns what the snapshot has of the members of the group, in the group's form; nil: they
// never changed.
func (s *Snapshot) Members() []byte { return s.members }

// Next returns the next chunk, which is valid until the next call, or io.EOF behind the last. It
// waits until the rate allows the chunk.
func (s *Snapshot) Next(ctx context.Context) ([]byte, error) {
	switch {
	case s.files == nil:
		return nil, holdfast.Errorf(holdfast.Invalid, "the snapshot is closed")
	case s.ended:
		return nil, io.EOF
	case s.shard.isDropped():
		return nil, errDropped(s.shard.id)
	}
	if err := s.pace(ctx); err != nil {
		return nil, err
	}
	if err := s.fill(); err != nil {
		return nil, err
	}
	s.chunk = appendSum(s.chunk)
	s.sums.addChunk(s.chunk)
	s.place++
	if rate := s.options.BytesPerSecond; rate > 0 {
		s.due = s.due.Add(time.Duration(float64(len(s.chunk)) / float64(rate) * float64(time.Second)))
	}
	return s.chunk, nil
}

// pace waits until the next chunk may be returned. What a slow receiver didn't take in time isn't made
// up for.
func (s *Snapshot) pace(ctx context.Context) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	now := s.options.Now()
	if s.options.BytesPerSecond <= 0 || !now.Before(s.due) {
		s.due = now
		return nil
	}
	select {
	case <-s.options.After(s.due.Sub(now)):
		return nil
	case <-ctx.Done():
		return ended(ctx)
	case <-s.shard.dropped:
		return errDropped(s.shard.id)
	case <-s.shard.store.closing:
		return errClosed()
	}
}

// fill makes the next chunk, without its sum.
func (s *Snapshot) fill() error {
	c := snapshotChunk{kind: snapshotKeys, id: s.id, place: s.place}
	if s.place == 0 {
		c.kind = snapshotHead
		s.chunk = s.head.appendTo(c.appendStart(s.chunk[:0]))
		return nil
	}
	s.chunk, s.key = c.appendStart(s.chunk[:0]), s.key[:0]
	if err := s.fillKeys(); err != nil {
		return err
	}
	if len(s.chunk) == snapshotStart {
		s.ended, c.kind = true, snapshotEnd
		s.chunk = s.sums.appendTo(c.appendStart(s.chunk[:0]))
	}
	return nil
}

// fillKeys adds keys to the chunk until it is full or there are no more.
func (s *Snapshot) fillKeys() error {
	for {
		key, value, err := s.keys.at()
		if err != nil || key == nil {
			return err
		}
		if len(key)+len(value) > maxSnapshotPair {
			return holdfast.Errorf(holdfast.Invalid, "shard %d has a key with %d bytes: a snapshot may have %d",
				s.shard.id, len(key)+len(value), maxSnapshotPair)
		}
		if len(s.chunk) > snapshotStart && len(s.chunk)+len(key)+len(value) > s.options.ChunkBytes {
			return nil
		}
		s.chunk = appendPair(s.chunk, s.key, key, value)
		s.key = append(s.key[:0], key...)
		s.sums.add(len(key), len(value))
		s.keys.next()
	}
}

// Close releases what the snapshot holds. It may be called more than once.
func (s *Snapshot) Close() error {
	if s.files == nil {
		return nil
	}
	defer s.shard.store.gate.leave()
	files := s.files
	s.files = nil
	s.keys.close()
	return s.shard.engine.fault("closing a snapshot", files.Close())
}
