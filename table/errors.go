package table

import (
	"strings"

	"holdfast"
	"holdfast/shard"
)

// Error returns the message of DynamoDB's ConditionalCheckFailedException.
func (e *ConditionError) Error() string { return "The conditional request failed" }

// Is reports that the error is holdfast.Failed.
func (e *ConditionError) Is(target error) bool { return target == holdfast.Failed }

// Error returns the message of DynamoDB's TransactionCanceledException, with the code of each
// action, in order.
func (e *CanceledError) Error() string {
	codes := make([]string, len(e.Reasons))
	for i, r := range e.Reasons {
		codes[i] = r.Code
	}
	return "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") +
		"]"
}

// Is reports that the error is holdfast.Canceled.
func (e *CanceledError) Is(target error) bool { return target == holdfast.Canceled }

// ErrTokenReused is the error of a transaction that has the token of another one. It is
// holdfast.Invalid; DynamoDB calls it IdempotentParameterMismatchException.
var ErrTokenReused = holdfast.Errorf(holdfast.Invalid, "DynamoDB rejected the request because you retried a request "+
	"with a "+
	"different payload but with an idempotent token that was already used.")

// invalid returns a ValidationException of DynamoDB.
func invalid(format string, args ...any) error {
	return holdfast.Errorf(holdfast.Invalid, format, args...)
}

// missingTable is DynamoDB's error for a table that doesn't exist, for requests for its items.
func missingTable() error { return holdfast.Errorf(holdfast.NotFound, "Requested resource not found") }

// noTable is DynamoDB's error for a table that doesn't exist, for requests that aren't for its
// items.
func noTable(name string) error {
	return holdfast.Errorf(holdfast.NotFound, "Requested resource not found: Table: %s not found", name)
}

// inUse is DynamoDB's error for a table that can't be changed yet.
func inUse(doing, name string) error {
	return holdfast.Errorf(holdfast.Exists, "Attempt to change a resource which is still in use: Table is being %s: %s",
		doing, name)
}

// hasSpace returns holdfast.Full if the disk takes no commits but removals.
func hasSpace(disk *shard.Store) error {
	if disk.Space().Full {
		return holdfast.Errorf(holdfast.Full, "the disk is full: writes are refused until there is space")
	}
	return nil
}
