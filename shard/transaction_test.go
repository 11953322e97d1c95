package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// A crashLog is a log that takes an image of the disk that is left if the machine that leads is lost
// between any two entries.
type crashLog interface {
	entryLog

	// arm has it take an image behind so many proposals; 0: none.
	arm(left int)

	// taken returns the image, nil if none was taken, and whether it has the entry by which a commit
	// takes effect.
	taken() (image *vfs.MemFS, decided bool)

	// finish compares what the log keeps besides with the store, which then needs it no longer.
	finish(s *Store)
}

// A crashingLog takes an image of the disk right behind one of its entries: with all up to that
// entry, and nothing behind it.
type crashingLog struct {
	entryLog
	engine  *engine
	fs      *vfs.MemFS
	left    int         // entries until the image; 0: none is taken
	image   *vfs.MemFS  // nil: not yet
	entries []entryKind // that the image has, since left was set
}

func (l *crashingLog) propose(b *pebble.Batch, entries []*entry) error {
	err := l.entryLog.propose(b, entries)
	return errors.Join(err, l.count(entries))
}

func (l *crashingLog) proposeLazily(b *pebble.Batch, entries []*entry) error {
	err := l.entryLog.proposeLazily(b, entries)
	return errors.Join(err, l.count(entries))
}

func (l *crashingLog) count(entries []*entry) error {
	if l.left == 0 {
		return nil
	}
	l.entries = append(l.entries, entries[0].kind())
	if l.left--; l.left > 0 {
		return nil
	}
	err := l.engine.sync()
	l.image = l.fs.CrashClone(vfs.CrashCloneCfg{})
	return err
}

// finish implements crashLog.
func (l *crashingLog) finish(*Store) {}

// arm implements crashLog.
func (l *crashingLog) arm(left int) { l.left, l.image, l.entries = left, nil, nil }

// taken implements crashLog.
func (l *crashingLog) taken() (image *vfs.MemFS, decided bool) {
	return l.image, slices.Contains(l.entries, entryCommit)
}

// A crashModel is three shards as plain maps, beside a store that crashes between any two entries.
type crashModel struct {
	t      *testing.T
	seed   uint64
	rng    *rand.Rand
	fs     *vfs.MemFS
	clock  *clock
	store  *Store
	ledger *Ledger
	shards []*Shard
	log    crashLog
	newLog func() crashLog // of a store that was opened
	items  []map[string]item.Item
	past   []pastCommit
	redone int // tokens of commits that a crash interrupted
}

func newCrashModel(t *testing.T, seed uint64) *crashModel {
	return &crashModel{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 41)), fs: vfs.NewCrashableMem(),
		clock: newClock(), items: []map[string]item.Item{{}, {}, {}}}
}

// run does steps, and compares what is left at the end.
func (m *crashModel) run() {
	m.t.Helper()
	m.open()
	for n := range 30 {
		m.step(n)
	}
	m.compare()
	m.log.finish(m.store)
	m.compareCopies()
	if m.redone == 0 {
		m.t.Error("got no interrupted commit with a token; want some")
	}
	m.must(m.store.Close())
	checkStore(m.t, memOptions(m.fs), 1, 2, 3)
}

// A pastCommit is a commit that was done.
type pastCommit struct {
	at    time.Time
	after []map[string]item.Item // by shard and key, what it changed; nil: removed
}

// open opens the store on what is on disk, and ends the one before, which nobody uses any more.
func (m *crashModel) open() {
	if m.store != nil {
		m.must(m.store.Close())
	}
	o := memOptions(m.fs)
	o.Now = m.clock.read
	s := openStore(m.t, o)
	m.store, m.ledger, m.shards = s, s.ledger.Load(), nil
	for id := holdfast.ShardID(1); id <= 3; id++ {
		m.shards = append(m.shards, openShard(m.t, s, id))
	}
	m.log = m.newLog()
	s.entries = m.log
}

