package dynamodb

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// listening starts a handler's server, which runs until the test ends, and returns its address.
// change may be nil.
func listening(t testing.TB, h *Handler, change func(*fasthttp.Server)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, ended := h.Server(), make(chan error)
	if change != nil {
		change(server)
	}
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(listener.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// send sends a request to a handler over a connection and returns the response with its body.
func send(t *testing.T, h *Handler, req *http.Request) (*http.Response, string) {
	t.Helper()
	req.RequestURI = ""
	req.URL.Scheme, req.URL.Host = "http", listening(t, h, nil)
	transport := http.Transport{DisableKeepAlives: true, DisableCompression: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// received returns a request as the server has it, without a connection.
func received(t testing.TB, req *http.Request) *fasthttp.RequestCtx {
	t.Helper()
	var sent bytes.Buffer
	if err := req.Write(&sent); err != nil {
		t.Fatal(err)
	}
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(new(fasthttp.Request), nil, nil)
	if err := ctx.Request.Read(bufio.NewReader(&sent)); err != nil {
		t.Fatal(err)
	}
	return ctx
}

var requestIDs = regexp.MustCompile(`^[0-9A-Z]{52}$`)

// checkFrame checks the headers that every response has.
func checkFrame(t *testing.T, res *http.Response, body string) {
	t.Helper()
	if got := res.Header.Get("x-amzn-RequestId"); !requestIDs.MatchString(got) {
		t.Errorf("x-amzn-RequestId: got %q; want 52 digits and letters", got)
	}
	if got, want := res.Header.Get("x-amz-crc32"), strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(body))),
		10); got != want {
		t.Errorf("x-amz-crc32: got %s; want %s", got, want)
	}
	if res.ContentLength != int64(len(body)) {
		t.Errorf("Content-Length: got %d; want %d", res.ContentLength, len(body))
	}
}

func request(method, target, body string, headers ...string) *http.Request {
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

// The responses to requests for no operation were recorded from DynamoDB by dynalite's
// test/connection.js.
func TestConnection(t *testing.T) {
	const (
		missing = `{"__type":"com.amazon.coral.service#MissingAuthenticationTokenException","message":"Request is missing Authentication Token"}`
		unknown = `{"__type":"com.amazon.coral.service#UnknownOperationException"}`
		noJSON  = `{"__type":"com.amazon.coral.service#SerializationException"}`
		none    = "<UnknownOperationException/>\n"
		target  = "X-Amz-Target"
		list    = "DynamoDB_20120810.ListTables"
	)
	incomplete := func(message string) string {
		return `{"__type":"com.amazon.coral.service#IncompleteSignatureException","message":"` + message + `"}`
	}
	h := New(Options{})
	for _, test := range []struct {
		name    string
		req     *http.Request
		status  int
		content string
		want    string
	}{
		{"health", request("GET", "/", ""), 200, "", "healthy: dynamodb.us-east-1.amazonaws.com "},
		{
			"health, with parameters",
			request("GET", "/?a=b", ""),
			200,
			"",
			"healthy: dynamodb.us-east-1.amazonaws.com ",
		},
		{"another path", request("GET", "/abc", ""), 404, "", none},
		{"a path below", request("GET", "/index.htm", ""), 404, "", none},
		{"OPTIONS", request("OPTIONS", "/", ""), 404, "", none},
		{"PUT", request("PUT", "/", ""), 404, "", none},
		{"no content type", request("POST", "/", "hi"), 404, "", none},
		{"another content type", request("POST", "/", "hi", "Content-Type", "whatever"), 404, "", none},
		{"a newer content type", request("POST", "/", "hi", "Content-Type", "application/x-amz-json-1.1"), 404, "", none},
		{"no JSON", request("POST", "/", "hi", "Content-Type", "application/json"), 400, typeJSON, noJSON},
		{
			"no JSON, AWS's",
			request("POST", "/", "hi", "Content-Type", "application/x-amz-json-1.0;x"),
			400,
			typeAmzJSON,
			noJSON,
		},
		{
			"no JSON, spaces",
			request("POST", "/", "hi", "Content-Type", "  application/json  ;   asfd"),
			400,
			typeJSON,
			noJSON,
		},
		{"no target", request("POST", "/", ""), 400, typeJSON, unknown},
		{"target", request("POST", "/", "{}", "Content-Type", typeAmzJSON, target, "whatever"), 400, typeAmzJSON, unknown},
		{"operation", request("POST", "/", "", target, "DynamoDB_20120810.ListTable"), 400, typeJSON, unknown},
		{"operation of streams", request("POST", "/", "", target, "DynamoDB_20120810.ListStreams"), 400, typeJSON, unknown},
		{"no credentials", request("POST", "/", "", target, list), 400, typeJSON, missing},
		{"AWS4", request("POST", "/", "", target, list, "Authorization", "AWS4"), 400, typeJSON, missing},
		{"X", request("POST", "/?X-Amz-Algorith", "", target, list, "Authorization", "X"), 400, typeJSON, missing},
		{
			"query without algorithm",
			request("POST", "/?X-Amz-Credential=a&X-Amz-Signature=b&X-Amz-SignedHeaders=c&X-Amz-Date=d", "", target, list),
			400,
			typeJSON,
			missing,
		},
		{"both", request("POST", "/?X-Amz-Algorithm", "", target, list, "Authorization", "X"), 400, typeJSON,
			`{"__type":"com.amazon.coral.service#InvalidSignatureException",` +
				`"message":"Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."}`},
		{"AWS4-", request("POST", "/", "", target, list, "Authorization", "AWS4-"), 400, typeJSON,
			incomplete("Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' " +
				"parameter. " +
				"Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a " +
				"'X-Amz-Date' or " +
				"a 'Date' header. Authorization=AWS4-")},
		{
			"no SignedHeaders",
			request("POST", "/", "", target, list, "Date", "a", "Authorization", "AWS4- Signature=b, Credential=a"),
			400,
			typeJSON,
			incomplete("Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4- Signature=b, Credential=a"),
		},
		{"empty query", request("POST", "/?X-Amz-Algorithm", "", target, list), 400, typeJSON,
			incomplete("AWS query-string parameters must include 'X-Amz-Algorithm'. AWS query-string parameters must " +
				"include 'X-Amz-Credential'. " +
				"AWS query-string parameters must include 'X-Amz-Signature'. AWS query-string parameters must include " +
				"'X-Amz-SignedHeaders'. " +
				"AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters.")},
		{
			"query without headers",
			request("POST", "/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-Date=d", "", target, list),
			400,
			typeJSON,
			incomplete("AWS query-string parameters must include 'X-Amz-SignedHeaders'. Re-examine the query-string " +
				"parameters."),
		},
		{
			"no body",
			request("POST", "/", "", target, list, "Date", "a", "Authorization",
				"AWS4-HMAC-SHA256 Credential=a,SignedHeaders=b,Signature=c"),
			400,
			typeJSON,
			noJSON,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			res, body := send(t, h, test.req)
			if res.StatusCode != test.status || body != test.want {
				t.Errorf("got %d %s\nwant %d %s", res.StatusCode, body, test.status, test.want)
			}
			if got := res.Header.Get("Content-Type"); got != test.content {
				t.Errorf("Content-Type: got %q; want %q", got, test.content)
			}
			checkFrame(t, res, body)
		})
	}
}

func TestBodyLimit(t *testing.T) {
	h := New(Options{})
	for _, test := range []struct{ length, want int }{
		{maxBodyBytes, http.StatusNotFound}, {maxBodyBytes + 1, http.StatusRequestEntityTooLarge},
	} {
		for _, chunked := range []bool{false, true} {
			req := request("POST", "/", strings.Repeat("a", test.length))
			if chunked {
				req.ContentLength = -1
			}
			res, _ := send(t, h, req)
			if res.StatusCode != test.want {
				t.Errorf("%d bytes, chunked %v: got %d; want %d", test.length, chunked, res.StatusCode, test.want)
			}
			if test.want == http.StatusRequestEntityTooLarge &&
				(len(res.TransferEncoding) != 1 || res.TransferEncoding[0] != "chunked") {
				t.Errorf("Transfer-Encoding: got %v; want chunked", res.TransferEncoding)
			}
		}
	}
}

func TestCORS(t *testing.T) {
	h := New(Options{})
	for _, method := range []string{"OPTIONS", "POST", "GET"} {
		res, _ := send(t, h, request(method, "/", "", "Origin", "https://example.org"))
		if got := res.Header.Get("Access-Control-Allow-Origin"); res.StatusCode != http.StatusForbidden || got != "" {
			t.Errorf("%s from a page where any credentials are taken: got %d, allowing %q; want 403", method, res.StatusCode,
				got)
		}
	}
	testAllowed(t, New(Options{Origins: true}))
	testAllowed(t, New(Options{Keys: map[string]string{"key": "secret"}}))
}

func testAllowed(t *testing.T, h *Handler) {
	t.Helper()
	res, body := send(t, h, request("OPTIONS", "/", "", "Origin", "x",
		"Access-Control-Request-Headers", "a, b, c", "Access-Control-Request-Method", "d"))
	if res.StatusCode != http.StatusOK || body != "" || res.ContentLength != 0 {
		t.Errorf("got %d %q; want 200 and nothing", res.StatusCode, body)
	}
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "a, b, c",
		"Access-Control-Allow-Methods": "d", "Access-Control-Max-Age": "172800",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: got %q; want %q", name, got, want)
		}
	}
	res, _ = send(t, h, request("POST", "/", "", "Origin", "x"))
	if got := res.Header.Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("Access-Control-Allow-Origin: got %q; want *", got)
	}
	if got := res.Header.Get("Access-Control-Expose-Headers"); !strings.Contains(got, "X-Holdfast-Token") {
		t.Errorf("Access-Control-Expose-Headers: got %q; want the token's header among them", got)
	}
}

func TestStats(t *testing.T) {
	h := New(Options{})
	send(t, h, request("POST", "/", ""))
	send(t, h, request("POST", "/", "{}", "Content-Type", typeJSON, "X-Amz-Target", "DynamoDB_20120810.GetItem"))
	got, err := json.Marshal(h.Stats().Requests)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"Operation":"","Result":"refused","N":1},{"Operation":"GetItem","Result":"refused","N":1}]`
	if string(got) != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestTimes(t *testing.T) {
	var c counter
	for _, d := range []time.Duration{0, time.Millisecond, time.Millisecond + 1, time.Minute} {
		c.took(d)
	}
	got := c.timesOf("GetItem")
	at := slices.Index(TimeBounds(), time.Millisecond)
	if got.N != 4 || got.AtMost[0] != 1 || got.AtMost[at] != 2 || got.AtMost[at+1] != 3 ||
		got.AtMost[len(got.AtMost)-1] != 3 ||
		got.Sum != time.Minute+2*time.Millisecond+1 {
		t.Errorf("got %+v", got)
	}
}
