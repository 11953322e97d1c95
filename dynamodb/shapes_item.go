package dynamodb

// Parts that many shapes share.
var (
	shapeStrings    = list(scalar(formString))
	shapeBlobs      = list(scalar(formBlob))
	shapeValue      = scalar(formValue)
	shapeValues     = list(shapeValue)
	shapeAttributes = dict(modelPrefix+"AttributeValue", shapeValue)

	shapeNames      = dict("java.lang.String", scalar(formString))
	shapeSomeNames  = list(scalar(formString)).bounded(1, 255)
	shapeCapacity   = enum("INDEXES", "TOTAL", "NONE")
	shapeMetrics    = enum("SIZE", "NONE")
	shapeReturned   = enum("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")
	shapeOnFailure  = enum("ALL_OLD", "NONE")
	shapeLogical    = enum("OR", "AND")
	shapeSelect     = enum("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES")
	shapeComparison = enum("IN", "NULL", "BETWEEN", "LT", "NOT_CONTAINS", "EQ", "GT", "NOT_NULL", "NE", "LE",
		"BEGINS_WITH", "GE", "CONTAINS")

	shapeExpected = dict(modelPrefix+"ExpectedAttributeValue", structure("ExpectedAttributeValue",
		field("AttributeValueList", shapeValues),
		field("ComparisonOperator", shapeComparison),
		field("Exists", scalar(formBoolean)),
		field("Value", shapeValue),
	))
	shapeConditions = dict(modelPrefix+"Condition", structure("Condition",
		field("AttributeValueList", shapeValues),
		need("ComparisonOperator", shapeComparison),
	))
)

// emptyTable is the error's text if a table's name is empty and everything else is valid. Since an
// ARN may be given instead, the name's own length is checked only later.
const emptyTable = "1 validation error detected: Value '' at 'tableName' failed to satisfy constraint: " +
	"Member must have length greater than or equal to 1"

// Requests for single items.
var (
	shapeGetItem = structure("GetItemInput",
		field("AttributesToGet", shapeSomeNames),
		field("ReturnConsumedCapacity", shapeCapacity),
		need("Key", shapeAttributes),
		need("TableName", namedOrARN()).orEmpty(emptyTable),
		field("ConsistentRead", scalar(formBoolean)),
		field("ProjectionExpression", scalar(formString)),
		field("ExpressionAttributeNames", shapeNames),
	)
	shapePutItem = structure("PutItemInput",
		field("ReturnConsumedCapacity", shapeCapacity),
		need("TableName", namedOrARN()).orEmpty(emptyTable),
		need("Item", shapeAttributes),
		field("ReturnValues", shapeReturned),
		field("ReturnItemCollectionMetrics", shapeMetrics),
		field("ReturnValuesOnConditionCheckFailure", shapeOnFailure),
		field("ConditionalOperator", shapeLogical),
		field("Expected", shapeExpected),
		field("ConditionExpression", scalar(formString)),
		field("ExpressionAttributeValues", shapeAttributes),
		field("ExpressionAttributeNames", shapeNames),
	)
	shapeUpdateItem = structure("UpdateItemInput",
		field("ReturnConsumedCapacity", shapeCapacity),
		need("TableName", namedOrARN()).orEmpty(emptyTable),
		field("ReturnItemCollectionMetrics", shapeMetrics),
		field("ReturnValues", shapeReturned),
		field("ReturnValuesOnConditionCheckFailure", shapeOnFailure),
		need("Key", shapeAttributes),
		field("ConditionalOperator", shapeLogical),
		field("Expected", shapeExpected),
		field("AttributeUpdates", dict(modelPrefix+"AttributeValueUpdate", structure("AttributeValueUpdate",
			field("Action", enum("ADD", "PUT", "DELETE")),
			field("Value", shapeValue),
		))),
		field("ConditionExpression", scalar(formString)),
		field("UpdateExpression", scalar(formString)),
		field("ExpressionAttributeValues", shapeAttributes),
		field("ExpressionAttributeNames", shapeNames),
	)
	shapeDeleteItem = structure("DeleteItemInput",
		field("ReturnConsumedCapacity", shapeCapacity),
		need("TableName", namedOrARN()).orEmpty(emptyTable),
		need("Key", shapeAttributes),
		field("ReturnValues", shapeReturned),
		field("ReturnItemCollectionMetrics", shapeMetrics),
		field("ReturnValuesOnConditionCheckFailure", shapeOnFailure),
		field("ConditionalOperator", shapeLogical),
		field("Expected", shapeExpected),
		field("ConditionExpression", scalar(formString)),
		field("ExpressionAttributeValues", shapeAttributes),
		field("ExpressionAttributeNames", shapeNames),
	)
	shapeQuery = structure("QueryInput",
		field("Select", shapeSelect),
		field("IndexName", named()),
		field("ReturnConsumedCapacity", shapeCapacity),
		field("QueryFilter", shapeConditions),
		need("TableName", namedOrARN()),
		field("ConditionalOperator", shapeLogical),
		field("AttributesToGet", shapeSomeNames),
		field("Limit", integer(1, unlimited)).orTerse(),
		field("KeyConditions", shapeConditions),
		field("ExclusiveStartKey", shapeAttributes),
		field("ConsistentRead", scalar(formBoolean)),
		field("ScanIndexForward", scalar(formBoolean)),
		field("KeyConditionExpression", scalar(formString)),
		field("FilterExpression", scalar(formString)),
		field("ProjectionExpression", scalar(formString)),
		field("ExpressionAttributeValues", shapeAttributes),
		field("ExpressionAttributeNames", shapeNames),
	)
	shapeScan = structure("ScanInput",
		field("Select", shapeSelect),
		field("IndexName", named()),
		field("TotalSegments", integer(1, 1_000_000)),
		field("ReturnConsumedCapacity", shapeCapacity),
		need("TableName", namedOrARN()),
		field("ConditionalOperator", shapeLogical),
		field("ScanFilter", shapeConditions),
		field("Segment", integer(0, 999_999)),
		field("Limit", integer(1, unlimited)),
		field("AttributesToGet", shapeSomeNames),
		field("ExclusiveStartKey", shapeAttributes),
		field("ConsistentRead", scalar(formBoolean)),
		field("FilterExpression", scalar(formString)),
		field("ProjectionExpression", scalar(formString)),
		field("ExpressionAttributeValues", shapeAttributes),
		field("ExpressionAttributeNames", shapeNames),
	)
)
