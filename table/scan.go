package table

import (
	"bytes"
	"context"

	"holdfast/item"
	"holdfast/shard"
)

// Scan returns a page of all items of the table, or of all entries of an index, in order of the
// hash of their partition key. With Segments, it reads only those whose hash lies in one of so many
// equal parts. Its pages and errors are those of Query.
func (s *Store) Scan(ctx context.Context, q Scan) (Page, error) {
	t, err := s.tables.serving(q.Table)
	if err != nil {
		return Page{}, err
	}
	r, err := t.checkScan(q)
	if err != nil {
		return Page{}, err
	}
	page, err := r.page(ctx)
	return page, s.tables.outlived(t, r.indexGone(err, &s.tables))
}

// checkScan returns what a scan reads. Its checks are in DynamoDB's order.
func (t *live) checkScan(q Scan) (*read, error) {
	x, err := t.readIndex(q.Index, q.Consistent)
	if err != nil {
		return nil, err
	}
	r := &read{t: t, index: x, filter: q.Filter, project: q.Project,
		count: q.Select == SelectCount, limit: q.Limit, consistent: q.Consistent}
	if x != nil {
		r.span.Index = beside(x)
	}
	if err := t.checkScanStart(x, q.Start); err != nil {
		return nil, err
	}
	if err := t.checkSelect(x, q.Select, q.Project); err != nil {
		return nil, err
	}
	if err := t.cover(r, q); err != nil {
		return nil, err
	}
	if err := t.checkNested(q.Project.Nested()); err != nil {
		return nil, err
	}
	if err := t.checkNested(q.Filter.Nested()); err != nil {
		return nil, err
	}
	r.fetch = t.fetches(x, q.Select, q.Project)
	return r, nil
}

// checkScanStart returns an error unless a start, which may be nil, has the attributes that it
// needs.
func (t *live) checkScanStart(x *item.Index, start item.Item) error {
	if start == nil {
		return nil
	}
	if len(start) != len(t.startNames(x)) {
		if x == nil {
			return invalid("The provided starting key is invalid: " + notSchema)
		}
		return invalid("The provided starting key is invalid")
	}
	if x == nil {
		return nil
	}
	if err := checkStartPart(start, x.Key.Hash); err != nil {
		return err
	}
	return checkStartPart(start, x.Key.Range)
}

// cover sets the span of a scan: its segment, after its start.
func (t *live) cover(r *read, q Scan) error {
	if q.Segments > 1 {
		r.span.Range = item.HashRange(q.Segment, q.Segments)
	}
	if q.Start == nil {
		return nil
	}
	key, err := t.startKey(r.index, q.Start)
	if err != nil {
		return err
	}
	if !within(r.span, key) {
		return invalid("The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with "+
			"correct Segment. TotalSegments: %d Segment: %d", q.Segments, q.Segment)
	}
	r.continueAfter(key)
	return nil
}

func within(span shard.Span, key item.Key) bool {
	return bytes.Compare(span.Range.From, key) <= 0 && (span.Range.To == nil || bytes.Compare(key, span.Range.To) < 0)
}
