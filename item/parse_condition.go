package item

// The grammar, in which parentheses may be round any condition or operand:
//
//	or        = and { "OR" and }
//	and       = not { "AND" not }
//	not       = "NOT" not | primary
//	primary   = "(" or ")" | operand comparator operand | operand "BETWEEN" operand "AND" operand
//	          | operand "IN" "(" operand { "," operand } ")" | function
//	operand   = path | value | function
//	function  = name "(" operand { "," operand } ")"
//
// What follows an opening parenthesis may turn out to be a condition or an operand. So it is parsed
// as a condition of which an operand, followed by the closing parenthesis, is allowed to be all:
// then it is the operand of what follows.

// or parses a condition. With lone it may also be an operand before a closing parenthesis.
func (p *parser) or(lone bool) *expr {
	return p.chain(opOr, "OR", lone, p.and)
}

func (p *parser) and(lone bool) *expr {
	return p.chain(opAnd, "AND", lone, p.not)
}

// chain parses a list of conditions with a keyword between them.
func (p *parser) chain(op op, keyword string, lone bool, part func(lone bool) *expr) *expr {
	first := part(lone)
	if first == nil || !p.at(keyword) {
		return first
	}
	all := p.expr(op, first)
	for p.acceptWord(keyword) {
		p.operators++
		next := part(false)
		if next == nil {
			return nil
		}
		all.args = append(all.args, next)
	}
	return all
}

func (p *parser) not(lone bool) *expr {
	if !p.acceptWord("NOT") {
		return p.primary(lone)
	}
	p.operators++
	x := p.not(false)
	if x == nil {
		return nil
	}
	return p.expr(opNot, x)
}

func (p *parser) primary(lone bool) *expr {
	x := p.parenthesized(true)
	switch {
	case x == nil || x.op.isCondition():
		return x
	case p.at("BETWEEN"):
		return p.between(x)
	case p.at("IN"):
		return p.in(x)
	case comparator(p.tok.kind) != 0:
		return p.comparison(x)
	case lone && p.tok.kind == ')':
		return x
	case !x.op.isFunction():
		p.unexpected()
		return nil
	}
	p.checkCondition(x)
	return x
}

// parenthesized parses an operand, or with condition also a condition, in any number of
// parentheses. More than one pair is a fault.
func (p *parser) parenthesized(condition bool) *expr {
	if p.tok.kind != '(' {
		return p.operand()
	}
	p.next()
	var x *expr
	if condition {
		x = p.or(true)
	} else {
		x = p.parenthesized(false)
	}
	if x == nil || !p.expect(')') {
		return nil
	}
	if x.paren {
		p.fault(faultParens, "The expression has redundant parentheses;")
	}
	x.paren = true
	if x.op == opPath && (p.tok.kind == '.' || p.tok.kind == '[') {
		path, ok := p.extend(x.path, conditionWords)
		if !ok {
			return nil
		}
		x.path, x.paren = path, false
	}
	return x
}

func (p *parser) operand() *expr {
	if p.tok.kind == tokenValue {
		return p.value(faultName)
	}
	if p.tok.kind == tokenName && !p.atAny(conditionWords) && scanToken(p.text, p.tok.end).kind == '(' {
		return p.function(p.parenthesizedOperand, p.checkFunction)
	}
	path := p.path(conditionWords)
	if path == nil {
		return nil
	}
	x := p.expr(opPath)
	x.path = path
	return x
}

func (p *parser) parenthesizedOperand() *expr { return p.parenthesized(false) }

// function parses a function and its operands.
func (p *parser) function(operand func() *expr, check func(name string, x *expr)) *expr {
	name := p.word()
	p.next()
	p.next()
	p.operators++
	x := p.expr(functions[name])
	for {
		arg := operand()
		if arg == nil {
			return nil
		}
		x.args = append(x.args, arg)
		if !p.accept(',') {
			break
		}
	}
	if !p.expect(')') {
		return nil
	}
	check(name, x)
	return x
}

// comparator returns the operator that a token is, or 0.
func comparator(kind tokenKind) op {
	switch kind {
	case '=':
		return opEQ
	case tokenNE:
		return opNE
	case '<':
		return opLT
	case tokenLE:
		return opLE
	case '>':
		return opGT
	case tokenGE:
		return opGE
	}
	return 0
}

func (p *parser) comparison(x *expr) *expr {
	op := comparator(p.tok.kind)
	p.next()
	p.operators++
	y := p.parenthesized(false)
	if y == nil {
		return nil
	}
	c := p.expr(op, x, y)
	p.checkComparison(c)
	return c
}

func (p *parser) between(x *expr) *expr {
	p.next()
	p.operators++
	low := p.parenthesized(false)
	if low == nil {
		return nil
	}
	if !p.acceptWord("AND") {
		p.unexpected()
		return nil
	}
	high := p.parenthesized(false)
	if high == nil {
		return nil
	}
	c := p.expr(opBetween, x, low, high)
	p.checkBetween(c)
	return c
}

func (p *parser) in(x *expr) *expr {
	p.next()
	p.operators++
	if !p.expect('(') {
		return nil
	}
	c := p.expr(opIn, x)
	for {
		arg := p.parenthesized(false)
		if arg == nil {
			return nil
		}
		c.args = append(c.args, arg)
		if !p.accept(',') {
			break
		}
	}
	if !p.expect(')') {
		return nil
	}
	p.checkIn(c)
	return c
}
