package item

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"holdfast"
)

func term(op string, args ...*Term) *Term { return &Term{Op: op, Args: args} }

func termPath(names ...string) *Term {
	t := new(Term)
	for _, name := range names {
		t.Path = append(t.Path, Step{Name: name, Index: -1})
	}
	return t
}

func termValue(v Value) *Term { return &Term{Value: &v} }

// term prints a term as the text of an expression.
func (p *printer) term(t *Term) {
	switch o := operator(t.Op); {
	case t.Value != nil:
		p.expr(&expr{op: opValue, value: t.Value})
	case t.Path != nil:
		p.path(t.Path)
	case o == opNot:
		p.b.WriteString("NOT ")
		p.enclosed(t.Args[0])
	case o == opBetween:
		p.terms(t.Args[:2], " BETWEEN ")
		p.b.WriteString(" AND ")
		p.term(t.Args[2])
	case o == opIn:
		p.term(t.Args[0])
		p.b.WriteString(" IN (")
		p.terms(t.Args[1:], ", ")
		p.b.WriteByte(')')
	case o.isFunction():
		p.b.WriteString(t.Op + "(")
		p.terms(t.Args, ", ")
		p.b.WriteByte(')')
	default:
		p.terms(t.Args, " "+t.Op+" ")
	}
}

func (p *printer) terms(args []*Term, between string) {
	for i, arg := range args {
		if i > 0 {
			p.b.WriteString(between)
		}
		p.enclosed(arg)
	}
}

func (p *printer) enclosed(t *Term) {
	if o := operator(t.Op); o != opAnd && o != opOr && o != opNot {
		p.term(t)
		return
	}
	p.b.WriteByte('(')
	p.term(t)
	p.b.WriteByte(')')
}

// changes prints changes, which are in the order of sections, as the text of an update.
func (p *printer) changes(changes []Change) {
	verb := ""
	for _, c := range changes {
		if c.Verb == verb {
			p.b.WriteString(", ")
		} else {
			verb = c.Verb
			p.b.WriteString(" " + verb + " ")
		}
		p.path(c.Path)
		if c.Verb == "SET" {
			p.b.WriteString(" =")
		}
		if c.To != nil {
			p.b.WriteByte(' ')
			p.term(c.To)
		}
	}
}

