package dynamodb

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/catalog"
	"holdfast/table"
)

// A clock is the time that a test sets.
type clock struct{ now time.Time }

// A store is a handler with its tables.
type store struct {
	*Handler
	tables *table.Store
}

// opened returns a handler of tables on a memory disk, and its clock.
func opened(t *testing.T) (*store, *clock) {
	t.Helper()
	return over(memoryTables(t))
}

// over returns a handler of tables, and its clock.
func over(tables *table.Store) (*store, *clock) {
	c := &clock{now: time.Now()}
	return &store{New(Options{Tables: tables, Now: func() time.Time { return c.now }}), tables}, c
}

// ask runs a request, after checking its shape, and returns the response's JSON, or the error's
// __type and message.
func (h *store) ask(t *testing.T, name, request string) string {
	t.Helper()
	op, ok := h.operations[tablesTarget][name]
	if !ok {
		if op, ok = h.operations[streamsTarget][name]; !ok {
			t.Fatalf("there is no operation %s", name)
		}
	}
	req := rooted(t, request)
	w := newWriter()
	defer w.release()
	err := check(req, op.shape)
	if err == nil {
		err = op.run(t.Context(), req, w)
	}
	if err != nil {
		e := wireErrorOf(err, h.log)
		_, typ, _ := strings.Cut(e.typ, "#")
		return typ + ": " + e.message
	}
	if len(w.buf) > 0 && !json.Valid(w.buf) {
		t.Fatalf("%s %s: got %s; want JSON", name, request, w.buf)
	}
	return string(w.buf)
}

// at returns the value at a path in a JSON text, as JSON.
func at(t *testing.T, text string, path ...any) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("got %s; want JSON", text)
	}
	for _, step := range path {
		switch s := step.(type) {
		case string:
			members, _ := v.(map[string]any)
			v = members[s]
		case int:
			list, _ := v.([]any)
			if s >= len(list) {
				t.Fatalf("%s has no %v", text, path)
			}
			v = list[s]
		}
	}
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// expect runs a request and compares the value at a path of the response.
func (h *store) expect(t *testing.T, name, request, want string, path ...any) {
	t.Helper()
	got := h.ask(t, name, request)
	if path != nil {
		got = at(t, got, path...)
	}
	if got != want {
		t.Errorf("%s %s: got %s; want %s", name, request, got, want)
	}
}

// eventually polls done every millisecond until it returns true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not after 10 seconds", what)
		}
	}
}

// waitActive waits until a table and its global indexes are active.
func (h *store) waitActive(t *testing.T, name string) {
	t.Helper()
	eventually(t, name+" is active", func() bool {
		d, err := h.tables.Describe(name)
		if err != nil {
			t.Fatal(err)
		}
		return d.Status == catalog.Active && !slices.ContainsFunc(d.Indexes, func(x catalog.IndexDescription) bool {
			return !x.Index.Local && x.Status != catalog.Active
		})
	})
}

const usersTable = `{"TableName":"users","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],` +
	`"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST",` +
	`"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`

const users = `{"TableName":"users"}`

func TestTableOperations(t *testing.T) {
	h, _ := opened(t)
	h.expect(t, "DescribeTable", users, "ResourceNotFoundException: Requested resource not found: Table: users not found")
	h.expect(t, "CreateTable", usersTable, "CREATING", "TableDescription", "TableStatus")
	h.waitActive(t, "users")
	h.expect(t, "CreateTable", usersTable, "ResourceInUseException: Table already exists: users")
	h.expect(t, "DescribeTable", `{"TableName":"arn:aws:dynamodb:us-east-1:123456789012:table/users"}`, "ACTIVE",
		"Table", "TableStatus")
	h.expect(t, "ListTables", `{}`, `{"TableNames":["users"]}`)
	h.expect(t, "UpdateTable", `{"TableName":"users","AttributeDefinitions":[{"AttributeName":"g","AttributeType":"S"}],"GlobalSecondaryIndexUpdates":[`+
		`{"Create":{"IndexName":"byg","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}]}`,
		"UPDATING", "TableDescription", "TableStatus")
	h.waitActive(t, "users")
	h.expect(t, "DescribeTable", users, "ACTIVE", "Table", "GlobalSecondaryIndexes", 0, "IndexStatus")
	h.expect(t, "DescribeTable", users, `[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"g","AttributeType":"S"}]`, "Table", "AttributeDefinitions")
	h.expect(t, "UpdateTable", `{"TableName":"users","BillingMode":"PROVISIONED","ProvisionedThroughput":{"ReadCapacityUnits":5,"WriteCapacityUnits":5}}`,
		"ValidationException: One or more parameter values were invalid: ProvisionedThroughput must be specified for "+
			"index: byg")
	h.expect(t, "DeleteTable", users, "DELETING", "TableDescription", "TableStatus")
	h.expect(t, "DescribeTable", users, "ResourceNotFoundException: Requested resource not found: Table: users not found")
}

