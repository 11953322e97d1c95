package dynamodb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
	"holdfast/table"
)

// Limits of the pages of streams.
const (
	maxStreams     = 100
	maxShards      = 100
	maxRecords     = 1000
	maxRecordBytes = 1 << 20
)

// streamOps are the operations of DynamoDBStreams_20120810.
type streamOps struct {
	tables  *table.Store
	account account
	now     func() time.Time
}

func (o *streamOps) operations() []operation {
	return []operation{
		{"ListStreams", shapeListStreams, o.listStreams},
		{"DescribeStream", shapeDescribeStream, o.describeStream},
		{"GetShardIterator", shapeGetShardIterator, o.getShardIterator},
		{"GetRecords", shapeGetRecords, o.getRecords},
	}
}

// shardID returns the ID of a shard of a stream: shardId-, 20 digits, -, and 8 hexadecimal digits
// of a hash of the stream, so that the ID is valid for that stream only.
func shardID(s *table.Stream, id holdfast.ShardID) string {
	sum := sha256.Sum256([]byte(s.TableID + s.Label))
	return fmt.Sprintf("shardId-%020d-%x", uint64(id), sum[:4])
}

// findShard returns the shard of a stream with an ID of shardID.
func findShard(s *table.Stream, id string) (table.StreamShard, bool) {
	for _, sh := range s.Shards {
		if shardID(s, sh.ID) == id {
			return sh, true
		}
	}
	return table.StreamShard{}, false
}

// streamOf returns the stream that an ARN names.
func streamOf(tables *table.Store, a account, arn string) (table.Stream, error) {
	name, label, ok := a.part(arn, "stream")
	if !ok {
		return table.Stream{}, invalid("Invalid StreamArn: Invalid ResourceArn provided as input %s", arn)
	}
	s, err := tables.Stream(name, label)
	if errors.Is(err, holdfast.NotFound) {
		err = exception("ResourceNotFoundException", "Requested resource not found: Stream: %s not found", arn)
	}
	return s, err
}

func (o *streamOps) listStreams(_ context.Context, req node, w *writer) error {
	arn := func(s *table.Stream) string { return o.account.streamARN(s.Table, s.Label) }
	streams, last := page(o.tables.Streams(tableName(req)), arn, req.get("ExclusiveStartStreamArn").text(),
		limitOf(req, maxStreams), nil)
	w.beginObject()
	w.name("Streams")
	w.beginArray()
	for i := range streams {
		w.beginObject()
		w.strField("StreamArn", arn(&streams[i]))
		w.strField("TableName", streams[i].Table)
		w.strField("StreamLabel", streams[i].Label)
		w.endObject()
	}
	w.endArray()
	writeLast(w, "LastEvaluatedStreamArn", last)
	w.endObject()
	return nil
}

// limitOf returns a request's Limit, or most if it has none; most is also the upper limit.
func limitOf(req node, most int) int {
	if n := req.get("Limit"); n.kind() != absent {
		return int(min(n.int(), int64(most)))
	}
	return most
}

func (o *streamOps) describeStream(_ context.Context, req node, w *writer) error {
	arn := req.get("StreamArn").text()
	s, err := streamOf(o.tables, o.account, arn)
	if err != nil {
		return err
	}
	var parent table.StreamShard
	if filter := req.get("ShardFilter"); filter.kind() != absent {
		var ok bool
		if parent, ok = findShard(&s, filter.get("ShardId").text()); !ok {
			return invalid("Invalid ShardId in ShardFilter: %s", filter.get("ShardId").text())
		}
	}
	status := "DISABLED"
	if s.On {
		status = "ENABLED"
	}
	w.beginObject()
	w.name("StreamDescription")
	w.beginObject()
	w.strField("StreamArn", arn)
	w.strField("StreamLabel", s.Label)
	w.strField("StreamStatus", status)
	w.strField("StreamViewType", viewName(s.View))
	w.timeField("CreationRequestDateTime", s.Created)
	w.strField("TableName", s.Table)
	writeKey(w, s.Key.Index())
	if req.has("ShardFilter") { // it asks for a shard's children
		s.Shards = s.Children(parent.ID)
	}
	writeShards(w, &s, req.get("ExclusiveStartShardId").text(), limitOf(req, maxShards))
	w.endObject()
	w.endObject()
	return nil
}

