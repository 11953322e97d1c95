package dynamodb

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// statement is the body of an ExecuteStatement; more are further members, after a comma.
func statement(text, more string) string {
	return `{"Statement":` + strconv.Quote(text) + more + `}`
}

func TestStatements(t *testing.T) {
	h := served(t)
	createTables(t, h)
	run(t, h, []step{
		{
			"ExecuteStatement",
			statement(`INSERT INTO "things" VALUE {'id': 'a', 'n': 1, 'm': {'x': 'deep', 'y': 'z'}}`, ""),
			`{"Items":[]}`,
		},
		{
			"ExecuteStatement",
			statement(`INSERT INTO things VALUE {'id': ?, 'n': ?}`, `,"Parameters":[{"S":"b"},{"N":"2"}]`),
			`{"Items":[]}`,
		},
		{
			"ExecuteStatement",
			statement(`INSERT INTO things VALUE {'id': 'a'}`, ""),
			`DuplicateItemException: Duplicate primary key exists in table`,
		},
		{"ExecuteStatement", statement(`INSERT INTO things VALUE {'n': 1}`, ""),
			`ValidationException: One or more parameter values were invalid: Missing the key id in the item`},
		{
			"ExecuteStatement",
			statement(`SELECT * FROM things WHERE id = 'b'`, ""),
			`{"Items":[{"id":{"S":"b"},"n":{"N":"2"}}]}`,
		},
		{
			"ExecuteStatement",
			statement(`SELECT m.x, n FROM things WHERE id = ? AND n < 2`, `,"Parameters":[{"S":"a"}]`),
			`{"Items":[{"n":{"N":"1"},"x":{"S":"deep"}}]}`,
		},
		{"ExecuteStatement", statement(`SELECT id FROM things WHERE n = 2`, ""), `{"Items":[{"id":{"S":"b"}}]}`},
		{
			"ExecuteStatement",
			statement(`SELECT id FROM things WHERE id IN ['b', 'none', 'a'] AND attribute_exists(n)`, ""),
			`{"Items":[{"id":{"S":"b"}},{"id":{"S":"a"}}]}`,
		},
		{"ExecuteStatement", statement(`SELECT * FROM things WHERE id = 'none'`, ""), `{"Items":[]}`},
		{
			"ExecuteStatement",
			statement(`SELECT * FROM nothing WHERE id = 'none'`, ""),
			`ResourceNotFoundException: Requested resource not found`,
		},
		{"ExecuteStatement", statement(`SELECT * FROM nothing WHERE id < true`, ""),
			`ValidationException: Incorrect operand type for operator or function; operator or function: <, operand type: BOOL`},
		{
			"ExecuteStatement",
			statement(`SELECTT`, ""),
			`ValidationException: Statement wasn't well formed, can't be processed: Expected data manipulation`,
		},
		{
			"ExecuteStatement",
			statement(`EXISTS(SELECT * FROM things WHERE id = 'a' AND n = 1)`, ""),
			`ValidationException: EXISTS() is supported in ExecuteTransaction only`,
		},
	})
}

