package config

import (
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"holdfast/route"
	"holdfast/yamltree"
)

// The decoder walks the syntax tree by hand: the library's own strict decoding stops at the first
// fault, and reports its line instead of its path.

// decode sets the settings of text in into, and leaves the others as they are.
func decode(text []byte, into *Config) route.Faults {
	var d decoder
	body, err := yamltree.Parse(text)
	if err != nil {
		d.faults.Add("", "%v", err)
		return d.faults
	}
	if body != nil {
		d.value("", body, reflect.ValueOf(into).Elem())
	}
	return d.faults
}

type decoder struct{ faults route.Faults }

// value decodes node into v. What the file leaves empty keeps its default.
func (d *decoder) value(path string, node ast.Node, v reflect.Value) {
	if node == nil || node.Type() == ast.CommentType {
		return
	}
	if node.Type() == ast.NullType {
		if kind, ok := v.Addr().Interface().(*route.Kind); ok && node.GetToken().Value == string(route.KindNull) {
			*kind = route.KindNull // "kind: null" without quotes, which YAML reads as no value
		}
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
	case reflect.Pointer:
		d.pointer(path, node, v)
	default:
		panic("config: no decoder for " + v.Type().String())
	}
}

func (d *decoder) structure(path string, node ast.Node, v reflect.Value) {
	if short := shorthand(v); short != nil {
		if text, ok := scalarText(node); ok {
			*short = text
			return
		}
	}
	mapping, ok := node.(ast.MapNode)
	if !ok {
		d.faults.Add(path, "must be a mapping, not %s", describe(node))
		return
	}
	fields := fieldsByKey(v)
	for entries := mapping.MapRange(); entries.Next(); {
		key := entries.Key().String()
		field, ok := fields[key]
		if !ok {
			d.faults.Add(path, "unknown key %q (line %d); the keys are %s", key, line(entries.Key()), known(fields))
			continue
		}
		if n, ok := field.Addr().Interface().(*int); ok && strings.HasSuffix(key, "_bytes") {
			d.size(join(path, key), entries.Value(), n)
			continue
		}
		d.value(join(path, key), entries.Value(), field)
	}
}

// shorthand returns the field that a single value sets where the file could have a mapping for v,
// nil if v must be a mapping.
func shorthand(v reflect.Value) *string {
	switch p := v.Addr().Interface().(type) {
	case *Listener:
		return &p.Address
	case *RouterListener:
		return &p.Address
	case *route.Member:
		return &p.Address
	case *route.Route:
		return &p.Pool
	}
	return nil
}

// pointer allocates what v points to, with its defaults, and decodes node into it.
func (d *decoder) pointer(path string, node ast.Node, v reflect.Value) {
	made := reflect.New(v.Type().Elem())
	switch x := made.Interface().(type) {
	case *Router:
		*x = defaultRouter()
	case *Cluster:
		x.CompareEvery = defaultCompareEvery
	}
	v.Set(made)
	d.value(path, node, made.Elem())
}

// size decodes a number of bytes into an option of a package that doesn't import this one, and so
// has an int for it.
func (d *decoder) size(path string, node ast.Node, into *int) {
	if node.Type() == ast.NullType {
		return
	}
	d.scalar(path, node, func(text string) error {
		b, err := ParseBytes(text)
		if err == nil {
			*into = int(b)
		}
		return err
	})
}

func (d *decoder) list(path string, node ast.Node, v reflect.Value) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		d.faults.Add(path, "must be a list, not %s", describe(node))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values))
	for i, element := range sequence.Values {
		switch l := list.Index(i).Addr().Interface().(type) {
		case *Listener:
			l.Mode = DefaultMode
		case *RouterListener:
			l.Mode = DefaultMode
		}
		d.value(fmt.Sprintf("%s[%d]", path, i)+label(element), element, list.Index(i))
	}
	v.Set(list)
}

func (d *decoder) scalar(path string, node ast.Node, set func(string) error) {
	text, ok := scalarText(node)
	if !ok {
		d.faults.Add(path, "must be a single value, not %s", describe(node))
		return
	}
	if err := set(text); err != nil {
		d.faults.Add(path, "%v", err)
	}
}

// scalarSetter returns the function that sets v from text, nil if v isn't a single value.
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
	case *time.Time:
		return setter(p, parseTime)
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

// scalarText returns a scalar as written in the file, without its quotes.
func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.StringNode:
		return n.Value, true
	case ast.ScalarNode:
		return n.GetToken().Value, true
	case *ast.MappingNode:
		return plainWithColon(n)
	}
	return "", false
}

// plainWithColon returns the text of an element such as that of {listen: [127.0.0.1:11211]}. Within
// braces the parser returns a mapping for it; in YAML it is text, since no blank follows the colon
// (section 7.3.3 of YAML 1.2.2).
func plainWithColon(n *ast.MappingNode) (string, bool) {
	if len(n.Values) != 1 {
		return "", false
	}
	key, value := n.Values[0].Key.GetToken(), n.Values[0].Value.GetToken()
	_, scalar := n.Values[0].Value.(ast.ScalarNode)
	colon := n.Values[0].GetToken().Position.Offset
	if !scalar || key.Type != token.StringType || key.Position.Offset+len(key.Value) != colon ||
		value.Position.Offset != colon+1 {
		return "", false
	}
	return key.Value + ":" + value.Value, true
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
	return strings.ToLower(node.Type().String()) // an anchor, an alias or a tag: not supported
}

// labels are the keys that identify an element of a list, the best first.
var labels = []string{"prefix", "address", "name"}

// label names an element of a list by one of its values, so that the author of the file needn't
// count elements.
func label(element ast.Node) string {
	if text, ok := scalarText(element); ok {
		return " " + strconv.Quote(text)
	}
	mapping, ok := element.(ast.MapNode)
	if !ok {
		return ""
	}
	best, found := len(labels), ""
	for entries := mapping.MapRange(); entries.Next(); {
		if i := slices.Index(labels, entries.Key().String()); i >= 0 && i < best {
			if text, ok := scalarText(entries.Value()); ok {
				best, found = i, " "+strconv.Quote(text)
			}
		}
	}
	return found
}

// fieldsByKey returns the fields of v, including those of embedded structures.
func fieldsByKey(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		if v.Type().Field(i).Anonymous {
			maps.Copy(fields, fieldsByKey(v.Field(i)))
			continue
		}
		if key := v.Type().Field(i).Tag.Get("yaml"); key != "-" {
			fields[key] = v.Field(i)
		}
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
