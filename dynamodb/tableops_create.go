package dynamodb

import (
	"slices"
	"strings"

	"holdfast/catalog"
	"holdfast/item"
)

// maxUnits is the largest throughput that a request can ask for, in units per second.
const maxUnits = 1_000_000_000_000

// Limits of a table's indexes.
const (
	maxLocalIndexes  = 5
	maxGlobalIndexes = 20
	maxProjected     = 100 // attributes that all indexes together project by name (INCLUDE)
)

// refuse returns a ValidationException for parameters that have the right shape but invalid values.
func refuse(format string, args ...any) error {
	return invalid("One or more parameter values were invalid: "+format, args...)
}

// A definer builds a table's definition from a CreateTable. It checks what can be checked without
// the table, in DynamoDB's order: throughput, the table's key, local indexes, global indexes.
type definer struct {
	req        node
	d          catalog.Definition
	attributes []item.KeyAttr // AttributeDefinitions
	projected  int            // number of attributes that the indexes so far project by name
}

func definition(req node) (catalog.Definition, []item.KeyAttr, error) {
	f := definer{req: req, d: catalog.Definition{Name: tableName(req)}}
	f.attributes = attributeDefinitions(req)
	if err := definedOnce(f.attributes); err != nil {
		return catalog.Definition{}, nil, err
	}
	for _, step := range [...]func() error{f.throughput, f.key, f.localIndexes, f.globalIndexes, f.settings} {
		if err := step(); err != nil {
			return catalog.Definition{}, nil, err
		}
	}
	return f.d, f.attributes, nil
}

func attributeDefinitions(req node) []item.KeyAttr {
	var attributes []item.KeyAttr
	req.get("AttributeDefinitions").each(func(_ string, a node) bool {
		t, _ := item.TypeOf(a.get("AttributeType").text())
		attributes = append(attributes, item.KeyAttr{Name: a.get("AttributeName").text(), Type: t})
		return true
	})
	return attributes
}