func TestWritingStatements(t *testing.T) {
	h := served(t)
	createTables(t, h)
	run(t, h, []step{
		{"PutItem", `{"TableName":"things","Item":{"id":{"S":"a"},"n":{"N":"1"},"l":{"L":[{"S":"x"},{"S":"y"}]}}}`, `{}`},
		{
			"ExecuteStatement",
			statement(`UPDATE things SET n = n + 1 WHERE id = 'a' RETURNING MODIFIED NEW *`, ""),
			`{"Items":[{"n":{"N":"2"}}]}`,
		},
		{
			"ExecuteStatement",
			statement(`UPDATE things SET n = 3 WHERE id = 'a' AND n = 2 RETURNING MODIFIED OLD *`, ""),
			`{"Items":[{"n":{"N":"2"}}]}`,
		},
		{
			"ExecuteStatement",
			statement(`UPDATE things SET l[1] = 'z' WHERE id = 'a' RETURNING MODIFIED NEW *`, ""),
			`{"Items":[{"l":{"L":[{"S":"z"}]}}]}`,
		},
		{"ExecuteStatement", statement(`UPDATE things REMOVE l WHERE id = 'a' RETURNING MODIFIED NEW *`, ""), `{"Items":[]}`},
		{
			"ExecuteStatement",
			statement(`FROM things WHERE id = 'a' SET s = set_add(s, <<'p'>>) RETURNING ALL NEW *`, ""),
			`{"Items":[{"id":{"S":"a"},"n":{"N":"3"},"s":{"SS":["p"]}}]}`,
		},
		{"ExecuteStatement", statement(`UPDATE things SET n = 1 WHERE id = 'a' AND n = 9`, ""), conditionFailedText},
		{"ExecuteStatement", statement(`UPDATE things SET n = 1 WHERE id = 'none'`, ""), conditionFailedText},
		{
			"ExecuteStatement",
			statement(`UPDATE things SET n = 1 WHERE id = 'none' AND attribute_not_exists(id)`, ""),
			conditionFailedText,
		},
		{
			"ExecuteStatement",
			statement(`UPDATE things SET n = 1 WHERE n = 3`, ""),
			`ValidationException: Where clause does not contain a mandatory equality on all key attributes`,
		},
		{
			"ExecuteStatement",
			statement(`DELETE FROM things`, ""),
			`ValidationException: Where clause does not contain a mandatory equality on all key attributes`,
		},
		{
			"ExecuteStatement",
			statement(`DELETE FROM notes WHERE id = 'a'`, ""),
			`ValidationException: Where clause does not contain a mandatory equality on all key attributes`,
		},
		{
			"ExecuteStatement",
			statement(`DELETE FROM things WHERE id = 'none' AND n = 1 RETURNING ALL OLD *`, ""),
			`{"Items":[]}`,
		},
		{"ExecuteStatement", statement(`DELETE FROM things WHERE id = 'a' AND n = 1`, ""), conditionFailedText},
		{
			"ExecuteStatement",
			statement(`DELETE FROM things WHERE id = 'a' RETURNING ALL OLD *`, `,"ReturnConsumedCapacity":"TOTAL"`),
			`{"Items":[{"id":{"S":"a"},"n":{"N":"3"},"s":{"SS":["p"]}}],"ConsumedCapacity":{"TableName":"things","CapacityUnits":1.0}}`,
		},
		{"GetItem", `{"TableName":"things","Key":{"id":{"S":"a"}}}`, `{}`},
	})
}

func TestStatementsOnIndexes(t *testing.T) {
	h := served(t)
	createTables(t, h)
	for n := range 3 {
		call(t, h, "PutItem", fmt.Sprintf(`{"TableName":"notes","Item":{"id":{"S":"a"},"n":{"N":"%d"},"k":{"S":"k%d"},"g":{"S":"g"},"x":{"S":"x"}}}`, n, 9-n))
	}
	run(t, h, []step{
		{
			"ExecuteStatement",
			statement(`SELECT n FROM notes."by-k" WHERE id = 'a' ORDER BY k`, ""),
			`{"Items":[{"n":{"N":"2"}},{"n":{"N":"1"}},{"n":{"N":"0"}}]}`,
		},
		{
			"ExecuteStatement",
			statement(`SELECT n FROM notes WHERE id = 'a' AND n >= 1 AND n <> 5 ORDER BY n DESC`, ""),
			`{"Items":[{"n":{"N":"2"}},{"n":{"N":"1"}}]}`,
		},
		{
			"ExecuteStatement",
			statement(`SELECT n FROM notes WHERE id = 'a' AND (n = 0 OR n = 2)`, ""),
			`{"Items":[{"n":{"N":"0"}},{"n":{"N":"2"}}]}`,
		},
		{
			"ExecuteStatement",
			statement(`SELECT id, n FROM notes."by-g" WHERE g = 'g' AND n = 1`, ""),
			`{"Items":[{"id":{"S":"a"},"n":{"N":"1"}}]}`,
		},
		{
			"ExecuteStatement",
			statement(`SELECT * FROM notes."by-g" WHERE n = 1`, ""),
			`{"Items":[{"g":{"S":"g"},"id":{"S":"a"},"n":{"N":"1"}}]}`,
		},
		{"ExecuteStatement", statement(`SELECT x, k FROM notes."by-g" WHERE g = 'g'`, ""),
			`ValidationException: One or more parameter values were invalid: Global secondary index by-g does not project [x, k]`},
		{"ExecuteStatement", statement(`SELECT id FROM notes."by-g" WHERE g = 'g' AND x = 'x'`, ""),
			`ValidationException: One or more parameter values were invalid: Secondary index by-g does not project one or more filter attributes: [x]`},
		{"ExecuteStatement", statement(`SELECT * FROM notes."by-g" WHERE g = 'g'`, `,"ConsistentRead":true`),
			`ValidationException: Strongly consistent read is not supported on Global Secondary Indexes`},
		{
			"ExecuteStatement",
			statement(`SELECT * FROM notes.none WHERE g = 'g'`, ""),
			`ValidationException: The table does not have the specified index`,
		},
	})
}

