package dynamodb

import (
	"fmt"
	"strings"
	"testing"
)

func TestDefinitionsAreConsistent(t *testing.T) {
	h := served(t)
	createTables(t, h)
	for _, name := range []string{"things", "notes"} {
		call(t, h, "DescribeTable", `{"TableName":"`+name+`"}`) // which finds it active
	}
	const (
		x    = `{"AttributeName":"x","AttributeType":"S"}`
		xN   = `{"AttributeName":"x","AttributeType":"N"}`
		id   = `{"AttributeName":"id","AttributeType":"S"}`
		byX  = `"KeySchema":[{"AttributeName":"x","KeyType":"HASH"}]`
		twin = invalidParameter + "Duplicate attribute name in AttributeDefinitions: x"
	)
	create := func(attributes, more string) string {
		return `{"TableName":"new","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[` + attributes + `],` + byX +
			more + `}`
	}
	global := func(nonKey string) string {
		return `,"GlobalSecondaryIndexes":[{"IndexName":"gsi",` + byX +
			`,"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":[` + nonKey + `]}}]`
	}
	update := func(name, attributes, changes string) string {
		return `{"TableName":"` + name + `","AttributeDefinitions":[` + attributes + `],"GlobalSecondaryIndexUpdates":[` +
			changes + `]}`
	}
	index := func(name string) string {
		return `{"IndexName":"` + name + `",` + byX + `,"Projection":{"ProjectionType":"ALL"}}`
	}
	const two = invalidParameter + "Only one of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, " +
		"GlobalSecondaryIndexUpdate.Delete must be specified"
	run(t, h, []step{
		{"CreateTable", create(x+`,`+xN, ``), twin},
		{"CreateTable", create(x+`,`+x, ``), twin},
		{"CreateTable", create(x+`,`+xN, global(`"a"`)), twin},
		{"CreateTable", create(x, global(`"a","b","a"`)),
			invalidParameter + "Duplicate attribute name in NonKeyAttributes of index gsi: a"},
		{"UpdateTable", update("things", x+`,`+xN, `{"Create":`+index("gsi")+`}`), twin},
		{"UpdateTable", update("things", x, `{"Create":`+index("gsi")+`,"Delete":{"IndexName":"xyz"}}`), two},
		{"UpdateTable", update("things", x, `{"Create":`+index("gsi")+`,"Update":{"IndexName":"xyz","ProvisionedThroughput":
			{"ReadCapacityUnits":1,"WriteCapacityUnits":1}}}`), two},
		{
			"UpdateTable",
			update("things", x, `{"Delete":{"IndexName":"gsi"},"Update":{"IndexName":"xyz","ProvisionedThroughput":
			{"ReadCapacityUnits":1,"WriteCapacityUnits":1}}}`),
			two,
		},
		{"UpdateTable", `{"TableName":"things","GlobalSecondaryIndexUpdates":[{"Create":` + index("gsi") + `}]}`,
			invalidParameter + "Some index key attributes are not defined in AttributeDefinitions. Keys: [x], " +
				"AttributeDefinitions: []"},
		{"UpdateTable", update("notes", `{"AttributeName":"g","AttributeType":"N"}`, `{"Create":{"IndexName":"gsi2",
			"KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}`),
			invalidParameter + "Attributes cannot be redefined. Please check that your attribute has the same type as " +
				"previously defined. " +
				"Existing schema: Schema:[SchemaElement: key{g:S:HASH}] New schema: Schema:[SchemaElement: key{g:N:HASH}]"},
		{
			"DescribeTable",
			`{"TableName":"new"}`,
			"ResourceNotFoundException: Requested resource not found: Table: new not found",
		},
		{"UpdateTable", update("notes", id+`,`+x, `{"Create":`+index("by-k")+`}`),
			"ValidationException: Attempting to create an index which already exists"},
	})
}

