package partiql

import (
	"slices"

	"holdfast/item"
)

// maxPartitions is the most partition keys that one SELECT may name.
const maxPartitions = 50

// A Read is how a SELECT finds items. The caller filters them by Where.
type Read struct {
	Queries []*item.KeyCondition // run one after the other; nil: a scan
	Reverse bool                 // each query from its last item
}

// Read returns how a SELECT finds its items in a table, or an index, with that key: by queries
// where the WHERE clause gives the partition key, by = or IN, else by a scan.
func (s *Statement) Read(key item.KeySchema) (Read, error) {
	conditions := conjuncts(s.where)
	partitions := partitions(conditions, key.Hash.Name)
	if len(partitions) > maxPartitions {
		return Read{}, invalid("Too many hash key values in the IN clause: at most %d are supported", maxPartitions)
	}
	if err := s.checkOrder(key, len(partitions)); err != nil {
		return Read{}, err
	}
	s.sortPartitions(partitions, key.Hash.Name)
	read := Read{}
	for _, by := range s.order {
		if by.attr == key.Range.Name {
			read.Reverse = by.descending
		}
	}
	within := rangeConjunct(conditions, key.Range.Name)
	for _, v := range partitions {
		equal := operation("=", attribute(key.Hash.Name), value(v))
		c, err := item.NewKeyCondition(operation(and, append([]*item.Term{equal}, within...)...))
		if err != nil {
			return Read{}, err
		}
		read.Queries = append(read.Queries, c)
	}
	return read, nil
}

// checkOrder returns the error of the ORDER BY clause, given how many partition keys the WHERE
// clause names.
func (s *Statement) checkOrder(key item.KeySchema, partitions int) error {
	if len(s.order) == 0 {
		return nil
	}
	if s.where == nil {
		return invalid("Must have WHERE clause in the statement when using ORDER BY clause.")
	}
	byHash := false
	for _, by := range s.order {
		if !slices.Contains(key.Names(), by.attr) {
			return invalid("Attribute %s in ORDER BY clause must be part of the primary key", by.attr)
		}
		byHash = byHash || by.attr == key.Hash.Name
	}
	if partitions == 0 {
		return invalid("Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.")
	}
	if partitions > 1 && !byHash {
		return invalid("Must have hash key in ORDER BY clause when more than one hash key condition specified in WHERE " +
			"clause.")
	}
	return nil
}

// sortPartitions puts partition keys in the order of the ORDER BY clause, if it names them.
func (s *Statement) sortPartitions(partitions []item.Value, hash string) {
	for _, by := range s.order {
		if by.attr != hash {
			continue
		}
		slices.SortStableFunc(partitions, func(a, b item.Value) int {
			cmp, _ := a.Compare(b) // other types than the key's are refused when their query is resolved
			if by.descending {
				return -cmp
			}
			return cmp
		})
	}
}

// partitions returns the values that the partition key may have, without duplicates; nil is any
// value.
func partitions(conditions []*item.Term, hash string) []item.Value {
	for _, t := range conditions {
		if v, ok := equality(t, hash); ok {
			return []item.Value{v}
		}
		var found []item.Value
		switch {
		case t.Op == in && isAttribute(t.Args[0], hash):
			for _, arg := range t.Args[1:] {
				found = appendNew(found, *arg.Value)
			}
		case t.Op == or:
			found = partitionsOfAny(t.Args, hash)
		}
		if found != nil {
			return found
		}
	}
	return nil
}

// partitionsOfAny returns the values that the partition key may have if one of the arms of an OR
// holds.
func partitionsOfAny(arms []*item.Term, hash string) []item.Value {
	var found []item.Value
	for _, arm := range arms {
		own := partitions(conjuncts(arm), hash)
		if own == nil {
			return nil
		}
		for _, v := range own {
			found = appendNew(found, v)
		}
	}
	return found
}

func appendNew(values []item.Value, v item.Value) []item.Value {
	if slices.ContainsFunc(values, v.Equal) {
		return values
	}
	return append(values, v)
}

// equality returns the value that t requires an attribute to have.
func equality(t *item.Term, name string) (item.Value, bool) {
	if t.Op != "=" {
		return item.Value{}, false
	}
	a, b := t.Args[0], t.Args[1]
	if a.Value != nil {
		a, b = b, a
	}
	if !isAttribute(a, name) || b.Value == nil {
		return item.Value{}, false
	}
	return *b.Value, true
}

// rangeConjunct returns the first of the conditions that a key condition can have on the sort key,
// or none. The other conditions only filter.
func rangeConjunct(conditions []*item.Term, sortKey string) []*item.Term {
	if sortKey == "" {
		return nil
	}
	for i, t := range conditions {
		switch t.Op {
		case "=", "<", "<=", ">", ">=", between, "begins_with":
			if isAttribute(t.Args[0], sortKey) && allValues(t.Args[1:]) {
				return conditions[i : i+1]
			}
		}
		if v, ok := equality(t, sortKey); ok {
			return []*item.Term{operation("=", attribute(sortKey), value(v))}
		}
	}
	return nil
}

func allValues(terms []*item.Term) bool {
	return !slices.ContainsFunc(terms, func(t *item.Term) bool { return t.Value == nil })
}

// Key returns the key that the equalities of the WHERE clause determine; more reports whether the
// clause has other conditions. ok is false if they don't determine the whole key.
func (s *Statement) Key(key item.KeySchema) (attrs item.Item, more, ok bool) {
	var found []item.Attr
	conditions := conjuncts(s.where)
	for _, name := range key.Names() {
		at := slices.IndexFunc(conditions, func(t *item.Term) bool {
			_, ok := equality(t, name)
			return ok
		})
		if at < 0 {
			return nil, false, false
		}
		v, _ := equality(conditions[at], name)
		found = append(found, item.Attr{Name: name, Value: v})
	}
	return item.New(found...), len(conditions) > len(found), true
}

// Written returns the key of the item that an UPDATE or a DELETE changes.
func (s *Statement) Written(key item.KeySchema) (item.Item, error) {
	attrs, _, ok := s.Key(key)
	if !ok {
		return nil, invalid("Where clause does not contain a mandatory equality on all key attributes")
	}
	return attrs, nil
}

// IfPresent returns the condition of a DELETE in a table with that key: that the item is as the
// WHERE clause requires, or that there is none, since a DELETE of no item succeeds. Only a
// statement with a WHERE clause has it.
func (s *Statement) IfPresent(key item.KeySchema) (*item.Condition, error) {
	return item.NewCondition(operation(or, absent(key), s.where))
}

// IfAbsent returns the condition of an INSERT in a table with that key: that there is no such item.
func IfAbsent(key item.KeySchema) (*item.Condition, error) { return item.NewCondition(absent(key)) }

func absent(key item.KeySchema) *item.Term {
	return operation("attribute_not_exists", attribute(key.Hash.Name))
}
