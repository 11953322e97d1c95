package dynamodb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"holdfast"
	"holdfast/table"
)

func TestWireErrors(t *testing.T) {
	const internal = "InternalServerError"
	for _, test := range []struct {
		err    error
		status int
		typ    string
		text   string
		logged string // the log contains it; "" if the log must be empty
	}{
		{holdfast.Errorf(holdfast.Invalid, "no %d", 1), 400, "ValidationException", "no 1", ""},
		{fmt.Errorf("while: %w", holdfast.Errorf(holdfast.NotFound, "none")), 400, "ResourceNotFoundException", "none", ""},
		{holdfast.Errorf(holdfast.Exists, "x"), 400, "ResourceInUseException", "x", ""},
		{holdfast.Errorf(holdfast.Limit, "x"), 400, "LimitExceededException", "x", ""},
		{holdfast.Errorf(holdfast.Conflict, "x"), 400, "TransactionConflictException", "x", ""},
		{holdfast.Errorf(holdfast.Overloaded, "x"), 400, "ProvisionedThroughputExceededException", "x", ""},
		{holdfast.Errorf(holdfast.Gone, "x"), 400, "TrimmedDataAccessException", "x", ""},
		{holdfast.Errorf(holdfast.Full, "the disk is full"), 503, "ServiceUnavailableException", "the disk is full", ""},
		{holdfast.Errorf(holdfast.Closed, "x"), 503, "ServiceUnavailableException", "x", ""},
		{holdfast.Errorf(holdfast.Behind, "x"), 503, "ServiceUnavailableException", "x", ""},
		{holdfast.Errorf(holdfast.Lost, "x"), 400, "TokenLostException", "x", ""},
		{holdfast.Errorf(holdfast.Unavailable, "x: %w", errors.New("sync failed")), 500, internal, "x", "sync failed"},
		{holdfast.Errorf(holdfast.Unavailable, "outcome unknown: x"), 500, internal, "outcome unknown: x", ""},
		{holdfast.Errorf(holdfast.Corrupt, "secret"), 500, internal, "unknown error", "secret"},
		{errors.New("secret"), 500, internal, "unknown error", "secret"},
		{context.Canceled, 500, internal, "canceled", ""},
		{table.ErrTokenReused, 400, "IdempotentParameterMismatchException", "", ""},
		{&table.ConditionError{}, 400, "ConditionalCheckFailedException", "The conditional request failed", ""},
		{fmt.Errorf("while: %w", &table.CanceledError{}), 400, "TransactionCanceledException", "Transaction cancelled", ""},
		{invalid("x"), 400, "ValidationException", "x", ""},
	} {
		var log bytes.Buffer
		got := wireErrorOf(test.err, slog.New(slog.NewTextHandler(&log, nil)))
		if got.status != test.status || wireType(got) != test.typ || !strings.Contains(got.message, test.text) {
			t.Errorf("%v: got %d %s %s; want %d %s %s", test.err, got.status, got.typ, got.message, test.status, test.typ,
				test.text)
		}
		if (test.logged == "") != (log.Len() == 0) || !strings.Contains(log.String(), test.logged) {
			t.Errorf("%v: got log %q; want %q in it", test.err, log.String(), test.logged)
		}
	}
}
