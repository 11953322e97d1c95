package item

import (
	"encoding/base64"
	"slices"
)

const (
	incorrectType  = "Incorrect operand type for operator or function; operator or function: %s, operand type: %s"
	incorrectCount = "Incorrect number of operands for operator or function; operator or function: %s, " +
		"number of operands: %d"
	requiresPath = "Operator or function requires a document path; operator or function: %s"
)

// checkFunction notes what is wrong with a function in a condition.
func (c *checker) checkFunction(name string, x *expr) {
	c.checkMisuse(x)
	switch x.op {
	case 0:
		c.fault(faultFunction, "Invalid function name; function: %s", name)
		return
	case opIfNotExists, opListAppend:
		c.fault(faultMisplaced, "The function is not allowed in a condition expression; function: %s", name)
		return
	case opExists, opNotExists, opSize:
		if len(x.args) != 1 {
			c.fault(faultCount, incorrectCount, name, len(x.args))
			return
		}
	default:
		if len(x.args) != 2 {
			c.fault(faultCount, incorrectCount, name, len(x.args))
			return
		}
	}
	c.checkDistinct(name, x)
	c.checkTypes(name, x)
}

// checkTypes notes what is wrong with the types of a function's operands. Only that of a value is
// known, and that size is a number.
func (c *checker) checkTypes(name string, x *expr) {
	switch x.op {
	case opExists, opNotExists:
		if x.args[0].op != opPath {
			c.fault(faultOperand, requiresPath, name)
		}
	case opBegins:
		for _, arg := range x.args {
			if t := arg.resultType(); t != 0 && t != S && t != B {
				c.fault(faultOperand, incorrectType, name, t)
			}
		}
	case opSize:
		if t := x.args[0].resultType(); t == N || t == BOOL || t == NULL {
			c.fault(faultOperand, incorrectType, name, t)
		}
	case opType:
		c.checkTypeName(name, x.args[1])
	}
}

// checkTypeName notes what is wrong with the second operand of attribute_type.
func (c *checker) checkTypeName(name string, arg *expr) {
	switch t := arg.resultType(); t {
	case 0:
		c.fault(faultOperand, incorrectType, name, "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}")
	case S:
		if _, ok := TypeOf(arg.value.Text); !ok {
			c.fault(faultOperand, "Invalid attribute type name found; type: %s, "+
				"valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}", arg.value.Text)
		}
	default:
		c.fault(faultOperand, incorrectType, name, t)
	}
}

// checkMisuse notes an operand that is a condition: of all functions only size is a value.
func (c *checker) checkMisuse(x *expr) {
	for _, arg := range x.args {
		if arg.op.isFunction() && arg.op != opSize {
			c.misused(arg)
		}
	}
}

func (c *checker) misused(x *expr) {
	c.fault(faultMisuse, "The function is not allowed to be used this way in an expression; function: %s", x.op)
}

// checkDistinct notes two operands that are the same path.
func (c *checker) checkDistinct(name string, x *expr) {
	if len(x.args) != 2 {
		return
	}
	if a, b := x.args[0], x.args[1]; a.op == opPath && b.op == opPath && slices.Equal(a.path, b.path) {
		c.fault(faultSame, "The first operand must be distinct from the remaining operands for this operator or function; "+
			"operator: %s, first operand: %s", name, a.path.listed())
	}
}

// checkComparison ends a comparison of two operands, and notes what is wrong with them.
func (c *checker) checkComparison(x *expr) {
	c.checkMisuse(x)
	c.checkDistinct(x.op.String(), x)
	if x.op != opEQ && x.op != opNE {
		c.checkOrdered(x)
	}
	c.endCondition()
}

// checkBetween ends a BETWEEN, and notes what is wrong with its operands.
func (c *checker) checkBetween(x *expr) {
	c.checkMisuse(x)
	c.checkOrdered(x)
	c.checkBounds(x.args[1], x.args[2])
	c.endCondition()
}

// checkIn ends an IN, and notes what is wrong with its operands.
func (c *checker) checkIn(x *expr) {
	c.checkMisuse(x)
	if n := len(x.args) - 1; n > maxInOperands {
		c.fault(faultCount, "The IN operator is provided with too many operands; number of operands: %d", n)
	}
	c.endCondition()
}

// checkCondition ends a function in the place of a condition. Of those that aren't noted
// already only size isn't a condition.
func (c *checker) checkCondition(x *expr) {
	if x.op == opSize {
		c.misused(x)
	}
	c.endCondition()
}

// checkOrdered notes a value of a type that has no order.
func (c *checker) checkOrdered(x *expr) {
	for _, arg := range x.args {
		if t := arg.resultType(); t != 0 && t != S && t != N && t != B {
			c.fault(faultOperand, incorrectType, x.op, t)
		}
	}
}

// checkBounds notes bounds of BETWEEN that aren't in order.
func (c *checker) checkBounds(low, high *expr) {
	if low.value == nil || high.value == nil {
		return
	}
	wrong := ""
	if low.value.Type != high.value.Type {
		wrong = "requires same data type for lower and upper bounds"
	} else if order, _ := low.value.Compare(*high.value); order > 0 {
		wrong = "requires upper bound to be greater than or equal to lower bound"
	}
	if wrong != "" {
		c.fault(faultOperand, "The BETWEEN operator %s; "+
			"lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s",
			wrong, low.value.InMessage(), high.value.InMessage())
	}
}

// InMessage returns a text, a number or bytes as the service's messages have them: {N:1}.
func (v *Value) InMessage() string {
	text := v.Text
	if v.Type == B {
		text = base64.StdEncoding.EncodeToString([]byte(text))
	}
	return "{" + v.Type.String() + ":" + text + "}"
}

// checkUpdateFunction notes what is wrong with a function in an update.
func (c *checker) checkUpdateFunction(name string, x *expr) {
	for _, arg := range x.args {
		if arg.op == opListAppend {
			c.misused(arg) // of the two functions only if_not_exists may be an operand of one
		}
	}
	switch {
	case x.op == 0:
		c.fault(faultFunction, "Invalid function name; function: %s", name)
	case x.op != opIfNotExists && x.op != opListAppend:
		c.fault(faultMisplaced, "The function is not allowed in an update expression; function: %s", name)
	case len(x.args) != 2:
		c.fault(faultOperand, incorrectCount, name, len(x.args))
	case x.op == opListAppend:
		c.checkOperands(x, L)
	case x.args[0].op != opPath:
		c.fault(faultOperand, requiresPath, name)
	}
}

// checkOperands notes a value that isn't of the type that all operands of x should have.
func (c *checker) checkOperands(x *expr, t Type) {
	for _, arg := range x.args {
		if arg.value != nil && arg.value.Type != t {
			c.fault(faultOperand, incorrectType, x.op, arg.value.Type)
		}
	}
}

// checkAction notes a value that ADD or DELETE doesn't take.
func (c *checker) checkAction(verb verb, operand *expr) {
	if operand.value == nil || verb == verbAdd && operand.value.Type == N {
		return
	}
	long := ""
	switch operand.value.Type {
	case S:
		long = "STRING"
	case N:
		long = "NUMBER"
	case B:
		long = "BINARY"
	case BOOL:
		long = "BOOLEAN"
	case NULL:
		long = "NULL"
	case L:
		long = "LIST"
	case M:
		long = "MAP"
	default:
		return // a set
	}
	c.fault(faultAction, "Incorrect operand type for operator or function; operator: %s, operand type: %s",
		verbs[verb], long)
}
