package dynamodb

import (
	"fmt"
	"strings"
	"testing"
)

// What is here was recorded from the service, or is asserted by suites that were validated against it.

const invalidParameter = "ValidationException: One or more parameter values were invalid: "

// An update that only removes makes no item of one that isn't there, whatever it returns and counts.
func TestRemovingFromNothing(t *testing.T) {
	h := served(t)
	createTables(t, h)
	call(t, h, "DescribeTable", `{"TableName":"things"}`) // which finds it active
	call(t, h, "UpdateTable", `{"TableName":"things","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}`)
	for i, change := range []string{
		`"UpdateExpression":"REMOVE b"`,
		`"UpdateExpression":"REMOVE x.y, z[1]"`,
		`"UpdateExpression":"DELETE b :s","ExpressionAttributeValues":{":s":{"SS":["a"]}}`,
		`"UpdateExpression":"REMOVE a DELETE b :s","ExpressionAttributeValues":{":s":{"NS":["1"]}}`,
		`"AttributeUpdates":{"a":{"Action":"DELETE"}}`,
		`"AttributeUpdates":{"a":{"Action":"DELETE","Value":{"SS":["a"]}},"b":{"Action":"DELETE"}}`,
	} {
		for _, returned := range []string{"NONE", "ALL_NEW", "UPDATED_NEW", "ALL_OLD", "UPDATED_OLD"} {
			key := fmt.Sprintf(`"TableName":"things","Key":{"id":{"S":"none%d"}}`, i)
			run(t, h, []step{
				{"UpdateItem", `{` + key + `,` + change + `,"ReturnValues":"` + returned + `","ReturnConsumedCapacity":"TOTAL"}`,
					`{"ConsumedCapacity":{"TableName":"things","CapacityUnits":1.0}}`},
				{"GetItem", `{` + key + `}`, `{}`},
			})
		}
	}
	missing := `"TableName":"things","Key":{"id":{"S":"none"}}`
	run(t, h, []step{
		{"UpdateItem", `{` + missing + `,"UpdateExpression":"REMOVE b","ConditionExpression":"attribute_exists(id)"}`, conditionFailedText},
		{"UpdateItem", `{` + missing + `,"UpdateExpression":"REMOVE b","ConditionExpression":"attribute_not_exists(id)"}`, `{}`},
		{"TransactWriteItems", `{"TransactItems":[{"Update":{` + missing + `,"UpdateExpression":"REMOVE x.y"}}]}`, `{}`},
		{"ExecuteStatement", `{"Statement":"UPDATE things REMOVE b WHERE id='none'"}`, conditionFailedText},
		{"Scan", `{"TableName":"things"}`, `{"Count":0,"ScannedCount":0,"Items":[]}`},
	})
	if records := streamed(t, h, "things"); records != "" {
		t.Errorf("got records %s; want none", records)
	}
	run(t, h, []step{
		{"UpdateItem", `{` + missing + `,"UpdateExpression":"REMOVE b SET a = :a","ExpressionAttributeValues":{":a":{"S":"a"}},"ReturnValues":"ALL_NEW"}`,
			`{"Attributes":{"a":{"S":"a"},"id":{"S":"none"}}}`},
		{"UpdateItem", `{` + missing + `,"UpdateExpression":"REMOVE x.y"}`,
			"ValidationException: The document path provided in the update expression is invalid for update"},
	})
	if records := streamed(t, h, "things"); strings.Count(records, `"eventName":"INSERT"`) != 1 {
		t.Errorf("got records %s; want one of an insert", records)
	}
}

