package dynamodb

import (
	"slices"
	"strings"

	"holdfast/item"
	"holdfast/table"
)

// itemOps are the operations on items.
type itemOps struct{ tables *table.Store }

func (o *itemOps) operations() []operation {
	return []operation{
		{"GetItem", shapeGetItem, o.getItem},
		{"PutItem", shapePutItem, o.putItem},
		{"UpdateItem", shapeUpdateItem, o.updateItem},
		{"DeleteItem", shapeDeleteItem, o.deleteItem},
		{"Query", shapeQuery, o.query},
		{"Scan", shapeScan, o.scan},
		{"BatchGetItem", shapeBatchGetItem, o.batchGetItem},
		{"BatchWriteItem", shapeBatchWriteItem, o.batchWriteItem},
		{"TransactGetItems", shapeTransactGetItems, o.transactGetItems},
		{"TransactWriteItems", shapeTransactWriteItems, o.transactWriteItems},
	}
}

// Parameters are the expression parameters of an operation, in the order in which DynamoDB's error
// texts list them, and the legacy parameters that they replace.
type parameters struct {
	expressions []string
	legacy      []string
}

// expressions are the parsed expressions of a request; an expression that it doesn't have is nil.
type expressions struct {
	update       *item.Update
	condition    *item.Condition
	keyCondition *item.KeyCondition
	filter       *item.Condition
	projection   *item.Projection
}

// apart refuses a request that has both expressions and legacy parameters, or names or values
// without an expression.
func (p parameters) apart(req node) error {
	given := present(req, p.expressions)
	if len(given) > 0 {
		legacy := present(req, p.legacy)
		if !req.has("KeyConditionExpression") {
			// KeyConditions go with a FilterExpression.
			legacy = slices.DeleteFunc(legacy, func(name string) bool { return name == "KeyConditions" })
		}
		if len(legacy) > 0 {
			return invalid("Can not use both expression and non-expression parameters in the same request: "+
				"Non-expression parameters: {%s} Expression parameters: {%s}", strings.Join(legacy, ", "),
				strings.Join(given, ", "))
		}
	}
	if len(given) == 0 && req.has("ExpressionAttributeNames") {
		return invalid("ExpressionAttributeNames can only be specified when using expressions")
	}
	if req.has("ExpressionAttributeValues") {
		return p.valuesUsed(req)
	}
	return nil
}

// valuesUsed refuses ExpressionAttributeValues in a request that has no expression that could use
// them.
func (p parameters) valuesUsed(req node) error {
	valued := slices.DeleteFunc(slices.Clone(p.expressions),
		func(name string) bool { return name == "ProjectionExpression" })
	if len(valued) == 0 || len(present(req, valued)) > 0 {
		return nil
	}
	are := "is"
	if len(valued) > 1 {
		are = "are"
	}
	return invalid("ExpressionAttributeValues can only be specified when using expressions: %s %s null",
		strings.Join(valued, " and "), are)
}

// present returns those of the names that the request has as parameters.
func present(req node, names []string) []string {
	var have []string
	for _, name := range names {
		if req.has(name) {
			have = append(have, name)
		}
	}
	return have
}

// parse parses the expressions of a request.
func (p parameters) parse(req node) (e expressions, err error) {
	if len(present(req, p.expressions)) == 0 {
		return e, nil // apart has already refused names and values
	}
	scope, err := scopeOf(req)
	if err != nil {
		return e, err
	}
	for _, name := range [...]string{
		"UpdateExpression", "ConditionExpression", "KeyConditionExpression", "FilterExpression", "ProjectionExpression",
	} {
		text := req.get(name)
		if text.kind() == absent || !slices.Contains(p.expressions, name) {
			continue
		}
		if err := e.add(scope, name, text.text()); err != nil {
			return e, err
		}
	}
	return e, scope.Unused()
}

