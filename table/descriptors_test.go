package table

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"holdfast"
	"holdfast/catalog"
	"holdfast/shard"
)

// split has two shards take over the range of a table's first shard, as a split does, and starts
// again.
func (r *rig) split(table string) (parent catalog.Shard, children []catalog.Shard) {
	r.t.Helper()
	r.catalog.Lock()
	is := r.catalog.Contents().Tables[table].Clone()
	parent = is.Shards[0]
	cut := []byte{parent.To[0] / 2}
	_, children, err := r.catalog.NewSpace(context.Background(),
		[]catalog.Range{{From: parent.From, To: cut}, {From: cut, To: parent.To}})
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range children {
		children[i].Parents = []holdfast.ShardID{parent.ID}
	}
	is.Closed = append(slices.Clone(is.Closed), parent)
	is.Shards = append(slices.Clone(children), is.Shards[1:]...)
	err = r.catalog.Commit(context.Background(), catalog.Revision{Put: []catalog.Entry{is}})
	r.catalog.Unlock()
	if err != nil {
		r.t.Fatal(err)
	}
	r.crash()
	return parent, children
}

// The shards of a stream, their parents, and where they begin and end, are what the descriptors on
// disk say: the catalog keeps nothing for the stream when other shards take over a range.
func TestStreamFollowsDescriptors(t *testing.T) {
	r := newRig(t, Options{ShardsPerTable: 3})
	d, attributes := users("users")
	d.Stream = catalog.NewAndOldImages
	r.create(d, attributes)
	for n := range 60 {
		r.put("users", user(n))
	}
	before := r.Streams("users")[0]
	parent, children := r.split("users")
	for n := range 60 {
		r.put("users", user(60+n))
	}
	st := r.Streams("users")[0]
	if len(st.Shards) != 5 {
		t.Fatalf("got %d shards; want the first three and two children", len(st.Shards))
	}
	was, is := before.shard(parent.ID), st.shard(parent.ID)
	if !is.Closed || is.Last != was.End || is.First != was.First || is.Parent != 0 {
		t.Errorf("got the parent %+v; want it closed at %v, from %v on", is, was.End, was.First)
	}
	for _, c := range children {
		is := st.shard(c.ID)
		if is.Parent != parent.ID || is.Closed || is.First != (holdfast.Position{Index: 1}) {
			t.Errorf("got the child %+v; want it open, from 1 on, behind shard %d", is, parent.ID)
		}
	}
	if got := len(st.Children(parent.ID)); got != 2 {
		t.Errorf("got %d children; want 2", got)
	}
	changes, end := r.read(st) // by rising ID: parents come first
	if left := replay(t, changes); len(left) != 120 || len(changes) != 120 || end {
		t.Errorf("got %d changes that leave %d items, end %t; want 120, 120, and no end", len(changes), len(left), end)
	}

	off := catalog.View(0)
	r.alter(catalog.Alteration{Table: "users", Stream: &off})
	r.split("users") // it began after the stream has ended
	r.put("users", user(200))
	ended := r.Streams("users")[0]
	if changes, end := r.read(ended); len(ended.Shards) != 5 || len(changes) != 120 || !end {
		t.Errorf("got %d shards and %d changes, end %t; want 5, 120 and the end", len(ended.Shards), len(changes), end)
	}
	if _, err := r.Remove(context.Background(), "users"); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"after the table was removed", "after a start"} {
		gone := r.Streams("users")
		if len(gone) != 1 {
			t.Fatalf("%s: got %d streams; want 1", when, len(gone))
		}
		if changes, end := r.read(gone[0]); len(gone[0].Shards) != 5 || len(changes) != 120 || !end {
			t.Errorf("%s: got %d shards and %d changes, end %t; want 5, 120 and the end",
				when, len(gone[0].Shards), len(changes), end)
		}
		r.crash()
	}
}

// Readers of a stream don't wait for a change of the catalog, during which the disk may sync.
func TestStreamsAreReadDuringAChange(t *testing.T) {
	r := newRig(t, Options{ShardsPerTable: 2})
	d, attributes := users("users")
	d.Stream = catalog.KeysOnly
	r.create(d, attributes)
	r.put("users", user(1))
	r.catalog.Lock()
	defer r.catalog.Unlock()
	if changes, _ := r.read(r.Streams("users")[0]); len(changes) != 1 {
		t.Errorf("got %d changes; want 1", len(changes))
	}
}

// A copy takes each shard from the one with its range, in whatever order its record and the source
// list them: a backup, and a restore from it and to a point in time.
func TestCopiesGoByRange(t *testing.T) {
	r := newRig(t, Options{ShardsPerTable: 3})
	d, attributes := users("users")
	r.create(d, attributes)
	for n := range 60 {
		r.put("users", user(n))
	}
	ctx := context.Background()
	if _, err := r.SetPointInTime(ctx, "users", true); err != nil {
		t.Fatal(err)
	}
	r.settle()
	want := r.items("users", "")
	shuffled := func(shards []catalog.Shard) []catalog.Shard {
		return []catalog.Shard{shards[1], shards[2], shards[0]}
	}

	made := r.backup("users")
	b := *r.catalog.Contents().Backups[made.ID]
	b.Shards = shuffled(b.Shards)
	if err := r.catalog.Update(ctx, catalog.Revision{Put: []catalog.Entry{&b}}); err != nil {
		t.Fatal(err)
	}
	r.settle()
	if is, err := r.DescribeBackup(b.Backup.ID); err != nil || !is.Ready || is.Items != 60 {
		t.Fatalf("got the backup %+v, %v; want it ready, with 60 items", is, err)
	}
	if _, err := r.RestoreBackup(ctx, b.Backup.ID, "of-backup", catalog.Overrides{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RestorePointInTime(ctx, "users", "of-time", r.time.Now(), catalog.Overrides{}); err != nil {
		t.Fatal(err)
	}
	r.settle()
	for _, table := range []string{"of-backup", "of-time"} {
		got := r.items(table, "")
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %d items; want the %d of the table", table, len(got), len(want))
		}
		for n := range 60 {
			if is, err := r.Get(ctx, Get{Table: table, Key: user(n).Only("id")}); err != nil || is.Item == nil {
				t.Errorf("%s, item %d: got %v, %v; want it", table, n, is.Item, err)
			}
		}
	}
	live := r.tables.table("users")
	from := source{shards: []*shard.Shard{live.shards[2], live.shards[0], live.shards[1]}}
	for _, sh := range live.shards {
		d := sh.Descriptor()
		to := shard.Descriptor{From: d.From, To: d.To}
		if got, err := from.of(&to); err != nil || got != sh {
			t.Errorf("got %v, %v; want shard %d, from %x to %x", got, err, d.ID, d.From, d.To)
		}
	}
	_, err := from.of(&shard.Descriptor{From: []byte{1}})
	wantError(t, err, holdfast.Corrupt, "a copy has a shard from 01 to , and its source has none")
}
