package dynamodb

import (
	"fmt"
	"strings"
	"testing"
)

// The responses in this file were recorded from DynamoDB, or are asserted by suites that were
// validated against it.

const invalidParameter = "ValidationException: One or more parameter values were invalid: "

// An update that only removes attributes creates no item if there was none, whatever ReturnValues
// and capacity it requests.
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
		{
			"UpdateItem",
			`{` + missing + `,"UpdateExpression":"REMOVE b","ConditionExpression":"attribute_exists(id)"}`,
			conditionFailedText,
		},
		{
			"UpdateItem",
			`{` + missing + `,"UpdateExpression":"REMOVE b","ConditionExpression":"attribute_not_exists(id)"}`,
			`{}`,
		},
		{"TransactWriteItems", `{"TransactItems":[{"Update":{` + missing + `,"UpdateExpression":"REMOVE x.y"}}]}`, `{}`},
		{"ExecuteStatement", `{"Statement":"UPDATE things REMOVE b WHERE id='none'"}`, conditionFailedText},
		{"Scan", `{"TableName":"things"}`, `{"Count":0,"ScannedCount":0,"Items":[]}`},
	})
	if records := streamed(t, h, "things"); records != "" {
		t.Errorf("got records %s; want none", records)
	}
	run(t, h, []step{
		{
			"UpdateItem",
			`{` + missing + `,"UpdateExpression":"REMOVE b SET a = :a","ExpressionAttributeValues":{":a":{"S":"a"}},"ReturnValues":"ALL_NEW"}`,
			`{"Attributes":{"a":{"S":"a"},"id":{"S":"none"}}}`,
		},
		{"UpdateItem", `{` + missing + `,"UpdateExpression":"REMOVE x.y"}`,
			"ValidationException: The document path provided in the update expression is invalid for update"},
	})
	if records := streamed(t, h, "things"); strings.Count(records, `"eventName":"INSERT"`) != 1 {
		t.Errorf("got records %s; want one of an insert", records)
	}
}

// streamed returns all records of a table's stream, as JSON, one shard's after the other's.
func streamed(t *testing.T, h *Handler, name string) string {
	t.Helper()
	inner := func(s, from, to string) string {
		_, s, _ = strings.Cut(s, from)
		s, _, _ = strings.Cut(s, to)
		return s
	}
	arn := inner(call(t, h, "ListStreams", `{"TableName":"`+name+`"}`), `"StreamArn":"`, `"`)
	var all []string
	shards := strings.Split(call(t, h, "DescribeStream", `{"StreamArn":"`+arn+`"}`), `"ShardId":"`)
	for _, shard := range shards[1:] {
		shard, _, _ = strings.Cut(shard, `"`)
		iterator := inner(call(t, h, "GetShardIterator",
			`{"StreamArn":"`+arn+`","ShardId":"`+shard+`","ShardIteratorType":"TRIM_HORIZON"}`),
			`"ShardIterator":"`, `"`)
		records := call(t, h, "GetRecords", `{"ShardIterator":"`+iterator+`"}`)
		if !strings.Contains(records, `"Records":[`) {
			t.Fatal(records)
		}
		if records = inner(records, `"Records":[`, `],"NextShardIterator"`); records != "" {
			all = append(all, records)
		}
	}
	return strings.Join(all, ",")
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
			{
				"Query",
				`{"TableName":"notes","Select":"COUNT","KeyConditions":{"id":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"1"}]}},
				"QueryFilter":{` + c.filter + `}}`,
				counts,
			},
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
			steps = append(steps, step{"PutItem",
				put(`"a":{"ComparisonOperator":"` + op + `","AttributeValueList":[` + wrong + `]}`),
				invalidParameter + "ComparisonOperator " + op + " is not valid for " + typ + " AttributeValue type"})
		}
	}
	run(t, h, steps)
}

