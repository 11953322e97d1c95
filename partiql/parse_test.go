package partiql

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"holdfast"
	"holdfast/item"
)

func num(t testing.TB, s string) item.Value {
	t.Helper()
	v, err := item.Number(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func parsed(t *testing.T, text string, parameters ...item.Value) Statement {
	t.Helper()
	s, err := Parse(text, parameters)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

func TestMalformed(t *testing.T) {
	const wrong = "Statement wasn't well formed, can't be processed: "
	const left = wrong + "Unexpected token after expression"
	for text, want := range map[string]string{
		``:                                          wrong + "Expected data manipulation",
		`SLECT * FROM t`:                            wrong + "Expected data manipulation",
		`SELECTT * FROMM t`:                         wrong + "Expected data manipulation",
		`SELECT * FROM "t`:                          wrong,
		`SELECT * FROM t WHERE a='`:                 wrong,
		`SELECT * FROM t # note`:                    wrong,
		`SELECT * FROM t /* note`:                   wrong,
		`SELECT * FROM t WHERE a=1)`:                left,
		`SELECT * FROM t WHERE pk = 1 foo`:          left,
		`SELECT * FROM t WHERE pk = 1 e5`:           left,
		`INSERT INTO t VALUE {'pk': 1} foo`:         left,
		`UPDATE t SET a = 9 WHERE pk = 1 foo`:       left,
		`DELETE FROM t WHERE pk = 1 foo`:            left,
		`DELETE FROM t WHERE pk = 1 ORDER BY pk`:    left,
		`SELECT * FROM t ORDER BY pk WHERE pk = 1`:  left,
		`INSERT INTO "S" t VALUE {'pk': 'x'}`:       left,
		`SELECT * FROM t WHERE a = 1e2147483648`:    wrong,
		`SELECT * FROM t WHERE a = 1e99999999999`:   wrong,
		`SELECT * FROM t WHERE a = 1.5e-2147483647`: wrong,
		`SELECT * FROM t WHERE a`:                   wrong + "Unexpected term",
		`SELECT * FROM t WHERE (a = 1) IS NULL`:     wrong + "Unexpected term",
		`SELECT * FROM t WHERE (a = 1) IS MISSING`:  wrong + "Unexpected term",
		`SELECT * FROM t WHERE (a = 1) IS DATE`: "Unsupported data type for IS operator: DATE. Supported data types are " +
			"[MISSING, NULL, BOOLEAN, BLOB, STRING, " +
			"NUMERIC, STRUCT, TUPLE, LIST]",
		`SELECT * FROM t WHERE (a = 1) IN [true]`:           wrong + "Unexpected term",
		`SELECT * FROM t WHERE (NOT a = 1) BETWEEN 1 AND 2`: wrong + "Unexpected term",
		`SELECT * FROM t WHERE a BETWEEN 1 AND (b = 2)`:     wrong + "Unexpected term",
		`SELECT * FROM t WHERE contains(a, b) IS MISSING`: "The function is not allowed to be used this way in an " +
			"expression; function: contains",
		`SELECT * FROM t WHERE "" = 1`:         "Empty attribute name",
		`UPDATE t SET a."" = 1 WHERE pk = 1`:   "Empty attribute name",
		`SELECT * FROM t WHERE a IN [{'': 1}]`: "Empty attribute name",
		`UPDATE t SET a = 1 REMOVE a.b WHERE pk = 1`: "Two document paths overlap with each other; must remove or rewrite " +
			"one of these paths; path one: [a], path two: " +
			"[a, b]",
		`UPDATE t REMOVE a.b SET a[0] = 1 WHERE pk = 1`: "Two document paths conflict with each other; must remove or " +
			"rewrite one of these paths; path one: [a, [0]], " +
			"path two: [a, b]",
		`SELECT * FROM t WHERE`:                   wrong + "Unexpected term",
		`SELECT * FROM t WHERE a = 1 AND`:         wrong + "Unexpected term",
		`SELECT * FROM t WHERE (a = 1) = (b = 1)`: wrong + "Unexpected term",
		`SELECT * FROM t WHERE m.inner = 1`:       wrong + "Invalid path dot component",
		`UPDATE t SET WHERE a = 1`:                wrong + "Expected identifier for simple path component",
		`UPDATE t WHERE a = 1`:                    wrong + "Expected data manipulation",
		`SELECT * FROM t u WHERE pk = 'x'`:        "Aliasing is not supported",
		`SELECT * FROM t AS u WHERE pk = 'x'`:     "Aliasing is not supported",
		`SELECT a AS b FROM t`:                    "Aliasing is not supported",
		`UPDATE t u SET a = 3 WHERE pk = 'x'`:     "Aliasing is not supported",
		`DELETE FROM t u WHERE pk = 'x'`:          "Aliasing is not supported",
		`SELECT * FROM t.u.v`:                     "A path may contain at most 2 components in the FROM clause",
		`SELECT * FROM t.""`:                      "Path component cannot be an empty string",
		`SELECT * FROM ""`:                        "Path component cannot be an empty string",
		`DELETE FROM t.u WHERE pk = 1`:            "This operation is not supported on an index",
		`SELECT * FROM t LIMIT 5`:                 "Unsupported clause: LIMIT at 1:17:5",
		`SELECT *, a FROM t`: "Other attributes should not be present in the projection " +
			"when '*' is used.",
		`SELECT count(a) FROM t`:      "Unexpected path component at 1:8:5",
		`SELECT * FROM t WHERE a = ?`: "Number of parameters in request and statement don't match.",
		`SELECT * FROM t WHERE a = 1e126`: "Number overflow. Attempting to store a number with " +
			"magnitude larger than supported range under root",
		`UPDATE t SET a = 1e-131 WHERE pk = 1`: "Number underflow. Attempting to store a number with " +
			"magnitude smaller than supported range under root",
		`INSERT INTO t VALUE {'m': {'x': 1e126}}`: "Number overflow. Attempting to store a number with " +
			"magnitude larger than supported range under root.x",
		`INSERT INTO t VALUE {'l': [1, 1e126]}`: "Number overflow. Attempting to store a number with " +
			"magnitude larger than supported range under root[1]",
		`INSERT INTO t VALUE {'a': set_add(1, 2)}`:         "Unsupported data type: set_add under key root at 1:27:7",
		`INSERT INTO t VALUE {'a': <<>>}`:                  "Empty bags are not supported",
		`INSERT INTO t VALUE {'a': 1} RETURNING ALL OLD *`: "RETURNING is not supported in INSERT",
		`DELETE FROM t WHERE a = 1 RETURNING MODIFIED OLD *`: "Invalid returning clause: RETURNING MODIFIED OLD *. Only " +
			"RETURNING ALL OLD * is allowed in DELETE statements.",
		`SELECT * FROM t WHERE attribute_exists('a')`: "Operator or function requires a document path; operator or " +
			"function: attribute_exists",
		`SELECT * FROM t WHERE attribute_exists()`: "Incorrect number of operands for operator or function; operator or " +
			"function: attribute_exists, number of " +
			"operands: 0",
		`SELECT * FROM t WHERE attribute_exists(a, b)`: "Incorrect number of operands for operator or function; operator " +
			"or function: attribute_exists, number of " +
			"operands: 2",
		`SELECT * FROM t WHERE EXISTS(a)`:               "Unrecognized function: exists at 1:23:6",
		`SELECT * FROM t WHERE set_add(a, <<'x'>>) = a`: "Unrecognized function: set_add at 1:23:7",
		`SELECT * FROM t WHERE a < true`: "Incorrect operand type for operator or function; " +
			"operator or function: <, operand type: BOOL",
		`SELECT * FROM t WHERE a BETWEEN true AND false`: "Incorrect operand type for operator or function; " +
			"operator or function: BETWEEN, operand type: BOOL",
		`UPDATE t SET b = set_add(a, <<'x'>>) WHERE a = 1`: "The first argument to SET_ADD must equal the " +
			"assignment value at 1:18:7",
		`UPDATE t SET a = set_add(<<'a'>>, <<'x'>>) WHERE a = 1`: "The first argument to SET_ADD must equal the " +
			"assignment value at 1:18:7",
		`UPDATE t SET a = set_delete(a, 'x') WHERE a = 1`: "The second argument to SET_DELETE must be a value " +
			"with type SET at 1:29:1",
		`UPDATE t SET a = set_add(a) WHERE a = 1`: "SET_ADD must have exactly two arguments at 1:18:7",
		`UPDATE t SET a = set_add(a, <<'x', 'x'>>) WHERE a = 1`: "One or more parameter values were invalid: Input " +
			"collection [x, x] contains duplicates.",
		"SELECT * FROM t -- é\n WHERE é = 1":                          wrong,
		"SELECT * FROM t\n WHERE a = 'é' AND nope(a)":                 "Unrecognized function: nope at 2:20:4",
		`SELECT * FROM t WHERE ` + strings.Repeat("(", 200) + `a = 1`: wrong,
	} {
		_, err := Parse(text, nil)
		if err == nil || err.Error() != want || !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

// matched returns items by name, for tests of conditions.
func matched(t *testing.T) map[string]item.Item {
	list := item.List(item.Text("x"), item.Text("y"))
	return map[string]item.Item{
		"one": item.New(item.Attr{Name: "pk", Value: item.Text("one")}, item.Attr{Name: "n", Value: num(t, "1")},
			item.Attr{Name: "l", Value: list}),
		"two": item.New(item.Attr{Name: "pk", Value: item.Text("two")}, item.Attr{Name: "n", Value: num(t, "2")},
			item.Attr{Name: "nul", Value: item.Null}),
		"three": item.New(item.Attr{Name: "pk", Value: item.Text("three")}, item.Attr{Name: "s", Value: item.Text("al")},
			item.Attr{Name: "m", Value: item.Map(item.New(item.Attr{Name: "a b", Value: item.Bool(true)}))}),
	}
}

func TestWhere(t *testing.T) {
	items := matched(t)
	for where, want := range map[string]string{
		`pk = 'one'`:                  "one",
		`'one' = pk OR pk='two'`:      "one two",
		`n > 1`:                       "two",
		`n >= .1e1 AND NOT n = 2`:     "one",
		`n <> 1`:                      "three two",
		`n != 1 and n > 0`:            "two",
		`n BETWEEN 1 AND 2`:           "one two",
		`n NOT BETWEEN -1 AND 1`:      "three two",
		`pk IN ['one', 'three']`:      "one three",
		`pk IN ('one', 'three')`:      "one three",
		`pk NOT IN ['one']`:           "three two",
		`n = ?`:                       "one",
		`begins_with("pk", 't')`:      "three two",
		`NOT begins_with("pk", 't')`:  "one",
		`contains(l, 'x')`:            "one",
		`SIZE(l) = 2`:                 "one",
		`attribute_type(n, 'N')`:      "one two",
		`n IS MISSING`:                "three",
		`n IS NOT MISSING`:            "one two",
		`nul IS NULL`:                 "two",
		`nul IS NOT NULL`:             "one three",
		`s IS STRING`:                 "three",
		`m."a b" = true`:              "three",
		`m['a b']`:                    "",
		`l[1] = 'y'`:                  "one",
		`l[9] = 'y'`:                  "",
		`attribute_exists(s) = true`:  "three",
		`attribute_exists(s) <> true`: "one two",
		`((pk = 'one'))`:              "one",
		`(attribute_exists(s) OR (n = 1 AND (pk = 'one' OR pk = 'two')))`: "one three",
		`NOT (n = 1 OR n = 2)`: "three",
		`NOT NOT n = 1`:        "one",
		`pk = 'it''s'`:         "",
		`pk='one' -- note`:     "one",
	} {
		s, err := Parse("SELECT * FROM t WHERE "+where, []item.Value{num(t, "1")})
		if err != nil {
			if want != "" || !strings.HasSuffix(err.Error(), unexpectedTerm) {
				t.Errorf("%s: %v", where, err)
			}
			continue
		}
		var got []string
		for name, it := range items {
			if s.Where.Match(it) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v; want %s", where, got, want)
		}
	}
}

func TestSelect(t *testing.T) {
	s := parsed(t, `select m."a b", pk, l[1], nope from "t".i;`)
	if s.Kind != Select || s.Table != "t" || s.Index != "i" || s.Where != nil {
		t.Errorf("got %+v", s)
	}
	if got, want := fmt.Sprint(s.Attributes()), "[m pk l nope]"; got != want {
		t.Errorf("got attributes %s; want %s", got, want)
	}
	items := matched(t)
	if got, want := s.Columns(items["three"]),
		item.New(item.Attr{Name: "pk", Value: item.Text("three")},
			item.Attr{Name: "a b", Value: item.Bool(true)}); !got.Equal(want) {
		t.Errorf("got %v; want %v", got, want)
	}
	if got, want := s.Columns(items["one"]),
		item.New(item.Attr{Name: "pk", Value: item.Text("one")},
			item.Attr{Name: "_3", Value: item.Text("y")}); !got.Equal(want) {
		t.Errorf("got %v; want %v", got, want)
	}
	if s := parsed(t, `SELECT * FROM t`); s.Attributes() != nil || !s.Columns(items["one"]).Equal(items["one"]) {
		t.Errorf("got attributes %v; want all", s.Attributes())
	}
}

func TestInsert(t *testing.T) {
	s := parsed(t,
		`INSERT INTO "t" VALUE {'pk': ?, 'n': -1.50, 'f': false, 'z': NULL,
		'l': [1, 'a', []], 'm': {'a': {}}, 'ss': <<'a', 'b'>>, 'ns': <<1, 2>>}`, item.Text("x"))
	want := item.New(
		item.Attr{Name: "pk", Value: item.Text("x")}, item.Attr{Name: "n", Value: num(t, "-1.5")},
		item.Attr{Name: "f", Value: item.Bool(false)}, item.Attr{Name: "z", Value: item.Null},
		item.Attr{Name: "l", Value: item.List(num(t, "1"), item.Text("a"), item.List())},
		item.Attr{Name: "m", Value: item.Map(item.New(item.Attr{Name: "a", Value: item.Map(item.New())}))},
		item.Attr{Name: "ss", Value: item.Value{Type: item.SS, Set: []string{"b", "a"}}},
		item.Attr{Name: "ns", Value: item.Value{Type: item.NS, Set: []string{"1", "2"}}},
	)
	if s.Kind != Insert || s.Table != "t" || !s.Item.Equal(want) {
		t.Errorf("got %v; want %v", s.Item, want)
	}
}

func TestUpdate(t *testing.T) {
	before := item.New(
		item.Attr{Name: "pk", Value: item.Text("x")}, item.Attr{Name: "n", Value: num(t, "1")},
		item.Attr{Name: "l", Value: item.List(item.Text("a"))},
		item.Attr{Name: "ss", Value: item.Value{Type: item.SS, Set: []string{"a", "b"}}},
	)
	for text, want := range map[string]item.Item{
		`UPDATE t SET n = 2 SET s = 'b' WHERE pk = 'x'`: before.With("n", num(t, "2")).With("s",
			item.Text("b")),
		`UPDATE t SET n = n + 1, l[0] = 'b' REMOVE ss WHERE pk = 'x'`: before.With("n", num(t, "2")).With("l",
			item.List(item.Text("b"))).Without("ss"),
		`UPDATE t SET l = list_append(l, ['b']) WHERE pk = 'x'`: before.With("l",
			item.List(item.Text("a"), item.Text("b"))),
		`UPDATE t SET v = if_not_exists(v, 0) - 1 WHERE pk = 'x'`: before.With("v", num(t, "-1")),
		`UPDATE t SET ss = set_add(ss, <<'c'>>) WHERE pk = 'x'`: before.With("ss",
			item.Value{Type: item.SS, Set: []string{"a", "b", "c"}}),
		`UPDATE t SET ss = SET_DELETE(ss, <<'a', 'c'>>) WHERE pk='x'`: before.With("ss",
			item.Value{Type: item.SS, Set: []string{"b"}}),
		`FROM t WHERE pk = 'x' SET n = 3 REMOVE l RETURNING ALL NEW *`: before.With("n", num(t, "3")).Without("l"),
		`UPDATE t REMOVE n, l WHERE pk = 'x'`:                          before.Without("n").Without("l"),
	} {
		s := parsed(t, text)
		got, err := s.Change.Apply(before)
		if err != nil || s.Kind != Update || !got.Equal(want) || !s.Where.Match(before) || s.Where.Match(nil) {
			t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
		}
	}
	s := parsed(t, `UPDATE t SET ss = set_add(ss, <<1>>) WHERE pk = 'x'`)
	if _, err := s.Change.Apply(before); err == nil ||
		err.Error() != "An operand in the update expression has an incorrect data type" {
		t.Errorf("got %v; want an incorrect data type", err)
	}
}

func TestReturning(t *testing.T) {
	for _, r := range []Returning{AllOld, ModifiedOld, AllNew, ModifiedNew} {
		if s := parsed(t, "update t set a=1 where pk=1 returning "+strings.ToLower(r.String())); s.Returning != r {
			t.Errorf("got %v; want %v", s.Returning, r)
		}
	}
}

// FuzzParse parses any text and uses the statements. Nothing panics, errors are of the kind
// Invalid, and a statement, printed and parsed again, is the same statement.
func FuzzParse(f *testing.F) {
	for _, seed := range statements {
		f.Add(seed)
	}
	use := uses()
	f.Fuzz(func(t *testing.T, text string) { use(t, text) })
}

// uses returns a function that checks a text as FuzzParse does, and reports whether it parses.
func uses() func(t *testing.T, text string) bool {
	it := item.New(
		item.Attr{Name: "pk", Value: item.Text("a")}, item.Attr{Name: "a", Value: item.List(item.Null)},
		item.Attr{Name: "q", Value: item.Value{Type: item.SS, Set: []string{"a"}}})
	parameters := []item.Value{item.Text("a"), item.List(item.Text("b")), item.Bytes("b"), item.Text("c")}
	return func(t *testing.T, text string) bool {
		valid := func(err error) {
			t.Helper()
			if err != nil && !errors.Is(err, holdfast.Invalid) {
				t.Errorf("%s: got %v; want it to be invalid", text, err)
			}
		}
		s, err := Parse(text, parameters)
		if err != nil {
			valid(err)
			return false
		}
		s.Where.Match(it)
		s.Attributes()
		s.Columns(it)
		_, err = s.Change.Apply(it)
		valid(err)
		_, err = s.Read(byNumber)
		valid(err)
		_, err = s.Written(byNumber)
		valid(err)
		if s.where != nil {
			_, err = s.IfPresent(byNumber)
			valid(err)
		}
		return checkPrinted(t, text, parameters)
	}
}
