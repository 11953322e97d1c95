package shard

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// A defective is a store with one shard whose keys a test damages, past all that keeps them in
// agreement.
type defective struct {
	t  *testing.T
	s  *Store
	sh *Shard
	b  *pebble.Batch
}

// The items of a defective. Changed was put twice, gone was removed, kept put once.
var (
	checkedChanged = thing("changed", 1, "g", "x", "v", 2, "ttl", 1_700_000_002)
	checkedKept    = thing("kept", 1, "g", "x", "v", 1, "ttl", 1_700_000_001)
	checkedGone    = thing("gone", 1, "g", "y", "v", 1)
)

func newDefective(t *testing.T, fs vfs.FS) *defective {
	s := openStore(t, memOptions(fs))
	d := &defective{t: t, s: s, sh: openShard(t, s, 1)}
	commitAll(t, s, put(t, d.sh, checkedChanged.With("v", number(1))), put(t, d.sh, checkedGone)) // 1.0 and 1.1
	commitAll(t, s, put(t, d.sh, checkedChanged))                                                 // 2.0
	commitAll(t, s, put(t, d.sh, checkedKept), remove(t, d.sh, checkedGone))                      // 3.0 and 3.1
	d.b = s.engine.db.NewBatch()
	return d
}

// set writes a key, which a nil value removes.
func (d *defective) set(key, value []byte) {
	var err error
	if value == nil {
		err = d.b.Delete(key, nil)
	} else {
		err = d.b.Set(key, value, nil)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *defective) item(it item.Item) []byte { return keysOf(1).appendItem(nil, keyOf(d.t, it)) }

// entry returns the key of an item's entry in the index "some", which projects v.
func (d *defective) entry(it item.Item) []byte {
	key, _, ok := testSchema().Indexes[2].Entry(testSchema().Key, it)
	if !ok {
		d.t.Fatalf("%v has no entry", it)
	}
	return keysOf(1).appendEntry(nil, &item.Index{ID: 3}, key)
}

func (d *defective) expiry(second uint64, it item.Item) []byte {
	return keysOf(1).appendExpiry(nil, second, keyOf(d.t, it))
}

// change replaces a change of the log by what f makes of it.
func (d *defective) change(p holdfast.Position, f func(c *change)) {
	key := keysOf(1).appendChange(nil, p)
	raw, ok, err := d.s.engine.read(d.s.engine.db, key)
	if err != nil || !ok {
		d.t.Fatalf("no change at %v: %v", p, err)
	}
	c, err := decodeChange(raw)
	if err != nil {
		d.t.Fatal(err)
	}
	f(&c)
	d.set(key, c.appendTo(nil))
}

// counts replaces the tally by what f makes of it.
func (d *defective) counts(f func(t *tally)) {
	next := d.sh.tally
	next.indexes = append([]indexTally{}, next.indexes...)
	f(&next)
	d.set(keysOf(1).meta(metaCounts), next.appendTo(nil))
}

// A transaction that a test has interrupted.
var checkedTransaction = txnID{1}

func (d *defective) decisionKey() (name string, key item.Key) {
	name = decisionName("", checkedTransaction)
	key, err := decisionKey(name)
	if err != nil {
		d.t.Fatal(err)
	}
	return name, key
}

// lock locks an item, which is to become another.
func (d *defective) lock(it, after item.Item) {
	_, key := d.decisionKey()
	l := lock{id: checkedTransaction, decision: key, shards: []holdfast.ShardID{1},
		effect: effect{after: after, encoded: item.Append(nil, after)}}
	d.set(keysOf(1).appendLock(nil, keyOf(d.t, it)), l.appendTo(nil))
}

// decide commits the transaction at a time.
func (d *defective) decide(at int64) {
	name, key := d.decisionKey()
	is := decision{id: checkedTransaction, committed: true, at: at, shards: []holdfast.ShardID{1}}
	_, err := d.s.Commit(bg, Commit{Writes: []Write{{Shard: d.s.ledger.Load().shard, Key: key,
		Change: func(item.Item) (item.Item, error) { return is.item(name), nil }}}})
	if err != nil {
		d.t.Fatal(err)
	}
}

// Check reports each kind of defect, by its kind and in words, and nothing in a store without one.
// All tests that end with a check rely on that.
func TestCheckFindsEachDefect(t *testing.T) {
	for _, c := range []struct {
		name       string
		damage     func(d *defective)
		kind, text string // of one of the faults; "" is none at all
	}{
		{"nothing", func(*defective) {}, "", ""},
		{"an entry is missing", func(d *defective) { d.set(d.entry(checkedKept), nil) }, "entry", "has no entry in index 3"},
		{"an entry has another item's content",
			func(d *defective) {
				d.set(d.entry(checkedKept), item.Append(nil, checkedChanged.Only("id", "n", "g", "v")))
			},
			"entry", "its entry in index 3 isn't what it says"},
		{"an entry can't be decoded", func(d *defective) { d.set(d.entry(checkedKept), []byte("x")) }, "entry",
			"its entry in index 3 isn't what it says"},
		{"an entry is left of an item that is gone",
			func(d *defective) {
				d.set(d.entry(checkedGone), item.Append(nil, checkedGone.Only("id", "n", "g", "v")))
			},
			"entry", "there is no such item"},
		{"an entry is left of what an item was",
			func(d *defective) {
				was := checkedChanged.With("g", item.Text("before"))
				d.set(d.entry(was), item.Append(nil, was.Only("id", "n", "g", "v")))
			}, "entry", "there is no such item"},
		{"a stray entry can't be decoded", func(d *defective) { d.set(append(d.entry(checkedKept), 1), []byte("x")) },
			"entry", "index 3"},
		{"a stray entry has no key of the table",
			func(d *defective) { d.set(append(d.entry(checkedKept), 1), item.Append(nil, checkedKept.Only("v"))) },
			"entry", "Missing the key id"},
		{"an item isn't in the queue of expiring items",
			func(d *defective) { d.set(d.expiry(1_700_000_001, checkedKept), nil) }, "expiry", "isn't in the queue"},
		{"the queue has another second",
			func(d *defective) { d.set(d.expiry(1_700_000_009, checkedKept), []byte{}) }, "expiry", "there is no such item"},
		{"the queue has an item that is gone",
			func(d *defective) { d.set(d.expiry(1_700_000_001, checkedGone), []byte{}) }, "expiry", "there is no such item"},
		{"the queue has a key that is too short",
			func(d *defective) { d.set(append(keysOf(1).ofSpace(nil, kindExpiry), 1), []byte{}) }, "expiry", "is too short"},
		{"an item is missing", func(d *defective) { d.set(d.item(checkedKept), nil) }, "entry", "there is no such item"},
		{"an item that its last change made is missing", func(d *defective) { d.set(d.item(checkedKept), nil) }, "log",
			"3.0: its after-image"},
		{"an item can't be decoded", func(d *defective) { d.set(d.item(checkedKept), []byte("\x03\x00x")) }, "item",
			"aren't an item"},
		{"an item is at another's key",
			func(d *defective) { d.set(d.item(checkedGone), append([]byte{3, 0}, item.Append(nil, checkedKept)...)) }, "item",
			"stands where"},
		{"an item names a change that made another",
			func(d *defective) { d.set(d.item(checkedKept), append([]byte{2, 0}, item.Append(nil, checkedKept)...)) }, "log",
			"was made by 2.0, which isn't its change"},
		{"an item names a change that isn't its last",
			func(d *defective) {
				d.set(d.item(checkedChanged), append([]byte{1, 0}, item.Append(nil, checkedChanged)...))
			},
			"log", "was made by 1.0, which is linked to a later change"},
		{"a removed item is there again",
			func(d *defective) { d.set(d.item(checkedGone), append([]byte{1, 1}, item.Append(nil, checkedGone)...)) }, "log",
			"3.1: removed an item that is there"},
		{"a change is missing",
			func(d *defective) { d.set(keysOf(1).appendChange(nil, holdfast.Position{Index: 2}), nil) }, "count",
			"bytes of log are counted"},
		{"the first change is missing",
			func(d *defective) { d.set(keysOf(1).appendChange(nil, holdfast.Position{Index: 1}), nil) }, "log",
			"1.1 follows where 1.0 should"},
		{"an entry of the group's log is missing", func(d *defective) {
			for _, index := range []uint64{5, 6, 8} {
				d.set(groupEntry(keysOf(1), index), []byte{})
			}
		}, "group", "entry 8 follows where 7 should"},
		{"a change can't be decoded",
			func(d *defective) { d.set(keysOf(1).appendChange(nil, holdfast.Position{Index: 2}), []byte("x")) }, "log", ""},
		{"a link is missing",
			func(d *defective) { d.set(keysOf(1).appendLink(nil, holdfast.Position{Index: 1}), nil) }, "log",
			"1.0: its after-image"},
		{"a link leads to another item's change",
			func(d *defective) { d.set(keysOf(1).appendLink(nil, holdfast.Position{Index: 1}), []byte{3, 1}) }, "log",
			"1.0: its after-image"},
		{"time falls", func(d *defective) {
			d.change(holdfast.Position{Index: 2}, func(c *change) {
				then, err := decodeTally(c.tally)
				if err != nil {
					t.Fatal(err)
				}
				then.at = 5
				c.tally = string(then.appendTo(nil))
			})
		}, "log", "2.0: time falls"},
		{"an image has another size than is counted",
			func(d *defective) { d.change(holdfast.Position{Index: 2}, func(c *change) { c.beforeSize++ }) }, "log",
			"2.0: its images have"},
		{"a change has another item's key",
			func(d *defective) {
				d.change(holdfast.Position{Index: 2}, func(c *change) { c.key = string(keyOf(d.t, thing("other", 1))) })
			}, "log", "2.0"},
		{"a change's tally can't be decoded",
			func(d *defective) { d.change(holdfast.Position{Index: 2}, func(c *change) { c.tally = "x" }) }, "log", "2.0"},
		{"a change counts other bytes of log",
			func(d *defective) {
				d.change(holdfast.Position{Index: 2}, func(c *change) { c.tally = c.tally[:8] + "\xff" + c.tally[9:] })
			}, "count", "bytes of log are counted"},
		{"an item is locked as it is", func(d *defective) { d.lock(checkedKept, checkedKept) }, "lock",
			"which has changed it already"},
		{"an item that is gone is locked to be removed", func(d *defective) { d.lock(checkedGone, nil) }, "lock",
			"which has changed it already"},
		{"an item is locked by a transaction that is interrupted",
			func(d *defective) { d.lock(checkedKept, checkedChanged) }, "", ""},
		{"an item has changed since what locks it was committed", func(d *defective) {
			d.lock(checkedKept, checkedChanged)
			d.decide(0)
		}, "lock", "was changed after that was committed"},
		{"a committed transaction is interrupted", func(d *defective) {
			d.lock(checkedKept, checkedChanged)
			d.decide(math.MaxInt64)
		}, "", ""},
		{"more items are counted", func(d *defective) { d.counts(func(t *tally) { t.items++ }) }, "count",
			"3 items of"},
		{"fewer bytes are counted", func(d *defective) { d.counts(func(t *tally) { t.bytes-- }) }, "count",
			"are counted"},
		{"more entries are counted", func(d *defective) { d.counts(func(t *tally) { t.index(3).items++ }) }, "count",
			"index 3: 3 entries of"},
		{"fewer bytes of entries are counted", func(d *defective) { d.counts(func(t *tally) { t.index(1).bytes-- }) },
			"count", "index 1: 2 entries of"},
		{"the tally is of an earlier transaction, and the log's end is missing",
			func(d *defective) {
				d.set(keysOf(1).appendChange(nil, holdfast.Position{Index: 3}), nil)
				d.set(keysOf(1).appendChange(nil, holdfast.Position{Index: 3, N: 1}), nil)
			}, "count", "items of"},
		{"the tally can't be decoded", func(d *defective) { d.set(keysOf(1).meta(metaCounts), []byte("x")) }, "log", ""},
		{"the trimming can't be decoded", func(d *defective) { d.set(keysOf(1).meta(metaTrim), []byte("x")) }, "log", ""},
		{
			"the schema can't be decoded",
			func(d *defective) { d.set(keysOf(1).meta(metaSchema), []byte("x")) }, "log", "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			d := newDefective(t, fs)
			c.damage(d)
			if !d.b.Empty() {
				if err := d.s.engine.db.Apply(d.b, pebble.Sync); err != nil {
					t.Fatal(err)
				}
			}
			_ = d.b.Close()
			if err := d.s.Close(); err != nil {
				t.Fatal(err)
			}
			faults := faultsOf(t, fs)
			if c.kind == "" {
				if len(faults) > 0 {
					t.Errorf("got %v; want none", faults)
				}
				return
			}
			for _, f := range faults {
				if f.Shard == 1 && f.Kind == c.kind && strings.Contains(f.Text, c.text) {
					return
				}
			}
			t.Errorf("got %v; want one of kind %q with %q", faults, c.kind, c.text)
		})
	}
}

// faultsOf returns what a check of a store with shard 1 reports.
func faultsOf(t *testing.T, fs vfs.FS) (faults []Fault) {
	t.Helper()
	checked, err := Check(bg, memOptions(fs), func(*Store) (map[holdfast.ShardID]Schema, error) {
		return map[holdfast.ShardID]Schema{1: testSchema()}, nil
	}, func(ctx context.Context, s *Store, report func(Fault)) error {
		return useLedger(t, s).Check(ctx, report)
	}, func(f Fault) { faults = append(faults, f) })
	if err != nil {
		t.Fatal(err)
	}
	if checked.Faults != int64(len(faults)) {
		t.Errorf("got %d faults counted, %d reported", checked.Faults, len(faults))
	}
	return faults
}
