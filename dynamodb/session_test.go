package dynamodb

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"holdfast"
	"holdfast/session"
)

// inSession sends a request of a session, which may be "", with a token unless it is "".
func inSession(t *testing.T, h *Handler, op, body, name, token string) (res *http.Response, text string) {
	t.Helper()
	req := request(http.MethodPost, "/", body, "Content-Type", typeAmzJSON, "X-Amz-Target", tablesTarget+"."+op,
		"Date", "x", "Authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c")
	req.Header.Set("X-Holdfast-Session", name)
	if token != "" {
		req.Header.Set("X-Holdfast-Token", token)
	}
	res, text = send(t, h, req)
	checkFrame(t, res, text)
	return res, text
}

func tokenOf(t *testing.T, text string) holdfast.Token {
	t.Helper()
	tok, err := holdfast.ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// keptOf returns what a node keeps of a session.
func keptOf(t *testing.T, k *session.Keeper, name string) holdfast.Token {
	t.Helper()
	v, err := k.Visit(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return v.Token()
}

// Names are checked, and nothing is executed for those that are refused.
func TestSessionNames(t *testing.T) {
	h := newHandler(t, Options{Tables: shardedTables(t, 1)})
	createTables(t, h)
	for name, fits := range map[string]bool{
		"a": true, "user:42_a.B-c": true, strings.Repeat("x", 64): true,
		strings.Repeat("x", 65): false, "": false, "a b": false, "é": false, "a,b": false, "a/b": false,
	} {
		res, text := inSession(t, h, "PutItem", putThing, name, "")
		want := http.StatusOK
		if !fits {
			want = http.StatusBadRequest
		}
		refused := strings.Contains(text, "ValidationException") && strings.Contains(text, "X-Holdfast-Session")
		if res.StatusCode != want || refused == fits {
			t.Errorf("session %q: got %d %s; want %d", name, res.StatusCode, text, want)
		}
		if got := res.Header.Get("X-Holdfast-Token"); got != "" {
			t.Errorf("session %q: got the token %q; want none, since none was sent", name, got)
		}
	}
}

// What a session's requests show is kept: of errors too, and joined with the token that the client
// sends. Of what only the token has seen, the session may have seen more.
func TestSessionsAreKept(t *testing.T) {
	k := session.New(session.Options{})
	h := newHandler(t, Options{Tables: shardedTables(t, 1), Sessions: k})
	createTables(t, h)
	_, _, put := withHeaderToken(t, h, "PutItem", putThing, "1")
	inSession(t, h, "GetItem", getThing, "reads", "")
	inSession(t, h, "PutItem", `{"TableName":"things","Item":{"id":{"S":"a"}},`+
		`"ConditionExpression":"attribute_not_exists(id)"}`, "fails", "")
	for _, name := range []string{"reads", "fails"} {
		if kept := keptOf(t, k, name); kept.String() != put {
			t.Errorf("session %q: got %v; want %v", name, kept, put)
		}
	}
	inSession(t, h, "ListTables", "{}", "sends", put)
	if kept := keptOf(t, k, "sends"); kept.Len() != 0 {
		t.Errorf("got %v for a token that was only sent; want nothing", kept)
	}
	if res, text := inSession(t, h, "GetItem", getThing, "sends", "x"); res.StatusCode != 400 {
		t.Errorf("got %d %s; want that the token is refused", res.StatusCode, text)
	}

	future := tokenOf(t, put)
	for tx := range future.All() {
		tx.Index += 10
		future.See(tx)
	}
	res, text := inSession(t, h, "GetItem", getThing, "reads", future.String())
	if res.StatusCode != 400 || !strings.Contains(text, "TokenLostException") {
		t.Errorf("got %d %s; want that the token is lost", res.StatusCode, text)
	}
	if res, text := inSession(t, h, "GetItem", getThing, "reads", ""); res.StatusCode != 200 {
		t.Errorf("got %d %s; want that a loss is answered once", res.StatusCode, text)
	}
	if got := k.Stats(); got.Kept != 3 || got.Unknown != 3 {
		t.Errorf("got %+v; want three sessions", got)
	}
}

// A node sends what it keeps of a session with what it forwards, and keeps what comes back.
func TestSessionsOfForwardedRequests(t *testing.T) {
	k := session.New(session.Options{})
	follower, leader, p := twoNodes(t, Options{Sessions: k, Tables: shardedTables(t, 1)})
	createTables(t, leader)
	var forwarded []string
	p.answer = func(ctx context.Context, request []byte) ([]byte, error) {
		f, err := parseForwarded(request)
		if err != nil {
			t.Fatal(err)
		}
		forwarded = append(forwarded, f.seen.kept)
		return leader.Answer(ctx, request)
	}
	inSession(t, follower, "PutItem", putThing, "s", "")
	kept := keptOf(t, k, "s")
	inSession(t, follower, "PutItem", putThing, "s", "")
	if kept.Len() != 1 || len(forwarded) != 2 || forwarded[0] != "1" || forwarded[1] != kept.String() {
		t.Errorf("got %q forwarded, and %v kept; want nothing, and then what is kept", forwarded, kept)
	}
	p.answer = func(context.Context, []byte) ([]byte, error) {
		return nil, holdfast.Errorf(holdfast.Refused, "nothing was changed: no leader")
	}
	inSession(t, follower, "PutItem", putThing, "s", "")
	if got := keptOf(t, k, "s"); got.Len() != 1 {
		t.Errorf("got %v kept after a request that no node has answered; want %v", got, kept)
	}
}

func TestLearn(t *testing.T) {
	tok := func(all ...holdfast.TxID) (t holdfast.Token) {
		for _, tx := range all {
			t.See(tx)
		}
		return t
	}
	tx := func(id holdfast.ShardID, index uint64) holdfast.TxID {
		return holdfast.TxID{Shard: id, Term: 1, Index: index}
	}
	for _, test := range []struct {
		what               string
		kept, told, answer holdfast.Token
		want               holdfast.Token
		gone               int
	}{
		{"read", tok(), tok(), tok(tx(1, 5)), tok(tx(1, 5)), 0},
		{"only told of", tok(), tok(tx(1, 5)), tok(tx(1, 5)), tok(), 0},
		{"told of, and read", tok(), tok(tx(1, 5)), tok(tx(1, 6)), tok(tx(1, 6)), 0},
		{"kept, and told of more", tok(tx(1, 4)), tok(tx(1, 5)), tok(tx(1, 5)), tok(tx(1, 5)), 0},
		{"no space, or lost", tok(tx(1, 4), tx(2, 4)), tok(), tok(tx(2, 5), tx(3, 5)), tok(tx(2, 5), tx(3, 5)), 1},
	} {
		got, gone := learn(test.kept, test.told, test.answer)
		same := got.Len() == test.want.Len() && len(gone) == test.gone
		for tx := range test.want.All() {
			of, _ := got.Of(tx.Shard)
			same = same && of == tx
		}
		if !same {
			t.Errorf("%s: got %v and %v; want %v and %d shards", test.what, got, gone, test.want, test.gone)
		}
	}
}

// AWS's SDK names a session by one more header, which it signs.
func TestSDKSessions(t *testing.T) {
	k := session.New(session.Options{})
	h := newHandler(t, Options{Tables: shardedTables(t, 1), Sessions: k})
	createTables(t, h)
	h.SetKeys(map[string]string{suiteKey: suiteSecret})
	c := sdkOf(listening(t, h, nil), suiteSecret)
	named := sdk.WithAPIOptions(smithyhttp.AddHeaderValue("X-Holdfast-Session", "go:1"))
	ctx, item := context.Background(), map[string]types.AttributeValue{"id": str("a")}
	if _, err := c.PutItem(ctx, &sdk.PutItemInput{TableName: aws.String("things"), Item: item}, named); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := c.GetItem(ctx, &sdk.GetItemInput{TableName: aws.String("things"), Key: item}, named)
		if err != nil || got.Item == nil {
			t.Fatalf("got %v, %v; want the item", got, err)
		}
	}
	if got := k.Stats(); got.Kept != 1 || got.Unknown != 1 || got.Known != 2 {
		t.Errorf("got %+v; want one session, which is known after the first request", got)
	}
	wrong := sdk.WithAPIOptions(smithyhttp.AddHeaderValue("X-Holdfast-Session", "a b"))
	_, err := c.PutItem(ctx, &sdk.PutItemInput{TableName: aws.String("things"), Item: item}, wrong)
	if err == nil || !strings.Contains(err.Error(), "ValidationException") {
		t.Errorf("got %v; want a ValidationException", err)
	}
}

// If connections are sessions, each has its own, unless a request names one.
func TestConnectionSessions(t *testing.T) {
	k, one := session.New(session.Options{}), new(session.Connection)
	tables := shardedTables(t, 1)
	h := newHandler(t, Options{Tables: tables, Sessions: k,
		Connection: func(net.Conn) *session.Connection { return one }})
	createTables(t, h)
	one.Keep(holdfast.Token{}, nil)
	_, _, token := withHeaderToken(t, h, "PutItem", putThing, "1")
	if got := one.Token(); got.Len() != 1 || got.String() != token {
		t.Errorf("got %v; want %v", got, token)
	}
	other := new(session.Connection)
	h.connection = func(net.Conn) *session.Connection { return other }
	inSession(t, h, "GetItem", getThing, "s", "")
	if got := other.Token(); got.Len() != 0 {
		t.Errorf("got %v for a request that names a session; want nothing", got)
	}
	call(t, h, "GetItem", getThing)
	if got := other.Token(); got.String() != token {
		t.Errorf("got %v; want %v", got, token)
	}
	h.connection = func(net.Conn) *session.Connection { return nil }
	call(t, h, "GetItem", getThing)
}
