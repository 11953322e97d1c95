package partiql

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"holdfast"
	"holdfast/item"
)

func decimal(n int) string { return strconv.Itoa(n) }

// value parses a literal or takes a parameter. under is where it is in the whole value, for errors:
// root, root.x, root[1].
func (p *parser) value(under string) (item.Value, error) {
	if err := p.deeper(); err != nil {
		return item.Value{}, err
	}
	defer func() { p.depth-- }()
	t := *p.peek()
	p.tokens = p.tokens[1:]
	switch {
	case t.kind == text:
		return item.Text(t.text), nil
	case t.kind == number:
		return literalNumber(t.text, under)
	case t.kind == mark:
		return p.parameter()
	case t.kind == word:
		return p.wordValue(&t, under)
	case t.kind != sign:
	case t.text == "-" && p.peek().kind == number:
		digits := p.peek().text
		p.tokens = p.tokens[1:]
		return literalNumber("-"+digits, under)
	case t.text == "[":
		list, err := p.elements("]", under)
		return item.List(list...), err
	case t.text == "<<":
		members, err := p.elements(">>", under)
		if err != nil {
			return item.Value{}, err
		}
		return set(members, under)
	case t.text == "{":
		attrs, err := p.members(under)
		return item.Map(item.New(attrs...)), err
	}
	if t.kind == end {
		p.tokens = []token{t} // the end is never gone past
	}
	return item.Value{}, malformed(unexpectedTerm)
}

func (p *parser) wordValue(t *token, under string) (item.Value, error) {
	switch t.upper {
	case "TRUE", "FALSE":
		return item.Bool(t.upper == "TRUE"), nil
	case "NULL":
		return item.Null, nil
	}
	if p.peek().text == "(" {
		return item.Value{}, invalid("Unsupported data type: %s under key %s at %s", strings.ToLower(t.text), under,
			t.place())
	}
	return item.Value{}, malformed(unexpectedTerm)
}

func (p *parser) parameter() (item.Value, error) {
	if p.used == len(p.parameters) {
		return item.Value{}, invalid("Number of parameters in request and statement don't match.")
	}
	p.used++
	return p.parameters[p.used-1], nil
}

// elements parses what is in a list or a set, up to what closes it.
func (p *parser) elements(closing, under string) ([]item.Value, error) {
	list := []item.Value{}
	if p.takeSign(closing) {
		return list, nil
	}
	for {
		v, err := p.value(under + "[" + decimal(len(list)) + "]")
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if p.takeSign(closing) {
			return list, nil
		}
		if !p.takeSign(",") {
			return nil, malformed("Unexpected token in list")
		}
	}
}

// members parses what is in a map, up to its closing brace. The path of an item's own attributes
// begins at each of them.
func (p *parser) members(under string) ([]item.Attr, error) {
	var attrs []item.Attr
	if p.takeSign("}") {
		return attrs, nil
	}
	names := make(map[string]bool)
	for {
		t := *p.peek()
		if t.kind != text {
			return nil, malformed("Expected string for tuple key")
		}
		p.tokens = p.tokens[1:]
		if !p.takeSign(":") {
			return nil, malformed("Expected COLON")
		}
		if names[t.text] {
			return nil, invalid("Duplicate keys in tuple. Key: %s under %s", t.text, under)
		}
		names[t.text] = true
		v, err := p.value(p.under(under, t.text))
		if err != nil {
			return nil, err
		}
		attrs = append(attrs, item.Attr{Name: t.text, Value: v})
		if p.takeSign("}") {
			return attrs, nil
		}
		if !p.takeSign(",") {
			return nil, malformed("Expected RIGHT_CURLY")
		}
	}
}

// under is the path of a map's member. The attributes of an item that is inserted are each a root.
func (p *parser) under(of, member string) string {
	if p.depth == 1 {
		return "root"
	}
	return of + "." + member
}

// set returns the set of members that are all texts, all numbers or all bytes.
func set(members []item.Value, under string) (item.Value, error) {
	if len(members) == 0 {
		return item.Value{}, invalid("Empty bags are not supported")
	}
	types := map[item.Type]item.Type{item.S: item.SS, item.N: item.NS, item.B: item.BS}
	t := types[members[0].Type]
	elements := make([]string, len(members))
	for i, m := range members {
		if t == 0 || types[m.Type] != t {
			return item.Value{}, invalid("Unexpected data type %s in set under key %s", m.Type, under)
		}
		elements[i] = m.Text
	}
	return item.SetOf(t, elements)
}

// literalNumber returns the value of a number as it is written.
func literalNumber(digits, under string) (item.Value, error) {
	if !scaled(digits) {
		return item.Value{}, malformed("")
	}
	v, err := item.Number(digits)
	var fault *holdfast.Error
	if errors.As(err, &fault) {
		return item.Value{}, invalid("%s under %s", fault.Text, under)
	}
	return v, err
}

// scaled reports whether a number's exponent, and how many digits it has behind its point, are
// 32-bit integers. The service can't read a number of which they aren't.
func scaled(number string) bool {
	mantissa, exponent, found := strings.Cut(strings.ToLower(number), "e")
	if !found {
		return true
	}
	e, err := strconv.ParseInt(exponent, 10, 32)
	if err != nil {
		return false
	}
	_, fraction, _ := strings.Cut(mantissa, ".")
	scale := int64(len(fraction)) - e
	return math.MinInt32 <= scale && scale <= math.MaxInt32
}
