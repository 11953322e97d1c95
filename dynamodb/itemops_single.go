package dynamodb

import (
	"context"
	"errors"

	"holdfast/item"
	"holdfast/table"
)

var (
	getParameters    = parameters{[]string{"ProjectionExpression"}, []string{"AttributesToGet"}}
	writeParameters  = parameters{[]string{"ConditionExpression"}, []string{"Expected"}}
	updateParameters = parameters{[]string{"UpdateExpression", "ConditionExpression"},
		[]string{"AttributeUpdates", "Expected"}}
)

func (o *itemOps) getItem(ctx context.Context, req node, w *writer) error {
	get, err := getOf(req)
	if err != nil {
		return err
	}
	got, err := o.tables.Get(ctx, get)
	if err != nil {
		return err
	}
	w.beginObject()
	measuredOf(req).write(w, got.Capacity)
	w.itemField("Item", got.Item)
	w.endObject()
	return nil
}

// getOf returns the read that a GetItem, or a Get of a transaction, asks for.
func getOf(req node) (get table.Get, err error) {
	if err := getParameters.apart(req); err != nil {
		return get, err
	}
	get.Table = tableName(req)
	get.Consistent = truth(req.get("ConsistentRead"))
	if get.Key, err = attributes(req.get("Key")); err != nil {
		return get, err
	}
	get.Project, err = projectionOf(req)
	return get, err
}

// projectionOf returns a read's projection, from its expression or its legacy parameter; nil if
// there is none.
func projectionOf(req node) (*item.Projection, error) {
	legacy, err := attributesToGet(req)
	if err != nil || legacy != nil {
		return legacy, err
	}
	e, err := getParameters.parse(req)
	return e.projection, err
}

func (o *itemOps) putItem(ctx context.Context, req node, w *writer) error {
	put, err := putOf(req)
	if err != nil {
		return err
	}
	written, err := o.tables.Put(ctx, put)
	return writeWritten(req, w, written, err, oldOf)
}

// putOf returns the put that a PutItem, or a Put of a transaction, asks for.
func putOf(req node) (put table.Put, err error) {
	if err := writeParameters.apart(req); err != nil {
		return put, err
	}
	put.Table = tableName(req)
	if put.Item, err = newItem(req.get("Item")); err != nil && err != errItemTooLarge {
		return put, err
	}
	if err := onlyOldValues(req); err != nil {
		return put, err
	}
	if err != nil || put.Item.Size() > item.MaxItemBytes {
		return put, errItemTooLarge
	}
	put.If, err = conditionOf(req)
	return put, err
}

func (o *itemOps) deleteItem(ctx context.Context, req node, w *writer) error {
	del, err := deleteOf(req)
	if err != nil {
		return err
	}
	written, err := o.tables.Delete(ctx, del)
	return writeWritten(req, w, written, err, oldOf)
}

// deleteOf returns the delete that a DeleteItem, or a Delete of a transaction, asks for.
func deleteOf(req node) (del table.Delete, err error) {
	if err := writeParameters.apart(req); err != nil {
		return del, err
	}
	del.Table = tableName(req)
	if del.Key, err = attributes(req.get("Key")); err != nil {
		return del, err
	}
	if err := onlyOldValues(req); err != nil {
		return del, err
	}
	del.If, err = conditionOf(req)
	return del, err
}

// onlyOldValues refuses the ReturnValues that are valid only for an update.
func onlyOldValues(req node) error {
	switch req.get("ReturnValues").text() {
	case "", "NONE", "ALL_OLD":
		return nil
	}
	return invalid("ReturnValues can only be ALL_OLD or NONE")
}

// conditionOf returns the condition of a put or delete, from its expression or its legacy
// parameters; nil if there is none.
func conditionOf(req node) (*item.Condition, error) {
	legacy, err := expected(req)
	if err != nil || legacy != nil {
		return legacy, err
	}
	e, err := writeParameters.parse(req)
	return e.condition, err
}

func (o *itemOps) updateItem(ctx context.Context, req node, w *writer) error {
	update, err := updateOf(req)
	if err != nil {
		return err
	}
	written, err := o.tables.Update(ctx, update)
	return writeWritten(req, w, written, err, func(values string, written table.Written) item.Item {
		switch values {
		case "ALL_NEW":
			return written.After
		case "UPDATED_OLD":
			return touched(update.Change, written.Before)
		case "UPDATED_NEW":
			return touched(update.Change, written.After)
		}
		return oldOf(values, written)
	})
}

// touched returns the parts of an item that an update changes; nil if it has none.
func touched(u *item.Update, it item.Item) item.Item {
	if u == nil || it == nil {
		return nil
	}
	if part := u.Touched(it); len(part) > 0 {
		return part
	}
	return nil
}

// updateOf returns the update that an UpdateItem, or an Update of a transaction, asks for.
func updateOf(req node) (update table.Update, err error) {
	if err := updateParameters.apart(req); err != nil {
		return update, err
	}
	update.Table = tableName(req)
	if update.Key, err = attributes(req.get("Key")); err != nil {
		return update, err
	}
	if update.Change, err = attributeUpdates(req); err != nil {
		return update, err
	}
	update.Legacy = update.Change != nil
	if update.If, err = expected(req); err != nil {
		return update, err
	}
	e, err := updateParameters.parse(req)
	if e.update != nil {
		update.Change = e.update
	}
	if e.condition != nil {
		update.If = e.condition
	}
	return update, err
}

// attributeUpdates returns the update of the legacy parameter; nil if there is none.
func attributeUpdates(req node) (*item.Update, error) {
	n := req.get("AttributeUpdates")
	if n.kind() == absent {
		return nil, nil
	}
	var err error
	list := make([]item.AttributeUpdate, 0, n.len())
	n.each(func(attr string, member node) bool {
		u := item.AttributeUpdate{Attr: attr, Action: member.get("Action").text()}
		if v := member.get("Value"); v.kind() != absent {
			u.HasValue = true
			u.Value, err = attributeValue(v)
		}
		list = append(list, u)
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	return item.AttributeUpdates(list)
}

// oldOf returns the item that a put or delete returns for its ReturnValues.
func oldOf(values string, written table.Written) item.Item {
	if values == "ALL_OLD" {
		return written.Before
	}
	return nil
}

// writeWritten writes the response to a put, update or delete, or returns its error.
func writeWritten(req node, w *writer, written table.Written, err error,
	returned func(values string, written table.Written) item.Item) error {
	if err != nil {
		return withoutItem(err, req)
	}
	w.beginObject()
	w.itemField("Attributes", returned(req.get("ReturnValues").text(), written))
	measuredOf(req).write(w, written.Capacity)
	writeCollection(w, req, written.Collection)
	w.endObject()
	return nil
}

// withoutItem removes the item from a failed condition's error unless the request asked for it.
func withoutItem(err error, req node) error {
	if condition := new(table.ConditionError); errors.As(err, &condition) && !wantsItem(req) {
		return &table.ConditionError{}
	}
	return err
}

// wantsItem reports whether a write asks for the item if its condition fails.
func wantsItem(req node) bool {
	return req.get("ReturnValuesOnConditionCheckFailure").text() == "ALL_OLD"
}