func TestTimeToLiveOperations(t *testing.T) {
	h, _ := opened(t)
	h.ask(t, "CreateTable", usersTable)
	h.waitActive(t, "users")
	h.expect(t, "DescribeTimeToLive", users, `{"TimeToLiveDescription":{"TimeToLiveStatus":"DISABLED"}}`)
	h.expect(t, "UpdateTimeToLive", `{"TableName":"users","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"until"}}`,
		`{"TimeToLiveSpecification":{"Enabled":true,"AttributeName":"until"}}`)
	h.expect(t, "DescribeTimeToLive", users,
		`{"TimeToLiveDescription":{"TimeToLiveStatus":"ENABLED","AttributeName":"until"}}`)
	h.expect(t, "UpdateTimeToLive", `{"TableName":"users","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"until"}}`,
		"ValidationException: TimeToLive is already enabled")
	h.expect(t, "UpdateTimeToLive", `{"TableName":"users","TimeToLiveSpecification":{"Enabled":true,"AttributeName":""}}`,
		"ValidationException: 1 validation error detected: Value '' at 'timeToLiveSpecification.attributeName' failed to "+
			"satisfy constraint: "+
			"Member must have length greater than or equal to 1")
}

func TestTagOperations(t *testing.T) {
	h, _ := opened(t)
	h.ask(t, "CreateTable", usersTable)
	h.waitActive(t, "users")
	const arn = `"ResourceArn":"arn:aws:dynamodb:us-east-1:123456789012:table/users"`
	h.expect(t, "ListTagsOfResource", `{`+arn+`}`, `{"Tags":[]}`)
	h.expect(t, "TagResource", `{`+arn+`,"Tags":[{"Key":"b","Value":"1"},{"Key":"a","Value":""}]}`, "")
	h.expect(t, "ListTagsOfResource", `{`+arn+`}`, `{"Tags":[{"Key":"a","Value":""},{"Key":"b","Value":"1"}]}`)
	h.expect(t, "UntagResource", `{`+arn+`,"TagKeys":["a","c"]}`, "")
	h.expect(t, "ListTagsOfResource", `{`+arn+`}`, `{"Tags":[{"Key":"b","Value":"1"}]}`)
	const none = `"ResourceArn":"arn:aws:dynamodb:us-east-1:123456789012:table/none"`
	h.expect(t, "UntagResource", `{`+none+`,"TagKeys":["a"]}`, "ResourceNotFoundException: Requested resource not found")
	h.expect(t, "ListTagsOfResource", `{`+none+`}`,
		"ResourceNotFoundException: Requested resource not found: ResourcArn: "+
			"arn:aws:dynamodb:us-east-1:123456789012:table/none not found")
}

// put writes an item with a value.
func (h *store) put(t *testing.T, id, value string) {
	t.Helper()
	h.expect(t, "PutItem", fmt.Sprintf(`{"TableName":"users","Item":{"id":{"S":%q},"v":{"S":%q}}}`, id, value), "{}")
}

