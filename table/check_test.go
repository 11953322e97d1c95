package table

import (
	"context"
	"errors"
	"strings"
	"testing"

	"holdfast"
	"holdfast/item"
)

const invalidStart = "The provided starting key is invalid"

// The order of checks of a query, and its words, as in dynalite's tests.
func TestQueryChecks(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := indexed("t")
	create(t, s, d, attributes)
	byID := keyCondition(t, "id = :k", ":k", "b")
	byG := keyCondition(t, "g = :k", ":k", "b")
	const mismatch = notSchema
	for _, c := range []struct {
		name string
		q    Query
		want string
	}{
		{"no key condition before no table", Query{Table: "other", Key: keyCondition(t, "id = :k or seq = :k", ":k", 1)},
			"Invalid operator used in KeyConditionExpression: OR"},
		{"no table", Query{Table: "other", Key: byID}, "Requested resource not found"},
		{"no index", Query{Index: "whatever", Start: item.Item{}, Key: byID},
			"The table does not have the specified index: whatever"},
		{"consistent", Query{Index: "global", Consistent: true, Start: item.Item{}, Key: byID},
			"Consistent reads are not supported on global secondary indexes"},
		{"start of too few", Query{Key: keyCondition(t, "z = :k", ":k", 1), Start: attrs("id", "a")}, invalidStart},
		{"start without hash", Query{Key: byID, Start: attrs("z", 1, "seq", 1)}, invalidStart},
		{"start of wrong type", Query{Key: keyCondition(t, "z = :k", ":k", 1), Start: attrs("id", 1, "seq", 1)}, mismatch},
		{"condition before the start's sort key", Query{Key: keyCondition(t, "z = :k", ":k", 1),
			Start: attrs("id", "a", "seq", "a")},
			"Query condition missed key schema element: id"},
		{"start with wrong sort key", Query{Key: byID, Start: attrs("id", "a", "seq", "a")}, mismatch},
		{"local start with wrong table key", Query{Index: "local", Key: byID, Start: attrs("id", "a", "seq", "a", "l", "a")},
			invalidStart + ": " + mismatch},
		{"global start without table key", Query{Index: "keys", Key: byG, Start: attrs("x", 1, "y", 1, "g", "a")},
			invalidStart + ": " + mismatch},
		{"outside", Query{Key: byID, Start: attrs("id", "a", "seq", 1)},
			"The provided starting key is outside query boundaries based on provided conditions"},
		{"predicate", Query{Key: keyCondition(t, "id = :k and seq > :s", ":k", "b", ":s", 5),
			Start: attrs("id", "a", "seq", 5)},
			"The provided starting key does not match the range key predicate"},
		{"other partition", Query{Key: keyCondition(t, "id = :k and seq > :s", ":k", "b", ":s", 5),
			Start: attrs("id", "a", "seq", 6)},
			"The query can return at most one row and cannot be restarted"},
		{"filter on key", Query{Key: byID, Filter: condition(t, "seq[1] = :s", ":s", 5)},
			"Filter Expression can only contain non-primary key attributes: Primary key attribute: seq"},
		{"filter on key of index", Query{Index: "global", Key: byG, Filter: condition(t, "h = :s", ":s", 5)},
			"Filter Expression can only contain non-primary key attributes: Primary key attribute: h"},
		{"filter into key of index", Query{Key: byID, Filter: condition(t, "h[1] = :s", ":s", 5)},
			"Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: IndexKey: h"},
		{"projection into key", Query{Key: byID, Project: projection(t, "id.a")},
			"Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: id"},
		{"all attributes", Query{Index: "keys", Key: byG, Select: SelectAll},
			"One or more parameter values were invalid: Select type " +
				"ALL_ATTRIBUTES is not supported for global secondary index keys because its projection type is not ALL"},
		{"projection not in index", Query{Index: "keys", Key: byG, Project: projection(t, "seq, h, l"), Select: SelectSome},
			"One or more parameter values were invalid: Global secondary index keys does not project [h, l]"},
		{"filter not in index", Query{Index: "local", Key: byID, Filter: condition(t, "rest = :o", ":o", 1)},
			"One or more parameter " +
				"values were invalid: Secondary index local does not project one or more filter attributes: [rest]"},
	} {
		if c.q.Table == "" {
			c.q.Table = "t"
		}
		_, err := s.Query(context.Background(), c.q)
		wantSaid(t, c.name, err, c.want)
	}
}

func TestScanChecks(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := indexed("t")
	create(t, s, d, attributes)
	put(t, s, "t", attrs("id", "a", "seq", 1))
	segment := 0
	if item.HashOf(item.Text("a")) < 1<<63 {
		segment = 1 // not that of the item
	}
	for _, c := range []struct {
		name string
		q    Scan
		want string
	}{
		{"no index", Scan{Index: "whatever"}, "The table does not have the specified index: whatever"},
		{"too few", Scan{Start: attrs("id", "a")}, invalidStart + ": " + notSchema},
		{"wrong type", Scan{Start: attrs("id", 1, "seq", 1)}, invalidStart + ": " + notSchema},
		{"too few of an index", Scan{Index: "local", Start: attrs("id", "a")}, invalidStart},
		{"wrong type of an index", Scan{Index: "local", Start: attrs("id", "a", "seq", 1, "l", 1)}, notSchema},
		{"wrong table key", Scan{Index: "local", Start: attrs("id", "a", "seq", "a", "l", "a")}, invalidStart + ": " +
			notSchema},
		{"all attributes", Scan{Index: "keys", Select: SelectAll, Start: attrs("x", 1, "y", 1, "g", "a")},
			"One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary " +
				"index keys " +
				"because its projection type is not ALL"},
		{"segment", Scan{Segment: segment, Segments: 2, Start: attrs("id", "a", "seq", 1)}, invalidStart +
			": Invalid ExclusiveStartKey. " +
			"Please use ExclusiveStartKey with correct Segment. TotalSegments: 2 Segment: " + string(rune('0'+segment))},
		{"filter into key", Scan{Filter: condition(t, "attribute_exists(id.a)")},
			"Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: id"},
	} {
		c.q.Table = "t"
		_, err := s.Scan(context.Background(), c.q)
		wantSaid(t, c.name, err, c.want)
	}
}