// streamed returns the records of a table's stream from its beginning, as JSON.
func streamed(t *testing.T, h *Handler, name string) string {
	t.Helper()
	inner := func(s, from, to string) string {
		_, s, _ = strings.Cut(s, from)
		s, _, _ = strings.Cut(s, to)
		return s
	}
	arn := inner(call(t, h, "ListStreams", `{"TableName":"`+name+`"}`), `"StreamArn":"`, `"`)
	shard := inner(call(t, h, "DescribeStream", `{"StreamArn":"`+arn+`"}`), `"ShardId":"`, `"`)
	iterator := inner(call(t, h, "GetShardIterator", `{"StreamArn":"`+arn+`","ShardId":"`+shard+`","ShardIteratorType":"TRIM_HORIZON"}`),
		`"ShardIterator":"`, `"`)
	records := call(t, h, "GetRecords", `{"ShardIterator":"`+iterator+`"}`)
	if !strings.Contains(records, `"Records":[`) {
		t.Fatal(records)
	}
	return inner(records, `"Records":[`, `],"NextShardIterator"`)
}

func TestLegacyFilters(t *testing.T) {
	h := served(t)
	createTables(t, h)
	const whole = `"a":{"BOOL":true},"l":{"L":[{"N":"1"}]},"m":{"M":{"x":{"NS":["2","1"]}}},"u":{"NULL":true}`
	call(t, h, "PutItem", `{"TableName":"things","Item":{"id":{"S":"1"},`+whole+`}}`)
	call(t, h, "PutItem", `{"TableName":"notes","Item":{"id":{"S":"1"},"n":{"N":"1"},`+whole+`}}`)
	for _, c := range []struct {
		filter string
		count  int
	}{
		{`"a":{"ComparisonOperator":"EQ","AttributeValueList":[{"BOOL":true}]}`, 1},
		{`"a":{"ComparisonOperator":"NE","AttributeValueList":[{"BOOL":true}]}`, 0},
		{`"l":{"ComparisonOperator":"EQ","AttributeValueList":[{"L":[{"N":"1.0"}]}]}`, 1},
		{`"l":{"ComparisonOperator":"NE","AttributeValueList":[{"L":[]}]}`, 1},
		{`"m":{"ComparisonOperator":"EQ","AttributeValueList":[{"M":{"x":{"NS":["1","2"]}}}]}`, 1},
		{`"m":{"ComparisonOperator":"NE","AttributeValueList":[{"M":{}}]}`, 1},
		{`"u":{"ComparisonOperator":"EQ","AttributeValueList":[{"NULL":true}]}`, 1},
		{`"u":{"ComparisonOperator":"NE","AttributeValueList":[{"NULL":true}]}`, 0},
		{`"none":{"ComparisonOperator":"EQ","AttributeValueList":[{"NULL":true}]}`, 0},
		{`"none":{"ComparisonOperator":"NE","AttributeValueList":[{"NULL":true}]}`, 1},
		{`"none":{"ComparisonOperator":"NOT_CONTAINS","AttributeValueList":[{"N":"1"}]}`, 0},
		{`"l":{"ComparisonOperator":"NOT_CONTAINS","AttributeValueList":[{"N":"2"}]}`, 1},
	} {
		counts := fmt.Sprintf(`{"Count":%d,"ScannedCount":1}`, c.count)
		run(t, h, []step{
			{"Scan", `{"TableName":"things","Select":"COUNT","ScanFilter":{` + c.filter + `}}`, counts},
			{"Query", `{"TableName":"notes","Select":"COUNT","KeyConditions":{"id":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"1"}]}},
				"QueryFilter":{` + c.filter + `}}`, counts},
		})
	}
}

