package holdfast

import (
	"errors"
	"fmt"
)

// A Kind says what a caller can do about an error. It is an error itself, so that
// errors.Is(err, holdfast.NotFound) works across packages.
type Kind uint8

// The kinds of errors.
const (
	Invalid     Kind = iota + 1 // the request is wrong: don't repeat it
	NotFound                    // what it names isn't there
	Exists                      // what it names is there already, or is changing: wait, then look
	Failed                      // its condition doesn't hold
	Canceled                    // a transaction of which a part failed: nothing was changed
	Conflict                    // another write of the same item is in flight: repeat it
	Limit                       // it would pass a limit on how many there may be
	Overloaded                  // refused, nothing was changed: repeat it later
	Gone                        // the position that it names is no longer kept
	Full                        // the disk is full: refused, nothing was changed
	Unavailable                 // the outcome is unknown
	Corrupt                     // what is on disk isn't what was written
	Behind                      // what answers lacks what the token has seen, and will have it: repeat it
	Lost                        // what the token has seen isn't there any more: begin a new token
	NotLeader                   // another replica takes what this one was asked for: nothing was changed
	Refused                     // a log doesn't take it as things are: nothing was changed
	Closed                      // the part is stopping, or has stopped
)

var kinds = [...]string{
	Invalid: "invalid", NotFound: "not found", Exists: "exists", Failed: "condition failed", Canceled: "canceled",
	Conflict: "conflict", Limit: "limit exceeded", Overloaded: "overloaded", Gone: "gone", Full: "disk full",
	Unavailable: "unavailable", Corrupt: "corrupt", Closed: "closed", Behind: "behind", Lost: "lost",
	NotLeader: "not the leader", Refused: "refused",
}

// Error returns the kind's name.
func (k Kind) Error() string {
	if int(k) < len(kinds) && kinds[k] != "" {
		return kinds[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// An Error is a text for the caller with its kind. The cause, if there is one, is for the log.
type Error struct {
	Kind Kind
	Text string // for the caller
	Err  error  // the cause, or nil; for the log

	// Shard is the shard whose group, or whose replica here, the error is about, and which Text calls
	// "shard 12"; 0: none. Another node's error has none.
	Shard ShardID
}

// Errorf returns an Error. What follows a %w in format becomes the cause. The error is about the first
// of args that is a ShardID, or else what the cause is about.
func Errorf(kind Kind, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	e := &Error{Kind: kind, Text: wrapped.Error()}
	if cause, ok := wrapped.(interface{ Unwrap() error }); ok {
		e.Err = cause.Unwrap()
	}
	for _, arg := range args {
		if id, ok := arg.(ShardID); ok && e.Shard == 0 {
			e.Shard = id
		}
	}
	if inner := (*Error)(nil); e.Shard == 0 && errors.As(e.Err, &inner) {
		e.Shard = inner.Shard
	}
	return e
}

func (e *Error) Error() string { return e.Text }

// Is says whether target is the error's kind.
func (e *Error) Is(target error) bool {
	kind, ok := target.(Kind)
	return ok && kind == e.Kind
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