// commit returns a random commit, and what each shard holds after it.
func (m *crashModel) commit(token string) (Commit, []map[string]item.Item) {
	c := Commit{Token: token, Digest: []byte("digest")}
	changed, used := []map[string]item.Item{{}, {}, {}}, map[string]bool{}
	for range 1 + m.rng.IntN(5) {
		place := m.rng.IntN(3)
		it := thing(fmt.Sprint("id", m.rng.IntN(5)), m.rng.IntN(2), "g", fmt.Sprint(m.rng.IntN(3)), "m", m.rng.IntN(5),
			"v", m.rng.IntN(1000), "ttl", m.rng.IntN(2_000_000_000))
		key := string(keyOf(m.t, it))
		if used[fmt.Sprint(place, key)] {
			continue
		}
		used[fmt.Sprint(place, key)] = true
		before, after := m.items[place][key], it
		switch m.rng.IntN(6) {
		case 0:
			after = nil
		case 1:
			after = before
		}
		if !after.Equal(before) {
			changed[place][key] = after
		}
		c.Writes = append(c.Writes, Write{Shard: m.shards[place], Key: item.Key(key),
			Change: func(got item.Item) (item.Item, error) {
				if !got.Equal(before) {
					m.t.Errorf("seed %d: shard %d, before: got %v; want %v", m.seed, place+1, got, before)
				}
				return after, nil
			}})
	}
	return c, changed
}

// step does a commit, and maybe crashes between two of its entries, and again between two of those
// by which that is resolved.
func (m *crashModel) step(n int) {
	m.clock.advance(time.Duration(m.rng.IntN(2000)-700) * time.Millisecond)
	token := ""
	if m.rng.IntN(2) == 0 {
		token = fmt.Sprint("token", n)
	}
	c, changed := m.commit(token)
	m.log.arm(m.rng.IntN(10))
	results, err := m.store.Commit(bg, c)
	if err != nil {
		m.t.Fatalf("seed %d: %v", m.seed, err)
	}
	at := m.timeOf(results)
	wantNoLocks(m.t, m.store)
	image, decided := m.log.taken()
	if image == nil {
		m.take(at, changed)
		m.log.arm(0)
		return
	}
	if decided {
		m.take(at, changed)
	}
	m.fs = image
	m.open()
	m.neighbour()
	m.log.arm(m.rng.IntN(4))
	m.recover()
	if image, _ := m.log.taken(); image != nil {
		m.fs = image
		m.open()
	}
	m.log.arm(0)
	m.compare()
	if token != "" {
		m.again(token, decided)
	}
}

// neighbour commits something else before what a crash left is resolved, so that the time of the
// latter is below that of what is before it in the log.
func (m *crashModel) neighbour() {
	m.clock.advance(time.Second)
	place, it := m.rng.IntN(3), thing("neighbour", m.rng.IntN(3), "v", len(m.past))
	at := m.timeOf(commitAll(m.t, m.store, put(m.t, m.shards[place], it)))
	changed := []map[string]item.Item{{}, {}, {}}
	changed[place][string(keyOf(m.t, it))] = it
	m.take(at, changed)
}

// take notes that a commit was done.
func (m *crashModel) take(at time.Time, changed []map[string]item.Item) {
	for place := range changed {
		for key, it := range changed[place] {
			if m.items[place][key] = it; it == nil {
				delete(m.items[place], key)
			}
		}
	}
	m.past = append(m.past, pastCommit{at, changed})
}

