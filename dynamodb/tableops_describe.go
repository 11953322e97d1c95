package dynamodb

import (
	"time"

	"holdfast/catalog"
	"holdfast/item"
)

// strings writes a list of texts.
func (w *writer) strings(list []string) {
	w.beginArray()
	for _, s := range list {
		w.str(s)
	}
	w.endArray()
}

func statusName(s catalog.Status) string {
	return [...]string{
		catalog.Active:   "ACTIVE",
		catalog.Creating: "CREATING",
		catalog.Updating: "UPDATING",
		catalog.Deleting: "DELETING",
	}[s]
}

func billingName(b catalog.Billing) string {
	if b == catalog.OnDemand {
		return "PAY_PER_REQUEST"
	}
	return "PROVISIONED"
}

// writeTable writes a response that is one TableDescription, of a table that is created or updated.
func writeTable(w *writer, a account, d *catalog.Description) {
	w.beginObject()
	w.name("TableDescription")
	w.beginObject()
	writeDescription(w, a, d, false)
	if d.DeletionProtection {
		w.boolField("DeletionProtectionEnabled", true)
	}
	w.endObject()
	w.endObject()
}

// writeDescribed writes the response to a DescribeTable, which has members that other responses
// leave out.
func writeDescribed(w *writer, a account, d *catalog.Description) {
	w.beginObject()
	w.name("Table")
	w.beginObject()
	writeDescription(w, a, d, true)
	w.boolField("DeletionProtectionEnabled", d.DeletionProtection)
	writeWarm(w, d.Warm, d.Billing, d.Throughput)
	w.endObject()
	w.endObject()
}

// writeDescription writes the members of a TableDescription that all responses have. warm is
// whether to include the warm throughput of indexes for which one was requested.
func writeDescription(w *writer, a account, d *catalog.Description, warm bool) {
	writeAttributes(w, d.Attributes)
	w.strField("TableName", d.Name)
	writeKey(w, d.Key.Index())
	w.strField("TableStatus", statusName(d.Status))
	w.timeField("CreationDateTime", d.Created)
	writeThroughput(w, d.Throughput, d.LastIncrease, d.LastDecrease, d.DecreasesToday)
	w.intField("TableSizeBytes", d.ItemBytes)
	w.intField("ItemCount", d.Items)
	w.strField("TableArn", a.tableARN(d.Name))
	w.strField("TableId", d.ID)
	writeBilling(w, d)
	writeIndexes(w, a, "LocalSecondaryIndexes", d, true, false)
	writeIndexes(w, a, "GlobalSecondaryIndexes", d, false, warm)
	writeStream(w, a, d)
	writeRestored(w, a, d.Restored)
	writeEncryption(w, a, d.Encryption)
	writeOnDemandLimit(w, d.OnDemandLimit)
	if d.Class != "" {
		w.name("TableClassSummary")
		w.beginObject()
		w.strField("TableClass", d.Class)
		w.endObject()
	}
}

// writeDeleted writes the description of a table that is deleted. It has nothing of the table's
// definition: no key, no indexes.
func writeDeleted(w *writer, a account, d *catalog.Description) {
	w.beginObject()
	w.name("TableDescription")
	w.beginObject()
	w.strField("TableName", d.Name)
	w.strField("TableStatus", statusName(d.Status))
	writeThroughput(w, d.Throughput, d.LastIncrease, d.LastDecrease, d.DecreasesToday)
	w.intField("TableSizeBytes", d.ItemBytes)
	w.intField("ItemCount", d.Items)
	w.strField("TableArn", a.tableARN(d.Name))
	w.strField("TableId", d.ID)
	writeBilling(w, d)
	w.boolField("DeletionProtectionEnabled", d.DeletionProtection)
	w.endObject()
	w.endObject()
}

// The warm throughput of a table billed on demand, in units per second, unless more was requested.
const (
	warmReads  = 12_000
	warmWrites = 4_000
)

// writeWarm writes the warm throughput of a table or index: what was requested, but no less than
// its provisioned throughput or the on-demand minimum.
func writeWarm(w *writer, requested catalog.Throughput, billing catalog.Billing, provisioned catalog.Throughput) {
	least := provisioned
	if billing == catalog.OnDemand {
		least = catalog.Throughput{Read: warmReads, Write: warmWrites}
	}
	w.name("WarmThroughput")
	w.beginObject()
	w.intField("ReadUnitsPerSecond", max(requested.Read, least.Read))
	w.intField("WriteUnitsPerSecond", max(requested.Write, least.Write))
	w.strField("Status", "ACTIVE")
	w.endObject()
}

func writeAttributes(w *writer, attributes []item.KeyAttr) {
	w.name("AttributeDefinitions")
	w.beginArray()
	for _, a := range attributes {
		w.beginObject()
		w.strField("AttributeName", a.Name)
		w.strField("AttributeType", a.Type.String())
		w.endObject()
	}
	w.endArray()
}

func writeKey(w *writer, key item.IndexKey) {
	w.name("KeySchema")
	w.beginArray()
	for i, part := range [...][]item.KeyAttr{key.Hash, key.Range} {
		for _, a := range part {
			w.beginObject()
			w.strField("AttributeName", a.Name)
			w.strField("KeyType", [...]string{"HASH", "RANGE"}[i])
			w.endObject()
		}
	}
	w.endArray()
}

