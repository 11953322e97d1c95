package mcrouter

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"holdfast/route"
)

// ParseOptions are the settings that mcrouter takes from its command line rather than from the
// file. A flag is named if its name differs.
type ParseOptions struct {
	RoutePrefix string // -R: the cluster of keys without one; default "/././"

	ServerTimeout        time.Duration     // default 1 s; pools may have their own
	CrossRegionTimeout   time.Duration     // of pools in another region than RoutePrefix; 0 is none
	CrossClusterTimeout  time.Duration     // of pools in another cluster of its region; 0 is none
	WithinClusterTimeout time.Duration     // of pools in its cluster; 0 is none
	SoftErrors           int               // --timeouts-until-tko; default 3
	ProbeMin             time.Duration     // --probe-timeout-initial; default 10 s
	ProbeMax             time.Duration     // --probe-timeout-max; default 60 s
	MissOnGetErrors      bool              // a get that no server could answer is a miss, as it was until April 2025
	ReadsOnly            bool              // --allow-only-gets
	EnableFlush          bool              // --enable-flush-cmd: flush_all is taken
	InvalidToDefault     bool              // --send-invalid-route-to-default
	MaxShadowed          int               // --target-max-shadow-requests; default 1000, < 0 is no limit
	NoShardSplits        bool              // --disable-shard-split-route
	Params               map[string]string // --config-params, for macros
	RouterName           string            // for macros
	ServiceName          string            // for macros
	Proxies              int               // --num-proxies, for macros; 0 leaves %num-proxies% unknown

	// Import reads what @import names, "file:/path" or a path beside the configuration; see Files. Nil
	// refuses all imports.
	Import func(path string) ([]byte, error)

	// Warn is called for settings that have no meaning here. Nil ignores them.
	Warn func(route.Fault)
}

const defaultCluster = "/././"

// Parse returns the options of a router that does what mcrouter would do with the configuration.
// Its errors are route.Faults, whose paths are those in the file after the macros are expanded.
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

// expand reads the text and replaces its macros.
func (o *ParseOptions) expand(text []byte) (*object, error) {
	v, err := parseJSON(text)
	if err != nil {
		return nil, route.Faults{{Text: err.Error()}}
	}
	file, ok := v.(*object)
	if !ok {
		return nil, route.Faults{{Text: "the file is " + typeName(v) + ", and must be a mapping"}}
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
		return nil, route.Faults{{Text: "the macros make " + typeName(v) + " of the file, and must be a mapping"}}
	}
	return file, nil
}

// locate turns an error with a path into a fault.
func locate(err error) route.Faults {
	var l *located
	if errors.As(err, &l) {
		return route.Faults{{Path: l.path, Text: l.err.Error()}}
	}
	return route.Faults{{Text: err.Error()}}
}

// consts returns the names that are defined everywhere in a file.
func (o *ParseOptions) consts() map[string]*variable {
	consts := map[string]*variable{}
	for name, value := range o.Params {
		consts[name] = known(value)
	}
	for name, value := range map[string]string{
		"default-route": o.RoutePrefix, "router-name": o.RouterName, "service-name": o.ServiceName,
		"router-info-name": "Memcache",
	} {
		consts[name] = known(value)
	}
	if o.Proxies > 0 {
		consts["num-proxies"] = known(int64(o.Proxies))
	}
	if parts := strings.Split(o.RoutePrefix, "/"); len(parts) == 4 {
		consts["default-region"], consts["default-cluster"] = known(parts[1]), known(parts[2])
	}
	return consts
}

// define takes definitions of macros and constants: a mapping by name, or a list of such mappings
// or of definitions with a name in them.
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
	return fmt.Errorf("definitions are %s, and must be a mapping or a list", typeName(v))
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
	return fmt.Errorf("type %v is neither macroDef nor constDef", o.values["type"])
}

func (x *expander) defineMacro(name string, o *object, result any) error {
	m := &macro{name: name, call: func(x *expander, c *call) (any, error) {
		inner := &scope{vars: map[string]*variable{}} // what is around the call isn't seen within
		for arg, v := range c.args {
			inner.vars[arg] = known(v)
		}
		return x.expand(result, inner)
	}}
	raw, found := o.values["params"]
	params, ok := raw.([]any)
	if found && !ok {
		return fmt.Errorf("params is %s, and must be a list", typeName(raw))
	}
	for _, v := range params {
		switch v := v.(type) {
		case string:
			m.params = append(m.params, param{name: v})
		case *object:
			p := param{byItself: v.values["default"]}
			p.name, _ = v.values["name"].(string)
			p.optional = p.byItself != nil || v.values["optional"] == true
			m.params = append(m.params, p)
		default:
			return fmt.Errorf("a parameter is %s, and must be its name or a mapping", typeName(v))
		}
	}
	x.macros[name] = m
	return nil
}
