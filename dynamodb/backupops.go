package dynamodb

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/table"
)

// recoveryDays is how many days of points in time are kept, as far as the log reaches back.
const recoveryDays = 35

// backupOps are the operations on backups and on point-in-time recovery.
type backupOps struct {
	tables  *table.Store
	account account
}

func (o *backupOps) operations() []operation {
	return []operation{
		{"CreateBackup", shapeCreateBackup, o.createBackup},
		{"DescribeBackup", shapeDescribeBackup, o.describeBackup},
		{"ListBackups", shapeListBackups, o.listBackups},
		{"DeleteBackup", shapeDeleteBackup, o.deleteBackup},
		{"RestoreTableFromBackup", shapeRestoreTableFromBackup, o.restoreTableFromBackup},
		{"RestoreTableToPointInTime", shapeRestoreTableToPointInTime, o.restoreTableToPointInTime},
		{"DescribeContinuousBackups", shapeDescribeContinuousBackups, o.describeContinuousBackups},
		{"UpdateContinuousBackups", shapeUpdateContinuousBackups, o.updateContinuousBackups},
	}
}

// noTable converts the error for a missing table to the one that the backup operations return.
func noTable(err error, name string) error {
	if errors.Is(err, holdfast.NotFound) {
		return exception("TableNotFoundException", "Table not found: %s", name)
	}
	return err
}

// backupID returns the ID of the backup that an ARN names, or "", which no backup has.
func (a account) backupID(arn string) (string, error) {
	_, id, ok := a.part(arn, "backup")
	if !ok {
		return "", refuse("Invalid BackupArn: %s", arn)
	}
	return id, nil
}

func noBackup(err error, arn string) error {
	if errors.Is(err, holdfast.NotFound) {
		return exception("BackupNotFoundException", "Backup not found: %s", arn)
	}
	if errors.Is(err, holdfast.Exists) {
		return exception("BackupInUseException", "Backup is being used by another operation: %s", arn)
	}
	return err
}

func (o *backupOps) createBackup(ctx context.Context, req node, w *writer) error {
	name := tableName(req)
	b, err := o.tables.Backup(ctx, name, req.get("BackupName").text())
	if err != nil {
		return noTable(err, name)
	}
	w.beginObject()
	o.writeBackup(w, &b, backupStatus(&b))
	w.endObject()
	return nil
}

func backupStatus(b *catalog.BackupDescription) string {
	if b.Ready {
		return "AVAILABLE"
	}
	return "CREATING"
}

func (o *backupOps) writeBackup(w *writer, b *catalog.BackupDescription, status string) {
	w.name("BackupDetails")
	w.beginObject()
	o.writeBackupMembers(w, b, status)
	w.endObject()
}

func (o *backupOps) writeBackupMembers(w *writer, b *catalog.BackupDescription, status string) {
	w.strField("BackupArn", o.account.backupARN(b))
	w.strField("BackupName", b.Name)
	w.intField("BackupSizeBytes", b.Bytes)
	w.strField("BackupStatus", status)
	w.strField("BackupType", "USER")
	w.timeField("BackupCreationDateTime", b.Created)
}

func (o *backupOps) describeBackup(_ context.Context, req node, w *writer) error {
	arn := req.get("BackupArn").text()
	id, err := o.account.backupID(arn)
	if err != nil {
		return err
	}
	b, err := o.tables.DescribeBackup(id)
	if err != nil {
		return noBackup(err, arn)
	}
	o.writeBackupDescription(w, &b, backupStatus(&b))
	return nil
}

func (o *backupOps) deleteBackup(ctx context.Context, req node, w *writer) error {
	arn := req.get("BackupArn").text()
	id, err := o.account.backupID(arn)
	if err != nil {
		return err
	}
	b, err := o.tables.DeleteBackup(ctx, id)
	if err != nil {
		return noBackup(err, arn)
	}
	o.writeBackupDescription(w, &b, "DELETED")
	return nil
}

