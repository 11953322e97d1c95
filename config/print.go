package config

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"holdfast/route"
)

// Print returns r as the router section of a file, without settings that are empty or have their
// default. Parse returns r with defaults for it.
func (r *Router) Print() []byte {
	var p printer
	p.out.WriteString("router:\n")
	kept := *r
	unset := defaultRouter()
	v, def := reflect.ValueOf(&kept).Elem(), reflect.ValueOf(&unset).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Listen" && reflect.DeepEqual(v.Field(i).Interface(),
			def.Field(i).Interface()) {
			v.Field(i).SetZero()
		}
	}
	p.structure(v, "  ", "  ")
	return p.out.Bytes()
}

// A printer writes structures as YAML in the form that the decoder reads.
type printer struct{ out bytes.Buffer }

// structure writes the fields of v that are set, the first on a line that begins with lead, the
// others on lines that begin with indent. It reports whether there were any.
func (p *printer) structure(v reflect.Value, indent, lead string) bool {
	any := false
	for i := range v.NumField() {
		field := v.Field(i)
		if v.Type().Field(i).Anonymous {
			if p.structure(field, indent, lead) {
				any, lead = true, indent
			}
			continue
		}
		key := v.Type().Field(i).Tag.Get("yaml")
		if field.Kind() == reflect.Pointer && !field.IsNil() {
			field = field.Elem()
		} else if field.IsZero() || isDefaultMode(field) {
			continue
		}
		if text, ok := printedScalar(field, key); ok {
			fmt.Fprintf(&p.out, "%s%s: %s\n", lead, key, text)
		} else if field.Kind() == reflect.Struct && field.IsZero() { // it was pointed to
			fmt.Fprintf(&p.out, "%s%s: {}\n", lead, key)
		} else {
			fmt.Fprintf(&p.out, "%s%s:\n", lead, key)
			p.nested(field, indent+"  ")
		}
		any, lead = true, indent
	}
	return any
}

func isDefaultMode(v reflect.Value) bool {
	mode, ok := v.Interface().(AccessMode)
	return ok && mode == DefaultMode
}

// nested writes a structure, or a list of structures, below its key.
func (p *printer) nested(v reflect.Value, indent string) {
	if v.Kind() == reflect.Struct {
		p.structure(v, indent, indent)
		return
	}
	for i := range v.Len() {
		element := v.Index(i)
		if text, ok := printedScalar(element, ""); ok {
			fmt.Fprintf(&p.out, "%s- %s\n", indent, text)
		} else if !p.structure(element, indent+"  ", indent+"- ") {
			fmt.Fprintf(&p.out, "%s- {}\n", indent)
		}
	}
}

// printedScalar returns v as written after its key on the same line; false if v needs its own
// lines.
func printedScalar(v reflect.Value, key string) (string, bool) {
	switch x := v.Interface().(type) {
	case time.Duration:
		return printDuration(x), true
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano), true
	case Bytes:
		return x.String(), true
	case AccessMode:
		return fmt.Sprintf("%q", fmt.Sprintf("%04o", x)), true
	case RouterListener:
		return quote(x.Address), x == RouterListener{Listener: Listener{Address: x.Address, Mode: DefaultMode}}
	case route.Member:
		return quote(x.Address), x == route.Member{Address: x.Address}
	case route.Route:
		return quote(x.Pool), reflect.DeepEqual(x, route.Route{Kind: route.KindPool, Pool: x.Pool})
	}
	switch v.Kind() {
	case reflect.String:
		return quote(v.String()), true
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), true
	case reflect.Int:
		if strings.HasSuffix(key, "_bytes") {
			return Bytes(v.Int()).String(), true
		}
		return strconv.FormatInt(v.Int(), 10), true
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64), true
	case reflect.Slice:
		return printedList(v)
	}
	return "", false
}

// printedList returns a list of single values, on one line.
func printedList(v reflect.Value) (string, bool) {
	if v.Len() > 0 && v.Index(0).Kind() == reflect.Struct {
		return "", false
	}
	texts := make([]string, v.Len())
	for i := range texts {
		texts[i], _ = printedScalar(v.Index(i), "")
	}
	return "[" + strings.Join(texts, ", ") + "]", true
}

// plain matches text that needs no quotes in any place of a YAML file.
var plain = regexp.MustCompile(`^[A-Za-z0-9/_]([A-Za-z0-9/_.:-]*[A-Za-z0-9/_.-])?$`)

// words matches the words that YAML 1.1 or 1.2 doesn't read as text.
var words = regexp.MustCompile(`^(?i)(null|true|false|yes|no|on|off|y|n)$`)

func quote(text string) string {
	if plain.MatchString(text) && !words.MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}

// printDuration removes the zeros at the end of Duration.String.
func printDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
