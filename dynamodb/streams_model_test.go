package dynamodb

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// A streamReader reads a stream over the wire.
type streamReader struct {
	*Handler
	t      *testing.T
	r      *rand.Rand
	arn    string
	shards []string
}

func (s *streamReader) ask(op, body string) (response fields) {
	s.t.Helper()
	text := call(s.t, s.Handler, op, body)
	if err := json.Unmarshal([]byte(text), &response); err != nil {
		s.t.Fatalf("%s %s: got %s", op, body, text)
	}
	return response
}

// iterator returns an iterator of a shard; more are members of the request.
func (s *streamReader) iterator(shard, kind, more string) string {
	s.t.Helper()
	return s.ask("GetShardIterator", fmt.Sprintf(`{"StreamArn":%q,"ShardId":%q,"ShardIteratorType":%q%s}`, s.arn, shard,
		kind, more))["ShardIterator"].(string)
}

// read returns the records from an iterator to the newest, in pages of random sizes, and an
// iterator behind them; "" if the stream has ended.
func (s *streamReader) read(iterator string) (records []fields, next string) {
	s.t.Helper()
	for {
		limit := 1 + s.r.IntN(7)
		page := s.ask("GetRecords", fmt.Sprintf(`{"ShardIterator":%q,"Limit":%d}`, iterator, limit))
		got := asList(page["Records"])
		if len(got) > limit {
			s.t.Fatalf("got %d records; want at most %d", len(got), limit)
		}
		for _, r := range got {
			records = append(records, r.(fields))
		}
		next, _ = page["NextShardIterator"].(string)
		if len(got) == 0 || next == "" {
			return records, next
		}
		iterator = next
	}
}

func sequenceOf(record fields) string { return record["dynamodb"].(fields)["SequenceNumber"].(string) }

// Random writes of a table with several shards are in its stream once each, a key's in their order,
// with the images that belong to them. Iterators of each type begin where they should, for every
// record.
func TestStreamAgainstModel(t *testing.T) {
	for seed, view := range []string{"KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"} {
		h := newHandler(t, Options{Tables: shardedTables(t, 3)})
		createModelTable(t, h)
		call(t, h, "UpdateTable", `{"TableName":"model","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"`+
			view+`"}}`)
		m := &model{Rand: rand.New(rand.NewPCG(uint64(seed), 2)), items: map[modelKey]fields{}}
		s := &streamReader{Handler: h, t: t, r: m.Rand}
		s.arn = s.ask("ListStreams", `{"TableName":"model"}`)["Streams"].([]any)[0].(fields)["StreamArn"].(string)
		description := s.ask("DescribeStream", `{"StreamArn":"`+s.arn+`"}`)["StreamDescription"].(fields)
		for _, shard := range asList(description["Shards"]) {
			s.shards = append(s.shards, shard.(fields)["ShardId"].(string))
		}
		if len(s.shards) != 3 {
			t.Fatalf("got %d shards; want 3", len(s.shards))
		}
		want := map[modelKey][]fields{} // the changes of each key
		latest := map[string]string{}   // iterators from the middle on
		var halfway map[modelKey]int    // changes until then
		for step := range 150 {
			if step == 75 {
				halfway = map[modelKey]int{}
				for k, changes := range want {
					halfway[k] = len(changes)
				}
				for _, shard := range s.shards {
					latest[shard] = s.iterator(shard, "LATEST", "")
				}
			}
			m.changeOne(t, h, view, want)
		}
		s.check(view, want, halfway, latest)
	}
}

// changeOne puts or deletes an item, and notes the record that this makes, if any.
func (m *model) changeOne(t *testing.T, h *Handler, view string, want map[modelKey][]fields) {
	t.Helper()
	k := m.key()
	before, after := m.items[k], m.item(k)
	op, request := "PutItem", fields{"TableName": "model", "Item": after}
	if m.IntN(3) == 0 {
		op, request, after = "DeleteItem", fields{"TableName": "model", "Key": k.fields()}, nil
	}
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	if got := call(t, h, op, string(body)); got != `{}` {
		t.Fatalf("%s %s: got %s", op, body, got)
	}
	m.put(k, after)
	if reflect.DeepEqual(before, after) {
		return // nothing has changed
	}
	record := fields{"Keys": k.fields(), "StreamViewType": view, "event": "MODIFY"}
	switch {
	case before == nil:
		record["event"] = "INSERT"
	case after == nil:
		record["event"] = "REMOVE"
	}
	if strings.Contains(view, "NEW") && after != nil {
		record["NewImage"] = after
	}
	if strings.Contains(view, "OLD") && before != nil {
		record["OldImage"] = before
	}
	want[k] = append(want[k], record)
}

func keyOfRecord(record fields) string {
	text, _ := json.Marshal(record["Keys"])
	return string(text)
}

