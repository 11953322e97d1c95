package config

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The decoder walks the syntax tree by hand. The library's own strict decoding stops at the first
// fault and names a line; we want all of them, each with its path.

// decode reads text over what into has.
func decode(text []byte, into *Config) Faults {
	var d decoder
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		d.faults.add("", "not YAML: %s", yaml.FormatError(err, false, false))
		return d.faults
	}
	if len(file.Docs) > 1 {
		d.faults.add("", "%d documents in the file; one is wanted", len(file.Docs))
		return d.faults
	}
	if len(file.Docs) == 1 && file.Docs[0].Body != nil {
		d.value("", file.Docs[0].Body, reflect.ValueOf(into).Elem())
	}
	return d.faults
}

type decoder struct{ faults Faults }

// value decodes node into v. What the file leaves empty keeps its default.
func (d *decoder) value(path string, node ast.Node, v reflect.Value) {
	if node == nil || node.Type() == ast.NullType || node.Type() == ast.CommentType {
		return
	}
	if set := scalarSetter(v); set != nil {
		d.scalar(path, node, set)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(path, node, v)
	case reflect.Slice:
		d.list(path, node, v)
	default:
		panic("config: no decoder for " + v.Type().String())
	}
}

func (d *decoder) structure(path string, node ast.Node, v reflect.Value) {
	if l, ok := v.Addr().Interface().(*Listener); ok {
		if text, ok := scalarText(node); ok {
			l.Address = text
			return
		}
	}
	mapping, ok := node.(ast.MapNode)
	if !ok {
		d.faults.add(path, "a mapping is wanted here, not %s", describe(node))
		return
	}
	fields := fieldsByKey(v)
	for entries := mapping.MapRange(); entries.Next(); {
		key := entries.Key().String()
		field, ok := fields[key]
		if !ok {
			d.faults.add(path, "unknown key %q (line %d); known are %s", key, line(entries.Key()), known(fields))
			continue
		}
		d.value(join(path, key), entries.Value(), field)
	}
}

func (d *decoder) list(path string, node ast.Node, v reflect.Value) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		d.faults.add(path, "a list is wanted here, not %s", describe(node))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values))
	for i, element := range sequence.Values {
		if l, ok := list.Index(i).Addr().Interface().(*Listener); ok {
			l.Mode = DefaultMode
		}
		d.value(fmt.Sprintf("%s[%d]", path, i)+label(element), element, list.Index(i))
	}
	v.Set(list)
}

func (d *decoder) scalar(path string, node ast.Node, set func(string) error) {
	text, ok := scalarText(node)
	if !ok {
		d.faults.add(path, "a single value is wanted here, not %s", describe(node))
		return
	}
	if err := set(text); err != nil {
		d.faults.add(path, "%v", err)
	}
}

// scalarSetter returns what reads v from text, nil if v isn't a single value.
func scalarSetter(v reflect.Value) func(string) error {
	switch p := v.Addr().Interface().(type) {
	case *Bytes:
		return setter(p, ParseBytes)
	case *time.Duration:
		return setter(p, parseDuration)
	case *AccessMode:
		return setter(p, ParseMode)
	case *slog.Level:
		return setter(p, parseLevel)
	case *bool:
		return setter(p, parseBool)
	case *int:
		return setter(p, parseInt)
	case *float64:
		return setter(p, parseFloat)
	}
	if v.Kind() == reflect.String {
		return func(text string) error { v.SetString(text); return nil }
	}
	return nil
}

func setter[T any](p *T, parse func(string) (T, error)) func(string) error {
	return func(text string) error {
		v, err := parse(text)
		if err == nil {
			*p = v
		}
		return err
	}
}

// scalarText gives a scalar as it stands in the file, without its quotes.
func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.StringNode:
		return n.Value, true
	case ast.ScalarNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func describe(node ast.Node) string {
	if text, ok := scalarText(node); ok {
		return strconv.Quote(text)
	}
	switch node.(type) {
	case *ast.SequenceNode:
		return "a list"
	case ast.MapNode:
		return "a mapping"
	}
	return strings.ToLower(node.Type().String()) // anchors, aliases and tags, which nothing here needs
}

// label names a list's element by its prefix or address, so that a reader needn't count.
func label(element ast.Node) string {
	if text, ok := scalarText(element); ok {
		return " " + strconv.Quote(text)
	}
	mapping, ok := element.(ast.MapNode)
	if !ok {
		return ""
	}
	for entries := mapping.MapRange(); entries.Next(); {
		if key := entries.Key().String(); key == "prefix" || key == "address" {
			if text, ok := scalarText(entries.Value()); ok {
				return " " + strconv.Quote(text)
			}
		}
	}
	return ""
}

func fieldsByKey(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		fields[v.Type().Field(i).Tag.Get("yaml")] = v.Field(i)
	}
	return fields
}

func known(fields map[string]reflect.Value) string {
	keys := make([]string, 0, len(fields))
	for key := range fields {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return strings.Join(keys, ", ")
}

func line(node ast.Node) int { return node.GetToken().Position.Line }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