// writeBackupDescription writes a backup, and its table as it was when the backup was made.
func (o *backupOps) writeBackupDescription(w *writer, b *catalog.BackupDescription, status string) {
	d := &b.Table
	w.beginObject()
	w.name("BackupDescription")
	w.beginObject()
	o.writeBackup(w, b, status)
	w.name("SourceTableDetails")
	w.beginObject()
	w.strField("TableName", d.Name)
	w.strField("TableId", d.ID)
	w.strField("TableArn", o.account.tableARN(d.Name))
	w.intField("TableSizeBytes", b.Bytes)
	w.intField("ItemCount", b.Items)
	writeKey(w, d.Key.Index())
	w.timeField("TableCreationDateTime", d.Created)
	w.name("ProvisionedThroughput")
	w.beginObject()
	writeUnits(w, d.Throughput)
	w.endObject()
	writeOnDemandLimit(w, d.OnDemandLimit)
	w.strField("BillingMode", billingName(d.Billing))
	w.endObject()
	w.name("SourceTableFeatureDetails")
	w.beginObject()
	writeBackupIndexes(w, "LocalSecondaryIndexes", d, true)
	writeBackupIndexes(w, "GlobalSecondaryIndexes", d, false)
	if d.StreamOn {
		w.name("StreamDescription")
		w.beginObject()
		w.boolField("StreamEnabled", true)
		w.strField("StreamViewType", viewName(d.Stream))
		w.endObject()
	}
	writeTTL(w, d.TTL)
	writeEncryption(w, o.account, d.Encryption)
	w.endObject()
	w.endObject()
	w.endObject()
}

func writeBackupIndexes(w *writer, name string, d *catalog.Description, local bool) {
	w.name(name)
	w.beginArray()
	for i := range d.Indexes {
		x := &d.Indexes[i]
		if x.Index.Local != local {
			continue
		}
		w.beginObject()
		writeIndexSchema(w, &x.Index)
		if !local {
			w.name("ProvisionedThroughput")
			w.beginObject()
			writeUnits(w, x.Throughput)
			w.endObject()
		}
		w.endObject()
	}
	w.endArray()
}

// maxBackups is how many backups a page of ListBackups holds at most.
const maxBackups = 100

func (o *backupOps) listBackups(_ context.Context, req node, w *writer) error {
	kind := req.get("BackupType").text()
	user := kind == "" || kind == "USER" || kind == "ALL" // all backups here are of type USER
	from, to := seconds(req.get("TimeRangeLowerBound")), seconds(req.get("TimeRangeUpperBound"))
	shown := func(b *catalog.BackupDescription) bool {
		return user && !b.Created.Before(from) && (to.IsZero() || b.Created.Before(to))
	}
	backups, last := page(o.tables.Backups(tableName(req)), o.account.backupARN,
		req.get("ExclusiveStartBackupArn").text(), limitOf(req, maxBackups), shown)
	w.beginObject()
	w.name("BackupSummaries")
	w.beginArray()
	for i := range backups {
		of := &backups[i].Table
		w.beginObject()
		w.strField("TableName", of.Name)
		w.strField("TableId", of.ID)
		w.strField("TableArn", o.account.tableARN(of.Name))
		o.writeBackupMembers(w, &backups[i], backupStatus(&backups[i]))
		w.endObject()
	}
	w.endArray()
	writeLast(w, "LastEvaluatedBackupArn", last)
	w.endObject()
	return nil
}

func floatOf(n node) float64 {
	f, _ := strconv.ParseFloat(n.text(), 64) // out of range gives infinity
	return f
}

// seconds returns the time of a number of seconds since 1970, which may have decimals; the zero
// time if n is absent.
func seconds(n node) time.Time {
	if n.kind() != number {
		return time.Time{}
	}
	whole, fraction := math.Modf(floatOf(n))
	return time.Unix(int64(whole), int64(math.Round(fraction*1e6))*1e3)
}

func (o *backupOps) restoreTableFromBackup(ctx context.Context, req node, w *writer) error {
	arn, target := req.get("BackupArn").text(), req.get("TargetTableName").text()
	id, err := o.account.backupID(arn)
	if err != nil {
		return err
	}
	if b, err := o.tables.DescribeBackup(id); err == nil && !b.Ready {
		return exception("BackupInUseException", "Backup is being created: %s", arn)
	}
	changes, err := overrides(req)
	if err != nil {
		return err
	}
	d, err := o.tables.RestoreBackup(ctx, id, target, changes)
	if err != nil {
		return noBackup(targetExists(err, target), arn)
	}
	writeTable(w, o.account, &d)
	return nil
}

// targetExists converts the error for an existing target table to the one that the restore
// operations return.
func targetExists(err error, target string) error {
	if errors.Is(err, holdfast.Exists) {
		return exception("TableAlreadyExistsException", "Table already exists: %s", target)
	}
	return err
}

