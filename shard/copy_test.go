package shard

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// The entry that makes a shard a copy may have any index, and no entry before it.
func TestCopyComesFirst(t *testing.T) {
	s := openPlain(t, memOptions(vfs.NewMem()))
	sh := newShard(s, whole(9))
	form := func(by *schema) string {
		x := &copyBody{source: 1, items: 2, bytes: 3, key: testSchema().Key}
		return string((&entry{schema: by, at: 5, body: x}).appendTo(nil))
	}
	b := s.engine.db.NewIndexedBatch()
	defer b.Close()
	err := sh.Apply(b, form(&schema{}), holdfast.TxID{Shard: 9, Term: 2, Index: 3})
	if err != nil || sh.tally.items != 2 {
		t.Fatalf("got %v, %d items; want a copy of 2", err, sh.tally.items)
	}
	err = sh.Apply(b, form(sh.schema.Load()), holdfast.TxID{Shard: 9, Term: 2, Index: 4})
	if !errors.Is(err, holdfast.Invalid) {
		t.Errorf("got %v; want a second one refused", err)
	}
}

// A commit over two shards has one time, even if the clock was set back since the last commit of
// one of them: a copy as of any time has the whole commit or nothing of it.
func TestCopyHasAllOfACommitOrNothing(t *testing.T) {
	clock := newClock()
	o := memOptions(vfs.NewMem())
	o.Now = clock.read
	s := openStore(t, o)
	first, second := openShard(t, s, 1), openShard(t, s, 2)
	begin := clock.read()
	clock.advance(10 * time.Second)
	commitAll(t, s, put(t, first, thing("ahead", 1)))
	clock.advance(-10 * time.Second)
	results := commitAll(t, s, put(t, first, thing("a", 1)), put(t, second, thing("b", 1)))

	var times []time.Time
	for i, sh := range []*Shard{first, second} {
		changes, _, err := sh.Changes(holdfast.Position{Index: results[i].Tx.Index}, Limit{})
		if err != nil || len(changes) != 1 {
			t.Fatalf("changes of shard %d: got %v, %v; want one", sh.ID(), changes, err)
		}
		times = append(times, changes[0].At)
	}
	if !times[0].Equal(times[1]) {
		t.Errorf("the commit's time: got %v in one shard, %v in the other; want the same", times[0], times[1])
	}
	for after := time.Duration(0); after <= 11*time.Second; after += time.Second / 2 {
		at := begin.Add(after)
		inFirst := copyHas(t, s, first, at, keyOf(t, thing("a", 1)))
		inSecond := copyHas(t, s, second, at, keyOf(t, thing("b", 1)))
		if want := !at.Before(times[0]); inFirst != want || inSecond != want {
			t.Errorf("%v after the beginning: got the commit in the first shard %v, in the second %v; want %v",
				after, inFirst, inSecond, want)
		}
	}
}

// copyHas reports whether a copy of a shard as of a time has an item at a key.
func copyHas(t *testing.T, s *Store, sh *Shard, at time.Time, key item.Key) bool {
	t.Helper()
	if _, err := s.Copy(bg, sh, whole(9), at); err != nil {
		t.Fatal(err)
	}
	copied, err := s.Open(whole(9), Schema{Key: testSchema().Key})
	if err != nil {
		t.Fatal(err)
	}
	it, err := copied.Get(bg, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Drop(whole(9)); err != nil {
		t.Fatal(err)
	}
	return it != nil
}
