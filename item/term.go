package item

import (
	"slices"

	"holdfast"
)

// A Term is a part of a condition or of an update for a caller that parses a language of its own: a
// path, a value, or an operator with its operands. Exactly one of Op, Path and Value is set. A Term
// isn't changed once it is passed to this package.
type Term struct {
	Op    string // an operator or a function as expressions have it: "AND", "<>", "BETWEEN", "size", "+" …
	Args  []*Term
	Path  Path
	Value *Value
}

// A Change is what an update does at one path.
type Change struct {
	Verb string // "SET", "REMOVE", "ADD" or "DELETE"
	Path Path
	To   *Term // what SET sets the path to; the value to add or delete; nil with REMOVE
}

// NewCondition returns the condition that a term is. The rules are those of Scope.Condition, and so
// are the messages of errors but for the name of the parameter; names and values are checked as
// CheckName and Value.Check do.
func NewCondition(t *Term) (*Condition, error) {
	root, err := builtCondition(t)
	if err != nil {
		return nil, err
	}
	return &Condition{root: root}, nil
}

// NewKeyCondition returns the condition on a key that a term is. As with Scope.KeyCondition,
// KeyCondition.Check reports what is wrong with it beyond a condition.
func NewKeyCondition(t *Term) (*KeyCondition, error) {
	root, err := builtCondition(t)
	if err != nil {
		return nil, err
	}
	c := new(KeyCondition)
	c.fault = c.add(root)
	return c, nil
}

func builtCondition(t *Term) (*expr, error) {
	var b termBuilder
	root := b.condition(t)
	return root, b.end(conditionFaults)
}

// NewUpdate returns the update that makes the changes. The rules and messages are those of
// Scope.Update for the same changes in that order, and NewCondition's for names and values.
func NewUpdate(changes []Change) (*Update, error) {
	var b termBuilder
	b.root.leaf = -1
	actions := make([]action, len(changes))
	paths := make([]Path, 0, len(changes))
	for i, c := range changes {
		actions[i] = b.action(c)
		paths = append(paths, actions[i].path)
		b.claim(paths)
	}
	if err := b.end(updateFaults); err != nil {
		return nil, err
	}
	return &Update{actions: actions, root: b.root}, nil
}

// A termBuilder makes the nodes of one expression from Terms. It visits them in the order in which
// a parser would come to them in the text, since of two faults of one class the first is reported.
type termBuilder struct {
	checker
	err error // the first name or value that is refused, or term of a wrong form
}

// end returns the error of the whole expression.
func (b *termBuilder) end(classes []fault) error {
	if b.err != nil {
		return b.err
	}
	if fault := b.verdict(classes); fault != "" {
		return refused("%s", fault)
	}
	return nil
}

// refuse notes the first error other than the checker's faults.
func (b *termBuilder) refuse(err error) {
	if b.err == nil {
		b.err = err
	}
}

// misplace refuses a term that has no place there: a condition as an operand, a value as a
// condition, or an operator with another number of operands than it takes. The text of an
// expression that has it would be a syntax error.
func (b *termBuilder) misplace(t *Term) *expr {
	b.refuse(holdfast.Errorf(holdfast.Invalid, "Syntax error; operator: %q, number of operands: %d", t.Op, len(t.Args)))
	return b.expr(opValue)
}

// operator returns the operator or function of that name, or 0.
func operator(name string) op { return op(max(0, slices.Index(opNames[:], name))) }

// condition builds a condition.
func (b *termBuilder) condition(t *Term) *expr {
	if t.Op == "" {
		return b.misplace(t)
	}
	o, n := operator(t.Op), len(t.Args)
	switch {
	case (o == opAnd || o == opOr) && n > 0:
		return b.logical(o, t, n-1)
	case o == opNot && n == 1:
		return b.logical(o, t, 1)
	case o.isCondition():
		return b.compared(o, t)
	case o.isFunction():
		x := b.function(t, b.operand, b.checkFunction)
		b.checkCondition(x)
		return x
	}
	return b.misplace(t)
}

