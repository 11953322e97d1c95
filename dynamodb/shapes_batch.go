package dynamodb

// byTable is a map from tables' names or ARNs to parts of a batch.
func byTable(elements *shape) *shape {
	s := elements.bounded(1, unlimited)
	s.keys, s.arns = namedOrARN(), true
	return s
}

// Requests for several items.
var (
	shapeBatchGetItem = structure("BatchGetItemInput",
		field("ReturnConsumedCapacity", shapeCapacity),
		need("RequestItems", byTable(dict(modelPrefix+"KeysAndAttributes", structure("KeysAndAttributes",
			need("Keys", list(shapeAttributes).bounded(1, 100)).orTerse(),
			field("AttributesToGet", shapeSomeNames),
			field("ConsistentRead", scalar(formBoolean)),
			field("ProjectionExpression", scalar(formString)),
			field("ExpressionAttributeNames", shapeNames),
		)))).orEmpty("The requestItems parameter is required for BatchGetItem"),
	)
	shapeBatchWriteItem = structure("BatchWriteItemInput",
		field("ReturnConsumedCapacity", shapeCapacity),
		field("ReturnItemCollectionMetrics", shapeMetrics),
		need("RequestItems", byTable(batchWrites())).orEmpty("The requestItems parameter is required for BatchWriteItem"),
	)
	shapeTransactGetItems = structure("TransactGetItemsInput",
		field("ReturnConsumedCapacity", shapeCapacity),
		need("TransactItems", list(structure("TransactGetItem",
			need("Get", structure("Get",
				need("Key", shapeAttributes),
				need("TableName", namedOrARN()),
				field("ProjectionExpression", scalar(formString)),
				field("ExpressionAttributeNames", shapeNames),
			)),
		)).bounded(1, 100)),
	)
	shapeTransactWriteItems = structure("TransactWriteItemsInput",
		field("ReturnConsumedCapacity", shapeCapacity),
		field("ReturnItemCollectionMetrics", shapeMetrics),
		field("ClientRequestToken", sized(1, 36)),
		need("TransactItems", list(structure("TransactWriteItem",
			field("ConditionCheck", action("ConditionCheck", need("Key", shapeAttributes),
				need("ConditionExpression", scalar(formString)))),
			field("Put", action("Put", need("Item", shapeAttributes), field("ConditionExpression", scalar(formString)))),
			field("Delete", action("Delete", need("Key", shapeAttributes), field("ConditionExpression", scalar(formString)))),
			field("Update", action("Update", need("Key", shapeAttributes), field("ConditionExpression", scalar(formString)),
				need("UpdateExpression", scalar(formString)))),
		)).bounded(1, 100)),
	)
)

func batchWrites() *shape {
	s := dict("java.util.List<"+modelPrefix+"WriteRequest>", list(structure("WriteRequest",
		field("DeleteRequest", structure("DeleteRequest", need("Key", shapeAttributes))),
		field("PutRequest", structure("PutRequest", need("Item", shapeAttributes))),
	)))
	s.values = list(shapeValue).bounded(1, 25)
	return s
}

// action is one action of a TransactWriteItems.
func action(class string, members ...member) *shape {
	return structure(class, append(members,
		need("TableName", namedOrARN()),
		field("ExpressionAttributeNames", shapeNames),
		field("ExpressionAttributeValues", shapeAttributes),
		field("ReturnValuesOnConditionCheckFailure", shapeOnFailure),
	)...)
}
