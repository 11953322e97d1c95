package transfer

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"holdfast"
)

// A generator makes items of all types, with texts that CSV, JSON or a spreadsheet could change.
type generator struct{ *rand.Rand }

func newGenerator(t *testing.T) generator {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return generator{rand.New(rand.NewPCG(seed, 0))}
}

var awkward = []string{
	"", " ", "a", `\`, `\"a"`, `"`, `""`, ",", ";", "\n", "\r", "\r\n", "\r\r\n", "\t", "null", "true", "1e3", "é",
	"\u2028", "日本", "{}", "[",
	"\x00", "\x1b[0m", "=1+1", "\ufeff", `\.`, "#", "'", "a:N", strings.Repeat("long ", 50),
}

func (g generator) text() string {
	var s strings.Builder
	for range g.IntN(4) {
		s.WriteString(awkward[g.IntN(len(awkward))])
	}
	return s.String()
}

func (g generator) number() string { return fmt.Sprint(g.IntN(2001) - 1000) }

func (g generator) binary() string {
	b := make([]byte, g.IntN(5))
	for i := range b {
		b[i] = byte(g.IntN(256))
	}
	return base64.StdEncoding.EncodeToString(b)
}

// list returns one to five results of make.
func list[T any](g generator, make func() T) []T {
	all := []T{make()}
	for range g.IntN(4) {
		all = append(all, make())
	}
	return all
}

// value returns a value in the API's form, whose lists and maps are at most nested levels deep.
func (g generator) value(nested int) map[string]any {
	kind := types[g.IntN(len(types))]
	if nested == 0 {
		kind = types[g.IntN(5)]
	}
	var v any
	switch kind {
	case "S":
		v = g.text()
	case "N":
		v = g.number()
	case "B":
		v = g.binary()
	case "BOOL":
		v = g.IntN(2) == 0
	case "NULL":
		v = true
	case "SS":
		v = list(g, g.text)
	case "NS":
		v = list(g, g.number)
	case "BS":
		v = list(g, g.binary)
	case "L":
		v = list(g, func() any { return g.value(nested - 1) })[g.IntN(2):] // may be empty
	case "M":
		m := map[string]any{}
		for range g.IntN(4) {
			m[g.text()] = g.value(nested - 1)
		}
		v = m
	}
	return map[string]any{kind: v}
}

