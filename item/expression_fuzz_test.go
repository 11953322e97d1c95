package item

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
)

// A printer prints what was parsed as text that parses to the same, and the scope for that text.
type printer struct {
	b       strings.Builder
	names   map[string]string // by alias
	aliases map[string]string // by name
	values  Item
}

func newPrinter() *printer {
	return &printer{names: make(map[string]string), aliases: make(map[string]string)}
}

func (p *printer) path(path Path) {
	for i, step := range path {
		if step.Index >= 0 {
			fmt.Fprintf(&p.b, "[%d]", step.Index)
			continue
		}
		if p.aliases[step.Name] == "" {
			alias := fmt.Sprintf("#%d", len(p.names))
			p.aliases[step.Name], p.names[alias] = alias, step.Name
		}
		if i > 0 {
			p.b.WriteByte('.')
		}
		p.b.WriteString(p.aliases[step.Name])
	}
}

func (p *printer) list(args []*expr, between string) {
	for i, arg := range args {
		if i > 0 {
			p.b.WriteString(between)
		}
		p.expr(arg)
	}
}

func (p *printer) expr(x *expr) {
	switch {
	case x.op == opPath:
		p.path(x.path)
	case x.op == opValue:
		name := fmt.Sprintf(":%04d", len(p.values))
		p.values = append(p.values, Attr{name, *x.value})
		p.b.WriteString(name)
	case x.op == opAnd || x.op == opOr || x.op == opNot:
		p.logic(x)
	case x.op == opBetween:
		p.list(x.args[:2], " BETWEEN ")
		p.b.WriteString(" AND ")
		p.expr(x.args[2])
	case x.op == opIn:
		p.expr(x.args[0])
		p.b.WriteString(" IN (")
		p.list(x.args[1:], ", ")
		p.b.WriteByte(')')
	case x.op.isFunction():
		p.b.WriteString(x.op.String() + "(")
		p.list(x.args, ", ")
		p.b.WriteByte(')')
	default:
		p.list(x.args, " "+x.op.String()+" ")
	}
}

// logic prints AND, OR and NOT, with parentheses round those within.
func (p *printer) logic(x *expr) {
	if x.op == opNot {
		p.b.WriteString("NOT ")
	}
	for i, arg := range x.args {
		if i > 0 {
			p.b.WriteString(" " + x.op.String() + " ")
		}
		if arg.op == opAnd || arg.op == opOr || arg.op == opNot {
			p.b.WriteByte('(')
			p.expr(arg)
			p.b.WriteByte(')')
		} else {
			p.expr(arg)
		}
	}
}

func (p *printer) projection(projection *Projection) {
	for i, path := range projection.paths {
		if i > 0 {
			p.b.WriteString(", ")
		}
		p.path(path)
	}
}

func (p *printer) update(u *Update) {
	last := verb(0)
	for i := range u.actions {
		a := &u.actions[i]
		switch {
		case a.verb != last:
			p.b.WriteString(" " + verbs[a.verb] + " ")
		case i > 0:
			p.b.WriteString(", ")
		}
		last = a.verb
		p.path(a.path)
		switch {
		case a.verb == verbSet:
			p.b.WriteString(" = ")
			fallthrough
		case a.operand != nil:
			p.b.WriteByte(' ')
			p.expr(a.operand)
		}
	}
}

// tryAll parses text as each kind of expression, uses what parses on the items, of which the first
// is no item, and returns it printed, by kind.
func tryAll(s *Scope, text string, items []Item) map[string]*printer {
	printed := make(map[string]*printer)
	if c, err := s.Condition("FilterExpression", text); err == nil {
		for _, it := range items {
			c.Match(it)
		}
		c.Names()
		printed["condition"] = newPrinter()
		printed["condition"].expr(c.root)
	}
	if k, err := s.KeyCondition(text); err == nil {
		for _, schema := range []KeySchema{{Hash: KeyAttr{"a", S}}, {Hash: KeyAttr{"a", S}, Range: KeyAttr{"b", N}}} {
			_, _ = k.Resolve(schema.Index())
		}
	}
	if p, err := s.Projection(text); err == nil {
		for _, it := range items {
			p.Apply(it)
		}
		printed["projection"] = newPrinter()
		printed["projection"].projection(p)
	}
	if u, err := s.Update(text); err == nil {
		for _, it := range items[1:] {
			after, _ := u.Apply(it)
			u.Touched(after)
		}
		u.Nested()
		printed["update"] = newPrinter()
		printed["update"].update(u)
	}
	_ = s.Unused()
	return printed
}

