package transfer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// A Format is the format of a file of items.
type Format string

// The formats.
const (
	JSON Format = "json"
	CSV  Format = "csv"
)

// Formats are all formats.
var Formats = []Format{JSON, CSV}

// FormatOf returns the format by a file's name, JSON unless it ends in .csv or .csv.gz, and whether
// it is compressed.
func FormatOf(name string) (f Format, compressed bool) {
	name, compressed = strings.CutSuffix(name, ".gz")
	if path.Ext(name) == ".csv" {
		return CSV, compressed
	}
	return JSON, compressed
}

// An item is attributes with their values as the API has them: {"S":"a"}.
type item map[string]json.RawMessage

// A LineError is an error in a line of the input.
type LineError struct {
	Line int64 // from 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the cause.
func (e *LineError) Unwrap() error { return e.Err }

// A source reads items one by one.
type source interface {
	// next returns an item and the line that it begins in; io.EOF is the end. After a *LineError it
	// may be called again.
	next() (it item, line int64, err error)
}

// A sink writes items.
type sink interface {
	write(it json.RawMessage) error
	close() error // writes what is still buffered; the file stays open
}

// maxLineBytes is the limit of a line of JSON: an item has at most 400 KB, but all of its bytes may
// be escaped.
const maxLineBytes = 16 << 20

// lines reads JSON.
type lines struct {
	scanner *bufio.Scanner
	line    int64
}

func newLines(r io.Reader) *lines {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), maxLineBytes)
	return &lines{scanner: s}
}

func (l *lines) next() (item, int64, error) {
	for l.scanner.Scan() {
		l.line++
		text := bytes.TrimSpace(l.scanner.Bytes())
		if len(text) == 0 {
			continue
		}
		var line struct{ Item item }
		if err := json.Unmarshal(text, &line); err != nil {
			return nil, l.line, &LineError{l.line, fmt.Errorf("isn't JSON: %w", err)}
		}
		if line.Item == nil {
			return nil, l.line, &LineError{l.line, errors.New(`has no item: want {"Item":{…}}`)}
		}
		return line.Item, l.line, nil
	}
	if err := l.scanner.Err(); err != nil {
		return nil, l.line, &LineError{l.line + 1, err}
	}
	return nil, l.line, io.EOF
}

// lineWriter writes JSON.
type lineWriter struct{ w *bufio.Writer }

func (l *lineWriter) write(it json.RawMessage) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, it); err != nil {
		return err
	}
	l.w.WriteString(`{"Item":`)
	l.w.Write(compact.Bytes())
	_, err := l.w.WriteString("}\n") // a bufio.Writer keeps its first error
	return err
}

func (l *lineWriter) close() error { return l.w.Flush() }
