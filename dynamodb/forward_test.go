package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"holdfast"
	"holdfast/item"
	"holdfast/table"
)

// peers are the other nodes, of which one answers.
type peers struct {
	leads     atomic.Bool
	executing atomic.Int64 // requests that have begun here, and aren't done
	answer    func(ctx context.Context, request []byte) ([]byte, error)
	forwards  atomic.Int64
}

func (p *peers) Begin() bool {
	if p.leads.Load() {
		p.executing.Add(1)
		return true
	}
	return false
}

func (p *peers) Done() { p.executing.Add(-1) }

func (p *peers) Forward(ctx context.Context, request []byte) ([]byte, error) {
	p.forwards.Add(1)
	return p.answer(ctx, request)
}

// newHandler returns a handler. In TestForwarded it is that of a node which has no table, and forwards
// to a leading node that has the options' tables.
func newHandler(t testing.TB, o Options) *Handler {
	t.Helper()
	if !strings.HasPrefix(t.Name(), "TestForwarded/") {
		return New(o)
	}
	leader := New(o)
	o.Tables, o.Peers = shardedTables(t, 1), &peers{answer: leader.Answer}
	return New(o)
}

// twoNodes returns the handlers of two nodes of the same tables, of which the second leads. The
// options may leave out the tables.
func twoNodes(t testing.TB, o Options) (follower, leader *Handler, p *peers) {
	t.Helper()
	if o.Tables == nil {
		o.Tables = memoryTables(t)
	}
	leading := new(peers)
	leading.leads.Store(true)
	o.Peers = leading
	leader = New(o)
	p = &peers{answer: leader.Answer}
	o.Peers = p
	return New(o), leader, p
}

// What is forwarded gets the responses that other tests expect of one node.
func TestForwarded(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"single items": TestSingleItems, "failed conditions": TestConditionFailureShowsItem, "queries": TestQueries,
		"batches": TestBatches, "unprocessed keys": TestUnprocessedKeys, "transactions": TestTransactions,
		"wrong requests": TestWrongRequests, "model": TestRandomRequestsAgainstModel,
		"large pages": TestLargePages, "large batches": TestLargeBatches, "throttled": TestThrottledBatches,
		"listings": TestListingsInPages, "streams": TestStreamAgainstModel, "stream errors": TestStreamErrors,
		"tokens": TestTokenHeader, "sessions": TestSessionsAreKept, "names of sessions": TestSessionNames,
		"encoded": TestEncodedBodies, "compressed": TestCompressedResponses,
		"statements": TestStatements, "writing statements": TestWritingStatements, "pages of statements": TestPages,
		"statements on indexes": TestStatementsOnIndexes, "batches of statements": TestBatchesOfStatements,
		"transactions of statements": TestTransactionsOfStatements, "no changes": TestRemovingFromNothing,
		"legacy filters": TestLegacyFilters, "expected": TestExpectedArguments, "names": TestAttributeNames,
		"functions": TestNestedFunctions, "sets": TestSetsAreSorted, "starts": TestStartOfASingleItem,
		"definitions": TestDefinitionsAreConsistent, "tags": TestTagsAreChecked, "ARNs": TestNamesAndARNs,
		"probes": TestProbes, "descriptions": TestDescriptions, "pipelined": TestPipelined, "SDK": TestSDKItems,
		"SDK's errors": TestSDKErrors, "several keys": TestSDKMultiKeyQueries,
	} {
		t.Run(name, test)
	}
}

const (
	getThing  = `{"TableName":"things","Key":{"id":{"S":"a"}}}`
	getLatest = `{"TableName":"things","Key":{"id":{"S":"a"}},"ConsistentRead":true}`
	putThing  = `{"TableName":"things","Item":{"id":{"S":"a"}}}`
)

