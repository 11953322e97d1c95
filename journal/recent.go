package journal

import "hash/maphash"

// recentSlots bounds how many keys are known to be in the file: 16 bytes each.
const recentSlots = 1 << 15

// recent knows where keys were recently added, so that a key that is written all the time
// is in the file once and not until it is full. A later key takes the slot of an earlier one.
type recent struct {
	seed   maphash.Seed
	slots  []recentSlot
	buffer []byte
}

type recentSlot struct {
	hash   uint64
	offset int64
}

// find returns the offset of the record that is probably the key's; -1 if none is known.
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

// scratch is n bytes that hold until the next call.
func (r *recent) scratch(n int) []byte {
	if cap(r.buffer) < n {
		r.buffer = make([]byte, n)
	}
	return r.buffer[:n]
}
