package partiql

import (
	"fmt"

	"holdfast"
)

// malformed returns the error of a text that isn't a statement; detail is "" for a text that isn't
// even tokens.
func malformed(detail string) error {
	return invalid("Statement wasn't well formed, can't be processed: %s", detail)
}

func invalid(format string, args ...any) error {
	return holdfast.Errorf(holdfast.Invalid, format, args...)
}

// unexpectedTerm is the detail where a value, a path or a condition should begin.
const unexpectedTerm = "Unexpected term"

// place returns the position of a token as DynamoDB's messages have it: line, column and length, in
// characters from 1.
func (t *token) place() string { return fmt.Sprintf("%d:%d:%d", t.line, t.column, t.length) }
