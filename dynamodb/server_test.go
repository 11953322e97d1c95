package dynamodb

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// patience is the timeout for events that should come soon.
const patience = 20 * time.Second

// A rawConn is a connection on which a test writes arbitrary bytes.
type rawConn struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

func dialRaw(t *testing.T, address string) *rawConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &rawConn{conn, t, bufio.NewReader(conn)}
}

func (c *rawConn) write(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// response reads one response.
func (c *rawConn) response() (*http.Response, string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res, string(body)
}

// ended checks that the server has closed the connection and sent nothing more.
func (c *rawConn) ended() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		c.t.Errorf("got %q, %v; want the end", rest, err)
	}
}

// signedHead are the headers of an operation, with any credentials.
func signedHead(op string) string {
	return "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: " + typeAmzJSON + "\r\nX-Amz-Target: " + tablesTarget + "." + op +
		"\r\nX-Amz-Date: 20261123T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c\r\n"
}

func TestPipelined(t *testing.T) {
	h := served(t)
	createTables(t, h)
	c := dialRaw(t, listening(t, h, nil))
	var all strings.Builder
	for i := range 20 {
		body := fmt.Sprintf(`{"TableName":"things","Item":{"id":{"S":"%d"}}}`, i)
		fmt.Fprintf(&all, "%sContent-Length: %d\r\n\r\n%s", signedHead("PutItem"), len(body), body)
		body = fmt.Sprintf(`{"TableName":"things","Key":{"id":{"S":"%d"}}}`, i)
		fmt.Fprintf(&all, "%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", signedHead("GetItem"), len(body), body)
	}
	c.write(all.String() + "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	for i := range 20 {
		if res, body := c.response(); body != `{}` {
			t.Fatalf("put %d: got %d %s", i, res.StatusCode, body)
		}
		want := fmt.Sprintf(`{"Item":{"id":{"S":"%d"}}}`, i)
		res, body := c.response()
		if body != want {
			t.Fatalf("get %d: got %d %s; want %s", i, res.StatusCode, body, want)
		}
		checkFrame(t, res, body)
	}
	if _, body := c.response(); !strings.HasPrefix(body, "healthy") {
		t.Errorf("got %q; want healthy", body)
	}
	c.ended()
}

func TestChunkedInPieces(t *testing.T) {
	h := served(t)
	createTables(t, h)
	c := dialRaw(t, listening(t, h, nil))
	for range 2 { // the connection stays open
		c.write(signedHead("PutItem") + "Transfer-Encoding: chunked\r\n\r\n")
		for piece := range strings.SplitSeq(`{"TableName":| "things","Item":{"id|":{"S":"a"}}|}`, "|") {
			c.write(fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece))
		}
		c.write("0\r\nX-Amz-Checksum: x\r\n\r\n")
		if res, body := c.response(); body != `{}` {
			t.Errorf("got %d %s; want {}", res.StatusCode, body)
		}
	}
}

func TestExpectContinue(t *testing.T) {
	c := dialRaw(t, listening(t, New(Options{}), nil))
	c.write("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	if res, _ := c.response(); res.StatusCode != http.StatusContinue {
		t.Fatalf("got %d; want 100", res.StatusCode)
	}
	c.write("hi")
	if res, _ := c.response(); res.StatusCode != http.StatusNotFound {
		t.Errorf("got %d; want 404, since it has no content type", res.StatusCode)
	}
	c.write(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
		maxBodyBytes+1))
	if res, _ := c.response(); res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%d bytes: got %d; want 413 before they are sent", maxBodyBytes+1, res.StatusCode)
	}
	c.ended()
}

// A client that reads only after it has written everything must get its 413, and not a reset.
func TestTooLargeIsReadFirst(t *testing.T) {
	address := listening(t, New(Options{}), nil)
	const length = 2*maxBodyBytes + 1
	body := bytes.Repeat([]byte("a"), length)
	for _, head := range []string{fmt.Sprintf("Content-Length: %d\r\n\r\n", length),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", length)} {
		c := dialRaw(t, address)
		c.write("POST / HTTP/1.1\r\nHost: x\r\n" + head)
		if _, err := c.Write(body); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(head, "T") {
			c.write("\r\n0\r\n\r\n")
		}
		res, text := c.response()
		if res.StatusCode != http.StatusRequestEntityTooLarge || text != "" || !res.Close {
			t.Errorf("%q: got %d %q, closing %v; want 413 and the end", head, res.StatusCode, text, res.Close)
		}
		c.ended()
	}
}

