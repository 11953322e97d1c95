package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// A request over budget waits for memory, and is refused when the handler stops.
func TestMemoryWaits(t *testing.T) {
	m := newMemory(defaultRequestBytes)
	ctx, stop := context.WithCancel(context.Background())
	if err := wait(ctx, m.pages, m.pageCount); err != nil {
		t.Fatal(err)
	}
	entered := make(chan error)
	go func() {
		err := wait(ctx, m.pages, 1)
		if err == nil {
			m.pages.Release(1)
		}
		entered <- err
	}()
	m.pages.Release(m.pageCount)
	if err := <-entered; err != nil {
		t.Errorf("got %v; want the memory that was released", err)
	}
	if err := wait(ctx, m.pages, m.pageCount); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := wait(ctx, m.pages, 1); !errors.Is(err, errNoMemory) {
		t.Errorf("got %v after the stop; want that there is none", err)
	}
}

// taken returns how many bytes the memory's parts have given out.
func taken(t *testing.T, m *memory) (small, bodies, values int64) {
	t.Helper()
	free := func(most int64, try func(int64) bool, release func(int64)) int64 {
		low, high := int64(0), most
		for low < high {
			middle := (low + high + 1) / 2
			if try(middle) {
				release(middle)
				low = middle
			} else {
				high = middle - 1
			}
		}
		return most - low
	}
	return m.small.Load(), free(m.bodyBytes, m.bodies.TryAcquire, m.bodies.Release), free(m.valueBytes,
		m.values.TryAcquire, m.values.Release)
}