// A node that doesn't lead answers reads that may be eventually consistent, and forwards everything
// else. The node that leads forwards nothing.
func TestWhichRequestsAreForwarded(t *testing.T) {
	follower, leader, p := twoNodes(t, Options{})
	createTables(t, leader)
	fillNotes(t, leader)
	const query = `"TableName":"notes","KeyConditionExpression":"id = :i","ExpressionAttributeValues":{":i":{"S":"a"}}`
	keys := func(consistent, others string) string {
		return `{"RequestItems":{"things":{"Keys":[{"id":{"S":"a"}}],"ConsistentRead":` + consistent +
			`},"notes":{"Keys":[{"id":{"S":"a"},"n":{"N":"1"}}]` + others + `}}}`
	}
	for _, test := range []struct {
		op, body string
		forwards int64
	}{
		{"GetItem", getThing, 0},
		{"GetItem", `{"ConsistentRead":false,` + getThing[1:], 0},
		{"GetItem", `{"ConsistentRead":null,` + getThing[1:], 0},
		{"GetItem", getLatest, 1},
		{"GetItem", strings.Replace(getThing, "things", "nothing", 1), 1}, // perhaps it is new
		{"GetItem", `{"TableName":"things","Key":{"n":{"S":"a"}}}`, 1},
		{"GetItem", `{"TableName":"t"}`, 0}, // a fault of its shape
		{"Query", `{` + query + `}`, 0},
		{"Query", `{` + query + `,"ConsistentRead":true}`, 1},
		{"Query", `{` + query + `,"IndexName":"by-k"}`, 0},
		{"Query", `{` + query + `,"IndexName":"by-none"}`, 1},
		{"Scan", `{"TableName":"notes"}`, 0},
		{"Scan", `{"TableName":"notes","ConsistentRead":true}`, 1},
		{"BatchGetItem", keys("false", ``), 0},
		{"BatchGetItem", keys("true", ``), 1},
		{"BatchGetItem", keys("false", `,"ConsistentRead":true`), 1},
		{"BatchGetItem", keys("true", `,"ConsistentRead":false`), 1},
		{"TransactGetItems", `{"TransactItems":[{"Get":` + getThing + `}]}`, 1},
		{"ExecuteStatement", `{"Statement":"SELECT * FROM things WHERE id='a'"}`, 1},
		{"PutItem", putThing, 1},
		{"DescribeTable", `{"TableName":"things"}`, 1},
		{"ListTables", `{}`, 1},
		{"ListStreams", `{}`, 1},
		{"DescribeLimits", `{}`, 1},
	} {
		before := p.forwards.Load()
		got := call(t, follower, test.op, test.body)
		if n := p.forwards.Load() - before; n != test.forwards {
			t.Errorf("%s %s: got %d forwarded requests; want %d", test.op, test.body, n, test.forwards)
		}
		if want := call(t, leader, test.op, test.body); got != want {
			t.Errorf("%s %s: got %s; want %s", test.op, test.body, got, want)
		}
		p.leads.Store(true)
		if call(t, follower, test.op, test.body); p.forwards.Load() != before+test.forwards {
			t.Errorf("%s %s: got it forwarded by the node that leads", test.op, test.body)
		}
		p.leads.Store(false)
	}
	if n := leader.peers.(*peers).forwards.Load(); n != 0 {
		t.Errorf("got %d requests forwarded by the leading node; want none", n)
	}
}

// Each error of Forward says to the client whether something may have been changed. The text says it
// once, and first.
func TestErrorsOfForward(t *testing.T) {
	follower, leader, p := twoNodes(t, Options{})
	createTables(t, leader)
	const kindsText = "node 2 is away"
	place := leader.where("things", item.New(item.Attr{Name: "id", Value: item.Text("a")})) // as putThing's
	check := func(name, text, want string) {
		t.Helper()
		ctx := received(t, request(http.MethodPost, "/", putThing, "Content-Type", typeAmzJSON, "X-Amz-Target",
			tablesTarget+".PutItem", "Date", "x", "Authorization",
			"AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c"))
		follower.Serve(ctx)
		status, got := ctx.Response.StatusCode(), string(ctx.Response.Body())
		_, typ, _ := strings.Cut(at(t, got, "__type"), "#")
		want += place + ": " + text
		if got := fmt.Sprint(status, " ", typ, ": ", at(t, got, "message")); got != want {
			t.Errorf("%s: got %s; want %s", name, got, want)
		}
	}
	const (
		refused = "503 ServiceUnavailableException: nothing was changed: "
		unknown = "500 InternalServerError: outcome unknown: "
	)
	safe := map[holdfast.Kind]bool{
		holdfast.NotLeader: true, holdfast.Refused: true, holdfast.Overloaded: true, holdfast.NotFound: true,
		holdfast.Invalid: true, holdfast.Closed: true,
	}
	for kind := holdfast.Invalid; !strings.HasPrefix(kind.Error(), "kind "); kind++ {
		want, says := unknown, outcomeUnknown
		if safe[kind] {
			want, says = refused, nothingChanged
		}
		for _, text := range []string{kindsText, says + ": " + kindsText, kindsText + ": " + says} {
			p.answer = func(context.Context, []byte) ([]byte, error) {
				return nil, fmt.Errorf("for the log: %w", holdfast.Errorf(kind, "%s", text))
			}
			check(kind.Error(), kindsText, want)
		}
	}
	const generic = "the leading node couldn't be asked"
	for _, err := range []error{errors.New("secret"), context.Canceled} {
		p.answer = func(context.Context, []byte) ([]byte, error) { return nil, err }
		check(err.Error(), generic, unknown)
	}
	p.answer = func(context.Context, []byte) ([]byte, error) { return []byte("damaged"), nil }
	check("a damaged response", "the leading node's response is of another version, or damaged", unknown)
}

