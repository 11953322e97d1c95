package dynamodb

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/table"
)

// A wireResponse is all of a response that a client can see, but for the request's ID and the date.
type wireResponse struct {
	status int
	header string
	body   string
}

// exchanged sends a request for an operation to an address, with more headers, and returns the
// response.
func exchanged(t *testing.T, address, op, body string, headers ...string) wireResponse {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	signAnything(req, op)
	if _, streams := allOperations()[streamsTarget][op]; streams {
		req.Header.Set("X-Amz-Target", streamsTarget+"."+op)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	checkFrame(t, res, string(got))
	for _, name := range []string{"X-Amzn-Requestid", "Date"} {
		res.Header.Del(name)
	}
	var header strings.Builder
	if err := res.Header.Write(&header); err != nil {
		t.Fatal(err)
	}
	return wireResponse{res.StatusCode, header.String(), string(got)}
}

// writes are the operations whose responses' tokens differ when they are repeated.
var writes = []string{"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}

var tokenHeader = regexp.MustCompile(`X-Holdfast-Token: \S+`)

// sameWays are two nodes, of which only the one that leads has tables.
type sameWays struct {
	t                *testing.T
	leader, follower string // addresses
	forwards         *peers
	sent             map[string]int // forwarded requests by operation
}

func newSameWays(t *testing.T) *sameWays {
	t.Helper()
	now := func() time.Time { return time.Unix(1_800_000_000, 0) }
	leader := New(Options{Tables: tablesWith(t, table.Options{ShardsPerTable: 3, Now: now}), Now: now})
	s := &sameWays{t: t, sent: map[string]int{}, forwards: &peers{answer: leader.Answer}}
	s.leader = listening(t, leader, nil)
	s.follower = listening(t, New(Options{Tables: tablesWith(t, table.Options{}), Now: now, Peers: s.forwards}), nil)
	return s
}

// send sends a request both ways, compares the responses, and returns that of the leading node. The
// request is one that can be repeated, once it was executed the first time.
func (s *sameWays) send(op, body string, headers ...string) wireResponse {
	s.t.Helper()
	before := s.forwards.forwards.Load()
	got, want := exchanged(s.t, s.follower, op, body, headers...), exchanged(s.t, s.leader, op, body, headers...)
	if slices.Contains(writes, op) {
		got.header = tokenHeader.ReplaceAllString(got.header, "a token")
		want.header = tokenHeader.ReplaceAllString(want.header, "a token")
	}
	if got != want {
		s.t.Errorf("%s %.300s %q\n got %d %s%.1000s\nwant %d %s%.1000s", op, body, headers, got.status, got.header,
			got.body,
			want.status, want.header, want.body)
	}
	s.sent[op] += int(s.forwards.forwards.Load() - before)
	return want
}

// Each operation has the same response, byte for byte and with the same headers, whether its request
// is forwarded or not; and so has each fault.
func TestForwardedResponsesAreTheSame(t *testing.T) {
	s := newSameWays(t)
	const arn, key = "arn:aws:dynamodb:us-east-1:123456789012:table/", `"TableName":"users","Key":{"id":{"S":"a"}}`
	for _, e := range []struct{ op, body string }{
		{"CreateTable", usersTable},
		{"PutItem",
			`{"TableName":"users","Item":{"id":{"S":"a"},"v":{"S":"é\u0000"}},"ReturnConsumedCapacity":"INDEXES"}`},
		{"PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}},"ConditionExpression":"attribute_not_exists(id)",` +
			`"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}`},
		{"PutItem", `{"TableName":"none","Item":{"id":{"S":"a"}}}`},
		{"UpdateItem", `{` + key + `,"UpdateExpression":"SET n = :n","ExpressionAttributeValues":{":n":{"N":"1"}},` +
			`"ReturnValues":"ALL_NEW"}`},
		{"GetItem", `{` + key + `,"ConsistentRead":true}`},
		{"GetItem", `{` + key + `}`},
		{"Query",
			`{"TableName":"users","KeyConditionExpression":"id = :i","ExpressionAttributeValues":{":i":{"S":"a"}}}`},
		{"Scan", `{"TableName":"users","ConsistentRead":true}`},
		{"BatchGetItem", `{"RequestItems":{"users":{"Keys":[{"id":{"S":"a"}}]}}}`},
		{"BatchWriteItem", `{"RequestItems":{"users":[{"PutRequest":{"Item":{"id":{"S":"b"},"v":{"S":"` +
			strings.Repeat("v", 9000) + `"}}}}]}}`},
		{"GetItem", strings.Replace(`{`+key+`}`, `"a"`, `"b"`, 1)},
		{"TransactGetItems", `{"TransactItems":[{"Get":{` + key + `}}]}`},
		{"TransactWriteItems", `{"TransactItems":[{"Delete":{` + key + `,"ConditionExpression":"n = :n",` +
			`"ExpressionAttributeValues":{":n":{"N":"2"}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}}]}`},
		{"ExecuteStatement", `{"Statement":"SELECT * FROM users"}`},
		{"ExecuteStatement", `{"Statement":"SELECT *"}`},
		{"BatchExecuteStatement",
			`{"Statements":[{"Statement":"SELECT * FROM users WHERE id='a'"},{"Statement":"x"}]}`},
		{"ExecuteTransaction", `{"TransactStatements":[{"Statement":"SELECT * FROM users WHERE id='a'"}]}`},
		{"DeleteItem", `{` + key + `,"ReturnValues":"ALL_OLD"}`},
		{"DescribeTable", `{"TableName":"users"}`},
		{"ListTables", `{}`},
		{"UpdateTimeToLive", `{"TableName":"users","TimeToLiveSpecification":{"AttributeName":"x","Enabled":true}}`},
		{"DescribeTimeToLive", `{"TableName":"users"}`},
		{"TagResource", `{"ResourceArn":"` + arn + `users","Tags":[{"Key":"a","Value":"b"}]}`},
		{"UntagResource", `{"ResourceArn":"` + arn + `users","TagKeys":["c"]}`},
		{"ListTagsOfResource", `{"ResourceArn":"` + arn + `users"}`},
		{"ListStreams", `{}`},
		{"CreateBackup", `{"TableName":"none","BackupName":"first"}`},
		{"DescribeBackup", `{"BackupArn":"` + arn + `users/backup/01234567890123-01234567"}`},
		{"DeleteBackup", `{"BackupArn":"` + arn + `users/backup/01234567890123-01234567"}`},
		{"RestoreTableFromBackup",
			`{"BackupArn":"` + arn + `users/backup/01234567890123-01234567","TargetTableName":"new"}`},
		{"ListBackups", `{"TableName":"none"}`},
		{"DescribeContinuousBackups", `{"TableName":"users"}`},
		{"UpdateContinuousBackups",
			`{"TableName":"users","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}`},
		{"RestoreTableToPointInTime", `{"SourceTableName":"users","TargetTableName":"users"}`},
		{"UpdateTable", `{"TableName":"none","BillingMode":"PAY_PER_REQUEST"}`},
		{"DescribeLimits", `{}`},
		{"GetRecords", `{"ShardIterator":"none"}`},
		{"DescribeContributorInsights", `{"TableName":"users"}`},
		{"ListContributorInsights", `{}`},
		{"DescribeKinesisStreamingDestination", `{"TableName":"users"}`},
		{"DescribeTableReplicaAutoScaling", `{"TableName":"users"}`},
		{"GetResourcePolicy", `{"ResourceArn":"` + arn + `users"}`},
		{"ListGlobalTables", `{}`},
		{"DescribeGlobalTable", `{"GlobalTableName":"users"}`},
		{"DescribeGlobalTableSettings", `{"GlobalTableName":"users"}`},
		{"ListImports", `{}`},
		{"ListExports", `{}`},
		{"DescribeImport", `{"ImportArn":"` + arn + `users/import/01234567890123-01234567"}`},
		{"DescribeExport", `{"ExportArn":"` + arn + `users/export/01234567890123-01234567"}`},
	} {
		exchanged(t, s.leader, e.op, e.body)
		got := s.send(e.op, e.body)
		s.send(e.op, e.body, "Content-Type", typeJSON, "X-Holdfast-Token", "1")
		s.send(e.op, e.body, "Accept-Encoding", "gzip", "X-Holdfast-Token", "x")
		if e.op == "ListStreams" {
			s.stream(at(t, got.body, "Streams", 0, "StreamArn"))
		}
	}
	s.send("DeleteTable", `{"TableName":"none"}`)
	got := exchanged(t, s.follower, "DescribeEndpoints", `{}`)
	if want := `{"Endpoints":[{"Address":"` + s.follower + `","CachePeriodInMinutes":1440}]}`; got.body != want {
		t.Errorf("got %s; want the listener that the client has connected to: %s", got.body, want)
	}
	s.sent["DescribeEndpoints"]++
	for _, faults := range []map[string][]shapeFault{itemFaults(), tableFaults(), otherFaults()} {
		for op, of := range faults {
			for _, fault := range of {
				s.send(op, fault.request)
			}
		}
	}
	for _, named := range allOperations() {
		for _, op := range slices.Sorted(maps.Keys(named)) {
			if s.sent[op] == 0 {
				t.Errorf("%s: got no request forwarded; want each operation", op)
			}
		}
	}
}

// stream sends the requests for a stream.
func (s *sameWays) stream(arn string) {
	s.t.Helper()
	described := s.send("DescribeStream", `{"StreamArn":"`+arn+`"}`)
	for shard := range 3 {
		of := fmt.Sprintf(`{"StreamArn":%q,"ShardId":%q,"ShardIteratorType":"TRIM_HORIZON"}`, arn,
			at(s.t, described.body, "StreamDescription", "Shards", shard, "ShardId"))
		iterator := at(s.t, s.send("GetShardIterator", of).body, "ShardIterator")
		s.send("GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, iterator))
	}
}
