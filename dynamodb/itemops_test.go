package dynamodb

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/valyala/fasthttp"

	"holdfast/shard"
	"holdfast/table"
)

// served returns a handler over a memory disk.
func served(t testing.TB) *Handler {
	t.Helper()
	return overMemory(t, time.Now)
}

// overMemory returns a handler over a memory disk, with its clock.
func overMemory(t testing.TB, now func() time.Time) *Handler {
	t.Helper()
	return newHandler(t, Options{Tables: memoryTables(t), Now: now})
}

// memoryTables returns tables on a memory disk, each of which has one shard, or as many as
// HOLDFAST_SHARDS says. No response but those about streams may depend on it.
func memoryTables(t testing.TB) *table.Store {
	t.Helper()
	text, given := os.LookupEnv("HOLDFAST_SHARDS")
	if !given {
		return shardedTables(t, 1)
	}
	shards, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("HOLDFAST_SHARDS: %v", err)
	}
	return shardedTables(t, shards)
}

// shardedTables returns tables on a memory disk, each of which has that many shards.
func shardedTables(t testing.TB, shards int) *table.Store {
	t.Helper()
	return tablesWith(t, table.Options{ShardsPerTable: shards})
}

// tablesWith returns tables on a memory disk, with these options.
func tablesWith(t testing.TB, o table.Options) *table.Store {
	t.Helper()
	disk, err := shard.Open(shard.Options{Dir: "data", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	o.Disk = disk
	tables, err := table.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tables.Close(); err != nil {
			t.Error(err)
		}
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	return tables
}

// call runs an operation and returns the response's JSON, or the error's __type without its
// namespace and its message.
func call(t testing.TB, h *Handler, op, body string) string {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	req.Header.Set("Content-Type", typeAmzJSON)
	target := tablesTarget
	if _, ok := h.operations[streamsTarget][op]; ok {
		target = streamsTarget
	}
	req.Header.Set("X-Amz-Target", target+"."+op)
	req.Header.Set("X-Amz-Date", "20261123T000000Z")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c")
	ctx := received(t, req)
	h.Serve(ctx)
	status, response := ctx.Response.StatusCode(), string(ctx.Response.Body())
	if status == http.StatusOK {
		return response
	}
	doc, ok := parse(response, 0)
	if !ok {
		t.Fatalf("%s: got %d %s", op, status, response)
	}
	defer doc.release()
	_, name, _ := strings.Cut(doc.root().get("__type").text(), "#")
	return name + ": " + doc.root().get("message").text() + doc.root().get("Message").text()
}

// A step is a request and its expected response.
type step struct{ op, body, want string }

func run(t *testing.T, h *Handler, steps []step) {
	t.Helper()
	for _, s := range steps {
		if got := call(t, h, s.op, s.body); got != s.want {
			t.Errorf("%s %s\ngot  %s\nwant %s", s.op, s.body, got, s.want)
		}
	}
}

// createTables creates a table "things" by id, and one "notes" by id and n with a local index by k
// and a global one by g.
func createTables(t testing.TB, h *Handler) {
	t.Helper()
	for _, body := range []string{
		`{"TableName":"things","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
			"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`,
		`{"TableName":"notes","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},
			{"AttributeName":"n","AttributeType":"N"},{"AttributeName":"k","AttributeType":"S"},{"AttributeName":"g","AttributeType":"S"}],
			"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}],
			"LocalSecondaryIndexes":[{"IndexName":"by-k","KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"k","KeyType":"RANGE"}],
				"Projection":{"ProjectionType":"ALL"}}],
			"GlobalSecondaryIndexes":[{"IndexName":"by-g","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],
				"Projection":{"ProjectionType":"KEYS_ONLY"}}]}`,
	} {
		if got := call(t, h, "CreateTable", body); !strings.HasPrefix(got, `{"TableDescription"`) {
			t.Fatal(got)
		}
	}
}

const conditionFailedText = `ConditionalCheckFailedException: The conditional request failed`

func TestSingleItems(t *testing.T) {
	h := served(t)
	createTables(t, h)
	run(t, h, []step{
		{"PutItem", `{"TableName":"things","Item":{"id":{"S":"a"},"x":{"N":"1.0"},"s":{"SS":["b","a"]}}}`, `{}`},
		{
			"GetItem",
			`{"TableName":"things","Key":{"id":{"S":"a"}}}`,
			`{"Item":{"id":{"S":"a"},"s":{"SS":["a","b"]},"x":{"N":"1"}}}`,
		},
		{"GetItem", `{"TableName":"things","Key":{"id":{"S":"none"}}}`, `{}`},
		{
			"GetItem",
			`{"TableName":"things","Key":{"id":{"S":"a"}},"ProjectionExpression":"#x","ExpressionAttributeNames":{"#x":"x"},
			"ReturnConsumedCapacity":"TOTAL"}`,
			`{"ConsumedCapacity":{"TableName":"things","CapacityUnits":0.5},"Item":{"x":{"N":"1"}}}`,
		},
		{"GetItem", `{"TableName":"things","Key":{"id":{"S":"a"}},"AttributesToGet":["nothing"],"ConsistentRead":true,
			"ReturnConsumedCapacity":"INDEXES"}`,
			`{"ConsumedCapacity":{"TableName":"things","CapacityUnits":1.0,"Table":{"CapacityUnits":1.0}},"Item":{}}`},
		{
			"PutItem",
			`{"TableName":"things","Item":{"id":{"S":"a"}},"ConditionExpression":"attribute_not_exists(id)"}`,
			conditionFailedText,
		},
		{
			"PutItem",
			`{"TableName":"things","Item":{"id":{"S":"a"}},"Expected":{"x":{"ComparisonOperator":"EQ","AttributeValueList":[{"N":"2"}]}}}`,
			conditionFailedText,
		},
		{
			"PutItem",
			`{"TableName":"things","Item":{"id":{"S":"a"},"x":{"N":"2"}},"Expected":{"x":{"Value":{"N":"1"}}},"ReturnValues":"ALL_OLD"}`,
			`{"Attributes":{"id":{"S":"a"},"s":{"SS":["a","b"]},"x":{"N":"1"}}}`,
		},
		{"PutItem", `{"TableName":"things","Item":{"id":{"S":"new"}},"ReturnValues":"ALL_OLD"}`, `{}`},
		{
			"UpdateItem",
			`{"TableName":"things","Key":{"id":{"S":"a"}},"UpdateExpression":"SET x = x + :one, y = :one","ReturnValues":"UPDATED_NEW",
			"ExpressionAttributeValues":{":one":{"N":"1"}}}`,
			`{"Attributes":{"x":{"N":"3"},"y":{"N":"1"}}}`,
		},
		{
			"UpdateItem",
			`{"TableName":"things","Key":{"id":{"S":"a"}},"UpdateExpression":"REMOVE x","ReturnValues":"UPDATED_OLD"}`,
			`{"Attributes":{"x":{"N":"3"}}}`,
		},
		{
			"UpdateItem",
			`{"TableName":"things","Key":{"id":{"S":"a"}},"UpdateExpression":"REMOVE x","ReturnValues":"UPDATED_NEW"}`,
			`{}`,
		},
		{
			"UpdateItem",
			`{"TableName":"things","Key":{"id":{"S":"a"}},"AttributeUpdates":{"y":{"Action":"ADD","Value":{"N":"4"}}},"ReturnValues":"ALL_NEW"}`,
			`{"Attributes":{"id":{"S":"a"},"y":{"N":"5"}}}`,
		},
		{
			"UpdateItem",
			`{"TableName":"things","Key":{"id":{"S":"a"}},"UpdateExpression":"SET y = :y","ConditionExpression":"y > :y",
			"ExpressionAttributeValues":{":y":{"N":"4"}},"ReturnValues":"ALL_OLD"}`,
			`{"Attributes":{"id":{"S":"a"},"y":{"N":"5"}}}`,
		},
		{
			"UpdateItem",
			`{"TableName":"things","Key":{"id":{"S":"made"}},"ReturnValues":"ALL_NEW"}`,
			`{"Attributes":{"id":{"S":"made"}}}`,
		},
		{
			"DeleteItem",
			`{"TableName":"things","Key":{"id":{"S":"a"}},"ConditionExpression":"y = :v","ExpressionAttributeValues":{":v":{"N":"9"}}}`,
			conditionFailedText,
		},
		{
			"DeleteItem",
			`{"TableName":"things","Key":{"id":{"S":"a"}},"ReturnValues":"ALL_OLD","ReturnConsumedCapacity":"TOTAL"}`,
			`{"Attributes":{"id":{"S":"a"},"y":{"N":"4"}},"ConsumedCapacity":{"TableName":"things","CapacityUnits":1.0}}`,
		},
		{"DeleteItem", `{"TableName":"things","Key":{"id":{"S":"a"}},"ReturnValues":"ALL_OLD"}`, `{}`},
		{
			"PutItem",
			`{"TableName":"notes","Item":{"id":{"S":"c"},"n":{"N":"1"},"k":{"S":"z"}},"ReturnItemCollectionMetrics":"SIZE"}`,
			`{"ItemCollectionMetrics":{"ItemCollectionKey":{"id":{"S":"c"}},"SizeEstimateRangeGB":[0.0,1.0]}}`,
		},
	})
}

func TestConditionFailureShowsItem(t *testing.T) {
	h := served(t)
	createTables(t, h)
	call(t, h, "PutItem", `{"TableName":"things","Item":{"id":{"S":"a"},"x":{"N":"1"}}}`)
	for _, test := range []struct{ how, want string }{
		{
			`,"ReturnValuesOnConditionCheckFailure":"ALL_OLD"`,
			`{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",` +
				`"message":"The conditional request failed","Item":{"id":{"S":"a"},"x":{"N":"1"}}}`,
		},
		{
			``,
			`{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}`,
		},
	} {
		body := `{"TableName":"things","Item":{"id":{"S":"a"}},"ConditionExpression":"attribute_not_exists(id)"` +
			test.how + `}`
		if got := raw(t, h, "PutItem", body); got != test.want {
			t.Errorf("got %s; want %s", got, test.want)
		}
		transact := `{"TransactItems":[{"Put":` + body + `},{"Delete":{"TableName":"things","Key":{"id":{"S":"b"}}}}]}`
		item := ""
		if test.how != "" {
			item = `,"Item":{"id":{"S":"a"},"x":{"N":"1"}}`
		}
		want := `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",` +
			`"Message":"Transaction cancelled, please refer cancellation reasons for specific reasons [ConditionalCheckFailed, None]",` +
			`"CancellationReasons":[{"Code":"ConditionalCheckFailed","Message":"The conditional request failed"` + item +
			`},{"Code":"None"}]}`
		if got := raw(t, h, "TransactWriteItems", transact); got != want {
			t.Errorf("got %s; want %s", got, want)
		}
	}
}

// raw returns a response's body, including that of an error.
func raw(t testing.TB, h *Handler, op, body string) string {
	t.Helper()
	w := newWriter()
	defer w.release()
	req := request(http.MethodPost, "/", "", "X-Amz-Target", tablesTarget+"."+op, "Date", "x",
		"Authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c")
	serveBody(h, received(t, req), body, w)
	return string(w.buf)
}

// serveBody writes the response to a request whose body isn't in ctx.
func serveBody(h *Handler, ctx *fasthttp.RequestCtx, body string, w *writer) int {
	r := newPending(h.memory)
	defer r.release()
	h.admit(ctx, r)
	return h.perform(ctx, r, body, w)
}

// fillNotes puts notes 1 to 4 of "a", with k from d to a, and g of the first two, x and y; and one
// of "b".
func fillNotes(t testing.TB, h *Handler) {
	t.Helper()
	for _, it := range []string{
		`"id":{"S":"a"},"n":{"N":"1"},"k":{"S":"d"},"g":{"S":"x"}`,
		`"id":{"S":"a"},"n":{"N":"2"},"k":{"S":"c"},"g":{"S":"y"}`,
		`"id":{"S":"a"},"n":{"N":"3"},"k":{"S":"b"}`, `"id":{"S":"a"},"n":{"N":"4"},"k":{"S":"a"}`,
		`"id":{"S":"b"},"n":{"N":"-1"}`,
	} {
		if got := call(t, h, "PutItem", `{"TableName":"notes","Item":{`+it+`}}`); got != `{}` {
			t.Fatal(got)
		}
	}
}

func TestQueries(t *testing.T) {
	h := served(t)
	createTables(t, h)
	fillNotes(t, h)
	const of = `{"TableName":"notes","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"a"}}`
	run(t, h, []step{
		{"Query", of + `,"ProjectionExpression":"n"}`,
			`{"Count":4,"ScannedCount":4,"Items":[{"n":{"N":"1"}},{"n":{"N":"2"}},{"n":{"N":"3"}},{"n":{"N":"4"}}]}`},
		{"Query", of + `,"ProjectionExpression":"n","ScanIndexForward":false,"Limit":2}`,
			`{"Count":2,"ScannedCount":2,"Items":[{"n":{"N":"4"}},{"n":{"N":"3"}}],"LastEvaluatedKey":{"id":{"S":"a"},"n":{"N":"3"}}}`},
		{
			"Query",
			of + `,"ProjectionExpression":"n","ScanIndexForward":false,"ExclusiveStartKey":{"id":{"S":"a"},"n":{"N":"3"}}}`,
			`{"Count":2,"ScannedCount":2,"Items":[{"n":{"N":"2"}},{"n":{"N":"1"}}]}`,
		},
		{"Query", of + `,"Select":"COUNT","FilterExpression":"attribute_exists(g)","ReturnConsumedCapacity":"TOTAL"}`,
			`{"Count":2,"ScannedCount":4,"ConsumedCapacity":{"TableName":"notes","CapacityUnits":0.5}}`},
		{"Query", of + `,"IndexName":"by-k","ProjectionExpression":"k"}`,
			`{"Count":4,"ScannedCount":4,"Items":[{"k":{"S":"a"}},{"k":{"S":"b"}},{"k":{"S":"c"}},{"k":{"S":"d"}}]}`},
		{"Query", `{"TableName":"notes","KeyConditions":{"id":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"a"}]},
			"n":{"ComparisonOperator":"GT","AttributeValueList":[{"N":"2"}]}},"QueryFilter":{"k":{"ComparisonOperator":"NE","AttributeValueList":[{"S":"b"}]}},
			"AttributesToGet":["n"]}`, `{"Count":1,"ScannedCount":2,"Items":[{"n":{"N":"4"}}]}`},
		{"Query", `{"TableName":"notes","KeyConditions":{"id":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"a"}]}},
			"QueryFilter":{"n":{"ComparisonOperator":"NULL"}}}`,
			"ValidationException: QueryFilter can only contain non-primary key attributes: Primary key attribute: n"},
		{"Query", of + `,"FilterExpression":"attribute_exists(n)"}`,
			"ValidationException: Filter Expression can only contain non-primary key attributes: Primary key attribute: n"},
		{
			"Query",
			`{"TableName":"notes","IndexName":"by-g","KeyConditionExpression":"g = :g","ExpressionAttributeValues":{":g":{"S":"x"}},"Limit":1,
			"ReturnConsumedCapacity":"INDEXES"}`,
			`{"Count":1,"ScannedCount":1,"Items":[{"g":{"S":"x"},"id":{"S":"a"},"n":{"N":"1"}}],` +
				`"LastEvaluatedKey":{"g":{"S":"x"},"id":{"S":"a"},"n":{"N":"1"}},` +
				`"ConsumedCapacity":{"TableName":"notes","CapacityUnits":0.5,"Table":{"CapacityUnits":0.0},` +
				`"GlobalSecondaryIndexes":{"by-g":{"CapacityUnits":0.5}}}}`,
		},
		{"Scan", `{"TableName":"notes","FilterExpression":"n < :n","ExpressionAttributeValues":{":n":{"N":"0"}}}`,
			`{"Count":1,"ScannedCount":5,"Items":[{"id":{"S":"b"},"n":{"N":"-1"}}]}`},
		{"Scan", `{"TableName":"notes","IndexName":"by-g","Select":"COUNT"}`, `{"Count":2,"ScannedCount":2}`},
		{"Scan", `{"TableName":"notes","ScanFilter":{"k":{"ComparisonOperator":"NULL"}},"AttributesToGet":["id"]}`,
			`{"Count":1,"ScannedCount":5,"Items":[{"id":{"S":"b"}}]}`},
		{"Scan", `{"TableName":"things"}`, `{"Count":0,"ScannedCount":0,"Items":[]}`},
	})
}

func TestBatches(t *testing.T) {
	h := served(t)
	createTables(t, h)
	run(t, h, []step{
		{
			"BatchWriteItem",
			`{"RequestItems":{"things":[{"PutRequest":{"Item":{"id":{"S":"a"}}}},{"PutRequest":{"Item":{"id":{"S":"b"}}}}],
			"notes":[{"PutRequest":{"Item":{"id":{"S":"c"},"n":{"N":"1"}}}},{"PutRequest":{"Item":{"id":{"S":"c"},"n":{"N":"2"}}}}]},
			"ReturnConsumedCapacity":"TOTAL","ReturnItemCollectionMetrics":"SIZE"}`,
			`{"UnprocessedItems":{},"ConsumedCapacity":[{"TableName":"things","CapacityUnits":2.0},{"TableName":"notes","CapacityUnits":2.0}],` +
				`"ItemCollectionMetrics":{"notes":[{"ItemCollectionKey":{"id":{"S":"c"}},"SizeEstimateRangeGB":[0.0,1.0]}]}}`,
		},
		{"BatchGetItem", `{"RequestItems":{"things":{"Keys":[{"id":{"S":"b"}},{"id":{"S":"none"}},{"id":{"S":"a"}}]},
			"notes":{"Keys":[{"id":{"S":"c"},"n":{"N":"1"}}],"ProjectionExpression":"n","ConsistentRead":true}},"ReturnConsumedCapacity":"TOTAL"}`,
			`{"Responses":{"things":[{"id":{"S":"b"}},{"id":{"S":"a"}}],"notes":[{"n":{"N":"1"}}]},"UnprocessedKeys":{},` +
				`"ConsumedCapacity":[{"TableName":"things","CapacityUnits":1.5},{"TableName":"notes","CapacityUnits":1.0}]}`},
		{
			"BatchWriteItem",
			`{"RequestItems":{"things":[{"DeleteRequest":{"Key":{"id":{"S":"a"}}}}]}}`,
			`{"UnprocessedItems":{}}`,
		},
		{
			"BatchGetItem",
			`{"RequestItems":{"things":{"Keys":[{"id":{"S":"a"}}]}}}`,
			`{"Responses":{"things":[]},"UnprocessedKeys":{}}`,
		},
	})
}

// At most 1 MB and an item comes from one shard.
func TestUnprocessedKeys(t *testing.T) {
	h := newHandler(t, Options{Tables: shardedTables(t, 1)})
	createTables(t, h)
	big := strings.Repeat("x", 390<<10)
	keys := ""
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		call(t, h, "PutItem", `{"TableName":"things","Item":{"id":{"S":"`+id+`"},"big":{"S":"`+big+`"}}}`)
		keys += `,{"id":{"S":"` + id + `"}}`
	}
	got := call(t, h, "BatchGetItem", `{"RequestItems":{"things":{"Keys":[`+keys[1:]+
		`],"ConsistentRead":true,"AttributesToGet":["id"]}}}`)
	const want = `{"Responses":{"things":[{"id":{"S":"a"}},{"id":{"S":"b"}},{"id":{"S":"c"}}]},` +
		`"UnprocessedKeys":{"things":{"ConsistentRead":true,"AttributesToGet":["id"],"Keys":[{"id":{"S":"d"}},{"id":{"S":"e"}}]}}}`
	if got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestTransactions(t *testing.T) {
	h := served(t)
	createTables(t, h)
	const put = `{"Put":{"TableName":"things","Item":{"id":{"S":"a"},"x":{"N":"1"}}}}`
	const check = `{"ConditionCheck":{"TableName":"things","Key":{"id":{"S":"z"}},"ConditionExpression":"attribute_not_exists(id)"}}`
	const update = `{"Update":{"TableName":"notes","Key":{"id":{"S":"c"},"n":{"N":"1"}},"UpdateExpression":"SET v = :v",
		"ExpressionAttributeValues":{":v":{"BOOL":true}}}}`
	run(t, h, []step{
		{
			"TransactWriteItems",
			`{"ClientRequestToken":"t","TransactItems":[` + put + `,` + check + `,` + update +
				`],"ReturnConsumedCapacity":"TOTAL"}`,
			`{"ConsumedCapacity":[{"TableName":"things","CapacityUnits":4.0,"WriteCapacityUnits":4.0},` +
				`{"TableName":"notes","CapacityUnits":2.0,"WriteCapacityUnits":2.0}]}`,
		},
		{"TransactWriteItems", `{"TransactItems":[` + put + `,` + check + `,` + update + `],"ClientRequestToken":"t"}`, `{}`},
		{
			"TransactGetItems",
			`{"TransactItems":[{"Get":{"TableName":"things","Key":{"id":{"S":"a"}},"ProjectionExpression":"x"}},
			{"Get":{"TableName":"things","Key":{"id":{"S":"none"}}}},{"Get":{"TableName":"notes","Key":{"id":{"S":"c"},"n":{"N":"1"}}}}],
			"ReturnConsumedCapacity":"TOTAL"}`,
			`{"Responses":[{"Item":{"x":{"N":"1"}}},{},{"Item":{"id":{"S":"c"},"n":{"N":"1"},"v":{"BOOL":true}}}],` +
				`"ConsumedCapacity":[{"TableName":"things","CapacityUnits":4.0,"ReadCapacityUnits":4.0},` +
				`{"TableName":"notes","CapacityUnits":2.0,"ReadCapacityUnits":2.0}]}`,
		},
		{
			"TransactWriteItems",
			`{"TransactItems":[{"Put":{"TableName":"things","Item":{"id":{"S":"b"}}},"Delete":{"TableName":"things","Key":{"id":{"S":"b"}}}}]}`,
			"ValidationException: TransactItems can only contain one of Check, Put, Update or Delete",
		},
		{
			"TransactWriteItems",
			`{"TransactItems":[{}]}`,
			"ValidationException: TransactItems can only contain one of Check, Put, Update or Delete",
		},
	})
	if got := call(t, h, "TransactWriteItems",
		`{"ClientRequestToken":"t","TransactItems":[`+put+`]}`); !strings.HasPrefix(got,
		"IdempotentParameterMismatchException") {
		t.Errorf("another request with the token: got %s; want IdempotentParameterMismatchException", got)
	}
}

// A request's faults are reported before its table is looked up, and in DynamoDB's order.
func TestWrongRequests(t *testing.T) {
	h := served(t)
	const (
		v        = "ValidationException: "
		notFound = "ResourceNotFoundException: Requested resource not found"
		both     = v + "Can not use both expression and non-expression parameters in the same request: "
		empty    = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
	)
	big := strings.Repeat("x", 400<<10)
	run(t, h, []step{
		{"GetItem", `{"TableName":"abc","Key":{"a":{"S":"a"}}}`, notFound},
		{
			"GetItem",
			`{"TableName":"abc","Key":{"a":{}},"AttributesToGet":["a"],"ProjectionExpression":"","ExpressionAttributeNames":{}}`,
			both + "Non-expression parameters: {AttributesToGet} Expression parameters: {ProjectionExpression}",
		},
		{"GetItem", `{"TableName":"abc","Key":{"a":{}},"ExpressionAttributeNames":{}}`,
			v + "ExpressionAttributeNames can only be specified when using expressions"},
		{"GetItem", `{"TableName":"abc","Key":{"a":{}},"AttributesToGet":["a","a"]}`, v + empty},
		{"GetItem", `{"TableName":"abc","Key":{},"AttributesToGet":["a","a"]}`,
			v + "One or more parameter values were invalid: Duplicate value in attribute name: a"},
		{
			"GetItem",
			`{"TableName":"abc","Key":{},"ProjectionExpression":""}`,
			v + "Invalid ProjectionExpression: The expression can not be empty;",
		},
		{
			"GetItem",
			`{"TableName":"abc","Key":{},"ProjectionExpression":"a","ExpressionAttributeNames":{}}`,
			v + "ExpressionAttributeNames must not be empty",
		},
		{
			"PutItem",
			`{"TableName":"abc","Item":{"a":{}},"Expected":{"a":{}},"ExpressionAttributeNames":{},"ExpressionAttributeValues":{},"ConditionExpression":""}`,
			both + "Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}",
		},
		{"PutItem", `{"TableName":"abc","Item":{"a":{}},"Expected":{"a":{}},"ExpressionAttributeValues":{}}`,
			v + "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null"},
		{"PutItem", `{"TableName":"abc","Item":{"a":{}},"ReturnValues":"ALL_NEW"}`, v + empty},
		{
			"PutItem",
			`{"TableName":"abc","Item":{"a":{"S":"` + big + `"}},"ReturnValues":"ALL_NEW"}`,
			v + "ReturnValues can only be ALL_OLD or NONE",
		},
		{
			"PutItem",
			`{"TableName":"abc","Item":{"a":{"S":"` + big + `"}},"Expected":{"a":{}}}`,
			v + "Item size has exceeded the maximum allowed size",
		},
		{"PutItem", `{"TableName":"abc","Item":{},"Expected":{"a":{}}}`,
			v + "One or more parameter values were invalid: Value must be provided when Exists is null for Attribute: a"},
		{"PutItem", `{"TableName":"abc","Item":{},"Expected":{"a":{"Value":{}}}}`, v + empty},
		{
			"PutItem",
			`{"TableName":"abc","Item":{},"ConditionalOperator":"OR"}`,
			v + "ConditionalOperator cannot be used without Filter or Expected",
		},
		{"PutItem", `{"TableName":"abc","Item":{},"ConditionExpression":"a = :a","ExpressionAttributeValues":{"a":{}}}`,
			v + `ExpressionAttributeValues contains invalid key: Syntax error; key: "a"`},
		{"PutItem", `{"TableName":"abc","Item":{},"ConditionExpression":"a = :a","ExpressionAttributeValues":{":a":{}}}`,
			v + "ExpressionAttributeValues contains invalid value: " + empty + " for key :a"},
		{
			"PutItem",
			`{"TableName":"abc","Item":{},"ConditionExpression":"a = :a","ExpressionAttributeValues":{":a":{"S":"a"},":b":{"S":"a"}}}`,
			v + "Value provided in ExpressionAttributeValues unused in expressions: keys: {:b}",
		},
		{
			"UpdateItem",
			`{"TableName":"abc","Key":{"a":{}},"Expected":{"a":{}},"AttributeUpdates":{"a":{}},"UpdateExpression":"","ConditionExpression":""}`,
			both + "Non-expression parameters: {AttributeUpdates, Expected} Expression parameters: {UpdateExpression, " +
				"ConditionExpression}",
		},
		{"UpdateItem", `{"TableName":"abc","Key":{"a":{}},"ExpressionAttributeValues":{}}`,
			v + "ExpressionAttributeValues can only be specified when using expressions: UpdateExpression and " +
				"ConditionExpression are null"},
		{"UpdateItem", `{"TableName":"abc","Key":{},"Expected":{"a":{}},"AttributeUpdates":{"a":{}}}`,
			v + "One or more parameter values were invalid: Only DELETE action is allowed when no attribute value is specified"},
		{
			"Query",
			`{"TableName":"abc"}`,
			v + "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
		},
		{
			"Query",
			`{"TableName":"abc","QueryFilter":{"a":{"ComparisonOperator":"EQ"}},"KeyConditions":{},"FilterExpression":""}`,
			both + "Non-expression parameters: {QueryFilter} Expression parameters: {FilterExpression}",
		},
		{"Query", `{"TableName":"abc","KeyConditions":{},"KeyConditionExpression":""}`,
			both + "Non-expression parameters: {KeyConditions} Expression parameters: {KeyConditionExpression}"},
		{
			"Query",
			`{"TableName":"abc","KeyConditions":{},"ExclusiveStartKey":{"a":{}}}`,
			v + "The provided starting key is invalid: " + empty,
		},
		{"Query", `{"TableName":"abc","KeyConditions":{},"ExclusiveStartKey":{"a":{"N":"b"}}}`,
			v + "The parameter cannot be converted to a numeric value: b"},
		{"Query", `{"TableName":"abc","KeyConditions":{}}`, v + "Conditions can be of length 1 or 2 only"},
		{"Scan", `{"TableName":"abc","Segment":0}`,
			v + "The TotalSegments parameter is required but was not present in the request when Segment parameter is present"},
		{"Scan", `{"TableName":"abc","TotalSegments":4}`,
			v + "The Segment parameter is required but was not present in the request when parameter TotalSegments is present"},
		{"Scan", `{"TableName":"abc","Segment":5,"TotalSegments":5}`,
			v + "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 5 is not less " +
				"than TotalSegments: 5"},
		{"Scan", `{"TableName":"abc","Select":"SPECIFIC_ATTRIBUTES"}`,
			v + "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"},
		{
			"BatchGetItem",
			`{"RequestItems":{"abc":{"Keys":[{"a":{"S":"a"}},{"a":{"S":"a"}}]}}}`,
			v + "Provided list of item keys contains duplicates",
		},
		{"BatchWriteItem", `{"RequestItems":{"abc":[{"PutRequest":{"Item":{}},"DeleteRequest":{"Key":{}}}]}}`,
			v + "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"},
		{"BatchWriteItem", `{"RequestItems":{"abc":[{"PutRequest":{"Item":{"a":{"NULL":false}}}}]}}`,
			v + "One or more parameter values were invalid: Null attribute value types must have the value of true"},
	})
}