// check compares all shards' records with the model's, and iterators of each type with them.
func (s *streamReader) check(view string, want map[modelKey][]fields, halfway map[modelKey]int,
	latest map[string]string) {
	s.t.Helper()
	found, late, ids := map[string][]fields{}, map[string]int{}, map[string]bool{}
	for _, shard := range s.shards {
		records, _ := s.read(s.iterator(shard, "TRIM_HORIZON", ""))
		for i, record := range records {
			if i > 0 && sequenceOf(record) <= sequenceOf(records[i-1]) {
				s.t.Errorf("%s: record %d has %s after %s; want rising numbers", view, i, sequenceOf(record),
					sequenceOf(records[i-1]))
			}
			ids[record["eventID"].(string)] = true
			one := maps.Clone(record["dynamodb"].(fields))
			one["event"] = record["eventName"]
			for _, name := range []string{"SequenceNumber", "SizeBytes", "ApproximateCreationDateTime"} {
				delete(one, name)
			}
			found[keyOfRecord(one)] = append(found[keyOfRecord(one)], one)
			for kind, from := range map[string]int{"AT_SEQUENCE_NUMBER": i, "AFTER_SEQUENCE_NUMBER": i + 1} {
				if s.r.IntN(4) > 0 { // of some records
					continue
				}
				got, _ := s.read(s.iterator(shard, kind, `,"SequenceNumber":"`+sequenceOf(record)+`"`))
				if len(got) != len(records)-from || len(got) > 0 && !reflect.DeepEqual(got, records[from:]) {
					s.t.Errorf("%s: %s of record %d: got %d records; want the last %d", view, kind, i, len(got),
						len(records)-from)
				}
			}
		}
		after, _ := s.read(latest[shard])
		if !slices.EqualFunc(after, records[len(records)-len(after):], func(a, b fields) bool {
			return reflect.DeepEqual(a, b)
		}) {
			s.t.Errorf("%s: LATEST: got %d records; want the shard's newest", view, len(after))
		}
		for _, record := range after {
			late[keyOfRecord(record["dynamodb"].(fields))]++
		}
	}
	total := 0
	for k, changes := range want {
		key := keyOfRecord(fields{"Keys": k.fields()})
		if !reflect.DeepEqual(found[key], changes) {
			s.t.Errorf("%s: changes of %v:\n got %v\nwant %v", view, k, found[key], changes)
		}
		if since := len(changes) - halfway[k]; late[key] != since {
			s.t.Errorf("%s: LATEST has %d changes of %v; want %d", view, late[key], k, since)
		}
		total += len(changes)
	}
	if len(ids) != total {
		s.t.Errorf("%s: got %d event IDs for %d records; want all different", view, len(ids), total)
	}
}

// A request for an iterator or for records that can't be answered says why.
func TestStreamErrors(t *testing.T) {
	h := newHandler(t, Options{Tables: shardedTables(t, 1)})
	createModelTable(t, h)
	call(t, h, "UpdateTable",
		`{"TableName":"model","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}`)
	arn := at(t, call(t, h, "ListStreams", `{}`), "Streams", 0, "StreamArn")
	shard := at(t, call(t, h, "DescribeStream", `{"StreamArn":"`+arn+`"}`), "StreamDescription", "Shards", 0, "ShardId")
	of := func(kind, more string) string {
		return `{"StreamArn":"` + arn + `","ShardId":"` + shard + `","ShardIteratorType":"` + kind + `"` + more + `}`
	}
	number := `,"SequenceNumber":"` + strings.Repeat("9", 21) + `"`
	other := strings.Replace(arn, "/stream/", "/backup/", 1)
	missing := shard[:len(shard)-1] + "x"
	const v, none = "ValidationException: ", "ResourceNotFoundException: Requested resource not found: "
	run(t, h, []step{
		{"GetShardIterator", of("LATEST", number),
			v + "SequenceNumber must not be specified when ShardIteratorType is LATEST"},
		{"GetShardIterator", of("TRIM_HORIZON", number),
			v + "SequenceNumber must not be specified when ShardIteratorType is TRIM_HORIZON"},
		{"GetShardIterator", of("AT_SEQUENCE_NUMBER", ""),
			v + "SequenceNumber must be specified when ShardIteratorType is AT_SEQUENCE_NUMBER"},
		{"GetShardIterator", of("AFTER_SEQUENCE_NUMBER", number), v + "Invalid SequenceNumber: " + strings.Repeat("9", 21)},
		{"GetShardIterator", strings.Replace(of("LATEST", ""), shard, missing, 1),
			none + "Shard: " + missing + " in Stream: " + arn + " not found"},
		{"GetShardIterator", strings.Replace(of("LATEST", ""), arn, other, 1),
			v + "Invalid StreamArn: Invalid ResourceArn provided as input " + other},
		{"DescribeStream", `{"StreamArn":"` + arn + `","ShardFilter":{"Type":"CHILD_SHARDS","ShardId":"` + missing + `"}}`,
			v + "Invalid ShardId in ShardFilter: " + missing},
		{"GetRecords", `{"ShardIterator":"x"}`, v + "Invalid ShardIterator"},
	})
	whole := at(t, call(t, h, "GetShardIterator", of("LATEST", "")), "ShardIterator")
	for i := range whole { // of another stream, another position, or damaged
		changed := whole[:i] + string(whole[i]^1) + whole[i+1:]
		body, err := json.Marshal(fields{"ShardIterator": changed})
		if err != nil {
			t.Fatal(err)
		}
		if got := call(t, h, "GetRecords", string(body)); got != v+"Invalid ShardIterator" {
			t.Errorf("byte %d changed: got %s; want that it is invalid", i, got)
		}
	}
}