func (f *definer) throughput() error {
	units := f.req.get("ProvisionedThroughput")
	if f.req.get("BillingMode").text() == "PAY_PER_REQUEST" {
		f.d.Billing = catalog.OnDemand
		if units.kind() != absent {
			return refuse("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is " +
				"PAY_PER_REQUEST")
		}
		f.d.OnDemandLimit = onDemandLimit(f.req)
		return nil
	}
	if units.kind() == absent {
		return refuse("ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	}
	var err error
	f.d.Throughput, err = throughput(units)
	return err
}

// throughput parses a ProvisionedThroughput.
func throughput(units node) (catalog.Throughput, error) {
	t := catalog.Throughput{Read: units.get("ReadCapacityUnits").int(), Write: units.get("WriteCapacityUnits").int()}
	if t.Read > maxUnits {
		return t, invalid("Given value %d for ReadCapacityUnits is out of bounds", t.Read)
	}
	if t.Write > maxUnits {
		return t, invalid("Given value %d for WriteCapacityUnits is out of bounds", t.Write)
	}
	return t, nil
}

// onDemandLimit returns the OnDemandThroughput of a table or index; 0, which is no limit, where it
// is absent.
func onDemandLimit(req node) catalog.Throughput { return unitsLimit(req.get("OnDemandThroughput")) }

// warmThroughput returns the WarmThroughput of a table or index; 0 where it is absent.
func warmThroughput(req node) catalog.Throughput {
	units := req.get("WarmThroughput")
	of := func(name string) int64 {
		if n := units.get(name); n.kind() != absent {
			return n.int()
		}
		return 0
	}
	return catalog.Throughput{Read: of("ReadUnitsPerSecond"), Write: of("WriteUnitsPerSecond")}
}

func unitsLimit(units node) catalog.Throughput {
	limit := func(name string) int64 {
		if n := units.get(name); n.kind() != absent {
			return n.int()
		}
		return 0
	}
	return catalog.Throughput{Read: limit("MaxReadRequestUnits"), Write: limit("MaxWriteRequestUnits")}
}

// A keyElement is an attribute of a KeySchema.
type keyElement struct{ name, role string }

func keyElements(schema node) (elements []keyElement, names []string) {
	schema.each(func(_ string, e node) bool {
		k := keyElement{e.get("AttributeName").text(), e.get("KeyType").text()}
		elements, names = append(elements, k), append(names, k.name)
		return true
	})
	return elements, names
}

func (f *definer) key() error {
	elements, names := keyElements(f.req.get("KeySchema"))
	if len(names) > len(f.attributes) {
		return invalid("Invalid KeySchema: Some index key attribute have no definition")
	}
	if err := f.defined(names); err != nil {
		return err
	}
	var err error
	if f.d.Key, err = keySchema(elements, f.attributes); err != nil {
		return err
	}
	indexes := f.req.has("LocalSecondaryIndexes") || f.req.has("GlobalSecondaryIndexes")
	if !indexes && len(names) != len(f.attributes) {
		return refuse("Number of attributes in KeySchema does not exactly match number of attributes defined in " +
			"AttributeDefinitions")
	}
	return nil
}

// defined checks that all attributes of a key are defined.
func (f *definer) defined(keys []string) error {
	defined := make([]string, len(f.attributes))
	for i, a := range f.attributes {
		defined[i] = a.Name
	}
	for _, k := range keys {
		if !slices.Contains(defined, k) {
			return refuse("Some index key attributes are not defined in AttributeDefinitions. Keys: [%s], "+
				"AttributeDefinitions: [%s]",
				strings.Join(keys, ", "), strings.Join(defined, ", "))
		}
	}
	return nil
}

// keySchema builds a table's key from its one or two elements. Undefined attributes have no type.
func keySchema(elements []keyElement, attributes []item.KeyAttr) (item.KeySchema, error) {
	var key item.KeySchema
	if err := checkElements(elements); err != nil {
		return key, err
	}
	if len(elements) > 1 && elements[1].role != "RANGE" {
		return key, invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
	}
	key.Hash = keyAttr(elements[0].name, attributes)
	if len(elements) > 1 {
		key.Range = keyAttr(elements[1].name, attributes)
	}
	return key, nil
}

func keyAttr(name string, attributes []item.KeyAttr) item.KeyAttr {
	for _, a := range attributes {
		if a.Name == name {
			return a
		}
	}
	return item.KeyAttr{Name: name}
}

func (f *definer) localIndexes() error {
	indexes := f.req.get("LocalSecondaryIndexes")
	if indexes.kind() == absent {
		return nil
	}
	if indexes.len() == 0 {
		return refuse("List of LocalSecondaryIndexes is empty")
	}
	if f.d.Key.Range.Name == "" {
		return refuse("Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex")
	}
	var err error
	indexes.each(func(_ string, x node) bool {
		err = f.index(x, true)
		return err == nil
	})
	if err == nil && indexes.len() > maxLocalIndexes {
		err = refuse("Number of LocalSecondaryIndexes exceeds per-table limit of %d", maxLocalIndexes)
	}
	return err
}

// local checks the rules for a local index's key, beside those for all keys.
func (f *definer) local(x *item.Index) error {
	if len(x.Key.Range) == 0 {
		return refuse("Index KeySchema does not have a range key for index: %s", x.Name)
	}
	if x.Key.Hash[0].Name != f.d.Key.Hash.Name {
		return refuse("Index KeySchema does not have the same leading hash key as table KeySchema for index: %s. "+
			"index hash key: %s, table hash key: %s", x.Name, x.Key.Hash[0].Name, f.d.Key.Hash.Name)
	}
	return nil
}

func (f *definer) globalIndexes() error {
	indexes := f.req.get("GlobalSecondaryIndexes")
	if indexes.kind() == absent {
		return nil
	}
	if indexes.len() == 0 {
		return refuse("List of GlobalSecondaryIndexes is empty")
	}
	var err error
	indexes.each(func(_ string, x node) bool {
		err = f.index(x, false)
		return err == nil
	})
	if err == nil && indexes.len() > maxGlobalIndexes {
		err = refuse("GlobalSecondaryIndex count exceeds the per-table limit of %d", maxGlobalIndexes)
	}
	return err
}

// setIndexThroughput sets a global index's throughput, which depends on its table's billing mode.
func setIndexThroughput(x node, d *catalog.IndexDefinition, billing catalog.Billing) error {
	units := x.get("ProvisionedThroughput")
	if billing == catalog.OnDemand {
		if units.kind() != absent {
			return refuse("ProvisionedThroughput should not be specified for index: %s when BillingMode is PAY_PER_REQUEST",
				d.Index.Name)
		}
		d.OnDemandLimit = onDemandLimit(x)
		return nil
	}
	if units.kind() == absent {
		return refuse("ProvisionedThroughput must be specified for index: %s", d.Index.Name)
	}
	var err error
	d.Throughput, err = throughput(units)
	return err
}

// index adds an index.
func (f *definer) index(x node, local bool) error {
	d := catalog.IndexDefinition{Index: item.Index{Name: x.get("IndexName").text(), Local: local}}
	elements, names := keyElements(x.get("KeySchema"))
	if err := f.defined(names); err != nil {
		return err
	}
	var err error
	if d.Index.Key, err = indexKey(elements, f.attributes, local); err != nil {
		return err
	}
	if local {
		err = f.local(&d.Index)
	}
	if err == nil {
		err = setProjection(x.get("Projection"), &d.Index)
	}
	if err == nil && !local {
		d.Warm = warmThroughput(x)
		err = setIndexThroughput(x, &d, f.d.Billing)
	}
	if err != nil {
		return err
	}
	for i := range f.d.Indexes {
		if f.d.Indexes[i].Index.Name == d.Index.Name {
			return refuse("Duplicate index name: %s", d.Index.Name)
		}
	}
	if f.projected += len(d.Index.Attrs); f.projected > maxProjected {
		return refuse("Number of NonKeyAttributes of all indexes exceeds the per-table limit of %d", maxProjected)
	}
	f.d.Indexes = append(f.d.Indexes, d)
	return nil
}

// setProjection sets which attributes an index's entries hold.
func setProjection(p node, x *item.Index) error {
	kind, attrs := p.get("ProjectionType").text(), p.get("NonKeyAttributes")
	switch kind {
	case "":
		return refuse("Unknown ProjectionType: null")
	case "INCLUDE":
		x.Project = item.ProjectSome
	case "ALL":
		x.Project = item.ProjectAll
	default:
		x.Project = item.ProjectKeys
	}
	if kind != "INCLUDE" {
		if attrs.kind() != absent {
			return refuse("ProjectionType is %s, but NonKeyAttributes is specified", kind)
		}
		return nil
	}
	if attrs.kind() == absent {
		return refuse("ProjectionType is %s, but NonKeyAttributes is not specified", kind)
	}
	var err error
	attrs.each(func(_ string, a node) bool {
		if slices.Contains(x.Attrs, a.text()) {
			err = refuse("Duplicate attribute name in NonKeyAttributes of index %s: %s", x.Name, a.text())
		}
		x.Attrs = append(x.Attrs, a.text())
		return err == nil
	})
	return err
}

// settings reads the members beside keys, indexes and throughput.
func (f *definer) settings() error {
	view, _, err := streamView(f.req)
	if err != nil {
		return err
	}
	f.d.Stream = view
	f.d.Tags, err = tagsOf(f.req.get("Tags"))
	f.d.Warm = warmThroughput(f.req)
	f.d.DeletionProtection = truth(f.req.get("DeletionProtectionEnabled"))
	f.d.Class = f.req.get("TableClass").text()
	f.d.Encryption = encryption(f.req.get("SSESpecification"))
	return err
}

// encryption returns an SSESpecification: "KMS" if it is enabled.
func encryption(spec node) string {
	if truth(spec.get("Enabled")) {
		return "KMS"
	}
	return ""
}

var views = [...]struct {
	name string
	view catalog.View
}{
	{"KEYS_ONLY", catalog.KeysOnly},
	{"NEW_IMAGE", catalog.NewImage},
	{"OLD_IMAGE", catalog.OldImage},
	{"NEW_AND_OLD_IMAGES", catalog.NewAndOldImages},
}

func viewName(v catalog.View) string {
	for _, known := range views {
		if known.view == v {
			return known.name
		}
	}
	return ""
}

// streamView returns a StreamSpecification's view; 0 is no stream. given is whether there is a
// specification.
func streamView(req node) (view catalog.View, given bool, err error) {
	spec := req.get("StreamSpecification")
	if spec.kind() == absent {
		return 0, false, nil
	}
	name := spec.get("StreamViewType").text()
	if !truth(spec.get("StreamEnabled")) {
		if name != "" {
			return 0, true, refuse("StreamViewType cannot be specified when StreamEnabled is false")
		}
		return 0, true, nil
	}
	for _, known := range views {
		if known.name == name {
			return known.view, true, nil
		}
	}
	return 0, true, refuse("StreamViewType must be specified when StreamEnabled is true")
}
