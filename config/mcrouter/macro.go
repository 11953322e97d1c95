package mcrouter

import (
	"errors"
	"fmt"
	"strings"
)

// A located error is an error with its path in the file.
type located struct {
	path string
	err  error
}

func (l *located) Error() string { return l.path + ": " + l.err.Error() }
func (l *located) Unwrap() error { return l.err }

// at prepends a step, a key or an index in brackets, to the path of err.
func at(step string, err error) error {
	if err == nil {
		return nil
	}
	if !strings.HasPrefix(step, "[") {
		step = join("", step)
	}
	var l *located
	if !errors.As(err, &l) {
		return &located{step, err}
	}
	if !strings.HasPrefix(l.path, "[") {
		step += "."
	}
	return &located{step + l.path, l.err}
}

// An expander expands macros, as mcrouter's ConfigPreprocessor does.
type expander struct {
	imports func(path string) ([]byte, error)
	macros  map[string]*macro
	consts  map[string]*variable // of all scopes
	cache   map[string]any       // by path of the import
	depth   int
	budget

	importing int // depth of imports, at most maxImportDepth
	files     int // imported, at most maxImports
	fileBytes int // of the imported files, at most maxImportedBytes
}

// A macro is called as "@name(argument, …)" or as {"type": "name", "parameter": argument, …}.
type macro struct {
	name   string
	params []param
	lazy   bool // call expands only the arguments that it uses
	call   func(x *expander, c *call) (any, error)
}

type param struct {
	name     string
	optional bool
	value    any // the default, nil if there is none
}

// A call holds the arguments of a macro, and the scope of its caller.
type call struct {
	args  map[string]any
	outer *scope
	lazy  bool
}

// arg returns an argument, expanded; found is false if the call has none of that name.
func (c *call) arg(x *expander, name string) (v any, found bool, err error) {
	v, found = c.args[name]
	if found && c.lazy {
		v, err = x.expand(v, c.outer)
	}
	return v, found, err
}

// A scope holds the variables that %name% can refer to.
type scope struct {
	vars  map[string]*variable
	outer *scope // where to look next; nil for none
}

// A variable is expanded at its first use.
type variable struct {
	value any
	in    *scope // in which value is expanded
	ready bool   // value is expanded
}

func expanded(value any) *variable { return &variable{value: value, ready: true} }

func (s *scope) find(name string) *variable {
	for ; s != nil; s = s.outer {
		if v, found := s.vars[name]; found {
			return v
		}
	}
	return nil
}

func (x *expander) lookUp(name string, s *scope) (any, error) {
	v := s.find(name)
	if v == nil {
		v = x.consts[name]
	}
	if v == nil {
		return nil, fmt.Errorf("undefined name %%%s%%", name)
	}
	if !v.ready {
		value, err := x.expand(v.value, v.in)
		if err != nil {
			return nil, fmt.Errorf("%%%s%%: %w", name, err)
		}
		v.value, v.ready = value, true
	}
	return v.value, nil
}

// expand returns v with its macros expanded.
func (x *expander) expand(v any, s *scope) (any, error) {
	if x.depth++; x.depth > maxDepth {
		return nil, fmt.Errorf("macros are nested more than %d deep; perhaps one uses itself", maxDepth)
	}
	defer func() { x.depth-- }()
	if err := x.count(1); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case string:
		return x.expandString(v, s)
	case *object:
		return x.expandObject(v, s)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			var err error
			if list[i], err = x.expand(v[i], s); err != nil {
				return nil, at(fmt.Sprintf("[%d]", i), err)
			}
		}
		return list, nil
	}
	return v, nil
}

func (x *expander) expandObject(o *object, s *scope) (any, error) {
	if vars, found := o.values["vars"]; found {
		named, ok := vars.(*object)
		if !ok {
			return nil, at("vars", fmt.Errorf("must be a mapping, not %s", typeName(vars)))
		}
		inner := &scope{vars: map[string]*variable{}, outer: s}
		for _, name := range named.keys {
			inner.vars[name] = &variable{value: named.values[name], in: inner}
		}
		for _, name := range named.keys {
			if _, err := x.lookUp(name, inner); err != nil {
				return nil, at("vars", err)
			}
		}
		if err := x.copying(len(o.keys)); err != nil {
			return nil, err
		}
		o, s = o.without("vars"), inner
	}
	if typed, found := o.values["type"]; found {
		t, err := x.expand(typed, s)
		if err != nil {
			return nil, at("type", err)
		}
		if name, ok := t.(string); ok {
			if result, done, err := x.callObject(name, o, s); done {
				return result, err
			}
		}
	}
	result := newObject()
	for _, key := range o.keys {
		k, err := x.expandString(key, s)
		if err != nil {
			return nil, at(key, err)
		}
		name, ok := k.(string)
		if !ok {
			return nil, at(key, fmt.Errorf("the key is %s", typeName(k)))
		}
		value, err := x.expand(o.values[key], s)
		if err != nil {
			return nil, at(key, err)
		}
		result.set(name, value)
	}
	return result, nil
}

