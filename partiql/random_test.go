package partiql

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"holdfast/item"
)

// A printer prints a parsed statement so that it parses to the same one. Bytes, which have no
// literal, become parameters.
type printer struct {
	b          strings.Builder
	parameters []item.Value
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (p *printer) path(path item.Path) {
	for i, step := range path {
		switch {
		case step.Index >= 0:
			fmt.Fprintf(&p.b, "[%d]", step.Index)
		case i == 0:
			p.b.WriteString(quoted(step.Name))
		default:
			p.b.WriteString("." + quoted(step.Name))
		}
	}
}

func (p *printer) value(v item.Value) {
	switch v.Type {
	case item.S:
		p.b.WriteString("'" + strings.ReplaceAll(v.Text, "'", "''") + "'")
	case item.N:
		p.b.WriteString(v.Text)
	case item.BOOL:
		fmt.Fprint(&p.b, v.Bool)
	case item.NULL:
		p.b.WriteString("NULL")
	case item.SS, item.NS:
		p.set(v)
	case item.L:
		p.b.WriteByte('[')
		for i, element := range v.List {
			p.comma(i)
			p.value(element)
		}
		p.b.WriteByte(']')
	case item.M:
		p.b.WriteByte('{')
		for i, attr := range v.Map {
			p.comma(i)
			p.value(item.Text(attr.Name))
			p.b.WriteString(": ")
			p.value(attr.Value)
		}
		p.b.WriteByte('}')
	default:
		p.b.WriteByte('?')
		p.parameters = append(p.parameters, v)
	}
}

func (p *printer) set(v item.Value) {
	p.b.WriteString("<<")
	for i, element := range v.Set {
		p.comma(i)
		if v.Type == item.NS {
			p.b.WriteString(element)
		} else {
			p.value(item.Text(element))
		}
	}
	p.b.WriteString(">>")
}

func (p *printer) comma(i int) {
	if i > 0 {
		p.b.WriteString(", ")
	}
}

func (p *printer) term(t *item.Term) {
	switch {
	case t.Path != nil:
		p.path(t.Path)
	case t.Value != nil:
		p.value(*t.Value)
	case t.Op == not:
		p.b.WriteString("NOT ")
		p.enclosed(t.Args[0])
	case t.Op == between:
		p.term(t.Args[0])
		p.b.WriteString(" BETWEEN ")
		p.joined(t.Args[1:], " AND ")
	case t.Op == in:
		p.term(t.Args[0])
		p.b.WriteString(" IN [")
		p.joined(t.Args[1:], ", ")
		p.b.WriteByte(']')
	case isLogic(t), isComparison(t), t.Op == plus, t.Op == minus:
		p.joined(t.Args, " "+t.Op+" ")
	default:
		p.b.WriteString(t.Op + "(")
		p.joined(t.Args, ", ")
		p.b.WriteByte(')')
	}
}

func (p *printer) joined(args []*item.Term, between string) {
	for i, arg := range args {
		if i > 0 {
			p.b.WriteString(between)
		}
		p.enclosed(arg)
	}
}

func (p *printer) enclosed(t *item.Term) {
	if !isLogic(t) {
		p.term(t)
		return
	}
	p.b.WriteByte('(')
	p.term(t)
	p.b.WriteByte(')')
}

func (p *printer) where(s *Statement) {
	if s.where != nil {
		p.b.WriteString(" WHERE ")
		p.term(s.where)
	}
	if s.Returning != 0 {
		p.b.WriteString(" RETURNING " + s.Returning.String())
	}
}

// changes prints the clauses of an update.
func (p *printer) changes(changes []item.Change) {
	for _, c := range changes {
		if c.Verb == "REMOVE" {
			p.b.WriteString(" REMOVE ")
			p.path(c.Path)
			continue
		}
		p.b.WriteString(" SET ")
		p.path(c.Path)
		p.b.WriteString(" = ")
		switch c.Verb {
		case "SET":
			p.term(c.To)
		default:
			p.b.WriteString("set_" + c.Verb + "(")
			p.path(c.Path)
			p.b.WriteString(", ")
			p.term(c.To)
			p.b.WriteByte(')')
		}
	}
}

func (p *printer) statement(s *Statement, changes []item.Change) {
	table := quoted(s.Table)
	if s.Index != "" {
		table += "." + quoted(s.Index)
	}
	switch s.Kind {
	case Select:
		p.selection(s, table)
	case Exists:
		p.b.WriteString("EXISTS(")
		p.selection(s, table)
		p.b.WriteByte(')')
	case Insert:
		p.b.WriteString("INSERT INTO " + table + " VALUE ")
		p.value(item.Map(s.Item))
	case Update:
		p.b.WriteString("UPDATE " + table)
		p.changes(changes)
		p.where(s)
	case Delete:
		p.b.WriteString("DELETE FROM " + table)
		p.where(s)
	}
}

func (p *printer) selection(s *Statement, table string) {
	p.b.WriteString("SELECT ")
	for i, c := range s.columns {
		p.comma(i)
		p.path(c.path)
	}
	if s.columns == nil {
		p.b.WriteByte('*')
	}
	p.b.WriteString(" FROM " + table)
	p.where(s)
	for i, by := range s.order {
		p.b.WriteString([]string{" ORDER BY ", ", "}[min(i, 1)] + quoted(by.attr))
		if by.descending {
			p.b.WriteString(" DESC")
		}
	}
}

// printed parses a statement and prints it; !ok if it doesn't parse.
func printed(text string, parameters []item.Value) (p *printer, ok bool) {
	s, err := Parse(text, parameters)
	if err != nil {
		return nil, false
	}
	p = new(printer)
	p.statement(&s, changesOf(text, parameters))
	return p, true
}

// changesOf returns the changes of an UPDATE that parses; none for any other text.
func changesOf(text string, parameters []item.Value) []item.Change {
	tokens, err := lex(text)
	if err != nil {
		return nil
	}
	q := parser{tokens: tokens, parameters: parameters}
	var s Statement
	switch {
	case q.take("UPDATE"):
		err = q.written(&s, true)
	case q.take("FROM"):
		if err = q.written(&s, true); err == nil {
			err = q.where(&s)
		}
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	changes, _ := q.changes()
	return changes
}

// checkPrinted checks that a statement, printed and parsed again, is the same statement.
func checkPrinted(t *testing.T, text string, parameters []item.Value) (ok bool) {
	t.Helper()
	first, ok := printed(text, parameters)
	if !ok {
		return false
	}
	second, ok := printed(first.b.String(), first.parameters)
	if !ok {
		_, err := Parse(first.b.String(), first.parameters)
		t.Errorf("%s: printed %s: got %v", text, first.b.String(), err)
		return true
	}
	if second.b.String() != first.b.String() || !item.List(first.parameters...).Equal(item.List(second.parameters...)) {
		t.Errorf("%s:\ngot  %s\nwant %s", text, second.b.String(), first.b.String())
	}
	return true
}

// words are tokens of statements; frequent ones are listed several times.
var words = strings.Fields(`SELECT SELECT * FROM FROM WHERE WHERE AND OR NOT IN BETWEEN IS MISSING NULL STRING
	ORDER BY DESC INSERT INTO VALUE UPDATE SET REMOVE DELETE RETURNING ALL OLD NEW MODIFIED EXISTS( set_add(
	set_delete(a, list_append( if_not_exists( begins_with( contains( size( attribute_type( attribute_exists(
	attribute_exists(a) true pk pk sk a a b.c l[0] "q" "" t t t.i 1 2 -1.5 1e125 1e126 .5 's' 'it''s' '' ? ?
	( ( ) ) [ ] << >> { } : , , . = = <> != < <= > >= + - ; -- /* */ ['a',?] <<1,2>> <<'a'>> {'pk':'a'}
	{'a':[null,{'b':<<?>>}]} LIMIT AS nope( é`)

// shapes are the beginnings of random statements; they make many of them valid.
var shapes = []string{
	"", "SELECT * FROM t WHERE ", "SELECT * FROM t WHERE pk = 'a' AND ", "SELECT ", "INSERT INTO t VALUE ",
	"UPDATE t SET a = ",
	"UPDATE t SET a = 1 WHERE ", "UPDATE t REMOVE a SET ", "DELETE FROM t WHERE pk = 'a' ", "FROM t WHERE pk = 1 SET ",
	"EXISTS(SELECT * FROM t WHERE ", "SELECT * FROM t WHERE NOT ", "SELECT * FROM t WHERE (a = 1) ",
}

// TestRandomStatements parses and uses sequences of tokens, as FuzzParse does with any text.
func TestRandomStatements(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	use := uses()
	parsed := 0
	for range 30_000 {
		var b strings.Builder
		b.WriteString(shapes[r.IntN(len(shapes))])
		for range r.IntN(9) {
			b.WriteString(words[r.IntN(len(words))] + " ")
		}
		if use(t, b.String()) {
			parsed++
		}
	}
	if parsed < 500 {
		t.Errorf("got %d statements that parse; want hundreds", parsed)
	}
}

// TestStatementsPrint prints statements of all kinds, and parses them again.
func TestStatementsPrint(t *testing.T) {
	parameters := []item.Value{item.Bytes("\x00\xff"), {Type: item.BS, Set: []string{"a", "b"}}, num(t, "-2.5e-30")}
	for _, text := range statements {
		if !checkPrinted(t, text, parameters) {
			_, err := Parse(text, parameters)
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// statements are valid statements of all kinds.
var statements = []string{
	`SELECT a, b.c[1] FROM "t"."i" WHERE pk = ? AND (sk BETWEEN -2.5e3 AND 1
		OR x IN [<<'a'>>, {'b': [null]}]) ORDER BY sk DESC`,
	`select * from "a ""b""" where "c ""d"""."e"[0] = 'it''s' AND NOT (a = 1 OR NOT b != 2) order by pk, sk desc;`,
	`SELECT * FROM t WHERE a NOT IN (?, ?, ?) AND b IS NOT MISSING AND c IS STRUCT AND SIZE(d) > 1
		AND attribute_exists(e) = false`,
	`INSERT INTO t VALUE {'a': 'it''s', 'b': <<1, 2>>, 'c': ?, 'd': [?, ?],
		'e': {'f': {}, 'g': [true, FALSE]}, 'h': <<''>>}`,
	`UPDATE t SET a = if_not_exists(a, ?) - 1, b = set_add(b, <<'x'>>) REMOVE c[0].d WHERE pk = 1
		RETURNING MODIFIED NEW *`,
	`UPDATE t SET a = list_append(a, if_not_exists(b, [?])) SET d = set_delete(d, <<1>>) SET e = {'a': ?}
		SET f = f - -1 WHERE pk = 'x'`,
	`FROM t WHERE pk='a' AND x IS NOT MISSING SET a=1 REMOVE b, c -- note`,
	`DELETE FROM t WHERE NOT begins_with(a, 'b') /* x */ RETURNING ALL OLD *;`,
	`DELETE FROM t WHERE contains(a, b) AND attribute_type(c, 'S') AND 1 < d AND (e >= ? OR f = g)`,
	`EXISTS(SELECT * FROM t WHERE pk = 'a' AND size(b) > 3)`,
}
