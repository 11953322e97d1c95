package item

import "strings"

// A RangeOp is how a query compares sort keys.
type RangeOp uint8

// The comparisons of sort keys.
const (
	EQ RangeOp = iota + 1
	LT
	LE
	GT
	GE
	Between
	BeginsWith
)

// A RangeCondition is a query's condition on a sort key. Its values have the type of the sort key.
type RangeCondition struct {
	Op   RangeOp
	Low  Value // what they are compared with
	High Value // of Between
}

// A Lookup is the set of keys that a query looks for: those with a partition key and, if Sort isn't
// empty, a sort key that satisfies its conditions.
type Lookup struct {
	Hash []Value          // the partition key: one for each of its attributes
	Sort []RangeCondition // of the sort key's first attributes; none before the last is other than EQ
}

// A KeyCondition is a query's condition on keys. It is immutable.
type KeyCondition struct {
	conditions []keyComparison
	fault      error
}

// A keyComparison compares an attribute with values.
type keyComparison struct {
	name   string
	op     RangeOp // 0 where no key can be looked up by it
	values []Value
}

// keyOps are the operators of expressions by which a key can be looked up.
var keyOps = map[op]RangeOp{
	opEQ: EQ, opLT: LT, opLE: LE, opGT: GT, opGE: GE, opBetween: Between, opBegins: BeginsWith,
}

// mirrored are the operators that mean the same with their operands exchanged.
var mirrored = map[RangeOp]RangeOp{EQ: EQ, LT: GT, LE: GE, GT: LT, GE: LE}

// Check returns the error of a condition that is valid, but not as one on keys. DynamoDB reports it
// after the errors of the request's other expressions, and before it looks for the table.
func (c *KeyCondition) Check() error {
	if c.fault != nil {
		return c.fault
	}
	return c.checkCount(2 * MaxKeyAttrs)
}

// CheckSingle is Check for a key of one attribute and one, which is what all keys but those of some
// global indexes are.
func (c *KeyCondition) CheckSingle() error {
	if c.fault != nil {
		return c.fault
	}
	return c.checkCount(2)
}

func (c *KeyCondition) checkCount(limit int) error {
	if n := len(c.conditions); n == 0 || n > limit {
		return refused("Conditions can be of length 1 or 2 only")
	}
	return nil
}

// add adds the comparisons of an expression.
func (c *KeyCondition) add(x *expr) error {
	switch x.op {
	case opAnd:
		for _, arg := range x.args {
			if err := c.add(arg); err != nil {
				return err
			}
		}
		return nil
	case opOr, opNot, opIn, opNE, opExists, opNotExists, opType, opContains:
		return refused("Invalid operator used in KeyConditionExpression: %s", x.op)
	case opBetween, opBegins:
		if x.args[0].op != opPath {
			return refused("Invalid condition in KeyConditionExpression: %s operator must have the key attribute as its "+
				"first operand", x.op)
		}
	}
	return c.addComparison(x)
}

func (c *KeyCondition) addComparison(x *expr) error {
	k := keyComparison{op: keyOps[x.op]}
	for i, arg := range x.args {
		switch {
		case arg.op == opValue:
			k.values = append(k.values, *arg.value)
		case arg.op == opSize:
			return refused("KeyConditionExpressions cannot contain nested operations")
		case k.name != "":
			return refused("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
		case len(arg.path) > 1:
			return refused("KeyConditionExpressions cannot have conditions on nested attributes")
		default:
			if k.name = arg.path[0].Name; i > 0 {
				k.op = mirrored[k.op]
			}
		}
	}
	if k.name == "" {
		return refused("Invalid condition in KeyConditionExpression: No key attribute specified")
	}
	if c.of(k.name) != nil {
		return refused("KeyConditionExpressions must only contain one condition per key")
	}
	c.conditions = append(c.conditions, k)
	return nil
}

// of returns the comparison of an attribute, or nil.
func (c *KeyCondition) of(name string) *keyComparison {
	for i := range c.conditions {
		if c.conditions[i].name == name {
			return &c.conditions[i]
		}
	}
	return nil
}

// Resolve returns the keys that the condition asks for. The errors are those of Check, and those of
// conditions that don't apply to this key.
func (c *KeyCondition) Resolve(k IndexKey) (Lookup, error) {
	if err := c.checkOf(&k); err != nil {
		return Lookup{}, err
	}
	l := Lookup{Hash: make([]Value, 0, len(k.Hash))}
	for _, a := range k.Hash {
		h, err := c.resolve(a, true)
		if err != nil {
			return Lookup{}, err
		}
		l.Hash = append(l.Hash, h.values[0])
	}
	for _, a := range k.Range[:len(c.conditions)-len(k.Hash)] {
		r, err := c.resolve(a, false)
		if err != nil {
			return Lookup{}, err
		}
		condition := RangeCondition{Op: r.op, Low: r.values[0]}
		if r.op == Between {
			condition.High = r.values[1]
		}
		l.Sort = append(l.Sort, condition)
	}
	return l, nil
}

// checkOf returns the error of conditions that don't apply to that key. For a key of several
// attributes it checks that each condition is on one of them, and in the right place.
func (c *KeyCondition) checkOf(k *IndexKey) error {
	check := c.CheckSingle
	if k.Multi() {
		check = c.Check
	}
	if err := check(); err != nil {
		return err
	}
	if len(c.conditions) > len(k.Hash)+len(k.Range) {
		return refused("Query key condition not supported")
	}
	if !k.Multi() {
		return nil
	}
	if lacking := c.unequal(k.Hash); len(lacking) > 0 {
		return refused("HASH key attributes %s must have equality conditions specified in the query",
			strings.Join(lacking, ", "))
	}
	return c.checkLeading(k)
}

// checkLeading returns the error of conditions on the sort key that aren't on its first attributes,
// or of which one before the last isn't an equality.
func (c *KeyCondition) checkLeading(k *IndexKey) error {
	given := 0
	for i, a := range k.Range {
		if c.of(a.Name) == nil {
			continue
		}
		if lacking := c.unequal(k.Range[:i]); len(lacking) > 0 {
			return refused("RANGE key attributes %s must have equality conditions specified in the query because a condition "+
				"is "+
				"present on key attribute %s", strings.Join(lacking, ", "), a.Name)
		}
		given++
	}
	if len(k.Hash)+given < len(c.conditions) { // and so given < len(k.Range)
		return missed(k.Range[given].Name)
	}
	return nil
}

// unequal returns the names of those attributes for which the condition has no equality.
func (c *KeyCondition) unequal(attrs []KeyAttr) (names []string) {
	for _, a := range attrs {
		if k := c.of(a.Name); k == nil || k.op != EQ {
			names = append(names, a.Name)
		}
	}
	return names
}

func missed(name string) error { return refused("Query condition missed key schema element: %s", name) }

// resolve returns the comparison of a key attribute, which for the partition key must be EQ.
func (c *KeyCondition) resolve(a KeyAttr, hash bool) (*keyComparison, error) {
	k := c.of(a.Name)
	switch {
	case k == nil:
		return nil, missed(a.Name)
	case k.op == 0:
		return nil, refused("Attempted conditional constraint is not an indexable operation")
	}
	for i := range k.values {
		if k.values[i].Type != a.Type {
			return nil, invalid("Condition parameter type does not match schema type")
		}
		if empty := emptiness(k.values[i]); hash && empty != "" {
			return nil, refused("One or more parameter values are not valid. "+
				"The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", empty, a.Name)
		}
	}
	if hash && k.op != EQ {
		return nil, refused("Query key condition not supported")
	}
	return k, nil
}
