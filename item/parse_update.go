package item

// The grammar; one pair of parentheses may be round any operand:
//
//	update    = section { section }
//	section   = "SET" set { "," set } | "REMOVE" path { "," path }
//	          | "ADD" path value { "," path value } | "DELETE" path value { "," path value }
//	set       = path "=" ( sum | "(" sum ")" )
//	sum       = operand [ ( "+" | "-" ) operand ]
//	operand   = path | value | function
//	function  = name "(" operand { "," operand } ")"

// update parses the sections of an update.
func (p *parser) update() []action {
	var (
		actions []action
		paths   []Path
		seen    [len(verbs)]bool
	)
	for first := true; p.syntax == "" && (first || p.tok.kind != tokenEnd); first = false {
		verb := p.verb()
		if verb == 0 {
			p.unexpected()
			break
		}
		if seen[verb] {
			p.fault(faultSection, `The "%s" section can only be used once in an update expression;`, verbs[verb])
		}
		seen[verb] = true
		for p.syntax == "" {
			a := p.action(verb)
			actions, paths = append(actions, a), append(paths, a.path)
			p.claim(paths)
			if !p.accept(',') {
				break
			}
		}
	}
	return actions
}

// verb consumes the keyword that begins a section, and returns 0 if there is none.
func (p *parser) verb() verb {
	for v := verbSet; int(v) < len(verbs); v++ {
		if p.acceptWord(verbs[v]) {
			return v
		}
	}
	return 0
}

// action parses what is done at one path.
func (p *parser) action(verb verb) action {
	a := action{verb: verb, path: p.path(updateWords)}
	switch {
	case a.path == nil || verb == verbRemove:
	case verb == verbSet:
		if p.expect('=') {
			a.operand = p.sum()
		}
	case p.tok.kind != tokenValue:
		p.unexpected()
	default:
		a.operand = p.value(faultValue)
		p.checkAction(verb, a.operand)
	}
	return a
}

// sum parses what SET sets a path to.
func (p *parser) sum() *expr {
	if p.tok.kind != '(' {
		return p.plus(p.updateOperand())
	}
	p.next()
	x := p.plus(p.updateOperandInParens())
	if x == nil || !p.expect(')') {
		return nil
	}
	if x.op == opPlus || x.op == opMinus {
		return x
	}
	return p.plus(x)
}

// plus parses the rest of a sum that begins with x, if there is more of it.
func (p *parser) plus(x *expr) *expr {
	if x == nil || p.tok.kind != '+' && p.tok.kind != '-' {
		return x
	}
	op := opPlus
	if p.tok.kind == '-' {
		op = opMinus
	}
	p.next()
	p.operators++
	y := p.updateOperandInParens()
	if y == nil {
		return nil
	}
	sum := p.expr(op, x, y)
	p.checkOperands(sum, N)
	return sum
}

// updateOperandInParens parses an operand that may have parentheses.
func (p *parser) updateOperandInParens() *expr {
	if p.tok.kind != '(' {
		return p.updateOperand()
	}
	p.next()
	x := p.updateOperand()
	if x == nil || !p.expect(')') {
		return nil
	}
	return x
}

func (p *parser) updateOperand() *expr {
	if p.tok.kind == tokenValue {
		return p.value(faultValue)
	}
	if p.tok.kind == tokenName && !p.atAny(updateWords) && scanToken(p.text, p.tok.end).kind == '(' {
		return p.function(p.updateOperandInParens, p.checkUpdateFunction)
	}
	path := p.path(updateWords)
	if path == nil {
		return nil
	}
	x := p.expr(opPath)
	x.path = path
	return x
}
