package router

import (
	"holdfast/journal"
	"holdfast/loop"
	"holdfast/mc"
	"holdfast/upstream"
)

// A lane is one event loop's part of the router. The loop takes its lock, and so do the goroutines
// of connections that aren't on a loop. No function that may block is called with it held.
type lane struct {
	router *Router
	index  int
	loop   *loop.Loop

	*upstream.Lane // the connections; its lock guards all below, and the lane's flights and queries

	flights     []*flight // free ones
	reads       []*read   // likewise
	fills       int       // in flight for cold members
	answerBytes int       // of the flights that are not free
	meanBytes   int       // of an answer, a moving average
	scratch     []byte    // for the bytes of an answer that the router makes
	random      uint64    // state of a pseudorandom generator
	counts      counts

	notes *journal.Lane // records writes in flight; nil if they aren't recorded, and once the router is closed

	_ [64]byte // lanes don't share a cache line
}

// Serve forwards the batch's requests to members. The batch is done when all are answered.
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

// rand returns the next pseudorandom number, which is good enough to spread load.
func (l *lane) rand() uint64 {
	l.random += 0x9e3779b97f4a7c15 // splitmix64
	z := l.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
