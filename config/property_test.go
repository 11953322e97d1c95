package config

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/route"
)

// A filler gives structures random values by reflection, so that a new setting is tested without a
// change of the test.
type filler struct{ *rand.Rand }

const fillerDepth = 3 // of routes within routes

// oddTexts are texts that YAML doesn't read as themselves without quotes, or that need escapes.
var oddTexts = []string{
	"null", "~", "true", "no", "0x1f", "1_000", "1:2", "a: b", "a #b", "- a", "? a", "[a", "{a", "'", `"`, `\`, "&a", "*a",
	"!a", "%a", "@a", "`a", "a,b", " a", "a ", "a\nb", "a\tb", "\u00e9\u200b", "...", "---", ":", "a:", "<<", "=",
	"1e3", ".5",
}

func (f filler) text() string {
	if f.IntN(2) == 0 {
		return fmt.Sprintf("t%d", f.IntN(100))
	}
	return oddTexts[f.IntN(len(oddTexts))]
}

// fill sets v to a value that is not zero. Unless whole is set, one value in three stays as it is.
func (f filler) fill(v reflect.Value, depth int, whole bool) {
	if !whole && f.IntN(3) == 0 {
		return
	}
	switch v.Interface().(type) {
	case AccessMode:
		v.SetUint(uint64(1 + f.IntN(0o777)))
		return
	case Bytes, time.Duration:
		v.SetInt(1 + f.Int64N(1<<uint(1+f.IntN(50))))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(f.Int64N(1<<33), f.Int64N(1e9)).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(f.text())
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(int64(1 + f.IntN(1<<uint(1+f.IntN(30)))))
	case reflect.Float64:
		v.SetFloat(f.Float64() * 100)
	case reflect.Struct:
		f.structure(v, depth, whole)
	case reflect.Pointer:
		if depth < fillerDepth {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem(), depth+1, false)
		}
	case reflect.Slice:
		n := f.IntN(3)
		if depth >= fillerDepth {
			n = 0
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			if mode := v.Index(i).Kind() == reflect.Struct && v.Index(i).FieldByName("Mode").IsValid(); mode {
				v.Index(i).FieldByName("Mode").Set(reflect.ValueOf(DefaultMode))
			}
			f.fill(v.Index(i), depth+1, false)
		}
	default:
		panic("config: the test has no random " + v.Type().String())
	}
}

func (f filler) structure(v reflect.Value, depth int, whole bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") != "-" {
			// TLS has defaults that aren't zero, so zero can't be printed.
			f.fill(v.Field(i), depth, whole || v.Type() == reflect.TypeFor[TLS]())
		}
	}
}

// TestPrintAndReadRandomRouters prints routers with random settings, valid or not, and decodes what
// was printed: each setting comes back as it was. Settings whose default isn't zero are never zero.
func TestPrintAndReadRandomRouters(t *testing.T) {
	for seed := range uint64(300) {
		f := filler{rand.New(rand.NewPCG(seed, 1))}
		want := defaultRouter()
		f.fill(reflect.ValueOf(&want).Elem(), 0, f.IntN(10) == 0)
		if len(want.Listen) == 0 {
			want.Listen = defaultRouter().Listen
		}
		text := want.Print()
		var c Config
		if faults := decode(text, &c); len(faults) > 0 {
			t.Fatalf("seed %d: %v\n%s", seed, faults, text)
		}
		if c.Router == nil || !reflect.DeepEqual(*c.Router, want) {
			t.Fatalf("seed %d: got\n%+v; want\n%+v\n%s", seed, c.Router, want, text)
		}
	}
}

// A setting is one leaf of the configuration.
type setting struct {
	path string
	open string // the text of a file before the setting's value
	kind reflect.Type
}

// settings returns all settings below t, each list with one element. around are the structures that
// contain t: a route within a route is left out.
func settings(t reflect.Type, path, open string, around ...reflect.Type) []setting {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	probe := reflect.New(t).Elem()
	switch {
	case scalarSetter(probe) != nil:
		return []setting{{path, open, t}}
	case slices.Contains(around, t):
		return nil
	case t.Kind() == reflect.Slice:
		list := []setting{{path, open, t}}
		return append(list, settings(t.Elem(), path+"[0]", open+"[", around...)...)
	}
	around = append(slices.Clip(around), t)
	var all []setting
	if shorthand(probe) == nil {
		all = append(all, setting{path, open, t})
	}
	for i := range t.NumField() {
		field := t.Field(i)
		switch key := field.Tag.Get("yaml"); {
		case field.Anonymous:
			for _, s := range settings(field.Type, path, open, around...) {
				if s.path != path {
					all = append(all, s)
				}
			}
		case key != "-":
			all = append(all, settings(field.Type, join(path, key), open+"{"+key+": ", around...)...)
		}
	}
	return all
}

