package shard_test

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/item"
	"holdfast/shard"
)

// A counter is raised by one: the Change decides by what is there, and no other commit can come
// between.
func Example() {
	ctx := context.Background()
	store, err := shard.Open(shard.Options{Dir: "/data", FS: vfs.NewMem()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	keys := item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}
	counters, err := store.Open(shard.Descriptor{ID: 1, Space: 1}, shard.Schema{Key: keys})
	if err != nil {
		fmt.Println(err)
		return
	}
	visits := item.New(item.Attr{Name: "id", Value: item.Text("visits")})
	key, err := keys.Key(visits)
	if err != nil {
		fmt.Println(err)
		return
	}
	raise := func(before item.Item) (item.Item, error) {
		count, ok := before.Get("count")
		if !ok {
			count = item.Value{Type: item.N, Text: "0"}
		}
		sum, err := item.AddNumbers(count.Text, "1")
		return visits.With("count", item.Value{Type: item.N, Text: sum}), err
	}
	for range 3 {
		results, err := store.Commit(ctx, shard.Commit{Writes: []shard.Write{{Shard: counters, Key: key, Change: raise}}})
		if err != nil {
			fmt.Println(err)
			return
		}
		count, _ := results[0].After.Get("count")
		fmt.Println(results[0].Tx.Index, count.Text)
	}
	// Output:
	// 1 1
	// 2 2
	// 3 3
}
