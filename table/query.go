package table

import (
	"cmp"
	"context"

	"holdfast/item"
	"holdfast/shard"
)

// Query returns a page of the items with one partition key, in order of their sort key: those of
// the table, or the entries of an index. The page ends at Limit items, or at 1 MiB, before the
// filter. Errors are Invalid, NotFound, Overloaded, and those of package shard.
func (s *Store) Query(ctx context.Context, q Query) (Page, error) {
	if err := q.Key.Check(); err != nil {
		return Page{}, err
	}
	t, err := s.tables.serving(q.Table)
	if err != nil {
		// Without a table its key isn't known, but no key has more attributes than one and one.
		return Page{}, cmp.Or(q.Key.CheckSingle(), err)
	}
	r, err := t.checkQuery(q)
	if err != nil {
		return Page{}, err
	}
	page, err := r.page(ctx)
	return page, s.tables.outlived(t, r.indexGone(err, &s.tables))
}

// checkQuery returns what a query reads. Its checks are in DynamoDB's order.
func (t *live) checkQuery(q Query) (*read, error) {
	x, err := t.readIndex(q.Index, q.Consistent)
	if err != nil {
		return nil, err
	}
	key := t.key
	r := &read{t: t, index: x, span: shard.Span{Reverse: q.Reverse}, filter: q.Filter, project: q.Project,
		count: q.Select == SelectCount, limit: q.Limit, query: true, consistent: q.Consistent}
	if x != nil {
		key, r.span.Index = x.Key, beside(x)
	}
	if err := t.locateSpan(r, key, q); err != nil {
		return nil, err
	}
	if err := t.checkNested(q.Project.Nested()); err != nil {
		return nil, err
	}
	if err := checkFiltered(q.Filter, key); err != nil {
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

// locateSpan sets the span of a query: what its key condition allows, after its start.
func (t *live) locateSpan(r *read, key item.IndexKey, q Query) error {
	if q.Start != nil {
		if len(q.Start) != len(t.startNames(r.index)) {
			return invalid("The provided starting key is invalid")
		}
		if err := checkStartPart(q.Start, key.Hash); err != nil {
			return err
		}
	}
	lookup, err := q.Key.Resolve(key)
	if err != nil {
		return err
	}
	r.span.Range = key.Within(lookup)
	if q.Start == nil {
		return nil
	}
	if err := checkStartPart(q.Start, key.Range); err != nil {
		return err
	}
	start, err := t.startKey(r.index, q.Start)
	if err != nil {
		return err
	}
	if err := checkStartWithin(q.Start, key, lookup); err != nil {
		return err
	}
	if r.single() {
		return invalid("The provided exclusive start key is invalid: ExclusiveStartKey: {%s=AttributeValue: %s}",
			key.Hash[0].Name, lookup.Hash[0].InMessage())
	}
	r.continueAfter(start)
	return nil
}

// checkStartWithin returns an error unless a page of the query could have ended at the start.
func checkStartWithin(start item.Item, key item.IndexKey, l item.Lookup) error {
	inside := true
	for i, a := range key.Hash {
		v, _ := start.Get(a.Name)
		inside = inside && v.Equal(l.Hash[i])
	}
	if len(l.Sort) == 0 {
		if !inside {
			return invalid("The provided starting key is outside query boundaries based on provided conditions")
		}
		return nil
	}
	for i := range l.Sort {
		if v, _ := start.Get(key.Range[i].Name); !matchesRange(&l.Sort[i], v) {
			return invalid("The provided starting key does not match the range key predicate")
		}
	}
	if !inside {
		return invalid("The query can return at most one row and cannot be restarted")
	}
	return nil
}
