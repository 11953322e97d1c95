package mcrouter

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// unsupported are the macros of mcrouter without a counterpart: their results depend on mcrouter's
// own hashes, on chance, or on the machine.
var unsupported = []string{"hash", "weightedHash", "shuffle", "isLocalIp"}

func checkSupported(name string) error {
	if slices.Contains(unsupported, name) {
		return fmt.Errorf("macro @%s isn't supported", name)
	}
	return nil
}

// A macroTable holds macros by name.
type macroTable map[string]*macro

// add adds a macro. params are the names of its parameters, each with a question mark if it is
// optional.
func (t macroTable) add(name, params string, call func(x *expander, c *call) (any, error)) *macro {
	m := &macro{name: name, call: call}
	for _, p := range strings.Fields(params) {
		p, optional := strings.CutSuffix(p, "?")
		m.params = append(m.params, param{name: p, optional: optional})
	}
	t[name] = m
	return m
}

// builtins returns mcrouter's macros, except for transform, process and foreach (loop.go).
func builtins() macroTable {
	t := macroTable{}
	t.addTypes()
	t.addOperators()
	t.addLists()
	t.add("define", "result", func(_ *expander, c *call) (any, error) { return c.args["result"], nil })
	t.add("defined", "name", defined)
	t.add("fail", "msg", func(_ *expander, c *call) (any, error) { return nil, errors.New(describe(c.args["msg"])) })
	t.add("if", "condition is_true is_false", choose).lazy = true
	t.add("import", "path default?", importOf).lazy = true
	return t
}

// addTypes adds the casts and the tests for types.
func (t macroTable) addTypes() {
	for name, cast := range map[string]func(any) (any, error){"int": toInt, "double": toDouble, "str": toString,
		"bool": toBool} {
		t.add(name, "value", func(_ *expander, c *call) (any, error) { return cast(c.args["value"]) })
	}
	for name, is := range map[string]string{
		"isArray": typeName([]any{}), "isBool": typeName(true), "isInt": typeName(int64(0)),
		"isDouble": typeName(0.5), "isObject": typeName(newObject()), "isString": typeName(""),
	} {
		t.add(name, "value", func(_ *expander, c *call) (any, error) { return typeName(c.args["value"]) == is, nil })
	}
}

// addOperators adds arithmetic, comparisons and logic.
func (t macroTable) addOperators() {
	for name, f := range arithmetic {
		t.add(name, "A B", func(_ *expander, c *call) (any, error) {
			a, okA := c.args["A"].(int64)
			b, okB := c.args["B"].(int64)
			if !okA || !okB {
				return nil, errors.New("parameters A and B must be whole numbers")
			}
			return f(a, b)
		})
	}
	t.add("bitwiseNot", "A", func(_ *expander, c *call) (any, error) {
		a, ok := c.args["A"].(int64)
		if !ok {
			return nil, errors.New("parameter A must be a whole number")
		}
		return ^a, nil
	})
	t.add("equals", "A B", func(x *expander, c *call) (any, error) {
		return equal(c.args["A"], c.args["B"], x.comparing)
	})
	t.add("less", "A B", func(_ *expander, c *call) (any, error) { return less(c.args["A"], c.args["B"]) })
	t.add("not", "A", func(_ *expander, c *call) (any, error) {
		a, ok := c.args["A"].(bool)
		if !ok {
			return nil, errors.New("parameter A must be true or false")
		}
		return !a, nil
	})
	t.add("and", "A B", func(x *expander, c *call) (any, error) { return both(x, c, false) }).lazy = true
	t.add("or", "A B", func(x *expander, c *call) (any, error) { return both(x, c, true) }).lazy = true
}

// addLists adds the macros of lists, mappings and strings.
func (t macroTable) addLists() {
	for name, f := range map[string]func(dictionary any) (any, error){"keys": keys, "values": values,
		"sort": sorted} {
		t.add(name, "dictionary", func(x *expander, c *call) (any, error) {
			if err := x.copying(elements(c.args["dictionary"])); err != nil {
				return nil, err
			}
			return f(c.args["dictionary"])
		})
	}
	for name, f := range map[string]func(dictionary any) (any, error){"empty": empty, "size": size} {
		t.add(name, "dictionary", func(_ *expander, c *call) (any, error) { return f(c.args["dictionary"]) })
	}
	t.add("merge", "params", merge)
	t.add("split", "dictionary delim", split)
	t.add("slice", "dictionary from to", slice)
	t.add("set", "dictionary key value", set)
	t.add("range", "from to", rangeOf)
	t.add("contains", "dictionary key", contains)
	t.add("select", "dictionary key default?", selectOf).lazy = true
}

