package partiql

import (
	"slices"
	"strings"

	"holdfast/item"
)

// A change is one part of an UPDATE.
type change struct {
	section section
	target  item.Path
	to      *expression // nil for removals
}

// A section is the part of an update expression that a change belongs in.
type section uint8

const (
	setSection section = iota
	removeSection
	addSection
	deleteSection
)

// update parses what follows UPDATE.
func (p *parser) update() (Statement, error) {
	s := Statement{Kind: Update}
	if err := p.written(&s, true); err != nil {
		return s, err
	}
	changes, err := p.changes()
	if err != nil {
		return s, err
	}
	if err := p.where(&s); err != nil {
		return s, err
	}
	return s, p.changed(&s, changes)
}

// fromFirst parses what follows FROM at the beginning: an update whose clauses have the other order.
func (p *parser) fromFirst() (Statement, error) {
	s := Statement{Kind: Update}
	if err := p.written(&s, true); err != nil {
		return s, err
	}
	if err := p.where(&s); err != nil {
		return s, err
	}
	changes, err := p.changes()
	if err != nil {
		return s, err
	}
	return s, p.changed(&s, changes)
}

// changed ends an update.
func (p *parser) changed(s *Statement, changes []change) error {
	if err := p.returning(s); err != nil {
		return err
	}
	var err error
	s.Change, err = updated(changes)
	return err
}

// changes parses one or more SET and REMOVE clauses.
func (p *parser) changes() ([]change, error) {
	var changes []change
	for {
		var next func() (change, error)
		switch {
		case p.take("SET"):
			next = p.assignment
		case p.take("REMOVE"):
			next = p.removal
		case changes == nil:
			return nil, malformed("Expected data manipulation")
		default:
			return changes, nil
		}
		for {
			c, err := next()
			if err != nil {
				return nil, err
			}
			changes = append(changes, c)
			if !p.takeSign(",") {
				break
			}
		}
	}
}

const simplePath = "Expected identifier for simple path component"

func (p *parser) removal() (change, error) {
	target, err := p.path(simplePath)
	return change{section: removeSection, target: target}, err
}

func (p *parser) assignment() (change, error) {
	target, err := p.path(simplePath)
	if err != nil {
		return change{}, err
	}
	if !p.takeSign("=") {
		return change{}, malformed("Expected EQ after path in SET")
	}
	if s, ok := setFunctions[p.peek().upper]; ok && p.second().text == "(" {
		return p.setChange(s, target)
	}
	left, err := p.term()
	if err != nil {
		return change{}, err
	}
	for {
		operation := plus
		if p.takeSign("-") {
			operation = minus
		} else if !p.takeSign("+") {
			return change{target: target, to: left}, nil
		}
		right, err := p.term()
		if err != nil {
			return change{}, err
		}
		if left.operation == plus || left.operation == minus {
			return change{}, malformed(unexpectedTerm) // an update expression has one sum at most
		}
		left = &expression{operation: operation, args: []*expression{left, right}, at: left.at}
	}
}

// setFunctions are the functions that change a set, with what they are in an update expression.
var setFunctions = map[string]section{"SET_ADD": addSection, "SET_DELETE": deleteSection}

// setChange parses set_add(path, set) or set_delete(path, set).
func (p *parser) setChange(s section, target item.Path) (change, error) {
	at := *p.peek()
	args, err := p.arguments(p.operand)
	switch {
	case err != nil:
		return change{}, err
	case len(args) != 2:
		return change{}, invalid("%s must have exactly two arguments at %s", at.upper, at.place())
	case args[0].operation != path || !slices.Equal(args[0].path, target):
		return change{}, invalid("The first argument to %s must equal the assignment value at %s", at.upper, at.place())
	}
	switch to := args[1]; to.value.Type {
	case item.SS, item.NS, item.BS:
		return change{section: s, target: target, to: to}, nil
	}
	return change{}, invalid("The second argument to %s must be a value with type SET at %s", at.upper, args[0].at.place())
}

// term parses an operand of an assignment: a path, a value, or the call of a function of updates.
func (p *parser) term() (*expression, error) {
	at := *p.peek()
	if at.kind != word || p.second().kind != sign || p.second().text != "(" || reserved[at.upper] {
		if at.kind == sign && at.text == "(" {
			return nil, malformed(unexpectedTerm)
		}
		return p.operand()
	}
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	e := &expression{operation: call, word: strings.ToLower(at.text), at: at}
	if e.word != "list_append" && e.word != "if_not_exists" {
		return nil, invalid("Unrecognized function: %s at %s", e.word, at.place())
	}
	var err error
	if e.args, err = p.arguments(p.term); err != nil {
		return nil, err
	}
	if len(e.args) != 2 {
		return nil, invalid("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", e.word, len(e.args))
	}
	return e, nil
}
