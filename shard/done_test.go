package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast"
	"holdfast/item"
)

// A done is a store on a disk that loses all that wasn't synced, and whose syncs take so long that a
// caller that doesn't wait for one returns before it.
type done struct {
	t   *testing.T
	fs  *vfs.MemFS
	o   Options
	s   *Store
	sh  *Shard
	two *Shard
}

// slowlySynced returns a disk whose syncs let others run first.
func slowlySynced(fs vfs.FS) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo {
			for range 200 {
				runtime.Gosched()
			}
		}
		return nil
	}))
}

// does does something that is on disk when it returns, and compares what can be seen then with what
// a loss of power leaves.
func (d *done) does(what string, f func() error) {
	d.t.Helper()
	if err := f(); err != nil {
		d.t.Fatalf("%s: %v", what, err)
	}
	o := memOptions(d.fs.CrashClone(vfs.CrashCloneCfg{}))
	left, err := Open(o)
	if err != nil {
		d.t.Errorf("%s: a start after a loss of power: %v", what, err)
		return
	}
	defer left.Close()
	all := pebble.KeyRange{Start: []byte{0}, End: []byte{0xFF}}
	want, got := keysIn(d.t, d.s, all), keysIn(d.t, left, all)
	if fmt.Sprintf("%x", want) != fmt.Sprintf("%x", got) {
		d.t.Errorf("%s: got other keys or values after a loss of power, %d; want the %d that were there",
			what, len(got), len(want))
	}
}

// What returns when it is on disk has it there: a loss of power right then takes nothing of it back.
func TestWhatIsDoneIsOnDisk(t *testing.T) {
	d := &done{t: t, fs: vfs.NewCrashableMem()}
	d.o = memOptions(slowlySynced(d.fs))
	d.o.LogAge = time.Nanosecond
	d.does("open the store", func() (err error) {
		d.s, err = Open(d.o)
		return err
	})
	t.Cleanup(func() { _ = d.s.Close() })
	for i, sh := range []**Shard{&d.sh, &d.two} {
		d.does("open a shard", func() (err error) {
			*sh, err = d.s.Open(whole(holdfast.ShardID(i+1)), testSchema())
			return err
		})
	}
	d.does("open the ledger", func() error {
		sh, err := d.s.Open(whole(ledgerShard), LedgerSchema())
		d.s.UseLedger(sh)
		return err
	})
	d.commits()
	d.others()
	d.reads()
	d.does("copy a shard", func() error {
		_, err := d.s.Copy(bg, d.sh, whole(3), time.Time{})
		return err
	})
	d.does("drop a shard", func() error { return d.s.Drop(whole(2)) })
	d.does("reclaim", func() error {
		_, err := d.s.Reclaim(bg)
		return err
	})
}

// So it is with each shard of format 1 that is opened, in batches or in sorted tables.
func TestWhatIsTakenOverIsOnDisk(t *testing.T) {
	for _, options := range []func(vfs.FS) Options{memOptions, smallTables} {
		fs := vfs.NewCrashableMem()
		formerStore(t, fs, 1, 40)
		all := vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}
		d := &done{t: t, fs: fs.CrashClone(all)}
		d.o = options(slowlySynced(d.fs))
		d.does("open the store", func() (err error) {
			d.s, err = Open(d.o)
			return err
		})
		t.Cleanup(func() { _ = d.s.Close() })
		for _, of := range formerDescriptors() {
			d.does("take a shard over", func() error { return second(d.s.Open(of, testSchema())) })
		}
	}
}

