package shard

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// benchItems is among how many items a benchmark writes.
const benchItems = 10_000

// diskOptions are of a store on the disk that the package is on: what /tmp is on may have no sync
// to speak of.
func diskOptions(b *testing.B) Options {
	dir, err := os.MkdirTemp(".", "bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return Options{Dir: filepath.Join(dir, "data"), Log: testLog(b)}
}

func plainSchema() Schema {
	return Schema{Key: item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}}
}

// kilobyte returns an item of 1 KB in which all is random, so that no compression helps one of the
// two.
func kilobyte(id int) item.Item {
	body := make([]byte, 1000)
	for i := range body {
		body[i] = byte(' ' + rand.IntN(95))
	}
	return item.New(item.Attr{Name: "id", Value: item.Text(fmt.Sprintf("user-%08d", id))},
		item.Attr{Name: "body", Value: item.Text(string(body))})
}

// committers runs f in so many goroutines. One more processor than committers is of no use to a
// sync.
func committers(b *testing.B, n int, f func(i int) error) {
	var next atomic.Int64
	done := make(chan error, n)
	before := cpu(b)
	b.ResetTimer()
	for range n {
		go func() {
			for {
				i := int(next.Add(1))
				if i > b.N {
					done <- nil
					return
				}
				if err := f(i); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range n {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
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

// BenchmarkCommit compares commits of 1 KB with those of Pebble alone, with sync, on the disk. Ours
// write the item and a log entry with both images: in "new" there is none before, in "again" there
// is.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("pebble/%d", n), func(b *testing.B) { benchPebble(b, n) })
		b.Run(fmt.Sprintf("new/%d", n), func(b *testing.B) { benchCommit(b, n, 0) })
		b.Run(fmt.Sprintf("again/%d", n), func(b *testing.B) { benchCommit(b, n, benchItems) })
	}
}

func benchPebble(b *testing.B, n int) {
	o := diskOptions(b)
	e := newEngine(o.Log, o.Fatal)
	e.fs, e.space = vfs.Default, &space{}
	cache := newCache(defaultCacheBytes, defaultMemTable)
	defer cache.Unref()
	db, err := pebble.Open(o.Dir, e.pebbleOptions(cache, defaultMemTable, false))
	if err != nil {
		b.Fatal(err)
	}
	value := item.Append(nil, kilobyte(0))
	schema := plainSchema()
	committers(b, n, func(i int) error {
		key, err := schema.Key.Key(item.New(item.Attr{Name: "id", Value: item.Text(fmt.Sprintf("user-%08d", i))}))
		if err != nil {
			return err
		}
		return db.Set(keysOf(1).appendItem(nil, key), value, pebble.Sync)
	})
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
}

// benchCommit writes new items, or, unless among is 0, among so many over and over.
func benchCommit(b *testing.B, n, among int) {
	s := openStore(b, diskOptions(b))
	sh, err := s.Open(whole(1), plainSchema())
	if err != nil {
		b.Fatal(err)
	}
	body, _ := kilobyte(0).Get("body")
	write := func(i, version int) error {
		it := item.New(item.Attr{Name: "id", Value: item.Text(fmt.Sprintf("user-%08d", i))},
			item.Attr{Name: "body", Value: body},
			item.Attr{Name: "version", Value: number(version)})
		key, err := plainSchema().Key.Key(it)
		if err != nil {
			return err
		}
		_, err = s.Commit(bg, Commit{Writes: []Write{
			{Shard: sh, Key: key, Change: func(item.Item) (item.Item, error) { return it, nil }},
		}})
		return err
	}
	for i := range among {
		if err := fillOne(s, sh, i); err != nil {
			b.Fatal(err)
		}
	}
	committers(b, n, func(i int) error {
		if among > 0 {
			return write(i%among, i)
		}
		return write(i, 0)
	})
}

// fillOne puts an item in without waiting for the disk.
func fillOne(s *Store, sh *Shard, i int) error {
	it := kilobyte(i)
	key, err := plainSchema().Key.Key(it)
	if err != nil {
		return err
	}
	return s.engine.db.Set(sh.keys.appendItem(nil, key), copied(string(item.Append(nil, it))), pebble.NoSync)
}

// BenchmarkGet reads items of 1 KB that are in memory.
func BenchmarkGet(b *testing.B) {
	s := openStore(b, diskOptions(b))
	sh, err := s.Open(whole(1), plainSchema())
	if err != nil {
		b.Fatal(err)
	}
	keys := make([]item.Key, benchItems)
	for i := range keys {
		if err := fillOne(s, sh, i); err != nil {
			b.Fatal(err)
		}
		keys[i], _ = plainSchema().Key.Key(kilobyte(i))
	}
	if err := s.engine.db.Flush(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if it, err := sh.Get(bg, keys[i%len(keys)]); err != nil || it == nil {
			b.Fatal(it, err)
		}
	}
}

// BenchmarkCursor goes through items of 1 KB that are in memory.
func BenchmarkCursor(b *testing.B) {
	s := openStore(b, diskOptions(b))
	sh, err := s.Open(whole(1), plainSchema())
	if err != nil {
		b.Fatal(err)
	}
	for i := range benchItems {
		if err := fillOne(s, sh, i); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.engine.db.Flush(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		c, err := sh.Cursor(bg, Span{})
		if err != nil {
			b.Fatal(err)
		}
		for ; n < b.N && c.Next(); n++ {
			if _, err := c.Item(); err != nil {
				b.Fatal(err)
			}
		}
		_ = c.Close()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
}

// BenchmarkExpired searches a queue of a million items, none of which has expired, and which has
// all 65,536 parts that there can be: each call looks into 2048 of them.
func BenchmarkExpired(b *testing.B) {
	s := openStore(b, diskOptions(b))
	schema := plainSchema()
	schema.TTL = "ttl"
	sh, err := s.Open(whole(1), schema)
	if err != nil {
		b.Fatal(err)
	}
	const items, perBatch = 1_000_000, 10_000
	now := time.Now()
	rng := rand.New(rand.NewPCG(1, 21))
	for range items / perBatch {
		batch := s.engine.db.NewBatch()
		for range perBatch {
			key := binary.BigEndian.AppendUint64(nil, rng.Uint64())
			second := uint64(now.Unix()) + 1000 + rng.Uint64N(1<<20)
			if err := batch.Set(sh.keys.appendExpiry(nil, second, append(key, "some key"...)), nil, nil); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.engine.submitNoSync(batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.engine.db.Flush(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if keys, err := sh.Expired(now, 100, 2048); err != nil || len(keys) > 0 {
			b.Fatalf("got %x, %v; want none", keys, err)
		}
	}
}

// BenchmarkTransaction compares commits of one item of 1 KB with transactions of three, in three
// shards, with sync, on the disk.
func BenchmarkTransaction(b *testing.B) {
	for _, n := range []int{1, 16} {
		for _, shards := range []int{1, 3} {
			b.Run(fmt.Sprintf("shards=%d/%d", shards, n), func(b *testing.B) { benchTransaction(b, n, shards) })
		}
	}
}

func benchTransaction(b *testing.B, n, shards int) {
	s := openStore(b, diskOptions(b))
	var all []*Shard
	for id := range shards {
		sh, err := s.Open(whole(holdfast.ShardID(id+1)), plainSchema())
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, sh)
	}
	body, _ := kilobyte(0).Get("body")
	b.ReportAllocs()
	committers(b, n, func(i int) error {
		it := item.New(item.Attr{Name: "id", Value: item.Text(fmt.Sprintf("user-%08d", i))},
			item.Attr{Name: "body", Value: body})
		key, err := plainSchema().Key.Key(it)
		if err != nil {
			return err
		}
		var c Commit
		for _, sh := range all {
			c.Writes = append(c.Writes, Write{Shard: sh, Key: key,
				Change: func(item.Item) (item.Item, error) { return it, nil }})
		}
		_, err = s.Commit(bg, c)
		return err
	})
}
