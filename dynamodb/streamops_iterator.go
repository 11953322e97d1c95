package dynamodb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast"
	"holdfast/shard"
	"holdfast/table"
)

// iteratorAge is how long an iterator is valid.
const iteratorAge = 15 * time.Minute

// An iterator is a position in a shard of a stream, as it is sent to a client: the stream's ARN,
// the version 1, and the rest in hex with the first bytes of its hash, which detect an iterator
// that was truncated or mistyped.
type iterator struct {
	arn   string
	made  time.Time // to the millisecond
	shard holdfast.ShardID
	at    holdfast.Position
}

func (it iterator) String() string {
	body := fmt.Sprintf("%s|1|%016x%016x%016x%08x", it.arn, it.made.UnixMilli(), uint64(it.shard), it.at.Index, it.at.N)
	sum := sha256.Sum256([]byte(body))
	return body + hex.EncodeToString(sum[:4])
}

func parseIterator(s string) (it iterator, ok bool) {
	const digits = 16 + 16 + 16 + 8
	arn, rest, ok := strings.Cut(s, "|1|")
	if !ok || len(rest) != digits+8 {
		return it, false
	}
	var made int64
	var id uint64
	n, err := fmt.Sscanf(rest, "%16x%16x%16x%8x", &made, &id, &it.at.Index, &it.at.N)
	if n != 4 || err != nil {
		return it, false
	}
	it.arn, it.made, it.shard = arn, time.UnixMilli(made), holdfast.ShardID(id)
	return it, it.String() == s
}

// sequenceNumber returns a position as decimal digits. All have the same length, so that they sort
// the same as numbers and as texts: 1, 20 digits of the transaction, 10 digits of the change in it.
func sequenceNumber(p holdfast.Position) string { return fmt.Sprintf("1%020d%010d", p.Index, p.N) }

// positionOf returns the position of a sequence number.
func positionOf(s string) (p holdfast.Position, ok bool) {
	const indexEnd, end = 21, 31
	if len(s) != end || s[0] != '1' {
		return p, false
	}
	index, err := strconv.ParseUint(s[1:indexEnd], 10, 64)
	if err != nil {
		return p, false
	}
	n, err := strconv.ParseUint(s[indexEnd:], 10, 32)
	return holdfast.Position{Index: index, N: uint32(n)}, err == nil
}

// iteratorPosition returns the position where the requested iterator begins.
func (o *streamOps) iteratorPosition(ctx context.Context, req node, s *table.Stream,
	sh table.StreamShard) (holdfast.Position, error) {
	sequence := req.get("SequenceNumber")
	kind := req.get("ShardIteratorType").text()
	if kind == "TRIM_HORIZON" || kind == "LATEST" {
		if sequence.kind() != absent {
			return holdfast.Position{}, invalid("SequenceNumber must not be specified when ShardIteratorType is %s", kind)
		}
		if kind == "LATEST" {
			return sh.End, nil
		}
		return holdfast.Position{}, nil
	}
	if sequence.kind() == absent {
		return holdfast.Position{}, invalid("SequenceNumber must be specified when ShardIteratorType is %s", kind)
	}
	p, ok := positionOf(sequence.text())
	if !ok {
		return p, invalid("Invalid SequenceNumber: %s", sequence.text())
	}
	if kind == "AFTER_SEQUENCE_NUMBER" {
		p.N++
	}
	// a trimmed position is refused now, as DynamoDB does
	_, _, _, err := o.tables.StreamRecords(ctx, s.Table, s.Label, sh.ID, p, oneRecord())
	return p, trimmed(err)
}

// oneRecord is the limit of a read that only checks whether there are any records.
func oneRecord() shard.Limit { return shard.Limit{Changes: 1, Bytes: maxRecordBytes} }

func trimmed(err error) error {
	if errors.Is(err, holdfast.Gone) {
		return exception("TrimmedDataAccessException",
			"The operation attempted to read past the oldest stream record in a shard.")
	}
	return err
}