func TestExpectedArguments(t *testing.T) {
	h := served(t)
	createTables(t, h)
	put := func(expected string) string {
		return `{"TableName":"things","Item":{"id":{"S":"a"}},"Expected":{` + expected + `}}`
	}
	steps := []step{
		{"PutItem", put(`"zzz":{"ComparisonOperator":"NOT_CONTAINS","AttributeValueList":[{"N":"1"}]}`), conditionFailedText},
		{"PutItem", put(`"zzz":{"ComparisonOperator":"CONTAINS","AttributeValueList":[{"N":"1"}]}`), conditionFailedText},
		{"PutItem", put(`"a":{"ComparisonOperator":"IN","AttributeValueList":[{"L":[]},{"L":[]}]}`),
			invalidParameter + "ComparisonOperator IN is not valid for L AttributeValue type"},
		{"PutItem", put(`"a":{"ComparisonOperator":"BETWEEN","AttributeValueList":[{"SS":["a"]},{"SS":["b"]}]}`),
			invalidParameter + "ComparisonOperator BETWEEN is not valid for SS AttributeValue type"},
		{"PutItem", put(`"a":{"ComparisonOperator":"BEGINS_WITH","AttributeValueList":[{"N":"1"}]}`),
			invalidParameter + "ComparisonOperator BEGINS_WITH is not valid for N AttributeValue type"},
		{"PutItem", put(`"a":{"ComparisonOperator":"CONTAINS","AttributeValueList":[{"L":[]}]}`),
			invalidParameter + "ComparisonOperator CONTAINS is not valid for L AttributeValue type"},
	}
	for _, op := range []string{"LE", "LT", "GE", "GT"} {
		for _, wrong := range []string{`{"L":[]}`, `{"M":{}}`, `{"BOOL":true}`, `{"NULL":true}`, `{"NS":["1"]}`} {
			typ, _, _ := strings.Cut(wrong[2:], `"`)
			steps = append(steps, step{"PutItem", put(`"a":{"ComparisonOperator":"` + op + `","AttributeValueList":[` + wrong + `]}`),
				invalidParameter + "ComparisonOperator " + op + " is not valid for " + typ + " AttributeValue type"})
		}
	}
	run(t, h, steps)
}

