package shard

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// A recordedLog keeps the entries that pass through a log, as a log of several replicas would send
// them.
type recordedLog struct {
	entryLog
	sent map[holdfast.ShardID][]sentEntry
}

type sentEntry struct {
	tx  holdfast.TxID
	raw string
}

func newRecordedLog(s *Store) *recordedLog {
	return &recordedLog{entryLog: s.entries, sent: map[holdfast.ShardID][]sentEntry{}}
}

// propose implements entryLog.
func (l *recordedLog) propose(b *pebble.Batch, entries []*entry) error {
	return errors.Join(l.entryLog.propose(b, entries), l.record(entries))
}

// proposeLazily implements entryLog.
func (l *recordedLog) proposeLazily(b *pebble.Batch, entries []*entry) error {
	return errors.Join(l.entryLog.proposeLazily(b, entries), l.record(entries))
}

func (l *recordedLog) record(entries []*entry) error {
	for _, e := range entries {
		l.sent[e.shard.id] = append(l.sent[e.shard.id], sentEntry{e.tx, string(e.appendTo(nil))})
	}
	return nil
}

// The shards of TestReplicasAreEqual: two with items, one that follows others, a copy of the first,
// and the ledger.
var replicated = []holdfast.ShardID{1, 2, followingShard, copiedShard, loadedShard, ledgerShard}

const (
	followingShard = 78
	copiedShard    = 79
	loadedShard    = 80
)

// A replicatedStore is a store that decides random entries of all kinds.
type replicatedStore struct {
	t      *testing.T
	rng    *rand.Rand
	clock  *clock
	store  *Store
	shards []*Shard // with items
	log    *recordedLog
	follow *followed
	copied [][2][]byte // the items that were copied, which are beside the log
}

func newReplicated(t *testing.T, rng *rand.Rand) *replicatedStore {
	m := &replicatedStore{t: t, rng: rng, clock: newClock(),
		follow: &followed{items: map[string]item.Item{}, sources: map[holdfast.ShardID]Progress{}}}
	o := memOptions(vfs.NewMem())
	o.Now = m.clock.read
	m.store = openStore(t, o)
	m.log = newRecordedLog(m.store)
	m.store.entries = m.log
	m.shards = []*Shard{openShard(t, m.store, 1), openShard(t, m.store, 2)}
	return m
}

func (m *replicatedStore) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// run makes random entries: n commits, about as many steps of following, a copy, and some others.
func (m *replicatedStore) run(n int) {
	for at := range n {
		if at == n/3 {
			m.copy()
			m.load()
		}
		m.step()
	}
}

// step makes a few random entries.
func (m *replicatedStore) step() {
	m.clock.advance(time.Duration(m.rng.IntN(2000)-200) * time.Millisecond)
	if m.rng.IntN(5) == 0 {
		m.changeOtherwise(m.shards[m.rng.IntN(len(m.shards))])
	}
	m.must(openShard(m.t, m.store, followingShard).Follow(m.follow.step(m.t, m.rng)))
	m.commit()
}

// commit commits to the shards with items.
func (m *replicatedStore) commit() {
	var c Commit
	for range 1 + m.rng.IntN(4) {
		sh := m.shards[m.rng.IntN(len(m.shards))]
		it := m.item()
		w := put(m.t, sh, it)
		if m.rng.IntN(4) == 0 {
			w = remove(m.t, sh, it)
		}
		w.Origin = holdfast.Origin(m.rng.IntN(2))
		if !slices.ContainsFunc(c.Writes, func(o Write) bool { return o.Shard == sh && bytes.Equal(o.Key, w.Key) }) {
			c.Writes = append(c.Writes, w)
		}
	}
	_, err := m.store.Commit(bg, c)
	m.must(err)
}

func (m *replicatedStore) item() item.Item {
	return thing(fmt.Sprint("id", m.rng.IntN(6)), m.rng.IntN(3), "g", fmt.Sprint(m.rng.IntN(3)), "v", m.rng.IntN(100),
		[]string{"m", "ttl", "x"}[m.rng.IntN(3)], m.rng.IntN(2_000_000_000))
}

