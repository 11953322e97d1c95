package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"holdfast"
	"holdfast/table"
)

// A wireError is an error as it is sent to a client.
type wireError struct {
	status  int
	typ     string        // __type, in full
	message string        // "" is none
	upper   bool          // the message's name is Message instead of message
	extra   func(*writer) // writes more members; nil is none
	body    []byte        // the JSON, if another node has written it; then only status and typ are set, too
}

func (e *wireError) Error() string { return e.message }

// The namespaces of __type.
const (
	coralService      = "com.amazon.coral.service#"
	coralValidate     = "com.amazon.coral.validate#"
	coralAvailability = "com.amazon.coral.availability#"
	dynamodbTypes     = "com.amazonaws.dynamodb.v20120810#"
	ownTypes          = "com.holdfast#" // DynamoDB has no such exception
)

// invalid returns a ValidationException.
func invalid(format string, args ...any) error {
	return &wireError{
		status:  http.StatusBadRequest,
		typ:     coralValidate + "ValidationException",
		message: fmt.Sprintf(format, args...),
	}
}

// serialization returns a SerializationException; a message of "" is none.
func serialization(message string) error {
	return &wireError{
		status:  http.StatusBadRequest,
		typ:     coralService + "SerializationException",
		message: message,
		upper:   true,
	}
}

// exception returns one of DynamoDB's own exceptions, such as BackupNotFoundException.
func exception(name, format string, args ...any) error {
	return &wireError{status: http.StatusBadRequest, typ: dynamodbTypes + name, message: fmt.Sprintf(format, args...)}
}

// exceptions maps kinds of errors to DynamoDB's exceptions. AWS's SDKs retry those of status 500
// and 503.
var exceptions = map[holdfast.Kind]struct {
	status int
	typ    string
}{
	holdfast.Invalid:     {http.StatusBadRequest, coralValidate + "ValidationException"},
	holdfast.NotFound:    {http.StatusBadRequest, dynamodbTypes + "ResourceNotFoundException"},
	holdfast.Exists:      {http.StatusBadRequest, dynamodbTypes + "ResourceInUseException"},
	holdfast.Failed:      {http.StatusBadRequest, dynamodbTypes + "ConditionalCheckFailedException"},
	holdfast.Canceled:    {http.StatusBadRequest, dynamodbTypes + "TransactionCanceledException"},
	holdfast.Conflict:    {http.StatusBadRequest, dynamodbTypes + "TransactionConflictException"},
	holdfast.Limit:       {http.StatusBadRequest, dynamodbTypes + "LimitExceededException"},
	holdfast.Overloaded:  {http.StatusBadRequest, dynamodbTypes + "ProvisionedThroughputExceededException"},
	holdfast.Gone:        {http.StatusBadRequest, dynamodbTypes + "TrimmedDataAccessException"},
	holdfast.Behind:      {http.StatusServiceUnavailable, coralAvailability + "ServiceUnavailableException"},
	holdfast.Lost:        {http.StatusBadRequest, ownTypes + "TokenLostException"},
	holdfast.NotLeader:   {http.StatusServiceUnavailable, coralAvailability + "ServiceUnavailableException"},
	holdfast.Refused:     {http.StatusServiceUnavailable, coralAvailability + "ServiceUnavailableException"},
	holdfast.Full:        {http.StatusServiceUnavailable, coralAvailability + "ServiceUnavailableException"},
	holdfast.Closed:      {http.StatusServiceUnavailable, coralAvailability + "ServiceUnavailableException"},
	holdfast.Unavailable: {http.StatusInternalServerError, dynamodbTypes + "InternalServerError"},
}

// wireErrorOf converts any error to the one that is sent. It is the only place where kinds become
// exceptions. Errors that should never happen are logged here with their cause; a full disk is a
// state, which package shard logs.
func wireErrorOf(err error, log *slog.Logger) *wireError {
	var (
		wire      *wireError
		condition *table.ConditionError
		canceled  *table.CanceledError
		ours      *holdfast.Error
	)
	switch {
	case errors.As(err, &wire):
		return wire
	case errors.As(err, &condition):
		return conditionFailed(condition)
	case errors.As(err, &canceled):
		return transactionCanceled(canceled)
	case errors.Is(err, table.ErrTokenReused):
		return &wireError{status: http.StatusBadRequest, typ: dynamodbTypes + "IdempotentParameterMismatchException",
			message: err.Error(), upper: true}
	case errors.As(err, &ours):
		if e, ok := exceptions[ours.Kind]; ok {
			if ours.Kind == holdfast.Unavailable {
				log.Log(context.Background(), levelOf(ours), "outcome unknown", "err", err, "cause", ours.Err)
			}
			return &wireError{status: e.status, typ: e.typ, message: ours.Text}
		}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &wireError{status: http.StatusInternalServerError, typ: dynamodbTypes + "InternalServerError",
			message: "The request was canceled before it completed"}
	}
	log.Error("request failed", "err", err, "cause", errors.Unwrap(err))
	return internalError()
}

// levelOf is the level at which an outcome that isn't known is logged. Each failover of a cluster
// leaves some, which say so and are counted; any other is a failure of this node.
func levelOf(err *holdfast.Error) slog.Level {
	if strings.HasPrefix(err.Text, outcomeUnknown) {
		return slog.LevelDebug
	}
	return slog.LevelError
}

// internalError is the response to an error that should never happen.
func internalError() *wireError {
	return &wireError{status: http.StatusInternalServerError, typ: dynamodbTypes + "InternalServerError",
		message: "The request processing has failed because of an unknown error, exception or failure."}
}

func conditionFailed(e *table.ConditionError) *wireError {
	return &wireError{
		status:  http.StatusBadRequest,
		typ:     dynamodbTypes + "ConditionalCheckFailedException",
		message: e.Error(),
		extra:   func(w *writer) { w.itemField("Item", e.Item) },
	}
}

func transactionCanceled(e *table.CanceledError) *wireError {
	return &wireError{
		status:  http.StatusBadRequest,
		typ:     dynamodbTypes + "TransactionCanceledException",
		message: e.Error(),
		upper:   true,
		extra: func(w *writer) {
			w.name("CancellationReasons")
			w.beginArray()
			for _, r := range e.Reasons {
				w.beginObject()
				w.strField("Code", r.Code)
				if r.Message != "" {
					w.strField("Message", r.Message)
				}
				w.itemField("Item", r.Item)
				w.endObject()
			}
			w.endArray()
		},
	}
}

// write writes the error's JSON.
func (e *wireError) write(w *writer) {
	if e.body != nil {
		w.adopt(e.body)
		return
	}
	w.beginObject()
	w.strField("__type", e.typ)
	if e.message != "" {
		if e.upper {
			w.strField("Message", e.message)
		} else {
			w.strField("message", e.message)
		}
	}
	if e.extra != nil {
		e.extra(w)
	}
	w.endObject()
}
