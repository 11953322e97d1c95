package dynamodb

import (
	"slices"

	"holdfast/catalog"
	"holdfast/item"
)

// alteration builds a table's alteration from an UpdateTable. It checks what can be checked without
// the table.
func alteration(req node) (catalog.Alteration, error) {
	a := catalog.Alteration{Table: tableName(req), Attributes: attributeDefinitions(req)}
	if err := definedOnce(a.Attributes); err != nil {
		return a, err
	}
	for _, step := range [...]func(node, *catalog.Alteration) error{alterThroughput, alterIndexes, alterSettings} {
		if err := step(req, &a); err != nil {
			return a, err
		}
	}
	return a, nil
}

// alterable are the members of which an UpdateTable must have at least one.
var alterable = [...]string{
	"ProvisionedThroughput", "BillingMode", "StreamSpecification", "SSESpecification", "ReplicaUpdates", "TableClass",
	"DeletionProtectionEnabled", "OnDemandThroughput", "WarmThroughput",
}

func alterThroughput(req node, a *catalog.Alteration) error {
	if !hasAny(req, alterable[:]) && req.get("GlobalSecondaryIndexUpdates").len() == 0 {
		return invalid("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, " +
			"GlobalSecondaryIndexUpdates or " +
			"SSESpecification or ReplicaUpdates is required")
	}
	units := req.get("ProvisionedThroughput")
	switch req.get("BillingMode").text() {
	case "PROVISIONED":
		billing := catalog.Provisioned
		a.Billing = &billing
		if units.kind() == absent {
			return refuse("ProvisionedThroughput must be specified when BillingMode is PROVISIONED")
		}
	case "PAY_PER_REQUEST":
		billing := catalog.OnDemand
		a.Billing = &billing
	}
	if req.has("OnDemandThroughput") {
		limit := onDemandLimit(req)
		a.OnDemandLimit = &limit
	}
	if req.has("WarmThroughput") {
		warm := warmThroughput(req)
		a.Warm = &warm
	}
	if units.kind() == absent {
		return nil
	}
	t, err := throughput(units)
	a.Throughput = &t
	return err
}

func alterIndexes(req node, a *catalog.Alteration) error {
	var (
		err   error
		names []string
	)
	req.get("GlobalSecondaryIndexUpdates").each(func(_ string, u node) bool {
		var (
			x    catalog.IndexAlteration
			name string
		)
		if x, name, err = indexAlteration(u, a.Attributes); err != nil {
			return false
		}
		if slices.Contains(names, name) {
			err = refuse("Only one global secondary index update per index is allowed simultaneously. Index: %s", name)
			return false
		}
		names = append(names, name)
		a.Indexes = append(a.Indexes, x)
		return true
	})
	return err
}

// indexAlteration parses a GlobalSecondaryIndexUpdate, and returns the name of its index.
func indexAlteration(u node, attributes []item.KeyAttr) (x catalog.IndexAlteration, name string, err error) {
	update, create, remove := u.get("Update"), u.get("Create"), u.get("Delete")
	if len(present(u, []string{"Update", "Create", "Delete"})) > 1 {
		return x, "", refuse("Only one of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, " +
			"GlobalSecondaryIndexUpdate.Delete must be specified")
	}
	switch {
	case update.kind() != absent:
		name = update.get("IndexName").text()
		x.Update = &catalog.IndexUpdate{Name: name}
		// DynamoDB checks these values' limits only once it has found the table.
		if units := update.get("ProvisionedThroughput"); units.kind() != absent {
			x.Update.Throughput = &catalog.Throughput{
				Read:  units.get("ReadCapacityUnits").int(),
				Write: units.get("WriteCapacityUnits").int(),
			}
		}
		if update.has("OnDemandThroughput") {
			limit := onDemandLimit(update)
			x.Update.OnDemandLimit = &limit
		}
		if update.has("WarmThroughput") {
			warm := warmThroughput(update)
			x.Update.Warm = &warm
		}
	case create.kind() != absent:
		name = create.get("IndexName").text()
		// The request must define the key's attributes, even those that the table already has.
		_, names := keyElements(create.get("KeySchema"))
		if err = (&definer{attributes: attributes}).defined(names); err == nil {
			x.Create, err = newIndex(create, attributes, false)
		}
	case remove.kind() != absent:
		name = remove.get("IndexName").text()
		x.Delete = name
	default:
		err = refuse("One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, " +
			"GlobalSecondaryIndexUpdate.Delete must not be null")
	}
	return x, name, err
}

// newIndex parses an index that is to be added. Its key's attributes have the types in attributes;
// those that are missing there have no type.
func newIndex(create node, attributes []item.KeyAttr, local bool) (*catalog.IndexDefinition, error) {
	d := &catalog.IndexDefinition{Index: item.Index{Name: create.get("IndexName").text(), Local: local}}
	elements, _ := keyElements(create.get("KeySchema"))
	var err error
	if d.Index.Key, err = indexKey(elements, attributes, local); err != nil {
		return nil, err
	}
	if err := setProjection(create.get("Projection"), &d.Index); err != nil {
		return nil, err
	}
	d.OnDemandLimit, d.Warm = onDemandLimit(create), warmThroughput(create)
	if units := create.get("ProvisionedThroughput"); units.kind() != absent {
		d.Throughput, err = throughput(units)
	}
	return d, err
}

func alterSettings(req node, a *catalog.Alteration) error {
	if req.has("ReplicaUpdates") {
		return refuse("Global tables are not supported")
	}
	view, given, err := streamView(req)
	if err != nil {
		return err
	}
	if given {
		a.Stream = &view
	}
	if v := req.get("DeletionProtectionEnabled"); v.kind() != absent {
		on := truth(v)
		a.DeletionProtection = &on
	}
	if v := req.get("TableClass"); v.kind() != absent {
		class := v.text()
		a.Class = &class
	}
	if v := req.get("SSESpecification"); v.kind() != absent {
		kind := encryption(v)
		a.Encryption = &kind
	}
	return nil
}
