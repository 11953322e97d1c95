package mcrouter

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// A jsonWriter writes random values with what mcrouter's JSON has beyond the standard: comments,
// and commas before closing brackets.
type jsonWriter struct {
	*rand.Rand
	out    strings.Builder
	closed int // where the last bracket ends, which is that of the whole value, 0 if it has none
}

// gap writes white space and comments, or nothing.
func (w *jsonWriter) gap() {
	gaps := []string{"", "", " ", "\n", "\t", "\r\n", "// a \"comment\" {\n", "/* [ // */", "/***/", " /* \" \n */ "}
	w.out.WriteString(gaps[w.IntN(len(gaps))])
}

// text returns a string and a form of it in JSON.
func (w *jsonWriter) text() (string, string) {
	parts := []struct{ text, form string }{
		{"a", "a"}, {"é", "é"}, {"é", `\u00e9`}, {`"`, `\"`}, {`\`, `\\`}, {"/", `\/`}, {"/*", "/*"}, {"\n", `\n`},
		{"😀", `\ud83d\ude00`}, {"\x00", `\u0000`}, {"//", "//"}, {"]}", "]}"},
	}
	text, form := "", ""
	for range w.IntN(5) {
		p := parts[w.IntN(len(parts))]
		text, form = text+p.text, form+p.form
	}
	return text, `"` + form + `"`
}

func (w *jsonWriter) value(depth int) any {
	w.gap()
	defer w.gap()
	n := w.IntN(8)
	if depth == 0 {
		n = w.IntN(6)
	}
	switch n {
	case 0:
		w.out.WriteString("null")
		return nil
	case 1:
		w.out.WriteString("true")
		return true
	case 2:
		w.out.WriteString("false")
		return false
	case 3:
		i := w.Int64() - w.Int64()
		fmt.Fprint(&w.out, i)
		return i
	case 4:
		f := float64(w.IntN(100)) + 0.5
		fmt.Fprintf(&w.out, []string{"%.1f", "%e", "%.3f"}[w.IntN(3)], f)
		return f
	case 5:
		text, form := w.text()
		w.out.WriteString(form)
		return text
	case 6:
		list := []any{}
		w.elements('[', ']', func() { list = append(list, w.value(depth-1)) })
		return list
	}
	o := newObject()
	w.elements('{', '}', func() {
		key, form := w.text()
		if _, again := o.values[key]; again {
			key, form = fmt.Sprint("k", len(o.keys)), fmt.Sprintf(`"k%d"`, len(o.keys))
		}
		w.gap()
		w.out.WriteString(form)
		w.gap()
		w.out.WriteString(":")
		o.keys = append(o.keys, key)
		o.values[key] = w.value(depth - 1)
	})
	return o
}

// elements writes up to three elements in brackets, by chance with a comma behind the last.
func (w *jsonWriter) elements(open, closing byte, element func()) {
	w.out.WriteByte(open)
	w.gap()
	for i, n := 0, w.IntN(4); i < n; i++ {
		element()
		if i < n-1 || w.IntN(3) == 0 {
			w.out.WriteString(",")
			w.gap()
		}
	}
	w.out.WriteByte(closing)
	w.closed = w.out.Len()
}

// TestRandomJSON parses random values. A list or a mapping that is cut off anywhere is an error,
// with a line that the text has.
func TestRandomJSON(t *testing.T) {
	for seed := range uint64(1500) {
		w := &jsonWriter{Rand: rand.New(rand.NewPCG(seed, 5))}
		want := w.value(4)
		text := w.out.String()
		got, err := parseJSON([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %q: got %v, %v; want %v", seed, text, got, err, want)
		}
		for cut := 0; cut < w.closed; cut += 1 + w.IntN(5) {
			var line int
			_, err := parseJSON([]byte(text[:cut]))
			if err == nil {
				t.Fatalf("seed %d: %q: got no error; want one of a text that is cut off", seed, text[:cut])
			}
			if _, scan := fmt.Sscanf(err.Error(), "line %d:", &line); scan != nil || line < 1 ||
				line > 1+strings.Count(text[:cut], "\n") {
				t.Fatalf("seed %d: %q: got %v; want a line of the text", seed, text[:cut], err)
			}
		}
	}
}

// asStandard returns a value as encoding/json has it.
func asStandard(v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = asStandard(v[i])
		}
		return list
	case *object:
		m := map[string]any{}
		for key, value := range v.values {
			m[key] = asStandard(value)
		}
		return m
	}
	return v
}

// TestStandardJSON changes bytes of JSON, and compares the parser with encoding/json's: what that
// accepts is the same value here, unless a mapping has a key twice.
func TestStandardJSON(t *testing.T) {
	const text = `{"pools": {"A": {"servers": ["a:1", "b\u00e9\\:2"], "weights": [0.5, -1, 2e3, 12]}}, ` +
		`"x": [true, null, {}]}`
	r := rand.New(rand.NewPCG(8, 8))
	accepted := 0
	for range 30_000 {
		b := []byte(text)
		for range 1 + r.IntN(3) {
			at := r.IntN(len(b))
			switch letters := `{}[],:"\0123456789.eE+-tfn uab`; r.IntN(3) {
			case 0:
				b[at] = letters[r.IntN(len(letters))]
			case 1:
				b = append(b[:at], b[at+1:]...)
			case 2:
				b = append(b[:at], append([]byte{letters[r.IntN(len(letters))]}, b[at:]...)...)
			}
		}
		var want any
		if json.Unmarshal(b, &want) != nil {
			continue
		}
		accepted++
		got, err := parseJSON(b)
		if err != nil && strings.Contains(err.Error(), "duplicate key") {
			continue
		}
		if err != nil || !reflect.DeepEqual(asStandard(got), want) {
			t.Errorf("%s: got %v, %v; want %v", b, asStandard(got), err, want)
		}
	}
	if accepted < 1000 {
		t.Errorf("got %d texts that are JSON; want thousands", accepted)
	}
}

