package table

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"holdfast"
	"holdfast/item"
)

// notSchema is the message for a key that doesn't have the attributes of the schema with their
// types.
const notSchema = "The provided key element does not match the schema"

// indexesGlobalFirst returns the indexes in the order in which DynamoDB checks them.
func (t *live) indexesGlobalFirst() []*item.Index {
	all := make([]*item.Index, 0, len(t.entries))
	for _, local := range []bool{false, true} {
		for i := range t.entries {
			if x := &t.entries[i]; x.Local == local {
				all = append(all, x)
			}
		}
	}
	return all
}

// checkIndexed returns an error unless all indexes can take an item.
func (t *live) checkIndexed(it item.Item) error {
	for _, x := range t.indexesGlobalFirst() {
		if err := x.Check(it); err != nil {
			return err
		}
	}
	return nil
}

// checkNested returns an error if an expression addresses something inside of a key attribute of
// the table or of an index. names are the attributes inside of which the expression addresses
// something.
func (t *live) checkNested(names []string) error {
	if len(names) == 0 {
		return nil
	}
	refused := func(role, name string) error {
		return invalid("Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: %s: %s",
			role, name)
	}
	for _, name := range t.schema.Key.Names() {
		if slices.Contains(names, name) {
			return refused("Key", name)
		}
	}
	for _, x := range t.indexesGlobalFirst() {
		for _, name := range x.Key.Names() {
			if slices.Contains(names, name) {
				return refused("IndexKey", name)
			}
		}
	}
	return nil
}

// checkFiltered returns an error if a query's filter reads attributes of the key.
func checkFiltered(filter *item.Condition, key item.IndexKey) error {
	names := filter.Names()
	for _, name := range key.Names() {
		if slices.Contains(names, name) {
			return invalid("%s can only contain non-primary key attributes: Primary key attribute: %s",
				cmp.Or(filter.Legacy(), "Filter Expression"), name)
		}
	}
	return nil
}

// readIndex finds the index that a query or scan names; "" is none.
func (t *live) readIndex(name string, consistent bool) (*item.Index, error) {
	if name == "" {
		return nil, nil
	}
	x, active, ok := t.index(name)
	switch {
	case !ok:
		return nil, invalid("The table does not have the specified index: %s", name)
	case !x.Local && consistent:
		return nil, invalid("Consistent reads are not supported on global secondary indexes")
	case !active:
		return nil, invalid("Cannot read from backfilling global secondary index: %s", name)
	}
	return x, nil
}

// checkSelect returns an error unless an index has what is selected. A local index always does:
// what its entries lack is read from the table.
func (t *live) checkSelect(x *item.Index, sel Select, p *item.Projection) error {
	if x == nil || x.Local || x.Project == item.ProjectAll {
		return nil
	}
	if sel == SelectAll {
		return invalid("One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global "+
			"secondary index %s because its projection type is not ALL", x.Name)
	}
	if missing := t.notHeld(x, p.Names()); len(missing) > 0 {
		return invalid("One or more parameter values were invalid: Global secondary index %s does not project [%s]",
			x.Name, strings.Join(missing, ", "))
	}
	return nil
}

// checkFilterHeld returns an error unless an index, which may be nil, holds what a query's filter
// reads. A scan may filter by anything.
func (t *live) checkFilterHeld(x *item.Index, filter *item.Condition) error {
	if x == nil || x.Project == item.ProjectAll {
		return nil
	}
	if missing := t.notHeld(x, filter.Names()); len(missing) > 0 {
		return invalid("One or more parameter values were invalid: Secondary index %s does not project one or more filter "+
			"attributes: [%s]", x.Name, strings.Join(missing, ", "))
	}
	return nil
}

// notHeld returns those of the names that an index's entries don't hold.
func (t *live) notHeld(x *item.Index, names []string) []string {
	held := func(name string) bool { return x.Holds(name) || t.schema.Key.Has(name) }
	return slices.DeleteFunc(slices.Clone(names), held)
}

// startNames returns the attributes of an exclusive start key: those of the table's key, then those
// of the index's.
func (t *live) startNames(x *item.Index) []string {
	names := t.schema.Key.Names()
	if x == nil {
		return names
	}
	names = slices.Clone(names)
	for _, name := range x.Key.Names() {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// checkStartPart returns an error unless a start has the attributes of a part of a key with their
// types.
func checkStartPart(start item.Item, part []item.KeyAttr) error {
	for _, a := range part {
		v, ok := start.Get(a.Name)
		if !ok {
			return invalid("The provided starting key is invalid")
		}
		if v.Type != a.Type {
			return invalid(notSchema)
		}
	}
	return nil
}

// startKey returns the key of a start. The caller has counted its attributes and, for an index,
// checked each part.
func (t *live) startKey(x *item.Index, start item.Item) (item.Key, error) {
	key, err := t.schema.Key.Exact(start.Only(t.schema.Key.Names()...))
	if err == nil && x != nil {
		key, err = x.EntryKey(t.schema.Key, start)
	}
	var ours *holdfast.Error
	if errors.As(err, &ours) {
		return nil, invalid("The provided starting key is invalid: %s", ours.Text)
	}
	return key, err
}

// matchesRange reports whether the condition allows a sort key.
func matchesRange(c *item.RangeCondition, v item.Value) bool {
	if c.Op == item.BeginsWith {
		return v.Type == c.Low.Type && strings.HasPrefix(v.Text, c.Low.Text)
	}
	cmp, ok := v.Compare(c.Low)
	if !ok {
		return false
	}
	switch c.Op {
	case item.EQ:
		return cmp == 0
	case item.LT:
		return cmp < 0
	case item.LE:
		return cmp <= 0
	case item.GT:
		return cmp > 0
	case item.GE:
		return cmp >= 0
	default: // item.Between
		high, ok := v.Compare(c.High)
		return ok && cmp >= 0 && high <= 0
	}
}
