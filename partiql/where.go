package partiql

import (
	"strconv"
	"strings"

	"holdfast/item"
)

// condition parses a disjunction: what a WHERE clause is, and what stands in parentheses.
func (p *parser) condition() (*item.Term, error) { return p.chain(or, p.conjunction) }

func (p *parser) conjunction() (*item.Term, error) { return p.chain(and, p.negation) }

// chain parses one or more operands with next, with a keyword between them.
func (p *parser) chain(keyword string, next func() (*item.Term, error)) (*item.Term, error) {
	left, err := next()
	for err == nil && p.take(keyword) {
		var right *item.Term
		if right, err = next(); err != nil {
			break
		}
		for _, side := range []*item.Term{left, right} {
			if !isPredicate(side) {
				return nil, malformed(unexpectedTerm)
			}
		}
		left = joined(keyword, left, right)
	}
	return left, err
}

func (p *parser) negation() (*item.Term, error) {
	if !p.take("NOT") {
		return p.comparison()
	}
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	e, err := p.negation()
	if err != nil {
		return nil, err
	}
	if !isPredicate(e) {
		return nil, malformed(unexpectedTerm)
	}
	return operation(not, e), nil
}

// comparison parses a predicate, or an operand where a predicate is wanted.
func (p *parser) comparison() (*item.Term, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	t := *p.peek()
	negated := t.upper == "NOT" && (p.second().upper == "IN" || p.second().upper == "BETWEEN")
	if negated {
		p.tokens = p.tokens[1:]
	}
	var e *item.Term
	switch {
	case t.kind == sign && comparators[t.text] != "":
		p.tokens = p.tokens[1:]
		e, err = p.compared(left, comparators[t.text])
	case p.take("IN"):
		e, err = p.among(left)
	case p.take("BETWEEN"):
		e, err = p.spanned(left)
	case p.take("IS"):
		negated = p.take("NOT")
		e, err = p.is(left)
	default:
		return left, nil
	}
	if err == nil && negated {
		e = operation(not, e)
	}
	return e, err
}

// compared parses the right side of a comparison. A predicate may be compared with true and false.
func (p *parser) compared(left *item.Term, comparator string) (*item.Term, error) {
	right, err := p.operand()
	if err != nil {
		return nil, err
	}
	if isPredicate(left) && right.Value != nil && right.Value.Type == item.BOOL &&
		(comparator == "=" || comparator == "<>") {
		if right.Value.Bool == (comparator == "=") {
			return left, nil
		}
		return operation(not, left), nil
	}
	if isPredicate(left) || isPredicate(right) {
		return nil, malformed(unexpectedTerm)
	}
	return operation(comparator, left, right), nil
}

// among parses what follows IN: a list in brackets or parentheses, a set, or a parameter that is a
// list.
func (p *parser) among(left *item.Term) (*item.Term, error) {
	at := *p.peek()
	e := operation(in, left)
	var list []item.Value
	var err error
	switch {
	case p.takeSign("["):
		list, err = p.elements("]", "root")
	case p.takeSign("("):
		list, err = p.elements(")", "root")
	case p.takeSign("<<"):
		list, err = p.elements(">>", "root")
	case at.kind == mark:
		var v item.Value
		if v, err = p.value("root"); err == nil && v.Type != item.L {
			err = malformed(unexpectedTerm)
		}
		list = v.List
	default:
		err = malformed(unexpectedTerm)
	}
	if err == nil && (len(list) == 0 || !isOperand(left)) {
		err = malformed(unexpectedTerm)
	}
	for _, v := range list {
		e.Args = append(e.Args, value(v))
	}
	return e, err
}

// spanned parses what follows BETWEEN.
func (p *parser) spanned(left *item.Term) (*item.Term, error) {
	low, err := p.operand()
	if err != nil {
		return nil, err
	}
	if !p.take("AND") {
		return nil, malformed("Expected AND after BETWEEN")
	}
	high, err := p.operand()
	if err != nil {
		return nil, err
	}
	if !isOperand(left) || !isOperand(low) || !isOperand(high) {
		return nil, malformed(unexpectedTerm)
	}
	return operation(between, left, low, high), nil
}

// isTypes are the types that IS knows, by PartiQL's names and those of DynamoDB.
var isTypes = map[string]string{
	"NULL": "NULL", "BOOL": "BOOL", "BOOLEAN": "BOOL", "STRING": "S", "NUMERIC": "N", "BLOB": "B", "LIST": "L",
	"STRUCT": "M", "TUPLE": "M",
}