// Wherever a request names an attribute, the name has 1 to 65,535 bytes; a map's keys are such names, too.
func TestAttributeNames(t *testing.T) {
	h := served(t)
	createTables(t, h)
	long := strings.Repeat("é", 32768)
	for _, name := range []string{"", long} {
		want, aliased := "ValidationException: Empty attribute name", "ValidationException: ExpressionAttributeNames contains invalid value: Empty attribute name for key #n"
		if name == long {
			want = "ValidationException: 1 validation error detected: Attribute name is too large, must be less than 65536 bytes"
			aliased = want
		}
		key := `"TableName":"things","Key":{"id":{"S":"a"}}`
		alias := `"ExpressionAttributeNames":{"#n":"` + name + `"}`
		v := `"ExpressionAttributeValues":{":v":{"N":"1"}}`
		run(t, h, []step{
			{"PutItem", `{"TableName":"things","Item":{"id":{"S":"a"},"` + name + `":{"N":"1"}}}`, want},
			{"PutItem", `{"TableName":"things","Item":{"id":{"S":"a"},"m":{"L":[{"M":{"` + name + `":{"N":"1"}}}]}}}`, want},
			{"BatchWriteItem", `{"RequestItems":{"things":[{"PutRequest":{"Item":{"id":{"S":"a"},"` + name + `":{"N":"1"}}}}]}}`, want},
			{"TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"things","Item":{"id":{"S":"a"},"` + name + `":{"N":"1"}}}}]}`, want},
			{"GetItem", `{` + key + `,"AttributesToGet":["` + name + `"]}`, want},
			{"GetItem", `{"TableName":"things","Key":{"` + name + `":{"S":"a"}}}`, want},
			{"GetItem", `{` + key + `,"ProjectionExpression":"#n",` + alias + `}`, aliased},
			{"UpdateItem", `{` + key + `,"AttributeUpdates":{"` + name + `":{"Value":{"N":"1"}}}}`, want},
			{"UpdateItem", `{` + key + `,"UpdateExpression":"SET #n = :v",` + alias + `,` + v + `}`, aliased},
			{"UpdateItem", `{` + key + `,"UpdateExpression":"SET a = :v","ExpressionAttributeValues":{":v":{"M":{"` + name + `":{"N":"1"}}}}}`,
				"ValidationException: ExpressionAttributeValues contains invalid value: " + strings.TrimPrefix(want, "ValidationException: ") + " for key :v"},
			{"DeleteItem", `{` + key + `,"Expected":{"` + name + `":{"Exists":false}}}`, want},
			{"Scan", `{"TableName":"things","ScanFilter":{"` + name + `":{"ComparisonOperator":"NULL"}}}`, want},
			{"Query", `{"TableName":"things","KeyConditions":{"` + name + `":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"a"}]}}}`, want},
		})
	}
	run(t, h, []step{
		{"ExecuteStatement", `{"Statement":"INSERT INTO things VALUE {'id':'a','':1}"}`, "ValidationException: Empty attribute name"},
		{"ExecuteStatement", `{"Statement":"INSERT INTO things VALUE {'id':'a','m':?}","Parameters":[{"M":{"":{"S":"a"}}}]}`,
			"ValidationException: Empty attribute name"},
		{"PutItem", `{"TableName":"things","Item":{"id":{"S":"a"},"` + long[:65534] + `":{"N":"1"}}}`, `{}`},
		{"PutItem", `{"TableName":"things","Item":{"id":{"S":"a"},"` + long[:65534] + `x":{"N":"1"}}}`, `{}`},
	})
}

func TestNestedFunctions(t *testing.T) {
	h := served(t)
	createTables(t, h)
	update := func(text string) string {
		return `{"TableName":"things","Key":{"id":{"S":"a"}},"UpdateExpression":"` + text + `","ExpressionAttributeValues":{":v":{"L":[]}}}`
	}
	const misuse = "ValidationException: Invalid UpdateExpression: " +
		"The function is not allowed to be used this way in an expression; function: list_append"
	run(t, h, []step{
		{"UpdateItem", update("SET a = list_append(list_append(:v, :v), :v)"), misuse},
		{"UpdateItem", update("SET a = list_append(:v, list_append(:v, :v))"), misuse},
		{"UpdateItem", update("SET a = if_not_exists(a, list_append(:v, :v))"), misuse},
		{"UpdateItem", update("SET a = list_append(if_not_exists(a, :v), if_not_exists(b, if_not_exists(c, :v)))"), `{}`},
	})
}

// Sets come back in order, from wherever they are read.
func TestSetsAreSorted(t *testing.T) {
	h := served(t)
	createTables(t, h)
	key := `"TableName":"things","Key":{"id":{"S":"a"}}`
	run(t, h, []step{
		{"PutItem", `{"TableName":"things","Item":{"id":{"S":"a"},"s":{"SS":["c","a","b"]},"m":{"M":{"n":{"NS":["10","9"]}}}}}`, `{}`},
		{"GetItem", `{` + key + `}`, `{"Item":{"id":{"S":"a"},"m":{"M":{"n":{"NS":["9","10"]}}},"s":{"SS":["a","b","c"]}}}`},
		{"UpdateItem", `{` + key + `,"UpdateExpression":"ADD s :s","ExpressionAttributeValues":{":s":{"SS":["bb","0"]}},"ReturnValues":"UPDATED_NEW"}`,
			`{"Attributes":{"s":{"SS":["0","a","b","bb","c"]}}}`},
		{"UpdateItem", `{` + key + `,"AttributeUpdates":{"s":{"Action":"DELETE","Value":{"SS":["b","a"]}}},"ReturnValues":"UPDATED_NEW"}`,
			`{"Attributes":{"s":{"SS":["0","bb","c"]}}}`},
		{"ExecuteStatement", `{"Statement":"INSERT INTO things VALUE {'id':'b','s':<<3, 20, 1>>}"}`, `{"Items":[]}`},
		{"ExecuteStatement", `{"Statement":"SELECT s FROM things WHERE id='b'"}`, `{"Items":[{"s":{"NS":["1","3","20"]}}]}`},
	})
}

// A query that can find one item at most can't be restarted, and so never says where the next page would start.
func TestStartOfASingleItem(t *testing.T) {
	h := served(t)
	createTables(t, h)
	query := func(table, start string) string {
		return `{"TableName":"` + table + `","Limit":1,"Select":"COUNT","KeyConditionExpression":"id=:p",
			"ExpressionAttributeValues":{":p":{"S":"a"}}` + start + `}`
	}
	run(t, h, []step{
		{"PutItem", `{"TableName":"things","Item":{"id":{"S":"a"}}}`, `{}`},
		{"PutItem", `{"TableName":"notes","Item":{"id":{"S":"a"},"n":{"N":"1"},"g":{"S":"a"}}}`, `{}`},
		{"Query", query("things", ``), `{"Count":1,"ScannedCount":1}`},
		{"Query", query("things", `,"ExclusiveStartKey":{"id":{"S":"a"}}`),
			"ValidationException: The provided exclusive start key is invalid: ExclusiveStartKey: {id=AttributeValue: {S:a}}"},
		{"Query", query("things", `,"ExclusiveStartKey":{"id":{"S":"b"}}`),
			"ValidationException: The provided starting key is outside query boundaries based on provided conditions"},
		{"Query", `{"TableName":"things","KeyConditions":{"id":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"a"}]}},
			"ExclusiveStartKey":{"id":{"S":"a"}}}`,
			"ValidationException: The provided exclusive start key is invalid: ExclusiveStartKey: {id=AttributeValue: {S:a}}"},
		// With a sort key, and in an index without one, there may be more.
		{"Query", query("notes", ``), `{"Count":1,"ScannedCount":1,"LastEvaluatedKey":{"id":{"S":"a"},"n":{"N":"1"}}}`},
		{"Query", query("notes", `,"ExclusiveStartKey":{"id":{"S":"a"},"n":{"N":"1"}}`), `{"Count":0,"ScannedCount":0}`},
		{"Query", `{"TableName":"notes","IndexName":"by-g","Select":"COUNT","KeyConditionExpression":"g=:p",
			"ExpressionAttributeValues":{":p":{"S":"a"}},"ExclusiveStartKey":{"id":{"S":"a"},"n":{"N":"1"},"g":{"S":"a"}}}`,
			`{"Count":0,"ScannedCount":0}`},
		// A scan may start behind any key.
		{"Scan", `{"TableName":"things","Select":"COUNT","Limit":1}`, `{"Count":1,"ScannedCount":1,"LastEvaluatedKey":{"id":{"S":"a"}}}`},
		{"Scan", `{"TableName":"things","Select":"COUNT","ExclusiveStartKey":{"id":{"S":"a"}}}`, `{"Count":0,"ScannedCount":0}`},
	})
}

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
		return `{"TableName":"new","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[` + attributes + `],` + byX + more + `}`
	}
	global := func(nonKey string) string {
		return `,"GlobalSecondaryIndexes":[{"IndexName":"gsi",` + byX + `,"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":[` + nonKey + `]}}]`
	}
	update := func(name, attributes, changes string) string {
		return `{"TableName":"` + name + `","AttributeDefinitions":[` + attributes + `],"GlobalSecondaryIndexUpdates":[` + changes + `]}`
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
		{"UpdateTable", update("things", x, `{"Delete":{"IndexName":"gsi"},"Update":{"IndexName":"xyz","ProvisionedThroughput":
			{"ReadCapacityUnits":1,"WriteCapacityUnits":1}}}`), two},
		{"UpdateTable", `{"TableName":"things","GlobalSecondaryIndexUpdates":[{"Create":` + index("gsi") + `}]}`,
			invalidParameter + "Some index key attributes are not defined in AttributeDefinitions. Keys: [x], AttributeDefinitions: []"},
		{"UpdateTable", update("notes", `{"AttributeName":"g","AttributeType":"N"}`, `{"Create":{"IndexName":"gsi2",
			"KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}`),
			invalidParameter + "Attributes cannot be redefined. Please check that your attribute has the same type as previously defined. " +
				"Existing schema: Schema:[SchemaElement: key{g:S:HASH}] New schema: Schema:[SchemaElement: key{g:N:HASH}]"},
		{"DescribeTable", `{"TableName":"new"}`, "ResourceNotFoundException: Requested resource not found: Table: new not found"},
		{"UpdateTable", update("notes", id+`,`+x, `{"Create":`+index("by-k")+`}`),
			"ValidationException: Attempting to create an index which already exists"},
	})
}

