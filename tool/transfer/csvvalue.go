package transfer

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// types are the names of the types of values.
var types = []string{"S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"}

// IsType reports whether name is that of a type of values: S, N, ….
func IsType(name string) bool { return slices.Contains(types, name) }

// cell returns how a value is written in a column of its type:
//
//	S        the text; a backslash and the text as JSON if the text is empty, begins with a backslash
//	         or has a carriage return
//	N        the number
//	B        base64; \"" if it is empty
//	BOOL     true, false
//	NULL     null
//	others   JSON, as the API has it
//
// An empty cell is no value. S and B have their exceptions because an empty text is a value, and
// because readers of CSV change line ends; a name in the header has a similar one (column.header).
func cell(kind string, v json.RawMessage) (string, error) {
	switch kind {
	case "S":
		var s string
		if err := json.Unmarshal(v, &s); err != nil {
			return "", err
		}
		if s == "" || s[0] == '\\' || strings.ContainsRune(s, '\r') {
			return `\` + string(v), nil
		}
		return s, nil
	case "N", "B":
		var s string
		if err := json.Unmarshal(v, &s); err != nil {
			return "", err
		}
		if s == "" {
			return emptyCell, nil
		}
		return s, nil
	case "NULL":
		return "null", nil
	}
	return string(v), nil
}

// value returns the value of a cell in the form of the API; exact means that the header has the
// type, so that the exceptions of S apply.
func value(kind, cell string, exact bool) (json.RawMessage, error) {
	v := json.RawMessage(cell)
	switch kind {
	case "S":
		if !exact || cell[0] != '\\' {
			v = quoted(cell)
			break
		}
		var s string
		if v = v[1:]; json.Unmarshal(v, &s) != nil {
			return nil, errors.New(`a text that begins with \ must continue as JSON`)
		}
	case "N":
		v = quoted(strings.TrimSpace(cell))
	case "B":
		if exact && cell == emptyCell {
			cell = ""
		}
		if _, err := base64.StdEncoding.DecodeString(cell); err != nil {
			return nil, errors.New("isn't base64")
		}
		v = quoted(cell)
	case "BOOL":
		lower := strings.ToLower(strings.TrimSpace(cell))
		if lower != "true" && lower != "false" {
			return nil, fmt.Errorf("%q is neither true nor false", cell)
		}
		v = json.RawMessage(lower)
	case "NULL":
		v = json.RawMessage("true")
	default:
		if !json.Valid(v) {
			return nil, fmt.Errorf("isn't JSON, as type %s wants", kind)
		}
	}
	return json.Marshal(map[string]json.RawMessage{kind: v})
}

// emptyCell is the cell of an empty value.
const emptyCell = `\""`

func quoted(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has a form
	}
	return b
}

// typed returns the parts of a value of the API: {"S":"a"}.
func typed(v json.RawMessage) (kind string, inner json.RawMessage, err error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(v, &m); err != nil {
		return "", nil, err
	}
	if len(m) != 1 {
		return "", nil, fmt.Errorf("a value has %d types", len(m))
	}
	for kind, inner = range m {
	}
	return kind, inner, nil
}
