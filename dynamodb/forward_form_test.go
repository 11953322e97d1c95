package dynamodb

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"holdfast"
	"holdfast/rpc"
)

// Frames between nodes hold the longest request and response, and a request is never longer.
func TestForwardedFitIntoFrames(t *testing.T) {
	if MaxForwarded > rpc.MaxBody {
		t.Errorf("got %d bytes; a frame has at most %d", MaxForwarded, rpc.MaxBody)
	}
	longest := 0
	for _, named := range allOperations() {
		for name := range named {
			longest = max(longest, len(name))
		}
	}
	const longAddress = 300
	n := requestHead + longest + 2*holdfast.MaxTokenBytes + longAddress + maxBodyBytes
	if n > MaxForwarded || longest > 255 {
		t.Errorf("got %d bytes, and names of %d; want at most %d and 255", n, longest, MaxForwarded)
	}
}

// The bytes are those of docs/formats.md.
func TestFormOfForwarded(t *testing.T) {
	q := task{op: operation{name: "GetItem"}, seen: sent{token: "1"}, local: address("a:1"), body: "{}"}
	q.seen.kept = "1"
	const want = "01" + "07" + "0100" + "0300" + "0100" + "4765744974656d" + "31" + "613a31" + "31" + "7b7d"
	if got := hex.EncodeToString(q.request()); got != want {
		t.Errorf("request: got %s; want %s", got, want)
	}
	a := answer{status: 400, token: "1", typ: "#E", body: []byte("{}")}
	const answered = "01" + "00" + "9001" + "0100" + "0200" + "02000000" + "31" + "2345" + "7b7d"
	if got, err := a.response(); err != nil || hex.EncodeToString(got) != answered {
		t.Errorf("response: got %x, %v; want %s", got, err, answered)
	}
}

// What is parsed is what was sent, and what was cut anywhere is damaged, or has a shorter body.
func TestForwardedArrive(t *testing.T) {
	r := seeded(t)
	for range 200 {
		q := task{op: operation{name: randomText(r)}, body: randomText(r)}
		q.seen = sent{token: randomText(r), kept: randomText(r)}
		want := forwarded{op: q.op.name, seen: q.seen, body: q.body}
		if r.IntN(2) == 0 {
			q.local, want.local = address("127.0.0.1:8000"), "127.0.0.1:8000"
		}
		b := q.request()
		if got, err := parseForwarded(b); err != nil || got != want {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
		for n := range b {
			got, err := parseForwarded(b[:n])
			if err == nil {
				got.body = want.body
			}
			if n < len(b)-len(q.body) && !errors.Is(err, holdfast.Invalid) || err == nil && got != want {
				t.Fatalf("the first %d bytes: got %+v, %v; want that they are damaged", n, got, err)
			}
		}
		a := answer{status: 200 + r.IntN(400), token: randomText(r), typ: randomText(r), body: []byte(randomText(r))}
		if (a.status == http.StatusOK) != (a.typ == "") {
			continue
		}
		sent, err := a.response()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseAnswer(sent); err != nil || !reflect.DeepEqual(got, a) {
			t.Fatalf("got %+v, %v; want %+v", got, err, a)
		}
		for n := range sent {
			if got, err := parseAnswer(sent[:n]); !errors.Is(err, holdfast.Unavailable) {
				t.Fatalf("the first %d bytes: got %+v, %v; want that they are damaged", n, got, err)
			}
		}
	}
}

func TestDamagedForwarded(t *testing.T) {
	q := task{op: operation{name: "GetItem"}, seen: sent{token: "1"}, local: address("a:1"), body: "{}"}
	for _, at := range []int{0, 3, 5, 7} {
		b := q.request()
		b[at] += 2
		if _, err := parseForwarded(b); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("a request with another byte %d: got %v; want that it is damaged", at, err)
		}
	}
	q.body = strings.Repeat(" ", maxBodyBytes+1)
	if _, err := parseForwarded(q.request()); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a request that no client could have sent: got %v; want it refused", err)
	}
	plain := answer{status: 200, body: []byte(strings.Repeat("a", MaxForwarded))}
	zipped, err := plain.response()
	if err != nil || zipped[1] != bodyGzip || len(zipped) > MaxForwarded/10 {
		t.Fatalf("got %d bytes, %v; want it compressed", len(zipped), err)
	}
	a := answer{status: 200, body: []byte(`{"a":1}`)}
	short, err := a.response()
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(b []byte) []byte{
		"version":    func(b []byte) []byte { b[0] = 2; return b },
		"form":       func(b []byte) []byte { b[1] = 2; return b },
		"compressed": func(b []byte) []byte { b[1] ^= 1; return b },
		"status 0":   func(b []byte) []byte { b[2], b[3] = 0, 0; return b },
		"an error's": func(b []byte) []byte { b[2], b[3] = 0x90, 1; return b },
		"600":        func(b []byte) []byte { b[2], b[3] = 0x58, 2; return b },
		"longer":     func(b []byte) []byte { b[8]++; return b },
		"shorter":    func(b []byte) []byte { b[8]--; return b },
		"far longer": func(b []byte) []byte { b[11] = 255; return b },
		"cut":        func(b []byte) []byte { return b[:len(b)-1] },
	} {
		for _, sent := range [][]byte{short, zipped} {
			if got, err := parseAnswer(damage(bytes.Clone(sent))); !errors.Is(err, holdfast.Unavailable) {
				t.Errorf("%s: got a response of %d bytes, %v; want that it is damaged", name, len(got.body), err)
			}
		}
	}
}

