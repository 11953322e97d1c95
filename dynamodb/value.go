package dynamodb

import (
	"encoding/base64"

	"holdfast/item"
)

// valueMembers are the members that an AttributeValue may have, in the order in which DynamoDB
// checks them.
var valueMembers = [...]struct {
	name string
	typ  item.Type
}{
	{"S", item.S}, {"B", item.B}, {"N", item.N}, {"BOOL", item.BOOL}, {"NULL", item.NULL},
	{"BS", item.BS}, {"NS", item.NS}, {"SS", item.SS}, {"L", item.L}, {"M", item.M},
}

// attributeValue parses a value such as {"S":"a"}, whose JSON types have been checked. It checks
// everything else: numbers, sets, nesting. Texts share the request's bytes.
func attributeValue(n node) (item.Value, error) {
	v, err := uncheckedValue(n)
	if err == nil && (v.Type == item.L || v.Type == item.M) {
		err = v.Check()
	}
	return v, err
}

// uncheckedValue is attributeValue without the check of nesting.
func uncheckedValue(n node) (v item.Value, err error) {
	types := 0
	for _, m := range valueMembers {
		member := n.get(m.name)
		if member.kind() == absent {
			continue
		}
		types++
		if v, err = valueOf(m.typ, member); err != nil {
			return item.Value{}, err
		}
		if n.len() == 1 {
			return v, nil
		}
	}
	switch types {
	case 0:
		return item.Value{}, invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	case 1:
		return v, nil
	}
	return item.Value{}, invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one " +
		"of the supported datatypes")
}

// valueOf parses a value whose type name has been read.
func valueOf(t item.Type, n node) (item.Value, error) {
	switch t {
	case item.S:
		return item.Text(n.text()), nil
	case item.N:
		return item.Number(n.text())
	case item.B:
		b, err := blob(n)
		return item.Bytes(b), err
	case item.BOOL:
		return item.Bool(truth(n)), nil
	case item.NULL:
		if !truth(n) {
			return item.Value{}, invalid("One or more parameter values were invalid: Null attribute value types must have " +
				"the value of true")
		}
		return item.Null, nil
	case item.L:
		return listOf(n)
	case item.M:
		it, err := itemOf(n, uncheckedValue)
		return item.Map(it), err
	default:
		return setOf(t, n)
	}
}

// blob decodes a text in base64.
func blob(n node) (string, error) {
	b, err := base64.StdEncoding.DecodeString(n.text())
	if err != nil {
		return "", serialization("Invalid last non-pad Base64 character dectected")
	}
	return string(b), nil
}

func setOf(t item.Type, n node) (item.Value, error) {
	elements := make([]string, 0, n.len())
	var err error
	n.each(func(_ string, element node) bool {
		s := element.text()
		switch t {
		case item.NS:
			s, err = item.ParseNumber(s)
		case item.BS:
			s, err = blob(element)
		}
		elements = append(elements, s)
		return err == nil
	})
	if err != nil {
		return item.Value{}, err
	}
	return item.SetOf(t, elements)
}

func listOf(n node) (item.Value, error) {
	list := make([]item.Value, 0, min(n.len(), maxPreallocated))
	var err error
	n.each(func(_ string, element node) bool {
		var v item.Value
		v, err = uncheckedValue(element)
		list = append(list, v)
		return err == nil
	})
	return item.List(list...), err
}

// attributes parses an item such as {"id":{"S":"a"}}, with attributeValue for its values. It is nil
// only if n is absent.
func attributes(n node) (item.Item, error) {
	if n.kind() == absent {
		return nil, nil
	}
	it, err := itemOf(n, attributeValue)
	if err != nil {
		return nil, err
	}
	for i := range it {
		if err := item.CheckName(it[i].Name); err != nil {
			return nil, err
		}
	}
	return it, nil
}

// maxPreallocated is the most values for which memory is allocated at once. If there are more, an
// invalid one may end the parsing early.
const maxPreallocated = 1 << 10

// newItem parses an item that is to be written, as attributes does. It stops once the item is too
// large, because values in memory take many times their length in bytes.
func newItem(n node) (item.Item, error) {
	if len(n.raw()) <= item.MaxItemBytes { // a value is never larger than its JSON
		return attributes(n)
	}
	const leastCells = 2 // cells per byte at most: {"NULL":true} has 2 for 1 byte
	if n.cells()-1 > leastCells*item.MaxItemBytes {
		return nil, errItemTooLarge
	}
	size := 0
	return itemOf(n, func(member node) (item.Value, error) {
		v, err := attributeValue(member)
		if size += len(member.doc.name(member.cell())) + v.Size(); err == nil && size > item.MaxItemBytes {
			err = errItemTooLarge
		}
		return v, err
	})
}

var errItemTooLarge = invalid("Item size has exceeded the maximum allowed size")

func itemOf(n node, value func(node) (item.Value, error)) (item.Item, error) {
	attrs := make([]item.Attr, 0, min(n.len(), maxPreallocated))
	var err error
	n.each(func(name string, member node) bool {
		var v item.Value
		v, err = value(member)
		attrs = append(attrs, item.Attr{Name: name, Value: v})
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	return item.New(attrs...), nil
}
