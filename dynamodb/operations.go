package dynamodb

import (
	"context"
	"net"

	"holdfast/table"
)

// The prefixes of X-Amz-Target.
const (
	tablesTarget  = "DynamoDB_20120810"
	streamsTarget = "DynamoDBStreams_20120810"
)

// operations are all operations that there are, by the target's prefix and then by name.
func operations() map[string]map[string]operation {
	tables, streams := map[string]operation{}, map[string]operation{}
	for _, list := range [...][]operation{itemOperations(), tableOperations(), backupOperations(), partiqlOperations(),
		probeOperations()} {
		for _, op := range list {
			tables[op.name] = op
		}
	}
	for _, op := range streamOperations() {
		streams[op.name] = op
	}
	return map[string]map[string]operation{tablesTarget: tables, streamsTarget: streams}
}

// tableOperations are those about tables as a whole.
func tableOperations() []operation {
	return []operation{
		{"CreateTable", shapeCreateTable, (*Handler).createTable},
		{"DescribeTable", shapeDescribeTable, (*Handler).describeTable},
		{"ListTables", shapeListTables, (*Handler).listTables},
		{"UpdateTable", shapeUpdateTable, (*Handler).updateTable},
		{"DeleteTable", shapeDeleteTable, (*Handler).deleteTable},
		{"DescribeTimeToLive", shapeDescribeTimeToLive, (*Handler).describeTimeToLive},
		{"UpdateTimeToLive", shapeUpdateTimeToLive, (*Handler).updateTimeToLive},
		{"TagResource", shapeTagResource, (*Handler).tagResource},
		{"UntagResource", shapeUntagResource, (*Handler).untagResource},
		{"ListTagsOfResource", shapeListTagsOfResource, (*Handler).listTagsOfResource},
		{"DescribeLimits", shapeDescribeLimits, (*Handler).describeLimits},
		{"DescribeEndpoints", shapeDescribeEndpoints, (*Handler).describeEndpoints},
	}
}

// backupOperations are those about backups and points in time.
func backupOperations() []operation {
	return []operation{
		{"CreateBackup", shapeCreateBackup, (*Handler).createBackup},
		{"DescribeBackup", shapeDescribeBackup, (*Handler).describeBackup},
		{"ListBackups", shapeListBackups, (*Handler).listBackups},
		{"DeleteBackup", shapeDeleteBackup, (*Handler).deleteBackup},
		{"RestoreTableFromBackup", shapeRestoreTableFromBackup, (*Handler).restoreTableFromBackup},
		{"RestoreTableToPointInTime", shapeRestoreTableToPointInTime, (*Handler).restoreTableToPointInTime},
		{"DescribeContinuousBackups", shapeDescribeContinuousBackups, (*Handler).describeContinuousBackups},
		{"UpdateContinuousBackups", shapeUpdateContinuousBackups, (*Handler).updateContinuousBackups},
	}
}

// streamOperations are those of DynamoDBStreams_20120810.
func streamOperations() []operation {
	return []operation{
		{"ListStreams", shapeListStreams, (*Handler).listStreams},
		{"DescribeStream", shapeDescribeStream, (*Handler).describeStream},
		{"GetShardIterator", shapeGetShardIterator, (*Handler).getShardIterator},
		{"GetRecords", shapeGetRecords, (*Handler).getRecords},
	}
}

func (h *Handler) createTable(ctx context.Context, req node, w *writer) error {
	d, attributes, err := definition(req)
	if err != nil {
		return err
	}
	made, err := h.tables.Create(ctx, d, attributes)
	if err != nil {
		return err
	}
	h.writeTable(w, &made)
	return nil
}

func (h *Handler) describeTable(_ context.Context, req node, w *writer) error {
	d, err := h.tables.Describe(tableName(req))
	if err != nil {
		return err
	}
	h.writeDescribed(w, &d)
	return nil
}

// maxNames is how many tables' names a page of ListTables has.
const maxNames = 100

func (h *Handler) listTables(_ context.Context, req node, w *writer) error {
	limit := maxNames
	if n := req.get("Limit"); n.kind() != absent {
		limit = int(n.int())
	}
	names, more := h.tables.List(req.get("ExclusiveStartTableName").text(), limit)
	w.beginObject()
	if more && len(names) > 0 {
		w.strField("LastEvaluatedTableName", names[len(names)-1])
	}
	w.name("TableNames")
	w.strings(names)
	w.endObject()
	return nil
}

func (h *Handler) updateTable(ctx context.Context, req node, w *writer) error {
	a, err := alteration(req)
	if err != nil {
		return err
	}
	d, err := h.tables.Alter(ctx, a)
	if err != nil {
		return err
	}
	h.writeTable(w, &d)
	return nil
}

func (h *Handler) deleteTable(ctx context.Context, req node, w *writer) error {
	d, err := h.tables.Remove(ctx, tableName(req))
	if err != nil {
		return err
	}
	h.writeDeleted(w, &d)
	return nil
}

func (h *Handler) describeTimeToLive(_ context.Context, req node, w *writer) error {
	ttl, err := h.tables.TTL(tableName(req))
	if err != nil {
		return err
	}
	w.beginObject()
	writeTTL(w, ttl)
	w.endObject()
	return nil
}

func writeTTL(w *writer, ttl table.TTL) {
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

func (h *Handler) updateTimeToLive(ctx context.Context, req node, w *writer) error {
	spec := req.get("TimeToLiveSpecification")
	ttl := table.TTL{Attr: spec.get("AttributeName").text(), On: truth(spec.get("Enabled"))}
	if err := h.tables.SetTTL(ctx, tableName(req), ttl); err != nil {
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

// The limits of an account in the real service, from which its consoles and tools compute. Here nothing is enforced by them.
const (
	accountUnits = 80_000
	tableUnits   = 40_000
)

func (h *Handler) describeLimits(_ context.Context, _ node, w *writer) error {
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

// describeEndpoints names the listener that the request came to, so that a client that discovers its endpoint stays here.
func (h *Handler) describeEndpoints(ctx context.Context, _ node, w *writer) error {
	address := "dynamodb." + h.region + ".amazonaws.com"
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