// writeShards writes a page of the shards of a stream.
func writeShards(w *writer, s *table.Stream, after string, limit int) {
	id := func(sh *table.StreamShard) string { return shardID(s, sh.ID) }
	shards, last := page(s.Shards, id, after, limit, nil)
	w.name("Shards")
	w.beginArray()
	for i := range shards {
		w.beginObject()
		w.strField("ShardId", id(&shards[i]))
		if parent := shards[i].Parent; parent != 0 {
			w.strField("ParentShardId", shardID(s, parent))
		}
		w.name("SequenceNumberRange")
		w.beginObject()
		w.strField("StartingSequenceNumber", sequenceNumber(shards[i].First))
		if shards[i].Closed {
			w.strField("EndingSequenceNumber", sequenceNumber(shards[i].Last))
		}
		w.endObject()
		w.endObject()
	}
	w.endArray()
	writeLast(w, "LastEvaluatedShardId", last)
}

func (o *streamOps) getShardIterator(ctx context.Context, req node, w *writer) error {
	arn := req.get("StreamArn").text()
	s, err := streamOf(o.tables, o.account, arn)
	if err != nil {
		return err
	}
	id := req.get("ShardId").text()
	sh, ok := findShard(&s, id)
	if !ok {
		return exception("ResourceNotFoundException", "Requested resource not found: Shard: %s in Stream: %s not found",
			id, arn)
	}
	at, err := o.iteratorPosition(ctx, req, &s, sh)
	if err != nil {
		return err
	}
	w.beginObject()
	w.strField("ShardIterator", iterator{arn: arn, made: o.now(), shard: sh.ID, at: at}.String())
	w.endObject()
	return nil
}

func (o *streamOps) getRecords(ctx context.Context, req node, w *writer) error {
	it, ok := parseIterator(req.get("ShardIterator").text())
	if !ok {
		return invalid("Invalid ShardIterator")
	}
	if age := o.now().Sub(it.made); age > iteratorAge || age < -iteratorAge {
		return exception("ExpiredIteratorException",
			"Iterator expired. The iterator was created at time %s while right now it is %s "+
				"which is further in the future than the tolerated delay of %d milliseconds.",
			it.made.UTC().Format(time.RFC1123), o.now().UTC().Format(time.RFC1123), iteratorAge.Milliseconds())
	}
	s, err := streamOf(o.tables, o.account, it.arn)
	if err != nil {
		return err
	}
	limit := shard.Limit{Changes: limitOf(req, maxRecords), Bytes: maxRecordBytes}
	changes, next, end, err := o.tables.StreamRecords(ctx, s.Table, s.Label, it.shard, it.at, limit)
	if err != nil {
		return trimmed(err)
	}
	w.beginObject()
	w.name("Records")
	w.beginArray()
	for i := range changes {
		o.writeRecord(w, &s, &changes[i])
	}
	w.endArray()
	if !end {
		w.strField("NextShardIterator", iterator{arn: it.arn, made: o.now(), shard: it.shard, at: next}.String())
	}
	w.endObject()
	return nil
}

// writeRecord writes a change as a record of a stream
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html).
func (o *streamOps) writeRecord(w *writer, s *table.Stream, c *shard.Change) {
	event, image := "MODIFY", c.After
	switch {
	case c.Before == nil:
		event = "INSERT"
	case c.After == nil:
		event, image = "REMOVE", c.Before
	}
	sequence := sequenceNumber(c.Position())
	sum := sha256.Sum256([]byte(s.TableID + shardID(s, c.Tx.Shard) + sequence))
	w.beginObject()
	w.strField("eventID", hex.EncodeToString(sum[:16]))
	w.strField("eventName", event)
	w.strField("eventVersion", "1.1")
	w.strField("eventSource", "aws:dynamodb")
	w.strField("awsRegion", o.account.region)
	if c.Origin == holdfast.ByExpiry {
		w.name("userIdentity")
		w.beginObject()
		w.strField("PrincipalId", "dynamodb.amazonaws.com")
		w.strField("Type", "Service")
		w.endObject()
	}
	w.name("dynamodb")
	w.beginObject()
	w.intField("ApproximateCreationDateTime", c.At.Unix())
	size := writeImages(w, s, c, s.Key.Attrs(image))
	w.strField("SequenceNumber", sequence)
	w.intField("SizeBytes", int64(size))
	w.strField("StreamViewType", viewName(s.View))
	w.endObject()
	w.endObject()
}

// writeImages writes a change's key and the images that the stream includes, and returns their size
// in bytes.
func writeImages(w *writer, s *table.Stream, c *shard.Change, keys item.Item) (bytes int) {
	w.itemField("Keys", keys)
	bytes = keys.Size()
	for _, side := range [...]struct {
		name  string
		image item.Item
		shown bool
	}{
		{"NewImage", c.After, s.View == catalog.NewImage || s.View == catalog.NewAndOldImages},
		{"OldImage", c.Before, s.View == catalog.OldImage || s.View == catalog.NewAndOldImages},
	} {
		if side.shown && side.image != nil {
			w.itemField(side.name, side.image)
			bytes += side.image.Size()
		}
	}
	return bytes
}
