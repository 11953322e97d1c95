package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// A pairLog is another log than singleLog, as that of a group of replicas would be: an entry is
// durable once a follower has applied it and has it on disk, whatever the leader's disk has, which
// is never synced. Places have gaps, and terms rise. What was sent reaches the follower in the order
// of each shard, and in no order of shards but the one that the log promises.
type pairLog struct {
	t      *testing.T
	engine *engine // the leader's
	now    func() time.Time
	refuse func() error  // asked before each proposal; nil: none is refused
	delay  time.Duration // of what comes behind a proposal, since the follower is some way off

	mu       sync.Mutex // guards what follows; taken after sequencer.mu
	rng      *rand.Rand
	term     uint64
	fs       *vfs.MemFS // the follower's
	follower *Store
	sent     map[holdfast.ShardID][]sentEntry // that the follower hasn't applied
	waits    map[*pebble.Batch][]holdfast.TxID

	left      int // proposals until the leader is lost; 0: it isn't
	decisions []holdfast.TxID
	image     *vfs.MemFS
	effective bool // one of the decisions is in the image
}

// newPairLog has a store use such a log. The follower begins with a copy of the disk.
func newPairLog(t *testing.T, s *Store, fs *vfs.MemFS, rng *rand.Rand) *pairLog {
	t.Helper()
	if err := s.engine.sync(); err != nil {
		t.Fatal(err)
	}
	l := &pairLog{t: t, engine: s.engine, now: s.now, rng: rng, term: formerTerm + 1,
		fs:   fs.CrashClone(vfs.CrashCloneCfg{}),
		sent: map[holdfast.ShardID][]sentEntry{}, waits: map[*pebble.Batch][]holdfast.TxID{}}
	o := memOptions(l.fs)
	o.Now = func() time.Time { return time.Unix(0, 0) } // no entry's time is from it
	l.follower = openStore(t, o)
	s.entries = l
	return l
}

// propose implements entryLog.
func (l *pairLog) propose(b *pebble.Batch, entries []*entry) error {
	if l.refuse != nil {
		if err := l.refuse(); err != nil {
			return err
		}
	}
	err := errors.Join(l.send(b, entries, false), l.count(entries))
	time.Sleep(l.delay)
	return err
}

// proposeLazily implements entryLog.
func (l *pairLog) proposeLazily(b *pebble.Batch, entries []*entry) error {
	if l.refuse != nil {
		if err := l.refuse(); err != nil {
			return err
		}
	}
	err := errors.Join(l.send(b, entries, true), l.count(entries))
	time.Sleep(l.delay)
	return err
}

func (l *pairLog) send(b *pebble.Batch, entries []*entry, lazily bool) error {
	lockAll(entries)
	defer unlockAll(entries)
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.now().UnixNano()
	for _, e := range entries {
		at = max(at, e.shard.tally.at, e.shard.floor)
		l.term = max(l.term, e.shard.terms.newest())
	}
	l.term += uint64(l.rng.IntN(20) / 19)
	var txs []holdfast.TxID
	for _, e := range entries {
		e.at = at
		e.tx = holdfast.TxID{Shard: e.shard.id, Term: l.term, Index: e.shard.tally.applied + 1 + l.rng.Uint64N(3)}
		if lazily {
			e.shard.sequencer.lazy.Store(e.tx.Index)
		}
		if err := e.apply(b); err != nil {
			return err
		}
		l.sent[e.shard.id] = append(l.sent[e.shard.id], sentEntry{e.tx, string(e.appendTo(nil))})
		txs = append(txs, e.tx)
	}
	if !lazily {
		l.waits[b] = txs
	}
	if err := l.engine.submitNoSync(b); err != nil {
		return err
	}
	seen(entries)
	return nil
}

// wait implements entryLog.
func (l *pairLog) wait(b *pebble.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	txs := l.waits[b]
	delete(l.waits, b)
	return l.reach(txs)
}

