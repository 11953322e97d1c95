package mc

// Limits that bound what one batch holds.
const (
	MaxKeyBytes  = 250       // memcached's KEY_MAX_LENGTH
	MaxLineBytes = 1 << 20   // of a get line, which may have many keys; for others see maxOtherLineBytes
	MaxRequests  = 256       // in a batch; a longer get line continues in the next one
	FullBytes    = 256 << 10 // of answers, after which a handler pauses: see Batch.Full
)

// A Handler answers batches: a cache, a pool, a router, or a function in a test.
//
// Serve answers b.Requests from b.Next on, in order, by appending to b.Out, and advances b.Next
// past each request that is completely answered. If b.Full reports true it may stop early, after at
// least one request: the server then writes the answers so far and calls Serve again for the rest.
// Each call of Serve ends with one call of b.Done, on any goroutine, before or after Serve returns;
// after Done the handler touches neither the batch nor anything that its requests borrow.
type Handler interface {
	Serve(b *Batch)
}

// HandlerFunc is a Handler that is a function.
type HandlerFunc func(b *Batch)

// Serve calls f.
func (f HandlerFunc) Serve(b *Batch) { f(b) }

// A Batch holds all complete requests that a connection had when it was read. Its answers are sent
// in one write. It is used by one goroutine at a time; Done returns it to its owner.
type Batch struct {
	Requests []Request
	Next     int    // the first request that is not answered yet
	Out      []byte // the answers, in order
	Pinned   []Pin  // large values that are in the answer by reference, in ascending order of At
	Lane     int    // the event loop that serves it: a hint for counters and locks that shouldn't be shared
	Carry    []byte // a handler's state for the rest of a get line that began in this batch; Reset keeps it
	Binary   bool   // the requests are of the binary protocol, and the answers must be; Reset keeps it
	OnLoop   bool   // Serve runs on that event loop, so work for the batch needs no wake-up
	Entry    int    // the server's listener that it came from, for handlers that serve them differently
	Conn     int    // the connection that it came from, for logs: its file descriptor, 0 if unknown

	pinnedBytes int
	done        func(*Batch)
}

// A Pin is a large value that is sent after the first At bytes of Out, directly from where it is
// stored. It doesn't change until Release, which the server calls once, even if the connection
// breaks.
type Pin struct {
	At      int
	Bytes   [][]byte
	Release func()
}

// NewBatch returns an empty batch whose Done calls done.
func NewBatch(done func(*Batch)) *Batch { return &Batch{done: done} }

// Done reports to the batch's owner that it is answered up to Next: see Handler.
func (b *Batch) Done() { b.done(b) }

// Full reports whether the answers so far should be written before more are appended. It bounds the
// memory that the server holds for a client that reads slowly.
func (b *Batch) Full() bool { return len(b.Out)+b.pinnedBytes >= FullBytes }

// Pin appends a value by reference.
func (b *Batch) Pin(bytes [][]byte, release func()) {
	b.Pinned = append(b.Pinned, Pin{At: len(b.Out), Bytes: bytes, Release: release})
	for _, p := range bytes {
		b.pinnedBytes += len(p)
	}
}

// Reset empties b for the next round of requests and keeps its memory. The pins must have been
// released.
func (b *Batch) Reset() {
	b.Requests = b.Requests[:0]
	b.Next = 0
	b.ResetOut()
}

// ResetOut removes the answers, which have been written, and keeps the requests.
func (b *Batch) ResetOut() {
	b.Out = b.Out[:0]
	clear(b.Pinned)
	b.Pinned = b.Pinned[:0]
	b.pinnedBytes = 0
}
