package dynamodb

import (
	"context"
	"errors"
	"log/slog"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/partiql"
	"holdfast/table"
)

// statementOps are the operations that run statements of PartiQL.
type statementOps struct {
	tables *table.Store
	log    *slog.Logger // logs the causes of errors of a batch's statements
}

func (o *statementOps) operations() []operation {
	return []operation{
		{"ExecuteStatement", shapeExecuteStatement, o.executeStatement},
		{"BatchExecuteStatement", shapeBatchExecuteStatement, o.batchExecuteStatement},
		{"ExecuteTransaction", shapeExecuteTransaction, o.executeTransaction},
	}
}

func (o *statementOps) executeStatement(ctx context.Context, req node, w *writer) error {
	parameters, err := parametersOf(req)
	if err != nil {
		return err
	}
	s, err := partiql.Parse(req.get("Statement").text(), parameters)
	if err != nil {
		return err
	}
	switch s.Kind {
	case partiql.Select:
		return o.selectItems(ctx, &s, req, w)
	case partiql.Exists:
		return invalid("EXISTS() is supported in ExecuteTransaction only")
	}
	change, err := o.changeOf(&s)
	if err != nil {
		return err
	}
	returned, capacity, err := change.run(ctx, o.tables)
	if err != nil {
		return withoutItem(err, req)
	}
	w.beginObject()
	w.name("Items")
	w.beginArray()
	if returned != nil {
		w.item(returned)
	}
	w.endArray()
	measuredOf(req).write(w, capacity)
	w.endObject()
	return nil
}

// parametersOf returns the values for a statement's question marks.
func parametersOf(req node) ([]item.Value, error) {
	var values []item.Value
	var err error
	req.get("Parameters").each(func(_ string, n node) bool {
		var v item.Value
		v, err = attributeValue(n)
		values = append(values, v)
		return err == nil
	})
	return values, err
}

// described returns the description of a statement's table.
func (o *statementOps) described(s *partiql.Statement) (catalog.Description, error) {
	d, err := o.tables.Describe(s.Table)
	if errors.Is(err, holdfast.NotFound) {
		err = holdfast.Errorf(holdfast.NotFound, "Requested resource not found") // DescribeTable's text has the name too
	}
	return d, err
}

// A change is a statement that writes, or an EXISTS, with its action on the table.
type change struct {
	statement *partiql.Statement
	action    table.Action
}

// changeOf converts a statement that writes, or an EXISTS, to an action on its table.
func (o *statementOps) changeOf(s *partiql.Statement) (change, error) {
	d, err := o.described(s)
	if err != nil {
		return change{}, err
	}
	c := change{statement: s}
	switch s.Kind {
	case partiql.Insert:
		condition, err := partiql.IfAbsent(d.Key)
		c.action.Put = &table.Put{Table: s.Table, Item: s.Item, If: condition}
		if err == nil && s.Item.Size() > item.MaxItemBytes {
			err = errItemTooLarge
		}
		return c, err
	case partiql.Exists:
		key, more, ok := s.Key(d.Key)
		if !ok || !more {
			return c, invalid("EXISTS() must contain a single item read with additional condition")
		}
		c.action.Check = &table.Check{Table: s.Table, Key: key, If: s.Where}
		return c, nil
	}
	key, err := s.Written(d.Key)
	if err != nil {
		return c, err
	}
	if s.Kind == partiql.Update {
		// A missing item has no key that equals the clause's, so the update creates none.
		c.action.Update = &table.Update{Table: s.Table, Key: key, Change: s.Change, If: s.Where}
		return c, nil
	}
	condition, err := s.IfPresent(d.Key)
	c.action.Delete = &table.Delete{Table: s.Table, Key: key, If: condition}
	return c, err
}

const duplicate = "Duplicate primary key exists in table"

// run applies the change and returns what its RETURNING clause asks for; nil if nothing.
func (c *change) run(ctx context.Context, tables *table.Store) (returned item.Item, capacity table.Capacity,
	err error) {
	var written table.Written
	switch a := &c.action; {
	case a.Put != nil:
		written, err = tables.Put(ctx, *a.Put)
		if errors.Is(err, holdfast.Failed) {
			err = exception("DuplicateItemException", duplicate)
		}
	case a.Delete != nil:
		written, err = tables.Delete(ctx, *a.Delete)
	default:
		written, err = tables.Update(ctx, *a.Update)
	}
	if err != nil {
		return nil, written.Capacity, err
	}
	switch c.statement.Returning {
	case partiql.AllOld:
		returned = written.Before
	case partiql.AllNew:
		returned = written.After
	case partiql.ModifiedOld:
		returned = touched(c.statement.Change, written.Before)
	case partiql.ModifiedNew:
		returned = touched(c.statement.Change, written.After)
	}
	return returned, written.Capacity, nil
}
