package dynamodb

import (
	"slices"

	"holdfast/item"
)

// checkElements checks the rules that the keys of tables and of all indexes share.
func checkElements(elements []keyElement) error {
	for i := range elements {
		if slices.ContainsFunc(elements[:i], func(e keyElement) bool { return e.name == elements[i].name }) {
			return invalid("Both the Hash Key and the Range Key element in the KeySchema have the same name")
		}
	}
	if elements[0].role != "HASH" {
		return invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
	}
	return nil
}

// indexKey builds an index's key from its elements. A global index's key may have several
// attributes in a part; package table checks how many. Undefined attributes have no type.
func indexKey(elements []keyElement, attributes []item.KeyAttr, local bool) (item.IndexKey, error) {
	if local {
		key, err := keySchema(elements, attributes)
		return key.Index(), err
	}
	var key item.IndexKey
	if err := checkElements(elements); err != nil {
		return key, err
	}
	for _, e := range elements {
		switch {
		case e.role == "RANGE":
			key.Range = append(key.Range, keyAttr(e.name, attributes))
		case len(key.Range) > 0:
			return key, invalid("Invalid KeySchema: All HASH key attributes must precede the RANGE key attributes")
		default:
			key.Hash = append(key.Hash, keyAttr(e.name, attributes))
		}
	}
	return key, nil
}
