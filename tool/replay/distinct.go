package replay

// distinct counts the different keys of a trace, and the bytes of keys and values, in bounded
// memory: Wegman's adaptive sampling (Flajolet, "On adaptive sampling", Computing 43, 1990). It
// keeps the hashes that end in depth zero bits; depth begins at 0 and rises by one whenever there
// are too many hashes. The kept keys are then a fair sample of one in 2^depth. Up to maxHashes keys
// the count is exact; above, its standard error is about 0.1 %.
type distinct struct {
	maxHashes int
	depth     int
	bytes     map[uint64]int64 // by hash: the item's bytes at the first request for the key
}

// maxDistinctHashes takes about 40 MiB.
const maxDistinctHashes = 1 << 20

func newDistinct(maxHashes int) *distinct {
	return &distinct{maxHashes: maxHashes, bytes: map[uint64]int64{}}
}

func (d *distinct) add(key []byte, itemBytes int64) {
	h := hashKey(key)
	if h&(1<<d.depth-1) != 0 {
		return
	}
	if _, ok := d.bytes[h]; ok {
		return
	}
	d.bytes[h] = itemBytes
	for len(d.bytes) > d.maxHashes {
		d.depth++
		for h := range d.bytes {
			if h&(1<<d.depth-1) != 0 {
				delete(d.bytes, h)
			}
		}
	}
}

func (d *distinct) exact() bool { return d.depth == 0 }

func (d *distinct) keys() int64 { return int64(len(d.bytes)) << d.depth }

// totalBytes returns the bytes of all keys and values, without any server's overhead.
func (d *distinct) totalBytes() (sum int64) {
	for _, n := range d.bytes {
		sum += n
	}
	return sum << d.depth
}

// hashKey is FNV-1a with MurmurHash3's finalizer, which spreads it to the low bits.
func hashKey(key []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
