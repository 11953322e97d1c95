// Package yamltree parses YAML files into syntax trees, within bounds. The time that the library
// needs grows with the square of a file's nesting and of its number of keys: 40,000 keys, 400 KB,
// take 20 seconds (docs/decisions/0009). So one pass over the text checks the bounds before
// parsing.
//
// The scan doesn't parse YAML fully. It may overestimate, since configurations that people write
// are far below the bounds, but it never underestimates.
//
// Parse may be called concurrently. Its errors are written for the author of the file.
package yamltree

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The bounds of a file.
const (
	MaxBytes = 1 << 20
	MaxDepth = 100    // of lists and mappings in brackets, or begun on one line
	MaxKeys  = 10_000 // of all mappings together
	MaxItems = 50_000 // of all lists together
)

// Parse returns the tree of the one document that text holds, nil if text is empty.
func Parse(text []byte) (ast.Node, error) {
	if err := check(text); err != nil {
		return nil, err
	}
	file, err := parser.ParseBytes(text, 0)
	switch {
	case err != nil:
		return nil, fmt.Errorf("not YAML: %s", yaml.FormatError(err, false, false))
	case len(file.Docs) > 1:
		return nil, fmt.Errorf("the file has %d documents, and must have one", len(file.Docs))
	case len(file.Docs) == 0:
		return nil, nil
	}
	return file.Docs[0].Body, nil
}

// check reports an error if text is beyond the bounds.
func check(text []byte) error {
	if len(text) > MaxBytes {
		return fmt.Errorf("the file has %d bytes; at most %d", len(text), MaxBytes)
	}
	var s scanner
	for len(text) > 0 {
		text = s.line(text)
		switch {
		case s.deepest > MaxDepth:
			return fmt.Errorf("line %d: lists and mappings nest deeper than %d", s.lines, MaxDepth)
		case s.keys > MaxKeys:
			return fmt.Errorf("line %d: more than %d keys in the file", s.lines, MaxKeys)
		case s.items > MaxItems:
			return fmt.Errorf("line %d: more than %d items of lists in the file", s.lines, MaxItems)
		}
	}
	return nil
}

// A scanner counts keys, items and nesting, line by line.
type scanner struct {
	lines   int
	keys    int
	items   int
	depth   int  // of open brackets
	deepest int  // of open brackets and of indicators at the start of a line
	quote   byte // that ends the quoted text in which the line begins, or 0
}

// line scans the first line of text and returns the rest.
func (s *scanner) line(text []byte) []byte {
	s.lines++
	start := s.depth
	leading := true     // only blanks and indicators so far
	before := byte(' ') // the character before, which may be a blank
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\n':
			return text[i+1:]
		case s.quote != 0:
			if c == '\\' && s.quote == '"' && i+1 < len(text) && text[i+1] != '\n' {
				i++
			} else if c == s.quote {
				s.quote = 0
			}
		case c == '#' && isBlank(before):
			_, rest, _ := bytes.Cut(text[i:], []byte("\n"))
			return rest
		case (c == '"' || c == '\'') && opensQuote(before):
			s.quote = c
		case c == '[' || c == '{':
			s.depth++
			s.deepest = max(s.deepest, s.depth)
		case c == ']' || c == '}':
			s.depth = max(0, s.depth-1)
		case c == ',':
			s.items++
		case c == ':' && (i+1 == len(text) || endsKey(before, text[i+1])):
			s.keys++
		case leading && (c == '-' || c == '?') && i+1 < len(text) && isBlank(text[i+1]):
			if c == '?' {
				s.keys++ // a key that isn't followed by a colon
			}
			s.items++
			start++
			s.deepest = max(s.deepest, start)
		}
		leading = leading && (isBlank(c) || c == '-' || c == '?' || c == '&' || c == '!')
		before = c
	}
	return nil
}

// endsKey reports whether a colon between these characters ends a key: "key: value", and
// "key":value within brackets.
func endsKey(before, after byte) bool {
	return isBlank(after) || strings.IndexByte(`"']}`, before) >= 0 || strings.IndexByte(",[]{}", after) >= 0
}

// opensQuote reports whether a quote after c begins quoted text, and isn't an apostrophe.
func opensQuote(c byte) bool { return isBlank(c) || strings.IndexByte("[{,:-?", c) >= 0 }

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
