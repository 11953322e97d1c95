package item

import (
	"slices"
	"strconv"
	"strings"
)

// An op is the operator of an expression, or the kind of operand that it is.
type op uint8

const (
	opPath op = iota + 1
	opValue
	opOr
	opAnd
	opNot
	opEQ
	opNE
	opLT
	opLE
	opGT
	opGE
	opBetween
	opIn
	opExists
	opNotExists
	opType
	opBegins
	opContains
	opSize
	opIfNotExists
	opListAppend
	opPlus
	opMinus
)

var opNames = [...]string{
	opOr: "OR", opAnd: "AND", opNot: "NOT", opEQ: "=", opNE: "<>", opLT: "<", opLE: "<=", opGT: ">", opGE: ">=",
	opBetween: "BETWEEN", opIn: "IN", opExists: "attribute_exists", opNotExists: "attribute_not_exists",
	opType: "attribute_type", opBegins: "begins_with", opContains: "contains", opSize: "size",
	opIfNotExists: "if_not_exists", opListAppend: "list_append", opPlus: "+", opMinus: "-",
}

// functions maps the names of functions, in lower case, to their operators.
var functions = map[string]op{
	"attribute_exists": opExists, "attribute_not_exists": opNotExists, "attribute_type": opType, "begins_with": opBegins,
	"contains": opContains, "size": opSize, "if_not_exists": opIfNotExists, "list_append": opListAppend,
}

// String returns the operator, keyword or function.
func (o op) String() string { return opNames[o] }

func (o op) isFunction() bool { return o == 0 || o >= opExists && o <= opListAppend }

// isCondition reports whether it is always a condition; a function may be one, too.
func (o op) isCondition() bool { return o >= opOr && o <= opIn }

// An expr is a condition or an operand. Once parsed it doesn't change.
type expr struct {
	op    op
	paren bool     // while parsing: it has parentheses
	path  Path     // of opPath
	value *Value   // of opValue; nil where it isn't defined
	args  []*expr  // of the others
	pair  [2]*expr // where args are, while they are few
}

// A Condition holds for some items and not for others. It is immutable. A nil Condition always
// holds.
type Condition struct {
	root   *expr
	legacy string // the legacy parameter that it was made of; "" is none
}

// Match reports whether the condition holds for the item; a nil item has no attributes. No
// comparison with a missing attribute holds, except <>.
func (c *Condition) Match(it Item) bool {
	return c == nil || c.root == nil || c.root.holds(it)
}

// Legacy returns the name of the legacy parameter from which Filter made the condition, or "".
func (c *Condition) Legacy() string {
	if c == nil {
		return ""
	}
	return c.legacy
}

// Names returns the attributes of the item that the condition reads, sorted.
func (c *Condition) Names() []string { return pathNames(c.allPaths(), 1) }

// Nested returns those of Names whose values it reads a part of, by [] or a dot, sorted. They can't
// be attributes of a key.
func (c *Condition) Nested() []string { return pathNames(c.allPaths(), 2) }

// allPaths returns the paths that the condition reads, in the order in which they were written,
// some maybe more than once.
func (c *Condition) allPaths() []Path {
	if c == nil || c.root == nil {
		return nil
	}
	return c.root.paths(nil)
}

// Size returns the total bytes of the names and values in the condition, counting repetitions.
func (c *Condition) Size() int {
	if c == nil || c.root == nil {
		return 0
	}
	return c.root.size()
}

// size returns the bytes of the names and values in x.
func (x *expr) size() int {
	bytes := x.path.size()
	if x.value != nil {
		bytes += x.value.size()
	}
	for _, arg := range x.args {
		bytes += arg.size()
	}
	return bytes
}

