package transfer

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
)

// users returns n items as lines of JSON.
func users(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"Item":{"id":{"S":"u%03d"},"n":{"N":"%d"}}}`+"\n", i, i)
	}
	return b.String()
}

// sortedLines sorts the lines of a text after the first keep lines.
func sortedLines(s string, keep int) string {
	lines := strings.SplitAfter(s, "\n")
	slices.Sort(lines[keep:])
	return strings.Join(lines, "")
}

func imported(t *testing.T, c *Client, text string, o ImportOptions) {
	t.Helper()
	if _, err := c.Import(context.Background(), "users", strings.NewReader(text), o); err != nil {
		t.Fatal(err)
	}
}

func exported(t *testing.T, c *Client, o ExportOptions) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := c.Export(context.Background(), "users", &out, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTables(t *testing.T) {
	_, c := newFake(t)
	names, err := c.Tables(context.Background())
	if got, want := fmt.Sprint(names, err), "[a b users] <nil>"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	_, err = c.Describe(context.Background(), "none")
	if !errors.Is(err, holdfast.NotFound) || err.Error() != "ResourceNotFoundException: Requested resource not found" {
		t.Errorf("got %v; want it not found", err)
	}
}

func TestJSONRoundTrip(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		f, c := newFake(t)
		f.busy, f.leave = 3, 2
		want := users(130)
		imported(t, c, want+"\n\n", ImportOptions{})
		var progress int64
		got := exported(t, c,
			ExportOptions{Segments: 3, Compressed: compressed, Progress: func(items, of int64) { progress = items }})
		if progress != 130 {
			t.Errorf("got progress to %d; want 130", progress)
		}
		if compressed {
			z, err := gzip.NewReader(strings.NewReader(got))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			imported(t, c, got, ImportOptions{}) // gzip is detected
			got = string(plain)
		}
		if got = sortedLines(got, 0); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestCSVRoundTrip(t *testing.T) {
	_, c := newFake(t)
	imported(t, c, `{"Item":{"id":{"S":"a,\"b\""},"n":{"N":"1.5"},"x":{"S":""},"y":{"BOOL":true},"l":{"L":[{"S":"é"}]}}}
{"Item":{"id":{"S":"b"},"x":{"N":"2"},"y":{"NULL":true},"s":{"SS":["p","q"]},"b":{"B":"AQI="}}}
{"Item":{"id":{"S":"c"},"x":{"S":"a\r\nb\\"}}}
{"Item":{"id":{"S":"d"},"x":{"S":"\\d"}}}
`, ImportOptions{})
	first := exported(t, c, ExportOptions{})
	text := exported(t, c, ExportOptions{Format: CSV, Segments: 1})
	want := `id:S,b:B,l:L,n:N,s:SS,x:N,x:S,y:BOOL,y:NULL
