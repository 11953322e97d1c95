package dynamodb

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The pages of a list, one after the other, are the list's shown entries in order. Each page but
// the last is full, and only the last has no continuation.
func TestPage(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		list, want := make([]int, r.IntN(12)), []int(nil)
		hidden := r.IntN(3) == 0
		shown := func(n *int) bool { return *n%3 != 0 }
		if !hidden {
			shown = nil
		}
		for i := range list {
			list[i] = i + 1
			if !hidden || shown(&list[i]) {
				want = append(want, i+1)
			}
		}
		limit := 1 + r.IntN(5)
		id := func(n *int) string { return strconv.Itoa(*n) }
		var got []int
		for after, pages := "", 0; ; pages++ {
			entries, last := page(list, id, after, limit, shown)
			got = append(got, entries...)
			if len(entries) > limit || last != "" && len(entries) < limit || pages > len(list) {
				t.Fatalf("seed %d: page %d after %q is %v, last %q; want %d entries", seed, pages, after, entries, last, limit)
			}
			if last == "" {
				if most := max(1, (len(want)+limit-1)/limit); pages+1 != most {
					t.Fatalf("seed %d: got %d pages of %d for %d entries; want %d", seed, pages+1, limit, len(want), most)
				}
				break
			}
			if len(entries) == 0 || last != id(&entries[len(entries)-1]) {
				t.Fatalf("seed %d: page %v has the last ID %q; want that of its last entry", seed, entries, last)
			}
			after = last
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: pages of %d are %v; want %v", seed, limit, got, want)
		}
	}
	if entries, last := page([]int{1, 2}, func(n *int) string { return strconv.Itoa(*n) }, "3", 5, nil); entries != nil ||
		last != "" {
		t.Errorf("after an unknown ID: got %v, %q; want nothing", entries, last)
	}
}

// listing is an operation that lists in pages.
type listing struct {
	op, fixed   string // the operation, and members that each of its requests has
	list, id    string // the response's list, and the member that identifies an entry; "": entries are texts
	inner       string // the object in the response that has both; "" is the response itself
	last, start string // the continuation in a response, and in a request
	most        int    // number of entries
}

// walk returns the IDs on all pages of a listing.
func walk(t *testing.T, h *Handler, l listing, limit int) (ids []string) {
	t.Helper()
	for start := ""; ; {
		body := fmt.Sprintf(`{"Limit":%d%s%s}`, limit, l.fixed, start)
		var response map[string]any
		if err := json.Unmarshal([]byte(call(t, h, l.op, body)), &response); err != nil {
			t.Fatalf("%s %s: %v", l.op, body, err)
		}
		if l.inner != "" {
			response = response[l.inner].(map[string]any)
		}
		entries := response[l.list].([]any)
		for _, e := range entries {
			if l.id == "" {
				ids = append(ids, e.(string))
			} else {
				ids = append(ids, e.(map[string]any)[l.id].(string))
			}
		}
		last, more := response[l.last].(string)
		if len(entries) > limit || more && len(entries) != limit {
			t.Errorf("%s %s: got %d entries, continued %v; want %d", l.op, body, len(entries), more, limit)
		}
		if !more {
			return ids
		}
		if last != ids[len(ids)-1] {
			t.Fatalf("%s %s: got the continuation %q; want the last entry's, %q", l.op, body, last, ids[len(ids)-1])
		}
		start = `,"` + l.start + `":"` + last + `"`
	}
}

// Tables, streams, a stream's shards and backups are the same whatever the pages' size.
func TestListingsInPages(t *testing.T) {
	h := newHandler(t, Options{Tables: shardedTables(t, 5)})
	for i := range 6 {
		name := fmt.Sprintf("table%d", i)
		got := call(t, h, "CreateTable", `{"TableName":"`+name+`","BillingMode":"PAY_PER_REQUEST",
			"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
			"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
			"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}`)
		if !strings.HasPrefix(got, `{"TableDescription"`) {
			t.Fatal(got)
		}
		eventually(t, name+" is active", func() bool {
			return at(t, call(t, h, "DescribeTable", `{"TableName":"`+name+`"}`), "Table", "TableStatus") == "ACTIVE"
		})
		for n := range 1 + i%3 {
			got := call(t, h, "CreateBackup", fmt.Sprintf(`{"TableName":%q,"BackupName":"backup%d"}`, name, n))
			if !strings.HasPrefix(got, `{"BackupDetails"`) {
				t.Fatal(got)
			}
		}
	}
	arn := at(t, call(t, h, "ListStreams", `{}`), "Streams", 0, "StreamArn")
	for _, l := range []listing{
		{op: "ListTables", list: "TableNames", last: "LastEvaluatedTableName", start: "ExclusiveStartTableName", most: 6},
		{op: "ListStreams", list: "Streams", id: "StreamArn", last: "LastEvaluatedStreamArn",
			start: "ExclusiveStartStreamArn", most: 6},
		{op: "ListStreams", fixed: `,"TableName":"table3"`, list: "Streams", id: "StreamArn",
			last: "LastEvaluatedStreamArn", start: "ExclusiveStartStreamArn", most: 1},
		{op: "DescribeStream", fixed: `,"StreamArn":"` + arn + `"`, inner: "StreamDescription", list: "Shards",
			id: "ShardId", last: "LastEvaluatedShardId", start: "ExclusiveStartShardId", most: 5},
		{op: "ListBackups", list: "BackupSummaries", id: "BackupArn", last: "LastEvaluatedBackupArn",
			start: "ExclusiveStartBackupArn", most: 12},
		{op: "ListBackups", fixed: `,"TableName":"table2"`, list: "BackupSummaries", id: "BackupArn",
			last: "LastEvaluatedBackupArn", start: "ExclusiveStartBackupArn", most: 3},
		{op: "ListBackups", fixed: `,"BackupType":"SYSTEM"`, list: "BackupSummaries", id: "BackupArn",
			last: "LastEvaluatedBackupArn", start: "ExclusiveStartBackupArn", most: 0},
		{op: "ListBackups", fixed: `,"TimeRangeLowerBound":1,"TimeRangeUpperBound":2`, list: "BackupSummaries",
			id: "BackupArn", last: "LastEvaluatedBackupArn", start: "ExclusiveStartBackupArn", most: 0},
	} {
		whole := walk(t, h, l, 100)
		if distinct := slices.Compact(slices.Sorted(slices.Values(whole))); len(whole) != l.most || len(distinct) != l.most {
			t.Errorf("%s%s: got %d entries, %d different; want %d", l.op, l.fixed, len(whole), len(distinct), l.most)
		}
		for limit := 1; limit <= l.most+1; limit++ {
			if got := walk(t, h, l, limit); !slices.Equal(got, whole) {
				t.Errorf("%s%s in pages of %d: got %q; want %q", l.op, l.fixed, limit, got, whole)
			}
		}
	}
}
