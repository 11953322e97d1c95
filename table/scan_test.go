package table

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"holdfast/item"
)

// A page ends at 1 MiB of what was looked at, whatever of it passes the filter.
func TestLargePages(t *testing.T) {
	for _, shards := range []int{1, 3} {
		s, _ := openMemory(t, Options{ShardsPerTable: shards})
		d, attributes := indexed("t")
		create(t, s, d, attributes)
		const items = 40
		for i := range items {
			put(t, s, "t", attrs("id", fmt.Sprint("id", i%4), "seq", i, "g", "g", "h", i, "payload",
				strings.Repeat("x", 60_000)))
		}
		none := condition(t, "attribute_not_exists(payload)")
		for _, c := range []struct {
			q     Scan
			pages int
			count int
		}{
			{Scan{}, 3, items},
			{Scan{Select: SelectCount}, 3, items},
			{Scan{Filter: none}, 3, 0},
			{Scan{Index: "global"}, 3, items},
			{Scan{Index: "keys"}, 1, items},
			{Scan{Limit: 5}, 9, items}, // the last is empty
		} {
			c.q.Table = "t"
			pages, count, scanned := 0, 0, 0
			for more := true; more; more = c.q.Start != nil {
				page, err := s.Scan(context.Background(), c.q)
				if err != nil {
					t.Fatal(err)
				}
				if (page.Items == nil) != (c.q.Select == SelectCount) {
					t.Fatalf("%+v: got items %v", c.q, page.Items == nil)
				}
				pages, count, scanned, c.q.Start = pages+1, count+page.Count, scanned+page.Scanned, page.Last
			}
			if pages != c.pages || count != c.count || scanned != items {
				t.Errorf("%d shards, %+v: got %d of %d items in %d pages; want %d of %d in %d",
					shards, c.q, count, scanned, pages, c.count, items, c.pages)
			}
		}
		page, err := s.Query(context.Background(), Query{Table: "t", Index: "global", Key: keyCondition(t, "g = :g", ":g",
			"g")})
		if h, _ := page.Last.Get("h"); err != nil || page.Count != 18 || h.Text != "17" || len(page.Last) != 4 {
			t.Errorf("%d shards: query: got %d items up to %v, %v; want 18", shards, page.Count, page.Last, err)
		}
	}
}

// A query of 1000 items, as fast as they can be read.
func BenchmarkQuery(b *testing.B) {
	s, _ := openMemory(b, Options{})
	d, attributes := indexed("t")
	create(b, s, d, attributes)
	for i := range 1000 {
		put(b, s, "t", attrs("id", "a", "seq", i, "name", "a name of a user", "email", "user@example.com", "n", i*i,
			"text", strings.Repeat("t", 100), "g", "g", "h", i))
	}
	for _, c := range []struct {
		name string
		q    Query
	}{
		{"table", Query{Key: keyCondition(b, "id = :k", ":k", "a")}},
		{"count", Query{Key: keyCondition(b, "id = :k", ":k", "a"), Select: SelectCount}},
		{"filter", Query{Key: keyCondition(b, "id = :k", ":k", "a"), Filter: condition(b, "n > :n", ":n", 500_000)}},
		{"global", Query{Index: "global", Key: keyCondition(b, "g = :k", ":k", "g")}},
	} {
		c.q.Table = "t"
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			items := 0
			for b.Loop() {
				page, err := s.Query(context.Background(), c.q)
				if err != nil || page.Scanned != 1000 {
					b.Fatalf("got %d items, %v", page.Scanned, err)
				}
				items += page.Scanned
			}
			b.ReportMetric(float64(items)/b.Elapsed().Seconds(), "items/s")
		})
	}
}

// What a get and a put cost above the shard.
func BenchmarkSingle(b *testing.B) {
	s, _ := openMemory(b, Options{})
	d, attributes := indexed("t")
	create(b, s, d, attributes)
	it := attrs("id", "a", "seq", 1, "g", "g", "h", 1, "l", "l", "text", strings.Repeat("t", 1000))
	put(b, s, "t", it)
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		g := Get{Table: "t", Key: it.Only("id", "seq")}
		for b.Loop() {
			if _, err := s.Get(context.Background(), g); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("put", func(b *testing.B) {
		b.ReportAllocs()
		texts := []item.Item{it, it.With("text", item.Text("other"))}
		for i := 0; b.Loop(); i++ {
			put(b, s, "t", texts[i%2])
		}
	})
}
