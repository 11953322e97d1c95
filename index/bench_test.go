package index

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

var bg = context.Background()

// benchCommitters is how many goroutines put items at once.
const benchCommitters = 64

// benchKeys is among how many items they put: few enough that most puts overwrite.
const benchKeys = 10_000

// benchKey is the key of the benchmarks' table.
func benchKey() item.KeySchema { return item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}} }

// benchIndexes returns so many global indexes.
func benchIndexes(n int) (all []item.Index) {
	for i := range n {
		name := fmt.Sprint("by", i)
		key := item.IndexKey{Hash: []item.KeyAttr{{Name: name, Type: item.S}}}
		all = append(all, item.Index{ID: uint32(i + 1), Name: name, Key: key, Project: item.ProjectAll})
	}
	return all
}

// benchItem returns an item of a kilobyte. Its index keys change at each put.
func benchItem(rng *rand.Rand, body item.Value, indexes int) item.Item {
	attrs := []item.Attr{
		{Name: "id", Value: item.Text(fmt.Sprintf("user-%08d", rng.IntN(benchKeys)))}, {Name: "body", Value: body},
	}
	for i := range indexes {
		value := item.Text(fmt.Sprintf("%08d", rng.IntN(benchKeys)))
		attrs = append(attrs, item.Attr{Name: fmt.Sprint("by", i), Value: value})
	}
	return item.New(attrs...)
}

func benchBody() item.Value {
	body := make([]byte, 900)
	for i := range body {
		body[i] = byte(' ' + rand.IntN(95))
	}
	return item.Text(string(body))
}

// benchStore opens a store on the disk that the package is on.
func benchStore(b *testing.B) *shard.Store {
	dir, err := os.MkdirTemp(".", "bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, err := shard.Open(shard.Options{Dir: filepath.Join(dir, "data")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// openShards opens n shards from an ID on, which split the hashes evenly.
func openShards(b testing.TB, s *shard.Store, first holdfast.ShardID, n int, schema shard.Schema) (all []*shard.Shard) {
	for i := range n {
		id := first + holdfast.ShardID(i)
		sh, err := s.Open(shard.Descriptor{ID: id, Space: holdfast.SpaceID(id)}, schema)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, sh)
	}
	return all
}

// ownerOf returns the shard of a key among those that split the hashes evenly.
func ownerOf(shards []*shard.Shard, key item.Key) *shard.Shard {
	step := ^uint64(0)/uint64(len(shards)) + 1
	if len(shards) == 1 {
		return shards[0]
	}
	return shards[binary.BigEndian.Uint64(key)/step]
}

// BenchmarkPut measures a put of a kilobyte with so many global indexes, at so many shards: with
// the entries beside their items, in the same batch, and with followers.
func BenchmarkPut(b *testing.B) {
	for _, shards := range []int{1, 8, 64} {
		for _, indexes := range []int{0, 1, 2} {
			b.Run(fmt.Sprintf("beside/shards=%d/indexes=%d", shards, indexes), func(b *testing.B) {
				s := benchStore(b)
				schema := shard.Schema{Key: benchKey(), Indexes: benchIndexes(indexes)}
				benchPuts(b, s, openShards(b, s, 1, shards, schema), indexes)
			})
			if indexes == 0 {
				continue
			}
			b.Run(fmt.Sprintf("follow/shards=%d/indexes=%d", shards, indexes), func(b *testing.B) {
				s := benchStore(b)
				sources := openShards(b, s, 1, shards, shard.Schema{Key: benchKey()})
				f := Start(Options{Key: benchKey(), Sources: sources})
				defer f.Stop()
				for i, x := range benchIndexes(indexes) {
					f.Add(newIndex(b, s, holdfast.ShardID(1000*(i+1)), shards, benchKey(), x))
					<-f.Filled(x.ID)
				}
				benchPuts(b, s, sources, indexes)
				lag := f.Lag()
				b.ReportMetric(float64(lag.P50.Microseconds()), "lag-p50-us")
				b.ReportMetric(float64(lag.P99.Microseconds()), "lag-p99-us")
				if err := f.Wait(bg, 1); err != nil {
					b.Error(err)
				}
			})
		}
	}
}

func benchPuts(b *testing.B, s *shard.Store, shards []*shard.Shard, indexes int) {
	body := benchBody()
	key := benchKey()
	var next atomic.Int64
	done := make(chan error, benchCommitters)
	before := cpu(b)
	b.ReportAllocs()
	b.ResetTimer()
	for n := range benchCommitters {
		rng := rand.New(rand.NewPCG(uint64(n), 1))
		go func() {
			for next.Add(1) <= int64(b.N) {
				it := benchItem(rng, body, indexes)
				k, err := key.Key(it)
				if err == nil {
					_, err = s.Commit(bg, shard.Commit{Writes: []shard.Write{{Shard: ownerOf(shards, k), Key: k,
						Change: func(item.Item) (item.Item, error) { return it, nil }}}})
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range benchCommitters {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// cpu returns how much processor time the process has taken.
func cpu(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkWait measures the wait of a query when nothing lags.
func BenchmarkWait(b *testing.B) {
	for _, shards := range []int{1, 8, 64} {
		b.Run(fmt.Sprint("shards=", shards), func(b *testing.B) {
			s := benchStore(b)
			sources := openShards(b, s, 1, shards, shard.Schema{Key: benchKey()})
			f := Start(Options{Key: benchKey(), Sources: sources})
			defer f.Stop()
			f.Add(newIndex(b, s, 1000, shards, benchKey(), benchIndexes(1)[0]))
			<-f.Filled(1)
			b.ReportAllocs()
			for b.Loop() {
				if err := f.Wait(bg, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
