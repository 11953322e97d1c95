package table

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// A memoryLog is the log of a shard in memory. Not all of its positions have a change.
type memoryLog struct {
	is      shard.Descriptor
	end     uint64
	changes []shard.Change
}

func (l *memoryLog) Descriptor() shard.Descriptor { return l.is }
func (l *memoryLog) Oldest() holdfast.Position    { return holdfast.Position{Index: max(1, l.is.Begin)} }
func (l *memoryLog) End() holdfast.Position       { return holdfast.Position{Index: l.end} }
func (l *memoryLog) Reached(holdfast.TxID) error  { return nil }

func (l *memoryLog) Changes(
	from holdfast.Position, limit shard.Limit,
) (all []shard.Change, next holdfast.Position, err error) {
	next = from
	for _, c := range l.changes {
		if c.Position().Compare(from) >= 0 && len(all) < limit.Changes {
			all, next = append(all, c), holdfast.Position{Index: c.Tx.Index + 1}
		}
	}
	return all, next, nil
}

// A lineage is a table whose shards are split at random, with what its streams must have.
type lineage struct {
	t      *testing.T
	rng    *rand.Rand
	now    time.Time
	record *catalog.Table
	logs   map[holdfast.ShardID]*memoryLog
	nextID holdfast.ShardID
	items  map[string]item.Item
	want   map[string][]shard.Change // by label of a stream: its changes, in the order of time
}

func newLineage(t *testing.T, seed uint64) *lineage {
	l := &lineage{
		t: t, rng: rand.New(rand.NewPCG(seed, 5)), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), nextID: 7,
		record: &catalog.Table{}, logs: map[holdfast.ShardID]*memoryLog{}, items: map[string]item.Item{},
		want: map[string][]shard.Change{},
	}
	for _, r := range catalog.Even(1 + l.rng.IntN(3)) {
		l.record.Shards = append(l.record.Shards, l.newShard(r))
	}
	return l
}

func (l *lineage) newShard(r catalog.Range, parents ...holdfast.ShardID) catalog.Shard {
	l.nextID++
	sh := catalog.Shard{ID: l.nextID, Range: r, Parents: parents}
	log := &memoryLog{is: sh.Descriptor(1)}
	log.is.Begin = 1 + l.rng.Uint64N(5)
	log.end = log.is.Begin
	l.logs[l.nextID] = log
	return sh
}

func (l *lineage) ends() map[holdfast.ShardID]holdfast.Position {
	all := map[holdfast.ShardID]holdfast.Position{}
	for _, sh := range l.record.Shards {
		all[sh.ID] = l.logs[sh.ID].End()
	}
	return all
}

// write changes an item in the shard that has its key now.
func (l *lineage) write() {
	id := fmt.Sprint(l.rng.IntN(30))
	it := attrs("id", id, "v", l.rng.IntN(1000))
	key, err := item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}.Key(it)
	if err != nil {
		l.t.Fatal(err)
	}
	at, ok := slices.BinarySearchFunc(l.record.Shards, key.Hash(), func(sh catalog.Shard, hash uint64) int {
		return cmp.Compare(sh.FirstHash(), hash)
	})
	if !ok {
		at--
	}
	log := l.logs[l.record.Shards[at].ID]
	log.end += uint64(l.rng.IntN(3)) // entries without changes take positions, too
	c := shard.Change{Tx: holdfast.TxID{Shard: log.is.ID, Index: log.end}, Before: l.items[id], After: it}
	log.changes = append(log.changes, c)
	log.end += 1 + uint64(l.rng.IntN(2))
	l.items[id] = it
	if l.record.Table.StreamOn {
		l.want[l.record.Table.StreamLabel] = append(l.want[l.record.Table.StreamLabel], c)
	}
}

// split divides the range of a shard between two others.
func (l *lineage) split() {
	at := l.rng.IntN(len(l.record.Shards))
	parent := l.record.Shards[at]
	from, to := parent.FirstHash(), uint64(1<<64-1)
	if len(parent.To) > 0 {
		to = (&catalog.Range{From: parent.To}).FirstHash()
	}
	if (to-from)>>48 < 2 {
		return
	}
	cut := binary.BigEndian.AppendUint64(nil, from+1<<48*(1+l.rng.Uint64N((to-from)>>48-1)))
	r := l.record.Clone()
	left := l.newShard(catalog.Range{From: parent.From, To: cut}, parent.ID)
	right := l.newShard(catalog.Range{From: cut, To: parent.To}, parent.ID)
	r.Closed = append(slices.Clone(r.Closed), parent)
	r.Shards = slices.Concat(r.Shards[:at], []catalog.Shard{left, right}, r.Shards[at+1:])
	l.record = r
}

