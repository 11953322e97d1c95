package dynamodb

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
	"holdfast/table"
)

// rooted returns the node of a JSON text, which is valid until the test ends.
func rooted(t *testing.T, text string) node {
	t.Helper()
	doc, ok := parse(text, 0)
	if !ok {
		t.Fatalf("not JSON: %s", text)
	}
	t.Cleanup(doc.release)
	return doc.root()
}

// Parts of the requests of the tests.
const (
	definedAB  = `"TableName":"abc","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"},{"AttributeName":"b","AttributeType":"N"}]`
	keyedAB    = `"KeySchema":[{"AttributeName":"a","KeyType":"HASH"},{"AttributeName":"b","KeyType":"RANGE"}]`
	keyedA     = `"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}]`
	oneUnit    = `"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1}`
	onDemand   = `"BillingMode":"PAY_PER_REQUEST"`
	projectAll = `"Projection":{"ProjectionType":"ALL"}`
)

func indexes(name string, list ...string) string {
	return `"` + name + `":[{` + strings.Join(list, "},{") + `}]`
}

func TestWrongDefinitions(t *testing.T) {
	const (
		local, global = "LocalSecondaryIndexes", "GlobalSecondaryIndexes"
		refused       = "One or more parameter values were invalid: "
	)
	five := []string{}
	for _, name := range []string{"ix1", "ix2", "ix3", "ix4", "ix5", "ix6"} {
		five = append(five, `"IndexName":"`+name+`",`+keyedAB+`,`+projectAll)
	}
	for _, c := range []struct {
		parts []string
		want  string
	}{
		{
			[]string{definedAB, keyedAB},
			refused + "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
		},
		{[]string{definedAB, keyedAB, onDemand, oneUnit},
			refused + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"},
		{[]string{definedAB, keyedAB, `"ProvisionedThroughput":{"ReadCapacityUnits":1000000000001,"WriteCapacityUnits":1}`},
			"Given value 1000000000001 for ReadCapacityUnits is out of bounds"},
		{[]string{`"TableName":"abc","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"}]`, keyedAB, onDemand},
			"Invalid KeySchema: Some index key attribute have no definition"},
		{[]string{`"TableName":"abc","AttributeDefinitions":[{"AttributeName":"b","AttributeType":"S"}]`, keyedA, onDemand},
			refused + "Some index key attributes are not defined in AttributeDefinitions. Keys: [a], AttributeDefinitions: [b]"},
		{
			[]string{definedAB, `"KeySchema":[{"AttributeName":"a","KeyType":"HASH"},{"AttributeName":"a","KeyType":"RANGE"}]`, onDemand},
			"Both the Hash Key and the Range Key element in the KeySchema have the same name",
		},
		{
			[]string{definedAB, `"KeySchema":[{"AttributeName":"a","KeyType":"RANGE"},{"AttributeName":"b","KeyType":"HASH"}]`, onDemand},
			"Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
		},
		{
			[]string{definedAB, `"KeySchema":[{"AttributeName":"a","KeyType":"HASH"},{"AttributeName":"b","KeyType":"HASH"}]`,
				onDemand},
			"Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
		},
		{
			[]string{definedAB, keyedA, onDemand},
			refused + "Number of attributes in KeySchema does not exactly match number of attributes defined in " +
				"AttributeDefinitions",
		},
		{
			[]string{definedAB, keyedAB, onDemand, `"LocalSecondaryIndexes":[]`},
			refused + "List of LocalSecondaryIndexes is empty",
		},
		{[]string{definedAB, keyedA, onDemand, indexes(local, `"IndexName":"ix1",`+keyedAB+`,`+projectAll)},
			refused + "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex"},
		{[]string{definedAB, keyedAB, onDemand, indexes(local, `"IndexName":"ix1",`+keyedA+`,`+projectAll)},
			refused + "Index KeySchema does not have a range key for index: ix1"},
		{
			[]string{definedAB, keyedAB, onDemand,
				indexes(local, `"IndexName":"ix1","KeySchema":[{"AttributeName":"b","KeyType":"HASH"},{"AttributeName":"a","KeyType":"RANGE"}],`+projectAll)},
			refused + "Index KeySchema does not have the same leading hash key as table KeySchema for index: ix1. index " +
				"hash key: b, table hash key: a",
		},
		{
			[]string{definedAB, keyedAB, onDemand, indexes(local, five...)},
			refused + "Number of LocalSecondaryIndexes exceeds per-table limit of 5",
		},
		{
			[]string{definedAB, keyedAB, onDemand, indexes(global, `"IndexName":"ix1",`+keyedA+`,"Projection":{}`)},
			refused + "Unknown ProjectionType: null",
		},
		{
			[]string{definedAB, keyedAB, onDemand,
				indexes(global, `"IndexName":"ix1",`+keyedA+`,"Projection":{"ProjectionType":"ALL","NonKeyAttributes":["x"]}`)},
			refused + "ProjectionType is ALL, but NonKeyAttributes is specified",
		},
		{
			[]string{definedAB, keyedAB, onDemand,
				indexes(global, `"IndexName":"ix1",`+keyedA+`,"Projection":{"ProjectionType":"INCLUDE"}`)},
			refused + "ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
		},
		{[]string{definedAB, keyedAB, onDemand, indexes(global, `"IndexName":"ix1",`+keyedA+`,`+projectAll+`,`+oneUnit)},
			refused + "ProvisionedThroughput should not be specified for index: ix1 when BillingMode is PAY_PER_REQUEST"},
		{[]string{definedAB, keyedAB, oneUnit, indexes(global, `"IndexName":"ix1",`+keyedA+`,`+projectAll)},
			refused + "ProvisionedThroughput must be specified for index: ix1"},
		{
			[]string{definedAB, keyedAB, onDemand, indexes(local, `"IndexName":"ix1",`+keyedAB+`,`+projectAll),
				indexes(global, `"IndexName":"ix1",`+keyedAB+`,`+projectAll)},
			refused + "Duplicate index name: ix1",
		},
		{
			[]string{definedAB, keyedAB, onDemand, `"StreamSpecification":{"StreamEnabled":true}`},
			refused + "StreamViewType must be specified when StreamEnabled is true",
		},
	} {
		request := "{" + strings.Join(c.parts, ",") + "}"
		if got := checked(t, shapeCreateTable, request); got != "" {
			t.Errorf("%s: got %s; want the right shape", request, got)
		}
		_, _, err := definition(rooted(t, request))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\n got %v\nwant %s", request, err, c.want)
		}
	}
}

