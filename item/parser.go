package item

import "strings"

// A parser parses the text of one expression by recursive descent. The first syntax error ends it:
// every step then returns nil, or what it has so far. Other faults are left to the checker, and the
// parser continues.
type parser struct {
	checker

	scope     *Scope
	text      string
	last, tok token  // the token before, if last.end isn't 0, and the current one
	syntax    string // the syntax error; "" while there is none

	steps []Step // the unused rest of a block of steps, for paths
}

// stepBlock is the number of steps that are allocated at once: those of a few paths of a step or
// two.
const stepBlock = 8

// start looks at the first token of a text that is neither empty nor too long.
func (p *parser) start(parameter string) error {
	p.root.leaf = -1
	switch {
	case p.text == "":
		return refused("Invalid %s: The expression can not be empty;", parameter)
	case len(p.text) > maxExpressionBytes:
		return refused("Invalid %s: Expression size has exceeded the maximum allowed size; expression size: %d", parameter,
			len(p.text))
	}
	p.tok = scanToken(p.text, 0)
	return nil
}

// end returns the error of the expression, if there is one: of syntax, or else the first fault in
// the order of classes.
func (p *parser) end(parameter string, classes []fault) error {
	if p.syntax == "" && p.tok.kind != tokenEnd {
		p.unexpected()
	}
	if p.syntax != "" {
		return refused("Invalid %s: %s", parameter, p.syntax)
	}
	if fault := p.verdict(classes); fault != "" {
		return refused("Invalid %s: %s", parameter, fault)
	}
	return nil
}

// unexpected notes a syntax error at the current token. The message also has the tokens before and
// after it.
func (p *parser) unexpected() {
	if p.syntax != "" {
		return
	}
	from, to := p.tok.start, p.tok.end
	if p.last.end > 0 {
		from = p.last.start
	}
	name := "<EOF>"
	if p.tok.kind == tokenEnd {
		to = max(from, p.last.end)
	} else {
		name = p.text[p.tok.start:p.tok.end]
		if next := scanToken(p.text, p.tok.end); next.kind != tokenEnd {
			to = next.end
		}
	}
	p.syntax = `Syntax error; token: "` + name + `", near: "` + p.text[from:to] + `"`
}

// next consumes the current token.
func (p *parser) next() {
	p.last = p.tok
	p.tok = scanToken(p.text, p.tok.end)
}

// word returns the text of the current token.
func (p *parser) word() string { return p.text[p.tok.start:p.tok.end] }

// accept consumes the current token if it is of that kind.
func (p *parser) accept(kind tokenKind) bool {
	if p.tok.kind != kind || p.syntax != "" {
		return false
	}
	p.next()
	return true
}

// expect consumes a token of that kind; if the current one is another, it notes a syntax error.
func (p *parser) expect(kind tokenKind) bool {
	if !p.accept(kind) {
		p.unexpected()
		return false
	}
	return true
}

// at reports whether the current token is a keyword, in letters of any case.
func (p *parser) at(keyword string) bool {
	return p.tok.kind == tokenName && p.tok.end-p.tok.start == len(keyword) && strings.EqualFold(p.word(), keyword)
}

// acceptWord consumes the current token if it is a keyword.
func (p *parser) acceptWord(keyword string) bool {
	if !p.at(keyword) || p.syntax != "" {
		return false
	}
	p.next()
	return true
}

// atAny reports whether the current token is one of the keywords.
func (p *parser) atAny(keywords []string) bool {
	if p.tok.kind != tokenName {
		return false
	}
	for _, keyword := range keywords {
		if p.at(keyword) {
			return true
		}
	}
	return false
}
