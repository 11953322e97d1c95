package dynamodb

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/item"
)

// seeded returns a source of randomness whose seed a failure prints.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// randomText is valid UTF-8 with quotes, backslashes and control characters.
func randomText(r *rand.Rand) string {
	const runes = "ab\"\\\x00\x1f\x7f é中😀"
	choices := []rune(runes)
	var b strings.Builder
	for range r.IntN(30) {
		if r.IntN(4) == 0 {
			b.WriteRune(choices[r.IntN(len(choices))])
		} else {
			b.WriteByte('x')
		}
	}
	return b.String()
}

func randomBytes(r *rand.Rand) string {
	b := make([]byte, r.IntN(20))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func randomNumber(r *rand.Rand) string {
	return strconv.FormatInt(r.Int64()>>r.IntN(63)-1000, 10) + "." + strconv.Itoa(r.IntN(100))
}

// randomSet has one to four elements, all different.
func randomSet(t *testing.T, r *rand.Rand) item.Value {
	t.Helper()
	kind := [...]item.Type{item.SS, item.NS, item.BS}[r.IntN(3)]
	var elements []string
	for i := range 1 + r.IntN(4) {
		switch n := strconv.Itoa(i); kind {
		case item.NS:
			elements = append(elements, n)
		case item.BS:
			elements = append(elements, randomBytes(r)+n)
		default:
			elements = append(elements, randomText(r)+n)
		}
	}
	v, err := item.SetOf(kind, elements)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// randomValue returns a value with lists and maps nested at most depth levels deep.
func randomValue(t *testing.T, r *rand.Rand, depth int) item.Value {
	t.Helper()
	kinds := 6
	if depth > 0 {
		kinds = 8
	}
	switch r.IntN(kinds) {
	case 0:
		return item.Text(randomText(r))
	case 1:
		v, err := item.Number(randomNumber(r))
		if err != nil {
			t.Fatal(err)
		}
		return v
	case 2:
		return item.Bytes(randomBytes(r))
	case 3:
		return item.Bool(r.IntN(2) == 0)
	case 4:
		return item.Null
	case 5:
		return randomSet(t, r)
	case 6:
		list := make([]item.Value, r.IntN(5))
		for i := range list {
			list[i] = randomValue(t, r, depth-1)
		}
		return item.List(list...)
	}
	return item.Map(randomItem(t, r, depth-1))
}

func randomItem(t *testing.T, r *rand.Rand, depth int) item.Item {
	t.Helper()
	attrs := make([]item.Attr, r.IntN(6))
	for i := range attrs {
		attrs[i] = item.Attr{Name: randomText(r) + strconv.Itoa(i), Value: randomValue(t, r, depth)}
	}
	return item.New(attrs...)
}

// An item that is written as JSON, and parsed, is the same item.
func TestItemsAreParsedAsWritten(t *testing.T) {
	r := seeded(t)
	for range 2000 {
		want := randomItem(t, r, 4)
		w := new(writer)
		w.item(want)
		doc, ok := parse(string(w.buf), 0)
		if !ok {
			t.Fatalf("%s: got no document", w.buf)
		}
		got, err := attributes(doc.root())
		doc.release()
		if err != nil || !got.Equal(want) {
			t.Fatalf("%s: got %v, %v; want %v", w.buf, got, err, want)
		}
	}
}

// Texts of all lengths, with any byte at any place, are parsed as encoding/json parses them. Bytes
// of many kinds stand before and behind, because plainEnd looks at eight at once.
func TestParseLongTexts(t *testing.T) {
	for length := range 48 {
		for at := range length {
			for _, special := range []string{`"`, `\`, `\"`, `\n`, "\x00", "\x1f", " ", "!", "#", "[", "]", "\x7f", "é",
				"\xff", "\x80"} {
				for _, fill := range []string{"x", "!", "\x7f"} {
					inside := strings.Repeat(fill, at) + special + strings.Repeat(fill, length-at)
					compare(t, `"`+inside+`"`)
				}
			}
		}
	}
	r := seeded(t)
	for range 5000 {
		compare(t, `["`+randomText(r)+randomText(r)+`",1]`)
		compare(t, `{"`+strings.Repeat("a", 30)+randomBytes(r)+`":2}`)
	}
}

// Requests that the SDK has signed are accepted, whatever their path, query, headers and body, and
// are refused if a byte of any of them changes.
func TestSignaturesOfRandomRequests(t *testing.T) {
	r := seeded(t)
	for range 300 {
		values := url.Values{}
		// names that begin with each other; SDKs differ about the order of escaped names, and of a name's
		// values
		for _, name := range []string{"q", "q1", "q-x", "q.", "q_", "Q", "qa"} {
			if r.IntN(3) == 0 {
				values.Set(name, randomText(r))
			}
		}
		target := "/" + url.PathEscape(strings.ReplaceAll(randomText(r), "/", "")) + "?" + values.Encode()
		body := randomText(r) + "{}"
		req := httptest.NewRequest(http.MethodPost, target, nil)
		req.Header.Set("X-Amz-Target", "DynamoDB_20120810.ListTables")
		req.Header.Set("Content-Type", typeAmzJSON)
		for i := range r.IntN(4) {
			value := strings.Repeat(" v", 1+r.IntN(3)) + strings.Repeat(" ", r.IntN(3)) + strconv.Itoa(i)
			req.Header.Add(fmt.Sprintf("X-Amz-Meta-%d", i), value)
		}
		signAs(t, req, suiteKey, suiteSecret, body, "us-east-1", suiteTime)
		if err := authenticate(keyed(), received(t, req), body); err != nil {
			t.Fatalf("%s %q %v: got %v; want no error", target, body, req.Header, err)
		}
		changed := []byte(body)
		changed[r.IntN(len(changed))] ^= 1
		if authenticate(keyed(), received(t, req), string(changed)) == nil {
			t.Fatalf("%s: got no error for the body %q instead of %q", target, changed, body)
		}
		req.URL.RawQuery += "&changed=1"
		if authenticate(keyed(), received(t, req), body) == nil {
			t.Fatalf("%s: got no error for another query", target)
		}
	}
}

// mangled changes some bytes of a body, cuts it, or repeats a part of it.
func mangled(r *rand.Rand, body string) string {
	b := []byte(body)
	for range r.IntN(4) {
		switch at := r.IntN(len(b)); r.IntN(4) {
		case 0:
			b[at] = byte(r.Uint32())
		case 1:
			b = b[:at+1]
		case 2:
			b = bytes.Replace(b, b[at:], bytes.Repeat(b[at:], 1+r.IntN(3)), 1)
		default:
			b = append(b, bytes.Repeat([]byte{"{[\",:0 "[r.IntN(7)]}, r.IntN(40<<10))...)
		}
	}
	return string(b)
}

// Random bodies, together more than the memory budget, get the status 200, 400 or 503, never panic,
// and release all memory.
func TestRandomBodiesWithinTheBudget(t *testing.T) {
	h := New(Options{Tables: memoryTables(t), RequestBytes: 4 << 20})
	createTables(t, h)
	address := listening(t, h, nil)
	bodies := []struct{ op, body string }{
		{"GetItem", `{"TableName":"things","Key":{"id":{"S":"a"}}}`},
		{"PutItem", `{"TableName":"things","Item":{"id":{"S":"a"},"t":{"S":"` + strings.Repeat("t", 60<<10) + `"}}}`},
		{"PutItem", `{"TableName":"things","Item":{"id":{"S":"a"},"l":{"L":[` +
			strings.Repeat(`{"N":"1"},`, 3000) + `{"NULL":true}]}}}`},
		{"Query", `{"TableName":"notes","KeyConditionExpression":"id = :i","ExpressionAttributeValues":{":i":{"S":"a"}}}`},
		{"ExecuteStatement", `{"Statement":"SELECT * FROM things WHERE id = ?","Parameters":[{"S":"a"}]}`},
	}
	r := seeded(t)
	var clients sync.WaitGroup
	for range 8 {
		own := rand.New(rand.NewPCG(r.Uint64(), 1))
		clients.Go(func() {
			for range 60 {
				b := bodies[own.IntN(len(bodies))]
				status, err := post(address, b.op, mangled(own, b.body))
				known := status == http.StatusOK || status == http.StatusBadRequest ||
					status == http.StatusServiceUnavailable // over budget for too long
				if err != nil || !known {
					t.Errorf("%s: got %d, %v; want 200, 400 or 503", b.op, status, err)
				}
			}
		})
	}
	clients.Wait()
	eventually(t, "all memory is released", func() bool {
		m := h.memory
		free := m.small.Load() == 0 && m.bodies.TryAcquire(m.bodyBytes)
		if free {
			m.bodies.Release(m.bodyBytes)
		}
		return free
	})
	m := h.memory
	if !m.values.TryAcquire(m.valueBytes) || !m.pages.TryAcquire(m.pageCount) {
		t.Error("got values or pages still taken; want all released")
	}
	if m.byAddr.mu.Lock(); len(m.byAddr.all) != 0 {
		t.Errorf("got shares of %d addresses; want none", len(m.byAddr.all))
	}
	m.byAddr.mu.Unlock()
}

// post sends an operation's body, and returns the response's status.
func post(address, op, body string) (status int, err error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+address, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	signAnything(req, op)
	client := http.Client{Timeout: time.Minute}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// signAnything sets the headers of an operation, with credentials that only a handler without keys
// accepts.
func signAnything(req *http.Request, op string) {
	req.Header.Set("Content-Type", typeAmzJSON)
	req.Header.Set("X-Amz-Target", tablesTarget+"."+op)
	req.Header.Set("X-Amz-Date", suiteTime.Format(isoBasic))
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c")
}
