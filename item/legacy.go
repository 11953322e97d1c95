package item

import (
	"slices"
	"strconv"
)

// A Comparison is one of the legacy conditions Expected, QueryFilter, ScanFilter, KeyConditions, as
// it was in the request.
type Comparison struct {
	Attr      string
	Op        string // ComparisonOperator: "EQ", "NE", "IN" …; "" where there is none
	Values    []Value
	HasValues bool // there was an AttributeValueList
	Value     Value
	HasValue  bool  // there was a Value; only in Expected
	Exists    *bool // nil where there is none; only in Expected
}

// legacyOps are the operators of legacy conditions. NOT_CONTAINS is the opposite of CONTAINS,
// except that neither holds for an attribute that isn't there.
var legacyOps = map[string]op{
	"EQ": opEQ, "NE": opNE, "LT": opLT, "LE": opLE, "GT": opGT, "GE": opGE, "BETWEEN": opBetween, "IN": opIn,
	"NOT_NULL": opExists, "NULL": opNotExists, "CONTAINS": opContains, "NOT_CONTAINS": opContains, "BEGINS_WITH": opBegins,
}

// legacyTypes are the types of values that an operator takes, unless it takes all, as EQ and NE do.
var legacyTypes = map[op][]Type{
	opLT: {S, N, B}, opLE: {S, N, B}, opGT: {S, N, B}, opGE: {S, N, B}, opBetween: {S, N, B}, opIn: {S, N, B},
	opContains: {S, N, B}, opBegins: {S, B},
}

// Filter returns the condition of ScanFilter or QueryFilter, as parameter names it, with a
// ConditionalOperator: "AND", "OR", or "" if the request has none. Without comparisons it always
// holds.
func Filter(parameter string, cs []Comparison, operator string) (*Condition, error) {
	for i := range cs {
		if err := cs[i].check(); err != nil {
			return nil, err
		}
	}
	c, err := joined(cs, operator)
	if err != nil {
		return nil, err
	}
	c.legacy = parameter
	return c, nil
}

// Expected returns the condition of Expected with a ConditionalOperator, as Filter does.
func Expected(cs []Comparison, operator string) (*Condition, error) {
	for i := range cs {
		if err := cs[i].checkExpected(); err != nil {
			return nil, err
		}
	}
	return joined(cs, operator)
}

// KeyConditions returns the condition of KeyConditions.
func KeyConditions(cs []Comparison) (*KeyCondition, error) {
	k := new(KeyCondition)
	for i := range cs {
		c := &cs[i]
		if err := c.check(); err != nil {
			return nil, err
		}
		k.conditions = append(k.conditions, keyComparison{c.Attr, keyOps[legacyOps[c.Op]], c.Values})
		if c.Op == "NOT_CONTAINS" {
			k.conditions[i].op = 0
		}
	}
	return k, k.Check()
}

// joined returns the comparisons as a condition.
func joined(cs []Comparison, operator string) (*Condition, error) {
	switch {
	case operator != "" && len(cs) == 0:
		return nil, refused("ConditionalOperator cannot be used without Filter or Expected")
	case operator != "" && len(cs) == 1:
		return nil, refused("ConditionalOperator can only be used when Filter or Expected has two or more elements")
	case len(cs) == 0:
		return new(Condition), nil
	}
	all := &expr{op: opAnd, args: make([]*expr, len(cs))}
	if operator == "OR" {
		all.op = opOr
	}
	for i := range cs {
		all.args[i] = cs[i].expr()
	}
	return &Condition{root: all}, nil
}

// expr returns a comparison as an expression.
func (c *Comparison) expr() *expr {
	x := &expr{op: legacyOps[c.Op], args: []*expr{{op: opPath, path: Path{{Name: c.Attr, Index: -1}}}}}
	if c.Op == "" {
		if x.op = opEQ; !c.HasValue {
			x.op = opNotExists // Exists is false
		}
	}
	values := c.Values
	if c.HasValue {
		values = []Value{c.Value}
	}
	for i := range values {
		x.args = append(x.args, &expr{op: opValue, value: &values[i]})
	}
	if c.Op == "NOT_CONTAINS" {
		there := &expr{op: opExists, args: x.args[:1]}
		return &expr{op: opAnd, args: []*expr{there, {op: opNot, args: []*expr{x}}}}
	}
	return x
}

// check returns the error of a comparison in a filter or of a key.
func (c *Comparison) check() error {
	if err := CheckName(c.Attr); err != nil {
		return err
	}
	for i := range c.Values {
		if err := c.Values[i].Check(); err != nil {
			return err
		}
	}
	return c.checkArguments(c.Values)
}

// checkArguments returns the error of values of a wrong number, type or order for the operator.
func (c *Comparison) checkArguments(values []Value) error {
	if !c.takes(len(values)) {
		return invalid("Invalid number of argument(s) for the %s ComparisonOperator", c.Op)
	}
	types := legacyTypes[legacyOps[c.Op]]
	for i := range values {
		if values[i].Type != values[0].Type {
			return invalid("AttributeValues inside AttributeValueList must be of same type")
		}
	}
	for i := range values {
		if t := values[i].Type; types != nil && !slices.Contains(types, t) {
			return invalid("ComparisonOperator %s is not valid for %s AttributeValue type", c.Op, t)
		}
	}
	if c.Op != "BETWEEN" {
		return nil
	}
	if order, ok := values[0].Compare(values[1]); ok && order > 0 {
		return refused("The BETWEEN condition was provided a range where the lower bound is greater than the upper bound")
	}
	return nil
}

// takes reports whether the operator takes that many values.
func (c *Comparison) takes(n int) bool {
	switch c.Op {
	case "NULL", "NOT_NULL":
		return n == 0
	case "IN":
		return n > 0
	case "BETWEEN":
		return n == 2
	}
	return n == 1
}

// checkExpected returns the error of a comparison in Expected.
func (c *Comparison) checkExpected() error {
	if err := CheckName(c.Attr); err != nil {
		return err
	}
	switch {
	case c.HasValues && c.HasValue:
		return invalid("Value and AttributeValueList cannot be used together for Attribute: %s", c.Attr)
	case c.Op != "":
		return c.checkExpectedOp()
	case c.HasValues:
		return invalid("AttributeValueList can only be used with a ComparisonOperator for Attribute: %s", c.Attr)
	}
	exists := "null"
	if c.Exists != nil {
		exists = strconv.FormatBool(*c.Exists)
	}
	switch {
	case !c.HasValue && exists != "false":
		return invalid("Value must be provided when Exists is %s for Attribute: %s", exists, c.Attr)
	case c.HasValue && exists == "false":
		return invalid("Value cannot be used when Exists is false for Attribute: %s", c.Attr)
	case c.HasValue:
		return c.Value.Check()
	}
	return nil
}

// checkExpectedOp returns the error of a comparison in Expected that has an operator.
func (c *Comparison) checkExpectedOp() error {
	none := c.Op == "NULL" || c.Op == "NOT_NULL"
	values := c.Values
	if c.HasValue {
		values = []Value{c.Value}
	}
	switch {
	case c.Exists != nil:
		return invalid("Exists and ComparisonOperator cannot be used together for Attribute: %s", c.Attr)
	case !none && !c.HasValues && !c.HasValue:
		return invalid("Value or AttributeValueList must be used with ComparisonOperator: %s for Attribute: %s", c.Op, c.Attr)
	}
	return c.checkArguments(values)
}
