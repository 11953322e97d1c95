package partiql

import "holdfast/item"

// An operation is what an expression does with its arguments.
type operation uint8

const (
	and     operation = iota // of two or more arguments
	or                       // of two or more
	not                      // of one
	compare                  // of two: word is the comparator
	between                  // of three
	in                       // the first in the others
	call                     // word is the function's name, in lower case
	path                     // an attribute, or a part of one
	value                    // a literal, or a parameter
	plus                     // of two
	minus                    // of two
)

// An expression is a node of a parsed WHERE or SET clause.
type expression struct {
	operation operation
	word      string
	args      []*expression
	path      item.Path
	value     item.Value
	at        token // its first
}

// predicate says whether an expression is true or false, rather than a value.
func (e *expression) predicate() bool {
	switch e.operation {
	case and, or, not, compare, between, in:
		return true
	case call:
		return e.word != "size" && functions[e.word].predicate
	}
	return false
}

// attribute is the name that the expression is, or "".
func (e *expression) attribute() string {
	if e.operation == path && len(e.path) == 1 {
		return e.path[0].Name
	}
	return ""
}

// conjuncts are what must all hold for e to hold.
func (e *expression) conjuncts() []*expression {
	switch {
	case e == nil:
		return nil
	case e.operation == and:
		return e.args
	}
	return []*expression{e}
}

// A function of conditions.
type function struct {
	args      int
	predicate bool
}

// functions are those of the WHERE clause, by their names in lower case.
var functions = map[string]function{
	"attribute_exists":     {1, true},
	"attribute_not_exists": {1, true},
	"attribute_type":       {2, true},
	"begins_with":          {2, true},
	"contains":             {2, true},
	"size":                 {1, false},
}

// joined returns the and, or the or, of two expressions. What is one already is taken apart, so that parentheses and order don't
// matter to who looks for the conjuncts.
func joined(operation operation, a, b *expression) *expression {
	e := &expression{operation: operation, at: a.at}
	for _, side := range []*expression{a, b} {
		if side.operation == operation {
			e.args = append(e.args, side.args...)
		} else {
			e.args = append(e.args, side)
		}
	}
	return e
}
