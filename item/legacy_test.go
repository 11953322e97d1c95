package item

import "testing"

func TestFilter(t *testing.T) {
	filter := func(op string, attr string, values ...Value) Comparison {
		return Comparison{Attr: attr, Op: op, HasValues: true, Values: values}
	}
	const arguments = "One or more parameter values were invalid: Invalid number of argument(s) for the "
	for _, c := range []struct {
		c    Comparison
		want string // whether it holds of everything, or an error
	}{
		{filter("EQ", "S", Text("hello")), "true"}, {filter("EQ", "SS", set(SS, "b", "a")), "true"},
		{filter("EQ", "none", Text("")), "false"}, {filter("NE", "none", Text("")), "true"},
		{filter("NE", "S", num("1")), "true"},
		{filter("LT", "N", num("43")), "true"}, {filter("LE", "N", num("41")), "false"},
		{filter("GT", "N", num("41")), "true"}, {filter("GE", "N", Text("1")), "false"},
		{filter("NULL", "NULL"), "false"}, {filter("NOT_NULL", "NULL"), "true"}, {filter("NULL", "none"), "true"},
		{filter("CONTAINS", "SS", Text("a")), "true"}, {filter("CONTAINS", "N", num("4")), "false"},
		{filter("NOT_CONTAINS", "SS", Text("x")), "true"}, {filter("NOT_CONTAINS", "S", Text("ell")), "false"},
		{filter("NOT_CONTAINS", "N", Text("x")), "true"},
		{filter("BEGINS_WITH", "S", Text("he")), "true"}, {filter("BEGINS_WITH", "B", Bytes("\x02")), "false"},
		{filter("IN", "S", Text("x"), Text("hello")), "true"}, {filter("IN", "none", Text("x")), "false"},
		{filter("BETWEEN", "N", num("42"), num("43")), "true"}, {filter("BETWEEN", "S", Text("i"), Text("j")), "false"},
		{filter("EQ", "a"), arguments + "EQ ComparisonOperator"},
		{filter("EQ", "a", Text("a"), Text("a")), arguments + "EQ ComparisonOperator"},
		{filter("NULL", "a", Text("a")), arguments + "NULL ComparisonOperator"},
		{filter("IN", "a"), arguments + "IN ComparisonOperator"},
		{filter("BETWEEN", "a", Text("a")), arguments + "BETWEEN ComparisonOperator"},
		{filter("IN", "a", Text("a"), num("1")),
			"One or more parameter values were invalid: AttributeValues inside AttributeValueList must be of same type"},
		{filter("BETWEEN", "a", num("2"), num("1")),
			"The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"},
		{filter("EQ", "a", set(NS)), "One or more parameter values were invalid: An number set  may not be empty"},
		{filter("EQ", "none", Bool(true)), "false"}, {filter("EQ", "BOOL", Bool(true)), "true"},
		{filter("NE", "BOOL", Bool(true)), "false"},
		{filter("EQ", "NULL", Null), "true"}, {filter("NE", "NULL", Null), "false"}, {filter("NE", "none", Null), "true"},
		{filter("EQ", "L", List(num("1"))), "false"}, {filter("NE", "L", List(num("1"))), "true"},
		{filter("EQ", "M", Map(Item{})), "false"}, {filter("NE", "M", Map(Item{})), "true"},
		{filter("NE", "M", List()), "true"},
		// Neither holds for an attribute that isn't there.
		{filter("CONTAINS", "none", num("1")), "false"}, {filter("NOT_CONTAINS", "none", num("1")), "false"},
		{filter("LT", "none", num("1")), "false"}, {filter("GE", "none", num("1")), "false"},
		{filter("NOT_NULL", "none"), "false"},
		{filter("BETWEEN", "none", num("1"), num("2")), "false"}, {filter("BEGINS_WITH", "none", Text("")), "false"},
		{filter("EQ", "", Text("a")), "Empty attribute name"},
		{filter("NOT_CONTAINS", "a", List(num("1"))),
			"One or more parameter values were invalid: ComparisonOperator NOT_CONTAINS is not valid for L AttributeValue type"},
		{filter("LT", "a", set(SS, "a")),
			"One or more parameter values were invalid: ComparisonOperator LT is not valid for SS AttributeValue type"},
		{filter("CONTAINS", "a", Map(Item{})),
			"One or more parameter values were invalid: ComparisonOperator CONTAINS is not valid for M AttributeValue type"},
		{filter("BEGINS_WITH", "a", num("1")),
			"One or more parameter values were invalid: ComparisonOperator BEGINS_WITH is not valid for N AttributeValue type"},
	} {
		f, err := Filter("ScanFilter", []Comparison{c.c}, "")
		if got := verdict(f, err); got != c.want {
			t.Errorf("%v:\n got %s\nwant %s", c.c, got, c.want)
		}
	}
}

// verdict returns whether the condition holds of everything, or the error.
func verdict(c *Condition, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case c.Match(everything):
		return "true"
	}
	return "false"
}

