package mcrouter_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"holdfast/config/mcrouter"
	"holdfast/route"
)

// validOptions returns the options of the handles of the table that are mappings without faults.
func validOptions(t *testing.T) []map[string]any {
	var all []map[string]any
	for _, handle := range handles {
		var options map[string]any
		if strings.HasPrefix(handle.route, "{") && strings.HasPrefix(handle.want, "{") {
			if err := json.Unmarshal([]byte(handle.route), &options); err != nil {
				t.Fatalf("%s: %v", handle.route, err)
			}
			all = append(all, options)
		}
	}
	if len(all) < 40 {
		t.Fatalf("got %d handles with options; want more", len(all))
	}
	return all
}

// faultsOf parses a file with a route of these options, one of them replaced, at routePath.
func faultsOf(t *testing.T, options map[string]any, key string, value any) (text string, faults route.Faults) {
	t.Helper()
	changed := maps.Clone(options)
	changed[key] = value
	raw, err := json.Marshal(changed)
	if err != nil {
		t.Fatal(err)
	}
	_, err = mcrouter.Parse([]byte(`{"pools": {"A": {"servers": ["a:1"]}, "B": {"servers": ["b:1", "b:2"]}},
		"route": {"type": "AllSyncRoute", "children": [`+string(raw)+`]}}`), mcrouter.ParseOptions{})
	if err != nil {
		faults = err.(route.Faults)
	}
	return string(raw), faults
}

const routePath = "route.children[0]"

// TestEveryHandleReportsUnknownOptions adds an option that no handle has: it is the only fault.
func TestEveryHandleReportsUnknownOptions(t *testing.T) {
	want := route.Fault{Path: routePath + ".qqq", Text: "isn't supported"}
	for _, options := range validOptions(t) {
		if text, faults := faultsOf(t, options, "qqq", 1); !slices.Equal(faults, route.Faults{want}) {
			t.Errorf("%s: got %v; want %v", text, faults, want)
		}
	}
}

// TestAFaultHasNoConsequences breaks each option of each handle: by a value of another type, by a
// route that doesn't exist, and by an empty list of children. The faults are those of the option:
// no other option, which was valid before, is reported as unsupported, and unknown ones still are.
func TestAFaultHasNoConsequences(t *testing.T) {
	values := []any{"nowhere", -1, 0.5, true, nil, []any{}, []any{"nowhere"}, map[string]any{}, []any{map[string]any{}}}
	for _, options := range validOptions(t) {
		for key := range options {
			if key == "type" || key == "hash_func" { // they decide which options there are
				continue
			}
			for _, value := range values {
				text, faults := faultsOf(t, options, key, value)
				for _, fault := range faults {
					option, _, _ := strings.Cut(strings.TrimPrefix(fault.Path, routePath+"."), ".")
					option, _, _ = strings.Cut(option, "[")
					if strings.HasSuffix(fault.Text, "isn't supported") && option != key && options[option] != nil {
						t.Errorf("%s: got %v; want faults of %s", text, fault, key)
					}
				}
				withUnknown := maps.Clone(options)
				withUnknown["qqq"] = 1
				if text, faults = faultsOf(t, withUnknown, key, value); len(faults) == 0 {
					t.Errorf("%s: got no fault; want that qqq isn't supported", text)
				}
			}
		}
	}
}
