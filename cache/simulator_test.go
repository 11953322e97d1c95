package cache

// Simulators of eviction policies on items: keys are numbers from 0, all items have one size, and
// there are no segments. policy_test.go compares the store with simulatedS3FIFO, and with
// simulatedSlabLRU, which is memcached's policy.

// A simulator reports whether a request is a hit; on a miss it stores the key.
type simulator interface{ get(key uint32) bool }

// misses plays keys and returns the share of misses.
func misses(s simulator, keys []uint32) float64 {
	n := 0
	for _, key := range keys {
		if !s.get(key) {
			n++
		}
	}
	return float64(n) / float64(len(keys))
}

// A fifo is a queue of keys.
type fifo struct {
	keys []uint32
	from int
}

func (q *fifo) len() int        { return len(q.keys) - q.from }
func (q *fifo) push(key uint32) { q.keys = append(q.keys, key) }
func (q *fifo) pop() uint32 {
	key := q.keys[q.from]
	q.from++
	if q.from > 4096 && q.from*2 > len(q.keys) {
		q.keys = append(q.keys[:0], q.keys[q.from:]...)
		q.from = 0
	}
	return key
}

// simulatedS3FIFO is the policy of evict.go, item by item, with its ghosts in one queue.
type simulatedS3FIFO struct {
	capacity int
	small    int // items that the small queue may have
	where    []uint8
	reads    []uint8
	ghostAt  []uint64 // by key: when it was evicted from the small queue, in such evictions; 0 never
	evicted  uint64   // from the small queue
	queues   [2]fifo
	mainFull bool
}

const absent = 2 // of where; else small or main

func newS3FIFO(keys, capacity int) *simulatedS3FIFO {
	s := &simulatedS3FIFO{capacity: capacity, small: capacity / smallParts,
		where: make([]uint8, keys), reads: make([]uint8, keys), ghostAt: make([]uint64, keys)}
	for i := range s.where {
		s.where[i] = absent
	}
	return s
}

func (s *simulatedS3FIFO) get(key uint32) bool {
	if s.where[key] != absent {
		s.reads[key] = min(s.reads[key]+1, freqMax)
		return true
	}
	for s.queues[small].len()+s.queues[main].len() >= s.capacity {
		s.evict()
	}
	q := uint8(small)
	if at := s.ghostAt[key]; at != 0 && s.evicted-at < uint64(s.capacity) {
		q = main
	}
	s.ghostAt[key] = 0
	s.put(key, q, 0)
	return false
}

func (s *simulatedS3FIFO) put(key uint32, q, reads uint8) {
	s.where[key], s.reads[key] = q, reads
	s.queues[q].push(key)
}

func (s *simulatedS3FIFO) evict() {
	if n := s.queues[small].len(); s.queues[main].len() == 0 || n > 0 && n > s.small {
		s.evictSmall()
		return
	}
	s.mainFull = true
	for {
		key := s.queues[main].pop()
		if s.reads[key] == 0 {
			s.where[key] = absent
			return
		}
		s.put(key, main, s.reads[key]-1)
	}
}

// evictSmall evicts an item of the small queue, unless all were read.
func (s *simulatedS3FIFO) evictSmall() {
	for s.queues[small].len() > 0 {
		key := s.queues[small].pop()
		switch reads := s.reads[key]; {
		case reads >= promoteReads || reads > 0 && !s.mainFull:
			s.put(key, main, 0)
		case reads > 0:
			s.put(key, small, 0)
		default:
			s.where[key] = absent
			s.evicted++
			s.ghostAt[key] = s.evicted
			return
		}
	}
}

// simulatedSlabLRU is memcached's segmented LRU (items.c) of one slab class, with the default
// shares: at most 20 % hot and 40 % warm. An item is active from its second read on. An active item
// goes to the warm queue when it would otherwise go to the cold one or be evicted.
type simulatedSlabLRU struct {
	capacity   int
	queue      []uint8
	reads      []uint8
	prev, next []uint32 // of a ring for each queue, whose head is key number keys+queue
	len        [4]int
	keys       int
}

const (
	nowhere = iota
	hot
	warm
	cold
)

func newSlabLRU(keys, capacity int) *simulatedSlabLRU {
	s := &simulatedSlabLRU{capacity: capacity, queue: make([]uint8, keys), reads: make([]uint8, keys),
		prev: make([]uint32, keys+4), next: make([]uint32, keys+4), keys: keys}
	for q := keys; q < keys+4; q++ {
		s.prev[q], s.next[q] = uint32(q), uint32(q)
	}
	return s
}

// put moves key to the head of queue q.
func (s *simulatedSlabLRU) put(key uint32, q, reads uint8) {
	if old := s.queue[key]; old != nowhere {
		s.next[s.prev[key]], s.prev[s.next[key]] = s.next[key], s.prev[key]
		s.len[old]--
	}
	s.queue[key], s.reads[key] = q, reads
	if q == nowhere {
		return
	}
	head := uint32(s.keys) + uint32(q)
	s.prev[key], s.next[key] = head, s.next[head]
	s.prev[s.next[head]], s.next[head] = key, key
	s.len[q]++
}

func (s *simulatedSlabLRU) oldest(q uint8) uint32 { return s.prev[s.keys+int(q)] }

func (s *simulatedSlabLRU) get(key uint32) bool {
	if s.queue[key] != nowhere {
		s.reads[key] = min(s.reads[key]+1, 2)
		if s.queue[key] == cold && s.reads[key] == 2 {
			s.put(key, warm, 1)
			s.balance()
		}
		return true
	}
	for s.len[hot]+s.len[warm]+s.len[cold] >= s.capacity {
		q := uint8(cold)
		for s.len[q] == 0 {
			q--
		}
		s.put(s.oldest(q), nowhere, 0)
	}
	s.put(key, hot, 0)
	s.balance()
	return false
}

// balance limits the hot and the warm queue to their shares.
func (s *simulatedSlabLRU) balance() {
	s.shrink(hot, s.capacity*20/100)
	s.shrink(warm, s.capacity*40/100)
}

func (s *simulatedSlabLRU) shrink(q uint8, limit int) {
	for s.len[q] > limit {
		if key := s.oldest(q); s.reads[key] == 2 {
			s.put(key, warm, 1)
		} else {
			s.put(key, cold, s.reads[key])
		}
	}
}
