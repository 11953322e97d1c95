package dynamodb

import (
	"context"
	"log/slog"
	"time"

	"holdfast/table"
)

// The prefixes of X-Amz-Target.
const (
	tablesTarget  = "DynamoDB_20120810"
	streamsTarget = "DynamoDBStreams_20120810"
)

// An operation is named by a request's X-Amz-Target.
type operation struct {
	name  string // "GetItem"
	shape *shape // the request's
	// run executes a request that matches the shape, and writes the response's JSON.
	run func(ctx context.Context, req node, w *writer) error
}

// operations returns all operations, by the target's prefix and then by name.
func operations(stored *table.Store, a account, now func() time.Time,
	log *slog.Logger) map[string]map[string]operation {
	tables, streams := map[string]operation{}, map[string]operation{}
	for _, group := range [...][]operation{
		(&itemOps{stored}).operations(),
		(&tableOps{stored, a}).operations(),
		(&backupOps{stored, a}).operations(),
		(&statementOps{stored, log}).operations(),
		(&probeOps{stored, a}).operations(),
	} {
		for _, op := range group {
			tables[op.name] = op
		}
	}
	for _, op := range (&streamOps{stored, a, now}).operations() {
		streams[op.name] = op
	}
	return map[string]map[string]operation{tablesTarget: tables, streamsTarget: streams}
}