// items returns n items with different keys.
func (g generator) items(n int) []item {
	names := []string{"n", "a,b", `"q"`, "two\nlines", "a:N", "x:y:S", "é", " ", "\ufeffbom", "data",
		"two\r\nlines", "cr\r", `\"`, `\"a"`, `\`, `\a`}
	all := make([]item, n)
	for i := range all {
		it := map[string]any{"id": map[string]any{"S": fmt.Sprint(g.text(), i)}}
		for range g.IntN(5) {
			it[names[g.IntN(len(names))]] = g.value(2)
		}
		text, err := json.Marshal(it)
		if err != nil {
			panic(err)
		}
		if err := json.Unmarshal(text, &all[i]); err != nil {
			panic(err)
		}
	}
	return all
}

// asLines returns the items as a file of JSON.
func asLines(items []item) string {
	var s strings.Builder
	for _, it := range items {
		text, err := json.Marshal(map[string]item{"Item": it})
		if err != nil {
			panic(err)
		}
		s.Write(append(text, '\n'))
	}
	return s.String()
}

// same compares items by the values of their JSON, not by its bytes.
func same(t *testing.T, what string, got, want map[string]item) {
	t.Helper()
	plain := func(it item) (v any) {
		text, err := json.Marshal(it)
		if err == nil {
			err = json.Unmarshal(text, &v)
		}
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if len(got) != len(want) {
		t.Errorf("%s: got %d items; want %d", what, len(got), len(want))
	}
	for id, it := range want {
		if !reflect.DeepEqual(plain(got[id]), plain(it)) {
			t.Errorf("%s: got %s; want %s", what, asLines([]item{got[id]}), asLines([]item{it}))
			return
		}
	}
}

// TestRandomItemsRoundTrip exports a server's items in each format and imports them into another
// server, which must then hold the same items.
func TestRandomItemsRoundTrip(t *testing.T) {
	g := newGenerator(t)
	for range 30 {
		from, c := newFake(t)
		imported(t, c, asLines(g.items(1+g.IntN(60))), ImportOptions{Connections: 1 + g.IntN(3)})
		for _, o := range []ExportOptions{{}, {Compressed: true}, {Format: CSV}, {Format: CSV, Compressed: true}} {
			o.Segments = 1 + g.IntN(4)
			text := exported(t, c, o)
			to, other := newFake(t)
			imported(t, other, text, ImportOptions{Format: o.Format})
			same(t, fmt.Sprintf("%+v", o.Format), to.contents(), from.contents())
		}
	}
}

// TestImportResumes runs an import that fails repeatedly: lines are invalid, items are refused, the
// server is too busy. After each failure its cause is removed and the import resumes from
// Imported.Next. At the end no item may be missing.
func TestImportResumes(t *testing.T) {
	g := newGenerator(t)
	for range 20 {
		f, c := newFake(t)
		items := g.items(50 + g.IntN(200))
		lines := strings.SplitAfter(asLines(items), "\n")
		want := map[string]item{}
		for _, it := range items {
			want[string(it["id"])] = it
		}
		broken := map[int]string{}
		for range g.IntN(4) {
			if i := g.IntN(len(items)); broken[i] == "" {
				broken[i], lines[i] = lines[i], "{]\n"
			}
		}
		for range g.IntN(3) {
			f.refuse[string(items[g.IntN(len(items))]["id"])] = true
		}
		f.leave = g.IntN(5)
		o := ImportOptions{Connections: 1 + g.IntN(4)}
		for attempt := 0; ; attempt++ {
			done, err := c.Import(t.Context(), "users", strings.NewReader(strings.Join(lines, "")), o)
			if err == nil {
				if done.Next != 0 {
					t.Errorf("got %+v at the end; want nothing left to resume", done)
				}
				break
			}
			var at *LineError
			if !errors.As(err, &at) || done.Next > at.Line || done.Next < o.FromLine || attempt > 20 {
				t.Fatalf("attempt %d from line %d: got %v, %+v; want an error of a line, and to resume at or before it",
					attempt, o.FromLine, err, done)
			}
			if whole, ok := broken[int(at.Line)-1]; ok {
				lines[at.Line-1] = whole
			}
			f.take(string(items[at.Line-1]["id"]))
			o.FromLine = done.Next
		}
		same(t, fmt.Sprintf("%d connections", o.Connections), f.contents(), want)
	}
}

// take makes the server accept the item of a key that it refused.
func (f *fakeServer) take(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.refuse, id)
}

func (f *fakeServer) contents() map[string]item {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.items)
}

// TestTruncatedFiles truncates a file at random places. Its import must fail, unless the file was
// cut at the end of a line.
func TestTruncatedFiles(t *testing.T) {
	g := newGenerator(t)
	text := asLines(g.items(30))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, text)
	z.Close()
	const magic = 2 // bytes: with less of it, nothing says that the file is compressed
	for range 40 {
		cut := packed.Bytes()[:magic+g.IntN(packed.Len()-magic)]
		_, c := newFake(t)
		if done, err := c.Import(t.Context(), "users", bytes.NewReader(cut), ImportOptions{}); err == nil {
			t.Errorf("%d of %d compressed bytes: got %d items and no error", len(cut), packed.Len(), done.Items)
		}
		plain := text[:g.IntN(len(text))]
		rest := plain[strings.LastIndexByte(plain, '\n')+1:]
		whole := rest == "" || json.Valid([]byte(rest))
		if _, err := c.Import(t.Context(), "users", strings.NewReader(plain), ImportOptions{}); (err == nil) != whole {
			t.Errorf("%d of %d bytes, which end with %q: got %v; want an error: %v", len(plain), len(text), rest, err, !whole)
		}
	}
}

// An export whose file or server fails must return an error, in every format.
func TestFailedExports(t *testing.T) {
	for what, f := range map[string]func(*fakeServer) io.Writer{
		"the file":   func(*fakeServer) io.Writer { return failingWriter{} },
		"the server": func(f *fakeServer) io.Writer { f.busy = 1000; return io.Discard },
	} {
		for _, o := range []ExportOptions{{}, {Compressed: true}, {Format: CSV}, {Format: CSV, Compressed: true}} {
			fake, c := newFake(t)
			imported(t, c, users(300), ImportOptions{})
			if _, err := c.Export(t.Context(), "users", f(fake), o); err == nil {
				t.Errorf("%s fails, %+v: got no error", what, o)
			}
		}
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]string{
		"a.json": "json false", "a": "json false", "a.csv": "csv false", "a.csv.gz": "csv true", "a.gz": "json true",
		"-": "json false", "a.CSV": "json false", ".csv": "csv false",
	} {
		f, compressed := FormatOf(name)
		if got := fmt.Sprint(f, " ", compressed); got != want {
			t.Errorf("%s: got %s; want %s", name, got, want)
		}
	}
}

func TestLongLines(t *testing.T) {
	_, c := newFake(t)
	text := users(2) + `{"Item":{"id":{"S":"` + strings.Repeat("x", maxLineBytes) + `"}}}` + "\n"
	_, err := c.Import(t.Context(), "users", strings.NewReader(text), ImportOptions{})
	var at *LineError
	if !errors.As(err, &at) || at.Line != 3 {
		t.Errorf("got %v; want an error of line 3", err)
	}
}

func TestLimitsOfOptions(t *testing.T) {
	_, c := newFake(t)
	for _, n := range []int{-1, MaxConnections + 1} {
		if _, err := c.Export(t.Context(), "users", io.Discard, ExportOptions{Segments: n}); err == nil {
			t.Errorf("%d segments: got no error", n)
		}
		if _, err := c.Import(t.Context(), "users", strings.NewReader(""), ImportOptions{Connections: n}); err == nil {
			t.Errorf("%d connections: got no error", n)
		}
	}
}

func TestDescribe(t *testing.T) {
	_, c := newFake(t)
	about, err := c.Describe(context.Background(), "users")
	if err != nil {
		t.Fatal(err)
	}
	got := []string{about.TableName, about.TableStatus, about.Type("id"), about.Type("other"),
		strings.Join(about.keyNames(), " ")}
	if want := []string{"users", "ACTIVE", "S", "", "id"}; !slices.Equal(got, want) || !json.Valid(about.JSON) {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestFromEnvironment(t *testing.T) {
	names := []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
	for _, test := range []struct {
		set  map[string]string
		want Options
	}{
		{nil, Options{Region: "us-east-1", AccessKey: "holdfast", SecretKey: "holdfast"}},
		{map[string]string{"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s",
			"AWS_SESSION_TOKEN": "t"},
			Options{Region: "eu-west-1", AccessKey: "a", SecretKey: "s", SessionToken: "t"}},
		{map[string]string{"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-2"},
			Options{Region: "eu-west-2", AccessKey: "holdfast", SecretKey: "holdfast"}},
	} {
		for _, name := range names {
			t.Setenv(name, test.set[name])
		}
		test.want.Endpoint = "e"
		if got := FromEnvironment("e"); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%v: got %+v; want %+v", slices.Sorted(maps.Keys(test.set)), got, test.want)
		}
	}
}

func TestServerErrors(t *testing.T) {
	for text, want := range map[string]struct {
		status int
		text   string
		kind   holdfast.Kind
	}{
		`{"__type":"a#ValidationException","message":"no"}`: {400, "ValidationException: no", holdfast.Invalid},
		`{"__type":"ValidationException","Message":"no"}`:   {400, "ValidationException: no", holdfast.Invalid},
		`{"__type":"a#ResourceNotFoundException"}`:          {400, "ResourceNotFoundException", holdfast.NotFound},
		`{"__type":"a#ThrottlingException","message":"later"}`: {400,
			"ThrottlingException: later", holdfast.Overloaded},
		`{"__type":"a#TransactionInProgressException","message":"l"}`: {400,
			"TransactionInProgressException: l", holdfast.Overloaded},
		`{"__type":"a#InternalServerError","message":"sorry"}`: {500,
			"InternalServerError: sorry", holdfast.Overloaded},
		`<html>bad gateway</html>`: {502, "HTTP status 502", holdfast.Overloaded},
		`{}`:                       {403, "HTTP status 403", holdfast.Invalid},
		``:                         {404, "HTTP status 404", holdfast.Invalid},
	} {
		err := serverError(want.status, []byte(text))
		if err.Error() != want.text || !errors.Is(err, want.kind) {
			t.Errorf("%d %s: got %v; want %s, of kind %v", want.status, text, err, want.text, want.kind)
		}
		for _, other := range []holdfast.Kind{holdfast.Invalid, holdfast.NotFound, holdfast.Overloaded} {
			if other != want.kind && errors.Is(err, other) {
				t.Errorf("%d %s: is of kind %v too", want.status, text, other)
			}
		}
	}
}

// Names of columns survive a header, whatever characters they have and whichever comes first.
func TestNamesRoundTrip(t *testing.T) {
	g := newGenerator(t)
	for range 2000 {
		var columns []column
		var header []string
		for range 1 + g.IntN(4) {
			c := column{name: g.text() + g.text(), kind: types[g.IntN(len(types))], exact: true}
			if c.name == "" || slices.Contains(columns, c) {
				continue
			}
			columns, header = append(columns, c), append(header, c.header())
		}
		if len(columns) == 0 {
			continue
		}
		var file bytes.Buffer
		w := csv.NewWriter(&file)
		if err := w.Write(header); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		read, err := newRows(&file, nil)
		if err != nil {
			t.Fatalf("header %q: %v", header, err)
		}
		if !slices.Equal(read.columns, columns) {
			t.Fatalf("header %q: got columns %+v; want %+v", header, read.columns, columns)
		}
	}
}
