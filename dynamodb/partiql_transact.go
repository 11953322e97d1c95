package dynamodb

import (
	"context"
	"errors"
	"slices"
	"strings"

	"holdfast"
	"holdfast/partiql"
	"holdfast/table"
)

// executeTransaction runs statements as one transaction. Either all read, or all write or check.
func (o *statementOps) executeTransaction(ctx context.Context, req node, w *writer) error {
	statements, err := transactStatements(req.get("TransactStatements"))
	if err != nil {
		return err
	}
	reads := statements[0].Kind == partiql.Select
	for i := range statements {
		if err := transactable(&statements[i], reads); err != nil {
			return statementFault(i, err)
		}
	}
	var capacities []table.Capacity
	var got []table.Got
	if reads {
		got, err = o.transactSelect(ctx, statements)
	} else {
		capacities, err = o.transactChange(ctx, statements, req)
	}
	if err != nil {
		return err
	}
	w.beginObject()
	w.name("Responses")
	w.beginArray()
	for i, g := range got {
		w.beginObject()
		w.itemField("Item", statements[i].Columns(g.Item))
		w.endObject()
		capacities = addCapacity(capacities, g.Capacity)
	}
	w.endArray()
	measuredOf(req).writeAll(w, capacities, true)
	w.endObject()
	return nil
}

// transactStatements parses the statements of a transaction.
func transactStatements(list node) ([]partiql.Statement, error) {
	statements := make([]partiql.Statement, 0, list.len())
	var err error
	list.each(func(_ string, n node) bool {
		parameters, faulty := parametersOf(n)
		if err = faulty; err != nil {
			return false
		}
		var s partiql.Statement
		if s, err = partiql.Parse(n.get("Statement").text(), parameters); err != nil {
			err = statementFault(len(statements), err)
		}
		statements = append(statements, s)
		return err == nil
	})
	return statements, err
}

// transactable refuses statements that a transaction can't have. reads is whether the transaction
// reads.
func transactable(s *partiql.Statement, reads bool) error {
	switch {
	case s.Returning != 0:
		return invalid("RETURNING clause is not supported in ExecuteTransaction.")
	case s.Kind == partiql.Select && s.Index != "":
		return invalid("Reads on indices are not supported within transactions.")
	case s.Index != "":
		return invalid("Operations on indices are not supported in transactions")
	case reads != (s.Kind == partiql.Select):
		return invalid("Unsupported operation in transaction.")
	}
	return nil
}

// statementFault adds to an error which of a transaction's statements it is about, if the statement
// is at fault.
func statementFault(i int, err error) error {
	var wire *wireError
	if errors.As(err, &wire) && strings.HasSuffix(wire.typ, "#ValidationException") || errors.Is(err, holdfast.Invalid) {
		return invalid("Validation failed in TransactStatements[%d]: %s", i, err)
	}
	return err
}

// transactSelect reads one item for each statement.
func (o *statementOps) transactSelect(ctx context.Context, statements []partiql.Statement) ([]table.Got, error) {
	gets := make([]table.Get, len(statements))
	for i := range statements {
		get, err := o.getOf(&statements[i], "ExecuteTransaction")
		if err != nil {
			return nil, statementFault(i, err)
		}
		get.Consistent = true
		gets[i] = get
	}
	return o.tables.TransactGet(ctx, gets)
}

// transactChange applies the statements. Its result has no responses.
func (o *statementOps) transactChange(ctx context.Context, statements []partiql.Statement,
	req node) (capacities []table.Capacity, err error) {
	list := req.get("TransactStatements")
	transaction := table.Transaction{Token: strings.Clone(req.get("ClientRequestToken").text())}
	if transaction.Token != "" {
		transaction.Digest = digestOf(list)
	}
	for i := range statements {
		c, err := o.changeOf(&statements[i])
		if err != nil {
			return nil, statementFault(i, err)
		}
		transaction.Actions = append(transaction.Actions, c.action)
	}
	written, err := o.tables.TransactWrite(ctx, transaction)
	if err != nil {
		return nil, statementReasons(err, statements, list)
	}
	for _, one := range written {
		capacities = addCapacity(capacities, one.Capacity)
	}
	return capacities, nil
}

// statementReasons adapts the reasons of a canceled transaction to statements: the text for
// duplicates, and items only where they were requested.
func statementReasons(err error, statements []partiql.Statement, list node) error {
	canceled := new(table.CanceledError)
	if !errors.As(err, &canceled) {
		return err
	}
	reasons := slices.Clone(canceled.Reasons)
	i := 0
	list.each(func(_ string, n node) bool {
		if i < len(reasons) {
			if statements[i].Kind == partiql.Insert && reasons[i].Code == "ConditionalCheckFailed" {
				reasons[i].Code, reasons[i].Message = "DuplicateItem", duplicate
			}
			if !wantsItem(n) {
				reasons[i].Item = nil
			}
		}
		i++
		return true
	})
	return &table.CanceledError{Reasons: reasons}
}