// commits does commits of all forms, and saves records.
func (d *done) commits() {
	d.t.Helper()
	commit := func(c Commit) func() error {
		return func() error {
			_, err := d.s.Commit(bg, c)
			return err
		}
	}
	a := thing("a", 1, "g", "x", "ttl", 5)
	d.does("a commit", commit(Commit{Writes: []Write{put(d.t, d.sh, a)}}))
	d.does("a commit over two shards",
		commit(Commit{Writes: []Write{put(d.t, d.sh, a.With("v", number(1))), put(d.t, d.two, a)}}))
	d.does("a commit with a token", commit(Commit{Token: "t", Writes: []Write{remove(d.t, d.sh, a)}}))
	d.does("a commit with a token that changes nothing",
		commit(Commit{Token: "u", Writes: []Write{remove(d.t, d.sh, a)}}))
	for n := range 5 {
		d.does("a commit", commit(Commit{Writes: []Write{put(d.t, d.sh, thing("b", n, "g", "x", "ttl", 5))}}))
	}
	record := func(value []byte) func() error {
		return func() error { return d.s.SaveRecords(bg, []Record{{Name: "r", Value: value}}, false) }
	}
	d.does("save a record", record([]byte("v")))
	d.does("remove a record", record(nil))
	d.does("remember tokens", func() error {
		return d.s.ledger.Load().Remember(bg, []UsedToken{{Token: "v", Digest: []byte("d"), At: time.Now()}})
	})
	d.does("remove decisions", func() error {
		_, err := d.s.ledger.Load().Expire(bg, time.Now().Add(time.Hour), 10, 10)
		return err
	})
	for name, committed := range map[string]bool{"t1": true, "t2": false} {
		key := d.interrupt(name, committed)
		d.does("resolve a transaction", func() error { return d.s.ledger.Load().ResolveAll(bg) })
		if _, there, err := d.sh.locks.read(d.s.engine.db, key); there || err != nil {
			d.t.Errorf("got the lock %t, %v; want it resolved", there, err)
		}
	}
}

// interrupt leaves a transaction that has locked an item.
func (d *done) interrupt(name string, committed bool) item.Key {
	d.t.Helper()
	key, err := decisionKey(name)
	if err != nil {
		d.t.Fatal(err)
	}
	is := decision{id: txnID{name[1]}, committed: committed, at: 1, shards: []holdfast.ShardID{1}}
	it := thing("locked", 1, "g", name)
	d.does("prepare", func() error {
		lockFor(d.t, d.sh, it, is.id, key, is.shards)
		return nil
	})
	if committed {
		commitAll(d.t, d.s, Write{Shard: d.s.ledger.Load().shard, Key: key,
			Change: func(item.Item) (item.Item, error) { return is.item(name), nil }})
	}
	return keyOf(d.t, it)
}

// others changes a shard otherwise than by commits.
func (d *done) others() {
	d.t.Helper()
	without := testSchema()
	without.Indexes, without.TTL = without.Indexes[1:], ""
	d.does("change the schema", func() error { return d.sh.SetSchema(without) })
	d.does("clear an index", func() error { return d.sh.Clear(1) })
	d.does("clear the queue", d.sh.ClearTTL)
	d.does("change the schema back", func() error { return d.sh.SetSchema(testSchema()) })
	for from := item.Key(nil); ; {
		var next item.Key
		d.does("fill an index", func() (err error) {
			next, err = d.sh.Backfill(bg, 1, from, 2)
			return err
		})
		d.does("fill the queue", func() (err error) {
			_, err = d.sh.BackfillTTL(bg, from, 2)
			return err
		})
		if from = next; next == nil {
			break
		}
	}
	d.does("wait for an entry that nothing syncs", func() error {
		err := d.lazily(d.sh, gapBody{})
		return errors.Join(err, d.sh.sequencer.waitDurable(bg, d.sh.Counts().Applied))
	})
	d.does("trim", func() error { return d.s.Trim(bg) })
}

// lazily proposes an entry that nobody waits for.
func (d *done) lazily(sh *Shard, x body) error {
	e := &entry{shard: sh, schema: sh.schema.Load(), body: x}
	b := d.s.engine.db.NewBatch()
	return errors.Join(e.stage(b, d.s.engine.db), d.s.entries.proposeLazily(b, []*entry{e}))
}

