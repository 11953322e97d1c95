package rpc

import "sync"

// A queue holds the frames that wait to be written to a connection, one after the other as they
// will be on the wire, so that a write takes all of them. Bodies are copied into it.
type queue struct {
	maxBytes, maxFrames int

	mu      sync.Mutex // guards all below
	work    sync.Cond  // pending isn't empty any more, or closed
	space   sync.Cond  // pending was taken, or closed
	pending []byte
	frames  int    // in pending
	spare   []byte // what was written, for reuse as pending
	added   uint64 // frames, since the beginning
	taken   uint64 // likewise: those that have been taken to be written, the first ones that were added
	seen    uint64 // added, when addIfIdle was called last
	idle    bool   // the writer waits for work
	closed  bool
}

// keptQueue is the largest buffer that a queue keeps while it isn't needed.
const keptQueue = 1 << 20

func newQueue(maxBytes, maxFrames int) *queue {
	q := &queue{maxBytes: maxBytes, maxFrames: maxFrames}
	q.work.L, q.space.L = &q.mu, &q.mu
	return q
}

// An added says what has become of a frame.
type added uint8

const (
	queued added = iota
	full         // it is dropped
	gone         // likewise: the queue is closed
)

// add appends a frame, unless the queue is full, and returns its number.
func (q *queue) add(f *frame) (uint64, added) {
	sum := bodySum(f.body)
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.put(f, sum)
}

// addWaiting appends a frame once there is space. It says whether it could.
func (q *queue) addWaiting(f *frame) bool {
	sum := bodySum(f.body)
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		_, how := q.put(f, sum)
		if how != full {
			return how == queued
		}
		q.space.Wait()
	}
}

// addIfIdle appends a frame if nothing was added since it was called last, and nothing waits.
func (q *queue) addIfIdle(f *frame) {
	sum := bodySum(f.body)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.idle && q.added == q.seen {
		q.put(f, sum)
	}
	q.seen = q.added
}

func (q *queue) put(f *frame, sum uint32) (uint64, added) {
	switch {
	case q.closed:
		return 0, gone
	case q.frames > 0 && (q.frames >= q.maxFrames || len(q.pending)+headerBytes+len(f.body) > q.maxBytes):
		return 0, full
	}
	if q.pending == nil {
		q.pending, q.spare = q.spare, nil
	}
	q.pending = f.append(q.pending, sum)
	q.frames++
	q.added++
	if q.idle {
		q.idle = false
		q.work.Signal()
	}
	return q.added, queued
}

// take waits for frames and returns all that there are; !ok: the queue is closed.
func (q *queue) take() (batch []byte, frames int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.frames == 0 && !q.closed {
		q.idle = true
		q.work.Wait()
	}
	q.idle = false
	if q.closed {
		return nil, 0, false
	}
	batch, frames = q.pending, q.frames
	q.pending, q.frames, q.taken = nil, 0, q.added
	q.space.Broadcast()
	return batch, frames, true
}

// giveBack returns a batch that was written.
func (q *queue) giveBack(batch []byte) {
	if cap(batch) > keptQueue {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = batch[:0]
}

// wasTaken says whether the frame of this number may have been written.
func (q *queue) wasTaken(number uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return number <= q.taken
}

// close drops what is pending, and returns how many frames that is.
func (q *queue) close() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	dropped := q.frames
	q.closed, q.pending, q.spare, q.frames = true, nil, nil, 0
	q.work.Broadcast()
	q.space.Broadcast()
	return dropped
}