// logical builds the AND, OR or NOT of conditions.
func (b *termBuilder) logical(o op, t *Term, operators int) *expr {
	b.operators += operators
	x := b.expr(o)
	for _, arg := range t.Args {
		x.args = append(x.args, b.condition(arg))
	}
	return x
}

// compared builds a comparison, BETWEEN or IN.
func (b *termBuilder) compared(o op, t *Term) *expr {
	check, low, high := b.checkComparison, 2, 2
	switch o {
	case opBetween:
		check, low, high = b.checkBetween, 3, 3
	case opIn:
		check, low, high = b.checkIn, 2, len(t.Args)
	case opAnd, opOr, opNot: // condition takes those with operands
		return b.misplace(t)
	}
	if len(t.Args) < low || len(t.Args) > high {
		return b.misplace(t)
	}
	b.operators++
	x := b.expr(o)
	for _, arg := range t.Args {
		x.args = append(x.args, b.operand(arg))
	}
	check(x)
	return x
}

// operand builds an operand of a condition.
func (b *termBuilder) operand(t *Term) *expr {
	if t.Op == "" {
		return b.leaf(t)
	}
	if !operator(t.Op).isFunction() {
		return b.misplace(t)
	}
	return b.function(t, b.operand, b.checkFunction)
}

// function builds a function and its operands.
func (b *termBuilder) function(t *Term, operand func(*Term) *expr, check func(name string, x *expr)) *expr {
	b.operators++
	x := b.expr(operator(t.Op))
	for _, arg := range t.Args {
		x.args = append(x.args, operand(arg))
	}
	check(t.Op, x)
	return x
}

// leaf builds a path or a value.
func (b *termBuilder) leaf(t *Term) *expr {
	switch {
	case t.Value != nil:
		if err := t.Value.Check(); err != nil {
			b.refuse(err)
		}
		x := b.expr(opValue)
		x.value = t.Value
		return x
	case len(t.Path) > 0:
		x := b.expr(opPath)
		x.path = b.path(t.Path)
		return x
	}
	return b.misplace(t)
}

// path checks the names of a path and how deep it goes.
func (b *termBuilder) path(p Path) Path {
	for _, step := range p {
		if step.Index < 0 {
			if err := CheckName(step.Name); err != nil {
				b.refuse(err)
			}
		}
	}
	b.checkDepth(p)
	return p
}

// action builds what a change does.
func (b *termBuilder) action(c Change) action {
	a := action{verb: verb(max(0, slices.Index(verbs[:], c.Verb))), path: b.path(c.Path)}
	switch {
	case a.verb == 0 || len(c.Path) == 0 || c.Path[0].Index >= 0 || (c.To == nil) != (a.verb == verbRemove):
		b.misplace(&Term{Op: c.Verb})
	case a.verb == verbSet:
		a.operand = b.sum(c.To)
	case a.verb == verbRemove:
	case c.To.Value == nil:
		b.misplace(c.To)
	default:
		a.operand = b.leaf(c.To)
		b.checkAction(a.verb, a.operand)
	}
	return a
}

// sum builds what SET sets a path to.
func (b *termBuilder) sum(t *Term) *expr {
	o := operator(t.Op)
	if o != opPlus && o != opMinus {
		return b.updateOperand(t)
	}
	if len(t.Args) != 2 {
		return b.misplace(t)
	}
	b.operators++
	x := b.expr(o, b.updateOperand(t.Args[0]), b.updateOperand(t.Args[1]))
	b.checkOperands(x, N)
	return x
}

func (b *termBuilder) updateOperand(t *Term) *expr {
	if t.Op == "" {
		return b.leaf(t)
	}
	if !operator(t.Op).isFunction() {
		return b.misplace(t)
	}
	return b.function(t, b.updateOperand, b.checkUpdateFunction)
}
