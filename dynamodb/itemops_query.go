package dynamodb

import (
	"context"
	"errors"
	"strings"

	"holdfast/item"
	"holdfast/table"
)

var (
	queryParameters = parameters{
		[]string{"ProjectionExpression", "FilterExpression", "KeyConditionExpression"},
		[]string{"AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"},
	}
	scanParameters = parameters{
		[]string{"ProjectionExpression", "FilterExpression"},
		[]string{"AttributesToGet", "ScanFilter", "ConditionalOperator"},
	}
)

func (o *itemOps) query(ctx context.Context, req node, w *writer) error {
	q, err := queryOf(req)
	if err != nil {
		return err
	}
	page, err := o.tables.Query(ctx, q)
	if err != nil {
		return err
	}
	writePage(w, req, page)
	return nil
}

func queryOf(req node) (q table.Query, err error) {
	if err := queryParameters.apart(req); err != nil {
		return q, err
	}
	q.Table, q.Index = tableName(req), req.get("IndexName").text()
	q.Limit = int(req.get("Limit").int())
	q.Consistent = truth(req.get("ConsistentRead"))
	if forward := req.get("ScanIndexForward"); forward.kind() != absent {
		q.Reverse = !truth(forward)
	}
	if q.Filter, err = legacyFilter(req, "QueryFilter"); err != nil {
		return q, err
	}
	if q.Project, err = attributesToGet(req); err != nil {
		return q, err
	}
	if q.Start, err = startKey(req); err != nil {
		return q, err
	}
	if !req.has("KeyConditions") && !req.has("KeyConditionExpression") {
		return q, invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	e, err := queryParameters.parse(req)
	if err != nil {
		return q, err
	}
	if q.Key = e.keyCondition; q.Key == nil {
		if q.Key, err = keyConditions(req); err != nil {
			return q, err
		}
	}
	q.Filter, q.Project = either(e.filter, q.Filter), either(e.projection, q.Project)
	q.Select, err = selectOf(req)
	return q, err
}

// either returns the first condition that isn't nil.
func either[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

// keyConditions returns the key condition of the legacy parameter.
func keyConditions(req node) (*item.KeyCondition, error) {
	cs, err := comparisons(req.get("KeyConditions"))
	if err != nil {
		return nil, err
	}
	return item.KeyConditions(cs)
}

// startKey returns the ExclusiveStartKey; nil if there is none.
func startKey(req node) (item.Item, error) {
	key, err := attributes(req.get("ExclusiveStartKey"))
	wire := new(wireError)
	if err == nil || errors.As(err, &wire) && strings.HasSuffix(wire.typ, "#SerializationException") {
		return key, err
	}
	for _, bare := range [...]string{
		"contains duplicates", "number set", "numeric value", "significant digits", "number with magnitude",
	} {
		if strings.Contains(err.Error(), bare) {
			return nil, err
		}
	}
	return nil, invalid("The provided starting key is invalid: %s", err)
}

// selectOf returns what a query or scan returns of each item, which also depends on its projection.
func selectOf(req node) (table.Select, error) {
	projects := ""
	for _, name := range [...]string{"AttributesToGet", "ProjectionExpression"} {
		if req.has(name) {
			projects = name
		}
	}
	choice := req.get("Select").text()
	if projects != "" && choice != "" && choice != "SPECIFIC_ATTRIBUTES" {
		what := choice
		if choice == "COUNT" {
			what = "only the Count"
		}
		return 0, invalid("Cannot specify the %s when choosing to get %s", projects, what)
	}
	switch choice {
	case "ALL_ATTRIBUTES":
		return table.SelectAll, nil
	case "ALL_PROJECTED_ATTRIBUTES":
		if !req.has("IndexName") {
			return 0, invalid("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
		}
		return table.SelectProjected, nil
	case "COUNT":
		return table.SelectCount, nil
	case "SPECIFIC_ATTRIBUTES":
		if projects == "" {
			return 0, invalid("Must specify the AttributesToGet or ProjectionExpression when choosing to get " +
				"SPECIFIC_ATTRIBUTES")
		}
	}
	if projects != "" {
		return table.SelectSome, nil
	}
	return table.SelectDefault, nil
}

func (o *itemOps) scan(ctx context.Context, req node, w *writer) error {
	s, err := scanOf(req)
	if err != nil {
		return err
	}
	page, err := o.tables.Scan(ctx, s)
	if err != nil {
		return err
	}
	writePage(w, req, page)
	return nil
}

func scanOf(req node) (s table.Scan, err error) {
	if err := scanParameters.apart(req); err != nil {
		return s, err
	}
	s.Table, s.Index = tableName(req), req.get("IndexName").text()
	s.Limit = int(req.get("Limit").int())
	s.Consistent = truth(req.get("ConsistentRead"))
	if s.Project, err = attributesToGet(req); err != nil {
		return s, err
	}
	if s.Filter, err = legacyFilter(req, "ScanFilter"); err != nil {
		return s, err
	}
	if s.Start, err = startKey(req); err != nil {
		return s, err
	}
	if s.Segment, s.Segments, err = segmentOf(req); err != nil {
		return s, err
	}
	e, err := scanParameters.parse(req)
	if err != nil {
		return s, err
	}
	s.Filter, s.Project = either(e.filter, s.Filter), either(e.projection, s.Project)
	s.Select, err = selectOf(req)
	return s, err
}

// segmentOf returns a parallel scan's segment and the number of segments, which is 0 for other
// scans.
func segmentOf(req node) (segment, segments int, err error) {
	segment, segments = int(req.get("Segment").int()), int(req.get("TotalSegments").int())
	has, total := req.has("Segment"), req.has("TotalSegments")
	switch {
	case has && !total:
		err = invalid("The TotalSegments parameter is required but was not present in the request when Segment parameter " +
			"is present")
	case total && !has:
		err = invalid("The Segment parameter is required but was not present in the request when parameter TotalSegments " +
			"is present")
	case total && segment >= segments:
		err = invalid("The Segment parameter is zero-based and must be less than parameter TotalSegments: "+
			"Segment: %d is not less than TotalSegments: %d", segment, segments)
	}
	return segment, segments, err
}

// writePage writes the response to a query or scan.
func writePage(w *writer, req node, page table.Page) {
	w.beginObject()
	w.intField("Count", int64(page.Count))
	w.intField("ScannedCount", int64(page.Scanned))
	if page.Items != nil || req.get("Select").text() != "COUNT" {
		w.name("Items")
		w.beginArray()
		for _, it := range page.Items {
			w.item(it)
		}
		w.endArray()
	}
	w.itemField("LastEvaluatedKey", page.Last)
	measuredOf(req).write(w, page.Capacity)
	w.endObject()
}
