package shard

import (
	"fmt"
	"io"
	"testing"
	"time"

	"holdfast/item"
)

// BenchmarkSnapshot reads, receives and installs a snapshot of a shard with 50,000 items of 1 KB, of
// which each has had another version that the log of changes still has: about 105 MB. The receiver is
// empty, or has the first versions.
func BenchmarkSnapshot(b *testing.B) {
	const things, each = 50_000, 100
	s := openStore(b, diskOptions(b))
	sh, err := s.Open(whole(1), plainSchema())
	if err != nil {
		b.Fatal(err)
	}
	log := newRecordedLog(s)
	s.entries = log
	for version := range 2 {
		for at := 0; at < things; at += each {
			var c Commit
			for i := range each {
				it := kilobyte(at+i).With("v", number(version))
				key, err := plainSchema().Key.Key(it)
				if err != nil {
					b.Fatal(err)
				}
				change := func(item.Item) (item.Item, error) { return it, nil }
				c.Writes = append(c.Writes, Write{Shard: sh, Key: key, Change: change})
			}
			if _, err := s.Commit(bg, c); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.engine.db.Flush(); err != nil {
		b.Fatal(err)
	}
	for _, behind := range []bool{false, true} {
		b.Run(fmt.Sprintf("behind=%t", behind), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				to := openStore(b, diskOptions(b))
				replica, err := to.Open(whole(1), plainSchema())
				if err != nil {
					b.Fatal(err)
				}
				if behind {
					applyHalf(b, replica, log.sent[1])
				}
				b.StartTimer()
				transfer(b, sh, replica)
				b.StopTimer()
				if err := to.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// applyHalf applies the first half of the entries.
func applyHalf(b *testing.B, sh *Shard, entries []sentEntry) {
	for _, e := range entries[:len(entries)/2] {
		if err := ReplicaOf(sh).ApplyAll([]Committed{{e.tx, e.raw}}); err != nil {
			b.Fatal(err)
		}
	}
}

// transfer reads, receives and installs a snapshot, and reports how long each of that takes.
func transfer(b *testing.B, from, to *Shard) {
	disk, stalls := to.store.Stats().DiskBytes, to.store.Stats().WriteStalls
	begun := time.Now()
	snapshot, err := NewSnapshot(bg, from, SnapshotOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer snapshot.Close()
	r := NewReceiver(to)
	var reading, receiving time.Duration
	chunks, bytes := 0, 0
	for {
		at := time.Now()
		chunk, err := snapshot.Next(bg)
		reading += time.Since(at)
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
		at = time.Now()
		if err := r.Add(chunk); err != nil {
			b.Fatal(err)
		}
		receiving += time.Since(at)
		chunks, bytes = chunks+1, bytes+len(chunk)
	}
	at := time.Now()
	if err := ReplicaOf(to).Install(r); err != nil {
		b.Fatal(err)
	}
	installing := time.Since(at)
	total := time.Since(begun)
	b.Logf("%d chunks, %.1f MB in %v: reading %v, receiving %v, installing %v; disk %.1f MB before, %.1f MB after; "+
		"%d stalls", chunks, float64(bytes)/1e6, total, reading, receiving, installing, float64(disk)/1e6,
		float64(to.store.Stats().DiskBytes)/1e6, to.store.Stats().WriteStalls-stalls)
}
