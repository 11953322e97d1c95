package dynamodb

import (
	"context"
	"net"

	"holdfast/catalog"
	"holdfast/table"
)

// tableOps are the operations on tables as a whole, and on their tags.
type tableOps struct {
	tables  *table.Store
	account account
}

func (o *tableOps) operations() []operation {
	return []operation{
		{"CreateTable", shapeCreateTable, o.createTable},
		{"DescribeTable", shapeDescribeTable, o.describeTable},
		{"ListTables", shapeListTables, o.listTables},
		{"UpdateTable", shapeUpdateTable, o.updateTable},
		{"DeleteTable", shapeDeleteTable, o.deleteTable},
		{"DescribeTimeToLive", shapeDescribeTimeToLive, o.describeTimeToLive},
		{"UpdateTimeToLive", shapeUpdateTimeToLive, o.updateTimeToLive},
		{"TagResource", shapeTagResource, o.tagResource},
		{"UntagResource", shapeUntagResource, o.untagResource},
		{"ListTagsOfResource", shapeListTagsOfResource, o.listTagsOfResource},
		{"DescribeLimits", shapeDescribeLimits, o.describeLimits},
		{"DescribeEndpoints", shapeDescribeEndpoints, o.describeEndpoints},
	}
}

func (o *tableOps) createTable(ctx context.Context, req node, w *writer) error {
	d, attributes, err := definition(req)
	if err != nil {
		return err
	}
	made, err := o.tables.Create(ctx, d, attributes)
	if err != nil {
		return err
	}
	writeTable(w, o.account, &made)
	return nil
}

func (o *tableOps) describeTable(_ context.Context, req node, w *writer) error {
	d, err := o.tables.Describe(tableName(req))
	if err != nil {
		return err
	}
	writeDescribed(w, o.account, &d)
	return nil
}

// maxNames is the most table names that a page of ListTables has.
const maxNames = 100

func (o *tableOps) listTables(_ context.Context, req node, w *writer) error {
	limit := maxNames
	if n := req.get("Limit"); n.kind() != absent {
		limit = int(n.int())
	}
	names, more := o.tables.List(req.get("ExclusiveStartTableName").text(), limit)
	w.beginObject()
	if more && len(names) > 0 {
		w.strField("LastEvaluatedTableName", names[len(names)-1])
	}
	w.name("TableNames")
	w.strings(names)
	w.endObject()
	return nil
}

func (o *tableOps) updateTable(ctx context.Context, req node, w *writer) error {
	a, err := alteration(req)
	if err != nil {
		return err
	}
	d, err := o.tables.Alter(ctx, a)
	if err != nil {
		return err
	}
	writeTable(w, o.account, &d)
	return nil
}

func (o *tableOps) deleteTable(ctx context.Context, req node, w *writer) error {
	d, err := o.tables.Remove(ctx, tableName(req))
	if err != nil {
		return err
	}
	writeDeleted(w, o.account, &d)
	return nil
}

func (o *tableOps) describeTimeToLive(_ context.Context, req node, w *writer) error {
	ttl, err := o.tables.TTL(tableName(req))
	if err != nil {
		return err
	}
	w.beginObject()
	writeTTL(w, ttl)
	w.endObject()
	return nil
}

func writeTTL(w *writer, ttl catalog.TTL) {
	w.name("TimeToLiveDescription")
	w.beginObject()
	if ttl.On {
		w.strField("TimeToLiveStatus", "ENABLED")
		w.strField("AttributeName", ttl.Attr)
	} else {
		w.strField("TimeToLiveStatus", "DISABLED")
	}
	w.endObject()
}

func (o *tableOps) updateTimeToLive(ctx context.Context, req node, w *writer) error {
	spec := req.get("TimeToLiveSpecification")
	ttl := catalog.TTL{Attr: spec.get("AttributeName").text(), On: truth(spec.get("Enabled"))}
	if err := o.tables.SetTTL(ctx, tableName(req), ttl); err != nil {
		return err
	}
	w.beginObject()
	w.name("TimeToLiveSpecification")
	w.beginObject()
	w.boolField("Enabled", ttl.On)
	w.strField("AttributeName", ttl.Attr)
	w.endObject()
	w.endObject()
	return nil
}

// The limits of an account in DynamoDB, which its consoles and tools use in computations. Holdfast
// doesn't enforce them.
const (
	accountUnits = 80_000
	tableUnits   = 40_000
)

func (o *tableOps) describeLimits(_ context.Context, _ node, w *writer) error {
	w.beginObject()
	w.intField("AccountMaxReadCapacityUnits", accountUnits)
	w.intField("AccountMaxWriteCapacityUnits", accountUnits)
	w.intField("TableMaxReadCapacityUnits", tableUnits)
	w.intField("TableMaxWriteCapacityUnits", tableUnits)
	w.endObject()
	return nil
}

// localAddress is the key of the listener's net.Addr in an operation's context.
type localAddress struct{}

// describeEndpoints returns the listener that the request came to, so that a client that uses
// endpoint discovery keeps using this server.
func (o *tableOps) describeEndpoints(ctx context.Context, _ node, w *writer) error {
	address := "dynamodb." + o.account.region + ".amazonaws.com"
	if local, ok := ctx.Value(localAddress{}).(net.Addr); ok {
		address = local.String()
	}
	w.beginObject()
	w.name("Endpoints")
	w.beginArray()
	w.beginObject()
	w.strField("Address", address)
	w.intField("CachePeriodInMinutes", 1440)
	w.endObject()
	w.endArray()
	w.endObject()
	return nil
}
