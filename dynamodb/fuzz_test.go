package dynamodb

import (
	"net/http"
	"testing"
)

// FuzzServe runs any operation with any body: there is always a response, which is JSON, and
// never an internal error.
func FuzzServe(f *testing.F) {
	ops := (&itemOps{}).operations()
	for i := range ops {
		for _, body := range []string{
			`{"TableName":"things","Key":{"id":{"S":"a"}},"UpdateExpression":"SET x = :v","ExpressionAttributeValues":{":v":{"N":"1e2"}}}`,
			`{"TableName":"notes","Item":{"id":{"S":"a"},"n":{"N":"1"},"l":{"L":[{"M":{}},{"NS":["1","2"]}]}},"ReturnConsumedCapacity":"INDEXES"}`,
			`{"TableName":"notes","KeyConditionExpression":"id = :id AND n > :n","ExpressionAttributeValues":{":id":{"S":"a"},":n":{"N":"0"}},"Limit":2}`,
			`{"TableName":"notes","ExclusiveStartKey":{"id":{"S":"a"},"n":{"N":"1"},"g":{"S":"x"}},"IndexName":"by-g","Segment":0,"TotalSegments":2}`,
			`{"RequestItems":{"things":[{"PutRequest":{"Item":{"id":{"S":"a"}}}},{"DeleteRequest":{"Key":{"id":{"S":"b"}}}}]}}`,
			`{"RequestItems":{"things":{"Keys":[{"id":{"S":"a"}}],"ProjectionExpression":"#a.b[1]","ExpressionAttributeNames":{"#a":"x"}}}}`,
			`{"TransactItems":[{"Put":{"TableName":"things","Item":{"id":{"S":"a"}},"ConditionExpression":"attribute_not_exists(id)"}},
				{"ConditionCheck":{"TableName":"things","Key":{"id":{"S":"b"}},"ConditionExpression":"size(id) > :n","ExpressionAttributeValues":{":n":{"N":"3"}}}}]}`,
			`{"TransactItems":[{"Get":{"TableName":"things","Key":{"id":{"S":"a"}}}}]}`,
			`{"TableName":"notes","Key":{"id":{"S":"a"},"n":{"N":"1"}},"AttributeUpdates":{"x":{"Action":"ADD","Value":{"N":"1"}}},
				"Expected":{"x":{"ComparisonOperator":"BETWEEN","AttributeValueList":[{"N":"1"},{"N":"2"}]},"y":{"Exists":false}},"ConditionalOperator":"OR"}`,
		} {
			f.Add(i, body)
		}
	}
	h := served(f)
	createTables(f, h)
	f.Fuzz(func(t *testing.T, i int, body string) {
		op := ops[uint(i)%uint(len(ops))].name
		req := request(http.MethodPost, "/", "", "X-Amz-Target", tablesTarget+"."+op, "Date", "x",
			"Authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c")
		w := newWriter()
		defer w.release()
		if status := serveBody(h, received(t, req), body, w); status != http.StatusOK && status != http.StatusBadRequest {
			t.Errorf("%s %s: got %d %s", op, body, status, w.buf)
		}
		doc, ok := parse(string(w.buf), 0)
		if !ok {
			t.Fatalf("%s %s: got no JSON: %s", op, body, w.buf)
		}
		doc.release()
	})
}