// timeOf returns the time of a commit, which must be the same in all of its shards.
func (m *crashModel) timeOf(results []Result) (at time.Time) {
	m.t.Helper()
	for _, r := range results {
		if r.Tx.Index == 0 {
			continue
		}
		changes, _, err := m.shards[r.Tx.Shard-1].Changes(holdfast.Position{Index: r.Tx.Index}, Limit{Changes: 1})
		if err != nil || len(changes) != 1 || changes[0].Tx != r.Tx {
			m.t.Fatalf("seed %d: %v: got %v, %v; want its change", m.seed, r.Tx, changes, err)
		}
		if !at.IsZero() && !changes[0].At.Equal(at) {
			m.t.Errorf("seed %d: got a commit with the times %v and %v", m.seed, at, changes[0].At)
		}
		at = changes[0].At
	}
	return at
}

// recover has what a crash left found by one who may find it: the start, a reader, a cursor, a writer.
func (m *crashModel) recover() {
	place := m.rng.IntN(3)
	sh := m.shards[place]
	switch m.rng.IntN(4) {
	case 0:
		m.must(m.ledger.ResolveAll(bg))
	case 1:
		m.compareReads()
	case 2:
		all(m.t, sh, Span{Index: uint32(m.rng.IntN(4))})
	default:
		it := thing(fmt.Sprint("id", m.rng.IntN(5)), m.rng.IntN(2))
		_, err := m.store.Commit(bg, Commit{Writes: []Write{{Shard: sh, Key: keyOf(m.t, it),
			Change: func(got item.Item) (item.Item, error) {
				if want := m.items[place][string(keyOf(m.t, it))]; !got.Equal(want) {
					m.t.Errorf("seed %d: a writer found %v; want %v", m.seed, got, want)
				}
				return got, nil
			}}}})
		m.must(err)
	}
}

func (m *crashModel) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatalf("seed %d: %v", m.seed, err)
	}
}

// compareReads compares single reads, and one of all items at once, which resolve nothing.
func (m *crashModel) compareReads() {
	var gets []Get
	var want []item.Item
	for place, sh := range m.shards {
		for id := range 5 {
			for n := range 2 {
				key := keyOf(m.t, thing(fmt.Sprint("id", id), n))
				gets, want = append(gets, Get{sh, key}), append(want, m.items[place][string(key)])
				if got, err := sh.Get(bg, key); err != nil || !got.Equal(want[len(want)-1]) {
					m.t.Errorf("seed %d: shard %d, a read: got %v, %v; want %v",
						m.seed, place+1, got, err, want[len(want)-1])
				}
			}
		}
	}
	got, err := m.store.GetAll(bg, gets)
	m.must(err)
	for i := range got {
		if !got[i].Equal(want[i]) {
			m.t.Errorf("seed %d: shard %d, a read of all: got %v; want %v", m.seed, gets[i].Shard.id, got[i], want[i])
		}
	}
}

// compare compares all items, and all that follows from them, with the model. No lock is left.
func (m *crashModel) compare() {
	m.t.Helper()
	m.compareReads()
	m.must(m.ledger.ResolveAll(bg))
	wantNoLocks(m.t, m.store)
	for place, sh := range m.shards {
		got := map[string]item.Item{}
		for _, it := range all(m.t, sh, Span{}) {
			got[string(keyOf(m.t, it))] = it
		}
		if !sameState(got, m.items[place]) {
			m.t.Errorf("seed %d: shard %d: got %v; want %v", m.seed, sh.id, got, m.items[place])
		}
		invariants(m.t, sh, testSchema())
	}
	if m.t.Failed() {
		m.t.FailNow()
	}
}

// again repeats a commit that a crash interrupted, with its token: it is done now, or was done.
func (m *crashModel) again(token string, decided bool) {
	m.redone++
	c, changed := m.commit(token)
	results, err := m.store.Commit(bg, c)
	if decided {
		if err != ErrCommitted {
			m.t.Fatalf("seed %d: a commit again: got %v; want ErrCommitted", m.seed, err)
		}
		return
	}
	m.must(err)
	m.take(m.timeOf(results), changed)
}

