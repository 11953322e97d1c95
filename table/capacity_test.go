package table

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
)

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		bytes             int
		consistent, write bool
		want              float64
	}{
		{0, true, false, 1}, {0, false, false, 0.5}, {4096, true, false, 1}, {4097, true, false, 2}, {4097, false, false, 1},
		{0, false, true, 1}, {1024, false, true, 1}, {1025, false, true, 2}, {400 << 10, false, true, 400},
	} {
		got := readUnits(c.bytes, c.consistent)
		if c.write {
			got = writeUnits(c.bytes)
		}
		if got != c.want {
			t.Errorf("units of %+v: got %v", c, got)
		}
	}
}

// What a write of an item with entries costs.
func TestWriteCapacity(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := indexed("t")
	create(t, s, d, attributes)
	table, err := s.tables.serving("t")
	if err != nil {
		t.Fatal(err)
	}
	key := attrs("id", "a", "seq", 1)
	all := key.With("l", item.Text("l")).With("g", item.Text("g")).With("h", number("1"))
	big := all.With("other", item.Text(strings.Repeat("o", 1500)))
	for _, c := range []struct {
		name                       string
		before, after              item.Item
		table, local, global, keys float64
	}{
		{"put without entries", nil, key, 1, 0, 0, 0},
		{"delete of nothing", nil, nil, 1, 0, 0, 0},
		{"put with entries", nil, all, 1, 1, 1, 1},
		{"put of a big one", nil, big, 2, 1, 2, 1},
		{"delete of a big one", big, nil, 2, 1, 2, 1},
		{"what only one index holds", big, all, 2, 0, 2, 0},
		{"the same again", big, big, 2, 0, 0, 0},
		{"an entry moves", big, big.With("h", number("2")), 2, 1, 4, 0},
		{"all entries of a partition move", big, big.With("g", item.Text("gg")), 2, 0, 4, 2},
		{"entries go", big, key, 2, 1, 2, 1},
	} {
		for i := range table.entries {
			x := &table.entries[i]
			_, want, ok := x.Entry(table.schema.Key, c.after)
			if got := table.entry(x, c.after); (got != nil) != ok || !got.Equal(want) {
				t.Errorf("%s: got entry %v of %s; want %v", c.name, got, x.Name, want)
			}
		}
		got := table.writeCapacity(c.before, c.after)
		want := Capacity{Table: "t", Write: c.table + c.local + c.global + c.keys, TableWrite: c.table}
		for name, units := range map[string]float64{"local": c.local, "global": c.global, "keys": c.keys} {
			if units > 0 {
				want.addIndex(name, IndexCapacity{Local: name == "local", Write: units})
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v; want %+v", c.name, got, want)
		}
	}
}

// What reads cost, of the table, of an index, and of an index that fetches from its table.
func TestReadCapacity(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := indexed("t")
	create(t, s, d, attributes)
	for i := range 3 {
		put(t, s, "t", attrs("id", "a", "seq", i, "l", "l", "g", "g", "h", i, "other", strings.Repeat("o", 4000)))
	}
	ctx := context.Background()
	byID, byG := keyCondition(t, "id = :k", ":k", "a"), keyCondition(t, "g = :k", ":k", "g")
	for _, c := range []struct {
		name string
		q    Query
		want Capacity
	}{
		{"table", Query{Key: byID}, readCapacity("t", 1.5)},
		{"table, consistent", Query{Key: byID, Consistent: true}, readCapacity("t", 3)},
		{"nothing", Query{Key: keyCondition(t, "id = :k", ":k", "b")}, readCapacity("t", 0.5)},
		{"local", Query{Index: "local", Key: byID}, Capacity{Table: "t", Read: 0.5, Indexes: map[string]IndexCapacity{
			"local": {Local: true, Read: 0.5}}}},
		{"local, all", Query{Index: "local", Key: byID, Select: SelectAll, Consistent: true},
			Capacity{Table: "t", Read: 4, TableRead: 3,
				Indexes: map[string]IndexCapacity{"local": {Local: true, Read: 1}}}},
		{"global", Query{Index: "global", Key: byG, Limit: 2}, Capacity{Table: "t", Read: 1,
			Indexes: map[string]IndexCapacity{
				"global": {Read: 1}}}},
	} {
		c.q.Table = "t"
		page, err := s.Query(ctx, c.q)
		if err != nil || !reflect.DeepEqual(page.Capacity, c.want) {
			t.Errorf("%s: got %+v, %v; want %+v", c.name, page.Capacity, err, c.want)
		}
		if c.q.Select == SelectAll && (len(page.Items) != 3 || !page.Items[0].Has("other")) {
			t.Errorf("%s: got %v; want whole items", c.name, page.Items)
		}
	}
	got, err := s.TransactGet(ctx, []Get{{Table: "t", Key: attrs("id", "a", "seq", 1)},
		{Table: "t", Key: attrs("id", "a", "seq", 9)}})
	if err != nil || got[0].Item == nil || got[1].Item != nil || got[0].Capacity.Read != 2 ||
		got[1].Capacity.TableRead != 2 {
		t.Errorf("TransactGet: got %+v, %v; want an item and none, at 2 units each", got, err)
	}
}

// A table with little throughput refuses, and recovers.
func TestThrottle(t *testing.T) {
	s, at := openMemory(t, Options{Throttle: true})
	d, attributes := indexed("t")
	d.Billing, d.Throughput = catalog.Provisioned, catalog.Throughput{Read: 1, Write: 2}
	for i := range d.Indexes {
		if !d.Indexes[i].Index.Local {
			d.Indexes[i].Throughput = catalog.Throughput{Read: 1, Write: 1}
		}
	}
	create(t, s, d, attributes)
	ctx := context.Background()
	it := attrs("id", "a", "seq", 1, "g", "g", "other", strings.Repeat("o", 300<<10))
	put(t, s, "t", it) // 301 of 600 units
	if _, err := s.Put(ctx, Put{Table: "t", Item: it}); err != nil {
		t.Fatalf("second Put: got %v", err)
	}
	_, err := s.Put(ctx, Put{Table: "t", Item: attrs("id", "b", "seq", 1)})
	if !errors.Is(err, holdfast.Overloaded) || !strings.HasPrefix(err.Error(),
		"The level of configured provisioned throughput for the table") {
		t.Errorf("third Put: got %v; want Overloaded", err)
	}
	_, err = s.TransactWrite(ctx, Transaction{Actions: []Action{{Delete: &Delete{Table: "t", Key: it.Only("id", "seq")}}}})
	var canceled *CanceledError
	if !errors.As(err, &canceled) || canceled.Reasons[0].Code != "ProvisionedThroughputExceeded" {
		t.Errorf("transaction: got %v; want ProvisionedThroughputExceeded", err)
	}
	at.add(2 * time.Second)
	put(t, s, "t", attrs("id", "b", "seq", 1))

	for range 8 { // 37.5 units each
		if _, err := s.Get(ctx, Get{Table: "t", Key: it.Only("id", "seq")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get(ctx, Get{Table: "t", Key: it.Only("id", "seq")}); !errors.Is(err, holdfast.Overloaded) {
		t.Errorf("get: got %v; want Overloaded", err)
	}
	if _, err := s.Query(ctx, Query{Table: "t", Index: "keys", Key: keyCondition(t, "g = :k", ":k", "g")}); err != nil {
		t.Errorf("query of an index with throughput of its own: got %v", err)
	}
	if _, _, _, err := s.BatchGet(ctx, []Get{{Table: "t", Key: it.Only("id", "seq")}}); !errors.Is(err,
		holdfast.Overloaded) {
		t.Errorf("batch get: got %v; want Overloaded", err)
	}
}
