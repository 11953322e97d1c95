package journal

import "hash/maphash"

// recentSlots bounds how many keys recent remembers: 16 bytes each.
const recentSlots = 1 << 15

// recent remembers where keys were recently added, so that a key that is written over and over is
// in the file once and doesn't fill it. A key replaces an earlier one in its slot.
type recent struct {
	seed   maphash.Seed
	slots  []recentSlot
	buffer []byte
}

type recentSlot struct {
	hash   uint64
	offset int64
}

// find returns the offset of the record that is probably the key's, or -1.
func (r *recent) find(key []byte) int64 {
	if r.slots == nil {
		return -1
	}
	hash := maphash.Bytes(r.seed, key)
	if s := r.slots[hash%recentSlots]; s.hash == hash {
		return s.offset
	}
	return -1
}

func (r *recent) set(key []byte, offset int64) {
	if r.slots == nil {
		r.seed, r.slots = maphash.MakeSeed(), make([]recentSlot, recentSlots)
	}
	hash := maphash.Bytes(r.seed, key)
	r.slots[hash%recentSlots] = recentSlot{hash, offset}
}

// scratch returns n bytes that are valid until the next call.
func (r *recent) scratch(n int) []byte {
	if cap(r.buffer) < n {
		r.buffer = make([]byte, n)
	}
	return r.buffer[:n]
}
