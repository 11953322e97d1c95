package group

import "sync"

// A queue hands items from goroutines that don't wait to one that takes all there are at once.
type queue[T any] struct {
	mu     sync.Mutex
	filled sync.Cond // items isn't empty, or closed
	items  []T
	closed bool
}

func newQueue[T any]() *queue[T] {
	q := &queue[T]{}
	q.filled.L = &q.mu
	return q
}

// put adds items. It reports false if the queue is closed.
func (q *queue[T]) put(items ...T) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.items = append(q.items, items...)
	q.filled.Signal()
	return true
}

// take waits for items, and returns them. It reports false as soon as the queue is closed.
func (q *queue[T]) take() ([]T, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.filled.Wait()
	}
	items := q.items
	q.items = nil
	return items, !q.closed
}

// close closes the queue.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}

func (q *queue[T]) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}