// reads reads, in each way, what nothing has synced yet.
func (d *done) reads() {
	d.t.Helper()
	for n, read := range []struct {
		what string
		do   func(item.Key) error
	}{
		{"an item", func(k item.Key) error { return second(d.sh.Get(bg, k)) }},
		{"several items", func(k item.Key) error { return second(d.s.GetAll(bg, []Get{{d.sh, k}, {d.two, k}})) }},
		{"a range", func(item.Key) error { return second(all(d.t, d.sh, Span{}), nil) }},
		{"an index", func(item.Key) error { return second(all(d.t, d.sh, Span{Index: 1}), nil) }},
		{"expired items", func(item.Key) error { return second(d.sh.Expired(time.Now(), 10, 100)) }},
		{"items for a follower", func(item.Key) error {
			f := NewFollower(d.sh, 0)
			defer f.Close()
			return second(f.Items(bg, nil, 100, 1<<20))
		}},
		{"an item that a commit leaves", func(k item.Key) error {
			return second(d.s.Commit(bg, Commit{Writes: []Write{{Shard: d.sh, Key: k,
				Change: func(before item.Item) (item.Item, error) { return before, nil }}}}))
		}},
	} {
		it := thing("read", n, "g", "x", "ttl", 5)
		f := effectOf(d.t, it)
		d.does("read "+read.what, func() error {
			return errors.Join(d.lazily(d.sh, &lateBody{at: 1, effects: []effect{f}}), read.do(f.key))
		})
	}
	d.readsDecided()
	d.readsBesideLocks()
}

// readsDecided reads what a transaction has locked whose decision nothing has synced yet.
func (d *done) readsDecided() {
	d.t.Helper()
	it := thing("decided", 1, "g", "x")
	at := effectOf(d.t, it)
	for n, read := range []func() (item.Item, error){
		func() (item.Item, error) { return d.sh.Get(bg, at.key) },
		func() (item.Item, error) {
			got, err := d.s.GetAll(bg, []Get{{d.sh, at.key}})
			return got[0], err
		},
	} {
		is := decision{id: txnID{9, byte(n)}, committed: true, at: 1, shards: []holdfast.ShardID{1}}
		name := decisionName("", is.id)
		key, err := decisionKey(name)
		if err != nil {
			d.t.Fatal(err)
		}
		decided := &lateBody{at: 1, effects: []effect{ledgerEffect(key, image{}, is.item(name), holdfast.ByClient)}}
		d.does("read what is decided", func() error {
			locking := &prepare{id: is.id, decision: key, shards: is.shards, effects: []effect{at}}
			err := errors.Join(d.lazily(d.sh, locking), d.lazily(d.s.ledger.Load().shard, decided))
			if err != nil {
				return err
			}
			got, err := read()
			if !got.Equal(it) {
				d.t.Errorf("got %v; want %v", got, it)
			}
			return err
		})
		d.does("resolve it", func() error { return d.s.ledger.Load().ResolveAll(bg) })
		commitAll(d.t, d.s, remove(d.t, d.sh, it))
	}
}

// readsBesideLocks reads an item that nothing has synced yet, in a shard where a transaction has locked
// another, which is read as it was.
func (d *done) readsBesideLocks() {
	d.t.Helper()
	locked, it := thing("locked", 2), thing("beside", 1, "g", "x")
	lock, beside := effectOf(d.t, locked), effectOf(d.t, it)
	name := decisionName("", txnID{8})
	key, err := decisionKey(name)
	if err != nil {
		d.t.Fatal(err)
	}
	x := &prepare{id: txnID{8}, decision: key, shards: []holdfast.ShardID{1}, effects: []effect{lock}}
	d.does("read beside a lock", func() error {
		err := errors.Join(d.lazily(d.sh, x), d.lazily(d.sh, &lateBody{at: 1, effects: []effect{beside}}))
		return errors.Join(err, second(d.sh.Get(bg, beside.key)))
	})
	d.does("abort it", func() error { return d.s.ledger.Load().ResolveAll(bg) })
}

// second returns the error of a read.
func second[T any](_ T, err error) error { return err }
