package mrc

// This file has the sample's two indexes by hash: the table and the heap.

// find returns the entry of the key with this hash, or -1. The sample treats two keys with the same
// hash as one, which is too rare among 8192 keys to matter.
func (k *sample) find(hash uint64) int32 {
	mask := len(k.table) - 1
	for at := int(hash) & mask; k.table[at] != 0; at = (at + 1) & mask {
		if i := k.table[at] - 1; k.entries[i].hash == hash {
			return i
		}
	}
	return -1
}

// insert puts entry i, whose key is not in the table, into the table.
func (k *sample) insert(i int32) {
	mask := len(k.table) - 1
	at := int(k.entries[i].hash) & mask
	for k.table[at] != 0 {
		at = (at + 1) & mask
	}
	k.table[at] = i + 1
}

// unlink removes the key with this hash from the table, which must have it. Entries after it move
// up to fill the gap, so that no probe ends before its key.
func (k *sample) unlink(hash uint64) {
	mask := len(k.table) - 1
	at := int(hash) & mask
	for k.entries[k.table[at]-1].hash != hash {
		at = (at + 1) & mask
	}
	gap := at
	for {
		k.table[gap] = 0
		for {
			at = (at + 1) & mask
			if k.table[at] == 0 {
				return
			}
			home := int(k.entries[k.table[at]-1].hash) & mask
			if (at-home)&mask >= (at-gap)&mask { // its probe passes the gap
				break
			}
		}
		k.table[gap] = k.table[at]
		gap = at
	}
}

func (k *sample) removeFromHeap(at int32) {
	last := int32(len(k.heap) - 1)
	moved := k.heap[last]
	k.heap = k.heap[:last]
	if at == last {
		return
	}
	k.heap[at] = moved
	k.entries[moved].heap = at
	k.up(at)
	k.down(k.entries[moved].heap)
}

func (k *sample) up(at int32) {
	i := k.heap[at]
	hash := k.entries[i].hash
	for at > 0 {
		parent := (at - 1) / 2
		p := k.heap[parent]
		if k.entries[p].hash >= hash {
			break
		}
		k.heap[at] = p
		k.entries[p].heap = at
		at = parent
	}
	k.heap[at] = i
	k.entries[i].heap = at
}

func (k *sample) down(at int32) {
	i := k.heap[at]
	hash := k.entries[i].hash
	for {
		child := 2*at + 1
		if int(child) >= len(k.heap) {
			break
		}
		if int(child+1) < len(k.heap) && k.entries[k.heap[child+1]].hash > k.entries[k.heap[child]].hash {
			child++
		}
		c := k.heap[child]
		if k.entries[c].hash <= hash {
			break
		}
		k.heap[at] = c
		k.entries[c].heap = at
		at = child
	}
	k.heap[at] = i
	k.entries[i].heap = at
}
