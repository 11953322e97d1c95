package table

import (
	"context"
	"fmt"
	"testing"

	"holdfast/catalog"
	"holdfast/item"
)

// An index of a table with items can't be queried, and the table isn't active, before it has an
// entry for each of them, also if the process is killed while it is being filled; items that are
// put, changed and removed meanwhile count once.
func TestAnIndexServesOnceItIsFilled(t *testing.T) {
	const items = 5000
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %t", killed), func(t *testing.T) {
			r := newRig(t, Options{ShardsPerTable: 2})
			r.create(users("users"))
			r.putMany("users", items)
			a := item.KeyAttr{Name: "a", Type: item.N}
			r.alter(catalog.Alteration{Table: "users", Attributes: []item.KeyAttr{a},
				Indexes: []catalog.IndexAlteration{{Create: &catalog.IndexDefinition{
					Index: item.Index{Name: "by-a", Key: item.KeySchema{Hash: a}.Index(), Project: item.ProjectKeys}}}}})
			query := Query{Table: "users", Index: "by-a", Key: keyCondition(t, "a = :a", ":a", 3)}
			for n := 1; r.describe("users").Status != catalog.Active; n++ {
				if _, err := r.Query(context.Background(), query); err == nil {
					t.Fatal("got a page of an index that lacks entries")
				}
				if killed && n%2 == 1 && n < 10 {
					r.crash()
				}
				r.delete("users", user(n))
				r.put("users", user(items-n, item.Attr{Name: "a", Value: number("3")}))
				r.put("users", user(items+n, item.Attr{Name: "a", Value: number("3")}))
				if n > 20 {
					r.step(1)
				}
			}
			r.checkIndexes("users")
			if d := r.describe("users"); d.Indexes[1].Items != items || d.Items != items {
				t.Errorf("got %d items, %d in the index; want %d", d.Items, d.Indexes[1].Items, items)
			}
			r.check()
		})
	}
}

// putMany puts items with the numbers from 0 to n-1, whose attribute a is 0 to 99.
func (r *rig) putMany(table string, n int) {
	r.t.Helper()
	var writes []BatchWrite
	for i := range n {
		it := user(i, item.Attr{Name: "a", Value: number(fmt.Sprint(i % 100))})
		writes = append(writes, BatchWrite{Put: &Put{Table: table, Item: it}})
		if len(writes) == 25 || i == n-1 {
			if _, _, _, err := r.BatchWrite(context.Background(), writes); err != nil {
				r.t.Fatal(err)
			}
			writes = writes[:0]
		}
	}
}