func TestDefinition(t *testing.T) {
	request := "{" + strings.Join([]string{definedAB, keyedAB, oneUnit,
		indexes("LocalSecondaryIndexes", `"IndexName":"ix1",`+keyedAB+`,"Projection":{"ProjectionType":"KEYS_ONLY"}`),
		indexes("GlobalSecondaryIndexes", `"IndexName":"ix2","KeySchema":[{"AttributeName":"b","KeyType":"HASH"}],`+
			`"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["x","y"]},"ProvisionedThroughput":{"ReadCapacityUnits":3,"WriteCapacityUnits":4}`),
		`"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"OLD_IMAGE"},"Tags":[{"Key":"k","Value":"v"}]`,
		`"DeletionProtectionEnabled":true,"TableClass":"STANDARD","SSESpecification":{"Enabled":true}`,
	}, ",") + "}"
	got, attributes, err := definition(rooted(t, request))
	if err != nil {
		t.Fatal(err)
	}
	a, b := item.KeyAttr{Name: "a", Type: item.S}, item.KeyAttr{Name: "b", Type: item.N}
	want := catalog.Definition{
		Name: "abc", Key: item.KeySchema{Hash: a, Range: b}, Throughput: catalog.Throughput{Read: 1, Write: 1},
		Indexes: []catalog.IndexDefinition{
			{Index: item.Index{
				Name:    "ix1",
				Local:   true,
				Key:     item.KeySchema{Hash: a, Range: b}.Index(),
				Project: item.ProjectKeys,
			}},
			{
				Index: item.Index{
					Name:    "ix2",
					Key:     item.KeySchema{Hash: b}.Index(),
					Project: item.ProjectSome,
					Attrs:   []string{"x", "y"},
				},
				Throughput: catalog.Throughput{Read: 3, Write: 4},
			},
		},
		Stream: catalog.OldImage, Tags: map[string]string{"k": "v"}, DeletionProtection: true, Class: "STANDARD",
		Encryption: "KMS",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v; want %+v", got, want)
	}
	if !reflect.DeepEqual(attributes, []item.KeyAttr{a, b}) {
		t.Errorf("got attributes %v; want %v", attributes, []item.KeyAttr{a, b})
	}
}

