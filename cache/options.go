package cache

import (
	"fmt"
	"time"
)

// Options configure a Store. The zero value of a field means its default.
type Options struct {
	MemoryBytes  int64 // for everything: items, index, ghosts; default 64 MiB
	ItemMaxBytes int   // the largest item, key and header included; default 1 MiB, or half of the memory
	NoEvict      bool  // memcached's -M: refuse a store rather than evict
	NoCAS        bool  // memcached's -C: answer 0 for every CAS

	// File is a file to map as the memory, preferably in /dev/shm. It keeps the items over a clean
	// stop.
	File string
	// Seed is the hash's seed; 0 means a random one, or the one in File.
	Seed uint64
	// Heap allocates the memory from Go's heap, where the race detector sees it. For tests only.
	Heap bool

	Lanes     int  // sets of counters, one for each event loop; default 1
	Detail    bool // count by key prefix from the start
	Delimiter byte // ends a key's prefix; default ':'

	TTLs []TTLRule // the rule with the longest matching prefix applies

	// Now returns the time; default time.Now. Only Tick calls it.
	Now func() time.Time
}

// A TTLRule sets the TTL of items that are stored without one, and spreads TTLs so that items that
// are stored together don't expire together.
type TTLRule struct {
	Prefix  string        // of the key; "" for all
	Default time.Duration // for an item stored with exptime 0; 0 leaves it without a TTL
	Jitter  float64       // each relative TTL is multiplied by a random factor in [1-Jitter, 1+Jitter]; 0 ≤ Jitter < 1
}

// Limits of Options.
const (
	minMemoryBytes = 1 << 20
	maxMemoryBytes = (locMask + 1) * 8 // 512 GiB, which is what a slot of the index can address
	minItemBytes   = 1 << 10
	maxItemBytes   = 1 << 30
)

func (o *Options) check() error {
	if o.MemoryBytes == 0 {
		o.MemoryBytes = 64 << 20
	}
	if o.ItemMaxBytes == 0 {
		o.ItemMaxBytes = int(min(1<<20, max(o.MemoryBytes/2, minItemBytes)))
	}
	if o.Lanes <= 0 {
		o.Lanes = 1
	}
	if o.Delimiter == 0 {
		o.Delimiter = ':'
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MemoryBytes < minMemoryBytes || o.MemoryBytes > maxMemoryBytes {
		return fmt.Errorf("memory: %d bytes; at least %d, at most %d", o.MemoryBytes, minMemoryBytes, maxMemoryBytes)
	}
	if o.ItemMaxBytes < minItemBytes || o.ItemMaxBytes > maxItemBytes {
		return fmt.Errorf("item size limit: %d bytes; at least %d, at most %d", o.ItemMaxBytes, minItemBytes, maxItemBytes)
	}
	if int64(o.ItemMaxBytes) > o.MemoryBytes/2 {
		return fmt.Errorf("item size limit: %d bytes is more than half of the memory, %d", o.ItemMaxBytes, o.MemoryBytes)
	}
	for i, r := range o.TTLs {
		if r.Default < 0 {
			return fmt.Errorf("ttl[%d] %q: default %v is negative", i, r.Prefix, r.Default)
		}
		if r.Jitter < 0 || r.Jitter >= 1 {
			return fmt.Errorf("ttl[%d] %q: jitter %v is not in [0, 1)", i, r.Prefix, r.Jitter)
		}
	}
	return nil
}