// add parses the expression of one parameter.
func (e *expressions) add(scope *item.Scope, name, text string) (err error) {
	switch name {
	case "UpdateExpression":
		e.update, err = scope.Update(text)
	case "ConditionExpression":
		e.condition, err = scope.Condition(name, text)
	case "KeyConditionExpression":
		e.keyCondition, err = scope.KeyCondition(text)
	case "FilterExpression":
		e.filter, err = scope.Condition(name, text)
	case "ProjectionExpression":
		e.projection, err = scope.Projection(text)
	}
	return err
}

// scopeOf returns the names and values that expressions of the request may use.
func scopeOf(req node) (*item.Scope, error) {
	var names map[string]string
	if n := req.get("ExpressionAttributeNames"); n.kind() != absent {
		names = make(map[string]string, n.len())
		n.each(func(name string, v node) bool {
			names[name] = v.text()
			return true
		})
	}
	// DynamoDB checks the names of values before the values.
	values, faulty := attributeValues(req.get("ExpressionAttributeValues"))
	scope, err := item.NewScope(names, values)
	if err != nil {
		return nil, err
	}
	return scope, faulty
}

// attributeValues converts ExpressionAttributeValues to an item. An item with all names is returned
// even with an error.
func attributeValues(n node) (item.Item, error) {
	if n.kind() == absent {
		return nil, nil
	}
	var first error
	attrs := make([]item.Attr, 0, n.len())
	n.each(func(name string, v node) bool {
		value, err := attributeValue(v)
		if err != nil {
			value = item.Null
			if first == nil {
				first = invalid("ExpressionAttributeValues contains invalid value: %s for key %s", err, name)
			}
		}
		attrs = append(attrs, item.Attr{Name: name, Value: value})
		return true
	})
	return item.New(attrs...), first
}

// names returns the texts of an array.
func names(n node) []string {
	list := make([]string, 0, n.len())
	n.each(func(_ string, v node) bool {
		list = append(list, v.text())
		return true
	})
	return list
}

// attributesToGet returns the projection of the legacy parameter; nil if there is none.
func attributesToGet(req node) (*item.Projection, error) {
	n := req.get("AttributesToGet")
	if n.kind() == absent {
		return nil, nil
	}
	return item.AttributesToGet(names(n))
}

// comparisons returns the comparisons of Expected, QueryFilter, ScanFilter or KeyConditions. They
// are returned even with an error.
func comparisons(n node) ([]item.Comparison, error) {
	var first error
	value := func(v node) item.Value {
		parsed, err := attributeValue(v)
		if first == nil {
			first = err
		}
		return parsed
	}
	list := make([]item.Comparison, 0, n.len())
	n.each(func(attr string, member node) bool {
		c := item.Comparison{Attr: attr, Op: member.get("ComparisonOperator").text()}
		if values := member.get("AttributeValueList"); values.kind() != absent {
			c.HasValues = true
			values.each(func(_ string, v node) bool {
				c.Values = append(c.Values, value(v))
				return true
			})
		}
		if v := member.get("Value"); v.kind() != absent {
			c.HasValue, c.Value = true, value(v)
		}
		if exists := member.get("Exists"); exists.kind() != absent {
			want := truth(exists)
			c.Exists = &want
		}
		list = append(list, c)
		return true
	})
	return list, first
}

// expected returns the condition of the legacy parameters; nil if there is none.
func expected(req node) (*item.Condition, error) {
	n := req.get("Expected")
	if n.kind() == absent && !req.has("ConditionalOperator") {
		return nil, nil
	}
	cs, faulty := comparisons(n)
	condition, err := item.Expected(cs, req.get("ConditionalOperator").text())
	if err == nil {
		err = faulty // DynamoDB checks the number of values before the values
	}
	return condition, err
}

// legacyFilter returns the condition of QueryFilter or ScanFilter; nil if there is none.
func legacyFilter(req node, parameter string) (*item.Condition, error) {
	n := req.get(parameter)
	if n.kind() == absent && !req.has("ConditionalOperator") {
		return nil, nil
	}
	cs, err := comparisons(n)
	if err != nil {
		return nil, err
	}
	return item.Filter(parameter, cs, req.get("ConditionalOperator").text())
}
