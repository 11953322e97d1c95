package replay

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// csvTrace reads a table with one request per line, separated by commas, semicolons or tabs; fields
// may be quoted. A header names the columns (see columnNames); without one they are time, key, size
// and TTL in this order, and a single column is the key.
type csvTrace struct {
	lines
	keyer     *keyer
	skips     *skips
	separator byte
	columns   [numColumns]int // the place of each in a line, -1 if it is missing
	width     int             // columns of the first line
	fields    [][]byte        // of the line read last
	again     []byte          // the first line, if it is no header
	first     time.Duration   // the first request's time since 1970
	timed     bool            // first is set
	last      Request         // returned repeat times more
	repeat    int64
}

// The columns that are used.
const (
	columnTime  = iota
	columnKey   // the only one that must be there
	columnSize  // of the value, in bytes
	columnTTL   // in seconds, 0 for none
	columnOp    // lines that aren't gets are skipped
	columnCount // how many equal requests the line represents
	numColumns
)

// columnNames are the names of the columns in headers, in lower case without spaces, dots, - and _;
// if a header has several of a list, the first one of the list counts. They cover the traces of
// Meta (CacheLib) and of libCacheSim; those of Twitter have no header.
var columnNames = [numColumns][]string{
	columnTime:  {"timestamp", "time", "ts", "optime", "clocktime"},
	columnKey:   {"cachekey", "key", "objectid", "objid", "object", "obj", "id", "url", "path", "uri"},
	columnSize:  {"objectsize", "valuesize", "objsize", "size", "bytes", "length"},
	columnTTL:   {"ttl", "exptime", "expiry"},
	columnOp:    {"optype", "op", "operation", "method"},
	columnCount: {"opcount"},
}

// maxOpCount bounds how many requests one line represents. A larger number is probably the value of
// another column.
const maxOpCount = 1 << 30

func newCSV(l lines, k *keyer, s *skips) (*csvTrace, error) {
	c := &csvTrace{lines: l, keyer: k, skips: s}
	line, err := c.next()
	switch {
	case err == io.EOF:
		return c, nil // Next says so too
	case err == errLineTooLong:
		return nil, c.wrong(err)
	case err != nil:
		return nil, err
	}
	c.separator = separatorOf(line)
	fields, err := splitFields(nil, line, c.separator)
	if err != nil {
		return nil, c.wrong(err)
	}
	c.width = len(fields)
	if columns, ok := parseHeader(fields); ok {
		c.columns = columns
		return c, nil
	}
	c.columns = positions(fields)
	c.again = bytes.Clone(line)
	return c, nil
}

// separatorOf returns the separator that is most frequent in line, a comma if there is none.
func separatorOf(line []byte) byte {
	best := byte(',')
	for _, s := range []byte{';', '\t'} {
		if bytes.Count(line, []byte{s}) > bytes.Count(line, []byte{best}) {
			best = s
		}
	}
	return best
}

// parseHeader finds the columns that fields names. It is not ok if none of them is the key.
func parseHeader(fields [][]byte) (columns [numColumns]int, ok bool) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = strings.NewReplacer("_", "", "-", "", ".", "", " ", "", "#", "").Replace(strings.ToLower(string(f)))
	}
	for column, known := range columnNames {
		columns[column] = firstNamed(names, known)
	}
	return columns, columns[columnKey] >= 0
}

func firstNamed(names, known []string) int {
	for _, k := range known {
		for i, n := range names {
			if n == k {
				return i
			}
		}
	}
	return -1
}

// positions returns the columns of a table without a header, whose first line has these fields.
func positions(fields [][]byte) (columns [numColumns]int) {
	for i := range columns {
		columns[i] = -1
	}
	order := []int{columnTime, columnKey, columnSize, columnTTL}
	switch {
	case len(fields) == 1:
		order = []int{columnKey}
	case isTwitter(fields):
		const skipped = numColumns // a column that isn't used
		order = []int{columnTime, columnKey, skipped, columnSize, skipped, columnOp, columnTTL}
	}
	for i, column := range order {
		if i < len(fields) && column < numColumns {
			columns[column] = i
		}
	}
	return columns
}

// isTwitter reports whether fields are a line of Twitter's traces (Yang et al., OSDI'20): time,
// key, key's bytes, value's bytes, client, operation, TTL.
func isTwitter(fields [][]byte) bool {
	const columns, operation = 7, 5
	if len(fields) != columns {
		return false
	}
	switch string(fields[operation]) {
	case "get", "gets", "set", "add", "replace", "cas", "append", "prepend", "delete", "incr", "decr":
		return true
	}
	return false
}