func TestWriteChecks(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := indexed("t")
	create(t, s, d, attributes)
	ctx := context.Background()
	put(t, s, "t", attrs("id", "a", "seq", 1, "n", 7, "big", strings.Repeat("b", 300<<10)))
	key := attrs("id", "a", "seq", 1)
	tooBig := attrs("id", "a", "seq", 1, "b", strings.Repeat("b", 400<<10))
	updated := func(u *item.Update) func() error {
		return func() error { _, err := s.Update(ctx, Update{Table: "t", Key: key, Change: u}); return err }
	}
	for _, c := range []struct {
		name string
		do   func() error
		want string
	}{
		{"size before the table", func() error { _, err := s.Put(ctx, Put{Table: "other", Item: tooBig}); return err },
			"Item size has exceeded the maximum allowed size"},
		{"no table", func() error { _, err := s.Put(ctx, Put{Table: "other", Item: key}); return err },
			"Requested resource not found"},
		{"no sort key", func() error { _, err := s.Put(ctx, Put{Table: "t", Item: attrs("id", "a")}); return err },
			"One or more parameter values were invalid: Missing the key seq in the item"},
		{"index type", func() error { _, err := s.Put(ctx, Put{Table: "t", Item: key.With("g", number("1"))}); return err },
			"One or more parameter values were invalid: Type mismatch for Index Key g Expected: S Actual: N IndexName: global"},
		{"delete without sort key", func() error {
			_, err := s.Delete(ctx,
				Delete{Table: "t", Key: attrs("id", "a")})
			return err
		}, notSchema},
		{"get without sort key", func() error { _, err := s.Get(ctx, Get{Table: "t", Key: attrs("id", "a")}); return err },
			notSchema},
		{"update of key", updated(update(t, "SET seq = :s, id = :s", ":s", 5)),
			"One or more parameter values were invalid: Cannot update attribute id. This attribute is part of the key"},
		{"update into index", updated(update(t, "SET h[1] = :s", ":s", 5)),
			"Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: IndexKey: h"},
		{"update of index from item", updated(update(t, "SET g = n")),
			"The update expression attempted to update the secondary index key to unsupported type"},
		{"update beyond size", updated(update(t, "SET c = :s", ":s", strings.Repeat("b", 100<<10))),
			"Item size to update has exceeded the maximum allowed size"},
		{"batch get twice", func() error {
			_, _, _, err := s.BatchGet(ctx, []Get{{Table: "other", Key: key}, {Table: "other", Key: key}})
			return err
		}, duplicates},
		{"batch put without key", func() error {
			_, _, _, err := s.BatchWrite(ctx, []BatchWrite{{Put: &Put{Table: "t", Item: attrs("id", "a")}}})
			return err
		}, notSchema},
		{"batch put and delete", func() error {
			_, _, _, err := s.BatchWrite(ctx, []BatchWrite{{Put: &Put{Table: "t", Item: key}},
				{Delete: &Delete{Table: "t", Key: key}}})
			return err
		}, duplicates},
	} {
		wantSaid(t, c.name, c.do(), c.want)
	}
}

func TestConditionFails(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := plain("t")
	create(t, s, d, attributes)
	it := attrs("id", "a", "n", 1)
	put(t, s, "t", it)
	_, err := s.Put(context.Background(), Put{Table: "t", Item: attrs("id", "a"),
		If: condition(t, "attribute_not_exists(id)")})
	var failed *ConditionError
	if !errors.As(err, &failed) || !errors.Is(err, holdfast.Failed) || !failed.Item.Equal(it) {
		t.Errorf("got %v; want a ConditionError with %v", err, it)
	}
	_, err = s.Update(context.Background(), Update{Table: "t", Key: attrs("id", "b"),
		If: condition(t, "attribute_exists(id)")})
	if !errors.As(err, &failed) || failed.Item != nil {
		t.Errorf("got %v; want a ConditionError without item", err)
	}
	if got, err := s.Get(context.Background(), Get{Table: "t", Key: attrs("id", "b")}); err != nil || got.Item != nil {
		t.Errorf("got %v, %v; want nothing", got.Item, err)
	}
}

// wantSaid fails unless an error is one for the caller, with that text.
func wantSaid(t *testing.T, name string, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("%s: got %v; want %s", name, err, want)
		return
	}
	if !errors.Is(err, holdfast.Invalid) && !errors.Is(err, holdfast.NotFound) {
		t.Errorf("%s: got %T; want holdfast.Invalid or NotFound", name, err)
	}
}
