package transfer

import (
	"context"
	"encoding/json"
)

// Tables returns the names of all tables, sorted as the server sorts them.
func (c *Client) Tables(ctx context.Context) ([]string, error) {
	var names []string
	request := map[string]any{}
	for {
		var answer struct {
			TableNames             []string
			LastEvaluatedTableName string
		}
		if err := c.call(ctx, "ListTables", request, &answer); err != nil {
			return nil, err
		}
		names = append(names, answer.TableNames...)
		if answer.LastEvaluatedTableName == "" {
			return names, nil
		}
		request["ExclusiveStartTableName"] = answer.LastEvaluatedTableName
	}
}

// A Table is a server's description of a table.
type Table struct {
	TableName             string
	TableArn              string
	TableStatus           string
	ItemCount             int64
	TableSizeBytes        int64
	KeySchema             []KeyElement
	AttributeDefinitions  []struct{ AttributeName, AttributeType string }
	BillingModeSummary    struct{ BillingMode string }
	ProvisionedThroughput struct {
		ReadCapacityUnits, WriteCapacityUnits int64
	}
	GlobalSecondaryIndexes []Index
	LocalSecondaryIndexes  []Index
	StreamSpecification    struct {
		StreamEnabled  bool
		StreamViewType string
	}

	JSON json.RawMessage `json:"-"` // the whole description
}

// A KeyElement is an attribute of a key; its type is HASH or RANGE.
type KeyElement struct{ AttributeName, KeyType string }

// An Index is a server's description of an index.
type Index struct {
	IndexName   string
	IndexStatus string // of global indexes
	KeySchema   []KeyElement
	Projection  struct {
		ProjectionType   string
		NonKeyAttributes []string
	}
	ItemCount      int64
	IndexSizeBytes int64
}

// Describe returns the server's description of a table.
func (c *Client) Describe(ctx context.Context, table string) (Table, error) {
	var answer struct{ Table json.RawMessage }
	if err := c.call(ctx, "DescribeTable", map[string]any{"TableName": table}, &answer); err != nil {
		return Table{}, err
	}
	t := Table{JSON: answer.Table}
	return t, json.Unmarshal(answer.Table, &t)
}

// Type returns the type of a key's attribute: S, N or B.
func (t *Table) Type(attribute string) string {
	for _, d := range t.AttributeDefinitions {
		if d.AttributeName == attribute {
			return d.AttributeType
		}
	}
	return ""
}

// keyNames returns the attributes of the table's key.
func (t *Table) keyNames() []string {
	names := make([]string, len(t.KeySchema))
	for i, k := range t.KeySchema {
		names[i] = k.AttributeName
	}
	return names
}
