package dynamodb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"

	"holdfast/catalog"
	"holdfast/item"
	"holdfast/partiql"
	"holdfast/table"
)

// maxPageBytes is the size of a page of a SELECT that reads several partitions. A query of one
// partition limits its own pages.
const maxPageBytes = 1 << 20

// A selection is a SELECT in execution.
type selection struct {
	statement *partiql.Statement
	read      partiql.Read
	query     table.Query // the fields that all queries, or the scan, share
	limit     int         // limit of items that are examined; 0 is no limit

	items    []item.Item
	capacity []table.Capacity // at most one
	examined int
	bytes    int
}

// A cursor is the position where the next page of a SELECT starts.
type cursor struct {
	query int       // index of the query
	start item.Item // start after this key; nil starts at the query's beginning
}

func (o *statementOps) selectItems(ctx context.Context, s *partiql.Statement, req node, w *writer) error {
	sel, err := o.selectionOf(s, req)
	if err != nil {
		return err
	}
	request := statementDigest(req)
	from, err := cursorOf(req.get("NextToken").text(), request, max(1, len(sel.read.Queries)))
	if err != nil {
		return err
	}
	next, err := sel.page(ctx, o.tables, from)
	if err != nil {
		return err
	}
	w.beginObject()
	w.name("Items")
	w.beginArray()
	for _, it := range sel.items {
		w.item(it)
	}
	w.endArray()
	if next != nil {
		w.itemField("LastEvaluatedKey", next.start)
		w.strField("NextToken", next.token(request))
	}
	for _, c := range sel.capacity {
		measuredOf(req).write(w, c)
	}
	w.endObject()
	return nil
}

// selectionOf plans a SELECT: the queries or the scan that find its items.
func (o *statementOps) selectionOf(s *partiql.Statement, req node) (*selection, error) {
	d, err := o.described(s)
	if err != nil {
		return nil, err
	}
	sel := &selection{statement: s, limit: int(req.get("Limit").int())}
	sel.query = table.Query{Table: s.Table, Index: s.Index, Consistent: req.get("ConsistentRead").bool()}
	key := d.Key
	if s.Index != "" {
		x := indexOf(&d, s.Index)
		if x == nil {
			return nil, invalid("The table does not have the specified index")
		}
		var single bool
		if key, single = x.Key.Schema(); !single {
			return nil, errMultiKey()
		}
		if sel.query.Consistent && !x.Local {
			return nil, invalid("Strongly consistent read is not supported on Global Secondary Indexes")
		}
		if err := sel.project(x, d.Key); err != nil {
			return nil, err
		}
	}
	sel.read, err = s.Read(key)
	sel.query.Reverse = sel.read.Reverse
	return sel, err
}

// indexOf returns the table's index of that name, or nil.
func indexOf(d *catalog.Description, name string) *item.Index {
	for i := range d.Indexes {
		if d.Indexes[i].Index.Name == name {
			return &d.Indexes[i].Index
		}
	}
	return nil
}

// errMultiKey is DynamoDB's error for a SELECT from an index whose key has several attributes in a
// part. It is reported before all other faults but those of the statement that don't depend on its
// table.
func errMultiKey() error {
	return invalid("PartiQL statements cannot be executed on tables with multi-attribute HASH keys or multi-attribute " +
		"RANGE keys.")
}

// project sets the attributes that the index returns to those that the statement needs, which may
// be more than a local index holds.
func (sel *selection) project(x *item.Index, base item.KeySchema) error {
	held := func(name string) bool { return x.Holds(name) || slices.Contains(base.Names(), name) }
	var filters []string
	if sel.statement.Where != nil {
		filters = sel.statement.Where.Names()
	}
	if lacking := slices.DeleteFunc(slices.Clone(filters), held); len(lacking) > 0 {
		return invalid("One or more parameter values were invalid: Secondary index %s does not project one or more "+
			"filter attributes: [%s]",
			x.Name, strings.Join(lacking, ", "))
	}
	wanted := sel.statement.Attributes()
	if wanted == nil {
		return nil
	}
	if lacking := slices.DeleteFunc(slices.Clone(wanted), held); len(lacking) > 0 && !x.Local {
		return invalid("One or more parameter values were invalid: Global secondary index %s does not project [%s]",
			x.Name, strings.Join(lacking, ", "))
	}
	for _, name := range filters {
		if !slices.Contains(wanted, name) {
			wanted = append(wanted, name)
		}
	}
	var err error
	sel.query.Select = table.SelectSome
	sel.query.Project, err = item.AttributesToGet(wanted)
	return err
}