// changeOtherwise makes entries of other kinds: a schema with or without an index and a queue, the
// removal of what it is without, a step of a fill, a trim, what an interrupted transaction has locked,
// which commits resolve that find it, or a checksum.
func (m *replicatedStore) changeOtherwise(sh *Shard) {
	m.t.Helper()
	without := testSchema()
	without.Indexes, without.TTL = without.Indexes[1:], ""
	has := sh.schema.Load().index(1) != nil
	switch m.rng.IntN(6) {
	case 0:
		m.must(sh.SetSchema(without))
	case 1:
		if !has {
			m.must(sh.Clear(1))
			m.must(sh.ClearTTL())
			m.must(sh.SetSchema(testSchema()))
		}
	case 2:
		if has {
			from := []item.Key{nil, keyOf(m.t, thing(fmt.Sprint("id", m.rng.IntN(6)), 0))}[m.rng.IntN(2)]
			_, err := sh.BackfillTTL(bg, from, 1+m.rng.IntN(9))
			m.must(err)
			_, err = sh.Backfill(bg, 1, from, 1+m.rng.IntN(9))
			m.must(err)
		}
	case 3:
		m.store.logAge = time.Duration(m.rng.IntN(60)) * time.Second
		m.must(m.store.Trim(bg))
	case 4:
		m.must(m.store.ledger.Load().ResolveAll(bg))
		m.interrupt()
	case 5:
		m.checksum(sh)
	}
}

// checksum has the replicas of a shard compute a checksum. The shard itself has one replica, and
// computes none.
func (m *replicatedStore) checksum(sh *Shard) {
	m.t.Helper()
	p, err := sh.propose(&checksumBody{checksumXXH3}, m.store.engine.db, true)
	m.must(err)
	m.must(p.wait())
}

// interrupt leaves what a crash leaves of a transaction over all shards with items: locks, and maybe
// the decision.
func (m *replicatedStore) interrupt() {
	m.t.Helper()
	d := decision{used: m.clock.read(), expires: m.clock.read().Unix(), committed: true}
	for i := range d.id {
		d.id[i] = byte(m.rng.IntN(256))
	}
	for _, sh := range m.shards {
		d.shards = append(d.shards, sh.id)
	}
	name := decisionName("", d.id)
	key, err := decisionKey(name)
	m.must(err)
	for n, sh := range m.shards {
		it := m.item().With("v", number(1000+n)) // none is as it was
		d.at = max(d.at, lockFor(m.t, sh, it, d.id, key, d.shards).at)
	}
	if m.rng.IntN(2) == 0 {
		return
	}
	_, err = m.store.Commit(bg, Commit{Writes: []Write{{Shard: m.store.ledger.Load().shard, Key: key,
		Change: func(item.Item) (item.Item, error) { return d.item(name), nil }}}})
	m.must(err)
}

// copy copies the first shard, as it is or as it was lately, and uses the copy from then on.
func (m *replicatedStore) copy() {
	m.t.Helper()
	at := m.clock.read().Add(-5 * time.Second)
	if m.rng.IntN(2) == 0 || time.Unix(0, m.shards[0].history.trim.at).After(at) {
		at = time.Time{}
	}
	_, err := m.store.Copy(bg, m.shards[0], whole(copiedShard), at)
	m.must(err)
	lower, upper := keysOf(copiedShard).items()
	m.copied = keysIn(m.t, m.store, pebble.KeyRange{Start: lower, End: upper})
	m.shards = append(m.shards, openShard(m.t, m.store, copiedShard))
}

// load loads a shard from the first one, after an attempt that has ended in the middle and that
// goes on when it is too late. Then later entries get a time.
func (m *replicatedStore) load() {
	m.t.Helper()
	to := openShard(m.t, m.store, loadedShard)
	attempt := func(begin *entry, id string, whole bool) *loadBody {
		it := thing(id, 1)
		x := loadedItem{key: keyOf(m.t, it), there: true, raw: string(item.Append(nil, it))}
		return &loadBody{attempt: begin.tx.Index, items: 1, bytes: int64(it.Size()), all: []loadedItem{x}, whole: whole}
	}
	propose := func(x body) *entry {
		e, err := proposeLoad(bg, to, func() (body, error) { return x, nil })
		m.must(err)
		return e
	}
	first := propose(&loadBody{begins: true, source: loadSource{id: 1}})
	propose(attempt(first, "left over", false))
	second := propose(&loadBody{begins: true, source: loadSource{id: 2}})
	propose(attempt(first, "too late", false))
	propose(attempt(first, "later still", true))
	propose(attempt(second, "overwritten", m.rng.IntN(2) == 0))
	counts, err := Load(bg, m.shards[0], to, time.Time{})
	m.must(err)
	want := m.shards[0].Counts()
	if counts.Items != want.Items || counts.ItemBytes != want.ItemBytes || !slices.EqualFunc(
		m.items(m.shards[0]), m.items(to), item.Item.Equal) {
		m.t.Errorf("got %+v, %v loaded; want %+v, %v", counts, m.items(to), want, m.items(m.shards[0]))
	}
	for range 2 {
		propose(&timeBody{m.clock.read().Add(time.Duration(m.rng.IntN(2000)) * time.Millisecond).UnixNano()})
	}
}