// compareCopies compares copies of the shards as of every time at and right before a commit.
func (m *crashModel) compareCopies() {
	for _, p := range m.past {
		for _, at := range []time.Time{p.at, p.at.Add(-1)} {
			if p.at.IsZero() {
				continue
			}
			for place, sh := range m.shards {
				want := map[string]item.Item{}
				for _, c := range m.past {
					if c.at.After(at) {
						continue
					}
					for key, it := range c.after[place] {
						if want[key] = it; it == nil {
							delete(want, key)
						}
					}
				}
				if got := copyAt(m.t, m.store, sh, at); !sameState(got, want) {
					m.t.Fatalf("seed %d: shard %d as of %v: got %v; want %v", m.seed, sh.id, at, got, want)
				}
			}
		}
	}
}

// copyAt returns the items of a copy of a shard as of a time, by key.
func copyAt(t *testing.T, s *Store, sh *Shard, at time.Time) map[string]item.Item {
	t.Helper()
	if _, err := s.Copy(bg, sh, whole(9), at); err != nil {
		t.Fatal(err)
	}
	copied, err := s.Open(whole(9), Schema{Key: testSchema().Key})
	if err != nil {
		t.Fatal(err)
	}
	items := map[string]item.Item{}
	for _, it := range all(t, copied, Span{}) {
		items[string(keyOf(t, it))] = it
	}
	if err := s.Drop(whole(9)); err != nil {
		t.Fatal(err)
	}
	return items
}

// Commits over three shards, with crashes between any two of their entries, against plain maps: each
// is there as a whole or not at all, at one time, with its index entries and its token, and no lock
// is left. Copies as of any time have each as a whole or not at all, although the clock is set back
// now and then.
func TestTransactionsModel(t *testing.T) {
	seeds := uint64(8)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := newCrashModel(t, seed)
			m.newLog = func() crashLog {
				return &crashingLog{entryLog: m.store.entries, engine: m.store.engine, fs: m.fs}
			}
			m.run()
		})
	}
}

