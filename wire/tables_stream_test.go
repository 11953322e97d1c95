package wire

import (
	"fmt"
	"testing"
)

// A streamRecord is a change of an item, as its stream tells it.
type streamRecord struct {
	EventName    string    `json:"eventName"`
	UserIdentity *struct{} `json:"userIdentity"` // of deletions of what has expired
	Dynamodb     struct {
		Keys, NewImage, OldImage object
		SequenceNumber           string
	}
}

// A replay is a table as the records of its stream leave it.
type replay struct {
	items   map[string]object // by key
	expired int               // items that have expired, by the records
	faults  []string          // records whose old image isn't what those before them have left
}

// replayStream applies all records of a table's stream, which has the images of both sides since
// the table was created.
func replayStream(t *testing.T, d *dynamo, table string) *replay {
	t.Helper()
	var streams struct{ Streams []struct{ StreamArn string } }
	d.must(t, "Streams.ListStreams", fmt.Sprintf(`{"TableName":%q}`, table), &streams)
	arn := streams.Streams[0].StreamArn
	r := &replay{items: map[string]object{}}
	var description struct {
		StreamDescription struct {
			Shards               []struct{ ShardId string }
			LastEvaluatedShardId string
		}
	}
	for start := ""; ; start = fmt.Sprintf(`,"ExclusiveStartShardId":%q`, description.StreamDescription.LastEvaluatedShardId) {
		description.StreamDescription.LastEvaluatedShardId = ""
		d.must(t, "Streams.DescribeStream", fmt.Sprintf(`{"StreamArn":%q%s}`, arn, start), &description)
		for _, s := range description.StreamDescription.Shards {
			r.shard(t, d, arn, s.ShardId)
		}
		if description.StreamDescription.LastEvaluatedShardId == "" {
			return r
		}
	}
}

func (r *replay) shard(t *testing.T, d *dynamo, arn, shard string) {
	t.Helper()
	var iterator struct{ ShardIterator string }
	d.must(t, "Streams.GetShardIterator", fmt.Sprintf(
		`{"StreamArn":%q,"ShardId":%q,"ShardIteratorType":"TRIM_HORIZON"}`, arn, shard), &iterator)
	for next := iterator.ShardIterator; next != ""; {
		var page struct {
			Records           []streamRecord
			NextShardIterator string
		}
		d.must(t, "Streams.GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, next), &page)
		for _, record := range page.Records {
			r.apply(record)
		}
		if next = page.NextShardIterator; len(page.Records) == 0 {
			return
		}
	}
}

func (r *replay) apply(record streamRecord) {
	change := record.Dynamodb
	key := change.Keys.text()
	before := r.items[key]
	if !before.equal(change.OldImage) || (before == nil) != (record.EventName == "INSERT") {
		r.faults = append(r.faults, fmt.Sprintf("record %s, %s of %s: its old image is %s; the stream left %s",
			change.SequenceNumber, record.EventName, key, change.OldImage.text(), before.text()))
	}
	if record.EventName != "REMOVE" {
		r.items[key] = change.NewImage
		return
	}
	delete(r.items, key)
	if record.UserIdentity != nil {
		r.expired++
	}
}

// differences says where the items that a stream has left aren't those of the table.
func (r *replay) differences(table map[string]object) []string {
	faults := r.faults
	for key, it := range table {
		if !it.equal(r.items[key]) {
			faults = append(faults, fmt.Sprintf("the stream left %s; the table has %s", r.items[key].text(), it.text()))
		}
	}
	for key := range r.items {
		if table[key] == nil {
			faults = append(faults, fmt.Sprintf("the stream left %s, which the table doesn't have", key))
		}
	}
	return faults
}

// expectStream fails unless a table's stream leads to the table, once what is in flight has been
// applied. It returns how many items have expired.
func expectStream(t *testing.T, d *dynamo, table string) (expired int) {
	t.Helper()
	var faults []string
	if !within(func() bool {
		c := contents{key: keyNames(t, d, table)}
		items := c.byKey("the table", scanAll(t, d, table, ""))
		r := replayStream(t, d, table)
		faults, expired = append(c.faults, r.differences(items)...), r.expired
		return len(faults) == 0 || len(r.faults) > 0
	}) || len(faults) > 0 {
		t.Errorf("%s: %d faults of its stream, the first of them: %s", table, len(faults), faults[:min(len(faults), 10)])
	}
	return expired
}
