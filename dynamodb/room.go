package dynamodb

import (
	"context"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/semaphore"
)

// Limits of what large requests and answers may take together. Who finds no room waits for it, and small requests never do.
const (
	bodyRoomBytes = 256 << 20        // bodies above maxPooledBody that are received or worked on
	pageRoom      = 64               // pages of up to 1 MB that are made
	batchPages    = 8                // what an answer of up to 16 MB counts
	roomWait      = 10 * time.Second // before a request is refused
)

// rooms are the memory that requests share. A request waits for a body's room first and a page's then, so that no two wait for
// each other.
type rooms struct{ bodies, pages *semaphore.Weighted }

func newRooms() rooms {
	return rooms{semaphore.NewWeighted(bodyRoomBytes), semaphore.NewWeighted(pageRoom)}
}

// answerPages is how many pages the answer of an operation counts; 0 if it is small.
func answerPages(operation string) int64 {
	switch operation {
	case "Query", "Scan", "ExecuteStatement", "GetRecords":
		return 1
	case "BatchGetItem", "TransactGetItems", "BatchExecuteStatement", "ExecuteTransaction":
		return batchPages
	}
	return 0
}

// chunked is the length of a body whose header says none.
const chunked = -1

// bodyBytes is how much room a body takes, by what its header says of its length. One that will be refused for its length takes none.
func bodyBytes(length int) int64 {
	switch {
	case length == chunked:
		return maxBodyBytes
	case length <= maxPooledBody, length > maxBodyBytes:
		return 0
	}
	return int64(length)
}

var errNoRoom = &wireError{status: http.StatusServiceUnavailable, typ: coralAvailability + "ServiceUnavailableException",
	message: "Too many large requests at once"}

// refuseUnread answers a request whose body had no room. The connection is closed, since the body is still to come.
func (h *Handler) refuseUnread(ctx *fasthttp.RequestCtx, err error) {
	e := h.wireError(err)
	h.counters[""].count(e.status, e.typ)
	w := newWriter()
	e.write(w)
	ctx.SetConnectionClose()
	setRequestID(ctx)
	respondWriter(ctx, e.status, typeAmzJSON, w)
}

// wait takes n of s, and returns what gives it back.
func wait(ctx context.Context, s *semaphore.Weighted, n int64) (release func(), err error) {
	if n == 0 {
		return func() {}, nil
	}
	if !s.TryAcquire(n) {
		ctx, cancel := context.WithTimeout(ctx, roomWait)
		defer cancel()
		if err := s.Acquire(ctx, n); err != nil {
			return nil, errNoRoom
		}
	}
	return func() { s.Release(n) }, nil
}
