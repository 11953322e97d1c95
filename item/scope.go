package item

import (
	"slices"
	"strings"

	"holdfast"
)

// Limits of expressions. See
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-expression-parameters.
const (
	maxExpressionBytes = 4096 // of the text, as it was sent
	maxOperators       = 300  // operators and functions in an expression
	maxInOperands      = 100  // values that IN compares with
	maxParameterBytes  = 255  // of #name and :value
)

// A Scope is what the expressions of one request may refer to: attribute names under #alias, and
// values under :name. It records which of them were used. It is for one goroutine; its results are
// not bound to it.
//
// Errors are of kind holdfast.Invalid. Those of an expression begin with "Invalid " and the name of
// its parameter. A syntax error is reported first; if there are several other faults, the one that
// DynamoDB reports.
type Scope struct {
	names      map[string]string
	values     Item
	usedNames  map[string]bool
	usedValues []bool // by place in values
}

// NewScope returns the scope of ExpressionAttributeNames and ExpressionAttributeValues. names are
// keyed "#n", values are named ":v"; nil means that the request lacks the parameter, and an empty
// one is refused. It checks the keys, and the values as Value.Check does. values is kept, not
// changed.
func NewScope(names map[string]string, values Item) (*Scope, error) {
	if err := checkNames(names); err != nil {
		return nil, err
	}
	if err := checkValues(values); err != nil {
		return nil, err
	}
	s := &Scope{names: names, values: values}
	if names != nil {
		s.usedNames = make(map[string]bool, len(names))
	}
	if values != nil {
		s.usedValues = make([]bool, len(values))
	}
	return s, nil
}

func checkNames(names map[string]string) error {
	if names != nil && len(names) == 0 {
		return refused("ExpressionAttributeNames must not be empty")
	}
	bad, found := "", false // the least of the bad keys, so that a request has one answer
	for key := range names {
		if keyFault(key, '#') != "" && (!found || key < bad) {
			bad, found = key, true
		}
	}
	if found {
		return refused("ExpressionAttributeNames contains invalid key: %s; key: \"%s\"", keyFault(bad, '#'), bad)
	}
	return checkAliased(names)
}

// checkAliased returns the error of the first attribute name, in the order of aliases, that
// CheckName refuses.
func checkAliased(names map[string]string) error {
	alias := ""
	for key, name := range names {
		if CheckName(name) != nil && (alias == "" || key < alias) {
			alias = key
		}
	}
	switch {
	case alias == "":
		return nil
	case names[alias] == "":
		return refused("ExpressionAttributeNames contains invalid value: %s for key %s", emptyName, alias)
	}
	return CheckName(names[alias])
}

func checkValues(values Item) error {
	if values != nil && len(values) == 0 {
		return refused("ExpressionAttributeValues must not be empty")
	}
	for i := range values {
		if fault := keyFault(values[i].Name, ':'); fault != "" {
			return refused("ExpressionAttributeValues contains invalid key: %s; key: \"%s\"", fault, values[i].Name)
		}
	}
	for i := range values {
		if err := values[i].Value.Check(); err != nil {
			return refused("ExpressionAttributeValues contains invalid value: %s for key %s", err, values[i].Name)
		}
	}
	return nil
}

// keyFault returns what is wrong with a key of the names or values, which begin with mark, or "".
func keyFault(key string, mark byte) string {
	switch {
	case len(key) < 2 || key[0] != mark || wordEnd(key, 1) != len(key):
		return "Syntax error"
	case len(key) > maxParameterBytes:
		return "The expression attribute map contains a key that is too long"
	}
	return ""
}

// Unused returns an error if no expression has used some of the names, or else some of the values.
func (s *Scope) Unused() error {
	if len(s.usedNames) < len(s.names) {
		var unused []string
		for name := range s.names {
			if !s.usedNames[name] {
				unused = append(unused, name)
			}
		}
		slices.Sort(unused)
		return refused("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}",
			strings.Join(unused, ", "))
	}
	if !slices.Contains(s.usedValues, false) {
		return nil
	}
	var unused []string
	for i := range s.values {
		if !s.usedValues[i] {
			unused = append(unused, s.values[i].Name)
		}
	}
	return refused("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}",
		strings.Join(unused, ", "))
}

// name returns the attribute name of an alias.
func (s *Scope) name(alias string) (name string, ok bool) {
	if name = s.names[alias]; name == "" {
		return "", false
	}
	s.usedNames[alias] = true
	return name, true
}

// value returns the value of a parameter.
func (s *Scope) value(parameter string) (v *Value, ok bool) {
	i, ok := s.values.find(parameter)
	if !ok {
		return nil, false
	}
	s.usedValues[i] = true
	return &s.values[i].Value, true
}

// Condition parses the ConditionExpression or FilterExpression of a request; parameter is its name.
func (s *Scope) Condition(parameter, text string) (*Condition, error) {
	root, err := s.condition(parameter, text)
	if err != nil {
		return nil, err
	}
	return &Condition{root: root}, nil
}

// KeyCondition parses the KeyConditionExpression of a request. What is wrong with it as a condition
// on keys is reported by KeyCondition.Check.
func (s *Scope) KeyCondition(text string) (*KeyCondition, error) {
	root, err := s.condition("KeyConditionExpression", text)
	if err != nil {
		return nil, err
	}
	c := new(KeyCondition)
	c.fault = c.add(root)
	return c, nil
}

// Projection parses the ProjectionExpression of a request.
func (s *Scope) Projection(text string) (*Projection, error) {
	p := parser{scope: s, text: text}
	if err := p.start("ProjectionExpression"); err != nil {
		return nil, err
	}
	paths := p.projection()
	if err := p.end("ProjectionExpression", projectionFaults); err != nil {
		return nil, err
	}
	return &Projection{paths: paths, root: p.root}, nil
}

// Update parses the UpdateExpression of a request.
func (s *Scope) Update(text string) (*Update, error) {
	p := parser{scope: s, text: text}
	if err := p.start("UpdateExpression"); err != nil {
		return nil, err
	}
	actions := p.update()
	if err := p.end("UpdateExpression", updateFaults); err != nil {
		return nil, err
	}
	return &Update{actions: actions, root: p.root}, nil
}

func (s *Scope) condition(parameter, text string) (*expr, error) {
	p := parser{scope: s, text: text}
	if err := p.start(parameter); err != nil {
		return nil, err
	}
	root := p.or(false)
	if err := p.end(parameter, conditionFaults); err != nil {
		return nil, err
	}
	return root, nil
}

// refused returns an error of kind Invalid whose text is the whole message of DynamoDB.
func refused(format string, args ...any) error {
	return holdfast.Errorf(holdfast.Invalid, format, args...)
}
