package table

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"holdfast/item"
)

// What a BatchGet returns is bounded by shard; the numbers are those of dynalite's slow tests,
// which ran on the real service.
func TestBatchGetBounds(t *testing.T) {
	s, _ := openMemory(t, Options{})
	ctx := context.Background()
	for _, c := range []struct {
		name  string
		sizes []int // of b
		want  int   // how many are returned
		units float64
	}{
		{"just under", []int{409593, 409593, 409593, 229374}, 4, 357},
		{"just over", []int{409593, 409593, 409593, 229375}, 3, 301},
		{"far over", append([]int{409595, 409595, 409595}, repeatedSizes(17, 20000)...), 14, 300 + 11*5 + 6},
	} {
		d, attributes := plain(strings.ReplaceAll(c.name, " ", "-"))
		create(t, s, d, attributes)
		var gets []Get
		for i, size := range c.sizes {
			key := attrs("id", fmt.Sprintf("%02d", i))
			put(t, s, d.Name, key.With("b", item.Text(strings.Repeat("b", size))))
			gets = append(gets, Get{Table: d.Name, Key: key, Consistent: true})
		}
		got, unprocessed, caps, err := s.BatchGet(ctx, gets)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		returned := 0
		for _, g := range got {
			if g.Item != nil {
				returned++
			}
		}
		if returned != c.want || returned+len(unprocessed) != len(gets) || len(caps) != 1 || caps[0].Read != c.units {
			t.Errorf("%s: got %d, not %v, for %+v; want %d for %v units", c.name, returned, unprocessed, caps, c.want, c.units)
		}
	}
}

func repeatedSizes(n, size int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = size
	}
	return all
}

// A batch of several tables: responses in order, capacity by table.
func TestBatchTables(t *testing.T) {
	s, _ := openMemory(t, Options{ShardsPerTable: 2})
	for _, name := range []string{"one", "two"} {
		d, attributes := plain(name)
		create(t, s, d, attributes)
	}
	ctx := context.Background()
	var ws []BatchWrite
	for i := range 20 {
		it := attrs("id", fmt.Sprint(i), "b", strings.Repeat("b", 390<<10)) // more than is committed at once
		ws = append(ws, BatchWrite{Put: &Put{Table: []string{"one", "two"}[i%2], Item: it}})
	}
	unprocessed, caps, cols, err := s.BatchWrite(ctx, ws)
	want := []Capacity{{Table: "one", Write: 3910, TableWrite: 3910}, {Table: "two", Write: 3910, TableWrite: 3910}}
	if err != nil || unprocessed != nil || cols != nil || !reflect.DeepEqual(caps, want) {
		t.Fatalf("got %v, %+v, %v, %v; want %+v", unprocessed, caps, cols, err, want)
	}
	if _, _, _, err := s.BatchWrite(ctx, []BatchWrite{{Delete: &Delete{Table: "one",
		Key: attrs("id", "0")}}}); err != nil {
		t.Fatal(err)
	}
	got, _, caps, err := s.BatchGet(ctx, []Get{
		{Table: "two", Key: attrs("id", "1"), Project: projection(t, "id")},
		{Table: "one", Key: attrs("id", "0")},
		{Table: "two", Key: attrs("id", "0"), Consistent: true},
	})
	if err != nil || !got[0].Item.Equal(attrs("id", "1")) || got[1].Item != nil || got[2].Item != nil {
		t.Errorf("got %v, %v; want one item", got, err)
	}
	want = []Capacity{readCapacity("two", 50), readCapacity("one", 0.5)}
	if !reflect.DeepEqual(caps, want) {
		t.Errorf("got %+v; want %+v", caps, want)
	}
}

// A write to a table with local indexes reports its collection; one to another table doesn't.
func TestCollections(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := indexed("t")
	create(t, s, d, attributes)
	d, attributes = plain("plain")
	create(t, s, d, attributes)
	ctx := context.Background()
	w, err := s.Put(ctx, Put{Table: "t", Item: attrs("id", "a", "seq", 1, "l", "l")})
	if err != nil || w.Collection == nil || !w.Collection.Key.Equal(attrs("id", "a")) ||
		w.Collection.Bytes <= int64(w.After.Size()) {
		t.Errorf("got %+v, %v; want the collection of a", w.Collection, err)
	}
	w, err = s.Delete(ctx, Delete{Table: "t", Key: attrs("id", "a", "seq", 1)})
	if err != nil || w.Collection == nil || w.Collection.Bytes != 0 {
		t.Errorf("got %+v, %v; want an empty collection", w.Collection, err)
	}
	if w, err := s.Put(ctx, Put{Table: "plain", Item: attrs("id", "a")}); err != nil || w.Collection != nil {
		t.Errorf("got %+v, %v; want none", w.Collection, err)
	}
}

// Updates that only remove make no item; any other update does.
func TestUpdateMakes(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := plain("t")
	create(t, s, d, attributes)
	ctx := context.Background()
	deletes, err := item.AttributeUpdates([]item.AttributeUpdate{{Attr: "n", Action: "DELETE"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		u    Update
		want bool
	}{
		{Update{Change: deletes, Legacy: true}, false},
		{Update{Legacy: true}, true},
		{Update{}, true},
		{Update{Change: update(t, "REMOVE n")}, false},
		{Update{Change: update(t, "REMOVE n.x, m[1].y")}, false},
		{Update{Change: update(t, "DELETE n :s REMOVE m", ":s", item.Value{Type: item.SS, Set: []string{"a"}})}, false},
		{Update{Change: update(t, "REMOVE n SET m = :s", ":s", item.Text("a"))}, true},
	} {
		c.u.Table, c.u.Key = "t", attrs("id", fmt.Sprint(i))
		w, err := s.Update(ctx, c.u)
		if err != nil || (w.After != nil) != c.want {
			t.Errorf("update %d: got %v, %v; want an item: %v", i, w.After, err, c.want)
		}
		if got, err := s.Get(ctx, Get{Table: "t", Key: c.u.Key}); err != nil || !got.Item.Equal(w.After) {
			t.Errorf("update %d: got %v, %v; want %v", i, got.Item, err, w.After)
		}
	}
}
