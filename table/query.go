package table

import (
	"context"

	"holdfast/item"
	"holdfast/shard"
)

// Query returns a page of the items with one partition key, in order of their sort key: those of the table, or the entries of an
// index. The page ends at Limit items, or at 1 MiB, before the filter. Errors are Invalid, NotFound, Overloaded, and those
// of package shard.
func (s *Store) Query(ctx context.Context, q Query) (Page, error) {
	if err := q.Key.Check(); err != nil {
		return Page{}, err
	}
	t, err := s.live(q.Table)
	if err != nil {
		return Page{}, err
	}
	r, err := t.checkQuery(q)
	if err != nil {
		return Page{}, err
	}
	page, err := s.page(ctx, r)
	return page, s.outlived(t, err)
}

// checkQuery says what a query reads. Its checks are in DynamoDB's order.
func (t *live) checkQuery(q Query) (*read, error) {
	x, err := t.readIndex(q.Index, q.Consistent)
	if err != nil {
		return nil, err
	}
	schema := t.schema.Key
	r := &read{t: t, index: x, span: shard.Span{Reverse: q.Reverse}, filter: q.Filter, project: q.Project,
		count: q.Select == SelectCount, limit: q.Limit, consistent: q.Consistent}
	if x != nil {
		schema, r.span.Index = x.Key, x.ID
	}
	if err := t.aim(r, schema, q); err != nil {
		return nil, err
	}
	if err := t.checkNested(q.Project.Nested()); err != nil {
		return nil, err
	}
	if err := checkFiltered(q.Filter, schema); err != nil {
		return nil, err
	}
	if err := t.checkSelect(x, q.Select, q.Project); err != nil {
		return nil, err
	}
	if err := t.checkNested(q.Filter.Nested()); err != nil {
		return nil, err
	}
	if r.fetch = t.fetches(x, q.Select, q.Project); r.fetch {
		return r, nil
	}
	return r, t.checkFilterHeld(x, q.Filter)
}

// aim sets the span of a query: what its key condition allows, after its start.
func (t *live) aim(r *read, schema item.KeySchema, q Query) error {
	if q.Start != nil {
		if len(q.Start) != len(t.startNames(r.index)) {
			return invalid("The provided starting key is invalid")
		}
		if err := checkStartPart(q.Start, schema.Hash); err != nil {
			return err
		}
	}
	hash, condition, err := q.Key.Resolve(schema)
	if err != nil {
		return err
	}
	r.span.Range = schema.Within(hash, condition)
	if q.Start == nil {
		return nil
	}
	if schema.Range.Name != "" {
		if err := checkStartPart(q.Start, schema.Range); err != nil {
			return err
		}
	}
	key, err := t.startKey(r.index, q.Start)
	if err != nil {
		return err
	}
	if err := checkStartWithin(q.Start, schema, hash, condition); err != nil {
		return err
	}
	r.continueAfter(key)
	return nil
}

// checkStartWithin says whether a start is one that its query could have ended with.
func checkStartWithin(start item.Item, schema item.KeySchema, hash item.Value, condition *item.RangeCondition) error {
	startHash, _ := start.Get(schema.Hash.Name)
	if condition == nil {
		if !startHash.Equal(hash) {
			return invalid("The provided starting key is outside query boundaries based on provided conditions")
		}
		return nil
	}
	if sort, _ := start.Get(schema.Range.Name); !matchesRange(condition, sort) {
		return invalid("The provided starting key does not match the range key predicate")
	}
	if !startHash.Equal(hash) {
		return invalid("The query can return at most one row and cannot be restarted")
	}
	return nil
}