// TestStatementOnNarrowLocalIndex reads attributes that a local index doesn't hold: they are
// fetched from the table, but can't be filtered by.
func TestStatementOnNarrowLocalIndex(t *testing.T) {
	h := served(t)
	call(t, h, "CreateTable", `{"TableName":"logs","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},
		{"AttributeName":"n","AttributeType":"N"},{"AttributeName":"k","AttributeType":"S"}],
		"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}],
		"LocalSecondaryIndexes":[{"IndexName":"by-k","KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"k","KeyType":"RANGE"}],
			"Projection":{"ProjectionType":"KEYS_ONLY"}}]}`)
	run(t, h, []step{
		{"PutItem", `{"TableName":"logs","Item":{"id":{"S":"a"},"n":{"N":"1"},"k":{"S":"k"},"x":{"S":"x"}}}`, `{}`},
		{
			"ExecuteStatement",
			statement(`SELECT x FROM logs."by-k" WHERE id = 'a' AND k = 'k'`, ""),
			`{"Items":[{"x":{"S":"x"}}]}`,
		},
		{
			"ExecuteStatement",
			statement(`SELECT * FROM logs."by-k" WHERE id = 'a'`, `,"ConsistentRead":true`),
			`{"Items":[{"id":{"S":"a"},"k":{"S":"k"},"n":{"N":"1"}}]}`,
		},
		{"ExecuteStatement", statement(`SELECT * FROM logs."by-k" WHERE id = 'a' AND x = 'x'`, ""),
			`ValidationException: One or more parameter values were invalid: Secondary index by-k does not project one or more filter attributes: [x]`},
	})
}

// pagesOf runs a SELECT page by page, and returns the n of its items, which are digits.
func pagesOf(t *testing.T, h *Handler, text, limit string) (digits string) {
	t.Helper()
	more := limit
	for range 20 {
		doc, ok := parse(call(t, h, "ExecuteStatement", statement(text, more)), 0)
		if !ok {
			t.Fatalf("%s: not JSON", text)
		}
		doc.root().get("Items").each(func(_ string, it node) bool {
			digits += it.get("n").get("N").text()
			return true
		})
		token := doc.root().get("NextToken").text()
		if token == "" {
			return digits
		}
		more = limit + fmt.Sprintf(`,"NextToken":%q`, token)
		if other := call(t, h, "ExecuteStatement",
			statement(text+" ", more)); other != "ValidationException: NextToken does not match request" {
			t.Errorf("got %s; want the token refused for another statement", other)
		}
	}
	t.Fatalf("%s: got no end; want one", text)
	return ""
}

