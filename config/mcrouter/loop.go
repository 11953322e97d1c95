package mcrouter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// merge joins lists, strings or mappings. Of equal keys of mappings, the last one wins.
func merge(x *expander, c *call) (any, error) {
	parts, ok := c.args["params"].([]any)
	if !ok || len(parts) == 0 {
		return nil, errors.New("params must be a list with elements")
	}
	switch parts[0].(type) {
	case []any:
		list := []any{}
		for _, part := range parts {
			more, ok := part.([]any)
			if !ok {
				return nil, fmt.Errorf("%s can't be merged into a list", typeName(part))
			}
			if err := x.count(len(more)); err != nil {
				return nil, err
			}
			list = append(list, more...)
		}
		return list, nil
	case *object:
		o := newObject()
		for _, part := range parts {
			more, ok := part.(*object)
			if !ok {
				return nil, fmt.Errorf("%s can't be merged into a mapping", typeName(part))
			}
			if err := x.copying(len(more.keys)); err != nil {
				return nil, err
			}
			for _, key := range more.keys {
				o.set(key, more.values[key])
			}
		}
		return o, nil
	case string:
		var text strings.Builder
		for _, part := range parts {
			more, ok := part.(string)
			if !ok {
				return nil, fmt.Errorf("%s can't be merged into a string", typeName(part))
			}
			if err := x.write(&text, more); err != nil {
				return nil, err
			}
		}
		return text.String(), nil
	}
	return nil, fmt.Errorf("%s can't be merged", typeName(parts[0]))
}

// slice returns the elements between the indexes from and to, or with keys between them, both
// included.
func slice(x *expander, c *call) (any, error) {
	if err := x.copying(elements(c.args["dictionary"])); err != nil {
		return nil, err
	}
	if o, ok := c.args["dictionary"].(*object); ok {
		from, okFrom := c.args["from"].(string)
		to, okTo := c.args["to"].(string)
		if !okFrom || !okTo {
			return nil, errors.New("from and to must be strings")
		}
		part := newObject()
		for _, key := range o.keys {
			if from <= key && key <= to {
				part.set(key, o.values[key])
			}
		}
		return part, nil
	}
	from, okFrom := c.args["from"].(int64)
	to, okTo := c.args["to"].(int64)
	if !okFrom || !okTo {
		return nil, errors.New("from and to must be whole numbers")
	}
	bounds := func(n int) (int, int) {
		first := min(max(from, 0), int64(n))
		return int(first), int(max(first, min(to, int64(n)-1)+1))
	}
	switch d := c.args["dictionary"].(type) {
	case []any:
		i, j := bounds(len(d))
		return slices.Clone(d[i:j]), nil
	case string:
		i, j := bounds(len(d))
		return d[i:j], nil
	default:
		return nil, fmt.Errorf("%s has no parts", typeName(d))
	}
}

// index returns key as an index of a list of n elements.
func index(key any, n int) (int, error) {
	i, ok := key.(int64)
	if !ok {
		return 0, fmt.Errorf("the key of a list must be a whole number, not %s", typeName(key))
	}
	if i < 0 || i >= int64(n) {
		return 0, fmt.Errorf("%d is not in [0, %d)", i, n)
	}
	return int(i), nil
}

func set(x *expander, c *call) (any, error) {
	if err := x.copying(1 + elements(c.args["dictionary"])); err != nil {
		return nil, err
	}
	switch d := c.args["dictionary"].(type) {
	case []any:
		i, err := index(c.args["key"], len(d))
		if err != nil {
			return nil, err
		}
		d = slices.Clone(d)
		d[i] = c.args["value"]
		return d, nil
	case *object:
		key, ok := c.args["key"].(string)
		if !ok {
			return nil, errors.New("key must be a string")
		}
		changed := copyOf(d)
		changed.set(key, c.args["value"])
		return changed, nil
	default:
		return nil, fmt.Errorf("%s has no keys", typeName(d))
	}
}

func rangeOf(x *expander, c *call) (any, error) {
	from, okFrom := c.args["from"].(int64)
	to, okTo := c.args["to"].(int64)
	if !okFrom || !okTo {
		return nil, errors.New("from and to must be whole numbers")
	}
	if to < from {
		return []any{}, nil
	}
	if uint64(to-from) >= maxValues {
		return nil, fmt.Errorf("[%d, %d] has more than %d numbers", from, to, maxValues)
	}
	list := make([]any, to-from+1)
	if err := x.count(len(list)); err != nil {
		return nil, err
	}
	for i := range list {
		list[i] = from + int64(i)
	}
	return list, nil
}

