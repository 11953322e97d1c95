package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// A row is an item of the table that is under load.
type row struct {
	ID    struct{ S string } `json:"id"`
	Range struct{ N string } `json:"r"`
	Value struct{ N string } `json:"n"`
}

func (r row) key() string { return r.ID.S + "/" + r.Range.N }

// look compares the tables with the acknowledged writes, and their indexes and the stream with the
// table. Expired items may be deleted meanwhile, so the parts are compared until they agree.
func (k *killing) look() {
	d := k.client()
	defer d.close()
	k.checkAcked(k.scan(d))
	expectIndexes(k.t, d, "killed")
	k.bank.look(d)
	k.expired = expectStream(k.t, d, "killed")
}

// lookAtTransfers compares the table of the transfers, which grows with each kill, with its indexes,
// once these are filled or gone.
func (k *killing) lookAtTransfers() {
	d := k.client()
	defer d.close()
	eventually(k.t, "the indexes are active", func() bool {
		var answer struct {
			Table struct {
				TableStatus            string
				GlobalSecondaryIndexes []struct{ IndexStatus string }
			}
		}
		d.must(k.t, "DescribeTable", `{"TableName":"transfers"}`, &answer)
		active := answer.Table.TableStatus == "ACTIVE"
		for _, x := range answer.Table.GlobalSecondaryIndexes {
			active = active && x.IndexStatus == "ACTIVE"
		}
		return active
	})
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