// order implements entryLog.
func (l *pairLog) order(entries []*entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var txs []holdfast.TxID
	for _, e := range entries {
		txs = append(txs, e.tx)
	}
	return l.reach(txs)
}

// flush implements entryLog.
func (l *pairLog) flush(sh *Shard) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deliver(sh.id, len(l.sent[sh.id]))
}

// reach returns when the follower has these entries. It may have more by then.
func (l *pairLog) reach(txs []holdfast.TxID) error {
	for _, tx := range txs {
		n := 0
		for n < len(l.sent[tx.Shard]) && l.sent[tx.Shard][n].tx.Index <= tx.Index {
			n++
		}
		if err := l.deliver(tx.Shard, n+l.rng.IntN(len(l.sent[tx.Shard])-n+1)); err != nil {
			return err
		}
	}
	return nil
}

// deliver has the follower apply the next n entries of a shard, in one batch or in several.
func (l *pairLog) deliver(id holdfast.ShardID, n int) error {
	for n > 0 {
		some := 1 + l.rng.IntN(n)
		b := l.follower.engine.db.NewIndexedBatch()
		sh := openShard(l.t, l.follower, id)
		for _, e := range l.sent[id][:some] {
			if err := sh.Apply(b, e.raw, e.tx); err != nil {
				return err
			}
		}
		if err := l.follower.engine.write(b); err != nil {
			return err
		}
		l.sent[id] = l.sent[id][some:]
		n -= some
	}
	return nil
}

// lose returns the follower's disk at a moment when the leader is lost. Some of what it was sent,
// and nobody waited for, has reached it.
func (l *pairLog) lose() (*vfs.MemFS, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range []holdfast.ShardID{ledgerShard, 1, 2, 3} {
		if err := l.deliver(id, l.rng.IntN(len(l.sent[id])+1)); err != nil {
			return nil, err
		}
	}
	return l.fs.CrashClone(vfs.CrashCloneCfg{}), nil
}

// has reports whether the follower has an entry.
func (l *pairLog) has(tx holdfast.TxID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.ContainsFunc(l.sent[tx.Shard], func(e sentEntry) bool { return e.tx == tx })
}

// arm implements crashLog.
func (l *pairLog) arm(left int) { l.left, l.image, l.decisions = left, nil, nil }

// count is called behind each proposal.
func (l *pairLog) count(entries []*entry) (err error) {
	if l.left == 0 {
		return nil
	}
	if entries[0].kind() == entryCommit {
		l.decisions = append(l.decisions, entries[0].tx)
	}
	if l.left--; l.left > 0 {
		return nil
	}
	if l.image, err = l.lose(); err == nil {
		l.effective = slices.ContainsFunc(l.decisions, l.has)
	}
	return err
}

// taken implements crashLog.
func (l *pairLog) taken() (image *vfs.MemFS, decided bool) { return l.image, l.effective }

// finish implements crashLog. The store goes on with the log that it had: the items of copies, which
// are made then, are in no log.
func (l *pairLog) finish(s *Store) {
	l.compare(s)
	s.entries = &singleLog{engine: s.engine, now: s.now}
}

// compare has the follower catch up, and compares all shards with the leader's.
func (l *pairLog) compare(leader *Store) {
	l.t.Helper()
	for _, sh := range leader.opened() {
		if err := l.flush(sh); err != nil {
			l.t.Fatal(err)
		}
		compareShards(l.t, leader, l.follower, sh.id)
	}
}

// Commits, transactions among them, hold over a log of another kind as they do over singleLog: what
// was acknowledged is at the follower whenever the leader is lost, a transaction is there as a whole
// or not at all, and the follower is equal to the leader when it has caught up.
func TestTransactionsOverAnotherLog(t *testing.T) {
	seeds := uint64(8)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := newCrashModel(t, seed)
			m.newLog = func() crashLog {
				if l, ok := m.log.(*pairLog); ok {
					m.must(l.follower.Close())
				}
				return newPairLog(t, m.store, m.fs, m.rng)
			}
			m.run()
		})
	}
}

