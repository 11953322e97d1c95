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
