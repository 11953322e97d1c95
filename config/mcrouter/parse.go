package mcrouter

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"holdfast/route"
)

// ParseOptions are the settings that mcrouter has on its command line rather than in the file. The
// flag is given where its name differs from the field's.
type ParseOptions struct {
	RoutePrefix string // -R: the cluster of keys without a prefix; default "/././"

	ServerTimeout        time.Duration     // default 1 s; pools may have their own
	CrossRegionTimeout   time.Duration     // of pools in another region than RoutePrefix; 0 is none
	CrossClusterTimeout  time.Duration     // of pools in another cluster of its region; 0 is none
	WithinClusterTimeout time.Duration     // of pools in its cluster; 0 is none
	SoftErrors           int               // --timeouts-until-tko; default 3
	ProbeMin             time.Duration     // --probe-timeout-initial; default 10 s
	ProbeMax             time.Duration     // --probe-timeout-max; default 60 s
	MissOnGetErrors      bool              // a get that no server could answer is a miss, as it was until April 2025
	ReadsOnly            bool              // --allow-only-gets
	EnableFlush          bool              // --enable-flush-cmd: flush_all is accepted
	InvalidToDefault     bool              // --send-invalid-route-to-default
	MaxShadowed          int               // --target-max-shadow-requests; default 1000, < 0 is no limit
	NoShardSplits        bool              // --disable-shard-split-route
	Params               map[string]string // --config-params, for macros
	RouterName           string            // for macros
	ServiceName          string            // for macros
	Proxies              int               // --num-proxies, for macros; 0 leaves %num-proxies% unknown

	// Import reads the file of an @import: "file:/path", or a path relative to the configuration; see
	// Files. Nil refuses all imports.
	Import func(path string) ([]byte, error)

	// Warn is called for settings that have no effect here. Nil ignores them.
	Warn func(route.Fault)
}

const defaultCluster = "/././"

// Parse returns the options of a router that does what mcrouter does with the configuration. Its
// errors are route.Faults, with paths in the file after macro expansion.
func Parse(text []byte, o ParseOptions) (route.Options, error) {
	if o.RoutePrefix == "" {
		o.RoutePrefix = defaultCluster
	}
	file, err := o.expand(text)
	if err != nil {
		return route.Options{}, err
	}
	b := newBuilder(o)
	b.file(file)
	if len(b.faults) > 0 {
		return route.Options{}, b.faults
	}
	return b.out, nil
}

// expand parses the text and expands its macros.
func (o *ParseOptions) expand(text []byte) (*object, error) {
	v, err := parseJSON(text)
	if err != nil {
		return nil, route.Faults{{Text: err.Error()}}
	}
	file, ok := v.(*object)
	if !ok {
		return nil, route.Faults{{Text: "the file must be a mapping, not " + typeName(v)}}
	}
	x := &expander{imports: o.Import, macros: builtins(), consts: o.consts(), cache: map[string]any{}}
	for _, key := range []string{"consts", "macros"} {
		if defs, found := file.values[key]; found {
			if err := x.define(defs); err != nil {
				return nil, locate(at(key, err))
			}
			file = file.without(key)
		}
	}
	v, err = x.expand(file, nil)
	if err != nil {
		return nil, locate(err)
	}
	if file, ok = v.(*object); !ok {
		return nil, route.Faults{{Text: "the file must be a mapping after macro expansion, not " + typeName(v)}}
	}
	if err := checkShape(file); err != nil {
		return nil, locate(err)
	}
	return file, nil
}

// locate returns the fault for an error, with the error's path if it has one.
func locate(err error) route.Faults {
	var l *located
	if errors.As(err, &l) {
		return route.Faults{{Path: l.path, Text: l.err.Error()}}
	}
	return route.Faults{{Text: err.Error()}}
}

// consts returns the predefined names, which all parts of a file can use.
func (o *ParseOptions) consts() map[string]*variable {
	consts := map[string]*variable{}
	for name, value := range o.Params {
		consts[name] = expanded(value)
	}
	for name, value := range map[string]string{
		"default-route": o.RoutePrefix, "router-name": o.RouterName, "service-name": o.ServiceName,
		"router-info-name": "Memcache",
	} {
		consts[name] = expanded(value)
	}
	if o.Proxies > 0 {
		consts["num-proxies"] = expanded(int64(o.Proxies))
	}
	if parts := strings.Split(o.RoutePrefix, "/"); len(parts) == 4 {
		consts["default-region"], consts["default-cluster"] = expanded(parts[1]), expanded(parts[2])
	}
	return consts
}

// define adds definitions of macros and constants: a mapping by name, or a list of such mappings or
// of definitions with a field name.
func (x *expander) define(raw any) error {
	v, err := x.expand(raw, nil)
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case []any:
		for i, element := range v {
			if err := x.define(element); err != nil {
				return at(fmt.Sprintf("[%d]", i), err)
			}
		}
		return nil
	case *object:
		if name, ok := v.values["name"].(string); ok {
			return x.defineOne(name, v)
		}
		for _, name := range v.keys {
			if err := x.defineOne(name, v.values[name]); err != nil {
				return at(name, err)
			}
		}
		return nil
	}
	return fmt.Errorf("definitions must be a mapping or a list, not %s", typeName(v))
}

func (x *expander) defineOne(name string, def any) error {
	o, ok := def.(*object)
	if !ok {
		return fmt.Errorf("must be a definition, not %s", typeName(def))
	}
	result, found := o.values["result"]
	if !found {
		return errors.New("the definition has no result")
	}
	switch o.values["type"] {
	case "constDef":
		x.consts[name] = &variable{value: result}
		return nil
	case "macroDef":
		return x.defineMacro(name, o, result)
	}
	return fmt.Errorf("type %s is neither macroDef nor constDef", describe(o.values["type"]))
}

func (x *expander) defineMacro(name string, o *object, result any) error {
	m := &macro{name: name, call: func(x *expander, c *call) (any, error) {
		inner := &scope{vars: map[string]*variable{}} // not within the caller's: the macro sees its arguments only
		for arg, v := range c.args {
			inner.vars[arg] = expanded(v)
		}
		return x.expand(result, inner)
	}}
	raw, found := o.values["params"]
	params, ok := raw.([]any)
	if found && !ok {
		return fmt.Errorf("params must be a list, not %s", typeName(raw))
	}
	for _, v := range params {
		switch v := v.(type) {
		case string:
			m.params = append(m.params, param{name: v})
		case *object:
			p := param{value: v.values["default"]}
			p.name, _ = v.values["name"].(string)
			p.optional = p.value != nil || v.values["optional"] == true
			m.params = append(m.params, p)
		default:
			return fmt.Errorf("a parameter must be a name or a mapping, not %s", typeName(v))
		}
	}
	x.macros[name] = m
	return nil
}
