package dynamodb

import "sync"

// A pending request is a request before its body is read: what its header says, and the resources
// that it holds.
type pending struct {
	contentType string // of the response
	typed       bool   // the request's content type is one of DynamoDB's
	op          operation
	known       bool  // op exists
	claim       claim // the zero claim if any credentials are accepted
	hold        hold
	reader      bodyReader
}

var pendings = sync.Pool{New: func() any { return new(pending) }}

func newPending(m *memory) *pending {
	r := pendings.Get().(*pending)
	chunks := r.reader.chunks
	*r = pending{hold: hold{m: m}}
	r.reader.chunks = chunks
	return r
}

// maxPooledChunks is the most chunks that a body may have had for its reader to be reused.
const maxPooledChunks = 64

// release returns what the request holds.
func (r *pending) release() {
	r.hold.release()
	if cap(r.reader.chunks) <= maxPooledChunks {
		pendings.Put(r)
	}
}
