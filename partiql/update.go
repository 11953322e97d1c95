package partiql

import (
	"slices"
	"strings"

	"holdfast/item"
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

// fromFirst parses what follows FROM at the beginning: an update whose clauses have the other
// order.
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
func (p *parser) changed(s *Statement, changes []item.Change) error {
	if err := p.returning(s); err != nil {
		return err
	}
	var err error
	s.Change, err = update(changes)
	return err
}

// changes parses one or more SET and REMOVE clauses.
func (p *parser) changes() ([]item.Change, error) {
	var changes []item.Change
	for {
		var next func() (item.Change, error)
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

func (p *parser) removal() (item.Change, error) {
	target, err := p.path(simplePath)
	return item.Change{Verb: "REMOVE", Path: target}, err
}

func (p *parser) assignment() (item.Change, error) {
	target, err := p.path(simplePath)
	if err != nil {
		return item.Change{}, err
	}
	if !p.takeSign("=") {
		return item.Change{}, malformed("Expected EQ after path in SET")
	}
	if s, ok := setFunctions[p.peek().upper]; ok && p.second().text == "(" {
		return p.setChange(s, target)
	}
	left, err := p.term()
	if err != nil {
		return item.Change{}, err
	}
	for {
		sum := plus
		if p.takeSign(minus) {
			sum = minus
		} else if !p.takeSign(plus) {
			return item.Change{Verb: "SET", Path: target, To: left}, nil
		}
		right, err := p.term()
		if err != nil {
			return item.Change{}, err
		}
		if left.Op == plus || left.Op == minus {
			return item.Change{}, malformed(unexpectedTerm) // an update expression has one sum at most
		}
		left = operation(sum, left, right)
	}
}

// setFunctions are the functions that change a set, with their verbs in an update expression.
var setFunctions = map[string]string{"SET_ADD": "ADD", "SET_DELETE": "DELETE"}

// setChange parses set_add(path, set) or set_delete(path, set).
func (p *parser) setChange(verb string, target item.Path) (item.Change, error) {
	at := *p.peek()
	first := p.third().place()
	args, err := p.arguments(p.operand)
	switch {
	case err != nil:
		return item.Change{}, err
	case len(args) != 2:
		return item.Change{}, invalid("%s must have exactly two arguments at %s", at.upper, at.place())
	case !slices.Equal(args[0].Path, target):
		return item.Change{}, invalid("The first argument to %s must equal the assignment value at %s", at.upper, at.place())
	}
	if to := args[1]; to.Value != nil {
		switch to.Value.Type {
		case item.SS, item.NS, item.BS:
			return item.Change{Verb: verb, Path: target, To: to}, nil
		}
	}
	return item.Change{}, invalid("The second argument to %s must be a value with type SET at %s", at.upper, first)
}

// term parses an operand of an assignment: a path, a value, or the call of a function of updates.
func (p *parser) term() (*item.Term, error) {
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
	name := strings.ToLower(at.text)
	if name != "list_append" && name != "if_not_exists" {
		return nil, invalid("Unrecognized function: %s at %s", name, at.place())
	}
	args, err := p.arguments(p.term)
	if err != nil {
		return nil, err
	}
	return call(name, 2, args)
}