func TestHolds(t *testing.T) {
	ended, stop := context.WithCancel(context.Background())
	stop() // so that nothing waits
	const kib, mib = 1 << 10, 1 << 20
	m := newMemory(64 * mib) // 8 for small bodies, 16 for others, 16 for values
	check := func(name string, small, bodies, values int64) {
		t.Helper()
		if s, b, v := taken(t, m); s != small || b != bodies || v != values {
			t.Errorf("%s: got %d, %d and %d taken; want %d, %d and %d", name, s, b, v, small, bodies, values)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	small := hold{m: m}
	must(small.body(ended, kib))
	check("a small body", 4*kib, 0, 0)
	large := hold{m: m, address: "a"}
	must(large.body(ended, mib))
	check("and one of 1 MiB", 4*kib, 2*mib, 0)
	must(large.body(ended, 3*mib))
	check("which has become longer", 4*kib, 6*mib, 0)
	must(large.cells(ended, 10_000, 3*mib))
	check("with values within the memory of its bytes", 4*kib, 6*mib, 0)
	must(large.cells(ended, 100_000, 3*mib))
	check("with more", 4*kib, 6*mib, 100_000*(cellBytes+valueBytes)-3*mib)
	large.release()
	small.release()
	check("at the end", 0, 0, 0)

	first, second, other := hold{m: m, address: "a"}, hold{m: m, address: "a"}, hold{m: m, address: "b"}
	must(first.body(ended, 4*mib))
	if err := second.body(ended, mib); !errors.Is(err, errNoMemory) {
		t.Errorf("beyond an address's share: got %v; want none", err)
	}
	must(other.body(ended, mib))
	check("of two addresses", 0, 10*mib, 0)
	first.prove()
	must(second.body(ended, mib))
	trusted := hold{m: m, address: "a", proven: true}
	must(trusted.body(ended, 2*mib))
	check("all", 0, 16*mib, 0)
	for _, h := range []*hold{&first, &second, &other, &trusted} {
		h.release()
	}
	check("at the end", 0, 0, 0)
	if n := len(m.byAddr.all); n != 0 {
		t.Errorf("got %d addresses; want none", n)
	}
}

// Beyond smallShare of the budget, small bodies are counted like others.
func TestManySmallBodies(t *testing.T) {
	m := newMemory(64 << 20)
	var all []*hold
	for range 256 {
		h := &hold{m: m, proven: true}
		if err := h.body(context.Background(), smallBody); err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}
	if small, bodies, _ := taken(t, m); small != m.most || bodies != 128*bodyFactor*smallBody {
		t.Errorf("got %d and %d; want %d, and the rest", small, bodies, m.most)
	}
	for _, h := range all {
		h.release()
	}
}

func TestCellBytes(t *testing.T) {
	if got := unsafe.Sizeof(cell{}); got != cellBytes {
		t.Errorf("got %d; want %d", got, cellBytes)
	}
}

// Every operation whose response may be large has pages counted for it.
func TestPagesAreOperations(t *testing.T) {
	known := map[string]bool{}
	for _, named := range allOperations() {
		for name := range named {
			known[name] = responsePages(name) > 0
		}
	}
	for _, name := range []string{"Query", "Scan", "BatchGetItem", "TransactGetItems", "GetRecords", "ExecuteStatement"} {
		if !known[name] {
			t.Errorf("%s: got no pages", name)
		}
	}
}

// fullHandler returns a handler with keys whose memory for bodies is used up.
func fullHandler(t *testing.T) *Handler {
	t.Helper()
	h := New(Options{Keys: map[string]string{suiteKey: suiteSecret}, Now: func() time.Time { return suiteTime }})
	h.memory.small.Store(h.memory.most)
	if !h.memory.bodies.TryAcquire(h.memory.bodyBytes) {
		t.Fatal("got no memory; want all")
	}
	return h
}

// A request that is unsigned, or signed by an unknown key, is refused for its header: its body
// takes no memory from the budget.
func TestUnauthenticatedBodiesAreNotHeld(t *testing.T) {
	h := fullHandler(t)
	const scope = "/20150830/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-target;x-amz-date, Signature=" +
		"0000000000000000000000000000000000000000000000000000000000000000"
	for _, test := range []struct{ name, target, authorization, date, want string }{
		{"nothing", "PutItem", "", "", "MissingAuthenticationToken"},
		{"another scheme", "PutItem", "Basic x", "", "MissingAuthenticationToken"},
		{"half of it", "PutItem", "AWS4-HMAC-SHA256 Credential=x", "20150830T123600Z", "IncompleteSignature"},
		{"unknown key", "PutItem", "AWS4-HMAC-SHA256 Credential=x" + scope, "20150830T123600Z", "UnrecognizedClient"},
		{"long ago", "PutItem", "AWS4-HMAC-SHA256 Credential=" + suiteKey + scope, "20140830T123600Z", "InvalidSignature"},
		{"operation", "PutItems", "AWS4-HMAC-SHA256 Credential=" + suiteKey + scope, "20150830T123600Z", "UnknownOperation"},
	} {
		for _, length := range []int{100, smallBody + 1, 1 << 20} {
			req := request("POST", "/", strings.Repeat("x", length), "Content-Type", typeAmzJSON, "X-Amz-Target",
				tablesTarget+"."+test.target)
			if test.authorization != "" {
				req.Header.Set("Authorization", test.authorization)
				req.Header.Set("X-Amz-Date", test.date)
			}
			res, body := send(t, h, req)
			if res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "#"+test.want+"Exception") {
				t.Fatalf("%s, %d bytes: got %d %s; want %s", test.name, length, res.StatusCode, body, test.want)
			}
		}
	}
}

// If the header has the body's hash, the signature is checked before the body is read.
func TestSignatureOfADeclaredSum(t *testing.T) {
	declared := func(sumOf, signed, body string) *http.Request {
		req := request("POST", "/", body, "Content-Type", typeAmzJSON, "X-Amz-Target", tablesTarget+".DescribeLimits",
			"X-Amz-Content-Sha256", hexSHA256(sumOf))
		signAs(t, req, suiteKey, suiteSecret, signed, "us-east-1", suiteTime)
		return req
	}
	res, body := send(t, fullHandler(t), declared("{}", "{ }", "{}"))
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "InvalidSignature") {
		t.Errorf("a wrong signature: got %d %s; want it refused without its body", res.StatusCode, body)
	}
	h := New(Options{Keys: map[string]string{suiteKey: suiteSecret}, Now: func() time.Time { return suiteTime }})
	if res, body := send(t, h, declared("{}", "{}", "{}")); res.StatusCode != http.StatusOK {
		t.Errorf("a right one: got %d %s; want 200", res.StatusCode, body)
	}
	if res, body := send(t, h, declared("{}", "{}", "[]")); res.StatusCode != http.StatusBadRequest ||
		!strings.Contains(body, "InvalidSignature") {
		t.Errorf("another body: got %d %s; want it refused", res.StatusCode, body)
	}
}

