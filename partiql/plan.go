package partiql

import (
	"slices"

	"holdfast/item"
)

// maxPartitions is how many partition keys one SELECT may name.
const maxPartitions = 50

// A Read is how a SELECT finds items. What it finds is to be asked whether Where holds.
type Read struct {
	Queries []*item.KeyCondition // run one after the other; nil: a scan
	Reverse bool                 // each query from its last item
}

// Read returns how a SELECT finds its items in a table, or an index, with that key: by queries where the WHERE clause gives the
// partition key, by = or IN, else by a scan.
func (s *Statement) Read(key item.KeySchema) (Read, error) {
	conjuncts := s.where.conjuncts()
	partitions := partitions(conjuncts, key.Hash.Name)
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
	within := rangeConjunct(conjuncts, key.Range.Name)
	for _, v := range partitions {
		equal := &expression{operation: compare, word: "=", args: []*expression{
			{operation: path, path: item.Path{{Name: key.Hash.Name, Index: -1}}},
			{operation: value, value: v},
		}}
		c, err := keyed(append([]*expression{equal}, within...))
		if err != nil {
			return Read{}, err
		}
		read.Queries = append(read.Queries, c)
	}
	return read, nil
}

// checkOrder returns what is wrong with the ORDER BY clause where the WHERE clause gives that many partition keys.
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
		return invalid("Must have hash key in ORDER BY clause when more than one hash key condition specified in WHERE clause.")
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

// partitions are the values that the partition key may have, none twice; nil: any.
func partitions(conjuncts []*expression, hash string) []item.Value {
	for _, e := range conjuncts {
		var found []item.Value
		switch e.operation {
		case compare:
			if v, ok := equality(e, hash); ok {
				return []item.Value{v}
			}
		case in:
			if e.args[0].attribute() == hash {
				for _, arg := range e.args[1:] {
					found = appendNew(found, arg.value)
				}
			}
		case or:
			for _, arm := range e.args {
				own := partitions(arm.conjuncts(), hash)
				if own == nil {
					found = nil
					break
				}
				for _, v := range own {
					found = appendNew(found, v)
				}
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}

func appendNew(values []item.Value, v item.Value) []item.Value {
	if slices.ContainsFunc(values, v.Equal) {
		return values
	}
	return append(values, v)
}

// equality is the value that e says an attribute has.
func equality(e *expression, attribute string) (item.Value, bool) {
	if e.operation != compare || e.word != "=" {
		return item.Value{}, false
	}
	a, b := e.args[0], e.args[1]
	if a.operation == value {
		a, b = b, a
	}
	if a.attribute() != attribute || b.operation != value {
		return item.Value{}, false
	}
	return b.value, true
}

// rangeConjunct is the first of the conjuncts that a key condition can have on the sort key, or none; the others filter.
func rangeConjunct(conjuncts []*expression, sortKey string) []*expression {
	if sortKey == "" {
		return nil
	}
	for i, e := range conjuncts {
		switch {
		case e.operation == compare && e.word == "<>", e.operation == not, e.operation == in:
		case e.operation == compare && e.args[0].attribute() == sortKey && e.args[1].operation == value,
			e.operation == between && e.args[0].attribute() == sortKey && e.args[1].operation == value && e.args[2].operation == value,
			e.operation == call && e.word == "begins_with" && e.args[0].attribute() == sortKey && e.args[1].operation == value:
			return conjuncts[i : i+1]
		case e.operation == compare && e.word == "=" && e.args[1].attribute() == sortKey && e.args[0].operation == value:
			return []*expression{{operation: compare, word: "=", args: []*expression{e.args[1], e.args[0]}}}
		}
	}
	return nil
}

// Key returns the whole key that equalities of the WHERE clause give; more says whether it asks for anything else.
// ok is false if they don't give the whole key.
func (s *Statement) Key(key item.KeySchema) (attrs item.Item, more, ok bool) {
	var found []item.Attr
	conjuncts := s.where.conjuncts()
	for _, name := range key.Names() {
		at := slices.IndexFunc(conjuncts, func(e *expression) bool {
			_, ok := equality(e, name)
			return ok
		})
		if at < 0 {
			return nil, false, false
		}
		v, _ := equality(conjuncts[at], name)
		found = append(found, item.Attr{Name: name, Value: v})
	}
	return item.New(found...), len(conjuncts) > len(found), true
}

// Written returns the key of the item that an UPDATE or a DELETE changes.
func (s *Statement) Written(key item.KeySchema) (item.Item, error) {
	attrs, _, ok := s.Key(key)
	if !ok {
		return nil, invalid("Where clause does not contain a mandatory equality on all key attributes")
	}
	return attrs, nil
}

// IfPresent returns the condition of a DELETE in a table with that key: that the item is as the WHERE clause says, or that there
// is none, since deleting nothing is no failure.
func (s *Statement) IfPresent(key item.KeySchema) (*item.Condition, error) {
	absent := &expression{operation: call, word: "attribute_not_exists", args: []*expression{
		{operation: path, path: item.Path{{Name: key.Hash.Name, Index: -1}}},
	}}
	return (&expression{operation: or, args: []*expression{absent, s.where}}).conditioned()
}

// IfAbsent returns the condition of an INSERT in a table with that key: that there is no such item.
func IfAbsent(key item.KeySchema) (*item.Condition, error) {
	return (&expression{operation: call, word: "attribute_not_exists", args: []*expression{
		{operation: path, path: item.Path{{Name: key.Hash.Name, Index: -1}}},
	}}).conditioned()
}