// is parses what follows IS and NOT.
func (p *parser) is(left *item.Term) (*item.Term, error) {
	t := *p.peek()
	if t.kind != word {
		return nil, malformed("Expected data type")
	}
	p.tokens = p.tokens[1:]
	if t.upper == "MISSING" && isOperand(left) {
		return operation("attribute_not_exists", left), nil
	}
	short, ok := isTypes[t.upper]
	if !ok && t.upper != "MISSING" {
		return nil, invalid("Unsupported data type for IS operator: %s. Supported data types are "+
			"[MISSING, NULL, BOOLEAN, BLOB, STRING, NUMERIC, STRUCT, TUPLE, LIST]", t.text)
	}
	if !isOperand(left) {
		return nil, malformed(unexpectedTerm)
	}
	return operation("attribute_type", left, value(item.Text(short))), nil
}

// operand parses a path, a value, a function's call, or a condition in parentheses.
func (p *parser) operand() (*item.Term, error) {
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	at := *p.peek()
	switch {
	case p.takeSign("("):
		e, err := p.condition()
		if err == nil && !p.takeSign(")") {
			err = malformed("Expected RIGHT_PAREN")
		}
		return e, err
	case at.kind == word && p.second().kind == sign && p.second().text == "(" && !reserved[at.upper]:
		return p.called()
	case at.kind == name, at.kind == word && !reserved[at.upper]:
		steps, err := p.path(unexpectedTerm)
		return &item.Term{Path: steps}, err
	}
	v, err := p.value("root")
	if err == nil {
		err = v.Check()
	}
	return value(v), err
}

// called parses the call of a function of conditions.
func (p *parser) called() (*item.Term, error) {
	at := *p.peek()
	name := strings.ToLower(at.text)
	f, ok := functions[name]
	if !ok {
		return nil, invalid("Unrecognized function: %s at %s", name, at.place())
	}
	args, err := p.arguments(p.operand)
	if err != nil {
		return nil, err
	}
	return call(name, f.args, args)
}

// call returns the call of a function that takes that many arguments.
func call(name string, count int, args []*item.Term) (*item.Term, error) {
	if len(args) != count {
		return nil, invalid("Incorrect number of operands for operator or function; operator or function: %s, "+
			"number of operands: %d", name, len(args))
	}
	return operation(name, args...), nil
}

// arguments parses a name and the arguments in parentheses behind it.
func (p *parser) arguments(next func() (*item.Term, error)) ([]*item.Term, error) {
	p.tokens = p.tokens[2:]
	if p.takeSign(")") {
		return nil, nil
	}
	var args []*item.Term
	for {
		e, err := next()
		if err != nil {
			return nil, err
		}
		if isPredicate(e) {
			return nil, malformed(unexpectedTerm)
		}
		args = append(args, e)
		if p.takeSign(")") {
			return args, nil
		}
		if !p.takeSign(",") {
			return nil, malformed("Expected RIGHT_PAREN")
		}
	}
}

// path parses an attribute's name and the steps down from it. missing is the detail if there is
// none.
func (p *parser) path(missing string) (item.Path, error) {
	t := p.peek()
	if t.kind != name && (t.kind != word || reserved[t.upper]) {
		return nil, malformed(missing)
	}
	steps := item.Path{{Name: t.text, Index: -1}}
	p.tokens = p.tokens[1:]
	for {
		switch {
		case p.takeSign("."):
			t := p.peek()
			if t.kind != name && (t.kind != word || reserved[t.upper]) {
				return nil, malformed("Invalid path dot component")
			}
			steps = append(steps, item.Step{Name: t.text, Index: -1})
			p.tokens = p.tokens[1:]
		case p.takeSign("["):
			step, err := p.subscript()
			if err != nil {
				return nil, err
			}
			steps = append(steps, step)
		default:
			return steps, nil
		}
	}
}

// subscript parses what follows an opening bracket: an index, or a name as a text.
func (p *parser) subscript() (item.Step, error) {
	t := *p.peek()
	var step item.Step
	switch t.kind {
	case number:
		n, err := strconv.ParseInt(t.text, 10, 32)
		if err != nil {
			return step, malformed("Invalid path component")
		}
		step = item.Step{Index: int(n)}
	case text:
		step = item.Step{Name: t.text, Index: -1}
	default:
		return step, malformed("Invalid path component")
	}
	p.tokens = p.tokens[1:]
	if !p.takeSign("]") {
		return step, malformed("Expected RIGHT_BRACKET")
	}
	return step, nil
}
