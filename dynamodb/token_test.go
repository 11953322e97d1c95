package dynamodb

import (
	"net/http"
	"strings"
	"testing"

	"holdfast"
)

// withHeaderToken sends a request, with a token unless it is "", and returns the response's.
func withHeaderToken(t *testing.T, h *Handler, op, body, token string) (res *http.Response, text, next string) {
	t.Helper()
	req := request(http.MethodPost, "/", body, "Content-Type", typeAmzJSON, "X-Amz-Target", tablesTarget+"."+op,
		"Date", "x", "Authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c")
	if token != "" {
		req.Header.Set("X-Holdfast-Token", token)
	}
	res, text = send(t, h, req)
	checkFrame(t, res, text)
	return res, text, res.Header.Get("X-Holdfast-Token")
}

// Who sends a token gets one that has seen the response, of an error too; who sends none gets none.
func TestTokenHeader(t *testing.T) {
	h := newHandler(t, Options{Tables: shardedTables(t, 1)})
	call(t, h, "CreateTable", `{"TableName":"orders","BillingMode":"PAY_PER_REQUEST",`+
		`"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],`+
		`"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}]}`)
	const (
		put   = `{"TableName":"orders","Item":{"id":{"S":"a"}}}`
		fails = `{"TableName":"orders","Item":{"id":{"S":"a"}},"ConditionExpression":"attribute_not_exists(id)"}`
		get   = `{"TableName":"orders","Key":{"id":{"S":"a"}}}`
	)
	if _, _, next := withHeaderToken(t, h, "PutItem", put, ""); next != "" {
		t.Errorf("got the token %q for a request without one; want none", next)
	}
	_, _, read := withHeaderToken(t, h, "GetItem", get, "1")
	_, _, written := withHeaderToken(t, h, "UpdateItem",
		`{"TableName":"orders","Key":{"id":{"S":"a"}},"UpdateExpression":"SET v = :v",`+
			`"ExpressionAttributeValues":{":v":{"S":"x"}}}`, read)
	if len(read) < 2 || read == written {
		t.Errorf("got the tokens %q and, after a write, %q; want two", read, written)
	}
	if res, _, again := withHeaderToken(t, h, "PutItem", fails, "1"); res.StatusCode != 400 || again != written {
		t.Errorf("got %d and %q; want a failed condition, and the token %q", res.StatusCode, again, written)
	}
	if _, _, same := withHeaderToken(t, h, "ListTables", "{}", written); same != written {
		t.Errorf("got %q; want the token %q", same, written)
	}
	statement := `{"Statement":"SELECT * FROM orders WHERE id='a'"}`
	res, text, same := withHeaderToken(t, h, "ExecuteStatement", statement, "1")
	if res.StatusCode != 200 || same != written {
		t.Errorf("a statement: got %d %s and %q; want the token %q", res.StatusCode, text, same, written)
	}

	tok, err := holdfast.ParseToken(written)
	if err != nil {
		t.Fatal(err)
	}
	for id := range holdfast.ShardID(100) {
		if tx, ok := tok.Of(id); ok {
			tx.Index += 10
			tok.See(tx)
		}
	}
	lost := tok.String()
	for op, body := range map[string]string{"GetItem": get, "PutItem": put, "ExecuteStatement": statement} {
		res, text, next := withHeaderToken(t, h, op, body, lost)
		const want = `{"__type":"com.holdfast#TokenLostException",` +
			`"message":"table orders no longer has what the token has seen: `
		if res.StatusCode != 400 || !strings.HasPrefix(text, want) || next != lost {
			t.Errorf("%s with a lost token: got %d %s; want 400 %s…", op, res.StatusCode, text, want)
		}
	}
	for _, garbled := range []string{"0", "x", lost[:5], lost + "A", strings.Repeat("1", 2000)} {
		res, text, next := withHeaderToken(t, h, "PutItem", put, garbled)
		const want = `{"__type":"com.amazon.coral.validate#ValidationException","message":"Invalid X-Holdfast-Token: `
		if res.StatusCode != 400 || !strings.HasPrefix(text, want) || next != "" {
			t.Errorf("token %.20q: got %d %s; want 400 %s…", garbled, res.StatusCode, text, want)
		}
	}
	if got := call(t, h, "GetItem", get); got != `{"Item":{"id":{"S":"a"},"v":{"S":"x"}}}` {
		t.Errorf("got %s; want that requests that were refused changed nothing", got)
	}
}