func TestStreamOperations(t *testing.T) {
	h, c := over(shardedTables(t, 1))
	h.ask(t, "CreateTable", usersTable)
	h.waitActive(t, "users")
	arn := at(t, h.ask(t, "ListStreams", `{"TableName":"users"}`), "Streams", 0, "StreamArn")
	described := h.ask(t, "DescribeStream", `{"StreamArn":"`+arn+`"}`)
	if got := at(t, described, "StreamDescription", "StreamStatus"); got != "ENABLED" {
		t.Errorf("got %s; want ENABLED", got)
	}
	id := at(t, described, "StreamDescription", "Shards", 0, "ShardId")
	shardOf := fmt.Sprintf(`"StreamArn":%q,"ShardId":%q`, arn, id)
	iterate := func(more string) string {
		return at(t, h.ask(t, "GetShardIterator", `{`+shardOf+`,`+more+`}`), "ShardIterator")
	}
	records := func(iterator string) string {
		return h.ask(t, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, iterator))
	}

	latest := iterate(`"ShardIteratorType":"LATEST"`)
	h.put(t, "a", "1")
	h.put(t, "a", "2")
	h.ask(t, "DeleteItem", `{"TableName":"users","Key":{"id":{"S":"a"}}}`)
	for _, from := range []string{latest, iterate(`"ShardIteratorType":"TRIM_HORIZON"`)} {
		response := records(from)
		for i, want := range []string{"INSERT", "MODIFY", "REMOVE"} {
			if got := at(t, response, "Records", i, "eventName"); got != want {
				t.Errorf("record %d: got %s; want %s", i, got, want)
			}
		}
	}
	all := records(latest)
	second := at(t, all, "Records", 1, "dynamodb", "SequenceNumber")
	for kind, want := range map[string]string{"AT": "MODIFY", "AFTER": "REMOVE"} {
		got := records(iterate(`"ShardIteratorType":"` + kind + `_SEQUENCE_NUMBER","SequenceNumber":"` + second + `"`))
		if got := at(t, got, "Records", 0, "eventName"); got != want {
			t.Errorf("%s_SEQUENCE_NUMBER: got %s; want %s", kind, got, want)
		}
	}
	latest = iterate(`"ShardIteratorType":"LATEST"`)
	if got := at(t, records(latest), "Records"); got != "[]" {
		t.Errorf("got %s; want nothing new", got)
	}
	h.put(t, "b", "1")
	if got := at(t, records(latest), "Records", 0, "dynamodb", "Keys"); got != `{"id":{"S":"b"}}` {
		t.Errorf("got %s; want b", got)
	}
	h.expect(t, "GetShardIterator", `{`+shardOf+`,"ShardIteratorType":"AT_SEQUENCE_NUMBER"}`,
		"ValidationException: SequenceNumber must be specified when ShardIteratorType is AT_SEQUENCE_NUMBER")
	h.expect(t, "DescribeStream", `{"StreamArn":"`+strings.Replace(arn, "users", "other", 1)+`"}`,
		"ResourceNotFoundException: Requested resource not found: Stream: "+strings.Replace(arn, "users", "other", 1)+
			" not found")

	c.now = c.now.Add(iteratorAge + time.Second)
	if got := records(latest); !strings.HasPrefix(got, "ExpiredIteratorException") {
		t.Errorf("got %s; want ExpiredIteratorException", got)
	}
	h.ask(t, "UpdateTable", `{"TableName":"users","StreamSpecification":{"StreamEnabled":false}}`)
	h.expect(t, "DescribeStream", `{"StreamArn":"`+arn+`"}`, "DISABLED", "StreamDescription", "StreamStatus")
	rest := records(iterate(`"ShardIteratorType":"TRIM_HORIZON"`))
	if got := at(t, rest, "NextShardIterator"); got != "null" || at(t, rest, "Records", 3, "eventName") != "INSERT" {
		t.Errorf("got %s; want four records and the end", rest)
	}
}

func TestBackupOperations(t *testing.T) {
	h, _ := opened(t)
	h.expect(t, "CreateBackup", `{"TableName":"users","BackupName":"first"}`,
		"TableNotFoundException: Table not found: users")
	h.ask(t, "CreateTable", usersTable)
	h.waitActive(t, "users")
	h.put(t, "a", "1")
	arn := at(t, h.ask(t, "CreateBackup", `{"TableName":"users","BackupName":"first"}`), "BackupDetails", "BackupArn")
	eventually(t, "the backup is available", func() bool {
		response := h.ask(t, "DescribeBackup", `{"BackupArn":"`+arn+`"}`)
		return at(t, response, "BackupDescription", "BackupDetails", "BackupStatus") == "AVAILABLE"
	})
	h.put(t, "a", "2")
	h.expect(t, "ListBackups", `{"TableName":"users"}`, arn, "BackupSummaries", 0, "BackupArn")
	h.expect(t, "ListBackups", `{"BackupType":"SYSTEM"}`, `{"BackupSummaries":[]}`)
	h.expect(t, "RestoreTableFromBackup", `{"BackupArn":"`+arn+`","TargetTableName":"users"}`,
		"TableAlreadyExistsException: Table already exists: users")
	h.expect(t, "RestoreTableFromBackup", `{"BackupArn":"`+arn+`","TargetTableName":"copy"}`, "CREATING",
		"TableDescription", "TableStatus")
	h.waitActive(t, "copy")
	h.expect(t, "GetItem", `{"TableName":"copy","Key":{"id":{"S":"a"}}}`, `{"Item":{"id":{"S":"a"},"v":{"S":"1"}}}`)
	h.expect(t, "DescribeTable", `{"TableName":"copy"}`, arn, "Table", "RestoreSummary", "SourceBackupArn")
	h.expect(t, "DeleteBackup", `{"BackupArn":"`+arn+`"}`, "DELETED", "BackupDescription", "BackupDetails", "BackupStatus")
	h.expect(t, "DescribeBackup", `{"BackupArn":"`+arn+`"}`, "BackupNotFoundException: Backup not found: "+arn)
}