// page reads until the limit is reached or the page is full; next is nil at the end. Conditions are
// evaluated here and not by the table, whose filters can't use attributes of the key.
func (sel *selection) page(ctx context.Context, tables *table.Store, from cursor) (next *cursor, err error) {
	if sel.read.Queries == nil {
		q := &sel.query
		page, err := tables.Scan(ctx, table.Scan{Table: q.Table, Index: q.Index, Project: q.Project, Select: q.Select,
			Limit: sel.limit, Start: from.start, Consistent: q.Consistent})
		return sel.add(0, page), err
	}
	for at := from.query; at < len(sel.read.Queries); at++ {
		q := sel.query
		q.Key, q.Start = sel.read.Queries[at], from.start
		if sel.limit > 0 {
			q.Limit = sel.limit - sel.examined
		}
		page, err := tables.Query(ctx, q)
		if err != nil {
			return nil, err
		}
		if next := sel.add(at, page); next != nil {
			return next, nil
		}
		from.start = nil
		if full := sel.limit > 0 && sel.examined >= sel.limit || sel.bytes > maxPageBytes; full &&
			at+1 < len(sel.read.Queries) {
			return &cursor{query: at + 1}, nil
		}
	}
	return nil, nil
}

// add adds the result of a query or scan. It returns the key to continue after, or nil.
func (sel *selection) add(at int, page table.Page) *cursor {
	for _, it := range page.Items {
		sel.bytes += it.Size()
		if sel.statement.Where.Match(it) {
			sel.items = append(sel.items, sel.statement.Columns(it))
		}
	}
	sel.examined += page.Scanned
	sel.capacity = addCapacity(sel.capacity, page.Capacity)
	if page.Last == nil {
		return nil
	}
	return &cursor{at, page.Last}
}

// statementDigestBytes is the length of a statement's digest, which ties a token to its statement.
const statementDigestBytes = 16

func statementDigest(req node) []byte {
	h := sha256.New()
	for _, name := range []string{"Statement", "Parameters"} {
		if n := req.get(name); n.kind() != absent {
			hashNode(h, n)
		}
	}
	return h.Sum(nil)[:statementDigestBytes]
}

// token encodes the cursor as NextToken: base64 of the statement's digest, the number of the query,
// and the start key if there is one.
func (c *cursor) token(digest []byte) string {
	b := binary.AppendUvarint(slices.Clone(digest), uint64(c.query))
	if c.start != nil {
		b = item.Append(b, c.start)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// cursorOf decodes a token for a statement with that many queries. "" gives the first page's
// cursor.
func cursorOf(token string, digest []byte, queries int) (cursor, error) {
	if token == "" {
		return cursor{}, nil
	}
	bad := invalid("Given NextToken is invalid")
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(b) < statementDigestBytes {
		return cursor{}, bad
	}
	if !bytes.Equal(b[:statementDigestBytes], digest) {
		return cursor{}, invalid("NextToken does not match request")
	}
	b = b[statementDigestBytes:]
	query, n := binary.Uvarint(b)
	if n <= 0 || query >= uint64(queries) {
		return cursor{}, bad
	}
	c := cursor{query: int(query)}
	if len(b) > n {
		if c.start, err = item.Decode(string(b[n:])); err != nil {
			return cursor{}, bad
		}
	}
	return c, nil
}