// TestPages reads all of a table, and then partitions of it, with a limit and its tokens.
func TestPages(t *testing.T) {
	h := served(t)
	createTables(t, h)
	for n := range 7 {
		call(t, h, "PutItem", fmt.Sprintf(`{"TableName":"notes","Item":{"id":{"S":"%c"},"n":{"N":"%d"}}}`, 'a'+n%2, n))
	}
	for text, want := range map[string]string{
		`SELECT n FROM notes WHERE id IN ['b', 'a']`:              "1350246",
		`SELECT n FROM notes WHERE id IN ['b', 'a'] ORDER BY id`:  "0246135",
		`SELECT n FROM notes WHERE id = 'a' ORDER BY n DESC`:      "6420",
		`SELECT n FROM notes WHERE id = 'a' AND n > 0 AND n <> 4`: "26",
		`SELECT n FROM notes WHERE n <> 3`:                        pagesOf(t, h, `SELECT n FROM notes WHERE n <> 3`, ""),
	} {
		if got := pagesOf(t, h, text, ""); got != want {
			t.Errorf("%s: got %s; want %s", text, got, want)
		}
		for limit := 1; limit < 8; limit++ {
			if got := pagesOf(t, h, text, fmt.Sprintf(`,"Limit":%d`, limit)); got != want {
				t.Errorf("%s, limit %d: got %s; want %s", text, limit, got, want)
			}
		}
	}
	if got := pagesOf(t, h, `SELECT n FROM notes WHERE n <> 3`, ""); len(got) != 6 {
		t.Errorf("got %s; want six", got)
	}
	for _, token := range []string{"x", "AAAA", "????"} {
		if got := call(t, h, "ExecuteStatement",
			statement(`SELECT * FROM notes`, `,"NextToken":"`+token+
				`"`)); got != "ValidationException: Given NextToken is invalid" {
			t.Errorf("got %s; want the token refused", got)
		}
	}
}

func TestBatchesOfStatements(t *testing.T) {
	h := served(t)
	createTables(t, h)
	run(t, h, []step{
		{"PutItem", `{"TableName":"things","Item":{"id":{"S":"a"},"n":{"N":"1"}}}`, `{}`},
		{"BatchExecuteStatement", `{"Statements":[
			{"Statement":"SELECT n FROM things WHERE id = 'a'"},
			{"Statement":"SELECT * FROM things WHERE id = 'none'"},
			{"Statement":"SELECT * FROM things WHERE n = 1"},
			{"Statement":"SELECT * FROM notes.\"by-g\" WHERE id = 'a' AND n = 1"},
			{"Statement":"SELECT * FROM nothing WHERE id = 'a'"},
			{"Statement":"SLECT"}],"ReturnConsumedCapacity":"TOTAL"}`,
			`{"Responses":[{"Item":{"n":{"N":"1"}},"TableName":"things"},{"TableName":"things"},` +
				strings.Repeat(`{"Error":{"Code":"ValidationError","Message":"Select statements within BatchExecuteStatement must specify the primary key in the where clause."}},`, 2) +
				`{"Error":{"Code":"ResourceNotFound","Message":"Requested resource not found"}},` +
				`{"Error":{"Code":"ValidationError","Message":"Statement wasn't well formed, can't be processed: Expected data manipulation"}}],` +
				`"ConsumedCapacity":[{"TableName":"things","CapacityUnits":1.0}]}`},
		{"BatchExecuteStatement", `{"Statements":[
			{"Statement":"INSERT INTO things VALUE {'id': 'a'}"},
			{"Statement":"INSERT INTO things VALUE {'id': 'b'}"},
			{"Statement":"UPDATE things SET n = 2 WHERE id = 'a' AND n = ?","Parameters":[{"N":"9"}],"ReturnValuesOnConditionCheckFailure":"ALL_OLD"},
			{"Statement":"UPDATE things SET n = 2 WHERE id = 'a' RETURNING ALL NEW *"},
			{"Statement":"DELETE FROM things WHERE id = 'b' RETURNING MODIFIED OLD *"}]}`,
			`{"Responses":[{"Error":{"Code":"DuplicateItem","Message":"Duplicate primary key exists in table"},"TableName":"things"},{"TableName":"things"},` +
				`{"Error":{"Code":"ConditionalCheckFailed","Message":"The conditional request failed"},"TableName":"things"},` +
				`{"Item":{"id":{"S":"a"},"n":{"N":"2"}},"TableName":"things"},` +
				`{"Error":{"Code":"ValidationError","Message":"Invalid returning clause: RETURNING MODIFIED OLD *. Only RETURNING ALL OLD * is allowed in DELETE statements."}}]}`},
	})
}

