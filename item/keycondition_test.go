package item

import (
	"fmt"
	"strings"
	"testing"
)

var (
	byHash   = KeySchema{Hash: KeyAttr{"a", S}}
	byNumber = KeySchema{Hash: KeyAttr{"a", S}, Range: KeyAttr{"b", N}}
	byText   = KeySchema{Hash: KeyAttr{"a", S}, Range: KeyAttr{"b", S}}
)

// resolved returns what a condition asks for, or its error.
func resolved(c *KeyCondition, k IndexKey) string {
	l, err := c.Resolve(k)
	if err != nil {
		return err.Error()
	}
	var parts []string
	for _, v := range l.Hash {
		parts = append(parts, show(v))
	}
	names := [...]string{EQ: "=", LT: "<", LE: "<=", GT: ">", GE: ">=", BeginsWith: "begins"}
	for _, r := range l.Sort {
		if r.Op == Between {
			parts = append(parts, fmt.Sprintf("between %s and %s", show(r.Low), show(r.High)))
		} else {
			parts = append(parts, names[r.Op]+" "+show(r.Low))
		}
	}
	return strings.Join(parts, " ")
}

func TestKeyCondition(t *testing.T) {
	const (
		unsupported = "Query key condition not supported"
		missed      = "Query condition missed key schema element: "
		schema      = "One or more parameter values were invalid: Condition parameter type does not match schema type"
		operator    = "Invalid operator used in KeyConditionExpression: "
		first       = " operator must have the key attribute as its first operand"
		wrong       = "Invalid condition in KeyConditionExpression: "
		nested      = "KeyConditionExpressions cannot contain nested operations"
		inside      = "KeyConditionExpressions cannot have conditions on nested attributes"
		once        = "KeyConditionExpressions must only contain one condition per key"
		length      = "Conditions can be of length 1 or 2 only"
	)
	// :a is a text, :b and :c numbers, :d a truth, :e an empty text.
	values := []Value{Text("k"), num("1"), num("2"), Bool(true), Text("")}
	for _, c := range []struct {
		text   string
		schema KeySchema
		want   string
	}{
		{"a = :a", byHash, `"k"`},
		{":a = a", byNumber, `"k"`},
		{"(a = :a)", byNumber, `"k"`},
		{"(#a = :a) AND (b = :b)", byNumber, `"k" = 1`},
		{"(b < :b AND (a = :a))", byNumber, `"k" < 1`},
		{"a = :a AND :b < b", byNumber, `"k" > 1`},
		{"a = :a AND :b <= b", byNumber, `"k" >= 1`},
		{"a = :a AND :b > b", byNumber, `"k" < 1`},
		{"a = :a AND :b >= b", byNumber, `"k" <= 1`},
		{"a = :a AND b BETWEEN :b AND :c", byNumber, `"k" between 1 and 2`},
		{"a = :a AND begins_with(b, :a)", byText, `"k" begins "k"`},
		{"a = :a AND begins_with(b, :e)", byText, `"k" begins ""`},
		// Wrong for any schema.
		{"attribute_type(a, :a)", byHash,
			"Invalid KeyConditionExpression: Invalid attribute type name found; type: k, valid types: " +
				"{B,NULL,SS,BOOL,L,BS,N,NS,S,M}"},
		{"a > b and size(b) > c or a > c", byHash, operator + "OR"},
		{"a in (b, size(c), d)", byHash, operator + "IN"},
		{"attribute_exists(a)", byHash, operator + "attribute_exists"},
		{"attribute_not_exists(a)", byHash, operator + "attribute_not_exists"},
		{"contains(a.d, b)", byHash, operator + "contains"},
		{"not a > b", byHash, operator + "NOT"},
		{"a <> b", byHash, operator + "<>"},
		{":b between size(b) and size(a) and b > :b", byHash, wrong + "BETWEEN" + first},
		{"begins_with(:a, b) and a > :b", byHash, wrong + "begins_with" + first},
		{"size(b) > a AND a.b > b AND b > c", byHash, nested},
		{"a > size(b.d)", byHash, nested},
		{"a between size(b) and size(a)", byHash, nested},
		{"b > a.b", byHash, wrong + "Multiple attribute names used in one condition"},
		{"b between c[1] and d", byHash, wrong + "Multiple attribute names used in one condition"},
		{"a between b and size(a)", byHash, wrong + "Multiple attribute names used in one condition"},
		{"begins_with(a, b)", byHash, wrong + "Multiple attribute names used in one condition"},
		{"b.d > a AND c.d > e.f", byHash, inside},
		{"b[0] > a", byHash, inside},
		{":b > :c AND a < :b", byHash, wrong + "No key attribute specified"},
		{"b > :b AND b < :b and c = :b and d = :b", byHash, once},
		{"(a > :b and b > :b) and (b > :b and c > :b)", byHash, once},
		{":a = a and b = :a and :a = c", byHash, length},
		{"(a > :b and b > :b) and (c > :b and d > :b)", byHash, length},
		{"a between :a and :b", byHash,
			"Invalid KeyConditionExpression: The BETWEEN operator requires same data type for lower and upper bounds; " +
				"lower bound operand: AttributeValue: {S:k}, upper bound operand: AttributeValue: {N:1}"},
		{"a = :a AND b < :d", byNumber,
			"Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function: <, " +
				"operand type: BOOL"},
		{"a = :a AND :d >= b", byNumber,
			"Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function: >=, " +
				"operand type: BOOL"},
		// Wrong for the schema.
		{"b = :b", byNumber, missed + "a"},
		{"attr1 = :b", byNumber, missed + "a"},
		{"a = :a AND c = :b", byNumber, missed + "b"},
		{"a = :a AND b = :a", byHash, unsupported},
		{"y = :a AND z = :a", byHash, unsupported},
		{"a > :a", byHash, unsupported},
		{"begins_with(a, :a)", byHash, unsupported},
		{"a between :a and :a", byHash, unsupported},
		{"a = :b", byHash, schema},
		{":b > a", byHash, schema},
		{"a = :a AND b = :a", byNumber, schema},
		{"a = :a AND b = :d", byNumber, schema},
		{"a = :a AND begins_with(b, :a)", byNumber, schema},
		{"a = :e", byHash,
			"One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty " +
				"string value. Key: a"},
	} {
		t.Run(c.text, func(t *testing.T) {
			k, err := scopeOf(t, map[string]string{"#a": "a"}, values...).KeyCondition(c.text)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = resolved(k, c.schema.Index())
			}
			if got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestKeyConditions(t *testing.T) {
	eq := Comparison{Attr: "a", Op: "EQ", HasValues: true, Values: []Value{Text("k")}}
	with := func(op string, values ...Value) []Comparison {
		return []Comparison{{Attr: "b", Op: op, HasValues: true, Values: values}, eq}
	}
	const indexable = "Attempted conditional constraint is not an indexable operation"
	for _, c := range []struct {
		cs     []Comparison
		schema KeySchema
		want   string
	}{
		{[]Comparison{eq}, byNumber, `"k"`},
		{with("EQ", num("1")), byNumber, `"k" = 1`},
		{with("LT", num("1")), byNumber, `"k" < 1`},
		{with("LE", num("1")), byNumber, `"k" <= 1`},
		{with("GT", num("1")), byNumber, `"k" > 1`},
		{with("GE", num("1")), byNumber, `"k" >= 1`},
		{with("BETWEEN", num("1"), num("1")), byNumber, `"k" between 1 and 1`},
		{with("BEGINS_WITH", Text("x")), byText, `"k" begins "x"`},
		{with("NULL"), byNumber, indexable},
		{with("NOT_NULL"), byNumber, indexable},
		{with("NE", num("1")), byNumber, indexable},
		{with("CONTAINS", num("1")), byNumber, indexable},
		{with("NOT_CONTAINS", num("1")), byNumber, indexable},
		{with("IN", num("1")), byNumber, indexable},
		{with("EQ", num("1")), byHash, "Query key condition not supported"},
		{[]Comparison{{Attr: "a", Op: "LE", Values: []Value{Text("k")}}}, byHash, "Query key condition not supported"},
		{with("EQ", num("1"))[:1], byNumber, "Query condition missed key schema element: a"},
		{nil, byHash, "Conditions can be of length 1 or 2 only"},
		{append(with("NULL"), Comparison{Attr: "c", Op: "NULL"}), byHash, "Conditions can be of length 1 or 2 only"},
		{with("EQ"), byNumber,
			"One or more parameter values were invalid: Invalid number of argument(s) for the EQ ComparisonOperator"},
		{with("IN", Text("b"), num("1")), byNumber,
			"One or more parameter values were invalid: AttributeValues inside AttributeValueList must be of same type"},
		{with("BETWEEN", num("2"), num("1")), byNumber,
			"The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"},
	} {
		k, err := KeyConditions(c.cs)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = resolved(k, c.schema.Index())
		}
		if got != c.want {
			t.Errorf("%v:\n got %s\nwant %s", c.cs, got, c.want)
		}
	}
}

// The words about RANGE attributes, and that the order of the clauses doesn't matter, are what the
// service answered in October 2026; those about HASH attributes are like them.
func TestKeyConditionOfSeveralAttributes(t *testing.T) {
	multi := IndexKey{
		Hash:  []KeyAttr{{"a", S}, {"b", N}},
		Range: []KeyAttr{{"c", S}, {"d", N}, {"e", B}},
	}
	oneHash := IndexKey{Hash: multi.Hash[:1], Range: multi.Range}
	hashes := IndexKey{Hash: multi.Hash}
	const (
		hashed = "HASH key attributes %s must have equality conditions specified in the query"
		ranged = "RANGE key attributes %s must have equality conditions specified in the query because a condition is " +
			"present on " +
			"key attribute %s"
		schema = "One or more parameter values were invalid: Condition parameter type does not match schema type"
	)
	// :a is a text, :b and :c numbers, :d bytes, :e an empty text.
	values := []Value{Text("k"), num("1"), num("2"), Bytes("x"), Text("")}
	for _, c := range []struct {
		text string
		key  IndexKey
		want string
	}{
		{"a = :a AND b = :b", multi, `"k" 1`},
		{"a = :a AND b = :b", hashes, `"k" 1`},
		{"b = :b AND a = :a", hashes, `"k" 1`},
		{"a = :a", oneHash, `"k"`},
		{"a = :a AND c > :a", oneHash, `"k" > "k"`},
		{"a = :a AND b = :b AND c = :a", multi, `"k" 1 = "k"`},
		{"c = :a AND b = :b AND a = :a", multi, `"k" 1 = "k"`},
		{"a = :a AND b = :b AND begins_with(c, :a)", multi, `"k" 1 begins "k"`},
		{"a = :a AND b = :b AND begins_with(c, :e)", multi, `"k" 1 begins ""`},
		{"d BETWEEN :b AND :c AND a = :a AND b = :b AND c = :a", multi, `"k" 1 = "k" between 1 and 2`},
		{"a = :a AND b = :b AND c = :a AND :c >= d", multi, `"k" 1 = "k" <= 2`},
		{"a = :a AND b = :b AND c = :a AND d = :c AND e >= :d", multi, `"k" 1 = "k" = 2 >= b"x"`},
		{"a = :a AND b = :b AND c = :a AND d = :c AND e = :d", multi, `"k" 1 = "k" = 2 = b"x"`},
		// The partition key.
		{"a = :a", multi, fmt.Sprintf(hashed, "b")},
		{"b = :b AND c = :a", multi, fmt.Sprintf(hashed, "a")},
		{"c = :a", multi, fmt.Sprintf(hashed, "a, b")},
		{"x = :a AND y = :b", multi, fmt.Sprintf(hashed, "a, b")},
		{"a = :a AND b > :b", multi, fmt.Sprintf(hashed, "b")},
		{"a = :a AND b BETWEEN :b AND :c", hashes, fmt.Sprintf(hashed, "b")},
		{"begins_with(a, :a) AND b = :b", multi, fmt.Sprintf(hashed, "a")},
		{"c = :a AND d = :b", oneHash, fmt.Sprintf(hashed, "a")},
		{"a = :b AND b = :b", multi, schema},
		{"a = :a AND b = :a", multi, schema},
		{"a = :e AND b = :b", multi,
			"One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain " +
				"an empty string value. Key: a"},
		// The sort key.
		{"a = :a AND b = :b AND d = :b", multi, fmt.Sprintf(ranged, "c", "d")},
		{"a = :a AND b = :b AND c = :a AND e = :d", multi, fmt.Sprintf(ranged, "d", "e")},
		{"a = :a AND b = :b AND e = :d", multi, fmt.Sprintf(ranged, "c, d", "e")},
		{"a = :a AND b = :b AND c > :a AND d = :b", multi, fmt.Sprintf(ranged, "c", "d")},
		{"a = :a AND b = :b AND c > :a AND d > :b", multi, fmt.Sprintf(ranged, "c", "d")},
		{"a = :a AND begins_with(c, :a) AND d = :b", oneHash, fmt.Sprintf(ranged, "c", "d")},
		{"a = :a AND b = :b AND c = :b", multi, schema},
		{"a = :a AND b = :b AND c = :a AND d = :a", multi, schema},
		{"a = :a AND b = :b AND c = :a AND begins_with(d, :a)", multi, schema},
		// What isn't of the key.
		{"a = :a AND b = :b AND x = :a", hashes, "Query key condition not supported"},
		{"a = :a AND b = :b AND x = :a", multi, "Query condition missed key schema element: c"},
		{"a = :a AND b = :b AND c = :a AND x = :a", multi, "Query condition missed key schema element: d"},
		{"a = :a AND b = :b AND c = :a AND d = :b AND e = :d AND x = :a", multi, "Query key condition not supported"},
		{"a = :a AND b = :b AND c = :a AND d = :b AND e = :d AND x = :a AND y = :a AND z = :a AND w = :a", multi,
			"Conditions can be of length 1 or 2 only"},
		{"a = :a AND b = :b AND b = :c", multi, "KeyConditionExpressions must only contain one condition per key"},
		{"a = :a AND c = :a AND d = :b", byText.Index(), "Conditions can be of length 1 or 2 only"},
	} {
		t.Run(c.text, func(t *testing.T) {
			k, err := scopeOf(t, nil, values...).KeyCondition(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := resolved(k, c.key); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestKeyConditionsOfSeveralAttributes(t *testing.T) {
	key := IndexKey{Hash: []KeyAttr{{"a", S}}, Range: []KeyAttr{{"c", S}, {"d", N}}}
	compared := func(attr, op string, values ...Value) Comparison {
		return Comparison{Attr: attr, Op: op, HasValues: true, Values: values}
	}
	a, c := compared("a", "EQ", Text("k")), compared("c", "EQ", Text("x"))
	for _, test := range []struct {
		cs   []Comparison
		want string
	}{
		{[]Comparison{a}, `"k"`},
		{[]Comparison{compared("d", "GT", num("1")), c, a}, `"k" = "x" > 1`},
		{[]Comparison{a, c, compared("d", "BETWEEN", num("1"), num("2"))}, `"k" = "x" between 1 and 2`},
		{[]Comparison{a, compared("d", "GT", num("1"))},
			"RANGE key attributes c must have equality conditions specified in the query " +
				"because a condition is present on key attribute d"},
		{[]Comparison{a, compared("c", "NE", Text("x"))}, "Attempted conditional constraint is not an indexable operation"},
		{[]Comparison{compared("a", "NE", Text("k"))},
			"HASH key attributes a must have equality conditions specified in the query"},
	} {
		k, err := KeyConditions(test.cs)
		if err != nil {
			t.Fatal(err)
		}
		if got := resolved(k, key); got != test.want {
			t.Errorf("%v:\n got %s\nwant %s", test.cs, got, test.want)
		}
	}
}
