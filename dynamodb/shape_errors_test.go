package dynamodb

import (
	"fmt"
	"strings"
	"testing"
)

// The texts of faults, which are DynamoDB's.
func oneFault(fault string) string {
	return "ValidationException: 1 validation error detected: " + fault
}

func faultAt(value, path, constraint string) string {
	return "Value " + value + " at '" + path + "' failed to satisfy constraint: " + constraint
}

// missing is the error of requests that lack members.
func missing(paths ...string) string {
	var texts []string
	for _, p := range paths {
		texts = append(texts, faultAt("null", p, "Member must not be null"))
	}
	if len(texts) == 1 {
		return oneFault(texts[0])
	}
	return fmt.Sprintf("ValidationException: %d validation errors detected: %s", len(texts), strings.Join(texts, "; "))
}

// absentFirst is the error of an absence that is reported before all other faults.
func absentFirst(name string) string {
	return "ValidationException: The parameter '" + name + "' is required but was not present in the request"
}

func lengthAtLeast(n int, value, path string) string {
	return oneFault(faultAt("'"+value+"'", path, fmt.Sprint("Member must have length greater than or equal to ", n)))
}

func lengthAtMost(n int, value, path string) string {
	return oneFault(faultAt("'"+value+"'", path, fmt.Sprint("Member must have length less than or equal to ", n)))
}

func valueAtLeast(n int, value, path string) string {
	return oneFault(faultAt("'"+value+"'", path, fmt.Sprint("Member must have value greater than or equal to ", n)))
}

func valueAtMost(n int, value, path string) string {
	return oneFault(faultAt("'"+value+"'", path, fmt.Sprint("Member must have value less than or equal to ", n)))
}

func notIn(set, value, path string) string {
	return oneFault(faultAt("'"+value+"'", path, "Member must satisfy enum value set: ["+set+"]"))
}