func TestTagsAreChecked(t *testing.T) {
	h := served(t)
	createTables(t, h)
	arn := h.account.tableARN("things")
	escaped := func(format string, args ...any) string {
		return strings.ReplaceAll(fmt.Sprintf(format, args...), `\x1b`, `\u001b`)
	}
	tag := func(key, value string) string {
		return escaped(`{"ResourceArn":%q,"Tags":[{"Key":%q,"Value":%q}]}`, arn, key, value)
	}
	for _, wrong := range []string{"hi!", "d%g", `"hello"`, "a\x1b[0m", "a#", "a*", "<b>", "a;b", "a\\b"} {
		for _, body := range []string{tag(wrong, "dog"), tag("dog", wrong)} {
			if got := call(t, h, "TagResource", body); !strings.HasPrefix(got, invalidParameter+"The tag ") {
				t.Errorf("%s: got %s; want a ValidationException", body, got)
			}
		}
		created := escaped(`{"TableName":"new","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
			"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"Tags":[{"Key":%q,"Value":"a"}]}`, wrong)
		if got := call(t, h, "CreateTable", created); !strings.HasPrefix(got, invalidParameter+"The tag key contains") {
			t.Errorf("%s: got %s; want a ValidationException", created, got)
		}
	}
	run(t, h, []step{
		{
			"TagResource",
			tag("aws:owner", "a"),
			invalidParameter + "Tag keys starting with aws: are reserved for system use: aws:owner",
		},
		{"TagResource", tag("Größe 1+-=._:/@", "日本 ٣"), ``},
		{"TagResource", tag("empty", ""), ``},
	})
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf(`{"Key":"k%d","Value":"v"}`, i))
	}
	hundred := `"Tags":[` + strings.Join(many, ",") + `]`
	run(t, h, []step{
		{
			"TagResource",
			`{"ResourceArn":"` + arn + `",` + hundred + `}`,
			invalidParameter + "Too many tags: 102; a table can have 50",
		},
		{
			"CreateTable",
			`{"TableName":"new","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
			"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],` + hundred + `}`,
			invalidParameter + "Too many tags: 100; a table can have 50",
		},
		{
			"DescribeTable",
			`{"TableName":"new"}`,
			"ResourceNotFoundException: Requested resource not found: Table: new not found",
		},
	})
}