var arithmetic = map[string]func(a, b int64) (any, error){
	"add": func(a, b int64) (any, error) { return a + b, nil },
	"sub": func(a, b int64) (any, error) { return a - b, nil },
	"mul": func(a, b int64) (any, error) { return a * b, nil },
	"div": func(a, b int64) (any, error) {
		if b == 0 {
			return nil, errors.New("a division by 0")
		}
		return a / b, nil
	},
	"mod": func(a, b int64) (any, error) {
		if b == 0 {
			return nil, errors.New("a division by 0")
		}
		return a % b, nil
	},
	"bitwiseAnd":        func(a, b int64) (any, error) { return a & b, nil },
	"bitwiseOr":         func(a, b int64) (any, error) { return a | b, nil },
	"bitwiseXor":        func(a, b int64) (any, error) { return a ^ b, nil },
	"bitwiseLeftShift":  func(a, b int64) (any, error) { return int64(uint64(a) << (uint64(b) & 63)), nil },
	"bitwiseRightShift": func(a, b int64) (any, error) { return int64(uint64(a) >> (uint64(b) & 63)), nil },
}

func toInt(v any) (any, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case float64:
		return int64(v), nil
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	case string:
		if i, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			return i, nil
		}
	}
	return nil, fmt.Errorf("%s is not a whole number", describe(v))
}

func toDouble(v any) (any, error) {
	if f, ok := number(v); ok {
		return f, nil
	}
	if text, ok := v.(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil {
			return f, nil
		}
	}
	return nil, fmt.Errorf("%s is not a number", describe(v))
}

func toString(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return nil, fmt.Errorf("%s is not a single value", typeName(v))
}

func toBool(v any) (any, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case int64:
		return v != 0, nil
	case float64:
		return v != 0, nil
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "t", "yes", "y", "on", "1":
			return true, nil
		case "false", "f", "no", "n", "off", "0":
			return false, nil
		}
	}
	return nil, fmt.Errorf("%s is neither true nor false", describe(v))
}

func keys(v any) (any, error) {
	o, ok := v.(*object)
	if !ok {
		return nil, fmt.Errorf("%s has no keys", typeName(v))
	}
	list := make([]any, len(o.keys))
	for i, key := range o.keys {
		list[i] = key
	}
	return list, nil
}

func values(v any) (any, error) {
	o, ok := v.(*object)
	if !ok {
		return nil, fmt.Errorf("%s has no values", typeName(v))
	}
	list := make([]any, len(o.keys))
	for i, key := range o.keys {
		list[i] = o.values[key]
	}
	return list, nil
}

// elements returns the number of elements of a list or a mapping, 0 for other values.
func elements(v any) int {
	switch v := v.(type) {
	case []any:
		return len(v)
	case *object:
		return len(v.keys)
	}
	return 0
}

func size(v any) (any, error) {
	switch v := v.(type) {
	case *object:
		return int64(len(v.keys)), nil
	case []any:
		return int64(len(v)), nil
	case string:
		return int64(len(v)), nil
	}
	return nil, fmt.Errorf("%s has no size", typeName(v))
}

func empty(v any) (any, error) {
	n, err := size(v)
	return n == int64(0), err
}

func less(a, b any) (bool, error) {
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return x < y, nil
		}
	}
	if x, ok := a.(string); ok {
		if y, ok := b.(string); ok {
			return x < y, nil
		}
	}
	return false, fmt.Errorf("%s and %s can't be compared", typeName(a), typeName(b))
}

func sorted(v any) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%s is not a list", typeName(v))
	}
	var failed error
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b any) int {
		if before, err := less(a, b); err != nil {
			failed = err
		} else if before {
			return -1
		}
		if after, _ := less(b, a); after {
			return 1
		}
		return 0
	})
	return list, failed
}

func split(x *expander, c *call) (any, error) {
	text, ok := c.args["dictionary"].(string)
	delimiter, ok2 := c.args["delim"].(string)
	if !ok || !ok2 || delimiter == "" {
		return nil, errors.New("dictionary and delim must be strings")
	}
	if err := x.count(1 + strings.Count(text, delimiter)); err != nil {
		return nil, err
	}
	list := []any{}
	for part := range strings.SplitSeq(text, delimiter) {
		list = append(list, part)
	}
	return list, nil
}

func contains(x *expander, c *call) (any, error) {
	key := c.args["key"]
	text, isText := key.(string)
	switch d := c.args["dictionary"].(type) {
	case []any:
		for _, v := range d {
			if same, err := equal(v, key, x.comparing); same || err != nil {
				return same, err
			}
		}
		return false, nil
	case *object:
		_, found := d.values[text]
		return found && isText, nil
	case string:
		return isText && strings.Contains(d, text), nil
	default:
		return nil, fmt.Errorf("%s is not a list, a mapping or a string", typeName(d))
	}
}

func defined(x *expander, c *call) (any, error) {
	name, ok := c.args["name"].(string)
	if !ok {
		return nil, errors.New("name must be a string")
	}
	return c.outer.find(name) != nil || x.consts[name] != nil, nil
}