// A response that compression doesn't make short enough isn't sent.
func TestResponseTooLongToForward(t *testing.T) {
	body := make([]byte, MaxForwarded+1)
	r := rand.NewChaCha8([32]byte{})
	if _, err := r.Read(body); err != nil {
		t.Fatal(err)
	}
	a := answer{status: 200, body: body}
	if got, err := a.response(); !errors.Is(err, holdfast.Limit) {
		t.Errorf("got %d bytes, %v; want that it is too long", len(got), err)
	}
}

// The leading node checks again what another node has checked.
func TestAnswerChecksRequests(t *testing.T) {
	_, leader, _ := twoNodes(t, Options{})
	createTables(t, leader)
	for _, test := range []struct{ op, body, token, want string }{
		{"GetItem", getThing, "", "200 {}"},
		{"GetItem", ``, "", "400 SerializationException"},
		{"GetItem", `[]`, "", "400 SerializationException"},
		{"GetItem", `{`, "", "400 SerializationException"},
		{"GetItem", `{}`, "", "400 ValidationException"},
		{"GetItem", strings.Replace(getThing, "things", "arn:aws:dynamodb:us-east-1:1:table/things", 1), "",
			"400 AccessDeniedException"},
		{"GetItem", `[` + strings.Repeat(`0,`, maxCells) + `0]`, "", "400 ValidationException"},
		{"GetItem", getThing, "x", "400 ValidationException"},
		{"GetItems", getThing, "", "400 UnknownOperationException"},
		{"", getThing, "", "400 UnknownOperationException"},
	} {
		q := task{op: operation{name: test.op}, body: test.body, seen: sent{token: test.token}}
		sent, err := leader.Answer(t.Context(), q.request())
		if err != nil {
			t.Errorf("%s %.100s: %v", test.op, test.body, err)
			continue
		}
		a, err := parseAnswer(sent)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%d %s", a.status, a.body)
		if _, name, failed := strings.Cut(a.typ, "#"); failed {
			got = fmt.Sprintf("%d %s", a.status, name)
		}
		if got != test.want {
			t.Errorf("%s %.100s: got %s; want %s", test.op, test.body, got, test.want)
		}
	}
	if _, err := leader.Answer(t.Context(), []byte("damaged")); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("got %v; want that it isn't a request", err)
	}
	checkReleased(t, leader, "all")
}

// A compressed response that is damaged is no empty one, whatever length it is said to have.
func TestDamagedCompressedAnswers(t *testing.T) {
	head := []byte{forwardVersion, bodyGzip, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	empty := (&writer{}).compressed()
	if a, err := parseAnswer(append(head, empty.buf...)); err != nil || len(a.body) != 0 {
		t.Errorf("an empty one: got %q, %v; want it empty", a.body, err)
	}
	for name, body := range map[string][]byte{
		"none": nil, "no gzip": []byte("damaged"), "cut short": empty.buf[:len(empty.buf)-5],
		"longer": (&writer{buf: []byte("{}")}).compressed().buf,
	} {
		if a, err := parseAnswer(append(head, body...)); !errors.Is(err, holdfast.Unavailable) {
			t.Errorf("%s: got %+v, %v; want that it is damaged", name, a, err)
		}
	}
}

// FuzzAnswer gives a node anything for a forwarded request: it is answered with JSON, or refused.
func FuzzAnswer(f *testing.F) {
	_, leader, _ := twoNodes(f, Options{})
	createTables(f, leader)
	for _, op := range []string{"GetItem", "PutItem", "Query", "ListStreams", "none"} {
		q := task{op: operation{name: op}, body: getThing, seen: sent{token: "1"}, local: address("127.0.0.1:8000")}
		f.Add(q.request())
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, request []byte) {
		sent, err := leader.Answer(t.Context(), bytes.Clone(request))
		if err != nil {
			if !errors.Is(err, holdfast.Invalid) || sent != nil {
				t.Errorf("got %q, %v; want no answer, or that the request is damaged", sent, err)
			}
			return
		}
		a, err := parseAnswer(sent)
		if err != nil {
			t.Fatal(err)
		}
		doc, ok := parse(string(a.body), 0)
		if !ok || a.status >= http.StatusInternalServerError {
			t.Fatalf("%q: got %d %s; want JSON, and no internal error", request, a.status, a.body)
		}
		doc.release()
	})
}

// FuzzParseAnswer gives a node anything for the response to a request that it has forwarded.
func FuzzParseAnswer(f *testing.F) {
	for _, a := range []answer{
		{status: 200, body: []byte("{}")}, {status: 400, typ: "#E", token: "1", body: []byte(`{"__type":"#E"}`)},
	} {
		sent, err := a.response()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sent)
	}
	zipped := (&writer{buf: []byte("{}")}).compressed()
	f.Add(append([]byte{forwardVersion, bodyGzip, 200, 0, 0, 0, 0, 0, 2, 0, 0, 0}, zipped.buf...))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAnswer(b)
		if err == nil && (a.status == http.StatusOK) != (a.typ == "") || err != nil && a.body != nil {
			t.Errorf("got %+v, %v; want an error's type, or a response", a, err)
		}
	})
}