// An ARN given in place of a table's name must be valid: a valid table name, of this region and
// account.
func TestNamesAndARNs(t *testing.T) {
	h := served(t)
	createTables(t, h)
	const prefix = "arn:aws:dynamodb:us-east-1:123456789012:table/"
	arn := prefix + "things"
	about := func(name string) map[string]string {
		return map[string]string{
			"CreateTable": `{"TableName":"` + name +
				`","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id",
				"AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`,
			"UpdateTable":        `{"TableName":"` + name + `","DeletionProtectionEnabled":false}`,
			"DeleteTable":        `{"TableName":"` + name + `"}`,
			"DescribeTable":      `{"TableName":"` + name + `"}`,
			"DescribeTimeToLive": `{"TableName":"` + name + `"}`,
			"UpdateTimeToLive": `{"TableName":"` + name +
				`","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"a"}}`,
			"DescribeContinuousBackups":           `{"TableName":"` + name + `"}`,
			"CreateBackup":                        `{"TableName":"` + name + `","BackupName":"abc"}`,
			"ListStreams":                         `{"TableName":"` + name + `"}`,
			"ListBackups":                         `{"TableName":"` + name + `"}`,
			"DescribeContributorInsights":         `{"TableName":"` + name + `"}`,
			"DescribeTableReplicaAutoScaling":     `{"TableName":"` + name + `"}`,
			"DescribeKinesisStreamingDestination": `{"TableName":"` + name + `"}`,
			"PutItem":                             `{"TableName":"` + name + `","Item":{"id":{"S":"a"}}}`,
			"GetItem":                             `{"TableName":"` + name + `","Key":{"id":{"S":"a"}}}`,
			"DeleteItem":                          `{"TableName":"` + name + `","Key":{"id":{"S":"a"}}}`,
			"UpdateItem":                          `{"TableName":"` + name + `","Key":{"id":{"S":"a"}}}`,
			"Scan":                                `{"TableName":"` + name + `"}`,
			"Query": `{"TableName":"` + name +
				`","KeyConditionExpression":"id=:a","ExpressionAttributeValues":{":a":{"S":"a"}}}`,
			"BatchGetItem":       `{"RequestItems":{"` + name + `":{"Keys":[{"id":{"S":"a"}}]}}}`,
			"BatchWriteItem":     `{"RequestItems":{"` + name + `":[{"DeleteRequest":{"Key":{"id":{"S":"a"}}}}]}}`,
			"TransactGetItems":   `{"TransactItems":[{"Get":{"TableName":"` + name + `","Key":{"id":{"S":"a"}}}}]}`,
			"TransactWriteItems": `{"TransactItems":[{"Delete":{"TableName":"` + name + `","Key":{"id":{"S":"a"}}}}]}`,
		}
	}
	for _, name := range []string{"", ".", "..", "<b>", `\u001b[31mred`, `abc\n`, `things/`, `things/stream/a`,
		strings.Repeat("a", 256)} {
		for op, body := range about(prefix + name) {
			if got := call(t, h, op, body); !strings.HasPrefix(got, "ValidationException: ") {
				t.Errorf("%s of %q: got %.200s; want a ValidationException", op, name, got)
			}
		}
	}
	for _, other := range []string{"arn:aws:dynamodb:eu-west-1:123456789012:table/things",
		"arn:aws:dynamodb:us-east-1:000000000000:table/things"} {
		for op, body := range about(other) {
			want := "AccessDeniedException: User: arn:aws:iam::123456789012:user/holdfast is not authorized to perform: " +
				"dynamodb:" + op +
				" on resource: " + other
			if got := call(t, h, op, body); got != want {
				t.Errorf("%s of %s: got %.300s; want %s", op, other, got, want)
			}
		}
	}
	run(t, h, []step{
		{
			"RestoreTableToPointInTime",
			`{"SourceTableArn":"arn:aws:dynamodb:us-east-1:000000000000:table/things","TargetTableName":"abc",
			"UseLatestRestorableTime":true}`,
			"AccessDeniedException: User: arn:aws:iam::123456789012:user/holdfast is not authorized to perform: " +
				"dynamodb:RestoreTableToPointInTime on resource: arn:aws:dynamodb:us-east-1:000000000000:table/things",
		},
		{"ListTables", `{}`, `{"TableNames":["notes","things"]}`},
		{"PutItem", about(arn)["PutItem"], `{}`},
		{"GetItem", about(arn)["GetItem"], `{"Item":{"id":{"S":"a"}}}`},
	})
	for op, body := range about(arn) {
		if got := call(t, h, op, body); strings.Contains(got, "AccessDenied") ||
			strings.Contains(got, "ValidationException") {
			t.Errorf("%s of its ARN: got %s", op, got)
		}
	}
	for op, body := range map[string]string{
		"TagResource":        `{"ResourceArn":"` + prefix + `<b>","Tags":[{"Key":"a","Value":"b"}]}`,
		"UntagResource":      `{"ResourceArn":"` + prefix + `..","TagKeys":["a"]}`,
		"ListTagsOfResource": `{"ResourceArn":"` + prefix + `\u001b[0mabc"}`,
		"DescribeBackup":     `{"BackupArn":"` + prefix + `<b>/backup/01234567890123456789"}`,
		"DeleteBackup":       `{"BackupArn":"` + prefix + `../backup/01234567890123456789"}`,
		"DescribeStream":     `{"StreamArn":"` + prefix + `<b>/stream/2026-11-28T00:00:00.000"}`,
	} {
		if got := call(t, h, op, body); !strings.HasPrefix(got, "ValidationException: ") {
			t.Errorf("%s %s: got %s; want a ValidationException", op, body, got)
		}
	}
}

