package router

import (
	"holdfast/journal"
	"holdfast/loop"
	"holdfast/mc"
	"holdfast/upstream"
)

// A lane is what one event loop has of the router. Its lock is taken by whoever enters: the loop,
// and the goroutines of connections that are on none. Nothing is called with it that may wait.
type lane struct {
	router *Router
	index  int
	loop   *loop.Loop

	*upstream.Lane // the connections; its lock guards all below, and the lane's flights and queries

	flights     []*flight // free ones
	reads       []*read   // likewise
	fills       int       // in flight for cold members
	answerBytes int       // of the flights that are not free
	meanBytes   int       // of an answer, lately
	scratch     []byte    // for the words of an answer that is made here
	random      uint64    // state of a small generator
	counts      counts

	notes *journal.Lane // of writes in flight; nil if they aren't noted, and once the router is closed

	_ [64]byte // lanes don't share a cache line
}

// Serve takes the batch to the members; it is done when all have answered.
func (r *Router) Serve(b *mc.Batch) {
	l := r.lanes[b.Lane]
	l.Lock()
	l.launch(b)
	wake := !b.OnLoop && l.Dirty()
	l.Unlock()
	if wake {
		l.loop.Post(l.Flush)
	}
}

// rand returns the next of a sequence of numbers that are random enough to spread load.
func (l *lane) rand() uint64 {
	l.random += 0x9e3779b97f4a7c15 // splitmix64
	z := l.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
