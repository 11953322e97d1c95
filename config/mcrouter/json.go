package mcrouter

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A value is nil, bool, int64, float64, string, []any or *object. It is immutable once it was
// parsed or made by a macro.

// An object is a mapping that keeps the order of its keys, for pools are in the order of the file.
type object struct {
	keys   []string
	values map[string]any
}

func newObject() *object { return &object{values: map[string]any{}} }

// copyOf returns a copy of o that may be changed.
func copyOf(o *object) *object {
	return &object{keys: slices.Clone(o.keys), values: maps.Clone(o.values)}
}

func (o *object) set(key string, value any) {
	if _, again := o.values[key]; !again {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
}

// without returns a copy of o that lacks the key.
func (o *object) without(key string) *object {
	rest := copyOf(o)
	delete(rest.values, key)
	rest.keys = slices.DeleteFunc(rest.keys, func(k string) bool { return k == key })
	return rest
}

// maxDepth limits nesting: of values in a file, and of macros in macros.
const maxDepth = 200

// parseJSON parses one value. Comments, // and /* */, and a comma before a closing bracket are
// allowed.
func parseJSON(text []byte) (any, error) {
	p := &parser{text: string(text)}
	v, err := p.value(0)
	if err == nil {
		if err = p.space(); err == nil && p.at < len(p.text) {
			err = p.errorf("unexpected text after the end")
		}
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

type parser struct {
	text string
	at   int
}

func (p *parser) errorf(format string, args ...any) error {
	line := 1 + strings.Count(p.text[:min(p.at, len(p.text))], "\n")
	return fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...))
}

// space skips white space and comments.
func (p *parser) space() error {
	for p.at < len(p.text) {
		rest := p.text[p.at:]
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			p.at++
		case strings.HasPrefix(rest, "//"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			p.at += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return p.errorf("the comment isn't closed")
			}
			p.at += end + 4
		default:
			return nil
		}
	}
	return nil
}

// next skips space and returns the next byte without taking it, 0 at the end.
func (p *parser) next() (byte, error) {
	if err := p.space(); err != nil {
		return 0, err
	}
	if p.at == len(p.text) {
		return 0, nil
	}
	return p.text[p.at], nil
}

func (p *parser) value(depth int) (any, error) {
	c, err := p.next()
	switch {
	case err != nil:
		return nil, err
	case depth > maxDepth:
		return nil, p.errorf("nested more than %d deep", maxDepth)
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		return p.string()
	case c == 0:
		return nil, p.errorf("the text ends before a value")
	}
	return p.word()
}

func (p *parser) object(depth int) (any, error) {
	o := newObject()
	p.at++ // {
	for {
		c, err := p.next()
		if err != nil {
			return nil, err
		}
		if c == '}' {
			p.at++
			return o, nil
		}
		if c != '"' {
			return nil, p.errorf("expected a key in quotes or }")
		}
		key, err := p.string()
		if err != nil {
			return nil, err
		}
		if _, again := o.values[key]; again {
			return nil, p.errorf("duplicate key %q", key)
		}
		if c, err = p.next(); err != nil || c != ':' {
			return nil, orErr(err, p.errorf("expected : after key %q", key))
		}
		p.at++
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o.set(key, v)
		if err := p.comma('}'); err != nil {
			return nil, err
		}
	}
}

func (p *parser) array(depth int) (any, error) {
	list := []any{}
	p.at++ // [
	for {
		c, err := p.next()
		if err != nil {
			return nil, err
		}
		if c == ']' {
			p.at++
			return list, nil
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if err := p.comma(']'); err != nil {
			return nil, err
		}
	}
}

// comma reads the comma after an element, which is optional before the closing bracket.
func (p *parser) comma(closing byte) error {
	c, err := p.next()
	if err != nil {
		return err
	}
	switch c {
	case ',':
		p.at++
	case closing:
	default:
		return p.errorf("expected a comma or %c", closing)
	}
	return nil
}

func orErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// string parses a string, which begins at p.at.
func (p *parser) string() (string, error) {
	for end := p.at + 1; end < len(p.text); end++ {
		switch p.text[end] {
		case '\\':
			end++
		case '\n':
			return "", p.errorf("the string isn't closed")
		case '"':
			raw := p.text[p.at : end+1]
			var s string
			if !utf8.ValidString(raw) || json.Unmarshal([]byte(raw), &s) != nil {
				return "", p.errorf("%s is not a string", raw)
			}
			p.at = end + 1
			return s, nil
		}
	}
	return "", p.errorf("the string isn't closed")
}

// word parses true, false, null or a number.
func (p *parser) word() (any, error) {
	rest := p.text[p.at:]
	end := strings.IndexAny(rest, " \t\r\n,:]}/\"")
	if end < 0 {
		end = len(rest)
	}
	word := rest[:end]
	switch word {
	case "true":
		p.at += end
		return true, nil
	case "false":
		p.at += end
		return false, nil
	case "null":
		p.at += end
		return nil, nil
	}
	if i, err := strconv.ParseInt(word, 10, 64); err == nil {
		p.at += end
		return i, nil
	}
	if f, err := strconv.ParseFloat(word, 64); err == nil && strings.Trim(word, "0123456789+-.eE") == "" {
		p.at += end
		return f, nil
	}
	return nil, p.errorf("%q is not a value", word)
}

// typeName names the type of a value, with its article.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case int64:
		return "a whole number"
	case float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "a list"
	}
	return "a mapping"
}

// describe returns a value for a message: a list or a mapping, which may be large, as its type.
func describe(v any) string {
	switch v.(type) {
	case []any, *object:
		return typeName(v)
	}
	return fmt.Sprint(v)
}

// equal compares values as folly does: an integer equals a float of the same value. Before each
// comparison it calls visit, whose error ends it.
func equal(a, b any, visit func() error) (bool, error) {
	if err := visit(); err != nil {
		return false, err
	}
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false, nil
		}
		for i := range a {
			if same, err := equal(a[i], b[i], visit); !same || err != nil {
				return false, err
			}
		}
		return true, nil
	case *object:
		b, ok := b.(*object)
		if !ok || len(a.keys) != len(b.keys) {
			return false, nil
		}
		for _, key := range a.keys {
			other, found := b.values[key]
			if !found {
				return false, nil
			}
			if same, err := equal(a.values[key], other, visit); !same || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	return equalScalars(a, b), nil
}

// equalScalars compares a value that is neither a list nor a mapping with another.
func equalScalars(a, b any) bool {
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	switch b.(type) {
	case []any, *object:
		return false
	}
	return a == b
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
