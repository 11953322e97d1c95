package item

import (
	"fmt"
	"strings"
)

// A parser turns the text of one expression into its form, by recursive descent. The first error of syntax ends it:
// every step then returns nil, or what it has. Other faults are noted, the first of each class, and the parser goes on,
// since which of them is told depends on their classes, not on their places.
type parser struct {
	scope     *Scope
	text      string
	last, tok token  // the token before, if last.end isn't 0, and the one to look at
	syntax    string // the error of syntax; "" while there is none
	faults    [faultClasses]string
	operators int

	exprs []expr // what is left of a block from which expressions are taken
	steps []Step // likewise for paths
	root  fork   // the paths of a projection, or those that an update changes
}

// A fault is a class of faults. DynamoDB looks for them one class after the other.
type fault uint8

const (
	faultParens    fault = iota
	faultFunction        // a function that there isn't
	faultMisplaced       // a function that isn't of this kind of expression
	faultMisuse          // a function where a value, or a condition, is due
	faultReserved
	faultSection
	faultPath // an index out of range, nesting too deep
	faultOperators
	faultCondition // the first in the first condition at fault
	faultName
	faultValue
	faultOverlap
	faultConflict
	faultAction  // the operand of ADD or DELETE
	faultCount   // of a function's operands, or of IN's
	faultSame    // operands that should be distinct
	faultOperand // the type of an operand
	faultClasses
)

// In which order faults are told.
var (
	conditionFaults = []fault{
		faultParens, faultFunction, faultMisplaced, faultMisuse, faultReserved, faultPath, faultOperators, faultCondition,
	}
	eachConditionFaults = []fault{faultName, faultCount, faultSame, faultOperand}
	projectionFaults    = []fault{faultReserved, faultPath, faultName, faultOverlap, faultConflict}
	updateFaults        = []fault{
		faultReserved, faultFunction, faultMisplaced, faultMisuse, faultSection, faultPath, faultOperators, faultName, faultValue,
		faultOverlap, faultConflict, faultAction, faultOperand,
	}
)

// Blocks are for a typical expression: three comparisons with their parts, paths of a step or two.
const (
	exprBlock = 10
	stepBlock = 8
)

// start looks at the first token of a text that is neither empty nor too long.
func (p *parser) start(parameter string) error {
	p.root.leaf = -1
	switch {
	case p.text == "":
		return refused("Invalid %s: The expression can not be empty;", parameter)
	case len(p.text) > MaxExpressionBytes:
		return refused("Invalid %s: Expression size has exceeded the maximum allowed size; expression size: %d", parameter, len(p.text))
	}
	p.tok = scanToken(p.text, 0)
	return nil
}

// end returns the error of the expression, if there is one: of syntax, or else the first fault in the order of classes.
func (p *parser) end(parameter string, classes []fault) error {
	if p.syntax == "" && p.tok.kind != tokenEnd {
		p.unexpected()
	}
	if p.syntax != "" {
		return refused("Invalid %s: %s", parameter, p.syntax)
	}
	if p.operators > MaxOperators {
		p.fault(faultOperators, "The expression contains too many operators; operator count: %d", p.operators)
	}
	if told := p.worst(classes); told != "" {
		return refused("Invalid %s: %s", parameter, told)
	}
	return nil
}

func (p *parser) worst(classes []fault) string {
	for _, class := range classes {
		if p.faults[class] != "" {
			return p.faults[class]
		}
	}
	return ""
}

// fault notes a fault, if it is the first of its class.
func (p *parser) fault(class fault, format string, args ...any) {
	if p.faults[class] == "" {
		p.faults[class] = fmt.Sprintf(format, args...)
	}
}

// unexpected makes the token at hand the error of syntax. Beside it the message has the tokens before and behind it.
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

// next takes the token at hand.
func (p *parser) next() {
	p.last = p.tok
	p.tok = scanToken(p.text, p.tok.end)
}

// word returns the text of the token at hand.
func (p *parser) word() string { return p.text[p.tok.start:p.tok.end] }

// accept takes the token at hand if it is of that kind.
func (p *parser) accept(kind tokenKind) bool {
	if p.tok.kind != kind || p.syntax != "" {
		return false
	}
	p.next()
	return true
}

// expect takes a token of that kind, or else it is an error of syntax.
func (p *parser) expect(kind tokenKind) bool {
	if !p.accept(kind) {
		p.unexpected()
		return false
	}
	return true
}

// at says whether the token at hand is a keyword, in letters of any case.
func (p *parser) at(keyword string) bool {
	return p.tok.kind == tokenName && p.tok.end-p.tok.start == len(keyword) && strings.EqualFold(p.word(), keyword)
}

// acceptWord takes the token at hand if it is a keyword.
func (p *parser) acceptWord(keyword string) bool {
	if !p.at(keyword) || p.syntax != "" {
		return false
	}
	p.next()
	return true
}

// atAny says whether the token at hand is one of the keywords.
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

// expr returns a new expression of one or two operands, or a list of them.
func (p *parser) expr(op op, args ...*expr) *expr {
	if len(p.exprs) == 0 {
		p.exprs = make([]expr, exprBlock)
	}
	x := &p.exprs[0]
	p.exprs = p.exprs[1:]
	x.op = op
	x.args = append(x.pair[:0], args...)
	return x
}
