package item

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// show returns a value on one line: "text", 1, b"bytes", SS("a"), [list], {name:value}.
func show(v Value) string {
	var parts []string
	switch v.Type {
	case N:
		return v.Text
	case S:
		return strconv.Quote(v.Text)
	case B:
		return "b" + strconv.Quote(v.Text)
	case BOOL:
		return strconv.FormatBool(v.Bool)
	case NULL:
		return "null"
	case L:
		for _, element := range v.List {
			parts = append(parts, show(element))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case M:
		return "{" + showItem(v.Map) + "}"
	}
	return fmt.Sprintf("%s%q", v.Type, v.Set)
}

func showItem(it Item) string {
	var parts []string
	for _, attr := range it {
		parts = append(parts, attr.Name+":"+show(attr.Value))
	}
	return strings.Join(parts, " ")
}

func document() Item {
	return New(
		Attr{"pk", Text("k")}, Attr{"n", num("10")}, Attr{"s", Text("t")}, Attr{"ss", set(SS, "a", "b")},
		Attr{"ns", set(NS, "1", "2")},
		Attr{"l", List(Text("a"), Text("b"), Text("c"), Text("d"))},
		Attr{"m", Map(New(Attr{"x", num("1")}, Attr{"y", List(Map(New(Attr{"z", Null})), set(SS, "p"))}))},
	)
}

const (
	badPath    = "The document path provided in the update expression is invalid for update"
	badOperand = "An operand in the update expression has an incorrect data type"
	notThere   = "The provided expression refers to an attribute that does not exist in the item"
)

func TestUpdate(t *testing.T) {
	const rest = ` m:{x:1 y:[{z:null} SS["p"]]} n:10 ns:NS["1" "2"] pk:"k" s:"t" ss:SS["a" "b"]`
	const list = `l:["a" "b" "c" "d"]`
	all := func(old, changed string) string { return strings.Replace(list+rest, old, changed, 1) }
	for _, c := range []struct {
		text   string
		want   string // the item after, or an error
		values []Value
	}{
		{"SET a1 = :a", "a1:5 " + list + rest, []Value{num("5")}},
		{"SET z1 = n", all(`ss:SS["a" "b"]`, `ss:SS["a" "b"] z1:10`), nil},
		{"SET n = n + :a", all("n:10", "n:15"), []Value{num("5")}},
		{"SET n = :a - n", all("n:10", "n:-5"), []Value{num("5")}},
		{"SET n = s, s = n", strings.Replace(all("n:10", `n:"t"`), `s:"t"`, "s:10", 1), nil},
		{"SET n = if_not_exists(n, :a)", all("", ""), []Value{num("5")}},
		{"SET n = if_not_exists(none_, :a) + if_not_exists(n, s)", all("n:10", "n:15"), []Value{num("5")}},
		{"SET n = if_not_exists(none_, if_not_exists(none_.x, s))", all("n:10", `n:"t"`), nil},
		{"SET l = list_append(l, :a)", all(`"d"]`, `"d" 1]`), []Value{List(num("1"))}},
		{"SET l = list_append(:a, if_not_exists(l, :a))", all(list, `l:[1 "a" "b" "c" "d"]`), []Value{List(num("1"))}},
		{"SET m.x = :a, m.w = :a", all("{x:1", "{w:5 x:5"), []Value{num("5")}},
		{"SET m.y[0].z = m.x", all("z:null", "z:1"), nil},
		{"SET l[1] = l[0], l[0] = l[1]", all(list, `l:["b" "a" "c" "d"]`), nil},
		// Behind the end, elements follow in the order of their indexes.
		{"SET l[9] = :a, l[4] = :b, l[7] = l[0] ADD l[8] :c", all(list, `l:["a" "b" "c" "d" 2 "a" SS["q"] 1]`),
			[]Value{num("1"), num("2"), set(SS, "q")}},
		// Indexes are those of before, whatever is removed.
		{"REMOVE l[0], l[1], l[9]", all(list, `l:["c" "d"]`), nil},
		{"REMOVE l[3], l[1] SET l[2] = :a, l[5] = l[1]", all(list, `l:["a" 1 "b"]`), []Value{num("1")}},
		{"REMOVE n, none_, m.y[0].z, m.none_", strings.Replace(all("n:10 ", ""), "{z:null}", "{}", 1), nil},
		{"ADD n :a, new1 :a", all("n:10", "n:9.5 new1:-0.5"), []Value{num("-0.5")}},
		{"ADD ss :a, m.y[1] :b, z1 :a", strings.Replace(all(`ss:SS["a" "b"]`, `ss:SS["a" "b" "c"] z1:SS["c" "a"]`), `SS["p"]`,
			`SS["p" "q"]`, 1), []Value{set(SS, "c", "a"), set(SS, "q")}},
		{"DELETE ss :a, ns :b, z1 :a", strings.Replace(all(` ss:SS["a" "b"]`, ""), `NS["1" "2"]`, `NS["2"]`, 1),
			[]Value{set(SS, "b", "a", "x"), set(NS, "1", "3")}},
		{"DELETE m.y[1] :a", all(` SS["p"]`, ""), []Value{set(SS, "p")}},
		// Errors.
		{"SET n = none_", notThere, nil},
		{"SET n = n + m.none_", notThere, nil},
		{"SET n = list_append(none_, :a)", notThere, []Value{List()}},
		{"SET n = if_not_exists(none_, nor_)", notThere, nil},
		{"SET n = s + :a", badOperand, []Value{num("5")}},
		{"SET n = :a - s", badOperand, []Value{num("5")}},
		{"SET n = list_append(l, s)", badOperand, nil},
		{"SET l = list_append(ss, if_not_exists(none_, :a))", badOperand, []Value{List()}},
		{"ADD s :a", badOperand, []Value{num("5")}},
		{"ADD n :a", badOperand, []Value{set(SS, "x")}},
		{"ADD ns :a", badOperand, []Value{set(SS, "x")}},
		{"DELETE m :a", badOperand, []Value{set(SS, "x")}},
		{"SET none_.x = n", badPath, nil}, {"SET none_[0] = n", badPath, nil}, {"SET s.x = n", badPath, nil},
		{"SET m[0] = n", badPath, nil}, {"SET l.x = n", badPath, nil}, {"SET l[4].x = n", badPath, nil},
		{"SET m.none_.x = n", badPath, nil}, {"REMOVE none_.x", badPath, nil}, {"REMOVE l.x", badPath, nil},
		{"REMOVE m[0]", badPath, nil}, {"DELETE none_.x :a", badPath, []Value{set(SS, "x")}},
		{"ADD l.x :a", badPath, []Value{set(SS, "x")}},
		{"SET n = :a + :a", "Number overflow. Attempting to store a number with magnitude larger than supported range",
			[]Value{num("9E125")}},
		{"SET m.w = :a",
			"Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit",
			[]Value{wrapped(num("1"), maxDepth-1)}},
	} {
		t.Run(c.text, func(t *testing.T) {
			u, err := scopeOf(t, nil, c.values...).Update(c.text)
			if err != nil {
				t.Fatal(err)
			}
			before := document()
			after, err := u.Apply(before)
			if got, want := showItem(before), showItem(document()); got != want {
				t.Errorf("before: got changed to %s", got)
			}
			got := showItem(after)
			if err != nil {
				got = err.Error()
				wantError(t, err, got)
			}
			if got != c.want {
				t.Errorf("after:\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestUpdateFaults(t *testing.T) {
	const (
		overlap  = "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: "
		conflict = "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: "
		types    = "Incorrect operand type for operator or function; operator"
		misuse   = "The function is not allowed to be used this way in an expression; function: list_append"
	)
	// :a is a text, :b a number, :c a truth, :d a set, :e a list, :f a map, :g bytes, :h nothing.
	values := []Value{Text("a"), num("1"), Bool(true), set(SS, "x"), List(), Map(Item{}), Bytes("x"), Null}
	for text, want := range map[string]string{
		" set #y = :z set abOrt = true ": "Attribute name is a reserved keyword; reserved " +
			"keyword: abOrt",
		" remove Absolute ": "Attribute name is a reserved keyword; reserved " +
			"keyword: Absolute",
		"set #y = if_not_exist(:z) set c = d": "Invalid function name; function: if_not_exist",
		"set a = size(b)": "The function is not allowed in an update " +
			"expression; function: size",
		"set a = #y set c = :d":               `The "SET" section can only be used once in an update expression;`,
		"remove #y set a = b remove e":        `The "REMOVE" section can only be used once in an update expression;`,
		"add #d :e set a = b add e :f":        `The "ADD" section can only be used once in an update expression;`,
		"delete #d :e set a = b delete #e :f": `The "DELETE" section can only be used once in an update expression;`,
		"SET #y = if_not_exists(:z)": "An expression attribute name used in the document " +
			"path is not defined; attribute name: #y",
		"SET #c = if_not_exists(:z)": "An expression attribute value used in expression " +
			"is not defined; attribute value: :z",
		"set d[1] = a, d.b = a, c[1].a = a, #c = if_not_exists(a)":    overlap + "[c, [1], a], path two: [c]",
		"set #c[3].#d = a, #c[3] = a":                                 overlap + "[c, [3], [3]], path two: [c, [3]]",
		"set a = b remove c, a":                                       overlap + "[a], path two: [a]",
		"set a = b remove a.b.c":                                      overlap + "[a], path two: [a, b, c]",
		"set #c[3].#d = a, #c.#d[3] = if_not_exists(a)":               conflict + "[c, [3], [3]], path two: [c, [3], [3]]",
		"remove a.#c set a[1] = #d":                                   conflict + "[a, c], path two: [a, [1]]",
		"set b = list_append(:a, a), c = if_not_exists(a) add a.b :a": types + ": ADD, operand type: STRING",
		"delete a.b :a":                                               types + ": DELETE, operand type: STRING",
		"delete a.b :b":                                               types + ": DELETE, operand type: NUMBER",
		"add a.b :c":                                                  types + ": ADD, operand type: BOOLEAN",
		"add a.b :e":                                                  types + ": ADD, operand type: LIST",
		"add a.b :f":                                                  types + ": ADD, operand type: MAP",
		"add a.b :g":                                                  types + ": ADD, operand type: BINARY",
		"add a.b :h":                                                  types + ": ADD, operand type: NULL",
		"set a = if_not_exists(c)": "Incorrect number of operands for operator or " +
			"function; operator or function: if_not_exists, number of operands: 1",
		"set a = list_append(c, c, c)": "Incorrect number of operands for operator or " +
			"function; operator or function: list_append, number of operands: 3",
		"set a = if_not_exists(:a, c)": "Operator or function requires a document path; " +
			"operator or function: if_not_exists",
		"set a = if_not_exists(if_not_exists(a, b), c)": "Operator or function requires a document path; " +
			"operator or function: if_not_exists",
		"set a = list_append(:a, a)": types + " or function: list_append, operand type: S",
		"set a = list_append(a, :f)": types + " or function: list_append, operand type: M",
		"set a = a + :a":             types + " or function: +, operand type: S",
		"set a = :d - :a":            types + " or function: -, operand type: SS",
		"add a :b, b.c[1] :d delete e :d set c = :b, d = a+:b remove f, g": "",
		"set a = (b + c)":                  "",
		"set a = ((b.c.d)+(e))":            "",
		"set a = ((b))-(c), b=(b),c=((c))": "",
		"set a[1] = b, a[2].c = (:b) + if_not_exists(a, if_not_exists((b), :b))": "",
		"set a = " + strings.Repeat("if_not_exists(", 270) + "b" +
			strings.Repeat(")",
				270): "Incorrect number of operands for operator or function; operator or function: if_not_exists, " +
			"number of operands: 1",
		"set a = list_append(list_append(b, c), c)":                                                  misuse,
		"set a = list_append(c, list_append(b, c))":                                                  misuse,
		"set a = if_not_exists(a, list_append(b, c))":                                                misuse,
		"set a = list_append(if_not_exists(a, list_append(b, c)), c)":                                misuse,
		"set a = list_append((list_append(b, c)), c)":                                                misuse,
		"set a = list_append(if_not_exists(a, if_not_exists(b, c)), b), e = if_not_exists(b, c) + b": "",
		"set _a = b":            `Syntax error; token: "_", near: "set _a"`,
		"set a = _f(b, c)":      `Syntax error; token: "_", near: "= _f"`,
		"set a._b = b":          `Syntax error; token: "_", near: "._b"`,
		"set a_ = b, a.c_1 = b": "",
	} {
		t.Run(text, func(t *testing.T) {
			if want != "" {
				want = "Invalid UpdateExpression: " + want
			}
			_, err := scopeOf(t, map[string]string{"#c": "c", "#d": "[3]"}, values...).Update(text)
			wantError(t, err, want)
		})
	}
}

func TestTouched(t *testing.T) {
	before := New(Attr{"a", Text("k")},
		Attr{"b", Map(New(Attr{"a", num("1")}, Attr{"b", num("2")}, Attr{"c", num("3")}))},
		Attr{"c", List(num("1"), num("3"))})
	u, err := scopeOf(t, nil, num("2"), set(SS, "a")).
		Update("set b.c=((c[1])+(b.a)),b.a = a,c[1] = a, c[4] = b.a - b.b, c[2] = b.c add c[8] :b, c[6] :a")
	if err != nil {
		t.Fatal(err)
	}
	after, err := u.Apply(before)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := showItem(after), `a:"k" b:{a:"k" b:2 c:4} c:[1 "k" 3 -1 2 SS["a"]]`; got != want {
		t.Errorf("after: got %s; want %s", got, want)
	}
	// The indexes are those of the expression.
	if got, want := showItem(u.Touched(after)), `b:{a:"k" c:4} c:["k" 3 2]`; got != want {
		t.Errorf("touched after: got %s; want %s", got, want)
	}
	if got, want := showItem(u.Touched(before)), `b:{a:1 c:3} c:[3]`; got != want {
		t.Errorf("touched before: got %s; want %s", got, want)
	}
	if got := u.Touched(nil); got != nil {
		t.Errorf("touched of nothing: got %v; want nil", got)
	}
	if got, want := strings.Join(u.Names(), " "), "b c"; got != want {
		t.Errorf("names: got %s; want %s", got, want)
	}
}

func TestUpdateNested(t *testing.T) {
	u, err := scopeOf(t, nil).Update("set e = list_append(a, b), f = if_not_exists(d[1], g.h) remove i.j, k")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(u.Nested(), " "), "d g i"; got != want {
		t.Errorf("nested: got %s; want %s", got, want)
	}
}

func TestGives(t *testing.T) {
	u, err := scopeOf(t, nil, num("1"), set(SS, "x")).
		Update("SET a = :a, b = c, d = c + c, e = list_append(c, c), f = if_not_exists(c, :b), g.h = :a ADD i :a DELETE j " +
			":b REMOVE k")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Type{"a": N, "b": 0, "d": N, "e": L, "f": SS, "g": 0, "i": N, "j": SS, "k": 0,
		"z": 0} {
		if got, ok := u.Gives(name); got != want || ok != (want != 0) {
			t.Errorf("%s: got %v, %v; want %v", name, got, ok, want)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	b.ReportAllocs()
	u, err := scopeOf(b, nil, num("1"), Text("x")).Update("SET m.x = m.x + :a, s = :b ADD n :a")
	if err != nil {
		b.Fatal(err)
	}
	before := document()
	for b.Loop() {
		if _, err := u.Apply(before); err != nil {
			b.Fatal(err)
		}
	}
}
