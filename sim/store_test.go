package sim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"holdfast/item"
	"holdfast/shard"
)

// A crashingStore is a store whose disk crashes again and again, and what must be there afterwards:
// of each key, what the last acknowledged commit wrote, or a later one of unknown outcome.
type crashingStore struct {
	t    *testing.T
	seed uint64
	disk *Disk

	mu      sync.Mutex // guards what follows
	begun   map[string]int
	acked   map[string]int
	crashed bool // answers from now on don't count
}

// Each key has one writer.
const (
	crashWriters = 3
	crashKeys    = 4 * crashWriters
)

func (c *crashingStore) open() (*shard.Store, *shard.Shard) {
	c.t.Helper()
	s, err := shard.Open(shard.Options{
		Dir: "/data", FS: c.disk, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, Boot: fmt.Sprint(c.seed),
		Log:   slog.New(slog.DiscardHandler),
		Fatal: func(err error) { c.t.Errorf("seed %d: the disk failed: %v", c.seed, err) },
	})
	if err != nil {
		c.t.Fatalf("seed %d: got %v; want a start after any crash", c.seed, err)
	}
	sh, err := s.Open(shard.Descriptor{ID: 1, Space: 1}, registerSchema())
	if err != nil {
		c.t.Fatalf("seed %d: got %v; want the shard to open", c.seed, err)
	}
	return s, sh
}

// commit writes the next value of a key.
func (c *crashingStore) commit(s *shard.Store, sh *shard.Shard, key, padding string, next int) {
	c.mu.Lock()
	c.begun[key] = next
	c.mu.Unlock()
	_, err := s.Commit(context.Background(), shard.Commit{Writes: []shard.Write{{
		Shard: sh, Key: registerKey(key),
		Change: func(item.Item) (item.Item, error) {
			return registerItem(key, next).With("p", item.Text(padding)), nil
		},
	}}})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.t.Errorf("seed %d: got %v; want a dead process's commits to go on", c.seed, err)
	} else if !c.crashed {
		c.acked[key] = next
	}
}

// crash replaces the disk by what a crash leaves of it.
func (c *crashingStore) crash() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crashed = true
	c.disk = c.disk.Crash(c.seed)
}

// check checks what is there.
func (c *crashingStore) check(sh *shard.Shard) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crashed = false
	for i := range crashKeys {
		key := fmt.Sprint(i)
		it, err := sh.Get(context.Background(), registerKey(key))
		if got := registerValue(it); err != nil || got < c.acked[key] || got > c.begun[key] {
			c.t.Fatalf("seed %d: key %s: got %d, %v; want one of %d to %d",
				c.seed, key, got, err, c.acked[key], c.begun[key])
		}
		c.acked[key], c.begun[key] = registerValue(it), registerValue(it)
	}
}

// A store opens after each of hundreds of crashes, some in the middle of a start or of the first one,
// and has all that it acknowledged.
func TestStoreOnACrashingDisk(t *testing.T) {
	rounds := uint64(150)
	if testing.Short() {
		rounds = 30
	}
	c := &crashingStore{t: t, disk: NewDisk(), begun: map[string]int{}, acked: map[string]int{}}
	for c.seed = range rounds {
		if c.seed%25 == 0 {
			c.disk = NewDisk()
			clear(c.begun)
			clear(c.acked)
		}
		rng := rand.New(rand.NewPCG(c.seed, 1))
		if rng.IntN(4) == 0 {
			c.crashInAStart(rng)
		}
		s, sh := c.open()
		c.check(sh)
		var writers sync.WaitGroup
		padding := strings.Repeat("p", rng.IntN(10_000))
		var commits [crashWriters]chan int
		for w := range commits {
			commits[w] = make(chan int)
			writers.Go(func() {
				for i := range commits[w] {
					key := fmt.Sprint(i % crashKeys)
					c.commit(s, sh, key, padding, c.next(key))
				}
			})
		}
		for i := range 1 + rng.IntN(50) {
			commits[i%crashWriters] <- i
		}
		c.crash()
		for _, w := range commits {
			close(w)
		}
		writers.Wait()
		must(t, s.Close())
	}
}

// next returns a value that is greater than all before.
func (c *crashingStore) next(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.begun[key], c.acked[key]) + 1
}

// crashInAStart opens the store on a disk that crashes at some sync, or at none.
func (c *crashingStore) crashInAStart(rng *rand.Rand) {
	left := rng.IntN(25)
	var after *Disk
	disk := c.disk
	var mu sync.Mutex
	disk.OnSync(func(string) {
		mu.Lock()
		defer mu.Unlock()
		if left--; left == 0 {
			after = disk.Crash(c.seed)
		}
	})
	s, _ := c.open()
	must(c.t, s.Close())
	mu.Lock()
	defer mu.Unlock()
	if after != nil {
		c.disk = after
	}
	disk.OnSync(nil)
}