func TestTagsAreChecked(t *testing.T) {
	h := served(t)
	createTables(t, h)
	arn := h.tableARN("things")
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
		{"TagResource", tag("aws:owner", "a"), invalidParameter + "Tag keys starting with aws: are reserved for system use: aws:owner"},
		{"TagResource", tag("Größe 1+-=._:/@", "日本 ٣"), ``},
		{"TagResource", tag("empty", ""), ``},
	})
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf(`{"Key":"k%d","Value":"v"}`, i))
	}
	hundred := `"Tags":[` + strings.Join(many, ",") + `]`
	run(t, h, []step{
		{"TagResource", `{"ResourceArn":"` + arn + `",` + hundred + `}`, invalidParameter + "Too many tags: 102; a table can have 50"},
		{"CreateTable", `{"TableName":"new","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
			"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],` + hundred + `}`, invalidParameter + "Too many tags: 100; a table can have 50"},
		{"DescribeTable", `{"TableName":"new"}`, "ResourceNotFoundException: Requested resource not found: Table: new not found"},
	})
}

// An ARN in the place of a table's name must be one, of a name that a table can have, in this region and account.
func TestNamesAndARNs(t *testing.T) {
	h := served(t)
	createTables(t, h)
	const prefix = "arn:aws:dynamodb:us-east-1:123456789012:table/"
	arn := prefix + "things"
	about := func(name string) map[string]string {
		return map[string]string{
			"CreateTable": `{"TableName":"` + name + `","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id",
				"AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`,
			"UpdateTable":                         `{"TableName":"` + name + `","DeletionProtectionEnabled":false}`,
			"DeleteTable":                         `{"TableName":"` + name + `"}`,
			"DescribeTable":                       `{"TableName":"` + name + `"}`,
			"DescribeTimeToLive":                  `{"TableName":"` + name + `"}`,
			"UpdateTimeToLive":                    `{"TableName":"` + name + `","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"a"}}`,
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
			"Query":                               `{"TableName":"` + name + `","KeyConditionExpression":"id=:a","ExpressionAttributeValues":{":a":{"S":"a"}}}`,
			"BatchGetItem":                        `{"RequestItems":{"` + name + `":{"Keys":[{"id":{"S":"a"}}]}}}`,
			"BatchWriteItem":                      `{"RequestItems":{"` + name + `":[{"DeleteRequest":{"Key":{"id":{"S":"a"}}}}]}}`,
			"TransactGetItems":                    `{"TransactItems":[{"Get":{"TableName":"` + name + `","Key":{"id":{"S":"a"}}}}]}`,
			"TransactWriteItems":                  `{"TransactItems":[{"Delete":{"TableName":"` + name + `","Key":{"id":{"S":"a"}}}}]}`,
		}
	}
	for _, name := range []string{"", ".", "..", "<b>", `\u001b[31mred`, `abc\n`, `things/`, `things/stream/a`, strings.Repeat("a", 256)} {
		for op, body := range about(prefix + name) {
			if got := call(t, h, op, body); !strings.HasPrefix(got, "ValidationException: ") {
				t.Errorf("%s of %q: got %.200s; want a ValidationException", op, name, got)
			}
		}
	}
	for _, other := range []string{"arn:aws:dynamodb:eu-west-1:123456789012:table/things", "arn:aws:dynamodb:us-east-1:000000000000:table/things"} {
		for op, body := range about(other) {
			want := "AccessDeniedException: User: arn:aws:iam::123456789012:user/holdfast is not authorized to perform: dynamodb:" + op +
				" on resource: " + other
			if got := call(t, h, op, body); got != want {
				t.Errorf("%s of %s: got %.300s; want %s", op, other, got, want)
			}
		}
	}
	run(t, h, []step{
		{"RestoreTableToPointInTime", `{"SourceTableArn":"arn:aws:dynamodb:us-east-1:000000000000:table/things","TargetTableName":"abc",
			"UseLatestRestorableTime":true}`, "AccessDeniedException: User: arn:aws:iam::123456789012:user/holdfast is not authorized to perform: " +
			"dynamodb:RestoreTableToPointInTime on resource: arn:aws:dynamodb:us-east-1:000000000000:table/things"},
		{"ListTables", `{}`, `{"TableNames":["notes","things"]}`},
		{"PutItem", about(arn)["PutItem"], `{}`},
		{"GetItem", about(arn)["GetItem"], `{"Item":{"id":{"S":"a"}}}`},
	})
	for op, body := range about(arn) {
		if got := call(t, h, op, body); strings.Contains(got, "AccessDenied") || strings.Contains(got, "ValidationException") {
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

// Tools that look at everything are told that there is none of what Holdfast doesn't have.
func TestProbes(t *testing.T) {
	h := served(t)
	createTables(t, h)
	arn := h.tableARN("notes")
	run(t, h, []step{
		{"DescribeContributorInsights", `{"TableName":"notes"}`, `{"TableName":"notes","ContributorInsightsStatus":"DISABLED"}`},
		{"DescribeContributorInsights", `{"TableName":"` + arn + `","IndexName":"by-g"}`,
			`{"TableName":"notes","IndexName":"by-g","ContributorInsightsStatus":"DISABLED"}`},
		{"DescribeContributorInsights", `{"TableName":"notes","IndexName":"none"}`,
			"ResourceNotFoundException: Requested resource not found: Table: notes, Index: none not found"},
		{"DescribeContributorInsights", `{"TableName":"none"}`, "ResourceNotFoundException: Requested resource not found: Table: none not found"},
		{"ListContributorInsights", `{}`, `{"ContributorInsightsSummaries":[]}`},
		{"ListContributorInsights", `{"TableName":"notes","MaxResults":10}`, `{"ContributorInsightsSummaries":[]}`},
		{"DescribeKinesisStreamingDestination", `{"TableName":"notes"}`, `{"TableName":"notes","KinesisDataStreamDestinations":[]}`},
		{"DescribeKinesisStreamingDestination", `{"TableName":"none"}`,
			"ResourceNotFoundException: Requested resource not found: Table: none not found"},
		{"DescribeTableReplicaAutoScaling", `{"TableName":"notes"}`,
			`{"TableAutoScalingDescription":{"TableName":"notes","TableStatus":"ACTIVE","Replicas":[]}}`},
		{"GetResourcePolicy", `{"ResourceArn":"` + arn + `"}`, "PolicyNotFoundException: Resource-based policy not found for the provided ResourceArn: " + arn},
		{"GetResourcePolicy", `{"ResourceArn":"` + h.tableARN("none") + `"}`,
			"ResourceNotFoundException: Requested resource not found: ResourceArn: " + h.tableARN("none") + " not found"},
		{"GetResourcePolicy", `{"ResourceArn":"abc"}`, "ValidationException: Invalid ResourceArn: Invalid ResourceArn provided as input abc"},
		{"ListGlobalTables", `{}`, `{"GlobalTables":[]}`},
		{"DescribeGlobalTable", `{"GlobalTableName":"notes"}`,
			"GlobalTableNotFoundException: Global table not found: Global table with name: notes does not exist"},
		{"ListImports", `{}`, `{"ImportSummaryList":[]}`},
		{"ListExports", `{"TableArn":"` + arn + `"}`, `{"ExportSummaries":[]}`},
		{"DescribeExport", `{"ExportArn":"` + arn + `/export/01234567890123-01234567"}`,
			"ExportNotFoundException: Export not found: " + arn + "/export/01234567890123-01234567"},
		{"UpdateContributorInsights", `{"TableName":"notes","ContributorInsightsAction":"ENABLE"}`, "UnknownOperationException: "},
	})
}
