package dynamodb

// Parts of requests for tables.
var (
	shapeAttributeName        = sized(1, maxNameLength)
	shapeAttributeDefinitions = list(structure("AttributeDefinition",
		need("AttributeName", shapeAttributeName),
		need("AttributeType", enum("B", "N", "S")),
	))
	shapeKeyElements = list(structure("KeySchemaElement",
		need("AttributeName", shapeAttributeName),
		need("KeyType", enum("HASH", "RANGE")),
	))
	shapeKeySchema       = shapeKeyElements.bounded(1, 2)
	shapeGlobalKeySchema = shapeKeyElements.bounded(1, unlimited)
	shapeProjection      = structure("Projection",
		field("ProjectionType", enum("ALL", "INCLUDE", "KEYS_ONLY")),
		field("NonKeyAttributes", list(shapeAttributeName).bounded(1, 20)),
	)
	shapeThroughput = structure("ProvisionedThroughput",
		need("WriteCapacityUnits", long(1, unlimited)),
		need("ReadCapacityUnits", long(1, unlimited)),
	)
	shapeOnDemand = structure("OnDemandThroughput",
		field("MaxReadRequestUnits", scalar(formLong)),
		field("MaxWriteRequestUnits", scalar(formLong)),
	)
	shapeWarm = structure("WarmThroughput",
		field("ReadUnitsPerSecond", long(1, unlimited)),
		field("WriteUnitsPerSecond", long(1, unlimited)),
	)
	shapeLocalIndexes = list(structure("LocalSecondaryIndex",
		need("IndexName", named()),
		need("KeySchema", shapeKeySchema),
		need("Projection", shapeProjection),
	))
	shapeGlobalIndex = structure("GlobalSecondaryIndex",
		need("IndexName", named()),
		need("KeySchema", shapeGlobalKeySchema),
		need("Projection", shapeProjection),
		field("ProvisionedThroughput", shapeThroughput),
		field("OnDemandThroughput", shapeOnDemand),
		field("WarmThroughput", shapeWarm),
	)
	shapeGlobalIndexes = list(shapeGlobalIndex)
	shapeBilling       = enum("PROVISIONED", "PAY_PER_REQUEST")
	shapeTableClass    = enum("STANDARD", "STANDARD_INFREQUENT_ACCESS")
	shapeStream        = structure("StreamSpecification",
		need("StreamEnabled", scalar(formBoolean)),
		field("StreamViewType", enum("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY")),
	)
	shapeEncryption = structure("SSESpecification",
		field("Enabled", scalar(formBoolean)),
		field("SSEType", enum("AES256", "KMS")),
		field("KMSMasterKeyId", scalar(formString)),
	)
	shapeTags = list(structure("Tag",
		need("Key", sized(1, 128)),
		need("Value", sized(0, 256)),
	))
)

// tableMember is the TableName of a request for a whole table: its absence and its length are
// checked before everything else.
func tableMember() member {
	return must("TableName", namedOrARN()).wrongWhen(tooShort | tooLong)
}

// Requests for tables.
var (
	shapeCreateTable = structure("CreateTableInput",
		need("AttributeDefinitions", shapeAttributeDefinitions),
		must("TableName", namedOrARN()).wrongWhen(tooLong),
		field("BillingMode", shapeBilling),
		field("ProvisionedThroughput", shapeThroughput),
		need("KeySchema", shapeKeySchema),
		field("LocalSecondaryIndexes", shapeLocalIndexes),
		field("GlobalSecondaryIndexes", shapeGlobalIndexes),
		field("StreamSpecification", shapeStream),
		field("SSESpecification", shapeEncryption),
		field("Tags", shapeTags),
		field("TableClass", shapeTableClass),
		field("DeletionProtectionEnabled", scalar(formBoolean)),
		field("OnDemandThroughput", shapeOnDemand),
		field("WarmThroughput", shapeWarm),
		field("ResourcePolicy", scalar(formString)),
	)
	shapeDescribeTable = structure("DescribeTableInput", tableMember())
	shapeDeleteTable   = structure("DeleteTableInput", tableMember())
	shapeListTables    = structure("ListTablesInput",
		field("ExclusiveStartTableName", named()),
		field("Limit", integer(1, 100)),
	)
	shapeUpdateTable = structure("UpdateTableInput",
		tableMember(),
		field("ProvisionedThroughput", shapeThroughput),
		field("BillingMode", shapeBilling),
		field("GlobalSecondaryIndexUpdates", list(structure("GlobalSecondaryIndexUpdate",
			field("Update", structure("UpdateGlobalSecondaryIndexAction",
				need("IndexName", named()),
				need("ProvisionedThroughput", shapeThroughput).orElse("OnDemandThroughput", "WarmThroughput"),
				field("OnDemandThroughput", shapeOnDemand),
				field("WarmThroughput", shapeWarm),
			)),
			field("Create", structure("CreateGlobalSecondaryIndexAction",
				need("Projection", shapeProjection),
				need("IndexName", named()),
				field("ProvisionedThroughput", shapeThroughput),
				field("OnDemandThroughput", shapeOnDemand),
				field("WarmThroughput", shapeWarm),
				need("KeySchema", shapeGlobalKeySchema),
			)),
			field("Delete", structure("DeleteGlobalSecondaryIndexAction", need("IndexName", named()))),
		))),
		field("AttributeDefinitions", shapeAttributeDefinitions),
		field("StreamSpecification", shapeStream),
		field("SSESpecification", shapeEncryption),
		field("ReplicaUpdates", list(structure("ReplicationGroupUpdate")).bounded(1, unlimited)),
		field("TableClass", shapeTableClass),
		field("DeletionProtectionEnabled", scalar(formBoolean)),
		field("OnDemandThroughput", shapeOnDemand),
		field("WarmThroughput", shapeWarm),
	)
	shapeDescribeTimeToLive = structure("DescribeTimeToLiveInput", tableMember())
	shapeUpdateTimeToLive   = structure("UpdateTimeToLiveInput",
		tableMember(),
		need("TimeToLiveSpecification", structure("TimeToLiveSpecification",
			need("Enabled", scalar(formBoolean)),
			need("AttributeName", shapeAttributeName),
		)),
	)
	shapeTagResource = structure("TagResourceInput",
		field("ResourceArn", scalar(formString)),
		field("Tags", shapeTags),
	)
	shapeUntagResource = structure("UntagResourceInput",
		field("ResourceArn", scalar(formString)),
		field("TagKeys", list(sized(1, 128))),
	)
	shapeListTagsOfResource = structure("ListTagsOfResourceInput",
		field("ResourceArn", scalar(formString)),
		field("NextToken", scalar(formString)),
	)
	shapeDescribeLimits    = structure("DescribeLimitsInput")
	shapeDescribeEndpoints = structure("DescribeEndpointsRequest")
)
