package dynamodb

var (
	shapeStatement  = sized(1, 8192)
	shapeParameters = shapeValues.bounded(1, unlimited)
)

// PartiQL requests.
var (
	shapeExecuteStatement = structure("ExecuteStatementInput",
		need("Statement", shapeStatement),
		field("Parameters", shapeParameters),
		field("ConsistentRead", scalar(formBoolean)),
		field("NextToken", sized(1, 32768)),
		field("ReturnConsumedCapacity", shapeCapacity),
		field("Limit", integer(1, unlimited)),
		field("ReturnValuesOnConditionCheckFailure", shapeOnFailure),
	)
	shapeBatchExecuteStatement = structure("BatchExecuteStatementInput",
		need("Statements", list(structure("BatchStatementRequest",
			need("Statement", shapeStatement),
			field("Parameters", shapeParameters),
			field("ConsistentRead", scalar(formBoolean)),
			field("ReturnValuesOnConditionCheckFailure", shapeOnFailure),
		)).bounded(1, 25)),
		field("ReturnConsumedCapacity", shapeCapacity),
	)
	shapeExecuteTransaction = structure("ExecuteTransactionInput",
		need("TransactStatements", list(structure("ParameterizedStatement",
			need("Statement", shapeStatement),
			field("Parameters", shapeParameters),
			field("ReturnValuesOnConditionCheckFailure", shapeOnFailure),
		)).bounded(1, 100)),
		field("ClientRequestToken", sized(1, 36)),
		field("ReturnConsumedCapacity", shapeCapacity),
	)
)
