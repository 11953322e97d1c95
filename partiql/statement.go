package partiql

import "holdfast/item"

// A Kind is what a statement does.
type Kind uint8

// The kinds of statements.
const (
	Select Kind = iota + 1
	Insert
	Update
	Delete
	Exists // a SELECT that must find an item, within a transaction
)

// A Returning is what a write returns.
type Returning uint8

// The values of a RETURNING clause; 0 is none.
const (
	AllOld Returning = iota + 1
	ModifiedOld
	AllNew
	ModifiedNew
)

// A Statement is one parsed statement.
type Statement struct {
	Kind      Kind
	Table     string
	Index     string          // of a Select or an Exists; "" is the table itself
	Item      item.Item       // of an Insert
	Change    *item.Update    // of an Update
	Where     *item.Condition // the whole WHERE clause; nil: there is none
	Returning Returning       // of an Update or a Delete

	where   *item.Term // what Where was made from
	columns []column   // of a Select; nil: all
	order   []order    // of a Select
}

// A column is an attribute that a SELECT returns.
type column struct {
	name string // the last name of its path, or _1, _2 … for the first, second … column where the path ends in an index
	path item.Path
}

// An order is one key of an ORDER BY clause.
type order struct {
	attr       string
	descending bool
}

// Attributes returns the names of the top-level attributes that a SELECT returns, in its order,
// without duplicates; nil is all.
func (s *Statement) Attributes() []string {
	var names []string
	seen := make(map[string]bool, len(s.columns))
	for _, c := range s.columns {
		if top := c.path[0].Name; !seen[top] {
			seen[top] = true
			names = append(names, top)
		}
	}
	return names
}

// Columns returns the columns of a SELECT in an item. Those that the item lacks are left out; of
// several columns with the same name the last counts.
func (s *Statement) Columns(it item.Item) item.Item {
	if s.columns == nil || it == nil {
		return it
	}
	last := make(map[string]item.Value, len(s.columns))
	for _, c := range s.columns {
		if v, ok := c.path.Get(it); ok {
			last[c.name] = v
		}
	}
	attrs := make([]item.Attr, 0, len(last))
	for name, v := range last {
		attrs = append(attrs, item.Attr{Name: name, Value: v})
	}
	return item.New(attrs...)
}
