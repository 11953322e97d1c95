package partiql

import (
	"strings"

	"holdfast/item"
)

// maxDepth is how deep parentheses, lists and maps of a statement may nest. It is beyond what a
// value may have, so that those get their own error.
const maxDepth = 100

// reserved are the words that can't be names without quotes: those that the grammar needs.
var reserved = map[string]bool{
	"SELECT": true, "FROM": true, "WHERE": true, "AND": true, "OR": true, "NOT": true, "IN": true, "BETWEEN": true,
	"IS": true, "ORDER": true, "BY": true, "SET": true, "REMOVE": true, "RETURNING": true, "INSERT": true, "INTO": true,
	"VALUE": true, "UPDATE": true, "DELETE": true, "LIMIT": true, "OFFSET": true, "GROUP": true, "HAVING": true,
	"AS":   true,
	"NULL": true, "MISSING": true, "TRUE": true, "FALSE": true, "LIKE": true, "JOIN": true, "UNION": true,
	"DISTINCT": true,
	"INNER":    true, "LEFT": true, "RIGHT": true, "CROSS": true,
}

// A parser consumes the tokens of one statement.
type parser struct {
	tokens     []token // the last is of kind end
	parameters []item.Value
	used       int // of parameters
	depth      int
}

// Parse returns the statement of a text, with parameters in place of its question marks, in order.
// More parameters than question marks are ignored, as the service does.
func Parse(statement string, parameters []item.Value) (Statement, error) {
	tokens, err := lex(statement)
	if err != nil {
		return Statement{}, err
	}
	p := parser{tokens: tokens, parameters: parameters}
	s, err := p.statement()
	if err != nil {
		return Statement{}, err
	}
	if p.peek().text == ";" && p.peek().kind == sign {
		p.tokens = p.tokens[1:]
	}
	if t := p.peek(); t.kind != end {
		return Statement{}, leftover(t)
	}
	return s, nil
}

// unsupported are words that begin clauses of SQL that the service refuses by name.
var unsupported = map[string]bool{"LIMIT": true, "OFFSET": true, "GROUP": true, "HAVING": true, "UNION": true,
	"JOIN": true}

// leftover returns the error of tokens after a whole statement.
func leftover(t *token) error {
	if t.kind == word && unsupported[t.upper] {
		return invalid("Unsupported clause: %s at %s", t.upper, t.place())
	}
	return malformed("Unexpected token after expression")
}

func (p *parser) statement() (Statement, error) {
	switch {
	case p.take("SELECT"):
		return p.selected(Select)
	case p.take("INSERT"):
		return p.insert()
	case p.take("UPDATE"):
		return p.update()
	case p.take("FROM"):
		return p.fromFirst()
	case p.take("DELETE"):
		return p.deletion()
	case p.peek().upper == "EXISTS" && p.second().text == "(":
		return p.exists()
	}
	return Statement{}, malformed("Expected data manipulation")
}

// selected parses what follows SELECT.
func (p *parser) selected(kind Kind) (Statement, error) {
	s := Statement{Kind: kind}
	var err error
	if s.columns, err = p.columns(); err != nil {
		return s, err
	}
	if !p.take("FROM") {
		return s, malformed("Expected FROM after SELECT list")
	}
	if err := p.source(&s, true); err != nil {
		return s, err
	}
	if err := p.where(&s); err != nil {
		return s, err
	}
	if p.peek().upper == "ORDER" {
		s.order, err = p.ordering()
	}
	return s, err
}

// columns parses the list of a SELECT; nil is the star.
func (p *parser) columns() ([]column, error) {
	if p.takeSign("*") {
		if p.takeSign(",") {
			return nil, invalid("Other attributes should not be present in the projection when '*' is used.")
		}
		return nil, nil
	}
	var columns []column
	for {
		t := *p.peek()
		if t.kind == sign && t.text == "*" {
			return nil, invalid("Other attributes should not be present in the projection when '*' is used.")
		}
		if t.kind == word && p.second().text == "(" {
			return nil, invalid("Unexpected path component at %s", t.place())
		}
		path, err := p.path(unexpectedTerm)
		if err != nil {
			return nil, err
		}
		if next := p.peek(); next.upper == "AS" || next.kind == name || next.kind == word && !reserved[next.upper] {
			return nil, invalid("Aliasing is not supported")
		}
		columns = append(columns, column{columnName(path, len(columns)+1), path})
		if !p.takeSign(",") {
			return columns, nil
		}
	}
}

// columnName returns the name of a path's value in the response.
func columnName(path item.Path, position int) string {
	if last := path[len(path)-1]; last.Index < 0 {
		return last.Name
	}
	return "_" + decimal(position)
}

// source parses a table, perhaps with an index.
func (p *parser) source(s *Statement, aliases bool) error {
	var names []string
	for {
		t := p.peek()
		if t.kind != name && (t.kind != word || reserved[t.upper]) {
			return malformed("Expected identifier for simple path component")
		}
		if t.text == "" {
			return invalid("Path component cannot be an empty string")
		}
		names = append(names, t.text)
		p.tokens = p.tokens[1:]
		if !p.takeSign(".") {
			break
		}
	}
	if len(names) > 2 {
		return invalid("A path may contain at most 2 components in the FROM clause")
	}
	if t := p.peek(); aliases && (t.upper == "AS" || t.kind == name || t.kind == word && !reserved[t.upper]) {
		return invalid("Aliasing is not supported")
	}
	s.Table = names[0]
	if len(names) == 2 {
		s.Index = names[1]
	}
	return nil
}

