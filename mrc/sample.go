package mrc

import "math/bits"

// sample is the sampled keys, three times ordered: by hash in a table, to find one; by hash in a
// heap, to find the largest; and by last use in a stack of slots, to find the bytes above one.
//
// The stack is a row of slots, twice as many as there can be keys. A use puts the key in the next
// slot; when the slots are used up, the keys move together to the row's beginning, keeping their
// order, which is as many steps as there were uses since. A Fenwick tree over the slots sums the
// bytes of any stretch in O(log n). It is a few arrays in all, where a balanced tree would chase
// pointers.
type sample struct {
	entries []entry
	unused  []int32 // entries that hold no key
	table   []int32 // open addressing by the hash's low bits; entry+1, 0 where empty
	heap    []int32 // entries; each hash is at least those of its children
	slots   []int32 // entry+1, 0 where empty
	tree    []int64 // Fenwick tree: tree[i] is the bytes in the i&-i slots that end before slot i
	next    int32   // the first slot above the stack
	lowest  int32   // no slot under it holds a key
	bytes   int64   // of all keys
}

// An entry is one sampled key.
type entry struct {
	hash     uint64
	bytes    int64
	requests float64 // that were counted since it came; older ones count less
	slot     int32
	heap     int32 // index of the entry in heap
}

// newSample has entries for one key more than maxKeys, since a key is added before another is
// removed.
func newSample(maxKeys int) sample {
	capacity := maxKeys + 1
	k := sample{
		entries: make([]entry, capacity),
		unused:  make([]int32, 0, capacity),
		table:   make([]int32, 1<<bits.Len(uint(2*capacity))),
		heap:    make([]int32, 0, capacity),
		slots:   make([]int32, 2*capacity),
		tree:    make([]int64, 2*capacity+1),
	}
	return k
}

func (k *sample) reset() {
	k.unused = k.unused[:0]
	for i := len(k.entries) - 1; i >= 0; i-- {
		k.unused = append(k.unused, int32(i))
	}
	clear(k.table)
	k.heap = k.heap[:0]
	clear(k.slots)
	clear(k.tree)
	k.next, k.lowest, k.bytes = 0, 0, 0
}

func (k *sample) len() int { return len(k.heap) }

// distance returns the bytes of the keys above entry i in the stack, and its own.
func (k *sample) distance(i int32) (above, own int64) {
	e := &k.entries[i]
	return k.bytes - k.bytesBefore(e.slot+1), e.bytes
}

// push adds a key that is not in the sample, on top. It comes after one request: the one that hit
// it, or that missed it and led to a set.
func (k *sample) push(hash uint64, bytes int64) {
	i := k.unused[len(k.unused)-1]
	k.unused = k.unused[:len(k.unused)-1]
	k.entries[i] = entry{hash: hash, bytes: bytes, requests: 1}
	k.insert(i)
	k.heap = append(k.heap, i)
	k.up(int32(len(k.heap) - 1))
	k.place(i)
}

// raise puts entry i on top, with a new size unless that is 0.
func (k *sample) raise(i int32, bytes int64) {
	k.lift(i)
	if bytes > 0 {
		k.entries[i].bytes = bytes
	}
	k.place(i)
}

func (k *sample) remove(i int32) {
	k.lift(i)
	k.unlink(k.entries[i].hash)
	k.removeFromHeap(k.entries[i].heap)
	k.unused = append(k.unused, i)
}

// lowestKey returns the entry whose last use is longest ago. There must be one.
func (k *sample) lowestKey() int32 {
	for k.slots[k.lowest] == 0 {
		k.lowest++
	}
	return k.slots[k.lowest] - 1
}

// removeLargestHash removes the key with the largest hash and returns that.
func (k *sample) removeLargestHash() uint64 {
	i := k.heap[0]
	k.remove(i)
	return k.entries[i].hash
}

// The stack.

// place puts entry i, which has no slot, in the next one.
func (k *sample) place(i int32) {
	if int(k.next) == len(k.slots) {
		k.compact()
	}
	e := &k.entries[i]
	e.slot = k.next
	k.slots[k.next] = i + 1
	k.add(k.next, e.bytes)
	k.bytes += e.bytes
	k.next++
}

// lift takes entry i out of its slot.
func (k *sample) lift(i int32) {
	e := &k.entries[i]
	k.slots[e.slot] = 0
	k.add(e.slot, -e.bytes)
	k.bytes -= e.bytes
}

// compact moves the keys to the lowest slots.
func (k *sample) compact() {
	to := int32(0)
	clear(k.tree)
	for from, v := range k.slots {
		if v == 0 {
			continue
		}
		k.slots[from] = 0
		k.slots[to] = v
		k.entries[v-1].slot = to
		k.tree[to+1] = k.entries[v-1].bytes
		to++
	}
	for i := 1; i < len(k.tree); i++ {
		if parent := i + i&-i; parent < len(k.tree) {
			k.tree[parent] += k.tree[i]
		}
	}
	k.next, k.lowest = to, 0
}

func (k *sample) add(slot int32, bytes int64) {
	for i := int(slot) + 1; i < len(k.tree); i += i & -i {
		k.tree[i] += bytes
	}
}

// bytesBefore sums the bytes of all slots under the given one.
func (k *sample) bytesBefore(slot int32) (bytes int64) {
	for i := slot; i > 0; i &= i - 1 {
		bytes += k.tree[i]
	}
	return bytes
}
