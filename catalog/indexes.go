package catalog

import (
	"context"
	"slices"

	"holdfast"
	"holdfast/item"
)

// alterIndexes adds or removes an index: only one at a time.
func (r *Table) alterIndexes(a *Alteration) error {
	changed := 0
	for _, c := range a.Indexes {
		if c.Create != nil || c.Delete != "" {
			changed++
		}
	}
	if changed > 1 || len(a.Indexes) > 5 && changed > 0 {
		return holdfast.Errorf(holdfast.Limit,
			"Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table")
	}
	if err := r.define(a.Attributes); err != nil {
		return err
	}
	for _, c := range a.Indexes {
		var err error
		switch {
		case c.Create != nil:
			err = r.createIndex(*c.Create)
		case c.Delete != "":
			err = r.deleteIndex(c.Delete)
		}
		if err != nil {
			return err
		}
	}
	return r.undefine(a.Attributes)
}

func (r *Table) createIndex(d IndexDefinition) error {
	if r.Index(d.Index.Name) != nil {
		return invalid("Attempting to create an index which already exists")
	}
	if r.Table.Billing == Provisioned && (d.Throughput.Read < 1 || d.Throughput.Write < 1) {
		return invalid("One or more parameter values were invalid: ProvisionedThroughput must be specified for index: %s",
			d.Index.Name)
	}
	d.Index.Local = false
	return r.addIndex(d, Creating)
}

func (r *Table) deleteIndex(name string) error {
	x := r.Index(name)
	if x == nil || x.Index.Local {
		return holdfast.Errorf(holdfast.NotFound, "Requested resource not found")
	}
	x.Status, x.Backfilling = Deleting, false
	return nil
}

// Entries returns the indexes that have entries or are being filled: all but those that are being
// removed.
func (r *Table) Entries() (all []item.Index) {
	for _, x := range r.Table.Indexes {
		if x.Status != Deleting {
			all = append(all, x.Index)
		}
	}
	return all
}

// Placed returns where the entries of a global index are, or nil.
func (r *Table) Placed(id uint32) *GlobalIndex {
	for i := range r.Global {
		if r.Global[i].ID == id {
			return &r.Global[i]
		}
	}
	return nil
}

// PlaceIndexes gives each global index that is to have entries, and has no shards yet, a space and
// shards, as many as its table has. It is called between Lock and Unlock, with a record that can be
// changed. It reports whether there were any.
func (c *Catalog) PlaceIndexes(ctx context.Context, r *Table) (placed bool, err error) {
	for _, x := range r.Entries() {
		if x.Local || r.Placed(x.ID) != nil {
			continue
		}
		g := GlobalIndex{ID: x.ID}
		if g.Space, g.Shards, err = c.NewSpace(ctx, Even(max(1, len(r.Shards)))); err != nil {
			return placed, err
		}
		r.Global, placed = append(r.Global, g), true
	}
	return placed, nil
}

// RemoveIndex takes out an index whose entries have been removed.
func (r *Table) RemoveIndex(id uint32) {
	r.Table.Indexes = slices.DeleteFunc(r.Table.Indexes, func(x IndexDescription) bool { return x.Index.ID == id })
	r.Global = slices.DeleteFunc(r.Global, func(x GlobalIndex) bool { return x.ID == id })
	_ = r.undefine(nil) // fails for given attributes alone
}

// define adds definitions of attributes. One that is part of a key keeps its type.
func (r *Table) define(attributes []item.KeyAttr) error {
	for _, a := range attributes {
		i := slices.IndexFunc(r.Table.Attributes, func(d item.KeyAttr) bool { return d.Name == a.Name })
		if i < 0 {
			r.Table.Attributes = append(r.Table.Attributes, a)
		} else if r.Table.Attributes[i].Type != a.Type {
			return r.Table.redefined(r.Table.Attributes[i], a)
		}
	}
	return nil
}

// redefined is DynamoDB's error for an attribute that is defined again with another type. It names
// the role of the attribute.
func (d *Description) redefined(was, a item.KeyAttr) error {
	role := "RANGE"
	hash := func(key item.IndexKey) bool {
		return slices.ContainsFunc(key.Hash, func(k item.KeyAttr) bool { return k.Name == a.Name })
	}
	if hash(d.Key.Index()) || slices.ContainsFunc(d.Indexes,
		func(x IndexDescription) bool { return hash(x.Index.Key) }) {
		role = "HASH"
	}
	return invalid("One or more parameter values were invalid: Attributes cannot be redefined. Please check that your "+
		"attribute has the "+
		"same type as previously defined. Existing schema: Schema:[SchemaElement: key{%s:%s:%s}] New schema: "+
		"Schema:[SchemaElement: key{%s:%s:%s}]",
		a.Name, was.Type, role, a.Name, a.Type, role)
}

// undefine removes the definitions of attributes that no key has any more. It is an error if one of
// those just given is among them.
func (r *Table) undefine(given []item.KeyAttr) error {
	used := r.Table.keyNames()
	for _, a := range given {
		if !slices.Contains(used, a.Name) {
			return invalid("One or more parameter values were invalid: Some AttributeDefinitions are not used. "+
				"AttributeDefinitions: %s, "+
				"keys used: %s", list(attrNames(given)), list(used))
		}
	}
	r.Table.Attributes = slices.DeleteFunc(r.Table.Attributes,
		func(a item.KeyAttr) bool { return !slices.Contains(used, a.Name) })
	return nil
}