func selectOf(x *expander, c *call) (any, error) {
	dictionary, _, err := c.arg(x, "dictionary")
	if err != nil {
		return nil, err
	}
	key, _, err := c.arg(x, "key")
	if err != nil {
		return nil, err
	}
	var why error
	switch d := dictionary.(type) {
	case *object:
		name, ok := key.(string)
		if !ok {
			return nil, errors.New("the key of a mapping must be a string")
		}
		if v, found := d.values[name]; found {
			return v, nil
		}
		why = fmt.Errorf("there is no key %q, and no default", name)
	case []any:
		if i, ok := key.(int64); ok && i < 0 {
			key = i + int64(len(d))
		}
		i, err := index(key, len(d))
		if err == nil {
			return d[i], nil
		}
		why = err
	default:
		return nil, fmt.Errorf("%s has nothing to select from", typeName(dictionary))
	}
	v, found, err := c.arg(x, "default")
	if !found {
		return nil, why
	}
	return v, err
}

func choose(x *expander, c *call) (any, error) {
	condition, err := truth(x, c, "condition")
	if err != nil {
		return nil, err
	}
	name := "is_false"
	if condition {
		name = "is_true"
	}
	v, _, err := c.arg(x, name)
	return v, err
}

func truth(x *expander, c *call, name string) (bool, error) {
	v, _, err := c.arg(x, name)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("%s must be true or false, not %s", name, typeName(v))
	}
	return b, nil
}

// both is "and" and "or", where a value of A that equals decisive is the result: B isn't expanded
// then.
func both(x *expander, c *call, decisive bool) (any, error) {
	a, err := truth(x, c, "A")
	if err != nil || a == decisive {
		return a, err
	}
	return truth(x, c, "B")
}

func importOf(x *expander, c *call) (any, error) {
	v, _, err := c.arg(x, "path")
	if err != nil {
		return nil, err
	}
	path, ok := v.(string)
	if !ok {
		return nil, errors.New("path must be a string")
	}
	if v, found := x.cache[path]; found {
		return v, nil
	}
	v, err = x.imported(path)
	if err != nil {
		otherwise, found, failed := c.arg(x, "default")
		if !found || isRefused(err) {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		v, err = otherwise, failed
	}
	if err == nil {
		x.cache[path] = v
	}
	return v, err
}

// A loop iterates over a list or a mapping, with names for the key and the item.
type loop struct {
	keys, items       []any
	ofMapping         bool
	keyName, itemName string
	outer             *scope
	fields            *object // of the macro's call
}

// newLoop returns a loop over the value of the field from. The fields keyField and itemField may
// name the key and the item.
func (x *expander) newLoop(o *object, s *scope, from, keyField, itemField string) (*loop, error) {
	raw, found := o.values[from]
	if !found {
		return nil, fmt.Errorf("parameter %s is missing", from)
	}
	v, err := x.expand(raw, s)
	if err != nil {
		return nil, err
	}
	if err := x.copying(elements(v)); err != nil {
		return nil, err
	}
	l := &loop{keyName: "key", itemName: "item", outer: s, fields: o}
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			l.keys, l.items = append(l.keys, int64(i)), append(l.items, item)
		}
	case *object:
		l.ofMapping = true
		for _, key := range v.keys {
			l.keys, l.items = append(l.keys, key), append(l.items, v.values[key])
		}
	default:
		return nil, fmt.Errorf("%s must be a list or a mapping, not %s", from, typeName(v))
	}
	for field, name := range map[string]*string{keyField: &l.keyName, itemField: &l.itemName} {
		if v, found := o.values[field]; found {
			text, ok := v.(string)
			if !ok {
				return nil, fmt.Errorf("%s must be a string", field)
			}
			*name = text
		}
	}
	return l, nil
}

// each expands a field of the call for the i-th element; more are further names.
func (x *expander) each(l *loop, i int, field string, more map[string]any) (any, error) {
	vars := map[string]*variable{l.keyName: expanded(l.keys[i]), l.itemName: expanded(l.items[i])}
	for name, v := range more {
		vars[name] = expanded(v)
	}
	return x.expand(l.fields.values[field], &scope{vars: vars, outer: l.outer})
}

