package partiql

import (
	"slices"

	"holdfast/item"
)

// The operators of terms beside comparators and functions, as package item names them.
const (
	and     = "AND" // of two or more arguments
	or      = "OR"  // of two or more
	not     = "NOT"
	between = "BETWEEN"
	in      = "IN" // the first argument in the others
	plus    = "+"
	minus   = "-"
)

// comparators are the signs of comparisons, as terms have them.
var comparators = map[string]string{"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

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

func operation(op string, args ...*item.Term) *item.Term { return &item.Term{Op: op, Args: args} }

func attribute(name string) *item.Term { return &item.Term{Path: item.Path{{Name: name, Index: -1}}} }

func value(v item.Value) *item.Term { return &item.Term{Value: &v} }

// isLogic reports whether a term is made of conditions.
func isLogic(t *item.Term) bool { return t.Op == and || t.Op == or || t.Op == not }

// isComparison reports whether a term compares operands by an operator.
func isComparison(t *item.Term) bool { return t.Op == between || t.Op == in || comparators[t.Op] != "" }

// isPredicate reports whether a term is true or false, rather than a value.
func isPredicate(t *item.Term) bool {
	return isLogic(t) || isComparison(t) || functions[t.Op].predicate
}

// isOperand reports whether a term can be an operand. A predicate that is a function can't either,
// which package item reports in its own words.
func isOperand(t *item.Term) bool { return !isLogic(t) && !isComparison(t) }

// isAttribute reports whether a term is the top-level attribute of that name.
func isAttribute(t *item.Term, name string) bool {
	return len(t.Path) == 1 && t.Path[0].Name == name
}

// conjuncts are the terms that must all hold for t to hold; t may be nil.
func conjuncts(t *item.Term) []*item.Term {
	switch {
	case t == nil:
		return nil
	case t.Op == and:
		return t.Args
	}
	return []*item.Term{t}
}

// joined returns the AND or the OR of two terms. A side that has that operator already is taken
// apart, so that parentheses and order don't matter to a reader of the conjuncts.
func joined(op string, sides ...*item.Term) *item.Term {
	t := operation(op)
	for _, side := range sides {
		if side.Op == op {
			t.Args = append(t.Args, side.Args...)
		} else {
			t.Args = append(t.Args, side)
		}
	}
	return t
}

// condition returns the condition that a WHERE clause is.
func condition(where *item.Term) (*item.Condition, error) {
	if !isPredicate(where) {
		return nil, malformed(unexpectedTerm)
	}
	return item.NewCondition(where)
}

// update returns the update that SET and REMOVE clauses make. Its changes are in the order of
// verbs.
func update(changes []item.Change) (*item.Update, error) {
	slices.SortStableFunc(changes, func(a, b item.Change) int {
		return slices.Index(verbs, a.Verb) - slices.Index(verbs, b.Verb)
	})
	return item.NewUpdate(changes)
}

// verbs are what changes do, in the order in which update expressions are written.
var verbs = []string{"SET", "REMOVE", "ADD", "DELETE"}
