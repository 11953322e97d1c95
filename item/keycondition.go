package item

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

// A RangeCondition is what a query asks of sort keys. Its values have the type of the sort key.
type RangeCondition struct {
	Op   RangeOp
	Low  Value // what they are compared with
	High Value // of Between
}

// A KeyCondition is what a query asks of keys. It is immutable.
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

// mirrored are the operators that say the same when their operands change places.
var mirrored = map[RangeOp]RangeOp{EQ: EQ, LT: GT, LE: GE, GT: LT, GE: LE}

// Check returns the error of a condition that could be one, but not of keys. DynamoDB tells it after those of the other
// expressions of the request, and before it looks for the table.
func (c *KeyCondition) Check() error {
	if c.fault != nil {
		return c.fault
	}
	if n := len(c.conditions); n != 1 && n != 2 {
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
			return refused("Invalid condition in KeyConditionExpression: %s operator must have the key attribute as its first operand", x.op)
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

// Resolve returns the partition key that the condition asks for, and what it asks of the sort key, which is nil if it
// doesn't. Errors are those of Check, and of conditions that aren't of this schema's keys.
func (c *KeyCondition) Resolve(s KeySchema) (hash Value, r *RangeCondition, err error) {
	if err := c.Check(); err != nil {
		return Value{}, nil, err
	}
	if s.Range.Name == "" && len(c.conditions) > 1 {
		return Value{}, nil, refused("Query key condition not supported")
	}
	h, err := c.resolve(s.Hash, true)
	if err != nil {
		return Value{}, nil, err
	}
	if h.op != EQ {
		return Value{}, nil, refused("Query key condition not supported")
	}
	if len(c.conditions) == 1 {
		return h.values[0], nil, nil
	}
	k, err := c.resolve(s.Range, false)
	if err != nil {
		return Value{}, nil, err
	}
	r = &RangeCondition{Op: k.op, Low: k.values[0]}
	if k.op == Between {
		r.High = k.values[1]
	}
	return h.values[0], r, nil
}

// resolve returns the comparison of a key attribute.
func (c *KeyCondition) resolve(a KeyAttr, hash bool) (*keyComparison, error) {
	k := c.of(a.Name)
	switch {
	case k == nil:
		return nil, refused("Query condition missed key schema element: %s", a.Name)
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
	return k, nil
}