// A log may refuse an entry, as one does whose replica doesn't lead. A commit of which it has refused
// what comes before the decision changes nothing and says so; behind that, its outcome is not known,
// and it is done. What a transaction has locked until then is no hindrance for anybody.
func TestLogRefuses(t *testing.T) {
	for seed := range uint64(4) {
		m := newCrashModel(t, seed)
		var l *pairLog
		m.newLog = func() crashLog {
			l = newPairLog(t, m.store, m.fs, m.rng)
			return l
		}
		m.open()
		refused, unknown := 0, 0
		for n := range 100 {
			left, kind := m.rng.IntN(9), []holdfast.Kind{holdfast.NotLeader, holdfast.Refused}[m.rng.IntN(2)]
			l.refuse = func() error {
				if left--; left >= 0 {
					return nil
				}
				return holdfast.Errorf(kind, "the log refuses")
			}
			token := []string{"", fmt.Sprint("token", n)}[m.rng.IntN(2)]
			c, changed := m.commit(token)
			_, err := m.store.Commit(bg, c)
			l.refuse = nil
			switch {
			case errors.Is(err, kind):
				refused++
			case errors.Is(err, holdfast.Unavailable):
				unknown++
				fallthrough
			case err == nil:
				m.take(time.Time{}, changed)
			default:
				t.Fatalf("seed %d: got %v", seed, err)
			}
			if m.compareReads(); token != "" {
				c, changed := m.commit(token)
				if _, again := m.store.Commit(bg, c); (again == ErrCommitted) == errors.Is(err, kind) {
					t.Fatalf("seed %d: got %v, and again %v", seed, err, again)
				} else if again == nil {
					m.take(time.Time{}, changed)
				}
			}
		}
		m.compare()
		l.compare(m.store)
		if refused == 0 || unknown == 0 {
			t.Errorf("seed %d: got %d commits refused and %d of an unknown outcome; want some", seed, refused, unknown)
		}
	}
}

// While commits are under way over such a log, no reader at the leader gets what the follower
// doesn't have: what was read isn't lost with the leader.
func TestReadsWaitForTheLog(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openStore(t, memOptions(fs))
	var gets []Get
	for id := holdfast.ShardID(1); id <= 3; id++ {
		gets = append(gets, Get{openShard(t, s, id), keyOf(t, thing("a", 1))})
	}
	l := newPairLog(t, s, fs, rand.New(rand.NewPCG(1, 51)))
	l.delay = 100 * time.Microsecond
	read := func(rng *rand.Rand) {
		g := gets[rng.IntN(3)]
		it, err := g.Shard.Get(bg, g.Key)
		switch rng.IntN(3) {
		case 0:
			var items []item.Item
			items, err = s.GetAll(bg, []Get{g})
			it = items[0]
		case 1:
			if items := all(t, g.Shard, Span{}); len(items) > 0 {
				it = items[0]
			}
		}
		if has := l.version(g); err != nil || versionOf(it) > has {
			t.Errorf("read version %d, %v; want at most what the follower has, %d", versionOf(it), err, has)
		}
	}
	one, two := rand.New(rand.NewPCG(0, 52)), rand.New(rand.NewPCG(1, 52))
	whileReading(func() {
		var writers sync.WaitGroup
		for range 2 {
			writers.Go(func() {
				for n := range 200 {
					writes := []Write{increment(gets[n%3]), increment(gets[(n+1)%3])}
					if _, err := s.Commit(bg, Commit{Writes: writes[:1+n%2]}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
	}, func() { read(one) }, func() { read(two) })
	l.compare(s)
}

// version returns the version of an item at the follower, as the transactions that are decided there
// have left it.
func (l *pairLog) version(g Get) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	it, _, err := l.follower.ledger.Load().current(l.follower.engine.db, openShard(l.t, l.follower, g.Shard.id), g.Key)
	if err != nil {
		l.t.Error(err)
	}
	return versionOf(it)
}
