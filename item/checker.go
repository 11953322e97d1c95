package item

import "fmt"

// A checker makes the nodes of one expression, and notes what is wrong with them: the first fault
// of each class. Which fault is reported depends on the classes, not on the order in the
// expression, so noting one stops nothing. A parser makes nodes from text, a termBuilder from
// Terms; both follow the rules of checks.go.
type checker struct {
	faults    [faultClasses]string
	operators int // operators and functions seen

	exprs []expr // the unused rest of a block of nodes
	root  fork   // the paths of a projection, or the paths that an update changes
}

// A fault is a class of faults. DynamoDB checks one class after the other.
type fault uint8

const (
	faultParens    fault = iota
	faultFunction        // an unknown function
	faultMisplaced       // a function that belongs to another kind of expression
	faultMisuse          // a function in the place of a value, or of a condition
	faultReserved
	faultSection
	faultPath // an index out of range, nesting too deep
	faultOperators
	faultCondition // the first fault of the first condition that has one
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

// The order of classes for each kind of expression: if an expression has several faults, the first
// in this order is reported.
var (
	conditionFaults = []fault{
		faultParens, faultFunction, faultMisplaced, faultMisuse, faultReserved, faultPath, faultOperators, faultCondition,
	}
	eachConditionFaults = []fault{faultName, faultCount, faultSame, faultOperand}
	projectionFaults    = []fault{faultReserved, faultPath, faultName, faultOverlap, faultConflict}
	updateFaults        = []fault{
		faultReserved, faultFunction, faultMisplaced, faultMisuse, faultSection, faultPath, faultOperators, faultName,
		faultValue, faultOverlap, faultConflict, faultAction, faultOperand,
	}
)

// exprBlock is the number of nodes that are allocated at once: those of three comparisons with
// their operands.
const exprBlock = 10

// expr returns a new node with one or two operands, or the first of a list of them.
func (c *checker) expr(op op, args ...*expr) *expr {
	if len(c.exprs) == 0 {
		c.exprs = make([]expr, exprBlock)
	}
	x := &c.exprs[0]
	c.exprs = c.exprs[1:]
	x.op = op
	x.args = append(x.pair[:0], args...)
	return x
}

// fault notes a fault, if it is the first of its class.
func (c *checker) fault(class fault, format string, args ...any) {
	if c.faults[class] == "" {
		c.faults[class] = fmt.Sprintf(format, args...)
	}
}

// worst returns the fault of the first class that has one, or "".
func (c *checker) worst(classes []fault) string {
	for _, class := range classes {
		if c.faults[class] != "" {
			return c.faults[class]
		}
	}
	return ""
}

// verdict returns the fault of the whole expression, or "".
func (c *checker) verdict(classes []fault) string {
	if c.operators > maxOperators {
		c.fault(faultOperators, "The expression contains too many operators; operator count: %d", c.operators)
	}
	return c.worst(classes)
}

// endCondition ends a comparison, or a function that is a condition. The first condition with a
// fault decides which fault of the conditions is reported.
func (c *checker) endCondition() {
	if c.faults[faultCondition] == "" {
		c.faults[faultCondition] = c.worst(eachConditionFaults)
	}
}

// claim notes the last of the paths if it overlaps or conflicts with an earlier one.
func (c *checker) claim(paths []Path) {
	place := len(paths) - 1
	if c.faults[faultOverlap] != "" || paths[place] == nil {
		return
	}
	with, how := c.root.grow(paths[place], place)
	switch how {
	case clashOverlap:
		c.fault(faultOverlap, "Two document paths overlap with each other; must remove or rewrite one of these paths; "+
			"path one: %s, path two: %s", paths[with].listed(), paths[place].listed())
	case clashConflict:
		c.fault(faultConflict, "Two document paths conflict with each other; must remove or rewrite one of these paths; "+
			"path one: %s, path two: %s", paths[with].listed(), paths[place].listed())
	}
}

// checkDepth notes a path of too many steps.
func (c *checker) checkDepth(path Path) {
	if len(path) > maxDepth {
		c.fault(faultPath, "The document path has too many nesting levels; nesting levels: %d", len(path))
	}
}