// Tools that query features which Holdfast doesn't have get empty lists or errors that say so.
func TestProbes(t *testing.T) {
	h := served(t)
	createTables(t, h)
	arn := h.account.tableARN("notes")
	run(t, h, []step{
		{
			"DescribeContributorInsights",
			`{"TableName":"notes"}`,
			`{"TableName":"notes","ContributorInsightsStatus":"DISABLED"}`,
		},
		{"DescribeContributorInsights", `{"TableName":"` + arn + `","IndexName":"by-g"}`,
			`{"TableName":"notes","IndexName":"by-g","ContributorInsightsStatus":"DISABLED"}`},
		{"DescribeContributorInsights", `{"TableName":"notes","IndexName":"none"}`,
			"ResourceNotFoundException: Requested resource not found: Table: notes, Index: none not found"},
		{
			"DescribeContributorInsights",
			`{"TableName":"none"}`,
			"ResourceNotFoundException: Requested resource not found: Table: none not found",
		},
		{"ListContributorInsights", `{}`, `{"ContributorInsightsSummaries":[]}`},
		{"ListContributorInsights", `{"TableName":"notes","MaxResults":10}`, `{"ContributorInsightsSummaries":[]}`},
		{
			"DescribeKinesisStreamingDestination",
			`{"TableName":"notes"}`,
			`{"TableName":"notes","KinesisDataStreamDestinations":[]}`,
		},
		{"DescribeKinesisStreamingDestination", `{"TableName":"none"}`,
			"ResourceNotFoundException: Requested resource not found: Table: none not found"},
		{"DescribeTableReplicaAutoScaling", `{"TableName":"notes"}`,
			`{"TableAutoScalingDescription":{"TableName":"notes","TableStatus":"ACTIVE","Replicas":[]}}`},
		{
			"GetResourcePolicy",
			`{"ResourceArn":"` + arn + `"}`,
			"PolicyNotFoundException: Resource-based policy not found for the provided ResourceArn: " + arn,
		},
		{"GetResourcePolicy", `{"ResourceArn":"` + h.account.tableARN("none") + `"}`,
			"ResourceNotFoundException: Requested resource not found: ResourceArn: " + h.account.tableARN("none") +
				" not found"},
		{
			"GetResourcePolicy",
			`{"ResourceArn":"abc"}`,
			"ValidationException: Invalid ResourceArn: Invalid ResourceArn provided as input abc",
		},
		{"ListGlobalTables", `{}`, `{"GlobalTables":[]}`},
		{"DescribeGlobalTable", `{"GlobalTableName":"notes"}`,
			"GlobalTableNotFoundException: Global table not found: Global table with name: notes does not exist"},
		{"ListImports", `{}`, `{"ImportSummaryList":[]}`},
		{"ListExports", `{"TableArn":"` + arn + `"}`, `{"ExportSummaries":[]}`},
		{"DescribeExport", `{"ExportArn":"` + arn + `/export/01234567890123-01234567"}`,
			"ExportNotFoundException: Export not found: " + arn + "/export/01234567890123-01234567"},
		{
			"UpdateContributorInsights",
			`{"TableName":"notes","ContributorInsightsAction":"ENABLE"}`,
			"UnknownOperationException: ",
		},
	})
}

