package router

import (
	"bytes"

	"holdfast/mc"
)

// A Receiver gets the answer to a request that was enqueued.
type Receiver interface {
	// Receive is called exactly once, with the lane locked. What the answer borrows is valid during
	// the call.
	Receive(a *answer)
}

// A result is what an answer says.
type result uint8

const (
	resultHit       result = iota // a value, or what a meta get asked for
	resultMiss                    // of a get
	resultDone                    // stored, deleted, touched, counted
	resultNotStored               // add, replace, append, prepend
	resultExists                  // cas
	resultNotFound                // of others than gets

	resultClientError // the request is wrong: no other member would take it

	// The failures: another member may do better.
	resultServerError    // the member says SERVER_ERROR, or what isn't understood
	resultBusy           // too many requests are waiting for the member
	resultDown           // the member is known to be down: nothing was sent
	resultConnect        // refused, unreachable: nothing was sent
	resultConnectTimeout // likewise
	resultTimeout        // sent, perhaps, and no answer in time
	resultClosed         // sent, perhaps, and the connection broke
)

// failed reports whether another member may do better.
func (r result) failed() bool { return r >= resultServerError }

// unsent reports whether the member has surely not seen the request.
func (r result) unsent() bool { return r >= resultBusy && r <= resultConnectTimeout }

// countsAsSent reports whether the member may have seen the request, or would only refuse it again
// if it were sent again at once.
func (r result) countsAsSent() bool { return !r.unsent() || r == resultBusy }

// resultNames are those of failures in Options, and of all in metrics.
var resultNames = [...]string{
	resultHit: "hit", resultMiss: "miss", resultDone: "done", resultNotStored: "not_stored", resultExists: "exists",
	resultNotFound: "not_found", resultClientError: "client_error", resultServerError: "server_error", resultBusy: "busy",
	resultDown: "down", resultConnect: "connect", resultConnectTimeout: "connect_timeout", resultTimeout: "timeout",
	resultClosed: "closed",
}

func (r result) String() string { return resultNames[r] }

// An answer is what a member, or a route, says to a request.
type answer struct {
	result result
	// wire is the answer as it goes to the client, \r\n included: of a classic get the VALUE line and
	// the block, or nothing for a miss; END isn't in it.
	wire []byte
	// missed is set on the failure of a read whose pool has its clients told of a miss instead
	// (Pool.OnError). Routes that go on after a failure do so all the same.
	missed bool
}

// own returns a copy that borrows nothing.
func (a *answer) own() answer {
	return answer{result: a.result, wire: append([]byte(nil), a.wire...), missed: a.missed}
}

// refuse answers a request with a failure that was found here.
func (l *Lane) refuse(to Receiver, r result, text string) {
	l.scratch = mc.AppendServerError(l.scratch[:0], text)
	to.Receive(&answer{result: r, wire: l.scratch})
}

// parseResult returns what a whole answer to r says; false if it can't be one. A missed get has no
// bytes.
func parseResult(wire []byte, r *mc.Request) (result, bool) {
	switch {
	case len(wire) == 0:
		return resultMiss, true
	case bytes.HasPrefix(wire, valueWord):
		return resultHit, true
	case bytes.HasPrefix(wire, vaWord):
		return found(r), true
	}
	return lineResult(wire, formOf(r.Op), r)
}