func writeThroughput(w *writer, t catalog.Throughput, increase, decrease time.Time, decreases int64) {
	w.name("ProvisionedThroughput")
	w.beginObject()
	if !increase.IsZero() {
		w.timeField("LastIncreaseDateTime", increase)
	}
	if !decrease.IsZero() {
		w.timeField("LastDecreaseDateTime", decrease)
	}
	w.intField("NumberOfDecreasesToday", decreases)
	writeUnits(w, t)
	w.endObject()
}

func writeUnits(w *writer, t catalog.Throughput) {
	w.intField("ReadCapacityUnits", t.Read)
	w.intField("WriteCapacityUnits", t.Write)
}

// writeBilling writes a table's billing mode, unless it has always been provisioned, which was once
// the only mode.
func writeBilling(w *writer, d *catalog.Description) {
	if d.Billing == catalog.Provisioned && d.LastOnDemand.IsZero() {
		return
	}
	for _, names := range [...][2]string{{"BillingModeSummary", "BillingMode"},
		{"TableThroughputModeSummary", "TableThroughputMode"}} {
		w.name(names[0])
		w.beginObject()
		w.strField(names[1], billingName(d.Billing))
		if !d.LastOnDemand.IsZero() {
			w.timeField("LastUpdateToPayPerRequestDateTime", d.LastOnDemand)
		}
		w.endObject()
	}
}

func writeOnDemandLimit(w *writer, t catalog.Throughput) {
	if t == (catalog.Throughput{}) {
		return
	}
	w.name("OnDemandThroughput")
	w.beginObject()
	if t.Read != 0 {
		w.intField("MaxReadRequestUnits", t.Read)
	}
	if t.Write != 0 {
		w.intField("MaxWriteRequestUnits", t.Write)
	}
	w.endObject()
}

// writeIndexes writes the local or the global indexes, or nothing if there are none.
func writeIndexes(w *writer, a account, name string, d *catalog.Description, local, warm bool) {
	open := false
	for i := range d.Indexes {
		x := &d.Indexes[i]
		if x.Index.Local != local {
			continue
		}
		if !open {
			w.name(name)
			w.beginArray()
			open = true
		}
		w.beginObject()
		writeIndexSchema(w, &x.Index)
		w.intField("IndexSizeBytes", x.ItemBytes)
		w.intField("ItemCount", x.Items)
		w.strField("IndexArn", a.indexARN(d.Name, x.Index.Name))
		if !local {
			writeGlobalIndex(w, x)
		}
		if warm && x.Warm != (catalog.Throughput{}) {
			writeWarm(w, x.Warm, d.Billing, x.Throughput)
		}
		w.endObject()
	}
	if open {
		w.endArray()
	}
}

func writeIndexSchema(w *writer, x *item.Index) {
	w.strField("IndexName", x.Name)
	writeKey(w, x.Key)
	w.name("Projection")
	w.beginObject()
	w.strField("ProjectionType", [...]string{
		item.ProjectAll:  "ALL",
		item.ProjectKeys: "KEYS_ONLY",
		item.ProjectSome: "INCLUDE",
	}[x.Project])
	if x.Project == item.ProjectSome {
		w.name("NonKeyAttributes")
		w.strings(x.Attrs)
	}
	w.endObject()
}

func writeGlobalIndex(w *writer, x *catalog.IndexDescription) {
	w.strField("IndexStatus", statusName(x.Status))
	if x.Backfilling {
		w.boolField("Backfilling", true)
	}
	writeThroughput(w, x.Throughput, x.LastIncrease, x.LastDecrease, x.DecreasesToday)
	writeOnDemandLimit(w, x.OnDemandLimit)
}

func writeStream(w *writer, a account, d *catalog.Description) {
	if d.StreamOn {
		w.name("StreamSpecification")
		w.beginObject()
		w.boolField("StreamEnabled", true)
		w.strField("StreamViewType", viewName(d.Stream))
		w.endObject()
	}
	if d.StreamLabel != "" {
		w.strField("LatestStreamLabel", d.StreamLabel)
		w.strField("LatestStreamArn", a.streamARN(d.Name, d.StreamLabel))
	}
}

func writeRestored(w *writer, a account, r *catalog.Restored) {
	if r == nil {
		return
	}
	w.name("RestoreSummary")
	w.beginObject()
	if r.SourceBackup != "" {
		w.strField("SourceBackupArn", a.tableARN(r.SourceTable)+"/backup/"+r.SourceBackup)
	}
	w.strField("SourceTableArn", a.tableARN(r.SourceTable))
	w.timeField("RestoreDateTime", r.At)
	w.boolField("RestoreInProgress", r.InProgress)
	w.endObject()
}

// writeEncryption writes that the table was to be encrypted with its owner's key. Holdfast itself
// doesn't encrypt: that is left to the disk.
func writeEncryption(w *writer, a account, kind string) {
	if kind == "" {
		return
	}
	w.name("SSEDescription")
	w.beginObject()
	w.strField("Status", "ENABLED")
	w.strField("SSEType", kind)
	w.strField("KMSMasterKeyArn", "arn:aws:kms:"+a.region+":"+a.id+":key/00000000-0000-0000-0000-000000000000")
	w.endObject()
}