// switchStream ends the stream that is on, or begins another.
func (l *lineage) switchStream() {
	l.now = l.now.Add(time.Second)
	r, view := l.record.Clone(), catalog.NewAndOldImages
	if r.Table.StreamOn {
		view = 0
	}
	if err := r.AlterStream(view, l.now, l.ends()); err != nil {
		l.t.Fatal(err)
	}
	l.record = r
}

// stream returns a stream as requests get it now.
func (l *lineage) stream(st *catalog.Stream) Stream {
	var logs []streamLog
	for _, log := range l.logs {
		logs = append(logs, log)
	}
	return Stream{}.described(st, logs)
}

// A consumer reads a stream as its clients do: the children of a shard only when that one has ended.
type consumer struct {
	at    map[holdfast.ShardID]holdfast.Position
	ended map[holdfast.ShardID]bool
	got   []shard.Change
}

// read reads some records of a shard that may be read, and reports whether there is one that has
// more.
func (c *consumer) read(t *testing.T, rng *rand.Rand, s Stream) (more bool) {
	var ready []StreamShard
	for _, sh := range s.Shards {
		if !c.ended[sh.ID] && (sh.Parent == 0 || c.ended[sh.Parent]) {
			ready = append(ready, sh)
		}
	}
	rng.Shuffle(len(ready), func(i, j int) { ready[i], ready[j] = ready[j], ready[i] })
	for _, sh := range ready {
		changes, next, end, err := s.records(sh.ID, c.at[sh.ID], shard.Limit{Changes: 1 + rng.IntN(4)})
		if err != nil {
			t.Fatal(err)
		}
		c.got = append(c.got, changes...)
		c.at[sh.ID], c.ended[sh.ID] = next, end
		if end || len(changes) > 0 {
			return true
		}
	}
	return false
}

// Whatever shards are split, and whenever a stream is switched on or off: who reads a stream's
// shards, each after its parent, gets each change of the stream once, those of an item in order,
// also while it goes on. A stream that has ended comes to its end.
func TestStreamGoesByLineage(t *testing.T) {
	for seed := range uint64(60) {
		l := newLineage(t, seed)
		consumers := map[string]*consumer{}
		readSome := func(times int) {
			for _, st := range l.record.Streams {
				c := consumers[st.Label]
				if c == nil {
					c = &consumer{at: map[holdfast.ShardID]holdfast.Position{}, ended: map[holdfast.ShardID]bool{}}
					consumers[st.Label] = c
				}
				for n := 0; n < times && c.read(t, l.rng, l.stream(&st)); n++ {
				}
			}
		}
		for range 300 {
			switch n := l.rng.IntN(100); {
			case n < 5:
				l.split()
			case n < 8:
				l.switchStream()
			case n < 20:
				readSome(3)
			default:
				l.write()
			}
		}
		readSome(2000)
		for _, st := range l.record.Streams {
			sameChanges(t, fmt.Sprintf("seed %d, stream %s", seed, st.Label), consumers[st.Label].got, l.want[st.Label])
			for _, sh := range l.stream(&st).Shards {
				if ended := consumers[st.Label].ended[sh.ID]; ended != sh.Closed {
					t.Errorf("seed %d, stream %s, shard %d: got its end %t; want %t", seed, st.Label, sh.ID, ended, sh.Closed)
				}
			}
		}
		if t.Failed() {
			return
		}
	}
}

// sameChanges compares changes by item: those of one must be in order.
func sameChanges(t *testing.T, what string, got, want []shard.Change) {
	t.Helper()
	byItem := func(changes []shard.Change) map[string][]holdfast.TxID {
		all := map[string][]holdfast.TxID{}
		for _, c := range changes {
			id, _ := c.After.Get("id")
			all[id.Text] = append(all[id.Text], c.Tx)
		}
		return all
	}
	is, should := byItem(got), byItem(want)
	for id := range should {
		if !slices.Equal(is[id], should[id]) {
			t.Errorf("%s, item %s: got changes %v; want %v", what, id, is[id], should[id])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: got %d changes; want %d", what, len(got), len(want))
	}
}