// callObject calls the macro that is named by the type of a mapping; done is false if it names
// none.
func (x *expander) callObject(name string, o *object, s *scope) (result any, done bool, err error) {
	switch name {
	case "macroDef", "constDef":
		return o, true, nil
	case "transform":
		result, err = x.transform(o, s)
	case "process":
		result, err = x.process(o, s)
	case "foreach":
		result, err = x.foreach(o, s)
	default:
		m := x.macros[name]
		if m == nil {
			if err := checkSupported(name); err != nil {
				return nil, true, err
			}
			return nil, false, nil
		}
		result, err = x.callWith(m, o.values, s)
	}
	if err != nil {
		return nil, true, fmt.Errorf("macro %s: %w", name, err)
	}
	return result, true, nil
}

// callWith calls m with arguments by name; those that aren't parameters are ignored, as in
// mcrouter.
func (x *expander) callWith(m *macro, given map[string]any, s *scope) (any, error) {
	c := &call{args: map[string]any{}, outer: s, lazy: m.lazy}
	for _, p := range m.params {
		v, found := given[p.name]
		switch {
		case !found && !p.optional:
			return nil, fmt.Errorf("parameter %s is missing", p.name)
		case !found && p.value != nil:
			c.args[p.name] = p.value
		case found && m.lazy:
			c.args[p.name] = v
		case found:
			expanded, err := x.expand(v, s)
			if err != nil {
				return nil, fmt.Errorf("parameter %s: %w", p.name, err)
			}
			c.args[p.name] = expanded
		}
	}
	return m.call(x, c)
}

func (x *expander) expandString(text string, s *scope) (any, error) {
	if !strings.HasPrefix(text, "@") {
		return x.replaceParams(text, s)
	}
	name, args, err := splitCall(text)
	if err != nil {
		return nil, err
	}
	replaced, err := x.replaceParams(name, s)
	if err != nil {
		return nil, err
	}
	name, _ = replaced.(string)
	m := x.macros[name]
	if m == nil {
		if err := checkSupported(name); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("undefined macro @%s", name)
	}
	if len(args) > len(m.params) {
		return nil, fmt.Errorf("macro %s: %d arguments; it has %d parameters", name, len(args), len(m.params))
	}
	given := map[string]any{}
	for i, arg := range args {
		given[m.params[i].name] = arg
	}
	v, err := x.callWith(m, given, s)
	if err != nil {
		return nil, fmt.Errorf("macro %s: %w", name, err)
	}
	return v, nil
}

// splitCall splits "@name(a, b)" into the name and the arguments.
func splitCall(text string) (name string, args []string, err error) {
	open := indexUnescaped(text, "(")
	if open < 0 {
		return text[1:], nil, nil
	}
	if !strings.HasSuffix(text, ")") {
		return "", nil, fmt.Errorf("%q doesn't end with a closing bracket", text)
	}
	inner := text[open+1 : len(text)-1]
	depth, start := 0, 0
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '\\':
			i++
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			args = append(args, trim(inner[start:i]))
			start = i + 1
		}
		if depth < 0 {
			break
		}
	}
	if depth != 0 {
		return "", nil, fmt.Errorf("the brackets of %q aren't balanced", text)
	}
	return text[1:open], append(args, trim(inner[start:])), nil
}

func indexUnescaped(text, chars string) int {
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			i++
		} else if strings.IndexByte(chars, text[i]) >= 0 {
			return i
		}
	}
	return -1
}

// trim removes leading and trailing white space, except a character with a backslash before it.
func trim(text string) string {
	text = strings.TrimLeft(text, " \t\r\n")
	cut := strings.TrimRight(text, " \t\r\n")
	if backslashes := len(cut) - len(strings.TrimRight(cut, `\`)); backslashes%2 == 1 && len(cut) < len(text) {
		cut = text[:len(cut)+1]
	}
	return cut
}

// replaceParams replaces each %name% by its value. If the text is a single %name%, the result is
// the value itself, which may have any type.
func (x *expander) replaceParams(text string, s *scope) (any, error) {
	if !strings.ContainsAny(text, `%\`) {
		return text, nil
	}
	var out strings.Builder
	rest := text
	for {
		before, after, found, err := cutUnescaped(rest)
		if err != nil {
			return nil, fmt.Errorf("%q %w", text, err)
		}
		if err := x.write(&out, before); err != nil {
			return nil, err
		}
		if !found {
			return out.String(), nil
		}
		name, tail, closed, err := cutUnescaped(after)
		if err != nil || !closed {
			return nil, fmt.Errorf("%q has an odd number of %%; write \\%% for a literal one", text)
		}
		v, err := x.lookUp(name, s)
		if err != nil {
			return nil, err
		}
		if out.Len() == 0 && tail == "" {
			return v, nil
		}
		replacement, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("%%%s%% in %q is %s, not a string", name, text, typeName(v))
		}
		if err := x.write(&out, replacement); err != nil {
			return nil, err
		}
		rest = tail
	}
}

// cutUnescaped cuts the text at the first % without a backslash before it. before has no
// backslashes: each is removed, and the character after it is kept.
func cutUnescaped(text string) (before, after string, found bool, err error) {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			if i++; i == len(text) {
				return "", "", false, errors.New(`ends with a backslash`)
			}
			out.WriteByte(text[i])
		case '%':
			return out.String(), text[i+1:], true, nil
		default:
			out.WriteByte(text[i])
		}
	}
	return out.String(), "", false, nil
}