func (c *csvTrace) Next() (Request, error) {
	if c.repeat > 0 {
		c.repeat--
		return c.last, nil
	}
	for {
		line, err := c.nextRow()
		if err != nil {
			return Request{}, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if c.fields, err = splitFields(c.fields[:0], line, c.separator); err != nil {
			return Request{}, c.wrong(err)
		}
		if c.open && len(c.fields) < c.width {
			return Request{}, c.wrong(fmt.Errorf("is cut off: %d of %d columns and no line end", len(c.fields), c.width))
		}
		if skip := c.skip(); skip != "" {
			c.skips.add(c.number, skip)
			continue
		}
		if c.last, err = c.request(); err != nil {
			return Request{}, c.wrong(err)
		}
		if c.repeat < 0 { // a count of 0
			c.repeat = 0
			c.skips.add(c.number, "op_count 0")
			continue
		}
		return c.last, nil
	}
}

func (c *csvTrace) nextRow() ([]byte, error) {
	if line := c.again; line != nil {
		c.again = nil
		return line, nil
	}
	line, err := c.next()
	if err == errLineTooLong {
		err = c.wrong(err)
	}
	return line, err
}

// skip returns why the line isn't a request, "" if it is one. CacheLib writes OpType 1 for a get.
func (c *csvTrace) skip() string {
	op := c.field(columnOp)
	switch strings.ToUpper(string(op)) {
	case "", "1", "GET", "GETS", "GET_LEASE", "READ", "HEAD":
	default:
		return "operation " + string(op[:min(len(op), 20)])
	}
	if i := c.columns[columnKey]; i < len(c.fields) && len(c.fields[i]) == 0 {
		return "no key"
	}
	return ""
}

// field returns the column's field, empty if the table or the line lacks it.
func (c *csvTrace) field(column int) []byte {
	if i := c.columns[column]; i >= 0 && i < len(c.fields) {
		return c.fields[i]
	}
	return nil
}

// request makes a request of fields, and sets repeat to how often it must be returned again.
func (c *csvTrace) request() (Request, error) {
	if i := c.columns[columnKey]; i >= len(c.fields) {
		return Request{}, fmt.Errorf("%d columns; the key is in column %d", len(c.fields), i+1)
	}
	r := Request{Key: c.keyer.text(c.field(columnKey)), ValueBytes: -1, TTL: -1}
	size, err := parseWhole("size", c.field(columnSize), -1, math.MaxInt64)
	if err != nil {
		return r, err
	}
	r.ValueBytes = int(min(size, MaxValueBytes))
	ttl, err := parseWhole("TTL", c.field(columnTTL), -1, math.MaxInt64/int64(time.Second))
	if err != nil {
		return r, err
	}
	if ttl >= 0 {
		r.TTL = time.Duration(ttl) * time.Second
	}
	if len(c.field(columnOp)) > 0 {
		// If writes are listed too, a get that missed has the size 0, and gets have no TTL.
		if size == 0 {
			r.ValueBytes = -1
		}
		if ttl == 0 {
			r.TTL = -1
		}
	}
	count, err := parseWhole("op_count", c.field(columnCount), 1, maxOpCount)
	if err != nil {
		return r, err
	}
	c.repeat = count - 1
	return r, c.setTime(&r)
}

func (c *csvTrace) setTime(r *Request) error {
	f := c.field(columnTime)
	if len(f) == 0 {
		return nil
	}
	at, err := parseTime(string(f))
	if err != nil {
		return err
	}
	if !c.timed {
		c.first, c.timed = at, true
	}
	r.At, r.HasTime = at-c.first, true
	return nil
}

// parseWhole parses a number. An empty field means otherwise, and so does a negative number, which
// CacheLib's traces write for an unknown one.
func parseWhole(what string, field []byte, otherwise, limit int64) (int64, error) {
	if len(field) == 0 {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(string(field), 10, 64)
	if err != nil || n > limit {
		return 0, fmt.Errorf("%s %q: want a whole number", what, field)
	}
	if n < 0 {
		return otherwise, nil
	}
	return n, nil
}

// parseTime parses seconds, milli-, micro- or nanoseconds since 1970 or any other start,
// distinguished by their size, or a time as in RFC 3339. It returns the time since that start.
func parseTime(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil && f >= 0 && f < math.MaxInt64 {
		switch {
		case f >= 1e17:
			return time.Duration(f), nil
		case f >= 1e14:
			return time.Duration(f * 1e3), nil
		case f >= 1e11:
			return time.Duration(f * 1e6), nil
		case f <= math.MaxInt64/1e9:
			return time.Duration(f * 1e9), nil
		}
	}
	for _, layout := range []string{time.RFC3339, time.DateTime} {
		if t, err := time.Parse(layout, s); err == nil {
			return time.Duration(t.UnixNano()), nil
		}
	}
	return 0, fmt.Errorf("time %q: want seconds or 2006-01-02T15:04:05Z", s)
}

// splitFields appends line's fields to fields. A quoted field may hold separators, and two quotes
// stand for one. The fields are parts of line, in which doubled quotes are replaced. A field can't
// hold a line end.
func splitFields(fields [][]byte, line []byte, separator byte) ([][]byte, error) {
	for {
		if len(line) == 0 || line[0] != '"' {
			field, rest, more := bytes.Cut(line, []byte{separator})
			fields = append(fields, bytes.TrimSpace(field))
			if !more {
				return fields, nil
			}
			line = rest
			continue
		}
		field, rest, ok := unquote(line[1:])
		if !ok {
			return nil, fmt.Errorf("a quoted field has no end")
		}
		fields = append(fields, field)
		if len(rest) == 0 {
			return fields, nil
		}
		if rest[0] != separator {
			return nil, fmt.Errorf("%q follows a quoted field; want %q", rest[0], separator)
		}
		line = rest[1:]
	}
}

// unquote returns the text before the closing quote and the text after it.
func unquote(s []byte) (field, rest []byte, ok bool) {
	n := 0
	for i := 0; i < len(s); i, n = i+1, n+1 {
		if s[i] == '"' {
			if i+1 == len(s) || s[i+1] != '"' {
				return s[:n], s[i+1:], true
			}
			i++
		}
		s[n] = s[i]
	}
	return nil, nil, false
}
