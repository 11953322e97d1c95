package table

import (
	"errors"
	"strings"

	"holdfast"
)

// Error says what DynamoDB says of a ConditionalCheckFailedException.
func (e *ConditionError) Error() string { return "The conditional request failed" }

// Is says that the error is holdfast.Failed.
func (e *ConditionError) Is(target error) bool { return target == holdfast.Failed }

// Error says what DynamoDB says of a TransactionCanceledException: with the code of each action, in order.
func (e *CanceledError) Error() string {
	codes := make([]string, len(e.Reasons))
	for i, r := range e.Reasons {
		codes[i] = r.Code
	}
	return "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]"
}

// Is says that the error is holdfast.Canceled.
func (e *CanceledError) Is(target error) bool { return target == holdfast.Canceled }

// ErrTokenReused says that a transaction came with the token of another one. It is holdfast.Invalid, and DynamoDB calls it
// IdempotentParameterMismatchException.
var ErrTokenReused = holdfast.Errorf(holdfast.Invalid, "DynamoDB rejected the request because you retried a request with a "+
	"different payload but with an idempotent token that was already used.")

// invalid returns a ValidationException of DynamoDB.
func invalid(format string, args ...any) error {
	return holdfast.Errorf(holdfast.Invalid, format, args...)
}

// outlived returns err, or that there is no such table, if that is why its shards are closed.
func (s *Store) outlived(t *live, err error) error {
	if !errors.Is(err, holdfast.Closed) {
		return err
	}
	if now, missing := s.live(t.desc.Name); missing != nil || now.desc.ID != t.desc.ID {
		return missingTable()
	}
	return err
}

// outlivedAny is outlived for a commit of several tables.
func (s *Store) outlivedAny(changes []*change, err error) error {
	for _, c := range changes {
		if said := s.outlived(c.t, err); said != err {
			return said
		}
	}
	return err
}

func missingTable() error { return holdfast.Errorf(holdfast.NotFound, "Requested resource not found") }