// While commits over three shards are under way, nobody sees a part of one: a read of all items at
// once has one version of all, and a read that begins after another is not older.
func TestTransactionsAreSeenWhole(t *testing.T) {
	s := openStore(t, memOptions(vfs.NewMem()))
	var gets []Get
	for id := holdfast.ShardID(1); id <= 3; id++ {
		gets = append(gets, Get{openShard(t, s, id), keyOf(t, thing("a", 1))})
	}
	const rounds = 300
	var readers []func()
	for seed := range uint64(3) {
		rng, seen := rand.New(rand.NewPCG(seed, 42)), 0
		readers = append(readers, func() {
			got, err := s.GetAll(bg, gets)
			if err != nil || versionOf(got[0]) != versionOf(got[1]) || versionOf(got[1]) != versionOf(got[2]) {
				t.Fatalf("got %v, %v; want one version of all", got, err)
			}
			for range 3 {
				g := gets[rng.IntN(3)]
				it, err := g.Shard.Get(bg, g.Key)
				if rng.IntN(3) == 0 {
					if items := all(t, g.Shard, Span{}); len(items) > 0 {
						it = items[0]
					}
				}
				if err != nil || versionOf(it) < max(seen, versionOf(got[0])) {
					t.Errorf("got version %d, %v after %d; want none older",
						versionOf(it), err, max(seen, versionOf(got[0])))
				}
				seen = versionOf(it)
			}
		})
	}
	whileReading(func() {
		var writers sync.WaitGroup
		for range 2 {
			writers.Go(func() {
				for range rounds {
					var c Commit
					for _, g := range gets {
						c.Writes = append(c.Writes, increment(g))
					}
					if _, err := s.Commit(bg, c); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
	}, readers...)
	if got, err := s.GetAll(bg, gets); err != nil || versionOf(got[2]) != 2*rounds {
		t.Errorf("got %v, %v; want version %d", got, err, 2*rounds)
	}
	wantNoLocks(t, s)
}

// increment returns a write that raises an item's version.
func increment(g Get) Write {
	return Write{Shard: g.Shard, Key: g.Key, Change: func(before item.Item) (item.Item, error) {
		return thing("a", 1, "v", versionOf(before)+1), nil
	}}
}

// versionOf returns an item's version; 0: there is none.
func versionOf(it item.Item) (n int) {
	v, _ := it.Get("v")
	_, _ = fmt.Sscan(v.Text, &n)
	return n
}

// A decision is removed when it has expired, but not while locks of its transaction are left.
func TestDecisionsOutliveLocks(t *testing.T) {
	clock := newClock()
	fs := vfs.NewCrashableMem()
	o := memOptions(fs)
	o.Now = clock.read
	s := openStore(t, o)
	l := &crashingLog{entryLog: s.entries, engine: s.engine, fs: fs, left: 4} // two prepares, decision, one resolve
	s.entries = l
	commitAll(t, s, put(t, openShard(t, s, 1), thing("a", 1)), put(t, openShard(t, s, 2), thing("b", 1)))
	o = memOptions(l.image)
	o.Now = clock.read
	s = openStore(t, o)
	clock.advance(time.Hour)
	openShard(t, s, 1)
	second := openShard(t, s, 2)
	if second.locks.held.Load() != 1 {
		t.Fatal("got no lock; want that of the interrupted transaction")
	}
	if n, err := s.ledger.Load().Expire(bg, clock.read(), 10, 100); n != 1 || err != nil {
		t.Errorf("got %d decisions removed, %v; want one", n, err)
	}
	if got, err := second.Get(bg, keyOf(t, thing("b", 1))); err != nil || got == nil {
		t.Errorf("got %v, %v; want what was committed", got, err)
	}
}

// The ledger keeps the change of its newest transaction only, however young the others are, while
// the shards keep theirs for as long as asked. After a start it goes on, and its tokens are known.
func TestLedgerKeepsNoLog(t *testing.T) {
	clock := newClock()
	o := memOptions(vfs.NewMem())
	o.Now, o.LogAge = clock.read, time.Hour
	var s *Store
	var shards []*Shard
	open := func() {
		s = openStore(t, o)
		shards = []*Shard{openShard(t, s, 1), openShard(t, s, 2)}
	}
	open()
	for n := range 40 {
		clock.advance(time.Second)
		c := Commit{Token: fmt.Sprintf("token%03d", n), Digest: []byte("digest")}
		for _, sh := range shards {
			c.Writes = append(c.Writes, put(t, sh, thing("a", n)))
		}
		if _, err := s.Commit(bg, c); err != nil {
			t.Fatal(err)
		}
		if n%5 == 0 {
			if err := s.Trim(bg); err != nil {
				t.Fatal(err)
			}
			kept, _, err := s.ledger.Load().shard.Changes(holdfast.Position{}, Limit{Changes: 100})
			if err != nil || len(kept) != 1 || !strings.Contains(fmt.Sprint(kept[0].After), c.Token) {
				t.Fatalf("after %d transactions: got the changes %v, %v; want that of %s", n+1, kept, err, c.Token)
			}
			if is := s.ledger.Load().shard.Counts(); is.Items != int64(n+1) {
				t.Fatalf("got %d decisions; want %d", is.Items, n+1)
			}
		}
		if n == 22 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			open()
		}
	}
	for _, sh := range shards {
		if changes, _, err := sh.Changes(holdfast.Position{}, Limit{Changes: 100}); err != nil || len(changes) != 40 {
			t.Errorf("shard %d: got %d changes, %v; want 40", sh.id, len(changes), err)
		}
	}
	if _, err := s.Commit(bg, Commit{Token: "token000", Digest: []byte("digest")}); err != ErrCommitted {
		t.Errorf("a token whose change was trimmed: got %v; want ErrCommitted", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkStore(t, o, 1, 2, ledgerShard)
}
