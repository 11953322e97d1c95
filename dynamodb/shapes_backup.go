package dynamodb

// Lengths of ARNs in requests for backups and streams.
var (
	shapeBackupARN = sized(37, maxARNLength)
	shapeStreamARN = sized(37, maxARNLength)
)

// restoreMembers are the settings in which a restored table may differ from its source.
func restoreMembers(members ...member) []member {
	return append(members,
		must("TargetTableName", named()).wrongWhen(tooShort|tooLong),
		field("BillingModeOverride", shapeBilling),
		field("GlobalSecondaryIndexOverride", shapeGlobalIndexes),
		field("LocalSecondaryIndexOverride", shapeLocalIndexes),
		field("ProvisionedThroughputOverride", shapeThroughput),
		field("OnDemandThroughputOverride", shapeOnDemand),
		field("SSESpecificationOverride", shapeEncryption),
	)
}

// Requests for backups.
var (
	shapeCreateBackup = structure("CreateBackupInput",
		tableMember(),
		need("BackupName", named()),
	)
	shapeDescribeBackup = structure("DescribeBackupInput", need("BackupArn", shapeBackupARN))
	shapeDeleteBackup   = structure("DeleteBackupInput", need("BackupArn", shapeBackupARN))
	shapeListBackups    = structure("ListBackupsInput",
		field("TableName", namedOrARN()),
		field("Limit", integer(1, 100)),
		field("TimeRangeLowerBound", scalar(formTimestamp)),
		field("TimeRangeUpperBound", scalar(formTimestamp)),
		field("ExclusiveStartBackupArn", shapeBackupARN),
		field("BackupType", enum("USER", "SYSTEM", "AWS_BACKUP", "ALL")),
	)
	shapeRestoreTableFromBackup = structure("RestoreTableFromBackupInput",
		restoreMembers(need("BackupArn", shapeBackupARN))...)
	shapeRestoreTableToPointInTime = structure("RestoreTableToPointInTimeInput", restoreMembers(
		field("SourceTableArn", onlyARN()),
		field("SourceTableName", named()),
		field("UseLatestRestorableTime", scalar(formBoolean)),
		field("RestoreDateTime", scalar(formTimestamp)),
	)...)
	shapeDescribeContinuousBackups = structure("DescribeContinuousBackupsInput", tableMember())
	shapeUpdateContinuousBackups   = structure("UpdateContinuousBackupsInput",
		tableMember(),
		need("PointInTimeRecoverySpecification", structure("PointInTimeRecoverySpecification",
			need("PointInTimeRecoveryEnabled", scalar(formBoolean)),
			field("RecoveryPeriodInDays", integer(1, 35)),
		)),
	)
)

// Requests for streams.
var (
	shapeListStreams = structure("ListStreamsInput",
		field("TableName", namedOrARN()),
		field("Limit", integer(1, 100)),
		field("ExclusiveStartStreamArn", shapeStreamARN),
	)
	shapeDescribeStream = structure("DescribeStreamInput",
		need("StreamArn", shapeStreamARN),
		field("Limit", integer(1, 100)),
		field("ExclusiveStartShardId", sized(28, 65)),
		field("ShardFilter", structure("ShardFilter",
			need("Type", enum("CHILD_SHARDS")),
			need("ShardId", sized(28, 65)),
		)),
	)
	shapeGetShardIterator = structure("GetShardIteratorInput",
		need("StreamArn", shapeStreamARN),
		need("ShardId", sized(28, 65)),
		need("ShardIteratorType", enum("AFTER_SEQUENCE_NUMBER", "LATEST", "TRIM_HORIZON", "AT_SEQUENCE_NUMBER")),
		field("SequenceNumber", sized(21, 40)),
	)
	shapeGetRecords = structure("GetRecordsInput",
		need("ShardIterator", sized(1, 2048)),
		field("Limit", integer(1, 1000)),
	)
)