// pathNames returns the first names of the paths that have at least that many steps, sorted,
// without duplicates.
func pathNames(paths []Path, steps int) []string {
	names := make([]string, 0, len(paths))
	for _, path := range paths {
		if len(path) >= steps {
			names = append(names, path[0].Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// paths appends the paths in x.
func (x *expr) paths(all []Path) []Path {
	if x.op == opPath {
		return append(all, x.path)
	}
	for _, arg := range x.args {
		all = arg.paths(all)
	}
	return all
}

// resultType returns the type of an operand if it is the same for every item, or 0.
func (x *expr) resultType() Type {
	switch x.op {
	case opValue:
		if x.value != nil {
			return x.value.Type
		}
	case opSize, opPlus, opMinus:
		return N
	case opListAppend:
		return L
	case opIfNotExists:
		if len(x.args) == 2 { // else it is a fault already
			return x.args[1].resultType()
		}
	case opExists, opNotExists, opType, opBegins, opContains:
		return BOOL
	}
	return 0
}

// holds reports whether a condition holds for it.
func (x *expr) holds(it Item) bool {
	switch x.op {
	case opOr:
		for _, arg := range x.args {
			if arg.holds(it) {
				return true
			}
		}
		return false
	case opAnd:
		for _, arg := range x.args {
			if !arg.holds(it) {
				return false
			}
		}
		return true
	case opNot:
		return !x.args[0].holds(it)
	}
	var size Value
	v := x.args[0].operand(it, &size)
	switch x.op {
	case opExists:
		return v != nil
	case opNotExists:
		return v == nil
	}
	return x.compares(v, it)
}

// compares reports whether a comparison, or a function of two operands, holds for its first operand
// v and the others. A nil v is a missing attribute.
func (x *expr) compares(v *Value, it Item) bool {
	var size Value
	o := x.args[1].operand(it, &size)
	switch x.op {
	case opNE:
		return v == nil || o == nil || !v.Equal(*o)
	case opIn:
		return v != nil && x.isIn(v, it)
	}
	if v == nil || o == nil {
		return false
	}
	switch x.op {
	case opEQ:
		return v.Equal(*o)
	case opType:
		return v.Type.String() == o.Text
	case opBegins:
		return v.Type == o.Type && (v.Type == S || v.Type == B) && strings.HasPrefix(v.Text, o.Text)
	case opContains:
		return v.contains(o)
	}
	return x.ordered(v, o, it)
}

// ordered reports whether a comparison by order holds for v and o, and with BETWEEN for the upper
// bound, too.
func (x *expr) ordered(v, o *Value, it Item) bool {
	order, ok := v.Compare(*o)
	if !ok {
		return false
	}
	switch x.op {
	case opLT:
		return order < 0
	case opLE:
		return order <= 0
	case opGT:
		return order > 0
	case opGE:
		return order >= 0
	}
	var size Value
	high := x.args[2].operand(it, &size)
	if order < 0 || high == nil {
		return false
	}
	order, ok = v.Compare(*high)
	return ok && order <= 0
}

func (x *expr) isIn(v *Value, it Item) bool {
	var size Value
	for _, arg := range x.args[1:] {
		if o := arg.operand(it, &size); o != nil && v.Equal(*o) {
			return true
		}
	}
	return false
}

// operand returns the value of an operand of a condition, or nil. The result of the function size
// is put in *size.
func (x *expr) operand(it Item, size *Value) *Value {
	switch x.op {
	case opValue:
		return x.value
	case opPath:
		return x.path.of(it)
	}
	v := x.args[0].value
	if x.args[0].op == opPath {
		v = x.args[0].path.of(it)
	}
	if v == nil {
		return nil
	}
	n, ok := v.count()
	if !ok {
		return nil
	}
	*size = Value{Type: N, Text: strconv.Itoa(n)}
	return size
}

// count returns the result of the function size: the characters of a text, as Java counts them, or
// else bytes or elements.
func (v *Value) count() (n int, ok bool) {
	switch v.Type {
	case S:
		for _, r := range v.Text {
			if n++; r > 0xFFFF {
				n++
			}
		}
		return n, true
	case B:
		return len(v.Text), true
	case SS, NS, BS:
		return len(v.Set), true
	case L:
		return len(v.List), true
	case M:
		return len(v.Map), true
	}
	return 0, false
}

// contains reports whether v contains o, as a part of a text or of bytes, or as an element.
func (v *Value) contains(o *Value) bool {
	switch v.Type {
	case S, B:
		return v.Type == o.Type && strings.Contains(v.Text, o.Text)
	case SS:
		return o.Type == S && slices.Contains(v.Set, o.Text)
	case NS:
		return o.Type == N && slices.Contains(v.Set, o.Text)
	case BS:
		return o.Type == B && slices.Contains(v.Set, o.Text)
	case L:
		return slices.ContainsFunc(v.List, func(element Value) bool { return element.Equal(*o) })
	}
	return false
}