func TestTransactionsOfStatements(t *testing.T) {
	h := served(t)
	createTables(t, h)
	const failed = `ValidationException: Validation failed in TransactStatements[`
	transaction := func(more string, statements ...string) string {
		for i, s := range statements {
			statements[i] = `{"Statement":` + strconv.Quote(s) + `}`
		}
		return `{"TransactStatements":[` + strings.Join(statements, ",") + `]` + more + `}`
	}
	run(t, h, []step{
		{"PutItem", `{"TableName":"things","Item":{"id":{"S":"a"},"n":{"N":"0"}}}`, `{}`},
		{"ExecuteTransaction", transaction(`,"ClientRequestToken":"t","ReturnConsumedCapacity":"TOTAL"`,
			`UPDATE things SET n = n + 1 WHERE id = 'a'`, `INSERT INTO things VALUE {'id': 'b'}`,
			`EXISTS(SELECT * FROM things WHERE id = 'c' AND n IS MISSING)`),
			`TransactionCanceledException: Transaction cancelled, please refer cancellation reasons for specific reasons [None, None, ConditionalCheckFailed]`},
		{"ExecuteTransaction", transaction(`,"ReturnConsumedCapacity":"TOTAL"`, `UPDATE things SET n = n WHERE id = 'a'`),
			`{"Responses":[],"ConsumedCapacity":[{"TableName":"things","CapacityUnits":2.0,"WriteCapacityUnits":2.0}]}`},
		{
			"ExecuteTransaction",
			transaction(`,"ClientRequestToken":"u"`, `UPDATE things SET n = n + 1 WHERE id = 'a'`,
				`INSERT INTO things VALUE {'id': 'b'}`),
			`{"Responses":[]}`,
		},
		{
			"ExecuteTransaction",
			transaction(`,"ClientRequestToken":"u"`, `UPDATE things SET n = n + 1 WHERE id = 'a'`,
				`INSERT INTO things VALUE {'id': 'b'}`),
			`{"Responses":[]}`,
		},
		{
			"ExecuteTransaction",
			transaction("", `SELECT n FROM things WHERE id = 'a'`, `SELECT * FROM things WHERE id = 'none'`),
			`{"Responses":[{"Item":{"n":{"N":"1"}}},{}]}`,
		},
		{"ExecuteTransaction", transaction("", `DELETE FROM things WHERE id = 'a'`, `INSERT INTO things VALUE {'id': 'b'}`),
			`TransactionCanceledException: Transaction cancelled, please refer cancellation reasons for specific reasons [None, DuplicateItem]`},
		{
			"ExecuteTransaction",
			transaction("", `DELETE FROM things WHERE id = 'b' RETURNING ALL OLD *`),
			failed + `0]: RETURNING clause is not supported in ExecuteTransaction.`,
		},
		{
			"ExecuteTransaction",
			transaction("", `SELECT * FROM notes."by-g" WHERE g = 'g'`),
			failed + `0]: Reads on indices are not supported within transactions.`,
		},
		{"ExecuteTransaction", transaction("", `SELECT * FROM things WHERE id = 'a' AND n = 1`),
			failed + `0]: Select statements within ExecuteTransaction must specify the primary key in the where clause.`},
		{
			"ExecuteTransaction",
			transaction("", `DELETE FROM things WHERE id = 'b'`, `EXISTS(SELECT * FROM things WHERE id = 'a')`),
			failed + `1]: EXISTS() must contain a single item read with additional condition`,
		},
		{
			"ExecuteTransaction",
			transaction("", `DELETE FROM things WHERE id = 'b'`, `SELECT * FROM things WHERE id = 'a'`),
			failed + `1]: Unsupported operation in transaction.`,
		},
	})
}