func notNamed(value, path string) string {
	return oneFault(faultAt("'"+value+"'", path, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"))
}

func lengths(name string) string {
	return "ValidationException: " + name + " must be at least 3 characters long and at most 255 characters long"
}

// wrongType is the error of a value whose JSON type isn't the member's.
func wrongType(words string) string { return "SerializationException: " + words }

const (
	aNumber    = "NUMBER_VALUE cannot be converted to "
	aText      = "STRING_VALUE cannot be converted to "
	trueValue  = "TRUE_VALUE cannot be converted to "
	falseValue = "FALSE_VALUE cannot be converted to "
	aDecimal   = "DECIMAL_VALUE cannot be converted to "

	capacitySet = "INDEXES, TOTAL, NONE"
	metricsSet  = "SIZE, NONE"
	returnedSet = "ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW"
	failureSet  = "ALL_OLD, NONE"
	selectSet   = "SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES"
	compareSet  = "IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, LE, BEGINS_WITH, GE, CONTAINS"
	iteratorSet = "AFTER_SEQUENCE_NUMBER, LATEST, TRIM_HORIZON, AT_SEQUENCE_NUMBER"
	aList       = "Unrecognized collection type class java.lang."
)

// A shapeFault is a request with a fault of its shape, and the error.
type shapeFault struct{ request, want string }

// itemFaults are those of the operations on items.
func itemFaults() map[string][]shapeFault {
	const t, key = `"TableName":"abc"`, `"Key":{}`
	long := strings.Repeat("a", 256)
	return map[string][]shapeFault{
		"GetItem": {
			{`{}`, missing("key", "tableName")},
			{`{` + t + `}`, missing("key")},
			{`{` + t + `,"Key":7}`, wrongType(faultField)},
			{`{` + t + `,` + key + `,"AttributesToGet":[]}`, lengthAtLeast(1, "[]", "attributesToGet")},
			{`{` + t + `,` + key + `,"ReturnConsumedCapacity":"total"}`, notIn(capacitySet, "total", "returnConsumedCapacity")},
			{`{"TableName":"` + long + `",` + key + `}`, lengthAtMost(255, long, "tableName")},
			{`{"TableName":"a/c",` + key + `}`, notNamed("a/c", "tableName")},
		},
		"PutItem": {
			{`{}`, missing("tableName", "item")},
			{`{` + t + `,"Item":{"a":{"NS":"1"}}}`, wrongType(faultField)},
			{`{` + t + `,"Item":{},"ReturnValues":"ALL"}`, notIn(returnedSet, "ALL", "returnValues")},
			{`{` + t + `,"Item":{},"ReturnItemCollectionMetrics":"size"}`,
				notIn(metricsSet, "size", "returnItemCollectionMetrics")},
			{`{` + t + `,"Item":{},"ConditionalOperator":"XOR"}`, notIn("OR, AND", "XOR", "conditionalOperator")},
			{`{` + t + `,"Item":{},"Expected":{"a":{"ComparisonOperator":"IS"}}}`,
				notIn(compareSet, "IS", "expected.a.member.comparisonOperator")},
		},
		"UpdateItem": {
			{`{}`, missing("tableName", "key")},
			{`{` + t + `,` + key + `,"UpdateExpression":{}}`, wrongType(faultStructure)},
			{`{` + t + `,` + key + `,"AttributeUpdates":{"a":{"Action":"SET"}}}`,
				notIn("ADD, PUT, DELETE", "SET", "attributeUpdates.a.member.action")},
			{`{` + t + `,` + key + `,"ReturnValuesOnConditionCheckFailure":"ALL_NEW"}`,
				notIn(failureSet, "ALL_NEW", "returnValuesOnConditionCheckFailure")},
		},
		"DeleteItem": {
			{`{}`, missing("tableName", "key")},
			{`{` + t + `,` + key + `,"ConditionExpression":[]}`, wrongType(aList + "String")},
			{`{` + t + `,` + key + `,"ReturnValues":"none"}`, notIn(returnedSet, "none", "returnValues")},
		},
		"Query": {
			{`{}`, missing("tableName")},
			{`{` + t + `,"ScanIndexForward":1}`, wrongType(aNumber + "Boolean")},
			{`{` + t + `,"Limit":true}`, wrongType(trueValue + "Integer")},
			{`{` + t + `,"Select":"ALL"}`, notIn(selectSet, "ALL", "select")},
			{`{` + t + `,"IndexName":"ab"}`, lengthAtLeast(3, "ab", "indexName")},
			{`{` + t + `,"KeyConditions":{"a":{}}}`, missing("keyConditions.a.member.comparisonOperator")},
			{`{` + t + `,"Limit":0}`, "ValidationException: 1 validation error detected: Value at 'Limit' failed to satisfy " +
				"constraint: Member must have value greater than or equal to 1"},
		},
		"Scan": {
			{`{}`, missing("tableName")},
			{`{` + t + `,"Segment":"0"}`, wrongType(aText + "Integer")},
			{`{` + t + `,"Limit":0}`, valueAtLeast(1, "0", "limit")},
			{`{` + t + `,"TotalSegments":1000001}`, valueAtMost(1_000_000, "1000001", "totalSegments")},
			{`{` + t + `,"Segment":-1}`, valueAtLeast(0, "-1", "segment")},
			{`{` + t + `,"IndexName":"a b"}`, notNamed("a b", "indexName")},
		},
		"BatchGetItem": {
			{`{}`, missing("requestItems")},
			{`{"RequestItems":{}}`, "ValidationException: The requestItems parameter is required for BatchGetItem"},
			{`{"RequestItems":{"abc":[]}}`, wrongType("Unrecognized collection type class " + modelPrefix +
				"KeysAndAttributes")},
			{`{"RequestItems":{"abc":{}}}`, missing("requestItems.abc.member.keys")},
			{`{"RequestItems":{"abc":{"Keys":[]}}}`, "ValidationException: 1 validation error detected: Value at " +
				"'RequestItems.abc.member.Keys' failed to satisfy constraint: " +
				"Member must have length greater than or equal to 1"},
		},
		"BatchWriteItem": {
			{`{}`, missing("requestItems")},
			{`{"RequestItems":"abc"}`, wrongType(faultField)},
			{`{"RequestItems":{}}`, "ValidationException: The requestItems parameter is required for BatchWriteItem"},
			{`{"RequestItems":{"abc":[{"DeleteRequest":{}}]}}`,
				missing("requestItems.abc.member.1.member.deleteRequest.key")},
		},
		"TransactGetItems": {
			{`{}`, missing("transactItems")},
			{`{"TransactItems":{}}`, wrongType(faultStructure)},
			{`{"TransactItems":[{}]}`, missing("transactItems.1.member.get")},
			{`{"TransactItems":[{"Get":{"Key":{}}}]}`, missing("transactItems.1.member.get.tableName")},
		},
		"TransactWriteItems": {
			{`{}`, missing("transactItems")},
			{`{"TransactItems":[1]}`, wrongType(faultElement)},
			{`{"TransactItems":[]}`, lengthAtLeast(1, "[]", "transactItems")},
			{`{"ClientRequestToken":"` + long[:37] + `","TransactItems":[{}]}`,
				lengthAtMost(36, long[:37], "clientRequestToken")},
			{`{"TransactItems":[{},{"ConditionCheck":{"TableName":"abc","Key":{}}}]}`,
				missing("transactItems.2.member.conditionCheck.conditionExpression")},
			{`{"TransactItems":[{"Update":{"Key":{},"TableName":"abc"}}]}`,
				missing("transactItems.1.member.update.updateExpression")},
		},
		"ExecuteStatement": {
			{`{}`, missing("statement")},
			{`{"Statement":true}`, wrongType(trueValue + "String")},
			{`{"Statement":""}`, lengthAtLeast(1, "", "statement")},
			{`{"Statement":"x","Parameters":[]}`, lengthAtLeast(1, "[]", "parameters")},
			{`{"Statement":"x","Limit":-3}`, valueAtLeast(1, "-3", "limit")},
			{`{"Statement":"x","NextToken":""}`, lengthAtLeast(1, "", "nextToken")},
		},
		"BatchExecuteStatement": {
			{`{}`, missing("statements")},
			{`{"Statements":["x"]}`, wrongType(faultElement)},
			{`{"Statements":[]}`, lengthAtLeast(1, "[]", "statements")},
			{`{"Statements":[{}]}`, missing("statements.1.member.statement")},
		},
		"ExecuteTransaction": {
			{`{}`, missing("transactStatements")},
			{`{"TransactStatements":0.5}`, wrongType(faultField)},
			{`{"TransactStatements":[{"Statement":"x"},{"Statement":""}]}`,
				lengthAtLeast(1, "", "transactStatements.2.member.statement")},
			{`{"TransactStatements":[{"Statement":"x"}],"ClientRequestToken":""}`, lengthAtLeast(1, "", "clientRequestToken")},
		},
	}
}

// tableFaults are those of the operations on tables.
func tableFaults() map[string][]shapeFault {
	const t = `"TableName":"abc"`
	const define = t + `,"AttributeDefinitions":[],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}]`
	long := strings.Repeat("a", 256)
	return map[string][]shapeFault{
		"CreateTable": {
			{`{}`, absentFirst("TableName")},
			{`{` + t + `}`, missing("attributeDefinitions", "keySchema")},
			{`{"TableName":"` + long + `"}`, lengths("TableName")},
			{`{` + define + `,"BillingMode":"FREE"}`, notIn("PROVISIONED, PAY_PER_REQUEST", "FREE", "billingMode")},
			{`{` + define + `,"TableClass":"BEST"}`, notIn("STANDARD, STANDARD_INFREQUENT_ACCESS", "BEST", "tableClass")},
			{`{` + define + `,"DeletionProtectionEnabled":3}`, wrongType(aNumber + "Boolean")},
			{`{` + define + `,"Tags":[{"Key":"","Value":""}]}`, lengthAtLeast(1, "", "tags.1.member.key")},
			{`{` + define + `,"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"ALL"}}`,
				notIn("NEW_IMAGE, OLD_IMAGE, NEW_AND_OLD_IMAGES, KEYS_ONLY", "ALL", "streamSpecification.streamViewType")},
			{`{` + define + `,"SSESpecification":{"SSEType":"DES"}}`, notIn("AES256, KMS", "DES", "sSESpecification.sSEType")},
			{`{` + define + `,"ProvisionedThroughput":{"ReadCapacityUnits":0,"WriteCapacityUnits":1}}`,
				valueAtLeast(1, "0", "provisionedThroughput.readCapacityUnits")},
			{`{` + define + `,"ProvisionedThroughput":{"ReadCapacityUnits":false,"WriteCapacityUnits":1}}`,
				wrongType(falseValue + "Long")},
			{`{` + define + `,"LocalSecondaryIndexes":[{}]}`, missing("localSecondaryIndexes.1.member.indexName",
				"localSecondaryIndexes.1.member.keySchema", "localSecondaryIndexes.1.member.projection")},
		},
		"DescribeTable": {
			{`{}`, absentFirst("TableName")},
			{`{"TableName":[]}`, wrongType(aList + "String")},
			{`{"TableName":"ab"}`, lengths("TableName")},
			{`{"TableName":"a b"}`, notNamed("a b", "tableName")},
		},
		"ListTables": {
			{`{"Limit":1.5e1,"ExclusiveStartTableName":1.5}`, wrongType(aDecimal + "String")},
			{`{"Limit":0}`, valueAtLeast(1, "0", "limit")},
			{`{"Limit":101}`, valueAtMost(100, "101", "limit")},
			{`{"ExclusiveStartTableName":"ab"}`, lengthAtLeast(3, "ab", "exclusiveStartTableName")},
		},
		"UpdateTable": {
			{`{}`, absentFirst("TableName")},
			{`{` + t + `,"GlobalSecondaryIndexUpdates":{}}`, wrongType(faultStructure)},
			{`{` + t + `,"GlobalSecondaryIndexUpdates":[{"Delete":{}}]}`,
				missing("globalSecondaryIndexUpdates.1.member.delete.indexName")},
			{`{` + t + `,"ReplicaUpdates":[]}`, lengthAtLeast(1, "[]", "replicaUpdates")},
		},
		"DeleteTable": {
			{`{}`, absentFirst("TableName")},
			{`{"TableName":{}}`, wrongType(faultStructure)},
			{`{"TableName":""}`, lengths("TableName")},
		},
		"DescribeTimeToLive": {
			{`{}`, absentFirst("TableName")},
			{`{"TableName":false}`, wrongType(falseValue + "String")},
		},
		"UpdateTimeToLive": {
			{`{}`, absentFirst("TableName")},
			{`{` + t + `}`, missing("timeToLiveSpecification")},
			{`{` + t + `,"TimeToLiveSpecification":[]}`, wrongType("Unrecognized collection type class " + modelPrefix +
				"TimeToLiveSpecification")},
			{`{` + t + `,"TimeToLiveSpecification":{}}`,
				missing("timeToLiveSpecification.enabled", "timeToLiveSpecification.attributeName")},
			{`{` + t + `,"TimeToLiveSpecification":{"Enabled":true,"AttributeName":"` + long + `"}}`,
				lengthAtMost(255, long, "timeToLiveSpecification.attributeName")},
		},
		"TagResource": {
			{`{"ResourceArn":5}`, wrongType(aNumber + "String")},
			{`{"Tags":[{"Key":"` + long[:129] + `","Value":""}]}`, lengthAtMost(128, long[:129], "tags.1.member.key")},
			{`{"Tags":[{"Key":"a"}]}`, missing("tags.1.member.value")},
			{`{"Tags":[{"Key":"a","Value":"` + long + `a"}]}`, lengthAtMost(256, long+"a", "tags.1.member.value")},
		},
		"UntagResource": {
			{`{"TagKeys":[7]}`, wrongType(aNumber + "String")},
			{`{"TagKeys":["a",""]}`, lengthAtLeast(1, "", "tagKeys.2.member")},
		},
		"ListTagsOfResource": {{`{"NextToken":7}`, wrongType(aNumber + "String")}},
		"DescribeLimits":     {{`[]`, "SerializationException: "}},
		"DescribeEndpoints":  {{`"a"`, "SerializationException: "}},
	}
}

// otherFaults are those of the operations on backups and streams, and of those that only probe.
func otherFaults() map[string][]shapeFault {
	const t = `"TableName":"abc"`
	short, long := strings.Repeat("a", 36), strings.Repeat("a", 1025)
	arn := strings.Repeat("a", 37)
	shardID := strings.Repeat("s", 28)
	table := []shapeFault{
		{`{}`, absentFirst("TableName")},
		{`{"TableName":1}`, wrongType(aNumber + "String")},
		{`{"TableName":"a"}`, lengths("TableName")},
	}
	backup := []shapeFault{
		{`{}`, missing("backupArn")},
		{`{"BackupArn":[]}`, wrongType(aList + "String")},
		{`{"BackupArn":"` + short + `"}`, lengthAtLeast(37, short, "backupArn")},
		{`{"BackupArn":"` + long + `"}`, lengthAtMost(1024, long, "backupArn")},
	}
	global := []shapeFault{
		{`{}`, missing("globalTableName")},
		{`{"GlobalTableName":1}`, wrongType(aNumber + "String")},
		{`{"GlobalTableName":"a%b"}`, notNamed("a%b", "globalTableName")},
	}
	return map[string][]shapeFault{
		"CreateBackup": append(table[:3:3], shapeFault{`{` + t + `}`, missing("backupName")},
			shapeFault{`{` + t + `,"BackupName":"ab"}`, lengthAtLeast(3, "ab", "backupName")}),
		"DescribeBackup": backup,
		"DeleteBackup":   backup,
		"ListBackups": {
			{`{"TimeRangeLowerBound":"now"}`, wrongType(aText + "Date")},
			{`{"Limit":101}`, valueAtMost(100, "101", "limit")},
			{`{"BackupType":"user"}`, notIn("USER, SYSTEM, AWS_BACKUP, ALL", "user", "backupType")},
			{`{"ExclusiveStartBackupArn":"a"}`, lengthAtLeast(37, "a", "exclusiveStartBackupArn")},
		},
		"RestoreTableFromBackup": {
			{`{}`, absentFirst("TargetTableName")},
			{`{"TargetTableName":"abc"}`, missing("backupArn")},
			{`{"TargetTableName":"abc","BackupArn":{}}`, wrongType(faultStructure)},
			{`{"TargetTableName":"ab","BackupArn":"` + arn + `"}`, lengths("TargetTableName")},
			{`{"TargetTableName":"abc","BackupArn":"` + arn + `","BillingModeOverride":"x"}`,
				notIn("PROVISIONED, PAY_PER_REQUEST", "x", "billingModeOverride")},
		},
		"RestoreTableToPointInTime": {
			{`{}`, absentFirst("TargetTableName")},
			{`{"TargetTableName":"abc","UseLatestRestorableTime":"maybe"}`,
				wrongType("Unexpected token received from parser")},
			{`{"TargetTableName":"abc","SourceTableArn":""}`, lengthAtLeast(1, "", "sourceTableArn")},
			{`{"TargetTableName":"abc","SourceTableName":"a?c"}`, notNamed("a?c", "sourceTableName")},
		},
		"DescribeContinuousBackups": table,
		"UpdateContinuousBackups": append(table[:3:3],
			shapeFault{`{` + t + `}`, missing("pointInTimeRecoverySpecification")},
			shapeFault{`{` + t + `,"PointInTimeRecoverySpecification":{}}`,
				missing("pointInTimeRecoverySpecification.pointInTimeRecoveryEnabled")},
			shapeFault{`{` + t + `,"PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true,"RecoveryPeriodInDays":36}}`,
				valueAtMost(35, "36", "pointInTimeRecoverySpecification.recoveryPeriodInDays")}),
		"ListStreams": {
			{`{"Limit":"5"}`, wrongType(aText + "Integer")},
			{`{"TableName":"a"}`, lengthAtLeast(3, "a", "tableName")},
			{`{"ExclusiveStartStreamArn":"` + short + `"}`, lengthAtLeast(37, short, "exclusiveStartStreamArn")},
		},
		"DescribeStream": {
			{`{}`, missing("streamArn")},
			{`{"StreamArn":1}`, wrongType(aNumber + "String")},
			{`{"StreamArn":"` + arn + `","ShardFilter":{}}`, missing("shardFilter.type", "shardFilter.shardId")},
			{`{"StreamArn":"` + arn + `","ShardFilter":{"Type":"ALL","ShardId":"` + shardID + `"}}`,
				notIn("CHILD_SHARDS", "ALL", "shardFilter.type")},
			{`{"StreamArn":"` + arn + `","ExclusiveStartShardId":"s"}`, lengthAtLeast(28, "s", "exclusiveStartShardId")},
		},
		"GetShardIterator": {
			{`{}`, missing("streamArn", "shardId", "shardIteratorType")},
			{`{"StreamArn":"` + arn + `","ShardId":false}`, wrongType(falseValue + "String")},
			{`{"StreamArn":"` + arn + `","ShardId":"` + shardID + `","ShardIteratorType":"FIRST"}`,
				notIn(iteratorSet, "FIRST", "shardIteratorType")},
			{`{"StreamArn":"` + arn + `","ShardId":"` + shardID + `","ShardIteratorType":"LATEST","SequenceNumber":"1"}`,
				lengthAtLeast(21, "1", "sequenceNumber")},
		},
		"GetRecords": {
			{`{}`, missing("shardIterator")},
			{`{"ShardIterator":[]}`, wrongType(aList + "String")},
			{`{"ShardIterator":""}`, lengthAtLeast(1, "", "shardIterator")},
			{`{"ShardIterator":"a","Limit":1001}`, valueAtMost(1000, "1001", "limit")},
		},
		"DescribeContributorInsights": append(table[:3:3],
			shapeFault{`{` + t + `,"IndexName":"a b"}`, notNamed("a b", "indexName")}),
		"ListContributorInsights": {
			{`{"MaxResults":"a"}`, wrongType(aText + "Integer")},
			{`{"MaxResults":101}`, valueAtMost(100, "101", "maxResults")},
		},
		"DescribeKinesisStreamingDestination": table,
		"DescribeTableReplicaAutoScaling":     table,
		"GetResourcePolicy": {
			{`{}`, missing("resourceArn")},
			{`{"ResourceArn":1}`, wrongType(aNumber + "String")},
			{`{"ResourceArn":""}`, lengthAtLeast(1, "", "resourceArn")},
		},
		"ListGlobalTables": {
			{`{"ExclusiveStartGlobalTableName":1}`, wrongType(aNumber + "String")},
			{`{"Limit":0}`, valueAtLeast(1, "0", "limit")},
		},
		"DescribeGlobalTable":         global,
		"DescribeGlobalTableSettings": global,
		"ListImports": {
			{`{"PageSize":"a"}`, wrongType(aText + "Integer")},
			{`{"PageSize":26}`, valueAtMost(25, "26", "pageSize")},
		},
		"ListExports": {
			{`{"MaxResults":true}`, wrongType(trueValue + "Integer")},
			{`{"MaxResults":0}`, valueAtLeast(1, "0", "maxResults")},
		},
		"DescribeImport": {
			{`{}`, missing("importArn")},
			{`{"ImportArn":1}`, wrongType(aNumber + "String")},
			{`{"ImportArn":"` + short + `"}`, lengthAtLeast(37, short, "importArn")},
		},
		"DescribeExport": {
			{`{}`, missing("exportArn")},
			{`{"ExportArn":1}`, wrongType(aNumber + "String")},
			{`{"ExportArn":"` + short + `"}`, lengthAtLeast(37, short, "exportArn")},
		},
	}
}

// Every operation reports the faults of its requests' shapes in DynamoDB's words, before it looks
// for the table.
func TestShapeErrors(t *testing.T) {
	h := New(Options{})
	all := map[string][]shapeFault{}
	for _, faults := range []map[string][]shapeFault{itemFaults(), tableFaults(), otherFaults()} {
		for op, of := range faults {
			all[op] = of
		}
	}
	for _, named := range allOperations() {
		for name, op := range named {
			required, typed, absences := false, false, false
			for _, m := range op.shape.members {
				required = required || m.notNull || m.required
			}
			for _, c := range all[name] {
				if got := call(t, h, name, c.request); got != c.want {
					t.Errorf("%s %.200s:\n got %s\nwant %s", name, c.request, got, c.want)
				}
				typed = typed || strings.HasPrefix(c.want, "SerializationException")
				absences = absences || c.request == `{}`
			}
			if !typed || required && !absences {
				t.Errorf("%s: want a request with a wrong type, and {} if a member is required", name)
			}
			delete(all, name)
		}
	}
	for name := range all {
		t.Errorf("%s: not an operation", name)
	}
}
