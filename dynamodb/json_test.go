package dynamodb

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// value is a JSON text as encoding/json parses it, with json.Number for numbers.
func (n node) value() any {
	switch n.kind() {
	case boolean:
		return n.bool()
	case number:
		return json.Number(n.text())
	case text:
		return n.text()
	case array:
		list := []any{}
		n.each(func(_ string, v node) bool {
			list = append(list, v.value())
			return true
		})
		return list
	case object:
		members := map[string]any{}
		n.each(func(name string, v node) bool {
			members[name] = v.value()
			return true
		})
		return members
	}
	return nil
}

// compare describes how parse and encoding/json differ about a text; "" if they agree.
func compare(t *testing.T, s string) {
	t.Helper()
	var want any
	decoder := json.NewDecoder(strings.NewReader(s))
	decoder.UseNumber()
	valid := json.Valid([]byte(s)) && utf8.ValidString(s)
	if valid {
		if err := decoder.Decode(&want); err != nil {
			valid = false
		}
	}
	doc, ok := parse(s, 0)
	if ok != valid {
		t.Fatalf("parse(%.100q): got %v; want %v", s, ok, valid)
	}
	if !ok {
		return
	}
	defer doc.release()
	if got := doc.root().value(); !reflect.DeepEqual(got, want) {
		t.Errorf("parse(%.100q): got %#v; want %#v", s, got, want)
	}
	size(t, doc.root())
}

// size checks that len is the number of values that each visits, and that get finds them.
func size(t *testing.T, n node) {
	t.Helper()
	count := 0
	n.each(func(name string, v node) bool {
		count++
		if found := n.get(name); n.kind() == object && v.kind() != null && found != v {
			t.Errorf("get(%q): got %v; want %v", name, found, v)
		}
		size(t, v)
		return true
	})
	if count != n.len() {
		t.Errorf("len: got %d; want %d", n.len(), count)
	}
}

var texts = []string{
	``, ` `, `{`, `}`, `{}`, `[]`, `[ ]`, ` { } `, `null`, `nul`, `nullx`, `true`, `false`, `"`, `""`, `"a"`, `"a`, `'a'`,
	`0`, `-0`, `-`, `00`, `01`, `1.`, `.1`, `1.0`, `1e5`, `1E+5`, `1e`, `1e+`, `-1.5e-7`,
	`123456789012345678901234567890`, `+1`, `1 2`, `NaN`,
	`{"a":1}`, `{"a":1,}`, `{"a"}`, `{a:1}`, `{"a":1 "b":2}`, `{"a":1,"b":[1,2,{"c":null}],"d":{}}`, `{,}`, `[,]`,
	`[1,]`, `[1 2]`, `[1}`, `{"a":1]`,
	`{"a":1,"a":2}`, `{"a":1,"\u0061":2,"b":3}`, `{"a":{"x":1},"a":null}`, `{"a":[1],"b":2,"a":[2],"a":[3]}`,
	`"\"\\\/\b\f\n\r\t"`, `"\u00e9\u4E2d"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ud83dx"`, `"\ude00\ud83d"`,
	`"\ud83d\ud83d\ude00"`, `"\ud83d\u0041"`, `"\u12"`, `"\x"`, `"\`, `"\u"`,
	"\"\x01\"", "\"\t\"", "\"\x7f\"", "\"\xff\"", "\xef\xbb\xbf{}", "\"é中😀\"", "{}\x00", "\v1", "[1]\n", "\u00a01",
	`{"":1}`, `{"":1,"":2}`, `[[[[[]]]]]`, `[{"a":[{"b":[]}]}]`,
}

func TestParse(t *testing.T) {
	for _, s := range texts {
		compare(t, s)
	}
}

func TestParseManyMembers(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"z":0`)
	for i := range 200 {
		b.WriteString(`,"` + string(rune('a'+i%23)) + `":` + string(rune('0'+i%10)))
	}
	compare(t, b.String()+`}`)
	b.WriteString(`,"\u0061":1,"b\t":2,"\u0062\t":3}`)
	compare(t, b.String())
}

func TestParseDepth(t *testing.T) {
	for _, depth := range []int{maxJSONDepth, maxJSONDepth + 1} {
		compare(t, strings.Repeat("[", depth)+strings.Repeat("]", depth))
	}
}

func TestNode(t *testing.T) {
	const s = `{"s":"a\tb","n":1.50,"t":true,"f":false,"null":null,"big":1e30,"l":[1,"2"],"o":{"x":{}}}`
	doc, ok := parse(s, 0)
	if !ok {
		t.Fatal("got no document")
	}
	defer doc.release()
	root := doc.root()
	if got := root.get("s").text(); got != "a\tb" {
		t.Errorf("text: got %q; want a, tab, b", got)
	}
	if got := root.get("n").text(); got != "1.50" {
		t.Errorf("digits: got %q; want 1.50", got)
	}
	for name, want := range map[string]int64{"n": 1, "big": 1<<63 - 1, "none": 0} {
		if got := root.get(name).int(); got != want {
			t.Errorf("int of %s: got %d; want %d", name, got, want)
		}
	}
	for name, want := range map[string]bool{"t": true, "f": false, "s": false, "none": false} {
		if got := root.get(name).bool(); got != want {
			t.Errorf("bool of %s: got %v; want %v", name, got, want)
		}
	}
	if got := root.get("null").kind(); got != absent {
		t.Errorf("null member: got %v; want absent", got)
	}
	if got := root.get("l").raw(); got != `[1,"2"]` {
		t.Errorf("raw: got %s", got)
	}
	if got := root.get("s").raw(); got != `"a\tb"` {
		t.Errorf("raw text: got %s", got)
	}
	if got := root.get("o").get("x").get("y").get("z").kind(); got != absent {
		t.Errorf("member of nothing: got %v; want absent", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range texts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { compare(t, s) })
}
