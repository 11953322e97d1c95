package table

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// Requests find each table by its name, and names in order, whatever was published and withdrawn; a
// set of tables that a request has doesn't change under it.
func TestDirectory(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	var d directory
	d.init(false, time.Now)
	want := map[string]*live{}
	for range 500 {
		before := d.set.Load()
		had, names := maps.Clone(before.byName), slices.Clone(before.names)
		name := fmt.Sprint("table", rng.IntN(12))
		if rng.IntN(3) == 0 {
			d.withdraw(name, &catalog.Removed{})
			delete(want, name)
		} else {
			r := &catalog.Table{Table: catalog.Description{Definition: catalog.Definition{Name: name}}}
			want[name] = d.publish(r, opened{}, 0)
		}
		if !maps.Equal(before.byName, had) || !slices.Equal(before.names, names) {
			t.Fatal("a set of tables has changed after it was read")
		}
		if !maps.Equal(d.all(), want) || d.table(name) != want[name] {
			t.Fatalf("got tables %v; want %v", d.all(), want)
		}
		after, limit := fmt.Sprint("table", rng.IntN(12)), rng.IntN(5)
		rest := slices.DeleteFunc(slices.Sorted(maps.Keys(want)), func(n string) bool { return n <= after })
		got, more := d.list(after, limit)
		if !slices.Equal(got, rest[:min(limit, len(rest))]) || more != (limit < len(rest)) {
			t.Fatalf("list(%q, %d): got %v, more %t; want the first of %v", after, limit, got, more, rest)
		}
	}
}

// Each hash belongs to the shard whose part of all hashes it lies in, the first and the last ones
// too.
func TestShardOfAHash(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	for n := 1; n <= 9; n++ {
		l := &live{}
		for i := range n {
			l.starts, l.shards = append(l.starts, math.MaxUint64/uint64(n)*uint64(i)), append(l.shards, new(shard.Shard))
		}
		hashes := []uint64{0, 1<<64 - 1}
		for _, start := range l.starts {
			hashes = append(hashes, start, start-1, start+1)
		}
		for range 100 {
			hashes = append(hashes, rng.Uint64())
		}
		for _, hash := range hashes {
			want := 0
			for i, start := range l.starts {
				if start <= hash {
					want = i
				}
			}
			key := item.Key(binary.BigEndian.AppendUint64(nil, hash))
			if got := slices.Index(l.shards, l.shard(key)); got != want {
				t.Errorf("%d shards, hash %x: got shard %d; want %d", n, hash, got, want)
			}
		}
	}
}