func TestConditionalOperator(t *testing.T) {
	yes := Comparison{Attr: "S", Op: "NOT_NULL"}
	no := Comparison{Attr: "S", Op: "NULL"}
	for _, c := range []struct {
		cs       []Comparison
		operator string
		want     string
	}{
		{nil, "", "true"},
		{[]Comparison{yes, no}, "", "false"},
		{[]Comparison{yes, no}, "AND", "false"},
		{[]Comparison{no, yes}, "OR", "true"},
		{[]Comparison{no, no}, "OR", "false"},
		{nil, "OR", "ConditionalOperator cannot be used without Filter or Expected"},
		{[]Comparison{yes}, "OR", "ConditionalOperator can only be used when Filter or Expected has two or more elements"},
	} {
		f, err := Filter("QueryFilter", c.cs, c.operator)
		if got := verdict(f, err); got != c.want {
			t.Errorf("%v %s: got %s; want %s", c.cs, c.operator, got, c.want)
		}
		e, err := Expected(c.cs, c.operator)
		if got := verdict(e, err); got != c.want {
			t.Errorf("expected %v %s: got %s; want %s", c.cs, c.operator, got, c.want)
		}
	}
}

func TestExpected(t *testing.T) {
	notValid := func(op, typ string) string {
		return "One or more parameter values were invalid: ComparisonOperator " + op + " is not valid for " + typ +
			" AttributeValue type"
	}
	yes, no := true, false
	hello, list := Text("hello"), []Value{Text("hello")}
	const invalid = "One or more parameter values were invalid: "
	for _, c := range []struct {
		c    Comparison
		want string
	}{
		{Comparison{Attr: "S", Value: hello, HasValue: true}, "true"},
		{Comparison{Attr: "S", Value: hello, HasValue: true, Exists: &yes}, "true"},
		{Comparison{Attr: "S", Value: num("1"), HasValue: true, Exists: &yes}, "false"},
		{Comparison{Attr: "NULL", Value: Null, HasValue: true}, "true"},
		{Comparison{Attr: "S", Exists: &no}, "false"},
		{Comparison{Attr: "none", Exists: &no}, "true"},
		{Comparison{Attr: "S", Op: "EQ", Values: list, HasValues: true}, "true"},
		{Comparison{Attr: "S", Op: "GE", Value: Text("i"), HasValue: true}, "false"},
		{Comparison{Attr: "S", Op: "NOT_NULL"}, "true"},
		{Comparison{Attr: "S", Op: "NULL"}, "false"},
		{Comparison{Attr: "S", Op: "IN", Values: []Value{num("1"), hello}, HasValues: true},
			invalid + "AttributeValues inside AttributeValueList must be of same type"},
		{Comparison{Attr: "a", Op: "LT", Value: hello, HasValue: true, Values: list, HasValues: true},
			invalid + "Value and AttributeValueList cannot be used together for Attribute: a"},
		{Comparison{Attr: "a", Op: "LT", Exists: &yes}, invalid +
			"Exists and ComparisonOperator cannot be used together for Attribute: a"},
		{Comparison{Attr: "a", Op: "LT"}, invalid +
			"Value or AttributeValueList must be used with ComparisonOperator: LT for Attribute: a"},
		{Comparison{Attr: "a", Values: list, HasValues: true}, invalid +
			"AttributeValueList can only be used with a ComparisonOperator for Attribute: a"},
		{Comparison{Attr: "a", Exists: &yes, Values: list, HasValues: true}, invalid +
			"AttributeValueList can only be used with a ComparisonOperator for Attribute: a"},
		{Comparison{Attr: "a"}, invalid + "Value must be provided when Exists is null for Attribute: a"},
		{Comparison{Attr: "a", Exists: &yes}, invalid + "Value must be provided when Exists is true for Attribute: a"},
		{Comparison{Attr: "a", Exists: &no, Value: hello, HasValue: true}, invalid +
			"Value cannot be used when Exists is false for Attribute: a"},
		{Comparison{Attr: "a", Op: "EQ", HasValues: true}, invalid +
			"Invalid number of argument(s) for the EQ ComparisonOperator"},
		{Comparison{Attr: "a", Op: "NULL", Value: hello, HasValue: true}, invalid +
			"Invalid number of argument(s) for the NULL ComparisonOperator"},
		{Comparison{Attr: "a", Op: "BETWEEN", Value: hello, HasValue: true}, invalid +
			"Invalid number of argument(s) for the BETWEEN ComparisonOperator"},
		{Comparison{Attr: "a", Op: "BETWEEN", Values: []Value{num("2"), num("1")}, HasValues: true},
			"The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"},
		{Comparison{Attr: "a", Value: set(SS), HasValue: true}, invalid + "An string set  may not be empty"},
		{Comparison{Value: hello, HasValue: true}, "Empty attribute name"},
		{Comparison{Attr: "BOOL", Op: "EQ", Value: Bool(true), HasValue: true}, "true"},
		{Comparison{Attr: "none", Op: "NOT_CONTAINS", Values: []Value{num("1")}, HasValues: true}, "false"},
		{Comparison{Attr: "none", Op: "NE", Values: []Value{num("1")}, HasValues: true}, "true"},
		{Comparison{Attr: "N", Op: "LE", Values: []Value{List()}, HasValues: true}, notValid("LE", "L")},
		{Comparison{Attr: "N", Op: "GT", Value: Bool(true), HasValue: true}, notValid("GT", "BOOL")},
		{Comparison{Attr: "a", Op: "CONTAINS", Values: []Value{List()}, HasValues: true}, notValid("CONTAINS", "L")},
		{Comparison{Attr: "a", Op: "NOT_CONTAINS", Values: []Value{set(SS, "a")}, HasValues: true},
			notValid("NOT_CONTAINS", "SS")},
		{Comparison{Attr: "a", Op: "BEGINS_WITH", Values: []Value{num("1")}, HasValues: true}, notValid("BEGINS_WITH", "N")},
		{Comparison{Attr: "a", Op: "IN", Values: []Value{List(), List()}, HasValues: true}, notValid("IN", "L")},
		{Comparison{Attr: "a", Op: "BETWEEN", Values: []Value{set(NS, "1"), set(NS, "2")}, HasValues: true},
			notValid("BETWEEN", "NS")},
		// A wrong type in the item, not in the request, is a condition that doesn't hold.
		{Comparison{Attr: "L", Op: "LE", Values: []Value{num("1")}, HasValues: true}, "false"},
		{Comparison{Attr: "N", Op: "BEGINS_WITH", Values: []Value{Text("4")}, HasValues: true}, "false"},
		{Comparison{Attr: "L", Op: "BETWEEN", Values: []Value{num("1"), num("2")}, HasValues: true}, "false"},
	} {
		e, err := Expected([]Comparison{c.c}, "")
		if got := verdict(e, err); got != c.want {
			t.Errorf("%v:\n got %s\nwant %s", c.c, got, c.want)
		}
	}
}

