package transfer

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// A column is an attribute of one type.
type column struct {
	name, kind string
	exact      bool // the header has the type
}

// header returns how the column is named in the header. A name that a reader of CSV would change,
// or that begins like such a name, is a backslash and the name as JSON.
func (c column) header() string {
	name := c.name
	if strings.HasPrefix(name, escapedName) || strings.HasPrefix(name, byteOrderMark) ||
		strings.ContainsRune(name, '\r') {
		name = `\` + string(quoted(name))
	}
	return name + ":" + c.kind
}

const (
	escapedName   = `\"`     // begins a name that is written as JSON
	byteOrderMark = "\ufeff" // spreadsheets write it before UTF-8
)

// columnOf returns the column of a field of the header.
func columnOf(field string, types map[string]string) (column, error) {
	c := column{name: field, kind: "S"}
	at := strings.LastIndexByte(field, ':')
	if at <= 0 || !IsType(field[at+1:]) {
		if kind, ok := types[field]; ok {
			c.kind = kind
		}
		return c, nil
	}
	c = column{field[:at], field[at+1:], true}
	if strings.HasPrefix(c.name, escapedName) && json.Unmarshal([]byte(c.name[1:]), &c.name) != nil {
		return c, fmt.Errorf(`column %q: a name that begins with \" must continue as JSON`, field)
	}
	return c, nil
}

// rows reads CSV.
type rows struct {
	reader  *csv.Reader
	columns []column
}

// newRows reads the header. Types are by name; those in the header, as in name:N, take precedence,
// and the default is S.
func newRows(r io.Reader, types map[string]string) (*rows, error) {
	reader := csv.NewReader(r)
	reader.ReuseRecord = true
	header, err := reader.Read()
	if err == io.EOF {
		return nil, errors.New("no header: want a first line with the names of the columns")
	}
	if err != nil {
		return nil, err
	}
	rows := &rows{reader: reader}
	unknown := make(map[string]bool)
	for name := range types {
		unknown[name] = true
	}
	for i, text := range header {
		if i == 0 {
			text = strings.TrimPrefix(text, byteOrderMark)
		}
		c, err := columnOf(text, types)
		if err != nil {
			return nil, err
		}
		delete(unknown, c.name)
		if c.name == "" {
			return nil, fmt.Errorf("column %d has no name", i+1)
		}
		if slices.Contains(rows.columns, c) {
			return nil, fmt.Errorf("column %q is there twice", text)
		}
		rows.columns = append(rows.columns, c)
	}
	for name := range unknown {
		return nil, fmt.Errorf("there is a type for %q, but no such column", name)
	}
	return rows, nil
}

func (r *rows) next() (item, int64, error) {
	record, err := r.reader.Read()
	if err == io.EOF {
		return nil, 0, err
	}
	var fault *csv.ParseError
	if errors.As(err, &fault) {
		return nil, int64(fault.StartLine), &LineError{int64(fault.StartLine), fault.Err}
	}
	if err != nil {
		return nil, 0, err
	}
	at, _ := r.reader.FieldPos(0)
	line := int64(at)
	it := make(item, len(record))
	for i, c := range r.columns {
		if record[i] == "" {
			continue
		}
		v, err := value(c.kind, record[i], c.exact)
		if err != nil {
			return nil, line, &LineError{line, fmt.Errorf("column %s: %w", c.name, err)}
		}
		if _, twice := it[c.name]; twice {
			return nil, line, &LineError{line, fmt.Errorf("column %s has values of two types", c.name)}
		}
		it[c.name] = v
	}
	return it, line, nil
}

// table writes CSV. The columns are known only once all items are, so items go to a temporary file
// first.
type table struct {
	w       io.Writer
	keys    []string // the first columns
	spool   *os.File
	spooled *bufio.Writer
	columns map[column]bool
}

func newTable(w io.Writer, keys []string) (*table, error) {
	spool, err := os.CreateTemp("", "holdfast-export-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(spool.Name()); err != nil { // so that it is gone however the program ends
		spool.Close()
		return nil, err
	}
	return &table{w: w, keys: keys, spool: spool, spooled: bufio.NewWriterSize(spool, 64<<10),
		columns: make(map[column]bool)}, nil
}

func (t *table) write(raw json.RawMessage) error {
	var it item
	if err := json.Unmarshal(raw, &it); err != nil {
		return err
	}
	for name, v := range it {
		kind, _, err := typed(v)
		if err != nil {
			return err
		}
		t.columns[column{name: name, kind: kind}] = true
	}
	return (&lineWriter{t.spooled}).write(raw)
}

// close writes the header and the rows.
func (t *table) close() error {
	defer t.spool.Close()
	if err := t.spooled.Flush(); err != nil {
		return err
	}
	if _, err := t.spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	columns := t.sorted()
	w := csv.NewWriter(t.w)
	header := make([]string, len(columns))
	for i, c := range columns {
		header[i] = c.header()
	}
	if err := w.Write(header); err != nil {
		return err
	}
	for items := newLines(t.spool); ; {
		it, _, err := items.next()
		if err == io.EOF {
			w.Flush()
			return w.Error()
		}
		if err != nil {
			return err
		}
		if err := writeRow(w, columns, it); err != nil {
			return err
		}
	}
}

func writeRow(w *csv.Writer, columns []column, it item) error {
	record := make([]string, len(columns))
	for i, c := range columns {
		v, ok := it[c.name]
		if !ok {
			continue
		}
		kind, inner, err := typed(v)
		if err != nil {
			return err
		}
		if kind != c.kind {
			continue
		}
		if record[i], err = cell(kind, inner); err != nil {
			return err
		}
	}
	return w.Write(record)
}

// sorted returns the columns: those of the key, then the others by name. An empty table has its
// keys, as strings.
func (t *table) sorted() []column {
	place := func(c column) int {
		if i := slices.Index(t.keys, c.name); i >= 0 {
			return i
		}
		return len(t.keys)
	}
	columns := make([]column, 0, len(t.columns))
	for c := range t.columns {
		columns = append(columns, c)
	}
	slices.SortFunc(columns, func(a, b column) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.header(), b.header()))
	})
	if len(columns) == 0 {
		for _, name := range t.keys {
			columns = append(columns, column{name: name, kind: "S"})
		}
	}
	return columns
}
