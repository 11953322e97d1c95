package upstream

import (
	"bytes"

	"holdfast/mc"
)

// A Receiver gets the answer to a request that was enqueued.
type Receiver interface {
	// Receive is called exactly once, with the lane locked. What the answer borrows is valid during
	// the call.
	Receive(a *Answer)
}

// A Result is the outcome of a request.
type Result uint8

const (
	Hit       Result = iota // a value, or what a meta get asked for
	Miss                    // of a get
	Done                    // stored, deleted, touched, counted
	NotStored               // add, replace, append, prepend
	Exists                  // cas
	NotFound                // of requests other than gets

	ClientError // the request is wrong: no other member would take it

	// The failures: another member may do better.
	ServerError    // the member answered SERVER_ERROR, or something that can't be parsed
	Busy           // too many requests are waiting for the member
	Down           // the member is known to be down: nothing was sent
	Connect        // refused, unreachable: nothing was sent
	ConnectTimeout // likewise
	Timeout        // perhaps sent, but not answered in time
	Closed         // perhaps sent, but the connection broke
)

// Failed reports whether another member may do better.
func (r Result) Failed() bool { return r >= ServerError }

// Unsent reports whether the member has certainly not received the request.
func (r Result) Unsent() bool { return r >= Busy && r <= ConnectTimeout }

// CountsAsSent reports whether the member may have received the request, or would refuse it again
// if it were sent again at once.
func (r Result) CountsAsSent() bool { return !r.Unsent() || r == Busy }

// resultNames are those of failures in Options, and of all in metrics.
var resultNames = [...]string{
	Hit: "hit", Miss: "miss", Done: "done", NotStored: "not_stored", Exists: "exists",
	NotFound: "not_found", ClientError: "client_error", ServerError: "server_error", Busy: "busy",
	Down: "down", Connect: "connect", ConnectTimeout: "connect_timeout", Timeout: "timeout",
	Closed: "closed",
}

func (r Result) String() string { return resultNames[r] }

// An Answer is the answer of a member, or of a route, to a request.
type Answer struct {
	Result Result
	// Wire is the answer as it goes to the client, \r\n included: of a classic get the VALUE line and
	// the block, or nothing for a miss; END isn't in it.
	Wire []byte
	// Missed is set on the failure of a read if the client gets a miss instead (Pool.OnError). Routes
	// that try another child after a failure still do so.
	Missed bool
}

// Own returns a copy that borrows nothing.
func (a *Answer) Own() Answer {
	return Answer{Result: a.Result, Wire: append([]byte(nil), a.Wire...), Missed: a.Missed}
}

// refuse answers a request with a failure that this process found.
func (l *Lane) refuse(to Receiver, r Result, text string) {
	l.scratch = mc.AppendServerError(l.scratch[:0], text)
	to.Receive(&Answer{Result: r, Wire: l.scratch})
}

// ParseResult returns the result of a whole answer to r; false if it can't be one. The answer to a
// get that missed has no bytes.
func ParseResult(wire []byte, r *mc.Request) (Result, bool) {
	if len(wire) == 0 {
		return Miss, true
	}
	var first mc.Answer
	if !parseLine(&first, wire[:bytes.IndexByte(wire, '\n')+1]) {
		return 0, false
	}
	switch first.Kind {
	case mc.AnswerValue:
		return Hit, r.Op.IsGet()
	case mc.AnswerVA:
		return found(r), r.Op.IsMeta()
	}
	return lineResult(&first, formOf(r.Op), r)
}
