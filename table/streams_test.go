package table

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// read returns all changes of a stream in the order of each shard, a few at a time, and whether all
// its shards have ended.
func (r *rig) read(st Stream) (all []shard.Change, end bool) {
	r.t.Helper()
	end = true
	for _, part := range st.Shards {
		var at holdfast.Position
		for {
			changes, next, over, err := r.StreamRecords(context.Background(), st.Table, st.Label, part.ID, at,
				shard.Limit{Changes: 3})
			if err != nil {
				r.t.Fatal(err)
			}
			all = append(all, changes...)
			if at = next; over || len(changes) == 0 {
				end = end && over
				break
			}
		}
	}
	return all, end
}

// replay makes of changes what they leave. Each must go on from where the one before of its item
// has ended.
func replay(t testing.TB, changes []shard.Change) map[string]item.Item {
	t.Helper()
	state := map[string]item.Item{}
	for _, c := range changes {
		some := c.After
		if some == nil {
			some = c.Before
		}
		id, _ := some.Get("id")
		if was := state[id.Text]; !was.Equal(c.Before) {
			t.Fatalf("change %v of %s: got before %v; want %v", c.Tx, id.Text, c.Before, was)
		}
		state[id.Text] = c.After
		if c.After == nil {
			delete(state, id.Text)
		}
	}
	return state
}

func TestStreamHasAllChangesInOrder(t *testing.T) {
	r := newRig(t, Options{ShardsPerTable: 3})
	d, attributes := users("users")
	d.Stream = catalog.NewAndOldImages
	r.create(d, attributes)
	is := r.describe("users")
	if !is.StreamOn || is.StreamLabel != "2026-01-02T03:04:05.000" || is.Stream != catalog.NewAndOldImages {
		t.Errorf("got on %v, label %q, view %d; want it on, with the time of creation", is.StreamOn, is.StreamLabel,
			is.Stream)
	}
	model := map[string]item.Item{}
	random := rand.New(rand.NewPCG(1, 2))
	write := func(times int) {
		for range times {
			it := user(random.IntN(20), item.Attr{Name: "v", Value: number(fmt.Sprint(random.IntN(1000)))})
			id, _ := it.Get("id")
			if random.IntN(4) == 0 {
				r.delete("users", it)
				delete(model, id.Text)
			} else {
				r.put("users", it)
				model[id.Text] = it
			}
		}
	}
	write(150)
	r.crash()
	r.check()
	write(150)
	compare := func(st Stream, wantEnd bool) {
		t.Helper()
		changes, end := r.read(st)
		got := replay(t, changes)
		if len(got) != len(model) || end != wantEnd {
			t.Errorf("got %d items, end %v; want %d, %v", len(got), end, len(model), wantEnd)
		}
		for id, it := range model {
			if !got[id].Equal(it) {
				t.Errorf("%s: got %v; want %v", id, got[id], it)
			}
		}
	}
	st := r.Streams("users")
	if len(st) != 1 || !st[0].On || len(st[0].Shards) != 3 {
		t.Fatalf("got %+v; want one stream, on, with three shards", st)
	}
	compare(st[0], false)

	off, keys := catalog.View(0), catalog.KeysOnly
	r.alter(catalog.Alteration{Table: "users", Stream: &off})
	r.crash()
	r.check()
	r.put("users", user(999)) // between two streams: in neither
	ended, err := r.Stream("users", st[0].Label)
	if err != nil || ended.On {
		t.Fatalf("got %+v, %v; want it off", ended, err)
	}
	compare(ended, true)
	r.alterSoon(catalog.Alteration{Table: "users", Stream: &keys})
	r.put("users", user(1000))
	both := r.Streams("users")
	if len(both) != 2 || both[1].View != catalog.KeysOnly || !both[1].On || both[1].Label <= both[0].Label {
		t.Fatalf("got %+v; want two streams, the second on", both)
	}
	if changes, _ := r.read(both[1]); len(changes) != 1 || !changes[0].After.Equal(user(1000)) {
		t.Errorf("second stream: got %v; want the put of user 1000", changes)
	}
	r.time.add(catalog.StreamAge)
	if got := r.Streams(""); len(got) != 1 || got[0].Label != both[1].Label {
		t.Errorf("a day later: got %+v; want the second stream alone", got)
	}
}

func TestAlterStreamRefuses(t *testing.T) {
	r := newRig(t, Options{})
	r.create(users("users"))
	off, on := catalog.View(0), catalog.NewImage
	_, err := r.Alter(context.Background(), catalog.Alteration{Table: "users", Stream: &off})
	wantError(t, err, holdfast.Invalid, "Table already has no enabled stream: TableName: users")
	r.alter(catalog.Alteration{Table: "users", Stream: &on})
	r.time.add(changeTime)
	_, err = r.Alter(context.Background(), catalog.Alteration{Table: "users", Stream: &on})
	wantError(t, err, holdfast.Invalid, "Table already has an enabled stream: TableName: users")
	_, err = r.Stream("users", "2026")
	wantError(t, err, holdfast.NotFound, "Requested resource not found: Stream: 2026 of table users not found")
}

func TestStreamsHaveDifferentLabels(t *testing.T) {
	r := newRig(t, Options{})
	r.create(users("users"))
	off, on := catalog.View(0), catalog.NewImage
	for range 3 {
		r.alter(catalog.Alteration{Table: "users", Stream: &on})
		r.describe("users")
		r.alter(catalog.Alteration{Table: "users", Stream: &off})
		r.describe("users")
	}
	for i, st := range r.Streams("users") {
		if want := fmt.Sprintf("2026-01-02T03:04:05.%03d", i); st.Label != want {
			t.Errorf("got label %s; want %s", st.Label, want)
		}
	}
}

// The log of a removed table stays while its stream may be read; another table of that name has a
// stream of its own.
func TestStreamOfARemovedTable(t *testing.T) {
	r := newRig(t, Options{ShardsPerTable: 2})
	d, attributes := users("users")
	d.Stream = catalog.NewImage
	r.create(d, attributes)
	for i := range 10 {
		r.put("users", user(i))
	}
	if _, err := r.Remove(context.Background(), "users"); err != nil {
		t.Fatal(err)
	}
	r.step(1)
	r.crash()
	r.check()
	r.settle()
	r.time.add(time.Hour)
	r.create(d, attributes)
	r.put("users", user(77))
	st := r.Streams("users")
	if len(st) != 2 || st[0].On || !st[1].On || st[0].TableID == st[1].TableID {
		t.Fatalf("got %+v; want two streams of two tables", st)
	}
	if changes, end := r.read(st[0]); len(changes) != 10 || !end {
		t.Errorf("removed table: got %d changes, end %v; want 10, true", len(changes), end)
	}
	if changes, end := r.read(st[1]); len(changes) != 1 || end {
		t.Errorf("new table: got %d changes, end %v; want 1, false", len(changes), end)
	}
	r.time.add(catalog.StreamAge)
	r.settle()
	if got := r.Streams("users"); len(got) != 1 || len(r.catalog.Contents().Removed) != 0 {
		t.Errorf("a day later: got %d streams, %d removed tables; want 1, 0", len(got), len(r.catalog.Contents().Removed))
	}
	_, _, _, err := r.StreamRecords(context.Background(), "users", st[0].Label, st[0].Shards[0].ID, holdfast.Position{},
		shard.Limit{})
	wantError(t, err, holdfast.NotFound, "Requested resource not found: Stream: "+st[0].Label+" of table users not found")
}