// A body that is only announced takes no memory.
func TestAnnouncedBodies(t *testing.T) {
	const connections = 32
	address := listening(t, New(Options{}), nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var all []*rawConn
	for range connections {
		c := dialRaw(t, address)
		c.write(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", maxBodyBytes))
		if res, _ := c.response(); res.StatusCode != http.StatusContinue {
			t.Fatalf("got %d; want 100", res.StatusCode)
		}
		c.write(strings.Repeat("a", 10_000)) // more than fasthttp reads of itself
		all = append(all, c)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > connections<<20 {
		t.Errorf("got %d bytes for %d connections; want less than 1 MiB for each", took, connections)
	}
	for _, c := range all {
		c.Close()
	}
}

func TestNoHTTP(t *testing.T) {
	address := listening(t, New(Options{}), func(s *fasthttp.Server) { s.ReadBufferSize = 4 << 10 })
	for _, test := range []struct {
		name, sent string
		want       int
	}{
		{"garbage", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400},
		{"another protocol", "get key\r\n\r\n", 400},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"a header without a name", "GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", 400},
		{"a length that is none", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
		{"two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
		{"a path that is none", "POST /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"a chunk that is none", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
		{"another coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
		{"a long header", "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 8<<10) + "\r\n\r\n", 431},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dialRaw(t, address)
			c.write(test.sent)
			res, body := c.response()
			if want := fmt.Sprintf("%d %s", test.want, http.StatusText(test.want)); res.StatusCode != test.want ||
				body != want || !res.Close {
				t.Errorf("got %d %q, closing %v; want %q and the end", res.StatusCode, body, res.Close, want)
			}
			if got := res.Header.Get("Server"); got != "" {
				t.Errorf("Server: got %q; want none", got)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	c := dialRaw(t, listening(t, New(Options{}), nil))
	c.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	res, _ := c.response()
	want := "Content-Length Date X-Amz-Crc32 X-Amzn-Requestid"
	var got []string
	for _, name := range strings.Fields(want + " Server Content-Type Connection") {
		if len(res.Header[name]) == 1 {
			got = append(got, name)
		}
	}
	if strings.Join(got, " ") != want || len(res.Header) != len(got) {
		t.Errorf("got %v; want %s", res.Header, want)
	}
}

// An incomplete request gets no response: neither while its client may continue it, nor after its
// timeout.
func TestHalfARequest(t *testing.T) {
	const timeout = 50 * time.Millisecond
	address := listening(t, New(Options{}), func(s *fasthttp.Server) { s.ReadTimeout, s.HeaderReceived = timeout, nil })
	for _, half := range []string{
		"", "POS", "POST / HTTP/1.1\r\nHost: x\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n" + strings.Repeat("x", 9000),
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
	} {
		began := time.Now()
		c := dialRaw(t, address)
		c.write(half)
		c.ended()
		if took := time.Since(began); took < timeout {
			t.Errorf("%q: got the end after %v; want %v or more", half, took, timeout)
		}
	}
}

// A request whose body ends early must not be run.
func TestBodyCutShort(t *testing.T) {
	h := served(t)
	createTables(t, h)
	address := listening(t, h, nil)
	const body = `{"TableName":"things","Item":{"id":{"S":"a"}}}`
	for _, cut := range []string{
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body)+1, body),
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s%s", 10_000, body, strings.Repeat(" ", 9000)),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s", len(body)+1, body),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(body)-1, body[:len(body)-1]),
	} {
		c := dialRaw(t, address)
		c.write(signedHead("PutItem") + cut)
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if res, text := c.response(); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%.40q: got %d %q; want 400", cut, res.StatusCode, text)
		}
	}
	if got := call(t, h, "GetItem", `{"TableName":"things","Key":{"id":{"S":"a"}}}`); got != `{}` {
		t.Errorf("got %s; want no item", got)
	}
}

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	h := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	h.operations[tablesTarget]["Panic"] = operation{"Panic", shapeDescribeLimits,
		func(context.Context, node, *writer) error {
			panic("planted")
		}}
	address := listening(t, h, nil)
	c := dialRaw(t, address)
	c.write(signedHead("Panic") + "Content-Length: 2\r\n\r\n{}")
	res, body := c.response()
	const want = `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError",` +
		`"message":"The request processing has failed because of an unknown error, exception or failure."}`
	if res.StatusCode != http.StatusInternalServerError || body != want || !res.Close {
		t.Errorf("got %d %s, closing %v; want 500 %s and the end", res.StatusCode, body, res.Close, want)
	}
	checkFrame(t, res, body)
	c.ended()
	if text := log.String(); strings.Count(text, "planted") != 1 || !strings.Contains(text, "TestPanic") {
		t.Errorf("got log %s; want the cause once, and the stack", text)
	}
	c = dialRaw(t, address)
	c.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, _ := c.response(); res.StatusCode != http.StatusOK {
		t.Errorf("after it: got %d; want 200", res.StatusCode)
	}
}

// Stop ends waiting operations: here one that would wait forever.
func TestStop(t *testing.T) {
	h := New(Options{})
	waiting := make(chan struct{})
	h.operations[tablesTarget]["Wait"] = operation{"Wait", shapeDescribeLimits,
		func(ctx context.Context, _ node, _ *writer) error {
			close(waiting)
			<-ctx.Done()
			return ctx.Err()
		}}
	h.counters["Wait"] = new(counter)
	c := dialRaw(t, listening(t, h, nil))
	c.write(signedHead("Wait") + "Content-Length: 2\r\n\r\n{}")
	<-waiting
	h.Stop()
	if res, body := c.response(); res.StatusCode != http.StatusInternalServerError || !strings.Contains(body, "canceled") {
		t.Errorf("got %d %s; want 500 and that it was canceled", res.StatusCode, body)
	}
}

func TestLocalAddress(t *testing.T) {
	address := listening(t, New(Options{}), nil)
	c := dialRaw(t, address)
	c.write(signedHead("DescribeEndpoints") + "Content-Length: 2\r\n\r\n{}")
	want := `{"Endpoints":[{"Address":"` + address + `","CachePeriodInMinutes":1440}]}`
	if _, body := c.response(); body != want {
		t.Errorf("got %s; want %s", body, want)
	}
}
