package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"holdfast"
)

// checkReleased waits until a handler's requests have released all memory.
func checkReleased(t *testing.T, h *Handler, after string) {
	t.Helper()
	eventually(t, "after "+after+" all memory is released", func() bool {
		m := h.memory
		if small, bodies, values := taken(t, m); small != 0 || bodies != 0 || values != 0 {
			return false
		}
		if !m.pages.TryAcquire(m.pageCount) {
			return false
		}
		m.pages.Release(m.pageCount)
		m.byAddr.mu.Lock()
		defer m.byAddr.mu.Unlock()
		return len(m.byAddr.all) == 0
	})
}

// withLength returns a request with a Content-Length.
func withLength(op, body string) string {
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", signedHead(op), len(body), body)
}

// inChunks returns a request in chunks of 10,000 bytes, without their end.
func inChunks(op, body string) string {
	text := signedHead(op) + "Transfer-Encoding: chunked\r\n\r\n"
	for body != "" {
		n := min(len(body), 10_000)
		text += fmt.Sprintf("%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return text
}

func encodedAs(encoding, op, body string) string {
	return strings.Replace(withLength(op, body), "Content-Length", "Content-Encoding: "+encoding+"\r\nContent-Length", 1)
}

// Whatever way a request ends, it releases the memory that it took: for a small or large body, for
// its values, for the pages of its response, and of its address's share.
func TestMemoryIsReleasedOnEveryWayOut(t *testing.T) {
	h := New(Options{Tables: memoryTables(t), RequestBytes: 8 << 20})
	createTables(t, h)
	for name, fail := range map[string]func() error{
		"Panic": func() error { panic("planted") },
		"Fail":  func() error { return errors.New("planted") },
	} {
		h.operations[tablesTarget][name] = operation{name, shapeQuery,
			func(context.Context, node, *writer) error { return fail() }}
		h.counters[name] = new(counter)
	}
	long := strings.Repeat("v", 100<<10)
	dense := strings.Repeat(`{"N":"1"},`, 20_000)
	item := `{"TableName":"things","Item":{"id":{"S":"a"},"v":{"S":"` + long + `"}}}`
	values := `{"TableName":"things","Item":{"id":{"S":"b"},"v":{"L":[` + dense + `{"N":"2"}]}}}`
	query := `{"TableName":"notes","KeyConditionExpression":"id = :i","ExpressionAttributeValues":{":i":{"S":"` +
		strings.Repeat("i", 500) + `"}}`
	filter := query + `,"FilterExpression":"v = :i"`
	const gone = 0 // the client closes the connection and reads no response
	for _, c := range []struct {
		name, sent string
		status     int
	}{
		{"a small body", withLength("GetItem", `{"TableName":"things","Key":{"id":{"S":"a"}}}`), 200},
		{"a long body", withLength("PutItem", item), 200},
		{"a chunked body", inChunks("PutItem", item) + "0\r\n\r\n", 200},
		{"an encoded body", encodedAs("gzip", "PutItem", encode(t, "gzip", item)), 200},
		{"many values", withLength("PutItem", values), 200},
		{"pages", withLength("Query", filter+`}`), 200},
		{"JSON that is cut", withLength("PutItem", item[:len(item)-1]), 400},
		{"many values, and no JSON", withLength("PutItem", values[:len(values)-3]), 400},
		{"a wrong type", withLength("PutItem", `{"ReturnValues":1,`+item[1:]), 400},
		{"a missing member", withLength("PutItem", strings.Replace(item, "TableName", "Table", 1)), 400},
		{"no table", withLength("PutItem", strings.Replace(item, "things", "nothing", 1)), 400},
		{"an unknown operation", withLength("PutItems", item), 400},
		{"an error", withLength("Fail", query+`}`), 500},
		{"a panic", withLength("Panic", query+`}`), 500},
		{"a damaged encoding", encodedAs("gzip", "PutItem", encode(t, "gzip", item)[:60]), 500},
		{"an unknown encoding", encodedAs("br", "PutItem", item), 500},
		{"a body that decodes to too much", encodedAs("gzip", "PutItem",
			encode(t, "gzip", strings.Repeat(" ", maxBodyBytes+1))), 413},
		{"a client that leaves in a body", withLength("PutItem", item)[:50_000], gone},
		{"a client that leaves between chunks", inChunks("PutItem", item), gone},
		{"a client that leaves in an encoded body", encodedAs("gzip", "PutItem", encode(t, "gzip", item))[:400], gone},
		{"a client that doesn't read its response", withLength("Query", filter+`}`), gone},
	} {
		conn := dialRaw(t, listening(t, h, nil))
		conn.write(c.sent)
		if c.status == gone {
			conn.Close()
		} else if res, body := conn.response(); res.StatusCode != c.status {
			t.Errorf("%s: got %d %.200s; want %d", c.name, res.StatusCode, body, c.status)
		}
		checkReleased(t, h, c.name)
		conn.Close()
	}
}

// A request beyond each part of the memory waits. It is run when memory is released, and refused
// when the handler stops.
func TestEachPartOfTheMemoryWaits(t *testing.T) {
	item := `{"TableName":"things","Item":{"id":{"S":"a"},"v":{"S":"` + strings.Repeat("v", 50<<10) + `"}}}`
	dense := `{"TableName":"things","Item":{"id":{"S":"a"},"v":{"L":[` + strings.Repeat(`{"N":"1"},`, 5000) + `{"N":"1"}]}}}`
	scan := `{"TableName":"things"}`
	for name, c := range map[string]struct {
		op, body string
		take     func(*memory) (release func())
		begun    func(t *testing.T, m *memory) bool // the request is about to wait
	}{
		"bodies": {"PutItem", item, func(m *memory) func() {
			m.bodies.TryAcquire(m.bodyBytes)
			return func() { m.bodies.Release(m.bodyBytes) }
		}, func(_ *testing.T, m *memory) bool {
			m.byAddr.mu.Lock()
			defer m.byAddr.mu.Unlock()
			return len(m.byAddr.all) == 1
		}},
		"values": {"PutItem", dense, func(m *memory) func() {
			m.values.TryAcquire(m.valueBytes)
			return func() { m.values.Release(m.valueBytes) }
		}, func(t *testing.T, m *memory) bool { _, bodies, _ := taken(t, m); return bodies > 0 }},
		"pages": {"Scan", scan, func(m *memory) func() {
			m.pages.TryAcquire(m.pageCount)
			return func() { m.pages.Release(m.pageCount) }
		}, func(*testing.T, *memory) bool { return true }},
	} {
		for _, stop := range []bool{false, true} {
			h := New(Options{Tables: memoryTables(t)})
			createTables(t, h)
			address := listening(t, h, nil)
			release := c.take(h.memory)
			statuses := make(chan int, 1)
			go func() {
				status, err := post(address, c.op, c.body)
				if err != nil {
					t.Error(err)
				}
				statuses <- status
			}()
			eventually(t, name+": the request has begun", func() bool { return c.begun(t, h.memory) })
			select {
			case status := <-statuses:
				t.Errorf("%s: got %d without memory; want the request to wait", name, status)
				statuses <- status
			default:
			}
			want := http.StatusOK
			if stop {
				h.Stop()
				want = http.StatusServiceUnavailable
			} else {
				release()
			}
			if got := <-statuses; got != want {
				t.Errorf("%s, stopped %v: got %d; want %d", name, stop, got, want)
			}
			if stop {
				release()
			}
			checkReleased(t, h, name)
		}
	}
}

// The requests of an address beyond its share wait for each other, while those of another address
// are run.
func TestShareOfAnAddress(t *testing.T) {
	h := New(Options{Tables: memoryTables(t)})
	createTables(t, h)
	address := listening(t, h, nil)
	m := h.memory
	own := m.byAddr.of("127.0.0.1")
	own.taken.TryAcquire(m.byAddr.most)
	item := `{"TableName":"things","Item":{"id":{"S":"a"},"v":{"S":"` + strings.Repeat("v", 50<<10) + `"}}}`
	statuses := make(chan int, 1)
	go func() {
		status, err := post(address, "PutItem", item)
		if err != nil {
			t.Error(err)
		}
		statuses <- status
	}()
	eventually(t, "the request has begun", func() bool {
		m.byAddr.mu.Lock()
		defer m.byAddr.mu.Unlock()
		return own.users == 2
	})
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	other, err := dialer.Dial("tcp", address)
	if err != nil {
		t.Skipf("no second address: %v", err) // macOS has only 127.0.0.1
	}
	defer other.Close()
	conn := dialRaw(t, address)
	conn.Conn.Close()
	conn.Conn = other
	conn.in.Reset(other)
	conn.write(withLength("PutItem", item))
	if res, body := conn.response(); res.StatusCode != http.StatusOK {
		t.Errorf("another address: got %d %s; want 200", res.StatusCode, body)
	}
	select {
	case status := <-statuses:
		t.Fatalf("got %d beyond the share; want the request to wait", status)
	default:
	}
	own.taken.Release(m.byAddr.most)
	m.byAddr.leave("127.0.0.1")
	if status := <-statuses; status != http.StatusOK {
		t.Errorf("got %d; want 200 once the share is free", status)
	}
	checkReleased(t, h, "both")
}

// Each kind of error has its exception; only errors that should never happen are internal.
func TestEveryKindHasAnException(t *testing.T) {
	want := map[holdfast.Kind]string{
		holdfast.Invalid: "400 ValidationException", holdfast.NotFound: "400 ResourceNotFoundException",
		holdfast.Exists: "400 ResourceInUseException", holdfast.Failed: "400 ConditionalCheckFailedException",
		holdfast.Canceled: "400 TransactionCanceledException", holdfast.Conflict: "400 TransactionConflictException",
		holdfast.Limit: "400 LimitExceededException", holdfast.Overloaded: "400 ProvisionedThroughputExceededException",
		holdfast.Gone: "400 TrimmedDataAccessException", holdfast.Full: "503 ServiceUnavailableException",
		holdfast.Unavailable: "500 InternalServerError", holdfast.Corrupt: "500 InternalServerError",
		holdfast.Closed: "503 ServiceUnavailableException", holdfast.Behind: "503 ServiceUnavailableException",
		holdfast.Lost: "400 TokenLostException", holdfast.NotLeader: "503 ServiceUnavailableException",
		holdfast.Refused: "503 ServiceUnavailableException",
	}
	h := New(Options{})
	var failing error
	h.operations[tablesTarget]["Fail"] = operation{"Fail", shapeDescribeLimits,
		func(context.Context, node, *writer) error { return failing }}
	h.counters["Fail"] = new(counter)
	kinds := 0
	for kind := holdfast.Invalid; !strings.HasPrefix(kind.Error(), "kind "); kind++ {
		kinds++
		failing = fmt.Errorf("while it ran: %w", holdfast.Errorf(kind, "the reason"))
		res, body := send(t, h, request(http.MethodPost, "/", "{}", "Content-Type", typeAmzJSON, "X-Amz-Target",
			tablesTarget+".Fail", "Date", "x", "Authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c"))
		_, typ, _ := strings.Cut(at(t, body, "__type"), "#")
		if got := fmt.Sprint(res.StatusCode, " ", typ); got != want[kind] {
			t.Errorf("%v: got %s; want %s", kind, got, want[kind])
		}
		if shown := strings.Contains(body, "the reason"); shown != (kind != holdfast.Corrupt) {
			t.Errorf("%v: got %s; want the reason unless the error is internal", kind, body)
		}
		checkFrame(t, res, body)
	}
	if kinds != len(want) {
		t.Errorf("got %d kinds; want %d", kinds, len(want))
	}
}