// items returns the items of a shard.
func (m *replicatedStore) items(sh *Shard) (all []item.Item) {
	m.t.Helper()
	c, err := sh.Cursor(bg, Span{})
	m.must(err)
	for c.Next() {
		it, err := c.Item()
		m.must(err)
		all = append(all, it)
	}
	m.must(errors.Join(c.Err(), c.Close()))
	return all
}

// Replicas that have applied the same entries, of all kinds, are equal byte for byte, and equal to
// the one that decided them: in one batch or in many, with crashes between any two of them, after
// which a replica continues at the entry behind the last that it has on disk.
func TestReplicasAreEqual(t *testing.T) {
	seen := map[entryKind]int{}
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 11))
			leader := newReplicated(t, rng)
			leader.run(120)
			r := &replica{t: t, rng: rng, fs: vfs.NewCrashableMem(), copied: leader.copied}
			r.open()
			for !r.caughtUp(leader.log.sent) {
				for _, id := range replicated {
					r.applySome(id, leader.log.sent[id])
				}
				if rng.IntN(3) == 0 {
					r.crash()
				}
			}
			r.compare(leader)
			for _, id := range replicated {
				for _, e := range leader.log.sent[id] {
					seen[entryKind(e.raw[1])]++
				}
			}
		})
	}
	for name, k := range kindsInSource(t) {
		if seen[k] < 8 {
			t.Errorf("got %d entries of kind %d, %s, in all; want more: each kind must be compared", seen[k], k, name)
		}
	}
}

// kindsInSource returns the constants of type entryKind in this package's files, by name.
func kindsInSource(t *testing.T) map[string]entryKind {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]entryKind{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if of, ok := spec.Type.(*ast.Ident); !ok || of.Name != "entryKind" || len(spec.Values) != 1 {
				return true
			}
			number, err := strconv.Atoi(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			kinds[spec.Names[0].Name] = entryKind(number)
			return true
		})
	}
	if kinds["entryCommit"] != entryCommit || kinds["entryCopy"] != entryCopy {
		t.Fatalf("got the kinds %v; want all of entry.go", kinds)
	}
	return kinds
}

// A replica is a store to which entries are applied.
type replica struct {
	t      *testing.T
	rng    *rand.Rand
	fs     *vfs.MemFS
	store  *Store
	copied [][2][]byte // what copiedShard has before its first entry
}

func (r *replica) open() {
	o := memOptions(r.fs)
	wrong := time.Unix(r.rng.Int64N(4_000_000_000), 0)
	o.Now = func() time.Time { return wrong } // no entry's time is from it
	s, err := Open(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = s.Close() })
	r.store = s
}

// crash loses what isn't on disk, and some of what was never synced.
func (r *replica) crash() {
	r.fs = r.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.rng.IntN(101), RNG: r.rng})
	r.open()
}

// shard opens a shard with the schema that it has on disk. One that is to be a copy gets its
// descriptor and items beside the log, as Store.Copy makes them, and isn't open before its first
// entry.
func (r *replica) shard(id holdfast.ShardID) *Shard {
	r.t.Helper()
	is := newShard(r.store, whole(id))
	if err := is.load(r.store.engine.db); err != nil {
		r.t.Fatal(err)
	}
	schema := schemaOf(id)
	if now := is.schema.Load(); now.version > 0 {
		schema = now.Schema
	} else if id == copiedShard {
		b := r.store.engine.db.NewBatch()
		err := b.Set(is.keys.meta(metaDescriptor), is.is.appendTo(nil), nil)
		for _, kv := range r.copied {
			err = errors.Join(err, b.Set(kv[0], kv[1], nil))
		}
		if err = errors.Join(err, r.store.engine.write(b)); err != nil {
			r.t.Fatal(err)
		}
		return is
	}
	sh, err := r.store.Open(whole(id), schema)
	if err != nil {
		r.t.Fatal(err)
	}
	return sh
}

