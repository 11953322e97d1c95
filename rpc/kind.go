package rpc

import (
	"errors"
	"fmt"

	"holdfast"
)

// wireKinds are the kinds of errors by their numbers on the wire, which are never used for another.
var wireKinds = [...]holdfast.Kind{
	1: holdfast.Invalid, 2: holdfast.NotFound, 3: holdfast.Exists, 4: holdfast.Failed, 5: holdfast.Canceled,
	6: holdfast.Conflict, 7: holdfast.Limit, 8: holdfast.Overloaded, 9: holdfast.Gone, 10: holdfast.Full,
	11: holdfast.Unavailable, 12: holdfast.Corrupt, 13: holdfast.Behind, 14: holdfast.Lost,
	15: holdfast.NotLeader, 16: holdfast.Refused, 17: holdfast.Closed,
}

// maxErrorText is the length of the longest text of an error on the wire.
const maxErrorText = 4096

// wireError returns the number and the text of an error as a failure has them. Texts of errors that
// have no kind are for the log of this node, and aren't sent.
func wireError(err error) (uint8, string) {
	var e *holdfast.Error
	var kind holdfast.Kind
	text := ""
	switch {
	case errors.As(err, &e):
		kind, text = e.Kind, e.Text
	case !errors.As(err, &kind):
		kind, text = holdfast.Unavailable, "the other node has failed: outcome unknown"
	}
	text = text[:min(len(text), maxErrorText)]
	for number, k := range wireKinds {
		if k == kind && number > 0 {
			return uint8(number), text
		}
	}
	return 0, text
}

// errorOf returns the error that a failure has. One of a kind that this node doesn't know, since
// the other is newer, leaves the outcome unknown.
func errorOf(number uint8, text string) error {
	if number == 0 || int(number) >= len(wireKinds) {
		return &holdfast.Error{
			Kind: holdfast.Unavailable,
			Text: fmt.Sprintf("an error of the unknown kind %d: outcome unknown: %s", number, text),
		}
	}
	kind := wireKinds[number]
	if text == "" {
		text = kind.Error()
	}
	return &holdfast.Error{Kind: kind, Text: text}
}