// DescribeTable's response has members that other responses leave out; DeleteTable's has nothing of
// the table's definition.
func TestDescriptions(t *testing.T) {
	h := served(t)
	create := func(name, more string) {
		t.Helper()
		got := call(t, h, "CreateTable", `{"TableName":"`+name+
			`","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},
			{"AttributeName":"n","AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}],
			"LocalSecondaryIndexes":[{"IndexName":"lsi","KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}],
			"Projection":{"ProjectionType":"ALL"}}],`+more+`}`)
		if !strings.HasPrefix(got, `{"TableDescription"`) {
			t.Fatal(got)
		}
	}
	index := func(more string) string {
		return `"GlobalSecondaryIndexes":[{"IndexName":"gsi","KeySchema":[{"AttributeName":"n","KeyType":"HASH"}],
			"Projection":{"ProjectionType":"ALL"}` + more + `}]`
	}
	create("demand", `"BillingMode":"PAY_PER_REQUEST",`+index(``))
	create("units", `"ProvisionedThroughput":{"ReadCapacityUnits":5,"WriteCapacityUnits":6},"DeletionProtectionEnabled":true,`+
		index(`,"ProvisionedThroughput":{"ReadCapacityUnits":7,"WriteCapacityUnits":8}`))
	create("warm", `"BillingMode":"PAY_PER_REQUEST","WarmThroughput":{"ReadUnitsPerSecond":20000,"WriteUnitsPerSecond":5000},`+
		index(`,"WarmThroughput":{"ReadUnitsPerSecond":30000,"WriteUnitsPerSecond":6000}`))
	warm := func(reads, writes int) string {
		return fmt.Sprintf(`"WarmThroughput":{"ReadUnitsPerSecond":%d,"WriteUnitsPerSecond":%d,"Status":"ACTIVE"}`, reads,
			writes)
	}
	for name, want := range map[string][3]string{
		"demand": {`"DeletionProtectionEnabled":false`, warm(12000, 4000), ``},
		"units":  {`"DeletionProtectionEnabled":true`, warm(5, 6), ``},
		"warm":   {`"DeletionProtectionEnabled":false`, warm(20000, 5000), warm(30000, 6000)},
	} {
		got := call(t, h, "DescribeTable", `{"TableName":"`+name+`"}`)
		warms := 1 // the index's is included if one was requested
		if want[2] != "" {
			warms = 2
		}
		if !strings.HasSuffix(got, `,`+want[0]+`,`+want[1]+`}}`) || !strings.Contains(got, want[2]) ||
			strings.Count(got, "WarmThroughput") != warms {
			t.Errorf("%s: got %s; want %s", name, got, want)
		}
	}
	call(t, h, "UpdateTable", `{"TableName":"demand","WarmThroughput":{"ReadUnitsPerSecond":13000,"WriteUnitsPerSecond":4000},
		"GlobalSecondaryIndexUpdates":[{"Update":{"IndexName":"gsi","WarmThroughput":{"ReadUnitsPerSecond":14000,"WriteUnitsPerSecond":4000}}}]}`)
	got := call(t, h, "DescribeTable", `{"TableName":"demand"}`)
	if !strings.Contains(got, warm(13000, 4000)) || !strings.Contains(got, warm(14000, 4000)) {
		t.Errorf("after the update: got %s", got)
	}
	gone := call(t, h, "DeleteTable", `{"TableName":"demand"}`)
	if !strings.HasPrefix(gone, `{"TableDescription":{"TableName":"demand","TableStatus":"DELETING","ProvisionedThroughput":`) ||
		!strings.Contains(gone, `"BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST"`) {
		t.Errorf("DeleteTable: got %s", gone)
	}
	for _, absent := range []string{"KeySchema", "AttributeDefinitions", "CreationDateTime", "SecondaryIndexes"} {
		if strings.Contains(gone, absent) {
			t.Errorf("DeleteTable: got %s; want no %s", gone, absent)
		}
	}
}

// No shard of a stream is ever split, so none has children.
func TestShardFilter(t *testing.T) {
	h := served(t)
	createTables(t, h)
	call(t, h, "DescribeTable", `{"TableName":"things"}`) // which finds it active
	call(t, h, "UpdateTable", `{"TableName":"things","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}`)
	_, arn, _ := strings.Cut(call(t, h, "ListStreams", `{"TableName":"things"}`), `"StreamArn":"`)
	arn, _, _ = strings.Cut(arn, `"`)
	described := func(filter string) string {
		return call(t, h, "DescribeStream", `{"StreamArn":"`+arn+`"`+filter+`}`)
	}
	_, id, _ := strings.Cut(described(``), `"ShardId":"`)
	id, _, _ = strings.Cut(id, `"`)
	got := described(`,"ShardFilter":{"Type":"CHILD_SHARDS","ShardId":"` + id + `"}`)
	if !strings.Contains(got, `"StreamStatus":"ENABLED"`) || !strings.HasSuffix(got, `"Shards":[]}}`) {
		t.Errorf("got %s; want no shards", got)
	}
	for _, wrong := range []string{
		`{"Type":"foo","ShardId":"` + id + `"}`, `{"ShardId":"` + id + `"}`, `{"Type":"CHILD_SHARDS"}`,
		`{"Type":"CHILD_SHARDS","ShardId":"foo"}`,
		`{"Type":"CHILD_SHARDS","ShardId":"shardId-00000000000000000000-00000000"}`,
	} {
		if got := described(`,"ShardFilter":` + wrong); !strings.HasPrefix(got, "ValidationException: ") {
			t.Errorf("%s: got %s; want a ValidationException", wrong, got)
		}
	}
}