// caughtUp reports whether all entries were applied.
func (r *replica) caughtUp(sent map[holdfast.ShardID][]sentEntry) bool {
	for id := range sent {
		if int(r.shard(id).Counts().Applied) < len(sent[id]) {
			return false
		}
	}
	return true
}

// applySome applies a few entries behind those of a shard that were applied, in one batch.
func (r *replica) applySome(id holdfast.ShardID, entries []sentEntry) {
	sh := r.shard(id)
	rest := entries[sh.Counts().Applied:]
	rest = rest[:min(len(rest), r.rng.IntN(12))]
	if len(rest) == 0 {
		return
	}
	b := r.store.engine.db.NewIndexedBatch()
	for _, e := range rest {
		if err := sh.Apply(b, e.raw, e.tx); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := sh.Apply(b, rest[0].raw, rest[0].tx); err == nil {
		r.t.Fatal("an entry is applied twice")
	}
	write := r.store.engine.submitNoSync
	if r.rng.IntN(2) == 0 {
		write = r.store.engine.write
	}
	if err := write(b); err != nil {
		r.t.Fatal(err)
	}
}

// applyEach applies entries, each in a batch of its own.
func applyEach(t testing.TB, sh *Shard, entries []sentEntry) {
	t.Helper()
	for _, e := range entries {
		if err := ReplicaOf(sh).ApplyAll([]Committed{{e.tx, e.raw}}); err != nil {
			t.Fatal(err)
		}
	}
}

// compare compares all that is on disk with the leader's, but for records, and what the shards have
// in memory.
func (r *replica) compare(leader *replicatedStore) {
	r.t.Helper()
	everything := pebble.KeyRange{Start: keys{shard: records + 1}.state().Start, End: []byte{0xFF}}
	compareKeys(r.t, keysIn(r.t, leader.store, everything), keysIn(r.t, r.store, everything))
	for _, led := range leader.store.opened() {
		sh := r.shard(led.id)
		if got, want := fmt.Sprintf("%+v", sh.Counts()), fmt.Sprintf("%+v", led.Counts()); got != want {
			r.t.Errorf("shard %d: got the counts %s; want %s", led.id, got, want)
		}
		if got, want := sh.locks.held.Load(), led.locks.held.Load(); got != want {
			r.t.Errorf("shard %d: got locks of %d transactions; want %d", led.id, got, want)
		}
		if got, want := fmt.Sprint(sh.follows), fmt.Sprint(led.follows); got != want {
			r.t.Errorf("shard %d: got the places followed %s; want %s", led.id, got, want)
		}
	}
	if err := r.store.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// compareShards compares what two stores have on disk of a shard.
func compareShards(t *testing.T, leader, follower *Store, id holdfast.ShardID) {
	t.Helper()
	compareKeys(t, keysAndValues(t, leader, id), keysAndValues(t, follower, id))
}

func compareKeys(t *testing.T, want, got [][2][]byte) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			t.Fatalf("got nothing; want %x → %x", want[i][0], want[i][1])
		case i >= len(want):
			t.Fatalf("got %x → %x; want nothing", got[i][0], got[i][1])
		case !bytes.Equal(got[i][0], want[i][0]) || !bytes.Equal(got[i][1], want[i][1]):
			t.Fatalf("got %x → %x; want %x → %x", got[i][0], got[i][1], want[i][0], want[i][1])
		}
	}
}

// keysAndValues returns all that a store has of a shard, in order.
func keysAndValues(t *testing.T, s *Store, id holdfast.ShardID) (all [][2][]byte) {
	t.Helper()
	for _, r := range keysOf(id).all() {
		all = append(all, keysIn(t, s, r)...)
	}
	return all
}

// keysIn returns all that a store has in a range, in order.
func keysIn(t *testing.T, s *Store, r pebble.KeyRange) (all [][2][]byte) {
	t.Helper()
	it, err := s.engine.db.NewIter(&pebble.IterOptions{LowerBound: r.Start, UpperBound: r.End})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		all = append(all, [2][]byte{bytes.Clone(it.Key()), bytes.Clone(it.Value())})
	}
	if err := it.Error(); err != nil {
		t.Fatal(err)
	}
	return all
}
