package shard

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// A model is two shards as plain maps, beside a store on a memory disk.
type model struct {
	t      *testing.T
	rng    *rand.Rand
	fs     vfs.FS
	clock  *clock
	schema Schema
	store  *Store
	shards []*Shard
	items  []map[string]item.Item // by key
	past   []snapshot             // of shard 1
}

// A snapshot is what shard 1 held at a time.
type snapshot struct {
	at    time.Time
	items map[string]item.Item
}

func (m *model) open() {
	o := memOptions(m.fs)
	o.Now = m.clock.read
	s, err := Open(o)
	if err != nil {
		m.t.Fatal(err)
	}
	m.store, m.shards = s, nil
	useLedger(m.t, s)
	for _, id := range []holdfast.ShardID{1, 2} {
		sh, err := s.Open(whole(id), m.schema)
		if err != nil {
			m.t.Fatal(err)
		}
		m.shards = append(m.shards, sh)
	}
}

func (m *model) random() item.Item {
	return thing(fmt.Sprint("id", m.rng.IntN(6)), m.rng.IntN(5)-2, "g", fmt.Sprint(m.rng.IntN(3)), "v", m.rng.IntN(100),
		[]string{"m", "ttl", "x"}[m.rng.IntN(3)], m.rng.IntN(2_000_000_000))
}

// Random commits, with all else that happens to a shard between them, against plain maps.
func TestModel(t *testing.T) {
	seeds := []uint64{1, 2, 3}
	if text := os.Getenv("HOLDFAST_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{seed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := &model{
				t: t, rng: rand.New(rand.NewPCG(seed, seed)), fs: vfs.NewMem(), clock: newClock(), schema: testSchema(),
				items: []map[string]item.Item{{}, {}},
			}
			m.open()
			for range 1500 {
				m.step()
				if t.Failed() {
					break
				}
			}
			if err := m.store.Close(); err != nil {
				t.Fatal(err)
			}
			if checked := checkStore(t, memOptions(m.fs), 1, 2); checked.Items == 0 || checked.Entries == 0 {
				t.Errorf("got %+v; want items and entries", checked)
			}
		})
	}
}

func (m *model) step() {
	switch p := m.rng.IntN(100); {
	case p < 60:
		m.commit()
	case p < 70:
		m.compareSpan()
	case p < 80:
		m.compareGet()
	case p < 83:
		m.compareCounts()
	case p < 86:
		m.compareChanges()
	case p < 88:
		m.compareExpired()
	case p < 90:
		if err := m.store.engine.db.Flush(); err != nil {
			m.t.Error(err)
		}
	case p < 92:
		if err := m.store.Close(); err != nil {
			m.t.Error(err)
		}
		m.open()
	case p < 94:
		m.changeIndex()
	case p < 96:
		m.compareCopy()
	default:
		m.clock.advance(time.Duration(m.rng.IntN(3600)) * time.Second)
		if err := m.store.Trim(bg); err != nil {
			m.t.Error(err)
		}
	}
}

// commit does a transaction of a few writes, which may have a condition that doesn't hold.
func (m *model) commit() {
	refused := errors.New("refused")
	var c Commit
	next := []map[string]item.Item{cloned(m.items[0]), cloned(m.items[1])}
	fails := false
	used := map[string]bool{}
	for range 1 + m.rng.IntN(4) {
		place, it := m.rng.IntN(2), m.random()
		key := string(keyOf(m.t, it))
		if used[fmt.Sprint(place, key)] {
			continue
		}
		used[fmt.Sprint(place, key)] = true
		before := m.items[place][key]
		after := it
		switch m.rng.IntN(20) {
		case 0:
			fails = true
		case 1, 2, 3, 4, 5:
			after = nil
		case 6, 7:
			after = before
		case 8, 9:
			if before != nil {
				after = before.With("v", number(m.rng.IntN(100)))
			}
		}
		refuse := fails
		c.Writes = append(c.Writes, Write{Shard: m.shards[place], Key: item.Key(key),
			Change: func(got item.Item) (item.Item, error) {
				if !got.Equal(before) {
					m.t.Errorf("before: got %v; want %v", got, before)
				}
				if refuse {
					return nil, refused
				}
				return after, nil
			}})
		if after == nil {
			delete(next[place], key)
		} else {
			next[place][key] = after
		}
	}
	_, err := m.store.Commit(bg, c)
	if fails {
		if err != refused {
			m.t.Errorf("got %v; want refused", err)
		}
		return
	}
	if err != nil {
		m.t.Error(err)
	}
	m.items = next
	m.clock.advance(time.Duration(m.rng.IntN(3)) * time.Second)
	m.past = append(m.past, snapshot{m.clock.read(), cloned(next[0])})
	m.clock.advance(time.Millisecond)
}