// A client that sends Expect: 100-continue gets the error instead of a 100.
func TestExpectUnauthenticated(t *testing.T) {
	c := dialRaw(t, listening(t, fullHandler(t), nil))
	c.write(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nX-Amz-Target: %s.PutItem\r\nExpect: "+
		"100-continue\r\nContent-Length: %d\r\n\r\n",
		typeAmzJSON, tablesTarget, 1<<20))
	res, body := c.response()
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "MissingAuthenticationToken") {
		t.Errorf("got %d %s; want 400 before the body is sent", res.StatusCode, body)
	}
	c.ended()
}

// A body with too many values is refused before they are allocated, and an item that is too large
// as soon as that is known.
func TestDenseBodies(t *testing.T) {
	h := served(t)
	createTables(t, h)
	for _, test := range []struct{ name, body, want string }{
		{
			"lists",
			`{"TableName":"things","Item":{"id":{"S":"a"},"v":{"L":[` + strings.Repeat("[],", maxCells) + `[]]}}}`,
			"more than 2097152 values",
		},
		{
			"empty texts",
			`{"TableName":"things","Item":{"id":{"S":"a"},"v":{"L":[` + strings.Repeat(`{"S":""},`, 500_000) + `{"S":""}]}}}`,
			"Item size has exceeded",
		},
		{
			"commas in a text",
			`{"TableName":"things","Item":{"id":{"S":"a"},"v":{"S":"` + strings.Repeat(`,`, maxCells+1) + `"}}}`,
			"Item size has exceeded",
		},
		{
			"escapes",
			`{"TableName":"things","Item":{"id":{"S":"a"},"v":{"S":"` + strings.Repeat(`\",`, maxCells+1) + `"}}}`,
			"Item size has exceeded",
		},
		{
			"attributes",
			`{"TableName":"things","Item":{"id":{"S":"a"}` + manyAttributes(100_000) + `}}`,
			"Item size has exceeded",
		},
	} {
		for _, op := range []string{"PutItem", "TransactWriteItems", "BatchWriteItem"} {
			body := test.body
			switch op {
			case "TransactWriteItems":
				body = `{"TransactItems":[{"Put":` + body + `}]}`
			case "BatchWriteItem":
				_, item, _ := strings.Cut(body, `"Item"`)
				body = `{"RequestItems":{"things":[{"PutRequest":{"Item"` + item + `}]}}`
			}
			if got := raw(t, h, op, body); !strings.Contains(got, test.want) {
				t.Errorf("%s, %s: got %.200s; want %s", op, test.name, got, test.want)
			}
		}
	}
}

// manyAttributes returns n attributes of 10 bytes each.
func manyAttributes(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, `,"%09d":{"S":"x"}`, i)
	}
	return s.String()
}

// parse finds as many values as countCells.
func TestCountCells(t *testing.T) {
	for _, s := range []string{
		`1`, `[]`, `{}`, `[1]`, `[1,2,[3,4],{"a":5,"b,[":"[,{\""}]`, `{"a\\":[{},[],"\\\""]}`, ` [ 1 , 2 ] `,
	} {
		doc, ok := parse(s, 0)
		if !ok {
			t.Fatalf("%s: got no document", s)
		}
		if got, least := countCells(s), len(doc.cells); got < least ||
			got > least+strings.Count(s, "[]")+strings.Count(s, "{}") {
			t.Errorf("%s: got %d; want %d, and one for each empty container at most", s, got, least)
		}
		doc.release()
	}
	for _, s := range []string{`"`, `"\`, `["a`, ``} {
		if got := countCells(s); got > 2 {
			t.Errorf("%s: got %d", s, got)
		}
	}
}

// allOperations returns all operations, without tables.
func allOperations() map[string]map[string]operation {
	return operations(nil, account{}, time.Now, slog.New(slog.DiscardHandler))
}
