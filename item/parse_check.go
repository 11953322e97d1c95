package item

import (
	"encoding/base64"
	"slices"
)

const (
	incorrectType  = "Incorrect operand type for operator or function; operator or function: %s, operand type: %s"
	incorrectCount = "Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d"
	requiresPath   = "Operator or function requires a document path; operator or function: %s"
)

// checkFunction notes what is wrong with a function in a condition.
func (p *parser) checkFunction(name string, x *expr) {
	p.checkMisuse(x)
	switch x.op {
	case 0:
		p.fault(faultFunction, "Invalid function name; function: %s", name)
		return
	case opIfNotExists, opListAppend:
		p.fault(faultMisplaced, "The function is not allowed in a condition expression; function: %s", name)
		return
	case opExists, opNotExists, opSize:
		if len(x.args) != 1 {
			p.fault(faultCount, incorrectCount, name, len(x.args))
			return
		}
	default:
		if len(x.args) != 2 {
			p.fault(faultCount, incorrectCount, name, len(x.args))
			return
		}
	}
	p.checkDistinct(name, x)
	p.checkTypes(name, x)
}

// checkTypes notes what is wrong with the types of a function's operands. Only that of a value is known, and that size
// is a number.
func (p *parser) checkTypes(name string, x *expr) {
	switch x.op {
	case opExists, opNotExists:
		if x.args[0].op != opPath {
			p.fault(faultOperand, requiresPath, name)
		}
	case opBegins:
		for _, arg := range x.args {
			if t := arg.resultType(); t != 0 && t != S && t != B {
				p.fault(faultOperand, incorrectType, name, t)
			}
		}
	case opSize:
		if t := x.args[0].resultType(); t == N || t == BOOL || t == NULL {
			p.fault(faultOperand, incorrectType, name, t)
		}
	case opType:
		p.checkTypeName(name, x.args[1])
	}
}

// checkTypeName notes what is wrong with the second operand of attribute_type.
func (p *parser) checkTypeName(name string, arg *expr) {
	switch t := arg.resultType(); t {
	case 0:
		p.fault(faultOperand, incorrectType, name, "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}")
	case S:
		if _, ok := TypeOf(arg.value.Text); !ok {
			p.fault(faultOperand, "Invalid attribute type name found; type: %s, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}", arg.value.Text)
		}
	default:
		p.fault(faultOperand, incorrectType, name, t)
	}
}

// checkMisuse notes an operand that is a condition: of all functions only size is a value.
func (p *parser) checkMisuse(x *expr) {
	for _, arg := range x.args {
		if arg.op.isFunction() && arg.op != opSize {
			p.misused(arg)
		}
	}
}

func (p *parser) misused(x *expr) {
	p.fault(faultMisuse, "The function is not allowed to be used this way in an expression; function: %s", x.op)
}

// checkDistinct notes two operands that are the same path.
func (p *parser) checkDistinct(name string, x *expr) {
	if a, b := x.args[0], x.args[1%len(x.args)]; len(x.args) == 2 && a.op == opPath && b.op == opPath && slices.Equal(a.path, b.path) {
		p.fault(faultSame, "The first operand must be distinct from the remaining operands for this operator or function; "+
			"operator: %s, first operand: %s", name, a.path.listed())
	}
}

// checkOrdered notes a value that has no order among its kind.
func (p *parser) checkOrdered(x *expr) {
	for _, arg := range x.args {
		if t := arg.resultType(); t != 0 && t != S && t != N && t != B {
			p.fault(faultOperand, incorrectType, x.op, t)
		}
	}
}

// checkBounds notes values of BETWEEN that aren't in order.
func (p *parser) checkBounds(low, high *expr) {
	if low.value == nil || high.value == nil {
		return
	}
	told := ""
	if low.value.Type != high.value.Type {
		told = "requires same data type for lower and upper bounds"
	} else if order, _ := low.value.Compare(*high.value); order > 0 {
		told = "requires upper bound to be greater than or equal to lower bound"
	}
	if told != "" {
		p.fault(faultOperand, "The BETWEEN operator %s; lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s",
			told, low.value.InMessage(), high.value.InMessage())
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