func TestWrongAlterations(t *testing.T) {
	const refused = "One or more parameter values were invalid: "
	for request, want := range map[string]string{
		`{"TableName":"abc","GlobalSecondaryIndexUpdates":[]}`: "At least one of ProvisionedThroughput, BillingMode, " +
			"UpdateStreamEnabled, " +
			"GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required",
		`{"TableName":"abc","BillingMode":"PROVISIONED"}`: refused +
			"ProvisionedThroughput must be specified when BillingMode is PROVISIONED",
		`{"TableName":"abc","GlobalSecondaryIndexUpdates":[{}]}`: refused +
			"One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete " +
			"must not be null",
		`{"TableName":"abc","ReplicaUpdates":[{"Create":{"RegionName":"x"}}]}`: refused + "Global tables are not supported",
		`{"TableName":"abc","GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"abc"}},{"Delete":{"IndexName":"abc"}}]}`: refused +
			"Only one global secondary index update per index is allowed simultaneously. Index: abc",
		`{"TableName":"abc","ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1000000000001}}`: "Given value 1000000000001 for WriteCapacityUnits is out of bounds",
	} {
		_, err := alteration(rooted(t, request))
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", request, err, want)
		}
	}
}

func TestAlteration(t *testing.T) {
	got, err := alteration(rooted(t, `{"TableName":"arn:aws:dynamodb:us-east-1:123456789012:table/abc","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"c","AttributeType":"B"},{"AttributeName":"a","AttributeType":"N"}],"StreamSpecification":{"StreamEnabled":false},
		"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"ix1","KeySchema":[{"AttributeName":"c","KeyType":"HASH"},{"AttributeName":"a","KeyType":"RANGE"}],"Projection":{"ProjectionType":"ALL"}}},
		{"Delete":{"IndexName":"ix2"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	billing, off := catalog.OnDemand, catalog.View(0)
	c, a := item.KeyAttr{Name: "c", Type: item.B}, item.KeyAttr{Name: "a", Type: item.N}
	want := catalog.Alteration{
		Table: "abc", Billing: &billing, Stream: &off, Attributes: []item.KeyAttr{c, a},
		Indexes: []catalog.IndexAlteration{
			{Create: &catalog.IndexDefinition{Index: item.Index{
				Name:    "ix1",
				Key:     item.KeySchema{Hash: c, Range: a}.Index(),
				Project: item.ProjectAll,
			}}},
			{Delete: "ix2"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

func TestDescription(t *testing.T) {
	a, b := item.KeyAttr{Name: "a", Type: item.S}, item.KeyAttr{Name: "b", Type: item.N}
	at := time.UnixMilli(1_700_000_000_123)
	d := catalog.Description{
		Definition: catalog.Definition{
			Name:    "abc",
			Key:     item.KeySchema{Hash: a, Range: b},
			Billing: catalog.OnDemand,
			Stream:  catalog.NewImage,
		},
		ID: "11111111-2222-4333-8444-555555555555", Status: catalog.Active, Created: at, Items: 2, ItemBytes: 20,
		Indexes: []catalog.IndexDescription{
			{IndexDefinition: catalog.IndexDefinition{Index: item.Index{
				Name:    "ix1",
				Local:   true,
				Key:     item.KeySchema{Hash: a, Range: b}.Index(),
				Project: item.ProjectKeys,
			}}},
			{
				IndexDefinition: catalog.IndexDefinition{Index: item.Index{
					Name:    "ix2",
					Key:     item.KeySchema{Hash: b}.Index(),
					Project: item.ProjectSome,
					Attrs:   []string{"x"},
				}},
				Status:      catalog.Creating,
				Backfilling: true,
				Items:       1,
				ItemBytes:   10,
			},
		},
		StreamOn: true, StreamLabel: "2026-01-01T00:00:00.000", LastOnDemand: at, Attributes: []item.KeyAttr{a, b},
	}
	const arn = "arn:aws:dynamodb:us-east-1:123456789012:table/abc"
	want := `{"Table":{"AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"},{"AttributeName":"b","AttributeType":"N"}],` +
		`"TableName":"abc",` + keyedAB + `,"TableStatus":"ACTIVE","CreationDateTime":1700000000.123,` +
		`"ProvisionedThroughput":{"NumberOfDecreasesToday":0,"ReadCapacityUnits":0,"WriteCapacityUnits":0},"TableSizeBytes":20,"ItemCount":2,` +
		`"TableArn":"` + arn + `","TableId":"11111111-2222-4333-8444-555555555555",` +
		`"BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST","LastUpdateToPayPerRequestDateTime":1700000000.123},` +
		`"TableThroughputModeSummary":{"TableThroughputMode":"PAY_PER_REQUEST","LastUpdateToPayPerRequestDateTime":1700000000.123},` +
		`"LocalSecondaryIndexes":[{"IndexName":"ix1",` + keyedAB +
		`,"Projection":{"ProjectionType":"KEYS_ONLY"},"IndexSizeBytes":0,"ItemCount":0,"IndexArn":"` + arn +
		`/index/ix1"}],` +
		`"GlobalSecondaryIndexes":[{"IndexName":"ix2","KeySchema":[{"AttributeName":"b","KeyType":"HASH"}],` +
		`"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["x"]},"IndexSizeBytes":10,"ItemCount":1,"IndexArn":"` + arn + `/index/ix2",` +
		`"IndexStatus":"CREATING","Backfilling":true,"ProvisionedThroughput":{"NumberOfDecreasesToday":0,"ReadCapacityUnits":0,"WriteCapacityUnits":0}}],` +
		`"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"},` +
		`"LatestStreamLabel":"2026-01-01T00:00:00.000","LatestStreamArn":"` + arn + `/stream/2026-01-01T00:00:00.000",` +
		`"DeletionProtectionEnabled":false,"WarmThroughput":{"ReadUnitsPerSecond":12000,"WriteUnitsPerSecond":4000,"Status":"ACTIVE"}}}`
	w := newWriter()
	defer w.release()
	writeDescribed(w, account{region: "us-east-1", id: "123456789012"}, &d)
	if got := string(w.buf); got != want || !json.Valid(w.buf) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestTaggedTable(t *testing.T) {
	a := account{region: "us-east-1", id: "111122223333"}
	const (
		own    = `"ResourceArn":"arn:aws:dynamodb:us-east-1:111122223333:table/abc"`
		other  = `"ResourceArn":"arn:aws:dynamodb:us-east-1:123456789012:table/abc"`
		denied = "User: arn:aws:iam::111122223333:user/holdfast is not authorized to perform: dynamodb:TagResource on " +
			"resource: "
	)
	for request, want := range map[string]string{
		`{}`:                              "Invalid TableArn",
		`{"ResourceArn":""}`:              denied + "*",
		`{"ResourceArn":"a:b:c:d:e/f"}`:   denied + "a:b:c:d:e/f",
		`{"ResourceArn":"not","Tags":[]}`: "Invalid TableArn: Invalid ResourceArn provided as input not",
		`{"ResourceArn":"a:b:c:d:e:f/g"}`: "1 validation error detected: Value null at 'tags' failed to satisfy " +
			"constraint: Member must not be null",
		`{` + own + `,"Tags":[]}`:          "Atleast one Tag needs to be provided as Input.",
		`{` + own + `,"Tags":[{"Key":1}]}`: "",
		`{` + other + `,"Tags":[{}]}`:      denied + "arn:aws:dynamodb:us-east-1:123456789012:table/abc",
	} {
		name, err := a.taggedTable(rooted(t, request), "TagResource", "Tags", "Tag")
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want || want == "" && name != "abc" {
			t.Errorf("%s: got %q, %q; want %q", request, name, got, want)
		}
	}
}

func TestSequenceNumbers(t *testing.T) {
	before := ""
	for _, p := range []holdfast.Position{{}, {Index: 1}, {Index: 1, N: 1}, {Index: 1, N: 1<<32 - 1}, {Index: 2},
		{Index: 10}, {Index: 1<<64 - 1, N: 1<<32 - 1}} {
		s := sequenceNumber(p)
		if len(s) < 21 || len(s) > 40 || s <= before {
			t.Errorf("%v: got %s behind %q; want 21 to 40 digits, and larger", p, s, before)
		}
		if got, ok := positionOf(s); !ok || got != p {
			t.Errorf("%s: got %v, %v; want %v", s, got, ok, p)
		}
		before = s
	}
	for _, s := range []string{"", "1", strings.Repeat("9", 31), "1" + strings.Repeat("x", 30),
		"1" + strings.Repeat("9", 30)} {
		if p, ok := positionOf(s); ok {
			t.Errorf("%q: got %v; want none", s, p)
		}
	}
}

func TestIterators(t *testing.T) {
	it := iterator{arn: "arn:aws:dynamodb:us-east-1:123456789012:table/abc/stream/2026-01-01T00:00:00.000",
		made: time.UnixMilli(1_700_000_000_123), shard: 7, at: holdfast.Position{Index: 1 << 60, N: 3}}
	s := it.String()
	if got, ok := parseIterator(s); !ok || got != it {
		t.Errorf("got %+v, %v; want %+v", got, ok, it)
	}
	for i := range s {
		if _, ok := parseIterator(s[:i] + "~" + s[i+1:]); ok {
			t.Errorf("got an iterator with byte %d changed; want none", i)
		}
	}
	for _, bad := range []string{"", "a", "|1|", s[1:], s[:len(s)-1], s + "0"} {
		if _, ok := parseIterator(bad); ok {
			t.Errorf("%q: got an iterator; want none", bad)
		}
	}
}

func TestRecord(t *testing.T) {
	o := &streamOps{account: account{region: "us-east-1"}}
	key := item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}
	before := item.New(item.Attr{Name: "id", Value: item.Text("k")}, item.Attr{Name: "v", Value: item.Text("old")})
	after := before.With("v", item.Text("newer"))
	at := time.UnixMilli(1_700_000_000_999)
	for _, c := range []struct {
		view   catalog.View
		change shard.Change
		want   string // the record without its IDs
	}{
		{
			catalog.NewAndOldImages,
			shard.Change{At: at, Before: before, After: after},
			`"eventName":"MODIFY","eventVersion":"1.1","eventSource":"aws:dynamodb",` +
				`"awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":1700000000,"Keys":{"id":{"S":"k"}},"NewImage":{"id":{"S":"k"},"v":{"S":"newer"}},` +
				`"OldImage":{"id":{"S":"k"},"v":{"S":"old"}},"SequenceNumber":"1000000000000000000000000000000","SizeBytes":19,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`,
		},
		{
			catalog.OldImage,
			shard.Change{At: at, After: after},
			`"eventName":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb",` +
				`"awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":1700000000,"Keys":{"id":{"S":"k"}},` +
				`"SequenceNumber":"1000000000000000000000000000000","SizeBytes":3,"StreamViewType":"OLD_IMAGE"}}`,
		},
		{
			catalog.KeysOnly,
			shard.Change{At: at, Before: before, Origin: holdfast.ByExpiry},
			`"eventName":"REMOVE","eventVersion":"1.1","eventSource":"aws:dynamodb",` +
				`"awsRegion":"us-east-1","userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"},` +
				`"dynamodb":{"ApproximateCreationDateTime":1700000000,"Keys":{"id":{"S":"k"}},` +
				`"SequenceNumber":"1000000000000000000000000000000","SizeBytes":3,"StreamViewType":"KEYS_ONLY"}}`,
		},
	} {
		w := newWriter()
		o.writeRecord(w, &table.Stream{TableID: "t", Label: "l", View: c.view, Key: key}, &c.change)
		id, got, _ := strings.Cut(string(w.buf), ",")
		if got != c.want || len(id) != len(`{"eventID":""`)+32 {
			t.Errorf("got %s, %s\nwant %s", id, got, c.want)
		}
		w.release()
	}
}

// A shard that has ended has its last sequence number, and one that has taken over the range of
// another names that.
func TestShardsOfAStream(t *testing.T) {
	s := table.Stream{TableID: "x", Label: "y", On: true, Shards: []table.StreamShard{
		{ID: 1, First: holdfast.Position{Index: 3}, Closed: true, Last: holdfast.Position{Index: 9}},
		{ID: 4, Parent: 1, First: holdfast.Position{Index: 1}},
		{ID: 5, Parent: 1, First: holdfast.Position{Index: 1}},
	}}
	described := func(s *table.Stream, after string, limit int) string {
		w := newWriter()
		defer w.release()
		writeShards(w, s, after, limit)
		return string(w.buf)
	}
	one, four, five := shardID(&s, 1), shardID(&s, 4), shardID(&s, 5)
	child := func(id string) string {
		return `{"ShardId":"` + id + `","ParentShardId":"` + one + `",` +
			`"SequenceNumberRange":{"StartingSequenceNumber":"1000000000000000000010000000000"}}`
	}
	parent := `{"ShardId":"` + one + `","SequenceNumberRange":{` +
		`"StartingSequenceNumber":"1000000000000000000030000000000",` +
		`"EndingSequenceNumber":"1000000000000000000090000000000"}}`
	want := `"Shards":[` + parent + `,` + child(four) + `],"LastEvaluatedShardId":"` + four + `"`
	if got := described(&s, "", 2); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got, want := described(&s, four, 2), `"Shards":[`+child(five)+`]`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	children := s
	children.Shards = s.Children(1)
	if got, want := described(&children, "", 9), `"Shards":[`+child(four)+`,`+child(five)+`]`; got != want {
		t.Errorf("children: got %s\nwant %s", got, want)
	}
}

func TestShardIDs(t *testing.T) {
	s := table.Stream{TableID: "x", Label: "y", Shards: []table.StreamShard{{ID: 1}, {ID: 2}}}
	id := shardID(&s, 2)
	if len(id) < 28 || len(id) > 65 || !strings.HasPrefix(id, "shardId-00000000000000000002-") {
		t.Errorf("got %s; want shardId-, 20 digits and a hash", id)
	}
	if sh, ok := findShard(&s, id); !ok || sh.ID != 2 {
		t.Errorf("got %v, %v; want shard 2", sh, ok)
	}
	other := table.Stream{TableID: "x", Label: "z", Shards: s.Shards}
	if _, ok := findShard(&other, id); ok {
		t.Error("got the shard of another stream; want none")
	}
}
