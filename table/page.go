package table

import (
	"context"

	"holdfast/item"
	"holdfast/shard"
)

// pageBytes is how much a query or scan examines before it ends its page: as pageSize counts, and
// before the filter.
const pageBytes = 1 << 20

// A read is a query or scan whose parameters have been checked.
type read struct {
	t          *live
	index      *item.Index // nil: the table's own items
	span       shard.Span
	fetch      bool // items come from the table, since the entries of the index don't have all that is selected
	filter     *item.Condition
	project    *item.Projection
	count      bool // of items only
	limit      int  // 0: none
	query      bool // of one partition key
	consistent bool
}

// single reports whether at most one item can be found: such a query can't be continued, and ends
// with its first page.
func (r *read) single() bool { return r.query && r.index == nil && r.t.schema.Key.Range.Name == "" }

// fetches reports whether the entries of an index lack something that is selected, so that items
// are read from the table. For a global index such a request is refused before.
func (t *live) fetches(x *item.Index, sel Select, p *item.Projection) bool {
	if x == nil || !x.Local || x.Project == item.ProjectAll {
		return false
	}
	return sel == SelectAll || len(t.notHeld(x, p.Names())) > 0
}

// continueAfter cuts the span to what comes after a key.
func (r *read) continueAfter(key item.Key) {
	if r.span.Reverse {
		r.span.Range.To = key
		return
	}
	// No key begins with another, so the next key isn't before this one followed by a zero byte.
	r.span.Range.From = append(key, 0)
}

// page reads until the limit, pageBytes or the end is reached. Last is set unless the end was
// reached, even if nothing follows: DynamoDB doesn't look ahead either.
func (r *read) page(ctx context.Context) (page Page, err error) {
	if err := r.t.throughput.admitRead(r.index); err != nil {
		return Page{}, err
	}
	if err := r.awaitIndex(ctx); err != nil {
		return Page{}, err
	}
	all := r.newEntries()
	defer func() {
		if closed := all.close(); err == nil {
			err = closed
		}
	}()
	var p pager
	for size := 0; size < pageBytes && (r.limit == 0 || p.scanned < r.limit); {
		c, err := all.next(ctx)
		if err != nil {
			return Page{}, err
		}
		if c == nil {
			p.last = nil
			break
		}
		it, err := p.read(ctx, r, c)
		if err != nil {
			return Page{}, err
		}
		size += pageSize(it, r.t.schema.Key.Range.Name)
		p.take(r, it)
	}
	page = p.page(r)
	r.t.throughput.spend(page.Capacity)
	return page, nil
}

// A pager is a page that is being filled.
type pager struct {
	items          []item.Item
	count, scanned int
	last           item.Item // that was examined, in full
	entryBytes     int       // of what the span has
	fetchedBytes   int       // of the table's items that were fetched
}

// read returns the item at a cursor, and counts its bytes. If the item of an entry has
// been deleted meanwhile, it is empty.
func (p *pager) read(ctx context.Context, r *read, c *shard.Cursor) (item.Item, error) {
	it, err := c.Item()
	if err != nil {
		return nil, err
	}
	p.entryBytes += it.Size()
	p.last = it
	p.scanned++
	if !r.fetch {
		return it, nil
	}
	key, err := r.t.schema.Key.Key(it)
	if err != nil {
		return nil, err
	}
	it, err = r.t.shard(key).Get(ctx, key)
	p.fetchedBytes += it.Size()
	return it, err
}

// take adds an item to the page if it passes the filter.
func (p *pager) take(r *read, it item.Item) {
	if it == nil || !r.filter.Match(it) {
		return
	}
	p.count++
	if r.count {
		return
	}
	p.items = append(p.items, r.project.Apply(it))
}

// page returns what was read.
func (p *pager) page(r *read) Page {
	page := Page{Items: p.items, Count: p.count, Scanned: p.scanned, Capacity: r.capacity(p)}
	if p.items == nil && !r.count {
		page.Items = []item.Item{}
	}
	if p.last != nil && !r.single() {
		page.Last = p.last.Only(r.t.startNames(r.index)...)
	}
	return page
}

// capacity returns what a page consumed: its bytes are rounded up as a whole.
func (r *read) capacity(p *pager) Capacity {
	units := readUnits(p.entryBytes, r.consistent)
	if r.index == nil {
		return readCapacity(r.t.desc.Name, units)
	}
	c := Capacity{Table: r.t.desc.Name, Read: units}
	if p.fetchedBytes > 0 {
		c.TableRead = readUnits(p.fetchedBytes, r.consistent)
		c.Read += c.TableRead
	}
	c.addIndex(r.index.Name, IndexCapacity{Local: r.index.Local, Read: units})
	return c
}

// pageSize returns the bytes by which DynamoDB counts an item against a page. They are those of a
// packed form: a name is one byte; a text, bytes and each element of a set have a short length; the
// sort key stands, with 18 more bytes, before each 3072 bytes of the others. dynalite found the
// form by trial on the real service (its slow tests of Query and Scan).
func pageSize(it item.Item, sortName string) int {
	packed, sortBytes := 0, 0
	for i := range it {
		if it[i].Name == sortName {
			sortBytes = it[i].Value.Size()
			continue
		}
		packed += 1 + packedSize(it[i].Value)
	}
	return 2 + packed + (1+(1+packed)/3072)*(18+sortBytes)
}

func packedSize(v item.Value) int {
	switch v.Type {
	case item.S:
		return len(v.Text) + lengthBytes(len(v.Text))
	case item.SS, item.NS, item.BS:
		return v.Size() + len(v.Set) + 1
	case item.NULL:
		return 0
	case item.BOOL:
		return 1
	case item.L:
		size := 3
		for i := range v.List {
			size += 1 + packedSize(v.List[i])
		}
		return size
	case item.M:
		size := 3
		for i := range v.Map {
			size += 2 + packedSize(v.Map[i].Value)
		}
		return size
	default: // item.N, item.B
		return v.Size() + 1
	}
}

// lengthBytes returns the number of bytes of a text's length, at seven bits each.
func lengthBytes(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	}
	return 3
}
