package server

import (
	"sync/atomic"
	"unsafe"

	"holdfast/loop"
	"holdfast/mc"
)

// A work is what a connection has while requests of it are being answered, and the lane otherwise:
// the batch, and how far its answers are written.
type work struct {
	conn  *conn
	batch *mc.Batch

	// state decides what continues after Serve: the loop, if Done was called before Serve returned,
	// else the caller of Done. Both check it, and the later one continues.
	state   atomic.Uint32
	proceed func() // conn.proceed, made once

	writing bool     // the answers are being written; nothing is added to them
	total   int      // their bytes, pinned values included
	sent    int      // how many of them the socket took
	written int      // bytes in this turn of the connection
	answers int      // batches with answers since the connection was at rest
	served  int      // where in the batch Serve began last, -1 before it has
	pieces  [][]byte // scratch for one writev

	dump dump
}

// States of work.
const (
	here uint32 = iota // the connection's own, or Serve runs and Done has not been called
	left               // Serve has returned and Done is to come, or the connection has yielded: proceed is to come
	done               // Done has been called while Serve ran
)

func newWork() *work {
	w := &work{}
	w.batch = mc.NewBatch(w.finished)
	w.proceed = func() {
		w.state.Store(here)
		w.conn.proceed()
	}
	return w
}

// finished is the batch's Done.
func (w *work) finished(*mc.Batch) {
	if !w.state.CompareAndSwap(here, done) {
		w.conn.stream.Post(w.proceed)
	}
}

// leave is called when Serve has returned. It reports whether Done has not been called yet.
func (w *work) leave() bool {
	if w.state.Load() != done && w.state.CompareAndSwap(here, left) {
		return true
	}
	w.state.Store(here)
	return false
}

// bytes is the memory of the buffers that a free work keeps.
func (w *work) bytes() int {
	return cap(w.batch.Out) + cap(w.batch.Requests)*int(unsafe.Sizeof(mc.Request{}))
}

// heldBytes is the memory that the answers take until they are written.
func (w *work) heldBytes() int {
	n := cap(w.batch.Out)
	for _, pin := range w.batch.Pinned {
		for _, p := range pin.Bytes {
			n += len(p)
		}
	}
	return n
}

// answer appends a line of the server's own.
func (w *work) answer(line string) { w.batch.Out = append(w.batch.Out, line...) }

// answered reports whether there are answers to write.
func (w *work) answered() bool { return len(w.batch.Out)+len(w.batch.Pinned) > 0 }

// away reports whether proceed is to come, so that the work must not be returned before it.
func (w *work) away() bool { return w.state.Load() == left }

// release ends the answers, written or not.
func (w *work) release() {
	for _, pin := range w.batch.Pinned {
		pin.Release()
	}
	w.batch.ResetOut()
	w.writing, w.sent, w.total = false, 0, 0
	w.answers++
}

// send writes on from where it stopped. It returns how much the socket took.
func (w *work) send(stream loop.Stream) (int, error) {
	if len(w.batch.Pinned) == 0 {
		w.total = len(w.batch.Out)
		n, err := stream.Write(w.batch.Out[w.sent:])
		w.sent += n
		return n, err
	}
	w.pieces = w.pieces[:0]
	w.total = 0
	at := 0
	for _, pin := range w.batch.Pinned {
		w.add(w.batch.Out[at:pin.At])
		at = pin.At
		for _, p := range pin.Bytes {
			w.add(p)
		}
	}
	w.add(w.batch.Out[at:])
	n, err := stream.Writev(w.pieces)
	clear(w.pieces)
	w.sent += n
	return n, err
}

// add appends to the pieces what of p is not sent yet.
func (w *work) add(p []byte) {
	before := w.total
	w.total += len(p)
	if w.total > w.sent {
		w.pieces = append(w.pieces, p[max(0, w.sent-before):])
	}
}

// unwritten reports whether send has more to do.
func (w *work) unwritten() bool { return w.sent < w.total }
