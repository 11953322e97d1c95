package catalog

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"holdfast"
	"holdfast/item"
)

// Limits of tables.
const (
	MaxTags          = 50
	maxGlobalIndexes = 20
	maxLocalIndexes  = 5
)

// NewTable returns the record of a new table without shards, with its indexes in that status.
func NewTable(d Definition, attributes []item.KeyAttr, indexes Status, now time.Time) (*Table, error) {
	r := &Table{NextIndex: 1, Table: Description{
		Definition: d, ID: uuid.NewString(), Created: Milliseconds(now), Attributes: slices.Clone(attributes),
	}}
	r.Table.Definition.Indexes = nil
	r.Table.Definition.Tags = maps.Clone(d.Tags)
	if d.Billing == OnDemand {
		r.Table.LastOnDemand = r.Table.Created
	}
	if err := r.Table.resolve(r.Table.Key.Names(), &r.Table.Key.Hash, &r.Table.Key.Range); err != nil {
		return nil, err
	}
	for _, x := range d.Indexes {
		if err := r.addIndex(x, indexes); err != nil {
			return nil, err
		}
	}
	if err := r.CheckTags(); err != nil {
		return nil, err
	}
	return r, r.checkAttributes()
}

// resolveIndex gives the attributes of an index's key their types.
func (d *Description) resolveIndex(key *item.IndexKey) error {
	key.Hash, key.Range = slices.Clone(key.Hash), slices.Clone(key.Range)
	var attrs []*item.KeyAttr
	for _, part := range [...][]item.KeyAttr{key.Hash, key.Range} {
		for i := range part {
			attrs = append(attrs, &part[i])
		}
	}
	return d.resolve(key.Names(), attrs...)
}

// resolve gives the attributes of a key with those names the types that they are defined with.
func (d *Description) resolve(names []string, attrs ...*item.KeyAttr) error {
	for _, a := range attrs {
		if a.Name == "" {
			continue
		}
		i := slices.IndexFunc(d.Attributes, func(defined item.KeyAttr) bool { return defined.Name == a.Name })
		if i < 0 {
			return invalid("One or more parameter values were invalid: Some index key attributes are not defined in "+
				"AttributeDefinitions. Keys: %s, AttributeDefinitions: %s", list(names), list(attrNames(d.Attributes)))
		}
		a.Type = d.Attributes[i].Type
	}
	return nil
}

// addIndex adds an index to the record and gives it its ID.
func (r *Table) addIndex(d IndexDefinition, status Status) error {
	if r.Index(d.Index.Name) != nil {
		return invalid("One or more parameter values were invalid: Duplicate index name: %s", d.Index.Name)
	}
	if err := r.Table.resolveIndex(&d.Index.Key); err != nil {
		return err
	}
	if err := checkParts(&d.Index); err != nil {
		return err
	}
	if d.Index.Local && d.Index.Key.Hash[0].Name != r.Table.Key.Hash.Name {
		return invalid("One or more parameter values were invalid: Index KeySchema does not have the same leading hash key "+
			"as table "+
			"KeySchema for index: %s. index hash key: %s, table hash key: %s", d.Index.Name, d.Index.Key.Hash[0].Name,
			r.Table.Key.Hash.Name)
	}
	count := 1
	for _, x := range r.Table.Indexes {
		if x.Index.Local == d.Index.Local {
			count++
		}
	}
	if d.Index.Local && count > maxLocalIndexes {
		return invalid("One or more parameter values were invalid: Number of LocalSecondaryIndexes exceeds per-table limit "+
			"of %d", maxLocalIndexes)
	}
	if !d.Index.Local && count > maxGlobalIndexes {
		return invalid("One or more parameter values were invalid: GlobalSecondaryIndex count exceeds the per-table limit "+
			"of %d", maxGlobalIndexes)
	}
	d.Index.ID = r.NextIndex
	d.Index.Attrs = slices.Clone(d.Index.Attrs)
	r.NextIndex++
	r.Table.Indexes = append(r.Table.Indexes, IndexDescription{IndexDefinition: d, Status: status,
		Backfilling: status == Creating})
	return nil
}

// checkParts returns an error unless the key of an index has as many attributes as it may.
func checkParts(x *item.Index) error {
	limit := item.MaxKeyAttrs
	if x.Local {
		limit = 1
	}
	for i, part := range [...][]item.KeyAttr{x.Key.Hash, x.Key.Range} {
		if len(part) > limit {
			return invalid("One or more parameter values were invalid: Index KeySchema has %d %s key attributes, but at most "+
				"%d are "+
				"supported for index: %s", len(part), [...]string{"HASH", "RANGE"}[i], limit, x.Name)
		}
	}
	if len(x.Key.Hash) == 0 {
		return invalid("One or more parameter values were invalid: Index KeySchema does not have a hash key for index: %s",
			x.Name)
	}
	return nil
}

// checkAttributes returns an error unless all attributes that are defined are part of a key.
func (r *Table) checkAttributes() error {
	used := r.Table.keyNames()
	for _, a := range r.Table.Attributes {
		if !slices.Contains(used, a.Name) {
			return invalid("One or more parameter values were invalid: Some AttributeDefinitions are not used. "+
				"AttributeDefinitions: %s, "+
				"keys used: %s", list(attrNames(r.Table.Attributes)), list(used))
		}
	}
	return nil
}

// keyNames returns the names of all attributes that are part of a key, sorted.
func (d *Description) keyNames() []string {
	used := slices.Clone(d.Key.Names())
	for _, x := range d.Indexes {
		used = append(used, x.Index.Key.Names()...)
	}
	slices.Sort(used)
	return slices.Compact(used)
}

func attrNames(attributes []item.KeyAttr) []string {
	all := make([]string, len(attributes))
	for i, a := range attributes {
		all[i] = a.Name
	}
	return all
}

// list prints names as DynamoDB's messages do.
func list(names []string) string { return "[" + strings.Join(names, ", ") + "]" }

// Milliseconds truncates a time to Milliseconds, the precision of DynamoDB's responses and labels.
func Milliseconds(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// CheckTags returns an error if the table has too many tags.
func (r *Table) CheckTags() error {
	if len(r.Table.Tags) > MaxTags {
		return invalid("One or more parameter values were invalid: Too many tags: %d; a table can have %d",
			len(r.Table.Tags), MaxTags)
	}
	return nil
}

// invalid returns a ValidationException of DynamoDB.
func invalid(format string, args ...any) error {
	return holdfast.Errorf(holdfast.Invalid, format, args...)
}
