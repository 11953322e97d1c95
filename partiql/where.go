package partiql

import (
	"strconv"
	"strings"

	"holdfast/item"
)

// condition parses a disjunction: what a WHERE clause is, and what stands in parentheses.
func (p *parser) condition() (*expression, error) { return p.chain(or, "OR", p.conjunction) }

func (p *parser) conjunction() (*expression, error) { return p.chain(and, "AND", p.negation) }

// chain parses one or more of what next parses, with a word between them.
func (p *parser) chain(operation operation, keyword string, next func() (*expression, error)) (*expression, error) {
	left, err := next()
	for err == nil && p.take(keyword) {
		var right *expression
		if right, err = next(); err != nil {
			break
		}
		for _, side := range []*expression{left, right} {
			if !side.predicate() {
				return nil, malformed(unexpectedTerm)
			}
		}
		left = joined(operation, left, right)
	}
	return left, err
}

func (p *parser) negation() (*expression, error) {
	at := *p.peek()
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
	if !e.predicate() {
		return nil, malformed(unexpectedTerm)
	}
	return &expression{operation: not, args: []*expression{e}, at: at}, nil
}

// comparators are the signs of comparisons, as conditions have them.
var comparators = map[string]string{"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

// comparison parses a predicate, or an operand where a predicate is wanted.
func (p *parser) comparison() (*expression, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	t := *p.peek()
	negated := t.upper == "NOT" && (p.second().upper == "IN" || p.second().upper == "BETWEEN")
	if negated {
		p.tokens = p.tokens[1:]
	}
	var e *expression
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
		e = &expression{operation: not, args: []*expression{e}, at: t}
	}
	return e, err
}

// compared parses the right side of a comparison. A predicate may be compared with true and false.
func (p *parser) compared(left *expression, comparator string) (*expression, error) {
	right, err := p.operand()
	if err != nil {
		return nil, err
	}
	if left.predicate() && right.operation == value && right.value.Type == item.BOOL && (comparator == "=" || comparator == "<>") {
		if right.value.Bool == (comparator == "=") {
			return left, nil
		}
		return &expression{operation: not, args: []*expression{left}, at: left.at}, nil
	}
	if left.predicate() || right.predicate() {
		return nil, malformed(unexpectedTerm)
	}
	return &expression{operation: compare, word: comparator, args: []*expression{left, right}, at: left.at}, nil
}

// among parses what follows IN: a list in brackets or parentheses, a set, or a parameter that is a list.
func (p *parser) among(left *expression) (*expression, error) {
	at := *p.peek()
	e := &expression{operation: in, args: []*expression{left}, at: left.at}
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
	if err == nil && len(list) == 0 {
		err = malformed(unexpectedTerm)
	}
	for _, v := range list {
		e.args = append(e.args, &expression{operation: value, value: v, at: at})
	}
	return e, err
}

// spanned parses what follows BETWEEN.
func (p *parser) spanned(left *expression) (*expression, error) {
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
	return &expression{operation: between, args: []*expression{left, low, high}, at: left.at}, nil
}

// isTypes are the types that IS knows, by PartiQL's names and those of DynamoDB.
var isTypes = map[string]string{
	"NULL": "NULL", "BOOL": "BOOL", "BOOLEAN": "BOOL", "STRING": "S", "NUMERIC": "N", "BLOB": "B", "LIST": "L", "STRUCT": "M", "TUPLE": "M",
}

// is parses what follows IS and NOT.
func (p *parser) is(left *expression) (*expression, error) {
	t := *p.peek()
	if t.kind != word {
		return nil, malformed("Expected data type")
	}
	p.tokens = p.tokens[1:]
	if t.upper == "MISSING" {
		return &expression{operation: call, word: "attribute_not_exists", args: []*expression{left}, at: left.at}, nil
	}
	short, ok := isTypes[t.upper]
	if !ok {
		return nil, invalid("Unsupported data type for IS operator: %s. Supported data types are [MISSING, NULL, BOOLEAN, BLOB, STRING, NUMERIC, STRUCT, TUPLE, LIST]", t.text)
	}
	named := &expression{operation: value, value: item.Text(short), at: t}
	return &expression{operation: call, word: "attribute_type", args: []*expression{left, named}, at: left.at}, nil
}

// operand parses a path, a value, a function's call, or a condition in parentheses.
func (p *parser) operand() (*expression, error) {
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
		if err != nil {
			return nil, err
		}
		e.at = at
		return e, nil
	case at.kind == word && p.second().kind == sign && p.second().text == "(" && !reserved[at.upper]:
		return p.called()
	case at.kind == name, at.kind == word && !reserved[at.upper]:
		steps, err := p.path(unexpectedTerm)
		return &expression{operation: path, path: steps, at: at}, err
	}
	v, err := p.value("root")
	if err == nil {
		err = v.Check()
	}
	return &expression{operation: value, value: v, at: at}, err
}

// called parses the call of a function of conditions.
func (p *parser) called() (*expression, error) {
	at := *p.peek()
	e := &expression{operation: call, word: strings.ToLower(at.text), at: at}
	f, ok := functions[e.word]
	if !ok {
		return nil, invalid("Unrecognized function: %s at %s", e.word, at.place())
	}
	var err error
	if e.args, err = p.arguments(p.operand); err != nil {
		return nil, err
	}
	if len(e.args) != f.args {
		return nil, invalid("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", e.word, len(e.args))
	}
	return e, nil
}

// arguments parses a name and the arguments in parentheses behind it.
func (p *parser) arguments(next func() (*expression, error)) ([]*expression, error) {
	p.tokens = p.tokens[2:]
	if p.takeSign(")") {
		return nil, nil
	}
	var args []*expression
	for {
		e, err := next()
		if err != nil {
			return nil, err
		}
		if e.predicate() {
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

// path parses an attribute's name and the steps down from it. missing is the detail if there is none.
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