// FuzzExpression parses any text as every kind of expression. Nothing panics, items stay as they
// are, and what parses prints as what parses to the same.
func FuzzExpression(f *testing.F) {
	for _, text := range []string{
		typical, "a BETWEEN :a AND :b AND NOT (size(#a.l[0]) >= :b OR (b.c).d IN (:a, c[1]))",
		"begins_with(S, :a) or contains(L, :c) and attribute_type(M.y, :a) or attribute_not_exists(m.y[0].z)",
		"((a=b)) and size(a)", "a, b.c[1], #a.#b, m.y[0]", "a = :a AND b < :b", ":a = a AND begins_with(b, :a)",
		"SET a = if_not_exists(a, :b) + :b, m.x = (l[0]), l[9] = list_append(l, :c) REMOVE l[1], m.y[0] ADD n :b, ss :d " +
			"DELETE ns :d",
		"set n = n - :b add ss :d remove m.y", "set m.x = m, m.y[3] = m.y", "ü > <> <= >= # : [ ] 12 .",
	} {
		f.Add(text)
	}
	f.Fuzz(tries())
}

// TestRandomExpressions does what FuzzExpression does with sequences of tokens, which parse more
// often than bytes.
func TestRandomExpressions(t *testing.T) {
	words := strings.Fields("a n l m.y m.y[1] l[0] l[7] ss #a #b x.y :a :b :c :d :e :z ( ) ( ) , , . [0] = = <> < >= + " +
		"- " +
		"AND AND or NOT BETWEEN in( SET SET remove ADD delete size( contains( attribute_exists( attribute_type( " +
		"begins_with( " +
		"if_not_exists( list_append( list_append(l, if_not_exists(a, whatever( abort 12 ü")
	r := rand.New(rand.NewPCG(1, 2))
	try := tries()
	for range 30_000 {
		var b strings.Builder
		for range 1 + r.IntN(12) {
			b.WriteString(words[r.IntN(len(words))] + " ")
		}
		try(t, b.String())
	}
}

// tries returns a function that parses a text as every kind of expression, and checks what
// FuzzExpression says.
func tries() func(t *testing.T, text string) {
	names := map[string]string{"#a": "a", "#b": "x.y", "#s": "status", "#m": "m"}
	values := valuesOf(Text("S"), num("1"), List(num("1")), set(SS, "a", "q"), Null, Bytes("\x01"))
	items := []Item{nil, {}, everything, document()}
	same, other := showItem(everything), showItem(items[3])
	return func(t *testing.T, text string) {
		s, err := NewScope(names, values)
		if err != nil {
			t.Fatal(err)
		}
		for kind, first := range tryAll(s, text, items) {
			got := first.b.String()
			if len(got) > maxExpressionBytes || len(first.names) == 0 {
				continue
			}
			again, err := NewScope(first.names, first.values)
			if err != nil {
				t.Fatal(err)
			}
			second := tryAll(again, got, items)[kind]
			if second == nil {
				t.Errorf("%s %q, printed %q: got an error", kind, text, got)
			} else if second.b.String() != got || !maps.Equal(second.names, first.names) {
				t.Errorf("%s %q: got %q, and then %q", kind, text, got, second.b.String())
			}
		}
		if showItem(everything) != same || showItem(items[3]) != other {
			t.Errorf("%q: got a changed item", text)
		}
	}
}
