package item

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"holdfast"
)

// num returns a number that is one.
func num(s string) Value {
	v, err := Number(s)
	if err != nil {
		panic(err)
	}
	return v
}

// valuesOf returns values under the names :a, :b and so on.
func valuesOf(values ...Value) Item {
	if len(values) == 0 {
		return nil
	}
	var it Item
	for i, v := range values {
		it = append(it, Attr{":" + string(rune('a'+i)), v})
	}
	return it
}

func scopeOf(t testing.TB, names map[string]string, values ...Value) *Scope {
	t.Helper()
	s, err := NewScope(names, valuesOf(values...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantError fails unless err is of kind Invalid and says want. "" is no error, and what ends with …
// is the beginning.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
		if !errors.Is(err, holdfast.Invalid) {
			t.Errorf("kind of %q: got another; want invalid", got)
		}
	}
	if start, ok := strings.CutSuffix(want, "…"); ok && strings.HasPrefix(got, start) && got != "" {
		return
	}
	if got != want {
		t.Errorf("error:\n got %q\nwant %q", got, want)
	}
}

func TestScopeErrors(t *testing.T) {
	long := "#" + strings.Repeat("a", 255)
	for _, c := range []struct {
		names  map[string]string
		values Item
		want   string
	}{
		{nil, nil, ""},
		{map[string]string{}, Item{}, "ExpressionAttributeNames must not be empty"},
		{map[string]string{"a": "a"}, Item{}, `ExpressionAttributeNames contains invalid key: Syntax error; key: "a"`},
		{map[string]string{"": "a"}, nil, `ExpressionAttributeNames contains invalid key: Syntax error; key: ""`},
		{map[string]string{"#": "a"}, nil, `ExpressionAttributeNames contains invalid key: Syntax error; key: "#"`},
		{map[string]string{"#a-b": "a"}, nil, `ExpressionAttributeNames contains invalid key: Syntax error; key: "#a-b"`},
		{map[string]string{long: "a"}, nil,
			`ExpressionAttributeNames contains invalid key: The expression attribute map contains a key that is too long; ` +
				`key: "` + long + `"`},
		{map[string]string{"#0_a": "a"}, Item{}, "ExpressionAttributeValues must not be empty"},
		{nil, Item{{"a", Null}}, `ExpressionAttributeValues contains invalid key: Syntax error; key: "a"`},
		{nil, Item{{":b", set(SS)}}, "ExpressionAttributeValues contains invalid value: " +
			"One or more parameter values were invalid: An string set  may not be empty for key :b"},
	} {
		_, err := NewScope(c.names, c.values)
		wantError(t, err, c.want)
	}
}

func TestUnused(t *testing.T) {
	s := scopeOf(t, map[string]string{"#a": "x", "#b": "y", "#c": "z"}, Null, Null, Null)
	use := func(text string) {
		t.Helper()
		if _, err := s.Condition("ConditionExpression", text); err != nil {
			t.Fatal(err)
		}
	}
	wantError(t, s.Unused(), "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a, #b, #c}")
	use("#b = :b")
	wantError(t, s.Unused(), "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a, #c}")
	use("#a = #c")
	wantError(t, s.Unused(), "Value provided in ExpressionAttributeValues unused in expressions: keys: {:a, :c}")
	use("#a IN (:a, :c)")
	wantError(t, s.Unused(), "")
	wantError(t, scopeOf(t, nil).Unused(), "")
}

// TestSyntaxErrors has the message in full: the token at fault, with those beside it.
func TestSyntaxErrors(t *testing.T) {
	condition := func(s *Scope, text string) (any, error) { return s.Condition("FilterExpression", text) }
	update := func(s *Scope, text string) (any, error) { return s.Update(text) }
	projection := func(s *Scope, text string) (any, error) { return s.Projection(text) }
	for _, c := range []struct {
		parameter   string
		parse       func(s *Scope, text string) (any, error)
		text        string
		token, near string
	}{
		{"FilterExpression", condition, "things are not gonna be ok", "are", "things are not"},
		{"FilterExpression", condition, "a > 4", "4", "> 4"},
		{"FilterExpression", condition, "a = :a and", "<EOF>", "and"},
		{"FilterExpression", condition, " \n", "<EOF>", ""},
		{"FilterExpression", condition, "#articleId attribute_not_exists :ckpst", "attribute_not_exists",
			"#articleId attribute_not_exists :ckpst"},
		{"FilterExpression", condition, "id = tenantAgent:abc123-4", ":abc123", "tenantAgent:abc123-"},
		{"FilterExpression", condition, `attribute_exists("Pictures.RearView")`, `"`, `("Pictures`},
		{"FilterExpression", condition, "attribute_exists(Pictures-RearView)", "-", "Pictures-RearView"},
		{"FilterExpression", condition, "attribute_exists(Pictures..RearView)", ".", "..RearView"},
		{"FilterExpression", condition, "attribute_exists(Pi#ctures.RearView)", "#ctures", "Pi#ctures."},
		{"FilterExpression", condition, "attribute_exists(asdf[a])", "a", "[a]"},
		{"FilterExpression", condition, "attribute_exists()", ")", "()"},
		{"FilterExpression", condition, "a in b, c", "b", "in b,"},
		{"FilterExpression", condition, "a in (b,c,)", ")", ",)"},
		{"FilterExpression", condition, "a in ()", ")", "()"},
		{"FilterExpression", condition, "a > between", "between", "> between"},
		{"FilterExpression", condition, "a between b", "<EOF>", "b"},
		{"FilterExpression", condition, "(a)between(b.(c.d))and(c)", "(", ".(c"},
		{"FilterExpression", condition, "(a)between(b.c.d)and((c)", "<EOF>", ")"},
		{"FilterExpression", condition, "#$.b > a", "$", "#$."},
		{"FilterExpression", condition, "a > :things.stuff", ".", ":things.stuff"},
		{"FilterExpression", condition, "b[:a] > a", ":a", "[:a]"},
		{"FilterExpression", condition, "b[#_] > a", "#_", "[#_]"},
		{"FilterExpression", condition, "ü > a", "ü", "ü >"},
		{"FilterExpression", condition, "(a)between(b.c[4.5].#d)and(:a)", ".", "4.5"},
		{"FilterExpression", condition, "size(a).b > a", ".", ").b"},
		{"FilterExpression", condition, "(size(a)).b > a", ".", ").b"},
		{"FilterExpression", condition, "size(a)[0] > a", "[", ")[0"},
		{"FilterExpression", condition, "(size(a))[0] > a", "[", ")[0"},
		{"FilterExpression", condition, "(a) and b = c", "and", ") and b"},
		{"FilterExpression", condition, "a", "<EOF>", "a"},
		{"FilterExpression", condition, "(a)", "<EOF>", ")"},
		{"FilterExpression", condition, "a = b = c", "=", "b = c"},
		{"FilterExpression", condition, "a = b)", ")", "b)"},
		{"FilterExpression", condition, "a = (b = c)", "=", "b = c"},
		{"FilterExpression", condition, "size((a = b)) > c", "=", "a = b"},
		{"FilterExpression", condition, "(a = b) = c", "=", ") = c"},
		{"ProjectionExpression", projection, "!!! INVALID !!!", "!", "!!"},
		{"ProjectionExpression", projection, "whatever(stuff)", "(", "whatever(stuff"},
		{"ProjectionExpression", projection, ":a", ":a", ":a"},
		{"ProjectionExpression", projection, "abort,", "<EOF>", ","},
		{"ProjectionExpression", projection, "a,,b", ",", ",,b"},
		{"ProjectionExpression", projection, "a..b", ".", "..b"},
		{"ProjectionExpression", projection, "a[b]", "b", "[b]"},
		{"ProjectionExpression", projection, "(a.b).c", "(", "(a"},
		{"ProjectionExpression", projection, "(a),(b)", "(", "(a"},
		{"ProjectionExpression", projection, "a-b", "-", "a-b"},
		{"UpdateExpression", update, "INVALID SYNTAX HERE", "INVALID", "INVALID SYNTAX"},
		{"UpdateExpression", update, "set a", "<EOF>", "a"},
		{"UpdateExpression", update, "add a", "<EOF>", "a"},
		{"UpdateExpression", update, "set a=set", "set", "=set"},
		{"UpdateExpression", update, "remove a = b", "=", "a = b"},
		{"UpdateExpression", update, "add a = b", "=", "a = b"},
		{"UpdateExpression", update, "delete a b", "b", "a b"},
		{"UpdateExpression", update, "delete a if_not_exist(b)", "if_not_exist", "a if_not_exist("},
		{"UpdateExpression", update, "add abort b", "b", "abort b"},
		{"UpdateExpression", update, "remove a b", "b", "a b"},
		{"UpdateExpression", update, "set a b", "b", "a b"},
		{"UpdateExpression", update, "set :a = b", ":a", "set :a ="},
		{"UpdateExpression", update, "remove :a", ":a", "remove :a"},
		{"UpdateExpression", update, "set a = b / c", "/", "b / c"},
		{"UpdateExpression", update, "set a = b * c", "*", "b * c"},
		{"UpdateExpression", update, `set a[1] = "eight"`, `"`, `= "eight`},
		{"UpdateExpression", update, "set a[1] = 1", "1", "= 1"},
		{"UpdateExpression", update, "SET a = if_not_exist(a, 100)", "100", ", 100)"},
		{"UpdateExpression", update, "SET if_not_exist(a, b) = a", "(", "if_not_exist(a"},
		{"UpdateExpression", update, "set (a = (b + c))", "(", "set (a"},
		{"UpdateExpression", update, "set a = (b.c).d + e", ".", ").d"},
		{"UpdateExpression", update, "set a = (b.c)[0] + e", "[", ")[0"},
		{"UpdateExpression", update, "set a = b + c + d", "+", "c + d"},
		{"UpdateExpression", update, "set a = ((b + c) + d)", "+", "b + c"},
		{"UpdateExpression", update, "set a = (b + c", "<EOF>", "c"},
	} {
		t.Run(c.text, func(t *testing.T) {
			_, err := c.parse(scopeOf(t, nil, Null), c.text)
			wantError(t, err, fmt.Sprintf(`Invalid %s: Syntax error; token: "%s", near: "%s"`, c.parameter, c.token, c.near))
		})
	}
}

func TestSizes(t *testing.T) {
	s := scopeOf(t, nil)
	long := strings.Repeat("a", maxExpressionBytes)
	_, err := s.Projection(long)
	wantError(t, err, "")
	_, err = s.Projection(long + " ")
	wantError(t, err,
		"Invalid ProjectionExpression: Expression size has exceeded the maximum allowed size; expression size: 4097")
	_, err = s.Projection("")
	wantError(t, err, "Invalid ProjectionExpression: The expression can not be empty;")
	_, err = s.Update("")
	wantError(t, err, "Invalid UpdateExpression: The expression can not be empty;")
	_, err = s.KeyCondition("")
	wantError(t, err, "Invalid KeyConditionExpression: The expression can not be empty;")

	_, err = s.Condition("FilterExpression", "a=b"+strings.Repeat(" or a=b", 149)+" or not a=b")
	wantError(t, err, "Invalid FilterExpression: The expression contains too many operators; operator count: 302")
	_, err = s.Condition("FilterExpression", "a=b"+strings.Repeat(" or a=b", 149))
	wantError(t, err, "")
	_, err = s.Condition("FilterExpression", "a in (b"+strings.Repeat(",b", 99)+")")
	wantError(t, err, "")
	_, err = s.Condition("FilterExpression", "a in (b"+strings.Repeat(",b", 100)+")")
	wantError(t, err,
		"Invalid FilterExpression: The IN operator is provided with too many operands; number of operands: 101")
	_, err = s.Projection("a" + strings.Repeat(".b", 31))
	wantError(t, err, "")
	_, err = s.Projection("a" + strings.Repeat(".b", 32))
	wantError(t, err, "Invalid ProjectionExpression: The document path has too many nesting levels; nesting levels: 33")
	_, err = s.Projection("a[2147483647]")
	wantError(t, err, "")
	_, err = s.Projection("a[99999999999999999999]")
	wantError(t, err,
		"Invalid ProjectionExpression: List index is not within the allowable range; index: [99999999999999999999]")
}

func TestConditionFaults(t *testing.T) {
	const (
		parens  = "The expression has redundant parentheses;"
		misuse  = "The function is not allowed to be used this way in an expression; function: "
		word    = "Attribute name is a reserved keyword; reserved keyword: "
		noName  = "An expression attribute name used in the document path is not defined; attribute name: "
		noValue = "An expression attribute value used in expression is not defined; attribute value: "
		count   = "Incorrect number of operands for operator or function; operator or function: "
		operand = "Incorrect operand type for operator or function; operator or function: "
		needs   = "Operator or function requires a document path; operator or function: "
		same    = "The first operand must be distinct from the remaining operands for this operator or function; operator: "
	)
	// :a is a text, :b a number, :c bytes, :d a set, :e a truth, :f a list, :g a lesser text, :h
	// nothing.
	values := []Value{Text("z"), num("1"), Bytes("\x01"), set(SS, "x"), Bool(true), List(), Text("S"), Null}
	for text, want := range map[string]string{
		"a=a and a > ((views))":               parens,
		"(a)between(((b.c)).d)and(c)":         parens,
		"a > whatever((:things), ((a)))":      parens,
		"a=a AND ((a=a AND a=a)) AND a=a":     parens,
		"a=a OR ((a=a OR (a=a OR a=a)))":      parens,
		"((a=b))":                             parens,
		"NOT ((a=b))":                         parens,
		"((size(a))) > b":                     parens,
		"((a.b).c) > b":                       "",
		"((a=b) OR (a=b))":                    "",
		"(a=b OR (a=b))":                      "",
		"((size(a)) = :b) AND (a) = (:a)":     "",
		"NOT NOT (NOT a = b)":                 "",
		"(attribute_exists(a)) and a.b=c":     "",
		"((attribute_exists(a)) and (a.b=c))": "",
		"(a.b).c[0] = (b)[1]":                 "",
		"a = Order_1 oR a iN (:a , :b)":       "",
		"a BETWEEN b AND c AND d = e":         "",
		":a = :a AND a NOT_a":                 `Syntax error; token: "NOT_a", near: "a NOT_a"`,
		"a=a and whatever((:things)) > a":     "Invalid function name; function: whatever",
		"attRIbute_exIsts((views), #a)":       "Invalid function name; function: attRIbute_exIsts",
		"a < if_not_exists(a)": "The function is not allowed in a condition expression; function: " +
			"if_not_exists",
		"if_not_exists(a, b) AND nope(a)": "Invalid function name; function: nope",
		"if_not_exists(a, b)": "The function is not allowed in a condition expression; function: " +
			"if_not_exists",
		"a=a and attribute_exists((views)) > b": misuse + "attribute_exists",
		"attribute_not_exists(things) > b":      misuse + "attribute_not_exists",
		"begins_with(things, a) > b":            misuse + "begins_with",
		"size(contains(a, b)) > a":              misuse + "contains",
		"size(things)":                          misuse + "size",
		"(size(things))":                        misuse + "size",
		"NOT size(things)":                      misuse + "size",
		"a = b AND (size(things))":              misuse + "size",
		"a between b and attribute_exists(t)":   misuse + "attribute_exists",
		"a in (b, attribute_exists(things))":    misuse + "attribute_exists",
		"attribute_exists(views, #a)":           word + "views",
		":z < abOrT":                            word + "abOrT",
		"a.b.select > b":                        word + "select",
		// From here the first condition with a fault is the one.
		"attribute_exists(#Pictures.RearView, :z) and a=a":     noName + "#Pictures",
		"begins_with(Pictures.#RearView)":                      noName + "#RearView",
		"(#P between :lo and :hi) and (#PC in (:cat1, :cat2))": noName + "#P",
		"(a)between(b.c[45].#d)and(:a)":                        noName + "#d",
		"begins_with(:hello, #a, #b)":                          noValue + ":hello",
		":_ > a":                                               noValue + ":_",
		"a = :a AND begins_with(sk, :b) AND b = :missing":      operand + "begins_with, operand type: N",
		"b = :missing AND begins_with(sk, :b)":                 noValue + ":missing",
		"attribute_exists(things, a) and a=a":                  count + "attribute_exists, number of operands: 2",
		"attribute_not_exists(things, b)":                      count + "attribute_not_exists, number of operands: 2",
		"attribute_type(things)":                               count + "attribute_type, number of operands: 1",
		"begins_with(things, size(a), b)":                      count + "begins_with, number of operands: 3",
		"contains(things)":                                     count + "contains, number of operands: 1",
		"size(things, a) > b":                                  count + "size, number of operands: 2",
		"attribute_type(a, size(a)) and a=a and a=:b":          operand + "attribute_type, operand type: N",
		"attribute_type(a, :b)":                                operand + "attribute_type, operand type: N",
		"attribute_type(a, b)": operand +
			"attribute_type, operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}",
		"attribute_type(a, :a)": "Invalid attribute type name found; type: z, valid types: " +
			"{B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
		"attribute_type(a, :g)":             "",
		"begins_with(a, size(a)) and a=:a":  operand + "begins_with, operand type: N",
		"begins_with(:e, a)":                operand + "begins_with, operand type: BOOL",
		"begins_with(a, :c)":                "",
		"size(size(a)) > :b":                operand + "size, operand type: N",
		"attribute_not_exists(size(:b))":    operand + "size, operand type: N",
		"size(:e) > a":                      operand + "size, operand type: BOOL",
		"size(:h) > a":                      operand + "size, operand type: NULL",
		"attribute_exists(:a) and a=a":      needs + "attribute_exists",
		"attribute_not_exists(size(:a))":    needs + "attribute_not_exists",
		"a = a AND #n = b AND :views > a":   same + "=, first operand: [a]",
		"#n <> a":                           same + "<>, first operand: [a]",
		"((a=a) OR (a=a))":                  same + "=, first operand: [a]",
		"contains(ab.bc[1].a, ab.bc[1].#n)": same + "contains, first operand: [ab, bc, [1], a]",
		":a > :a":                           "",
		"a < :e":                            operand + "<, operand type: BOOL",
		":f >= a":                           operand + ">=, operand type: L",
		"a between :e and :e":               operand + "BETWEEN, operand type: BOOL",
		"a <> :e or contains(a, :d)":        "",
		"a between :b and :a": "The BETWEEN operator requires same data type for lower " +
			"and upper bounds; lower bound operand: AttributeValue: {N:1}, upper bound operand: AttributeValue: {S:z}",
		"a between :a and :g": "The BETWEEN operator requires upper bound to be greater " +
			"than or equal to lower bound; lower bound operand: AttributeValue: {S:z}, upper bound operand: AttributeValue: " +
			"{S:S}",
		"a between :a and :c": "The BETWEEN operator requires same data type for lower " +
			"and upper bounds; lower bound operand: AttributeValue: {S:z}, upper bound operand: AttributeValue: {B:AQ==}",
	} {
		t.Run(text, func(t *testing.T) {
			if want != "" {
				want = "Invalid ConditionExpression: " + want
			}
			_, err := scopeOf(t, map[string]string{"#n": "a"}, values...).Condition("ConditionExpression", text)
			wantError(t, err, want)
		})
	}
}

func TestReserved(t *testing.T) {
	for word, want := range map[string]bool{
		"status": true, "STATUS": true, "Name": true, "zone": true, "abort": true, "localtimestamp": true,
		"pk": false, "": false, "localtimestamps": false, "stat us": false,
	} {
		if got := isReserved(word); got != want {
			t.Errorf("isReserved(%q): got %v; want %v", word, got, want)
		}
	}
	if got := len(reserved); got != 573 {
		t.Errorf("reserved words: got %d; want 573", got)
	}
}