// A node that doesn't lead, or finds when it runs an operation that it doesn't any more, says so, so
// that another node can be asked.
func TestAnswerOfANodeThatDoesNotLead(t *testing.T) {
	_, leader, _ := twoNodes(t, Options{})
	createTables(t, leader)
	q := task{op: leader.operations[tablesTarget]["PutItem"], body: putThing}
	leader.peers.(*peers).leads.Store(false)
	if got, err := leader.Answer(t.Context(), q.request()); !errors.Is(err, holdfast.NotLeader) || got != nil {
		t.Errorf("got %q, %v; want that it doesn't lead", got, err)
	}
	leader.peers.(*peers).leads.Store(true)
	if got := call(t, leader, "GetItem", getThing); got != `{}` {
		t.Errorf("got %s; want nothing changed", got)
	}
	ran := 0
	q.op.run = func(context.Context, node, *writer) error {
		ran++
		return fmt.Errorf("while it ran: %w", holdfast.Errorf(holdfast.NotLeader, "nothing was changed: node 3 leads"))
	}
	leader.operations[tablesTarget]["PutItem"] = q.op
	if got, err := leader.Answer(t.Context(), q.request()); !errors.Is(err, holdfast.NotLeader) || got != nil ||
		ran != 1 {
		t.Errorf("got %q, %v after %d operations; want that it doesn't lead any more, after one", got, err, ran)
	}
	for _, c := range leader.Stats().Requests {
		if c.Operation == "PutItem" {
			t.Errorf("got %+v; want that what another node answers isn't counted", c)
		}
	}
	checkReleased(t, leader, "it")
}

// The leader changes while a request is on its way: the request is executed once, by the new leader.
func TestLeaderChanges(t *testing.T) {
	one, two, p := twoNodes(t, Options{})
	createTables(t, two)
	second := two.peers.(*peers)
	second.answer = one.Answer
	p.answer = func(ctx context.Context, request []byte) ([]byte, error) {
		second.leads.Store(false)
		if _, err := two.Answer(ctx, request); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("got %v of the former leader; want that it doesn't lead", err)
		}
		p.leads.Store(true)
		return one.Answer(ctx, request) // since that is the new one
	}
	add := `{"TableName":"things","Key":{"id":{"S":"a"}},"UpdateExpression":"ADD n :n",` +
		`"ExpressionAttributeValues":{":n":{"N":"1"}},"ReturnValues":"UPDATED_NEW"}`
	if got := call(t, one, "UpdateItem", add); got != `{"Attributes":{"n":{"N":"1"}}}` {
		t.Errorf("got %s; want the sum after one addition", got)
	}
	if got := call(t, two, "UpdateItem", add); got != `{"Attributes":{"n":{"N":"2"}}}` {
		t.Errorf("from the former leader: got %s; want the sum after two", got)
	}

	// Now the first node takes itself for the leader, and finds while it runs an operation that it isn't.
	second.leads.Store(true)
	p.answer = two.Answer
	op := one.operations[tablesTarget]["UpdateItem"]
	began := op
	op.run = func(_ context.Context, _ node, w *writer) error {
		w.raw("half a response")
		return holdfast.Errorf(holdfast.NotLeader, "nothing was changed")
	}
	one.operations[tablesTarget]["UpdateItem"] = op
	if got := call(t, one, "UpdateItem", add); got != `{"Attributes":{"n":{"N":"3"}}}` {
		t.Errorf("got %s; want the sum after three", got)
	}
	for _, kind := range []holdfast.Kind{holdfast.Refused, holdfast.Unavailable, holdfast.Full} {
		op.run = func(context.Context, node, *writer) error { return holdfast.Errorf(kind, "planted") }
		one.operations[tablesTarget]["UpdateItem"] = op
		before := p.forwards.Load()
		if got := call(t, one, "UpdateItem", add); !strings.HasSuffix(got, ": planted") || p.forwards.Load() != before {
			t.Errorf("%v: got %s; want the error, and that nothing is forwarded", kind, got)
		}
	}
	one.operations[tablesTarget]["UpdateItem"] = began
}

