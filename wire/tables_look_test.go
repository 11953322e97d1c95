package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// A row is an item of the table that is under load, with the attributes that the test writes.
type row struct {
	ID      struct{ S string } `json:"id"`
	Range   struct{ N string } `json:"r"`
	Group   struct{ S string } `json:"g"`
	Value   struct{ N string } `json:"n"`
	Expires struct{ N string } `json:"expires"`
}

func (r row) key() string { return r.ID.S + "/" + r.Range.N }

// look compares the tables with the acknowledged writes, and their indexes and the stream with the
// table. Expired items may be deleted meanwhile, so the parts are compared until they agree.
func (k *killing) look() {
	d := newDynamo(k.address)
	defer d.close()
	k.checkAcked(k.scan(d))
	expectIndexes(k.t, d, "killed")
	k.bank.look(d)
	var faults []string
	if !within(func() bool {
		table := k.scan(d)
		faults = differences(table, k.streamed(d))
		return len(faults) == 0
	}) {
		k.t.Errorf("the stream's last images: %s", faults)
	}
}

// expectAll compares also what grows with each kill.
func (k *killing) expectAll() {
	d := newDynamo(k.address)
	defer d.close()
	expectIndexes(k.t, d, "transfers")
}

func (k *killing) scan(d *dynamo) map[string]row {
	var answer struct {
		Items            []row
		LastEvaluatedKey json.RawMessage
	}
	d.must(k.t, "Scan", `{"TableName":"killed","ConsistentRead":true}`, &answer)
	if answer.LastEvaluatedKey != nil {
		k.t.Error("the table has more than one page")
	}
	rows := map[string]row{}
	for _, r := range answer.Items {
		rows[r.key()] = r
	}
	return rows
}

func (k *killing) checkAcked(table map[string]row) {
	for i := range k.acked {
		acked, tried := k.acked[i].Load(), k.tried[i].Load()
		r, there := table[fmt.Sprintf("key-%d/0", i)]
		got, _ := strconv.ParseInt(r.Value.N, 10, 64)
		if got < acked || got > tried || !there && acked > 0 {
			k.t.Errorf("key-%d: got %d; acknowledged was %d, tried %d", i, got, acked, tried)
		}
		k.acked[i].Store(got) // it has been read now
	}
}

// differences says where got isn't what the table has.
func differences(table, got map[string]row) (faults []string) {
	for key, r := range table {
		if got[key] != r {
			faults = append(faults, fmt.Sprintf("%s is %+v; the table has %+v", key, got[key], r))
		}
	}
	if len(got) != len(table) {
		faults = append(faults, fmt.Sprintf("%d items; the table has %d", len(got), len(table)))
	}
	return faults
}

// A streamRecord is a change of an item, as its stream tells it.
type streamRecord struct {
	EventName    string    `json:"eventName"`
	UserIdentity *struct{} `json:"userIdentity"` // of deletions of what has expired
	Dynamodb     struct {
		NewImage, OldImage row
		SequenceNumber     string
	}
}

// streamed is the table as its stream's records leave it. Each record's old image must be what the
// record before has left.
func (k *killing) streamed(d *dynamo) map[string]row {
	var streams struct{ Streams []struct{ StreamArn string } }
	d.must(k.t, "Streams.ListStreams", `{"TableName":"killed"}`, &streams)
	arn := streams.Streams[0].StreamArn
	var description struct {
		StreamDescription struct{ Shards []struct{ ShardId string } }
	}
	d.must(k.t, "Streams.DescribeStream", fmt.Sprintf(`{"StreamArn":%q}`, arn), &description)
	rows := map[string]row{}
	k.expired = 0
	for _, s := range description.StreamDescription.Shards {
		var iterator struct{ ShardIterator string }
		d.must(k.t, "Streams.GetShardIterator", fmt.Sprintf(
			`{"StreamArn":%q,"ShardId":%q,"ShardIteratorType":"TRIM_HORIZON"}`, arn, s.ShardId), &iterator)
		for next := iterator.ShardIterator; next != ""; {
			var page struct {
				Records           []streamRecord
				NextShardIterator string
			}
			d.must(k.t, "Streams.GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, next), &page)
			for _, r := range page.Records {
				k.follow(rows, r)
			}
			if next = page.NextShardIterator; len(page.Records) == 0 {
				break
			}
		}
	}
	return rows
}

// follow applies a record of the stream to what those before it have left.
func (k *killing) follow(rows map[string]row, r streamRecord) {
	image := r.Dynamodb.NewImage
	key := image.key()
	if r.EventName == "REMOVE" {
		key = r.Dynamodb.OldImage.key()
	}
	if before := rows[key]; before != r.Dynamodb.OldImage {
		k.t.Errorf("record %s of %s: its old image is %+v; the stream left %+v",
			r.Dynamodb.SequenceNumber, key, r.Dynamodb.OldImage, before)
	}
	if r.EventName != "REMOVE" {
		rows[key] = image
		return
	}
	delete(rows, key)
	if r.UserIdentity != nil {
		k.expired++
	}
}