// TestJSONFaults has one text for each reason for which a text isn't accepted.
func TestJSONFaults(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "line 1: the text ends before a value",
		"\n// only a comment":  "line 2: the text ends before a value",
		"/* open":              "line 1: the comment isn't closed",
		"{} {}":                "line 1: unexpected text after the end",
		"{}\n/":                "line 2: unexpected text after the end",
		`{"a" 1}`:              `line 1: expected : after key "a"`,
		`{"a": 1 "b": 2}`:      "line 1: expected a comma or }",
		`{a: 1}`:               "line 1: expected a key in quotes or }",
		`{,}`:                  "line 1: expected a key in quotes or }",
		"{\"a\": 1,\n\"a\": 1": `line 2: duplicate key "a"`,
		"[1 2]":                "line 1: expected a comma or ]",
		"[1,,2]":               `line 1: "" is not a value`,
		`["a` + "\n" + `"]`:    "line 1: the string isn't closed",
		`["\q"]`:               `line 1: "\q" is not a string`,
		`["\`:                  "line 1: the string isn't closed",
		"[\"\xff\"]":           "line 1: \"\xff\" is not a string",
		"[1.]":                 "",
		"[0x10]":               `line 1: "0x10" is not a value`,
		"[NaN]":                `line 1: "NaN" is not a value`,
		"[Infinity]":           `line 1: "Infinity" is not a value`,
		"[1e999]":              `line 1: "1e999" is not a value`,
		"[nul]":                `line 1: "nul" is not a value`,
		"[1_0]":                `line 1: "1_0" is not a value`,
	} {
		_, err := parseJSON([]byte(text))
		if got := fmt.Sprint(err); got != want && (want != "" || err != nil) {
			t.Errorf("%q: got %v; want %s", text, err, want)
		}
	}
}
