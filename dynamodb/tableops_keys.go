package dynamodb

import (
	"slices"

	"holdfast/item"
)

// checkElements checks what holds for the keys of tables and of all indexes.
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

// indexKey makes the key of an index of its elements. That of a global index may have several
// attributes in a part; how many is for package table to say. Those that aren't defined have no
// type.
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
