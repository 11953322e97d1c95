package mrc

import "math/bits"

// sample is the sampled keys in three structures: a hash table, to find a key; a heap by hash, to
// find the largest; and a stack of slots by last use, to find the bytes above a key.
//
// The stack has twice as many slots as there can be keys. A use puts the key in the next slot. When
// the slots are used up, the keys move to the lowest slots in their order, which costs as many
// steps as there were uses since the last time. A Fenwick tree over the slots sums the bytes of any
// range in O(log n). All of it is a few arrays, where a balanced tree would follow pointers.
type sample struct {
	entries []entry
	unused  []int32 // entries that hold no key
	table   []int32 // open addressing by the hash's low bits; entry+1, 0 where empty
	heap    []int32 // entries; each hash is at least those of its children
	slots   []int32 // entry+1, 0 where empty
	tree    []int64 // Fenwick tree: tree[i] is the bytes in the i&-i slots that end before slot i
	next    int32   // the first slot above the stack
	lowest  int32   // no slot below it holds a key
	bytes   int64   // of all keys
}

// An entry is one sampled key.
type entry struct {
	hash     uint64
	bytes    int64
	requests float64 // for it since it was added; age halves older ones
	slot     int32
	heap     int32 // index of the entry in heap
}

// newSample returns a sample with entries for maxKeys+1 keys, since a key is added before another
// is removed.
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

// push adds a key that is not in the sample on top of the stack. It has had one request, which was
// a hit, or a miss that led to a set.
func (k *sample) push(hash uint64, bytes int64) {
	i := k.unused[len(k.unused)-1]
	k.unused = k.unused[:len(k.unused)-1]
	k.entries[i] = entry{hash: hash, bytes: bytes, requests: 1}
	k.insert(i)
	k.heap = append(k.heap, i)
	k.up(int32(len(k.heap) - 1))
	k.place(i)
}

// raise moves entry i to the top of the stack, with a new size unless that is 0.
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

// lowestKey returns the least recently used entry. There must be one.
func (k *sample) lowestKey() int32 {
	for k.slots[k.lowest] == 0 {
		k.lowest++
	}
	return k.slots[k.lowest] - 1
}

// removeLargestHash removes the key with the largest hash, and returns the hash.
func (k *sample) removeLargestHash() uint64 {
	i := k.heap[0]
	k.remove(i)
	return k.entries[i].hash
}

// place puts entry i, which has no slot, in the next slot of the stack.
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

// lift removes entry i from its slot.
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

// bytesBefore sums the bytes of all slots below the given one.
func (k *sample) bytesBefore(slot int32) (bytes int64) {
	for i := slot; i > 0; i &= i - 1 {
		bytes += k.tree[i]
	}
	return bytes
}