// Wherever a request names an attribute, the name has 1 to 65,535 bytes; a map's keys are such
// names, too.
func TestAttributeNames(t *testing.T) {
	h := served(t)
	createTables(t, h)
	long := strings.Repeat("é", 32768)
	for _, name := range []string{"", long} {
		want, aliased := "ValidationException: Empty attribute name", "ValidationException: ExpressionAttributeNames "+
			"contains invalid value: Empty attribute name for key #n"
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
			{
				"BatchWriteItem",
				`{"RequestItems":{"things":[{"PutRequest":{"Item":{"id":{"S":"a"},"` + name + `":{"N":"1"}}}}]}}`,
				want,
			},
			{
				"TransactWriteItems",
				`{"TransactItems":[{"Put":{"TableName":"things","Item":{"id":{"S":"a"},"` + name + `":{"N":"1"}}}}]}`,
				want,
			},
			{"GetItem", `{` + key + `,"AttributesToGet":["` + name + `"]}`, want},
			{"GetItem", `{"TableName":"things","Key":{"` + name + `":{"S":"a"}}}`, want},
			{"GetItem", `{` + key + `,"ProjectionExpression":"#n",` + alias + `}`, aliased},
			{"UpdateItem", `{` + key + `,"AttributeUpdates":{"` + name + `":{"Value":{"N":"1"}}}}`, want},
			{"UpdateItem", `{` + key + `,"UpdateExpression":"SET #n = :v",` + alias + `,` + v + `}`, aliased},
			{
				"UpdateItem",
				`{` + key + `,"UpdateExpression":"SET a = :v","ExpressionAttributeValues":{":v":{"M":{"` + name + `":{"N":"1"}}}}}`,
				"ValidationException: ExpressionAttributeValues contains invalid value: " +
					strings.TrimPrefix(want, "ValidationException: ") + " for key :v",
			},
			{"DeleteItem", `{` + key + `,"Expected":{"` + name + `":{"Exists":false}}}`, want},
			{"Scan", `{"TableName":"things","ScanFilter":{"` + name + `":{"ComparisonOperator":"NULL"}}}`, want},
			{
				"Query",
				`{"TableName":"things","KeyConditions":{"` + name +
					`":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"a"}]}}}`,
				want,
			},
		})
	}
	run(t, h, []step{
		{
			"ExecuteStatement",
			`{"Statement":"INSERT INTO things VALUE {'id':'a','':1}"}`,
			"ValidationException: Empty attribute name",
		},
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
		return `{"TableName":"things","Key":{"id":{"S":"a"}},"UpdateExpression":"` + text +
			`","ExpressionAttributeValues":{":v":{"L":[]}}}`
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

// Sets are returned in order by every kind of read.
func TestSetsAreSorted(t *testing.T) {
	h := served(t)
	createTables(t, h)
	key := `"TableName":"things","Key":{"id":{"S":"a"}}`
	run(t, h, []step{
		{
			"PutItem",
			`{"TableName":"things","Item":{"id":{"S":"a"},"s":{"SS":["c","a","b"]},"m":{"M":{"n":{"NS":["9","10"]}}}}}`,
			`{}`,
		},
		{"GetItem", `{` + key + `}`, `{"Item":{"id":{"S":"a"},"m":{"M":{"n":{"NS":["9","10"]}}},"s":{"SS":["a","b","c"]}}}`},
		{
			"UpdateItem",
			`{` + key + `,"UpdateExpression":"ADD s :s","ExpressionAttributeValues":{":s":{"SS":["bb","0"]}},"ReturnValues":"UPDATED_NEW"}`,
			`{"Attributes":{"s":{"SS":["0","a","b","bb","c"]}}}`,
		},
		{
			"UpdateItem",
			`{` + key + `,"AttributeUpdates":{"s":{"Action":"DELETE","Value":{"SS":["b","a"]}}},"ReturnValues":"UPDATED_NEW"}`,
			`{"Attributes":{"s":{"SS":["0","bb","c"]}}}`,
		},
		{"ExecuteStatement", `{"Statement":"INSERT INTO things VALUE {'id':'b','s':<<3, 20, 1>>}"}`, `{"Items":[]}`},
		{"ExecuteStatement", `{"Statement":"SELECT s FROM things WHERE id='b'"}`, `{"Items":[{"s":{"NS":["3","20","1"]}}]}`},
	})
}

// A query that can find at most one item has no next page, and so never returns a LastEvaluatedKey.
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
		// A scan may start after any key.
		{
			"Scan",
			`{"TableName":"things","Select":"COUNT","Limit":1}`,
			`{"Count":1,"ScannedCount":1,"LastEvaluatedKey":{"id":{"S":"a"}}}`,
		},
		{
			"Scan",
			`{"TableName":"things","Select":"COUNT","ExclusiveStartKey":{"id":{"S":"a"}}}`,
			`{"Count":0,"ScannedCount":0}`,
		},
	})
}
