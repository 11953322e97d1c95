package upstream

import "holdfast/mc"

// pending is a request that an upstream has not answered yet.
type pending struct {
	request *mc.Request
	to      Receiver
	at      int64  // when it was enqueued, Unix nanoseconds
	epoch   uint64 // of the upstream then
	form    form
	last    bool   // of a get line
	alone   bool   // the get line's only key
	key     []byte // of a get, to match it with VALUE lines; its own copy
}

// A form is how an answer is read.
type form uint8

const (
	formGet  form = iota // VALUE lines with blocks, END
	formLine             // one line
	formMeta             // one line, of VA with a block
)

// formOf returns the form of the answers to op.
func formOf(op mc.Op) form {
	switch {
	case op.IsGet():
		return formGet
	case op.IsMeta():
		return formMeta
	}
	return formLine
}

// A queue holds pending requests in the order of their answers. It is a ring, which reuses the
// memory of its keys.
type queue struct {
	ring  []pending // a power of two long, or empty
	first int
	count int
}

func (q *queue) len() int { return q.count }

// at returns the i-th pending request.
func (q *queue) at(i int) *pending { return &q.ring[(q.first+i)&(len(q.ring)-1)] }

// back returns the request that was pushed last.
func (q *queue) back() *pending { return q.at(q.count - 1) }

// push adds a request at the end and returns it, with the memory for its key of an earlier one.
func (q *queue) push() *pending {
	if q.count == len(q.ring) {
		q.grow()
	}
	q.count++
	return q.back()
}

// pop removes the first request, which stays valid until the next push.
func (q *queue) pop() *pending {
	p := q.at(0)
	q.first = (q.first + 1) & (len(q.ring) - 1)
	q.count--
	return p
}

func (q *queue) grow() {
	ring := make([]pending, max(16, 2*len(q.ring)))
	for i := range q.count {
		ring[i] = *q.at(i)
	}
	q.ring, q.first = ring, 0
}