// A read that fails where it needn't be forwarded leaves nothing in the response.
func TestLocalReadThatFails(t *testing.T) {
	follower, leader, _ := twoNodes(t, Options{})
	createTables(t, leader)
	for _, name := range []string{"GetItem", "Query", "Scan", "BatchGetItem"} {
		op := follower.operations[tablesTarget][name]
		for _, kind := range []holdfast.Kind{holdfast.NotFound, holdfast.NotLeader, holdfast.Behind, holdfast.Lost,
			holdfast.Corrupt, holdfast.Overloaded} {
			op.run = func(_ context.Context, _ node, w *writer) error {
				w.raw(`{"half":`)
				return holdfast.Errorf(kind, "planted")
			}
			follower.operations[tablesTarget][name] = op
			body := map[string]string{
				"GetItem": getThing, "Scan": `{"TableName":"things"}`,
				"BatchGetItem": `{"RequestItems":{"things":{"Keys":[{"id":{"S":"a"}}]}}}`,
				"Query": `{"TableName":"things","KeyConditionExpression":"id = :i",` +
					`"ExpressionAttributeValues":{":i":{"S":"a"}}}`,
			}[name]
			if got, want := call(t, follower, name, body), call(t, leader, name, body); got != want {
				t.Errorf("%s, %v: got %s; want %s", name, kind, got, want)
			}
		}
	}
}

// Both nodes count a request that is forwarded, by its result.
func TestForwardedRequestsAreCounted(t *testing.T) {
	follower, leader, _ := twoNodes(t, Options{Tables: tablesWith(t, table.Options{})})
	createTables(t, leader)
	call(t, follower, "PutItem", putThing)
	call(t, follower, "PutItem", putThing[:len(putThing)-1]+`,"ConditionExpression":"attribute_not_exists(id)"}`)
	call(t, follower, "PutItem", `{"TableName":"nothing","Item":{"id":{"S":"a"}}}`)
	call(t, follower, "GetItem", getThing)
	for name, h := range map[string]*Handler{"follower": follower, "leader": leader} {
		got := map[string]uint64{}
		for _, c := range h.Stats().Requests {
			if c.Operation != "CreateTable" {
				got[c.Operation+" "+c.Result] = c.N
			}
		}
		want := map[string]uint64{"PutItem ok": 1, "PutItem condition": 1, "PutItem refused": 1}
		if h == follower {
			want["GetItem ok"] = 1
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v; want %v", name, got, want)
		}
		if n := h.counters["PutItem"].timesOf("PutItem").N; n != 3 {
			t.Errorf("%s: got the times of %d requests; want 3", name, n)
		}
	}
}

// A panic of an operation that another node has sent is answered and logged, and ends nothing else.
func TestPanicInAnswer(t *testing.T) {
	var log strings.Builder
	follower, leader, p := twoNodes(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	createTables(t, leader)
	p.answer = func(ctx context.Context, request []byte) ([]byte, error) {
		defer func() {
			if cause := recover(); cause != nil { // on its goroutine it would end the program
				t.Errorf("got the panic %v; want a response", cause)
			}
		}()
		return leader.Answer(ctx, request)
	}
	op := leader.operations[tablesTarget]["PutItem"]
	was := op.run
	op.run = func(_ context.Context, _ node, w *writer) error {
		w.raw("half a response")
		panic("planted")
	}
	leader.operations[tablesTarget]["PutItem"] = op
	if got := call(t, follower, "PutItem", putThing); !strings.HasPrefix(got, "InternalServerError: The request proc") {
		t.Errorf("got %s; want an internal error", got)
	}
	if text := log.String(); strings.Count(text, "planted") != 1 || !strings.Contains(text, "TestPanicInAnswer") {
		t.Errorf("got log %s; want the cause once, and the stack", text)
	}
	checkReleased(t, leader, "a panic")
	checkReleased(t, follower, "a panic")
	op.run = was
	leader.operations[tablesTarget]["PutItem"] = op
	if got := call(t, follower, "PutItem", putThing); got != `{}` {
		t.Errorf("after it: got %s; want {}", got)
	}
}