func cloned(items map[string]item.Item) map[string]item.Item {
	next := make(map[string]item.Item, len(items))
	for key, it := range items {
		next[key] = it
	}
	return next
}

func (m *model) compareGet() {
	place, key := m.rng.IntN(2), keyOf(m.t, m.random())
	got, err := m.shards[place].Get(bg, key)
	if err != nil || !got.Equal(m.items[place][string(key)]) {
		m.t.Errorf("get: got %v, %v; want %v", got, err, m.items[place][string(key)])
	}
}

// compareSpan goes through a random part of a shard or an index.
func (m *model) compareSpan() {
	place := m.rng.IntN(2)
	span := Span{Reverse: m.rng.IntN(2) == 0}
	key := m.schema.Key.Index()
	entries := m.items[place]
	if n := m.rng.IntN(len(m.schema.Indexes) + 1); n > 0 {
		x := &m.schema.Indexes[n-1]
		span.Index, key = x.ID, x.Key
		entries = m.entries(place, x)
	}
	switch m.rng.IntN(3) {
	case 0:
		span.Range = item.HashRange(m.rng.IntN(3), 3)
	case 1:
		var hash []item.Value
		it := m.random()
		for _, a := range key.Hash {
			v, _ := it.Get(a.Name)
			hash = append(hash, v)
		}
		span.Range = key.Partition(hash...)
	}
	var want []item.Item
	for _, k := range sortedKeys(entries) {
		if k >= string(span.Range.From) && (span.Range.To == nil || k < string(span.Range.To)) {
			want = append(want, entries[k])
		}
	}
	if span.Reverse {
		slices.Reverse(want)
	}
	got := all(m.t, m.shards[place], span)
	if !slices.EqualFunc(got, want, item.Item.Equal) {
		m.t.Errorf("%+v: got %v; want %v", span, got, want)
	}
}

// entries returns what an index should hold.
func (m *model) entries(place int, x *item.Index) map[string]item.Item {
	entries := map[string]item.Item{}
	for _, it := range m.items[place] {
		if key, entry, ok := x.Entry(m.schema.Key, it); ok {
			entries[string(key)] = entry
		}
	}
	return entries
}

