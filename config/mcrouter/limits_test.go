package mcrouter_test

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/config/mcrouter"
)

// consts returns the section of the constants first, and c1 … cn, where step makes each of the one
// before it, which is # in step.
func consts(n int, first, step string) string {
	var text strings.Builder
	text.WriteString(`"consts": {"c0": {"type": "constDef", "result": ` + first + "}")
	for i := range n {
		fmt.Fprintf(&text, `, "c%d": {"type": "constDef", "result": %s}`, i+1,
			strings.ReplaceAll(step, "#", fmt.Sprintf("%%c%d%%", i)))
	}
	return text.String() + "}"
}

// loop returns a route that expands item n times.
func loop(n int, item string) string {
	return fmt.Sprintf(`"route": {"type": "transform", "dictionary": "@range(@int(1),@int(%d))", "itemTransform": %s}`,
		n, item)
}

// shared is a constant of 2^60 values for a walk, each of which is two uses of another.
var shared = consts(60, `""`, `["#", "#"]`)

// big is a list of 10,000 numbers, and a mapping of 2000.
var big = consts(1, `"@range(@int(1),@int(10000))"`, `{"type": "foreach", "from": "@slice(#,@int(1),@int(2000))",
	"use": {"@str(%item%)": "x"}}`)

// TestCopiesAreLimited repeats each macro that copies a list or a mapping. A copy is one value, so
// only a limit of its own keeps a short file from filling the memory.
func TestCopiesAreLimited(t *testing.T) {
	for _, macro := range []string{
		`"@set(%c0%,@int(1),x)"`, `"@set(%c1%,x,y)"`, `"@slice(%c0%,@int(0),@int(10000))"`, `"@slice(%c1%,0,99999)"`,
		`"@keys(%c1%)"`, `"@values(%c1%)"`, `"@sort(%c0%)"`, `{"type": "merge", "params": ["%c1%", "%c1%"]}`,
		`{"type": "transform", "dictionary": "%c1%"}`, `{"type": "foreach", "from": "%c0%", "top": 0}`,
		`{"type": "transform", "dictionary": {"a": 1}, "keyTransform": "@keys(%c1%)"}`,
	} {
		_, err := mcrouter.Parse([]byte("{"+big+", "+loop(3000, macro)+"}"), mcrouter.ParseOptions{})
		wantRefused(t, err, "the macros copy more than 2000000 elements")
	}
}

// TestValuesAreLimited repeats each macro that makes new values.
func TestValuesAreLimited(t *testing.T) {
	const large = `"consts": {"c0": {"type": "constDef", "result": "` + "x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x" +
		`"}}, `
	for _, item := range []string{`"@range(@int(1),@int(600000))"`, `"@split(%c0%,\\,)"`, `{"type": "merge", "params":
		["@range(@int(1),@int(400000))", "@range(@int(1),@int(400000))"]}`} {
		_, err := mcrouter.Parse([]byte("{"+large+loop(50_000, item)+"}"), mcrouter.ParseOptions{})
		wantRefused(t, err, "the macros make more than 1000000 values")
	}
}

// TestSharedValuesAreLimited has values that few macros make and that no walk would come to the end
// of: a route, a comparison, and messages.
func TestSharedValuesAreLimited(t *testing.T) {
	const walked = "the file has more than 4000000 values after macro expansion"
	for route, want := range map[string]string{
		`"%c60%"`: walked,
		`{"type": "AllSyncRoute", "children": "%c60%"}`:      walked,
		`{"type": "NullRoute", "unknown": {"a": ["%c60%"]}}`: walked,
		`"@if(@equals(%c60%,%c60%),NullRoute,DevNullRoute)"`: "the macros compare more than 20000000 values",
		`"@if(@contains(%c60%,%c59%),NullRoute,ErrorRoute)"`: "the macros compare more than 20000000 values",
		`"@int(%c60%)"`:    "macro int: a list is not a whole number",
		`"@double(%c60%)"`: "macro double: a list is not a number",
		`"@bool(%c60%)"`:   "macro bool: a list is neither true nor false",
		`"@fail(%c60%)"`:   "macro fail: a list",
		`{"type": "process", "dictionary": "@range(@int(1),@int(50000))", "initialValue": "NullRoute",
			"transform": ["%value%"]}`: "the file is nested more than 200 deep after macro expansion",
	} {
		_, err := mcrouter.Parse([]byte("{"+shared+`, "route": `+route+"}"), mcrouter.ParseOptions{})
		wantRefused(t, err, want)
	}
}

// TestRangeToTheLargestNumber ends although no number is above the last.
func TestRangeToTheLargestNumber(t *testing.T) {
	const largest = "@range(@int(9223372036854775806),@int(9223372036854775807))"
	if got := response(`"@str(@size(` + largest + `))"`); got != "2" {
		t.Errorf("got %s; want 2", got)
	}
	if got := response(`"@str(@size(@range(@int(1),@int(-9223372036854775808))))"`); got != "0" {
		t.Errorf("got %s; want 0", got)
	}
}

// TestInheritedOptionsAreLimited has one pool of many options that many pools inherit, each of
// which gets its own copy.
func TestInheritedOptionsAreLimited(t *testing.T) {
	var text strings.Builder
	text.WriteString(`{"route": "NullRoute", "pools": {"base": {"servers": []`)
	for i := range 10_000 {
		fmt.Fprintf(&text, `, "o%d": 1`, i)
	}
	text.WriteString("}")
	for i := range 60 {
		fmt.Fprintf(&text, `, "p%d": {"inherit": "base"}`, i)
	}
	text.WriteString("}}")
	_, err := mcrouter.Parse([]byte(text.String()), mcrouter.ParseOptions{})
	wantRefused(t, err, "the pools inherit more than 500000 options")
}

// TestLargeFilesAreWithinTheLimits parses a file with as many pools, servers and copies as a large
// site may have.
func TestLargeFilesAreWithinTheLimits(t *testing.T) {
	const text = `{
		"consts": {"servers": {"type": "constDef", "result": {"type": "transform",
			"dictionary": "@range(@int(1),@int(2000))", "itemTransform": "@with(10.0.0.1:,%item%)"}}},
		"macros": {
			"with": {"type": "macroDef", "params": ["a", "n"],
				"result": {"type": "merge", "params": ["%a%", "@str(%n%)"]}},
			"pool": {"type": "macroDef", "result": {"servers": "%servers%"}}},
		"pools": {"type": "process", "dictionary": "@range(@int(1),@int(500))", "initialValue": {},
			"transform": "@set(%value%,@with(p,%item%),@pool)"},
		"route": "NullRoute"}`
	o, err := mcrouter.Parse([]byte(text), mcrouter.ParseOptions{})
	if err != nil || len(o.Pools) != 500 || len(o.Pools[499].Members) != 2000 {
		t.Errorf("got %d pools, %.200v; want 500 pools of 2000 servers", len(o.Pools), err)
	}
}