"a,""b""",,"[{""S"":""é""}]",1.5,,,"\""""",true,
b,AQI=,,,"[""p"",""q""]",2,,,null
c,,,,,,"\""a\r\nb\\""",,
d,,,,,,"\""\\d""",,
`
	if got := sortedLines(text, 1); got != sortedLines(want, 1) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	_, again := newFake(t)
	imported(t, again, text, ImportOptions{Format: CSV})
	if got := exported(t, again, ExportOptions{}); sortedLines(got, 0) != sortedLines(first, 0) {
		t.Errorf("got\n%s\nwant\n%s", got, first)
	}
}

func TestForeignCSV(t *testing.T) {
	_, c := newFake(t)
	imported(t, c, "\ufeffid,age,admin,note\r\n7,41,TRUE,\\o/\r\n8,,false,\"two\nlines\"\r\n",
		ImportOptions{Format: CSV, Types: map[string]string{"age": "N", "admin": "BOOL"}})
	want := `{"Item":{"admin":{"BOOL":false},"id":{"S":"8"},"note":{"S":"two\nlines"}}}
{"Item":{"admin":{"BOOL":true},"age":{"N":"41"},"id":{"S":"7"},"note":{"S":"\\o/"}}}
`
	if got := sortedLines(exported(t, c, ExportOptions{}), 0); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWrongLines(t *testing.T) {
	for _, test := range []struct {
		text    string
		options ImportOptions
		want    string
		items   int64
		next    int64
	}{
		{users(30) + "{]\n", ImportOptions{}, "line 31: isn't JSON: ", 30, 31},
		{users(3) + `{"Keys":{}}`, ImportOptions{}, `line 4: has no item: want {"Item":{…}}`, 3, 4},
		{"", ImportOptions{Format: CSV}, "no header: want a first line with the names of the columns", 0, 1},
		{"id,n:N,b:B\na,1,AQ==\nb,2,=\n", ImportOptions{Format: CSV}, "line 3: column b: isn't base64", 1, 3},
		{"id,b:B\n\"two\nlines\",AQ==\n\"three\n\nlines\",=\n", ImportOptions{Format: CSV},
			"line 4: column b: isn't base64", 1, 4},
		{"id,y:BOOL\na,yes\n", ImportOptions{Format: CSV}, `line 2: column y: "yes" is neither true nor false`, 0, 2},
		{"id,n\na,1,2\n", ImportOptions{Format: CSV}, "line 2: wrong number of fields", 0, 2},
		{"id,n\n", ImportOptions{Format: CSV, Types: map[string]string{"m": "N"}},
			`there is a type for "m", but no such column`, 0, 1},
		{`"\""a:S",id` + "\n", ImportOptions{Format: CSV},
			`column "\\\"a:S": a name that begins with \" must continue as JSON`, 0, 1},
		{"id,id\n", ImportOptions{Format: CSV}, `column "id" is there twice`, 0, 1},
		{"id:S,id:N\na,1\n", ImportOptions{Format: CSV}, "line 2: column id has values of two types", 0, 2},
		{"", ImportOptions{Types: map[string]string{"m": "N"}}, "types are for CSV: JSON has its own", 0, 1},
		{users(60) + `{"Item":{}}`, ImportOptions{Connections: 1, FromLine: 40}, "line 61: ValidationException: no ", 21, 61},
	} {
		_, c := newFake(t)
		done, err := c.Import(context.Background(), "users", strings.NewReader(test.text), test.options)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("got %v; want %s", err, test.want)
		}
		if done.Items != test.items && test.next != 61 || done.Next > test.next || done.Next < test.next-batchItems {
			t.Errorf("%s: got %+v; want %d items, and to resume at line %d", test.want, done, test.items, test.next)
		}
	}
}

// If an item of a batch is refused, the items before it are written, and the error names its line.
func TestRefusedItem(t *testing.T) {
	f, c := newFake(t)
	f.refuse[`{"S":"u007"}`] = true
	done, err := c.Import(context.Background(), "users", strings.NewReader(users(20)), ImportOptions{Connections: 1})
	var line *LineError
	var fault *ServerError
	if !errors.As(err, &line) || line.Line != 8 || !errors.As(err, &fault) || !errors.Is(err, holdfast.Invalid) {
		t.Errorf("got %v; want the server's error of line 8", err)
	}
	if done.Next != 1 || done.Items != 7 || len(f.items) != 7 {
		t.Errorf("got %+v and %d items; want to resume at line 1, and 7", done, len(f.items))
	}
	delete(f.refuse, `{"S":"u007"}`)
	if done, err := c.Import(context.Background(), "users", strings.NewReader(users(20)),
		ImportOptions{FromLine: 8}); err != nil || done.Items != 13 || done.Next != 0 {
		t.Errorf("got %+v, %v; want 13 items", done, err)
	}
	if len(f.items) != 20 {
		t.Errorf("got %d items; want 20", len(f.items))
	}
}

func TestLaterLineWins(t *testing.T) {
	_, c := newFake(t)
	imported(t, c, "id,n:N\na,1\nb,1\na,2\n", ImportOptions{Format: CSV})
	want := `{"Item":{"id":{"S":"a"},"n":{"N":"2"}}}` + "\n" + `{"Item":{"id":{"S":"b"},"n":{"N":"1"}}}` + "\n"
	if got := sortedLines(exported(t, c, ExportOptions{}), 0); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBusyServer(t *testing.T) {
	f, c := newFake(t)
	f.busy = 1000
	_, err := c.Import(context.Background(), "users", strings.NewReader(users(3)), ImportOptions{})
	if !errors.Is(err, holdfast.Overloaded) || f.requests["BatchWriteItem"] != 4 {
		t.Errorf("got %v after %d requests; want it overloaded after 4", err, f.requests["BatchWriteItem"])
	}
	f.busy, f.leave = 0, 1000
	if _, err := c.Import(context.Background(), "users", strings.NewReader(users(1)), ImportOptions{}); err == nil ||
		!strings.HasPrefix(err.Error(), "line 1: the server left 1 items unwritten") {
		t.Errorf("got %v; want an item unwritten", err)
	}
}

func TestInterrupted(t *testing.T) {
	_, c := newFake(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Export(ctx, "users", io.Discard, ExportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want it canceled", err)
	}
}

// The expected signature is botocore's for the same request at the same time.
func TestSignature(t *testing.T) {
	f, c := newFake(t)
	c.options.SessionToken = "token"
	c.options.Now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	if _, err := c.Tables(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := f.headers.Get("Authorization")
	want := "AWS4-HMAC-SHA256 Credential=a/20260102/us-east-1/dynamodb/aws4_request, " +
		"SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature="
	if !strings.HasPrefix(got, want) || len(got) != len(want)+64 {
		t.Errorf("got %s; want %s…", got, want)
	}
	request, err := http.NewRequest(http.MethodPost, "http://localhost:8000", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "DynamoDB_20120810.ListTables")
	c.options.SessionToken = ""
	if err := c.sign(t.Context(), request, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	const signature = "Signature=14ed376fb2105181659c2a2a49685fdf169f024338b8de8d5787d0fcd0bd012e"
	if got := request.Header.Get("Authorization"); !strings.HasSuffix(got, signature) {
		t.Errorf("got %s; want %s at its end", got, signature)
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, ok := range map[string]bool{"127.0.0.1:8000": true, "https://dynamodb.eu-west-1.amazonaws.com": true,
		"": false, "ftp://x": false, "http://": false} {
		if _, err := NewClient(Options{Endpoint: endpoint}); (err == nil) != ok {
			t.Errorf("%q: got %v; want ok %v", endpoint, err, ok)
		}
	}
}

func FuzzCell(f *testing.F) {
	for _, s := range []string{"", "a", `\`, "\r\n", `"`, "é", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		inner := quoted(s) // bytes that aren't UTF-8 are replaced
		text, err := cell("S", inner)
		if err != nil || text == "" {
			t.Fatalf("%q: got %q, %v; want a cell", s, text, err)
		}
		back, err := value("S", text, true)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		var want string
		if err := errors.Join(json.Unmarshal(back, &got), json.Unmarshal(inner, &want)); err != nil || got["S"] != want {
			t.Errorf("%q: got %q, %v; want the same back", s, got, err)
		}
	})
}
