package dynamodb

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/table"
)

// largeItems returns a handler with a table of items of the partition a, and the size of the item
// with each n.
func largeItems(t *testing.T) (h *Handler, sizes []int) {
	t.Helper()
	h = newHandler(t, Options{Tables: shardedTables(t, 2)})
	createModelTable(t, h)
	r := rand.New(rand.NewPCG(7, 0))
	for n := range 40 {
		size := 1 + r.IntN(380<<10)
		if n%5 == 0 {
			size = 380 << 10
		}
		sizes = append(sizes, size)
		got := call(t, h, "PutItem", fmt.Sprintf(`{"TableName":"model","Item":{"id":{"S":"a"},"n":{"N":"%d"},"v":{"S":%q}}}`, n,
			strings.Repeat("v", size)))
		if got != `{}` {
			t.Fatal(got)
		}
	}
	return h, sizes
}

// Queries and scans end their pages at 1 MB, after the item that passes it, and their pages, one
// after the other, are all items.
func TestLargePages(t *testing.T) {
	h, sizes := largeItems(t)
	const page = 1 << 20
	for name, body := range map[string]string{
		"Query": `{"TableName":"model","KeyConditionExpression":"id = :i","ProjectionExpression":"n",` +
			`"ExpressionAttributeValues":{":i":{"S":"a"}}`,
		"Scan": `{"TableName":"model","ProjectionExpression":"n"`,
	} {
		var found []int
		for start := ""; ; {
			var response struct {
				Items []struct {
					N struct {
						N int `json:",string"`
					}
				}
				LastEvaluatedKey json.RawMessage
			}
			if err := json.Unmarshal([]byte(call(t, h, name, body+start+`}`)), &response); err != nil {
				t.Fatal(err)
			}
			bytes, last := 0, 0
			for _, it := range response.Items {
				found = append(found, it.N.N)
				last = sizes[it.N.N]
				bytes += last
			}
			const beside = 100 // bytes of a key and of names, at most
			items := len(response.Items)
			if response.LastEvaluatedKey == nil {
				break
			}
			if items > 0 && (bytes+items*beside < page || bytes-last >= page) {
				t.Errorf("%s: got a page of %d bytes, %d without its last item; want it to end at 1 MB", name, bytes, bytes-last)
			}
			start = `,"ExclusiveStartKey":` + string(response.LastEvaluatedKey)
		}
		slices.Sort(found)
		if len(found) != len(sizes) || len(slices.Compact(found)) != len(sizes) {
			t.Errorf("%s: got %d items; want each of %d once", name, len(found), len(sizes))
		}
	}
}

// BatchGetItem leaves the keys beyond its limits unprocessed, with what was sent with them, and can
// be repeated until nothing is left.
func TestLargeBatches(t *testing.T) {
	h, sizes := largeItems(t)
	r := rand.New(rand.NewPCG(8, 0))
	var keys []any
	for _, n := range r.Perm(len(sizes)) {
		keys = append(keys, modelKey{"a", n}.fields())
	}
	found, rounds := 0, 0
	for request := any(fields{"model": fields{"Keys": keys, "ProjectionExpression": "n"}}); ; rounds++ {
		body, err := json.Marshal(fields{"RequestItems": request})
		if err != nil {
			t.Fatal(err)
		}
		var response fields
		if err := json.Unmarshal([]byte(call(t, h, "BatchGetItem", string(body))), &response); err != nil {
			t.Fatal(err)
		}
		got := len(asList(response["Responses"].(fields)["model"]))
		left, _ := response["UnprocessedKeys"].(fields)["model"].(fields)
		if found += got; got == 0 || left != nil && left["ProjectionExpression"] != "n" {
			t.Fatalf("BatchGetItem: got %d items and %v; want items, and the rest as it was sent", got, left)
		}
		if left == nil {
			break
		}
		if unprocessed := len(asList(left["Keys"])); found+unprocessed != len(keys) {
			t.Fatalf("BatchGetItem: got %d items and %d unprocessed keys; want %d together", found, unprocessed, len(keys))
		}
		request = response["UnprocessedKeys"]
	}
	if found != len(keys) || rounds == 0 {
		t.Errorf("BatchGetItem: got %d items in %d repetitions; want %d, in some", found, rounds, len(keys))
	}
}

// A batch of writes that exceeds a table's throughput leaves writes unprocessed, as they were sent,
// and doesn't execute them. Those of other tables are executed. Repeated later, all are.
func TestThrottledBatches(t *testing.T) {
	var seconds atomic.Int64
	now := func() time.Time { return time.Unix(1_800_000_000+seconds.Load(), 0) }
	h := newHandler(t, Options{Tables: tablesWith(t, table.Options{Throttle: true, Now: now}), Now: now})
	createTables(t, h)
	got := call(t, h, "CreateTable", `{"TableName":"slow","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
		"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
		"ProvisionedThroughput":{"ReadCapacityUnits":1000,"WriteCapacityUnits":1}}`)
	if !strings.HasPrefix(got, `{"TableDescription"`) {
		t.Fatal(got)
	}
	eventually(t, "the table is active", func() bool {
		return at(t, call(t, h, "DescribeTable", `{"TableName":"slow"}`), "Table", "TableStatus") == "ACTIVE"
	})
	for range 5 { // uses up the throughput that a new table has saved, and more
		call(t, h, "PutItem", `{"TableName":"slow","Item":{"id":{"S":"first"},"v":{"S":"`+strings.Repeat("v", 80<<10)+`"}}}`)
	}
	sent, request := map[string]any{}, fields{}
	for n := range 24 {
		id, name := fmt.Sprint("item", n), []string{"slow", "things"}[n%2]
		it := fields{"id": fields{"S": id}, "v": fields{"S": strings.Repeat("v", 80<<10)}}
		sent[id] = fields{"PutRequest": fields{"Item": it}}
		request[name] = append(asList(request[name]), sent[id])
	}
	rounds := 0
	for left := request; len(left) > 0; rounds++ {
		body, err := json.Marshal(fields{"RequestItems": left})
		if err != nil {
			t.Fatal(err)
		}
		text := call(t, h, "BatchWriteItem", string(body))
		seconds.Add(15)
		if strings.HasPrefix(text, "ProvisionedThroughputExceededException: ") && rounds > 0 {
			continue // nothing at all was written
		}
		var response struct{ UnprocessedItems fields }
		if err := json.Unmarshal([]byte(text), &response); err != nil || rounds > 100 {
			t.Fatalf("round %d: got %.300s", rounds, text)
		}
		left = response.UnprocessedItems
		if left["things"] != nil {
			t.Errorf("round %d: got writes of another table unprocessed", rounds)
		}
		unprocessed := map[string]bool{}
		for _, write := range asList(left["slow"]) {
			id, _ := textOf(write.(fields)["PutRequest"].(fields)["Item"].(fields), "id", "S")
			unprocessed[id] = true
			if !reflect.DeepEqual(write, sent[id]) {
				t.Errorf("round %d: got the write of %s changed", rounds, id)
			}
		}
		for n := range 24 {
			id, name := fmt.Sprint("item", n), []string{"slow", "things"}[n%2]
			item := call(t, h, "GetItem", `{"TableName":"`+name+`","Key":{"id":{"S":"`+id+`"}},"ProjectionExpression":"id"}`)
			if there := item != `{}`; there == unprocessed[id] {
				t.Errorf("round %d: %s is there: %v; it is unprocessed: %v", rounds, id, there, unprocessed[id])
			}
		}
	}
	if rounds < 2 {
		t.Errorf("got all written in %d rounds; want the slow table's writes throttled at first", rounds)
	}
}