func TestPointInTimeOperations(t *testing.T) {
	h, _ := opened(t)
	h.expect(t, "DescribeContinuousBackups", users, "TableNotFoundException: Table not found: users")
	h.ask(t, "CreateTable", usersTable)
	h.waitActive(t, "users")
	const status = "PointInTimeRecoveryStatus"
	h.expect(t, "DescribeContinuousBackups", users, "DISABLED", "ContinuousBackupsDescription",
		"PointInTimeRecoveryDescription", status)
	const restore = `{"SourceTableName":"users","TargetTableName":"copy","UseLatestRestorableTime":true}`
	h.expect(t, "RestoreTableToPointInTime", restore,
		"PointInTimeRecoveryUnavailableException: Point in time recovery is not enabled for table 'users'")
	h.expect(t, "UpdateContinuousBackups",
		`{"TableName":"users","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}`, "ENABLED",
		"ContinuousBackupsDescription", "PointInTimeRecoveryDescription", status)
	h.put(t, "a", "1")
	if got := h.ask(t, "RestoreTableToPointInTime",
		`{"SourceTableName":"users","TargetTableName":"copy","RestoreDateTime":1000}`); !strings.HasPrefix(got,
		"InvalidRestoreTimeException") {
		t.Errorf("got %s; want InvalidRestoreTimeException", got)
	}
	h.expect(t, "RestoreTableToPointInTime", restore, "CREATING", "TableDescription", "TableStatus")
	h.waitActive(t, "copy")
	h.expect(t, "GetItem", `{"TableName":"copy","Key":{"id":{"S":"a"}}}`, `{"Item":{"id":{"S":"a"},"v":{"S":"1"}}}`)
}

func TestLimitsAndEndpoints(t *testing.T) {
	h := &store{Handler: New(Options{Region: "eu-west-1"})}
	h.expect(t, "DescribeLimits", `{}`, `{"AccountMaxReadCapacityUnits":80000,"AccountMaxWriteCapacityUnits":80000,`+
		`"TableMaxReadCapacityUnits":40000,"TableMaxWriteCapacityUnits":40000}`)
	h.expect(t, "DescribeEndpoints", `{}`,
		`{"Endpoints":[{"Address":"dynamodb.eu-west-1.amazonaws.com","CachePeriodInMinutes":1440}]}`)
}

// TestRestoreNamesIndexes restores a table with some of its indexes: such a request defines no
// attributes.
func TestRestoreNamesIndexes(t *testing.T) {
	h, _ := opened(t)
	const index = `{"IndexName":"by-v","KeySchema":[{"AttributeName":"v","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}`
	h.ask(t, "CreateTable", `{"TableName":"users","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],`+
		`"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"v","AttributeType":"S"}],"GlobalSecondaryIndexes":[`+index+`]}`)
	h.waitActive(t, "users")
	h.put(t, "a", "1")
	arn := at(t, h.ask(t, "CreateBackup", `{"TableName":"users","BackupName":"first"}`), "BackupDetails", "BackupArn")
	eventually(t, "the backup is available", func() bool {
		response := h.ask(t, "DescribeBackup", `{"BackupArn":"`+arn+`"}`)
		return at(t, response, "BackupDescription", "BackupDetails", "BackupStatus") == "AVAILABLE"
	})
	for name, indexes := range map[string]string{"with": index, "without": ""} {
		h.expect(t, "RestoreTableFromBackup",
			`{"BackupArn":"`+arn+`","TargetTableName":"`+name+`","GlobalSecondaryIndexOverride":[`+indexes+`]}`,
			"CREATING", "TableDescription", "TableStatus")
		h.waitActive(t, name)
	}
	h.expect(t, "Query", `{"TableName":"with","IndexName":"by-v","KeyConditionExpression":"v=:v","ExpressionAttributeValues":{":v":{"S":"1"}}}`,
		"a", "Items", 0, "id", "S")
	if got := h.ask(t, "DescribeTable", `{"TableName":"without"}`); strings.Contains(got, "by-v") {
		t.Errorf("got %s; want no index", got)
	}
}
