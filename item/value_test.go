package item

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"holdfast"
)

func TestTypeNames(t *testing.T) {
	for typ, name := range map[Type]string{S: "S", N: "N", B: "B", SS: "SS", NS: "NS", BS: "BS", BOOL: "BOOL",
		NULL: "NULL", L: "L", M: "M"} {
		if got := typ.String(); got != name {
			t.Errorf("String: got %s; want %s", got, name)
		}
		if got, ok := TypeOf(name); got != typ || !ok {
			t.Errorf("TypeOf(%s): got %v, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "s", "X", "?"} {
		if got, ok := TypeOf(name); ok {
			t.Errorf("TypeOf(%q): got %v", name, got)
		}
	}
}

func set(t Type, elements ...string) Value { return Value{Type: t, Set: elements} }

// many returns the numbers from 0 to 99 as texts, from first on.
func many(first int) []string {
	var elements []string
	for i := range 100 {
		elements = append(elements, fmt.Sprint((first+i)%100))
	}
	return elements
}

func TestEqual(t *testing.T) {
	for _, test := range []struct {
		a, b Value
		want bool
	}{
		{Text("a"), Text("a"), true},
		{Text("a"), Bytes("a"), false},
		{number(t, "1.0"), number(t, "1"), true},
		{number(t, "1"), Text("1"), false},
		{set(SS, "a", "b"), set(SS, "b", "a"), true},
		{set(SS, "a", "b"), set(SS, "b", "c"), false},
		{set(SS, "a"), set(SS, "b", "a"), false},
		{set(SS, "1"), set(NS, "1"), false},
		{set(NS, many(0)...), set(NS, many(50)...), true},
		{set(NS, many(0)...), set(NS, append(many(1)[:99], "x")...), false},
		{Null, Null, true},
		{Bool(true), Bool(true), true},
		{Bool(true), Bool(false), false},
		{List(Text("a"), Null), List(Text("a"), Null), true},
		{List(Text("a"), Null), List(Null, Text("a")), false},
		{List(Text("a")), List(Text("a"), Null), false},
		{Map(texts("a", "b")), Map(texts("a", "b")), true},
		{Map(texts("a", "b")), Map(texts("a", "c")), false},
		{Map(texts("a", "b")), Map(texts("c", "b")), false},
	} {
		if test.a.Equal(test.b) != test.want || test.b.Equal(test.a) != test.want {
			t.Errorf("%v and %v: want %v", test.a, test.b, test.want)
		}
	}
}

func TestCompare(t *testing.T) {
	for _, test := range []struct {
		a, b Value
		want int
		ok   bool
	}{
		{Text("a"), Text("B"), 1, true},
		{Text("10"), Text("9"), -1, true},
		{number(t, "10"), number(t, "9"), 1, true},
		{Bytes("\x80"), Bytes("a"), 1, true},
		{Text("a"), Bytes("b"), 0, false},
		{Bool(true), Bool(false), 0, false},
		{List(), List(), 0, false},
	} {
		if got, ok := test.a.Compare(test.b); got != test.want || ok != test.ok {
			t.Errorf("%v and %v: got %d, %v; want %d, %v", test.a, test.b, got, ok, test.want, test.ok)
		}
	}
}

func wrapped(v Value, times int) Value {
	for i := range times {
		if i%2 == 0 {
			v = List(v)
		} else {
			v = Map(New(Attr{"x", v}))
		}
	}
	return v
}

func TestCheck(t *testing.T) {
	const invalid = "One or more parameter values were invalid: "
	const nesting = "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond " +
		"supported limit"
	for _, test := range []struct {
		v    Value
		want string
	}{
		{Text(""), ""}, {Bytes(""), ""}, {List(), ""}, {Map(nil), ""}, {Null, ""}, {set(SS, "a", "b"), ""}, {set(SS, ""), ""},
		{set(SS), invalid + "An string set  may not be empty"},
		{set(NS), invalid + "An number set  may not be empty"},
		{set(BS), invalid + "Binary sets should not be empty"},
		{set(SS, "a", "a"), invalid + "Input collection [a, a] contains duplicates."},
		{set(NS, "1", "1"), "Input collection contains duplicates"},
		{set(BS, "b", "b"), invalid + "Input collection [Yg==, Yg==]of type BS contains duplicates."},
		{set(NS, append(many(0), "17")...), "Input collection contains duplicates"},
		{set(NS, many(0)...), ""},
		{wrapped(set(SS), 3), invalid + "An string set  may not be empty"},
		{wrapped(Null, 31), ""},
		{wrapped(Null, 32), nesting},
	} {
		err := test.v.Check()
		if (err == nil) != (test.want == "") || err != nil &&
			(err.Error() != test.want || !errors.Is(err, holdfast.Invalid)) {
			t.Errorf("%v: got %v; want %q", test.v, err, test.want)
		}
		if itemErr := New(Attr{"fine", Null}, Attr{"v", test.v}).Check(); fmt.Sprint(itemErr) != fmt.Sprint(err) {
			t.Errorf("%v in an item: got %v; want %v", test.v, itemErr, err)
		}
	}
}

// The sizes of numbers are dynalite's, which it measured.
func TestSize(t *testing.T) {
	for text, want := range map[string]int{
		"0": 1, "1": 2, "-1": 3, "10": 2, "100": 2, "12": 2, "123": 3, "1234": 3, "-12": 3, "-123": 4, "0.1": 2, "0.01": 2,
		"0.012":  3,
		"-0.012": 4, "1.5": 3, "-15.25": 4, "123456": 4, "12345.67": 5, "1e125": 2, "-1e-130": 3,
		"12345678901234567890123456789012345678": 20, "-12345678901234567890123456789012345678": 21,
		"-1234567890123456789012345678901234567.8": 22, "123456789012345678901234567890123456.78": 20,
	} {
		if got := number(t, text).Size(); got != want {
			t.Errorf("%s: got %d; want %d", text, got, want)
		}
	}
	it := New(Attr{"a", Text("abc")}, Attr{"b", List(Text("x"), number(t, "12"), Map(New(Attr{"k", Bool(true)})))},
		Attr{"c", Map(nil)},
		Attr{"d", Null}, Attr{"e", set(SS, "ab", "c")}, Attr{"f", set(NS, "1", "234")}, Attr{"g", Bytes("abc")},
		Attr{"h", List()},
		Attr{"i", set(BS, "abc", "a")})
	if got := it.Size(); got != 49 {
		t.Errorf("%v: got %d; want 49", it, got)
	}
	if got := Text("äöü").Size(); got != 6 {
		t.Errorf("three letters of two bytes: got %d; want 6", got)
	}
}

// Items do what maps do, and don't change under their callers.
func TestItemIsAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	it, model := New(), map[string]string{}
	for range 5000 {
		name := strings.Repeat("n", r.IntN(3)) + fmt.Sprint(r.IntN(12))
		before := slices.Clone(it)
		next := it
		if r.IntN(3) == 0 {
			delete(model, name)
			next = it.Without(name)
		} else {
			model[name] = fmt.Sprint(r.IntN(1000))
			next = it.With(name, Text(model[name]))
		}
		if !it.Equal(before) {
			t.Fatalf("%v became %v when another was made of it", before, it)
		}
		it = next
		var attrs []Attr
		for name, text := range model {
			attrs = append(attrs, Attr{name, Text(text)})
		}
		if want := New(attrs...); !it.Equal(want) {
			t.Fatalf("got %v; want %v", it, want)
		}
		got, ok := it.Get(name)
		if want, has := model[name]; ok != has || it.Has(name) != has || got.Text != want {
			t.Fatalf("%s: got %q, %v; want %q, %v", name, got.Text, ok, want, has)
		}
	}
}

func TestNew(t *testing.T) {
	got := New(Attr{"b", Text("1")}, Attr{"a", Text("2")}, Attr{"b", Text("3")})
	if want := (Item{{"a", Text("2")}, {"b", Text("3")}}); !got.Equal(want) {
		t.Errorf("got %v; want %v", got, want)
	}
	if New() == nil {
		t.Error("New() is no item; want one without attributes")
	}
	if Item(nil).Equal(New()) {
		t.Error("no item equals one without attributes")
	}
}

func TestOnly(t *testing.T) {
	it := texts("a", "1", "b", "2", "c", "3")
	if got, want := it.Only("c", "a", "x", "a"), texts("a", "1", "c", "3"); !got.Equal(want) {
		t.Errorf("got %v; want %v", got, want)
	}
}