// scope returns the scope of the text that was printed.
func (p *printer) scope(t *testing.T) *Scope {
	t.Helper()
	names := p.names
	if len(names) == 0 {
		names = nil
	}
	s, err := NewScope(names, p.values)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A termSource makes random terms of a right form, many of which break other rules.
type termSource struct{ *rand.Rand }

func (s termSource) oneOf(words string) string {
	all := strings.Fields(words)
	return all[s.IntN(len(all))]
}

func (s termSource) condition(depth int) *Term {
	operand := func() *Term { return s.operand(2, "size size size attribute_exists contains") }
	switch k := s.IntN(9); {
	case k < 2 && depth > 0:
		t := term(s.oneOf("AND OR"))
		for range 2 + s.IntN(2) {
			t.Args = append(t.Args, s.condition(depth-1))
		}
		return t
	case k < 3 && depth > 0:
		return term("NOT", s.condition(depth-1))
	case k < 5:
		return term(s.oneOf("= <> < <= > >="), operand(), operand())
	case k < 6:
		return term("BETWEEN", operand(), operand(), operand())
	case k < 7:
		t := term("IN", operand())
		for range 1 + s.IntN(4) {
			t.Args = append(t.Args, operand())
		}
		return t
	}
	return s.call("attribute_exists attribute_not_exists attribute_type begins_with contains size nope if_not_exists", 2)
}

func (s termSource) call(functions string, depth int) *Term {
	t := term(s.oneOf(functions))
	for range 1 + s.IntN(8)/3 {
		t.Args = append(t.Args, s.operand(depth-1, "size size contains list_append"))
	}
	return t
}

func (s termSource) operand(depth int, functions string) *Term {
	switch k := s.IntN(6); {
	case k == 0 && depth > 0:
		return s.call(functions, depth)
	case k < 3:
		values := []Value{Text("a"), Text("S"), {Type: N, Text: "1"}, {Type: N, Text: "2"}, Bytes("\x01"), Bool(true), Null,
			List(Text("a")), {Type: SS, Set: []string{"a", "b"}}, Map(New(Attr{"x", Null}))}
		return termValue(values[s.IntN(len(values))])
	}
	return &Term{Path: s.path()}
}

func (s termSource) path() Path {
	p := Path{{Name: s.oneOf("a b size m"), Index: -1}}
	for s.IntN(3) == 0 {
		if s.IntN(2) == 0 {
			p = append(p, Step{Index: s.IntN(2)})
		} else {
			p = append(p, Step{Name: s.oneOf("x y"), Index: -1})
		}
	}
	return p
}

func (s termSource) changes() []Change {
	changes := make([]Change, 1+s.IntN(3))
	functions := "if_not_exists if_not_exists list_append list_append size nope"
	for i := range changes {
		c := &changes[i]
		c.Verb, c.Path = s.oneOf("SET SET SET REMOVE ADD DELETE"), s.path()
		switch c.Verb {
		case "SET":
			c.To = s.operand(2, functions)
			if s.IntN(3) == 0 {
				c.To = term(s.oneOf("+ -"), c.To, s.operand(2, functions))
			}
		case "ADD", "DELETE":
			for c.To == nil || c.To.Value == nil {
				c.To = s.operand(0, "")
			}
		}
	}
	slices.SortStableFunc(changes, func(a, b Change) int {
		return slices.Index(verbs[:], a.Verb) - slices.Index(verbs[:], b.Verb)
	})
	return changes
}

// TestTermsAreExpressions makes random conditions, conditions on keys and updates of terms, and
// parses the text of the same: the results are the same, and so are the errors but for the
// parameter's name.
func TestTermsAreExpressions(t *testing.T) {
	s := termSource{rand.New(rand.NewPCG(3, 4))}
	made, refused := 0, 0
	same := func(text, parameter string, got, want error) bool {
		switch {
		case got == nil && want == nil:
			made++
			return true
		case got == nil || want == nil || "Invalid "+parameter+": "+got.Error() != want.Error():
			t.Errorf("%s:\ngot  %v\nwant %v", text, got, want)
		default:
			refused++
		}
		return false
	}
	printed := func(x *expr) string {
		p := newPrinter()
		p.expr(x)
		return p.b.String() + " " + showItem(p.values)
	}
	for range 20_000 {
		root, p := s.condition(3), newPrinter()
		p.term(root)
		text := p.b.String()
		if len(text) > maxExpressionBytes {
			continue
		}
		got, err := NewCondition(root)
		want, wantErr := p.scope(t).Condition("FilterExpression", text)
		if same(text, "FilterExpression", err, wantErr) && printed(got.root) != printed(want.root) {
			t.Errorf("%s: got %s", text, printed(got.root))
		}
		gotKey, err := NewKeyCondition(root)
		wantKey, wantErr := p.scope(t).KeyCondition(text)
		if same(text, "KeyConditionExpression", err, wantErr) && fmtError(gotKey.Check()) != fmtError(wantKey.Check()) {
			t.Errorf("%s: got %v; want %v", text, gotKey.Check(), wantKey.Check())
		}
		changes, p := s.changes(), newPrinter()
		p.changes(changes)
		gotUpdate, err := NewUpdate(changes)
		wantUpdate, wantErr := p.scope(t).Update(p.b.String())
		if !same(p.b.String(), "UpdateExpression", err, wantErr) {
			continue
		}
		a, b := newPrinter(), newPrinter()
		a.update(gotUpdate)
		b.update(wantUpdate)
		if a.b.String() != b.b.String() {
			t.Errorf("%s: got %s", p.b.String(), a.b.String())
		}
		after, err := gotUpdate.Apply(everything)
		wantAfter, wantErr := wantUpdate.Apply(everything)
		if fmtError(err) != fmtError(wantErr) || !after.Equal(wantAfter) {
			t.Errorf("%s: got %v, %v; want %v, %v", p.b.String(), after, err, wantAfter, wantErr)
		}
	}
	if made < 5000 || refused < 5000 {
		t.Errorf("got %d made, %d refused; want thousands of both", made, refused)
	}
}

func fmtError(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestTermsRefused(t *testing.T) {
	a, b, one := termPath("a"), termPath("b"), termValue(Text("1"))
	equal := term("=", a, one)
	deep := one
	for range maxDepth + 1 {
		deep = termValue(List(*deep.Value))
	}
	many := term("OR", equal)
	for range maxOperators / 2 {
		many.Args = append(many.Args, equal)
	}
	for name, test := range map[string]struct {
		root *Term
		want string
	}{
		"a path":                    {a, `Syntax error; operator: "", number of operands: 0`},
		"a value":                   {one, `Syntax error; operator: "", number of operands: 0`},
		"nothing":                   {new(Term), `Syntax error; operator: "", number of operands: 0`},
		"a sum":                     {term("+", a, b), `Syntax error; operator: "+", number of operands: 2`},
		"AND of none":               {term("AND"), `Syntax error; operator: "AND", number of operands: 0`},
		"NOT of two":                {term("NOT", equal, equal), `Syntax error; operator: "NOT", number of operands: 2`},
		"AND of a path":             {term("AND", a, equal), `Syntax error; operator: "", number of operands: 0`},
		"= of one":                  {term("=", a), `Syntax error; operator: "=", number of operands: 1`},
		"= of three":                {term("=", a, b, one), `Syntax error; operator: "=", number of operands: 3`},
		"BETWEEN of two":            {term("BETWEEN", a, one), `Syntax error; operator: "BETWEEN", number of operands: 2`},
		"IN nothing":                {term("IN", a), `Syntax error; operator: "IN", number of operands: 1`},
		"a condition as an operand": {term("=", equal, one), `Syntax error; operator: "=", number of operands: 2`},
		"an empty term within":      {term("size", new(Term)), `Syntax error; operator: "", number of operands: 0`},
		"an unknown function":       {term("nope", a), "Invalid function name; function: nope"},
		"no operand": {term("contains"), "Incorrect number of operands for operator or function; " +
			"operator or function: contains, number of operands: 0"},
		"no name":       {term("=", termPath(""), one), "Empty attribute name"},
		"no inner name": {term("=", termPath("a", ""), one), "Empty attribute name"},
		"a deep value": {term("=", a, deep), "Nesting Levels have exceeded supported limits: " +
			"Attributes in the item have nested levels beyond supported limit"},
		"a deep path": {term("=", termPath(slices.Repeat([]string{"a"}, maxDepth+1)...), one),
			"The document path has too many nesting levels; nesting levels: 33"},
		"too many": {many, "The expression contains too many operators; operator count: 301"},
	} {
		if _, err := NewCondition(test.root); fmtError(err) != test.want || !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%s: got %v; want %s", name, err, test.want)
		}
		if _, err := NewKeyCondition(test.root); fmtError(err) != test.want {
			t.Errorf("%s of keys: got %v; want %s", name, err, test.want)
		}
	}
}

func TestChangesRefused(t *testing.T) {
	path, one := termPath("a").Path, termValue(Value{Type: N, Text: "1"})
	for name, test := range map[string]struct {
		changes []Change
		want    string
	}{
		"no verb":      {[]Change{{"", path, one}}, `Syntax error; operator: "", number of operands: 0`},
		"another verb": {[]Change{{"PUT", path, one}}, `Syntax error; operator: "PUT", number of operands: 0`},
		"no path":      {[]Change{{"SET", nil, one}}, `Syntax error; operator: "SET", number of operands: 0`},
		"an index first": {[]Change{{"SET", Path{{Index: 1}}, one}},
			`Syntax error; operator: "SET", number of operands: 0`},
		"SET to nothing":      {[]Change{{"SET", path, nil}}, `Syntax error; operator: "SET", number of operands: 0`},
		"REMOVE of something": {[]Change{{"REMOVE", path, one}}, `Syntax error; operator: "REMOVE", number of operands: 0`},
		"ADD of a path":       {[]Change{{"ADD", path, termPath("b")}}, `Syntax error; operator: "", number of operands: 0`},
		"a comparison": {[]Change{{"SET", path, term("=", one, one)}},
			`Syntax error; operator: "=", number of operands: 2`},
		"a sum of one": {[]Change{{"SET", path, term("+", one)}},
			`Syntax error; operator: "+", number of operands: 1`},
		"a sum within": {[]Change{{"SET", path, term("+", term("-", one, one), one)}},
			`Syntax error; operator: "-", number of operands: 2`},
		"no name": {[]Change{{"SET", termPath("").Path, one}}, "Empty attribute name"},
		"one path twice": {[]Change{{"SET", path, one}, {"REMOVE", path, nil}},
			"Two document paths overlap with each other; " +
				"must remove or rewrite one of these paths; path one: [a], path two: [a]"},
	} {
		if _, err := NewUpdate(test.changes); fmtError(err) != test.want || !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%s: got %v; want %s", name, err, test.want)
		}
	}
}
