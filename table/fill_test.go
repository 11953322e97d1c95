package table

import (
	"context"
	"fmt"
	"testing"

	"holdfast/catalog"
	"holdfast/item"
)

// An index of a table with more items than one slice of a job is filled in several slices. It can't
// be queried, and the table isn't active, before the last of them, also if the process is killed
// behind any slice; items that are put, changed and removed in between count once.
func TestAnIndexIsFilledByItsLastSlice(t *testing.T) {
	const items = fillSlice*fillBatch + 10
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %t", killed), func(t *testing.T) {
			r := newRig(t, Options{})
			r.create(users("users"))
			r.putMany("users", items)
			a := item.KeyAttr{Name: "a", Type: item.N}
			r.alter(catalog.Alteration{Table: "users", Attributes: []item.KeyAttr{a},
				Indexes: []catalog.IndexAlteration{{Create: &catalog.IndexDefinition{
					Index: item.Index{Name: "by-a", Key: item.KeySchema{Hash: a}.Index(), Project: item.ProjectKeys}}}}})
			want, slices := int64(items), 0
			query := Query{Table: "users", Index: "by-a", Key: keyCondition(t, "a = :a", ":a", 3)}
			for r.step(1) == 1 {
				if d := r.describe("users"); d.Status == catalog.Active {
					break
				}
				slices++
				if _, err := r.Query(context.Background(), query); err == nil {
					t.Fatalf("slice %d: got a page of an index that lacks entries", slices)
				}
				if killed && slices == 1 {
					r.crash()
				}
				r.delete("users", user(slices))
				r.put("users", user(items-slices, item.Attr{Name: "a", Value: number("3")}))
				r.put("users", user(items+slices, item.Attr{Name: "a", Value: number("3")}))
			}
			if least := items / (fillSlice * fillBatch); slices < least {
				t.Errorf("got the index filled after %d slices; want %d before the last", slices, least)
			}
			if d := r.describe("users"); d.Indexes[1].Items != want || d.Items != want {
				t.Errorf("got %d items, %d in the index; want %d", d.Items, d.Indexes[1].Items, want)
			}
			r.checkIndexes("users")
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