func (s setting) file(value string) []byte {
	text := s.open + value
	for i := len(s.open) - 1; i >= 0; i-- {
		switch s.open[i] {
		case '{':
			text += "}"
		case '[':
			text += "]"
		}
	}
	return []byte(text)
}

// TestEachSettingReportsAWrongShape gives each setting a value of another shape. The fault has the
// setting's path, and is the only one.
func TestEachSettingReportsAWrongShape(t *testing.T) {
	all := settings(reflect.TypeFor[Config](), "", "")
	if len(all) < 200 {
		t.Errorf("%d settings; want more: the walk misses some", len(all))
	}
	for _, s := range all {
		if s.path == "" {
			continue
		}
		value, want := "[[x]]", "must be a single value, not a list"
		if scalarSetter(reflect.New(s.kind).Elem()) == nil {
			value, want = "5", `must be a list, not "5"`
			if s.kind.Kind() == reflect.Struct {
				value, want = "[x]", "must be a mapping, not a list"
			}
		}
		var c Config
		faults := decode(s.file(value), &c)
		if len(faults) != 1 || faults[0].Path != s.path || faults[0].Text != want {
			t.Errorf("%s\n got %v\nwant %s: %s", s.file(value), faults, s.path, want)
		}
	}
}

// TestEachSectionRefusesUnknownKeys sets an unknown key in each mapping.
func TestEachSectionRefusesUnknownKeys(t *testing.T) {
	for _, s := range settings(reflect.TypeFor[Config](), "", "") {
		if s.kind.Kind() != reflect.Struct || s.kind == reflect.TypeFor[time.Time]() {
			continue
		}
		var c Config
		faults := decode(s.file("{qqq: 1}"), &c)
		if len(faults) != 1 || faults[0].Path != s.path || !strings.HasPrefix(faults[0].Text, `unknown key "qqq" (line 1)`) {
			t.Errorf("%s: got %v; want the unknown key at %q", s.file("{qqq: 1}"), faults, s.path)
		}
	}
}

// TestLimits sets each number to both of its limits, which are allowed, and to one beyond each.
func TestLimits(t *testing.T) {
	for _, l := range []struct {
		path, around string // around has %s for the value
		low, high    int64
		unit         string
	}{
		{"cache.memory", "cache: {item_max: 1KiB, memory: %s}", minMemory, maxMemory, ""},
		{"cache.item_max", "cache: {memory: 512GiB, item_max: %s}", minItem, maxItem, ""},
		{"cache.threads", "cache: {threads: %s}", 0, maxThreads, ""},
		{"cache.connections", "cache: {connections: %s}", 1, maxConnections, ""},
		{"cache.backlog", "cache: {backlog: %s}", 1, maxBacklog, ""},
		{"cache.requests_per_turn", "cache: {requests_per_turn: %s}", 1, MaxRequestsPerTurn, ""},
		{"router.threads", "router: {route: {kind: 'null'}, threads: %s}", 0, maxThreads, ""},
		{"router.connections", "router: {route: {kind: 'null'}, connections: %s}", 1, maxConnections, ""},
		{"router.item_max", "router: {route: {kind: 'null'}, item_max: %s}", minItem, maxItem, ""},
		{"tables.connections", "tables: {connections: %s}", 1, maxTableConns, ""},
		{"tables.new_shards", "tables: {new_shards: %s}", 1, maxTableShards, ""},
		{"tables.memory", "tables: {memory: %s}", minTablesMemory, maxTablesMemory, ""},
		{"tables.cache", "tables: {memory: 512MiB, cache: %s}", minTablesCache, 256 << 20, ""},
		{"tables.reserve", "tables: {reserve: %s}", minReserve, maxReserve, ""},
		{"tables.log.bytes", "tables: {log: {bytes: %s}}", minLogBytes, maxLogBytes, ""},
		{"tables.log.age", "tables: {log: {age: %s}}", int64(minLogAge), int64(maxLogAge), "ns"},
	} {
		for n, allowed := range map[int64]bool{l.low - 1: false, l.low: true, l.high: true, l.high + 1: false} {
			text := fmt.Sprintf(l.around, fmt.Sprint(n)+l.unit)
			_, err := Parse([]byte(text))
			faults, _ := err.(route.Faults)
			if allowed && err != nil || !allowed && (len(faults) != 1 || faults[0].Path != l.path) {
				t.Errorf("%s: got %v; want a fault of %s: %v", text, err, l.path, !allowed)
			}
		}
	}
}