func (l *loop) has(field string) bool { _, found := l.fields.values[field]; return found }

func (x *expander) transform(o *object, s *scope) (any, error) {
	l, err := x.newLoop(o, s, "dictionary", "keyName", "itemName")
	if err != nil {
		return nil, err
	}
	if !l.ofMapping && !l.has("itemTransform") {
		return nil, errors.New("parameter itemTransform is missing")
	}
	list, result := []any{}, newObject()
	for i := range l.keys {
		key, item := l.keys[i], l.items[i]
		if l.ofMapping && l.has("keyTransform") {
			if key, err = x.each(l, i, "keyTransform", nil); err != nil {
				return nil, err
			}
		}
		if l.has("itemTransform") {
			if item, err = x.each(l, i, "itemTransform", nil); err != nil {
				return nil, err
			}
		}
		if !l.ofMapping {
			list = append(list, item)
		} else if err := x.setAll(result, key, item); err != nil {
			return nil, err
		}
	}
	if l.ofMapping {
		return result, nil
	}
	return list, nil
}

// setAll sets the item at a key, or at each of a list of keys.
func (x *expander) setAll(o *object, key, item any) error {
	names, ok := key.([]any)
	if !ok {
		names = []any{key}
	}
	if err := x.copying(len(names)); err != nil {
		return err
	}
	for _, name := range names {
		text, ok := name.(string)
		if !ok {
			return fmt.Errorf("a key is %s, not a string", typeName(name))
		}
		o.set(text, item)
	}
	return nil
}

func (x *expander) process(o *object, s *scope) (any, error) {
	l, err := x.newLoop(o, s, "dictionary", "keyName", "itemName")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"initialValue", "transform"} {
		if !l.has(name) {
			return nil, fmt.Errorf("parameter %s is missing", name)
		}
	}
	valueName := "value"
	if name, ok := o.values["valueName"].(string); ok {
		valueName = name
	}
	value, err := x.expand(o.values["initialValue"], s)
	for i := 0; i < len(l.keys) && err == nil; i++ {
		value, err = x.each(l, i, "transform", map[string]any{valueName: value})
	}
	return value, err
}

func (x *expander) foreach(o *object, s *scope) (any, error) {
	l, err := x.newLoop(o, s, "from", "key", "item")
	if err != nil {
		return nil, err
	}
	top, err := x.topOf(l)
	if err != nil {
		return nil, err
	}
	var parts []any
	for i := 0; i < len(l.keys) && len(parts) < top; i++ {
		part, matches, err := x.foreachPart(l, i)
		if err != nil {
			return nil, err
		}
		if matches {
			parts = append(parts, part)
		}
	}
	switch {
	case len(parts) > 0:
		return merge(x, &call{args: map[string]any{"params": parts}})
	case l.has("noMatchResult"):
		return x.expand(o.values["noMatchResult"], s)
	case l.ofMapping:
		return newObject(), nil
	}
	return []any{}, nil
}

// topOf returns how many elements foreach takes.
func (x *expander) topOf(l *loop) (int, error) {
	if !l.has("top") {
		return len(l.keys), nil
	}
	v, err := x.expand(l.fields.values["top"], l.outer)
	if err != nil {
		return 0, err
	}
	n, ok := v.(int64)
	if !ok || n < 0 {
		return 0, errors.New("top must be a whole number, 0 or more")
	}
	return int(min(n, int64(len(l.keys)))), nil
}

// foreachPart returns what the i-th element adds to the result.
func (x *expander) foreachPart(l *loop, i int) (part any, matches bool, err error) {
	if l.has("where") {
		v, err := x.each(l, i, "where", nil)
		if err != nil {
			return nil, false, err
		}
		if matches, ok := v.(bool); !ok || !matches {
			if !ok {
				err = fmt.Errorf("where must be true or false, not %s", typeName(v))
			}
			return nil, false, err
		}
	}
	if l.has("use") {
		part, err := x.each(l, i, "use", nil)
		return part, true, err
	}
	if l.ofMapping {
		one := newObject()
		one.set(l.keys[i].(string), l.items[i])
		return one, true, nil
	}
	return []any{l.items[i]}, true, nil
}