func (o *backupOps) restoreTableToPointInTime(ctx context.Context, req node, w *writer) error {
	source, target := req.get("SourceTableName").text(), req.get("TargetTableName").text()
	if arn := req.get("SourceTableArn"); source == "" && arn.kind() != absent {
		source = tableOf(arn.text())
	}
	if source == "" {
		return refuse("Either SourceTableName or SourceTableArn must be specified")
	}
	when, latest := req.get("RestoreDateTime"), truth(req.get("UseLatestRestorableTime"))
	if when.kind() == absent && !latest || when.kind() != absent && latest {
		return refuse("Exactly one of RestoreDateTime and UseLatestRestorableTime must be specified")
	}
	changes, err := overrides(req)
	if err != nil {
		return err
	}
	d, err := o.tables.RestorePointInTime(ctx, source, target, seconds(when), changes)
	switch {
	case errors.Is(err, holdfast.Failed):
		return exception("PointInTimeRecoveryUnavailableException", "%v", err)
	case errors.Is(err, holdfast.Gone):
		return exception("InvalidRestoreTimeException", "%v", err)
	case err != nil:
		return noTable(targetExists(err, target), source)
	}
	writeTable(w, o.account, &d)
	return nil
}

// overrides are the settings in which a restored table differs from its source.
func overrides(req node) (catalog.Overrides, error) {
	var o catalog.Overrides
	if v := req.get("BillingModeOverride"); v.kind() != absent {
		billing := catalog.Provisioned
		if v.text() == "PAY_PER_REQUEST" {
			billing = catalog.OnDemand
		}
		o.Billing = &billing
	}
	var err error
	if v := req.get("ProvisionedThroughputOverride"); v.kind() != absent {
		var t catalog.Throughput
		if t, err = throughput(v); err != nil {
			return o, err
		}
		o.Throughput = &t
	}
	if o.Global, err = indexOverrides(req.get("GlobalSecondaryIndexOverride"), false); err != nil {
		return o, err
	}
	if o.Local, err = indexOverrides(req.get("LocalSecondaryIndexOverride"), true); err != nil {
		return o, err
	}
	if v := req.get("OnDemandThroughputOverride"); v.kind() != absent {
		limit := unitsLimit(v)
		o.OnDemandLimit = &limit
	}
	if v := req.get("SSESpecificationOverride"); v.kind() != absent {
		kind := encryption(v)
		o.Encryption = &kind
	}
	return o, nil
}

// indexOverrides returns the indexes of the restored table; nil keeps all of the source's indexes.
func indexOverrides(list node, local bool) ([]catalog.IndexDefinition, error) {
	if list.kind() == absent {
		return nil, nil
	}
	indexes := []catalog.IndexDefinition{}
	var err error
	list.each(func(_ string, x node) bool {
		var d *catalog.IndexDefinition
		if d, err = newIndex(x, nil, local); err != nil {
			return false
		}
		indexes = append(indexes, *d)
		return true
	})
	return indexes, err
}

func (o *backupOps) describeContinuousBackups(_ context.Context, req node, w *writer) error {
	name := tableName(req)
	d, err := o.tables.Describe(name)
	if err != nil {
		return noTable(err, name)
	}
	writeContinuousBackups(w, d.PointInTime)
	return nil
}

func (o *backupOps) updateContinuousBackups(ctx context.Context, req node, w *writer) error {
	name := tableName(req)
	on := truth(req.get("PointInTimeRecoverySpecification").get("PointInTimeRecoveryEnabled"))
	p, err := o.tables.SetPointInTime(ctx, name, on)
	if err != nil {
		return noTable(err, name)
	}
	writeContinuousBackups(w, p)
	return nil
}

func writeContinuousBackups(w *writer, p catalog.PointInTime) {
	w.beginObject()
	w.name("ContinuousBackupsDescription")
	w.beginObject()
	w.strField("ContinuousBackupsStatus", "ENABLED")
	w.name("PointInTimeRecoveryDescription")
	w.beginObject()
	if p.On {
		w.strField("PointInTimeRecoveryStatus", "ENABLED")
		w.intField("RecoveryPeriodInDays", recoveryDays)
		w.timeField("EarliestRestorableDateTime", p.Earliest)
		w.timeField("LatestRestorableDateTime", p.Latest)
	} else {
		w.strField("PointInTimeRecoveryStatus", "DISABLED")
	}
	w.endObject()
	w.endObject()
	w.endObject()
}