func TestAttributeUpdates(t *testing.T) {
	const mismatch = "Type mismatch for attribute to update"
	const invalid = "One or more parameter values were invalid: "
	put := func(action, attr string, v Value) AttributeUpdate {
		return AttributeUpdate{Attr: attr, Action: action, HasValue: true, Value: v}
	}
	before := New(Attr{"l", List(num("1"))}, Attr{"n", num("1")}, Attr{"s", Text("t")}, Attr{"ss", set(SS, "a", "b")})
	const rest = `l:[1] n:1 s:"t" ss:SS["a" "b"]`
	for _, c := range []struct {
		us   []AttributeUpdate
		want string
	}{
		{nil, rest},
		{[]AttributeUpdate{put("", "a.b", Text("x")), put("PUT", "s", Null)}, `a.b:"x" l:[1] n:1 s:null ss:SS["a" "b"]`},
		{[]AttributeUpdate{put("ADD", "n", num("2")), put("ADD", "m", num("2")), put("ADD", "ss", set(SS, "c", "b")),
			put("ADD", "l", List(Null))},
			`l:[1 null] m:2 n:3 s:"t" ss:SS["a" "b" "c"]`},
		{[]AttributeUpdate{{Attr: "n", Action: "DELETE"}, {Attr: "none", Action: "DELETE"}, put("DELETE", "ss", set(SS, "a")),
			put("DELETE", "x", set(SS, "a"))},
			`l:[1] s:"t" ss:SS["b"]`},
		{[]AttributeUpdate{put("DELETE", "ss", set(SS, "a", "b"))}, `l:[1] n:1 s:"t"`},
		{[]AttributeUpdate{put("DELETE", "ss", set(NS, "1"))}, mismatch},
		{[]AttributeUpdate{put("DELETE", "n", set(NS, "1"))}, mismatch},
		{[]AttributeUpdate{put("ADD", "ss", set(NS, "1"))}, mismatch},
		{[]AttributeUpdate{put("ADD", "s", num("1"))}, mismatch},
		{[]AttributeUpdate{{Attr: "a"}}, invalid + "Only DELETE action is allowed when no attribute value is specified"},
		{[]AttributeUpdate{{Attr: "a", Action: "ADD"}}, invalid +
			"Only DELETE action is allowed when no attribute value is specified"},
		{[]AttributeUpdate{put("DELETE", "a", num("1"))}, invalid +
			"DELETE action with value is not supported for the type N"},
		{[]AttributeUpdate{put("ADD", "a", Bytes("b"))}, invalid + "ADD action is not supported for the type B"},
		{[]AttributeUpdate{put("PUT", "a", set(SS))}, invalid + "An string set  may not be empty"},
	} {
		u, err := AttributeUpdates(c.us)
		var after Item
		if err == nil {
			after, err = u.Apply(before)
		}
		got := showItem(after)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v:\n got %s\nwant %s", c.us, got, c.want)
		}
		if got := showItem(before); got != rest {
			t.Fatalf("before: got changed to %s", got)
		}
	}
}
