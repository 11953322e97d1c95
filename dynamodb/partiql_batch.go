package dynamodb

import (
	"context"
	"strings"

	"holdfast/item"
	"holdfast/partiql"
	"holdfast/table"
)

// batchExecuteStatement runs statements one after the other. Each succeeds or fails on its own.
func (o *statementOps) batchExecuteStatement(ctx context.Context, req node, w *writer) error {
	var capacities []table.Capacity
	w.beginObject()
	w.name("Responses")
	w.beginArray()
	req.get("Statements").each(func(_ string, n node) bool {
		returned, reached, capacity, err := o.batched(ctx, n)
		w.beginObject()
		if err != nil {
			w.name("Error")
			w.beginObject()
			e := wireErrorOf(err, o.log)
			w.strField("Code", batchCode(e.typ))
			w.strField("Message", e.message)
			w.endObject()
		}
		w.itemField("Item", returned)
		if reached != "" {
			w.strField("TableName", reached)
			capacities = addCapacity(capacities, capacity)
		}
		w.endObject()
		return true
	})
	w.endArray()
	measuredOf(req).writeAll(w, capacities, false)
	w.endObject()
	return nil
}

// batched runs one statement of a batch. reached is its table, or "" if the statement was refused
// before its table was read.
func (o *statementOps) batched(ctx context.Context, n node) (returned item.Item, reached string,
	capacity table.Capacity, err error) {
	parameters, err := parametersOf(n)
	if err != nil {
		return nil, "", capacity, err
	}
	s, err := partiql.Parse(n.get("Statement").text(), parameters)
	if err != nil {
		return nil, "", capacity, err
	}
	switch s.Kind {
	case partiql.Select:
		get, err := o.getOf(&s, "BatchExecuteStatement")
		if err != nil {
			return nil, "", capacity, err
		}
		get.Consistent = n.get("ConsistentRead").bool()
		got, err := o.tables.Get(ctx, get)
		return s.Columns(got.Item), s.Table, got.Capacity, err
	case partiql.Exists:
		return nil, "", capacity, invalid("EXISTS() is supported in ExecuteTransaction only")
	}
	change, err := o.changeOf(&s)
	if err != nil {
		return nil, "", capacity, err
	}
	returned, capacity, err = change.run(ctx, o.tables)
	return returned, s.Table, capacity, err
}

// getOf returns the read of the single item that a SELECT in a batch or transaction names.
func (o *statementOps) getOf(s *partiql.Statement, operation string) (table.Get, error) {
	d, err := o.described(s)
	if err != nil {
		return table.Get{}, err
	}
	if x := indexOf(&d, s.Index); x != nil && x.Key.Multi() {
		return table.Get{}, errMultiKey()
	}
	key, more, ok := s.Key(d.Key)
	if !ok || more || s.Index != "" {
		return table.Get{}, invalid("Select statements within %s must specify the primary key in the where clause.",
			operation)
	}
	return table.Get{Table: s.Table, Key: key}, nil
}

// batchCode returns a batch's name for an exception.
func batchCode(typ string) string {
	code := strings.TrimSuffix(typ[strings.LastIndexByte(typ, '#')+1:], "Exception")
	switch code {
	case "Validation", "Throttling":
		return code + "Error"
	}
	return code
}