func sortedKeys(items map[string]item.Item) []string {
	keys := make([]string, 0, len(items))
	for key := range items {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

func (m *model) compareCounts() {
	for place, sh := range m.shards {
		got := sh.Counts()
		if want := sizes(m.items[place]); got.Items != want.Items || got.ItemBytes != want.Bytes {
			m.t.Errorf("got %+v; want %+v", got, want)
		}
		for i := range m.schema.Indexes {
			x := &m.schema.Indexes[i]
			if want := sizes(m.entries(place, x)); got.Indexes[x.ID] != want {
				m.t.Errorf("index %d: got %+v; want %+v", x.ID, got.Indexes[x.ID], want)
			}
		}
	}
}

func sizes(items map[string]item.Item) Count {
	c := Count{Items: int64(len(items))}
	for _, it := range items {
		c.Bytes += int64(it.Size())
	}
	return c
}

// compareChanges reads the log in pieces. Each before-image must be the after-image before it, and
// the last of each key the item.
func (m *model) compareChanges() {
	for place, sh := range m.shards {
		newest := map[string]item.Item{}
		var at time.Time
		for from := (holdfast.Position{}); ; {
			changes, next, err := sh.Changes(from, Limit{Changes: 1 + m.rng.IntN(50), Bytes: 1 + m.rng.IntN(5000)})
			if err != nil {
				m.t.Fatal(err)
			}
			if len(changes) == 0 {
				if next != sh.End() {
					m.t.Errorf("got the end of the log at %v; want %v", next, sh.End())
				}
				break
			}
			for _, c := range changes {
				it := c.After
				if it == nil {
					it = c.Before
				}
				key := string(keyOf(m.t, it))
				if was, ok := newest[key]; ok && !was.Equal(c.Before) {
					m.t.Errorf("%v: before is %v; want %v", c.Tx, c.Before, was)
				}
				if c.At.Before(at) {
					m.t.Errorf("%v: time falls", c.Tx)
				}
				at, newest[key] = c.At, c.After
			}
			from = next
		}
		for key, it := range newest {
			if !it.Equal(m.items[place][key]) {
				m.t.Errorf("the newest image is %v; want %v", it, m.items[place][key])
			}
		}
	}
}

func (m *model) compareExpired() {
	place := m.rng.IntN(2)
	now := m.clock.read()
	if m.schema.TTL == "" {
		return
	}
	var want []item.Key
	for key, it := range m.items[place] {
		if second, ok := expiry("ttl", it); ok && int64(second) < now.Unix() &&
			int64(second) >= now.Add(-expiryReach).Unix() {
			want = append(want, item.Key(key))
		}
	}
	got, err := m.shards[place].Expired(now, 1000, 1<<16)
	if err != nil {
		m.t.Error(err)
	}
	slices.SortFunc(got, func(a, b item.Key) int { return bytes.Compare(a, b) })
	slices.SortFunc(want, func(a, b item.Key) int { return bytes.Compare(a, b) })
	if !slices.EqualFunc(got, want, func(a, b item.Key) bool { return bytes.Equal(a, b) }) {
		m.t.Errorf("expired: got %x; want %x", got, want)
	}
}

// changeIndex takes an index and the queue of expiring items away, and puts them back while commits
// go on.
func (m *model) changeIndex() {
	whole := m.schema
	gone := m.rng.IntN(len(whole.Indexes))
	m.schema.TTL = ""
	m.schema.Indexes = slices.Delete(slices.Clone(whole.Indexes), gone, gone+1)
	for _, sh := range m.shards {
		m.must(sh.SetSchema(m.schema))
		m.must(sh.Clear(whole.Indexes[gone].ID))
		m.must(sh.ClearTTL())
	}
	for range m.rng.IntN(5) {
		m.commit()
	}
	m.schema = whole
	for _, sh := range m.shards {
		m.must(sh.SetSchema(whole))
	}
	var filling sync.WaitGroup
	n := 1 + m.rng.IntN(4)
	for _, sh := range m.shards {
		filling.Add(1)
		go func() {
			defer filling.Done()
			for key := item.Key(nil); ; {
				var err error
				key, err = sh.Backfill(bg, whole.Indexes[gone].ID, key, n)
				m.must(err)
				if key == nil || err != nil {
					break
				}
			}
			for key := item.Key(nil); ; {
				var err error
				key, err = sh.BackfillTTL(bg, key, n)
				m.must(err)
				if key == nil || err != nil {
					return
				}
			}
		}()
	}
	for range 20 {
		m.commit()
	}
	filling.Wait()
}

func (m *model) must(err error) {
	if err != nil {
		m.t.Error(err)
	}
}

// compareCopy copies shard 1 as it was at some time.
func (m *model) compareCopy() {
	if len(m.past) == 0 {
		return
	}
	then := m.past[m.rng.IntN(len(m.past))]
	at, want := then.at, then.items
	if m.rng.IntN(3) == 0 {
		at, want = time.Time{}, m.items[0]
	}
	got, err := m.store.Copy(bg, m.shards[0], whole(3), at)
	if errors.Is(err, holdfast.Gone) && !at.IsZero() && m.shards[0].Oldest().Index > 1 {
		return
	}
	if err != nil {
		m.t.Fatal(err)
	}
	if count := sizes(want); got.Items != count.Items || got.ItemBytes != count.Bytes {
		m.t.Errorf("copy: got %+v; want %+v", got, count)
	}
	sh, err := m.store.Open(whole(3), Schema{Key: m.schema.Key})
	m.must(err)
	items := map[string]item.Item{}
	for _, it := range all(m.t, sh, Span{}) {
		items[string(keyOf(m.t, it))] = it
	}
	if !sameState(items, want) {
		m.t.Errorf("copy of %v: got %v; want %v", at, items, want)
	}
	m.must(m.store.Drop(whole(3)))
}
