package item

import (
	"slices"
	"strings"
	"testing"
)

// everything is an item with an attribute of each type, named as the type is, and some to compare
// with.
var everything = New(
	Attr{"S", Text("hello")}, Attr{"N", num("42")}, Attr{"B", Bytes("\x01\x02\x03")},
	Attr{"SS", set(SS, "a", "b")}, Attr{"NS", set(NS, "1", "2")}, Attr{"BS", set(BS, "\x01", "\x02")},
	Attr{"BOOL", Bool(true)}, Attr{"NULL", Null},
	Attr{"L", List(Text("a"), num("1"), Map(New(Attr{"x", num("7")})), List(Null), set(SS, "p"))},
	Attr{"M", Map(New(Attr{"x", Text("deep")}, Attr{"y", Map(New(Attr{"z", List(num("9"))}))}))},
	Attr{"S2", Text("hello")}, Attr{"N2", num("43")}, Attr{"SS2", set(SS, "b", "a")},
	Attr{"he", Text("he")}, Attr{"blank", Text("")}, Attr{"astral", Text("abÿ🐟")},
)

func TestMatch(t *testing.T) {
	names := map[string]string{"#BOOL": "BOOL", "#NULL": "NULL", "#no": "no-such"}
	for _, c := range []struct {
		text   string
		want   bool
		values []Value
	}{
		{"S = S2", true, nil},
		{"S = N", false, nil},
		{"S <> N", true, nil},
		{"SS = SS2", true, nil},
		{"SS <> SS2", false, nil},
		{"N = :a", true, []Value{num("42.0")}},
		{"#BOOL = :a", true, []Value{Bool(true)}},
		{"#BOOL = :a", false, []Value{Bool(false)}},
		{"#NULL = :a", true, []Value{Null}},
		{"M.y = :a", true, []Value{Map(New(Attr{"z", List(num("9"))}))}},
		// What isn't there is equal to nothing, and different from everything.
		{"#no = :a", false, []Value{Text("")}},
		{"#no = nor_this", false, nil},
		{"#no <> :a", true, []Value{Text("")}},
		{"#no <> nor_this", true, nil},
		{"#no < :a OR #no >= :a OR #no IN (:a) OR #no BETWEEN :a AND :a", false, []Value{Text("")}},
		{"NOT #no < :a", true, []Value{Text("")}},
		{"S BETWEEN :a AND #no", false, []Value{Text("a")}},
		{"contains(S, #no) OR begins_with(S, #no) OR contains(#no, S)", false, nil},
		{"size(#no) >= :a", false, []Value{num("0")}},
		// Order is among texts, numbers or bytes.
		{"N < N2", true, nil}, {"N < :a", false, []Value{num("42")}}, {"N <= :a", true, []Value{num("42")}},
		{"N > :a", true, []Value{num("9")}}, {"N >= :a", true, []Value{num("42")}}, {"N >= :a", false, []Value{num("42.1")}},
		{"S > :a", true, []Value{Text("Z")}}, {"S > :a", false, []Value{num("1")}},
		{"B > :a", true, []Value{Bytes("\x01\x02")}}, {"#BOOL < N", false, nil}, {"SS < SS2 OR SS >= SS2", false, nil},
		{"N BETWEEN :a AND :b", true, []Value{num("42"), num("42")}},
		{"N BETWEEN :a AND :b", false, []Value{num("43"), num("50")}},
		{"N BETWEEN :a AND :b", false, []Value{num("1"), num("41")}},
		{"N BETWEEN :a AND :b", false, []Value{Text("0"), Text("9")}},
		{":a BETWEEN N AND N2", true, []Value{num("42.5")}},
		{"N BETWEEN N2 AND :a", false, []Value{Text("x")}},
		{"S IN (:a, :b, N)", true, []Value{num("1"), Text("hello")}},
		{"S IN (:a, #no, N)", false, []Value{num("1")}},
		{"SS IN (SS2)", true, nil},
		// Functions.
		{"attribute_exists(M.y.z[0])", true, nil},
		{"attribute_exists(M.y.z[1])", false, nil},
		{"attribute_exists(L.x) OR attribute_exists(M[0]) OR attribute_exists(S.x)", false, nil},
		{"attribute_not_exists(#no)", true, nil}, {"attribute_not_exists(#NULL)", false, nil},
		{"attribute_type(L[2], :a)", true, []Value{Text("M")}},
		{"attribute_type(L[2], :a)", false, []Value{Text("L")}},
		{"attribute_type(:a, :b)", true, []Value{num("1"), Text("N")}},
		{"begins_with(S, :a)", true, []Value{Text("hell")}},
		{"begins_with(S, :a)", false, []Value{Text("ell")}},
		{"begins_with(S, :a)", false, []Value{Bytes("hell")}},
		{"begins_with(S, he)", true, nil}, {"begins_with(:a, he)", true, []Value{Text("heron")}},
		{"begins_with(B, :a)", true, []Value{Bytes("\x01")}}, {"begins_with(SS, S)", false, nil},
		{"contains(S, :a)", true, []Value{Text("ell")}}, {"contains(B, :a)", true, []Value{Bytes("\x02\x03")}},
		{"contains(S, :a)", false, []Value{Bytes("ell")}}, {"contains(N, :a)", false, []Value{num("4")}},
		{"contains(SS, :a)", true, []Value{Text("a")}}, {"contains(SS, :a)", false, []Value{num("1")}},
		{"contains(NS, :a)", true, []Value{num("2")}}, {"contains(BS, :a)", true, []Value{Bytes("\x02")}},
		{"contains(NS, :a)", false, []Value{Text("2")}}, {"contains(BS, :a)", false, []Value{Bytes("\x03")}},
		{"contains(L, :a)", true, []Value{Text("a")}}, {"contains(L, :a)", true, []Value{List(Null)}},
		{"contains(L, :a)", true, []Value{set(SS, "p")}}, {"contains(L, :a)", false, []Value{Text("b")}},
		{"contains(M, :a)", false, []Value{Text("x")}}, {"contains(:a, S)", true, []Value{List(Text("hello"))}},
		{"size(S) = :a AND size(S) < size(L[2])", false, []Value{num("5")}},
		{"size(S) = :a", true, []Value{num("5")}}, {"size(B) = :a", true, []Value{num("3")}},
		{"size(SS) = :a AND size(NS) = :a AND size(BS) = :a", true, []Value{num("2")}},
		{"size(L) = :a", true, []Value{num("5")}}, {"(size(M)) = :a", true, []Value{num("2")}},
		{"size(blank) = :a", true, []Value{num("0")}}, {"size(:a) = :b", true, []Value{Text("ab"), num("2")}},
		{"size(astral) = :a", true, []Value{num("5")}}, // as Java counts characters
		{"size(N) = :a OR size(#BOOL) = :a OR size(#NULL) = :a", false, []Value{num("1")}},
		{"size(S) < size(astral)", false, nil}, {"size(SS) < size(S)", true, nil},
		{"size(S) BETWEEN size(SS) AND size(L)", true, nil}, {"size(S) IN (size(SS), size(L))", true, nil},
		// Logic: NOT before AND before OR.
		{"S = S2 OR S = N AND N = N2", true, nil},
		{"(S = S2 OR S = N) AND N = N2", false, nil},
		{"NOT S = N AND S = S2", true, nil},
		{"NOT (S = N OR S = S2)", false, nil},
	} {
		s := scopeOf(t, names, c.values...)
		condition, err := s.Condition("ConditionExpression", c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := condition.Match(everything); got != c.want {
			t.Errorf("%s: got %v; want %v", c.text, got, c.want)
		}
	}
}

func TestMatchNoItem(t *testing.T) {
	for text, want := range map[string]bool{
		"attribute_not_exists(pk)":                 true,
		"attribute_exists(pk)":                     false,
		"attribute_exists(pk) AND #s = :a":         false,
		"#s <> :a":                                 true,
		"#s <> :a OR attribute_exists(pk)":         true,
		"NOT #s = :a AND attribute_not_exists(#s)": true,
	} {
		c, err := scopeOf(t, map[string]string{"#s": "status"}, Text("x")).Condition("ConditionExpression", text)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Match(nil); got != want {
			t.Errorf("%s: got %v; want %v", text, got, want)
		}
	}
	var none *Condition
	if !none.Match(nil) || len(none.Names()) > 0 {
		t.Error("no condition: got one that doesn't hold, or reads something")
	}
}

func TestConditionNames(t *testing.T) {
	c, err := scopeOf(t, map[string]string{"#x": "x.y"}, num("1")).
		Condition("FilterExpression", "z = :a AND (b.c[1] < #x OR NOT size(a) IN (:a, m[0])) AND a.b = b.c[1]")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(c.Names(), " "), "a b m x.y z"; got != want {
		t.Errorf("names: got %s; want %s", got, want)
	}
	if got, want := strings.Join(c.Nested(), " "), "a b m"; got != want {
		t.Errorf("nested: got %s; want %s", got, want)
	}
	var paths []string
	for _, path := range c.allPaths() {
		paths = append(paths, path.String())
	}
	if want := []string{"z", "b.c[1]", "x.y", "a", "m[0]", "a.b", "b.c[1]"}; !slices.Equal(paths, want) {
		t.Errorf("paths: got %s; want %s", paths, want)
	}
}

func TestPathGet(t *testing.T) {
	s := scopeOf(t, nil)
	for text, want := range map[string]Value{
		"S": Text("hello"), "L[0]": Text("a"), "L[2].x": num("7"), "M.y.z[0]": num("9"),
		"none_": {}, "L[5]": {}, "L.x": {}, "M[0]": {}, "S.x": {}, "M.none_.z": {}, "M.y.z[0].a": {},
	} {
		p, err := s.Projection(text)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := p.allPaths()[0].Get(everything)
		if ok != (want.Type != 0) || ok && !got.Equal(want) {
			t.Errorf("%s: got %v, %v; want %v", text, got, ok, want)
		}
	}
	if _, ok := (Path{}).Get(everything); ok {
		t.Error("empty path: got a value")
	}
}

const typical = "attribute_exists(pk) AND #s = :a AND version < :b"

func BenchmarkParseCondition(b *testing.B) {
	b.ReportAllocs()
	names, values := map[string]string{"#s": "status"}, valuesOf(Text("active"), num("10"))
	for b.Loop() {
		s, err := NewScope(names, values)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Condition("ConditionExpression", typical); err != nil || s.Unused() != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	b.ReportAllocs()
	c, err := scopeOf(b, map[string]string{"#s": "status"}, Text("active"), num("10")).Condition("ConditionExpression",
		typical)
	if err != nil {
		b.Fatal(err)
	}
	it := New(Attr{"pk", Text("user#1")}, Attr{"status", Text("active")}, Attr{"version", num("7")})
	for b.Loop() {
		if !c.Match(it) {
			b.Fatal("got no match")
		}
	}
}