// written parses the table of a write, which can't be an index.
func (p *parser) written(s *Statement, aliases bool) error {
	if err := p.source(s, aliases); err != nil {
		return err
	}
	if s.Index != "" {
		return invalid("This operation is not supported on an index")
	}
	return nil
}

// where parses a WHERE clause, if there is one.
func (p *parser) where(s *Statement) error {
	if !p.take("WHERE") {
		return nil
	}
	e, err := p.condition()
	if err != nil {
		return err
	}
	s.where = e
	s.Where, err = condition(e)
	return err
}

func (p *parser) ordering() ([]order, error) {
	p.take("ORDER")
	if !p.take("BY") {
		return nil, malformed("Expected BY after ORDER")
	}
	var orders []order
	for {
		path, err := p.path(unexpectedTerm)
		if err != nil {
			return nil, err
		}
		if len(path) > 1 {
			return nil, invalid("Attribute %s in ORDER BY clause must be part of the primary key", path)
		}
		by := order{attr: path[0].Name}
		if p.take("DESC") {
			by.descending = true
		} else {
			p.take("ASC")
		}
		orders = append(orders, by)
		if !p.takeSign(",") {
			return orders, nil
		}
	}
}

// insert parses what follows INSERT.
func (p *parser) insert() (Statement, error) {
	s := Statement{Kind: Insert}
	if !p.take("INTO") {
		return s, malformed("Expected INTO after INSERT")
	}
	if err := p.written(&s, false); err != nil {
		return s, err
	}
	if !p.take("VALUE") {
		return s, malformed("Unexpected token after expression")
	}
	v, err := p.value("root")
	if err != nil {
		return s, err
	}
	if v.Type != item.M {
		return s, malformed("Expected tuple after VALUE")
	}
	s.Item = v.Map
	if p.peek().upper == "RETURNING" {
		return s, invalid("RETURNING is not supported in INSERT")
	}
	return s, s.Item.Check()
}

// deletion parses what follows DELETE.
func (p *parser) deletion() (Statement, error) {
	s := Statement{Kind: Delete}
	if !p.take("FROM") {
		return s, malformed("Expected FROM after DELETE")
	}
	if err := p.written(&s, true); err != nil {
		return s, err
	}
	if err := p.where(&s); err != nil {
		return s, err
	}
	if err := p.returning(&s); err != nil {
		return s, err
	}
	if s.Returning > AllOld {
		return s, invalid("Invalid returning clause: RETURNING %s. Only RETURNING ALL OLD * is allowed in DELETE statements.",
			s.Returning)
	}
	return s, nil
}

// returnings are the answers of writes in the words of a statement.
var returnings = [...]string{AllOld: "ALL OLD *", ModifiedOld: "MODIFIED OLD *", AllNew: "ALL NEW *",
	ModifiedNew: "MODIFIED NEW *"}

// String returns the words of the clause.
func (r Returning) String() string { return returnings[r] }

// returning parses a RETURNING clause, if there is one.
func (p *parser) returning(s *Statement) error {
	if !p.take("RETURNING") {
		return nil
	}
	for r := AllOld; r <= ModifiedNew; r++ {
		words := strings.Fields(returnings[r])
		if p.peek().upper == words[0] && p.second().upper == words[1] {
			p.tokens = p.tokens[2:]
			s.Returning = r
			if !p.takeSign("*") {
				break
			}
			return nil
		}
	}
	return malformed("Expected ALL or MODIFIED, OLD or NEW, and * after RETURNING")
}

// exists parses EXISTS(SELECT …).
func (p *parser) exists() (Statement, error) {
	p.tokens = p.tokens[2:]
	if !p.take("SELECT") {
		return Statement{}, malformed("Expected SELECT in EXISTS")
	}
	s, err := p.selected(Exists)
	if err == nil && !p.takeSign(")") {
		err = malformed("Expected RIGHT_PAREN")
	}
	return s, err
}

func (p *parser) peek() *token { return &p.tokens[0] }

// second is the token behind the next one.
func (p *parser) second() *token { return &p.tokens[min(1, len(p.tokens)-1)] }

// third is the token behind the second one.
func (p *parser) third() *token { return &p.tokens[min(2, len(p.tokens)-1)] }

// take consumes a keyword, if it is next.
func (p *parser) take(keyword string) bool {
	if p.peek().upper != keyword {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

// takeSign consumes a sign, if it is next.
func (p *parser) takeSign(s string) bool {
	if t := p.peek(); t.kind != sign || t.text != s {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

// deeper enters one level of nesting; the caller leaves it by p.depth--.
func (p *parser) deeper() error {
	if p.depth++; p.depth > maxDepth {
		return malformed("")
	}
	return nil
}
