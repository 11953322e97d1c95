package mcrouter_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"holdfast/config/mcrouter"
)

// response returns the response of an error route whose option response is text, or the fault.
func response(text string) string {
	o, err := mcrouter.Parse([]byte(`{
		"consts": [{"type": "constDef", "name": "nums", "result": [3, 1, 2]},
			{"type": "constDef", "name": "map", "result": {"x": "1", "y": "2", "z": "3"}},
			{"type": "constDef", "name": "half", "result": 0.5}, {"type": "constDef", "name": "yes", "result": true}],
		"macros": {"twice": {"type": "macroDef", "params": ["a", {"name": "b", "default": "-"}],
			"result": "%a%%b%%a%"}},
		"route": {"type": "ErrorRoute", "response": `+text+`}}`), mcrouter.ParseOptions{RoutePrefix: "/r/c/", Proxies: 4})
	if err != nil {
		return err.Error()
	}
	return o.Route.Response
}

// TestMacros calls each macro with arguments of its types, and of others.
func TestMacros(t *testing.T) {
	const at = "route.response: "
	for text, want := range map[string]string{
		`"@str(@int( 12 ))"`:                         "12",
		`"@str(@int(%half%))"`:                       "0",
		`"@str(@int(%yes%))"`:                        "1",
		`"@int(x)"`:                                  at + "macro int: x is not a whole number",
		`"@int(99999999999999999999)"`:               at + "macro int: 99999999999999999999 is not a whole number",
		`"@str(@double(1.50))"`:                      "1.5",
		`"@double(x)"`:                               at + "macro double: x is not a number",
		`"@str(@bool(On))"`:                          "true",
		`"@str(@bool(@int(0)))"`:                     "false",
		`"@bool(perhaps)"`:                           at + "macro bool: perhaps is neither true nor false",
		`"@str(%nums%)"`:                             at + "macro str: a list is not a single value",
		`"@str(@isArray(%nums%))"`:                   "true",
		`"@str(@isObject(%nums%))"`:                  "false",
		`"@str(@isInt(@size(%nums%)))"`:              "true",
		`"@str(@isDouble(%half%))"`:                  "true",
		`"@str(@isBool(%yes%))"`:                     "true",
		`"@str(@isString(x))"`:                       "true",
		`"@str(@add(@int(2),@int(3)))"`:              "5",
		`"@str(@sub(@int(2),@int(3)))"`:              "-1",
		`"@str(@mul(@int(2),@int(3)))"`:              "6",
		`"@str(@div(@int(7),@int(2)))"`:              "3",
		`"@str(@mod(@int(7),@int(2)))"`:              "1",
		`"@div(@int(7),@int(0))"`:                    at + "macro div: a division by 0",
		`"@mod(@int(7),@int(0))"`:                    at + "macro mod: a division by 0",
		`"@add(2,@int(3))"`:                          at + "macro add: parameters A and B must be whole numbers",
		`"@str(@bitwiseAnd(@int(6),@int(3)))"`:       "2",
		`"@str(@bitwiseOr(@int(6),@int(3)))"`:        "7",
		`"@str(@bitwiseXor(@int(6),@int(3)))"`:       "5",
		`"@str(@bitwiseNot(@int(6)))"`:               "-7",
		`"@str(@bitwiseLeftShift(@int(1),@int(4)))"`: "16",
		// Shifts are modulo 64, so none is by a negative number or shifts everything out.
		`"@str(@bitwiseLeftShift(@int(1),@int(65)))"`:    "2",
		`"@str(@bitwiseRightShift(@int(16),@int(-60)))"`: "1",
		`"@str(@less(@int(1),%half%))"`:                  "false",
		`"@str(@less(a,b))"`:                             "true",
		`"@less(a,%half%)"`:                              at + "macro less: a string and a number can't be compared",
		`"@str(@equals(@int(1),@double(1)))"`:            "true",
		`"@str(@equals(%nums%,%map%))"`:                  "false",
		`"@str(@not(%yes%))"`:                            "false",
		`"@not(x)"`:                                      at + "macro not: parameter A must be true or false",
		`"@str(@and(@bool(0),@fail(never)))"`:            "false",
		`"@str(@or(%yes%,@fail(never)))"`:                "true",
		`"@or(x,%yes%)"`:                                 at + "macro or: A must be true or false, not a string",
		`"@if(%yes%,a,@fail(never))"`:                    "a",
		`"@if(x,a,b)"`:                                   at + "macro if: condition must be true or false, not a string",
		`"@if(%yes%)"`:                                   at + "macro if: parameter is_true is missing",
		`"@fail(no)"`:                                    at + "macro fail: no",
		`"@str(@size(%map%))"`:                           "3",
		`"@size(%yes%)"`:                                 at + "macro size: a boolean has no size",
		`"@str(@empty(@split(,x)))"`:                     "false",
		`"@merge(@sort(@keys(%map%)))"`:                  "xyz",
		`"@merge(@values(%map%))"`:                       "123",
		`"@keys(%nums%)"`:                                at + "macro keys: a list has no keys",
		`"@sort(%map%)"`:                                 at + "macro sort: a mapping is not a list",
		`"@str(@select(@sort(%nums%),@int(-1)))"`:        "3",
		`"@select(%nums%,@int(3))"`:                      at + "macro select: 3 is not in [0, 3)",
		`"@select(%map%,q,none)"`:                        "none",
		`"@select(%map%,x,@fail(never))"`:                "1",
		`"@merge(@split(a-b-c,-))"`:                      "abc",
		`"@split(abc,)"`:                                 at + "macro split: dictionary and delim must be strings",
		`"@slice(abcdef,@int(1),@int(3))"`:               "bcd",
		`"@slice(abc,@int(-9),@int(99))"`:                "abc",
		`"@slice(abc,@int(2),@int(1))"`:                  "",
		`"@merge(@values(@slice(%map%,x,y)))"`:           "12",
		`"@merge(@values(@set(%map%,y,9)))"`:             "193",
		`"@set(%nums%,@int(3),x)"`:                       at + "macro set: 3 is not in [0, 3)",
		`"@str(@size(@range(@int(3),@int(5))))"`:         "3",
		`"@str(@size(@range(@int(5),@int(3))))"`:         "0",
		`"@str(@contains(%nums%,@int(2)))"`:              "true",
		`"@str(@contains(%map%,q))"`:                     "false",
		`"@str(@contains(abc,bc))"`:                      "true",
		`"@str(@defined(nums))"`:                         "true",
		`"@str(@defined(q))"`:                            "false",
		`"@twice(x)"`:                                    "x-x",
		`"@twice(x,y)"`:                                  "xyx",
		`"@twice(x,y,z)"`:                                at + "macro twice: 3 arguments; it has 2 parameters",
		`"%default-route%%default-region%%default-cluster%%router-name%"`: "/r/c/rc",
		`"@str(%num-proxies%)"`: "4",
		`"a%nums%"`:             at + `%nums% in "a%nums%" is a list, not a string`,
		`"100\\% \\@ \\\\"`:     `100% @ \`,

		`{"vars": {"a": "1", "b": "%a%2"}, "type": "merge", "params": ["%a%", "%b%"]}`: "112",

		`{"type": "merge", "params": {"type": "transform", "dictionary": ["a"], "itemTransform": "%item%%item%"}}`: "aa",

		`{"type": "process", "dictionary": ["a", "b"], "initialValue": "<", "transform": "%value%%item%"}`: "<ab",

		`{"type": "foreach", "from": ["x", "y"], "where": "@equals(%item%,q)", "noMatchResult": "none"}`: "none",

		`{"type": "merge", "params": {"type": "foreach", "from": ["x", "y", "z"], "top": 2, "use": ["%item%."]}}`: "x.y.",
		`{"type": "foreach", "from": ["x"], "where": "x"}`: at +
			"macro foreach: where must be true or false, not a string",
		`{"type": "foreach", "from": ["x"], "top": -1}`: at +
			"macro foreach: top must be a whole number, 0 or more",
		`{"type": "transform", "dictionary": 1}`: at +
			"macro transform: dictionary must be a list or a mapping, not a whole number",
		`{"type": "merge", "params": []}`: at +
			"macro merge: params must be a list with elements",
		`{"type": "merge", "params": ["a", []]}`: at +
			"macro merge: a list can't be merged into a string",
	} {
		if got := response(text); got != want {
			t.Errorf("%s: got %s; want %s", text, got, want)
		}
	}
}

// TestHostileFiles parses small files whose expansion would be large or endless. Each is refused
// early.
func TestHostileFiles(t *testing.T) {
	// doubling makes constants, each of which is twice the one before it.
	doubling := func(first, step string) string {
		var consts strings.Builder
		for i := range 60 {
			before := "%c" + strconv.Itoa(i) + "%"
			fmt.Fprintf(&consts, `, "c%d": {"type": "constDef", "result": %s}`, i+1, strings.ReplaceAll(step, "#", before))
		}
		return `{"consts": {"c0": {"type": "constDef", "result": ` + first + "}" + consts.String() +
			`}, "route": "@if(@defined(c60),%c60%,x)"}`
	}
	const merged = `{"type": "merge", "params": ["#", "#"]}`
	for name, test := range map[string]struct{ text, want string }{
		"macros that call each other": {
			`{"macros": {"a": {"type": "macroDef", "result": "@b"}, "b": {"type": "macroDef", "result": ["@a"]}},` +
				` "route": "@a"}`,
			"macros are nested more than 200 deep",
		},
		"variables of each other": {
			`{"route": {"vars": {"a": "%b%", "b": "%a%"}, "type": "NullRoute"}}`,
			"macros are nested more than 200 deep",
		},
		"lists of lists": {
			`{"route": {"type": "transform", "dictionary": "@range(@int(1),@int(2000))",
				"itemTransform": {"type": "transform", "dictionary": "@range(@int(1),@int(2000))", "itemTransform": "%item%"}}}`,
			"the macros make more than 1000000 values",
		},
		"a range over all numbers": {
			`{"route": "@range(@int(-9223372036854775808),@int(9223372036854775807))"}`,
			"has more than 1000000 numbers",
		},
		"deep lists":    {`{"route": ` + strings.Repeat("[", 100_000), "nested more than 200 deep"},
		"deep mappings": {`{"route": ` + strings.Repeat(`{"a":`, 100_000), "nested more than 200 deep"},
		"deep short forms": {`{"route": "` + strings.Repeat("AllSyncRoute|", 50_000) + `NullRoute"}`,
			"there are more than 20000 routes"},
		"deep calls": {`{"route": "` + strings.Repeat("@str(", 50_000) + strings.Repeat(")", 50_000) + `"}`,
			"macros are nested more than 200 deep"},
		"a large number": {
			`{"pools": {"A": {"servers": ["a:1"], "server_timeout": 9223372036854775807}},` +
				` "route": "NullRoute"}`,
			"is not a number of milliseconds above 0",
		},
		"a larger number": {
			`{"pools": {"A": {"servers": ["a:1"], "server_timeout": 9223372036854775808}},` +
				` "route": "NullRoute"}`,
			"must be a whole number, not a number",
		},
		"no number": {`{"pools": {"A": {"servers": ["a:1"], "weights": [1e999]}}, "route": "NullRoute"}`,
			`"1e999" is not a value`},
		"a large interval": {
			`{"route": {"type": "MigrateRoute", "from": "NullRoute"` +
				`, "to": "NullRoute", "start_time": 1, "interval": 9223372036854775807}}`,
			"interval",
		},
		"texts that double":        {doubling(`"xxxxxxxxxx"`, `"##"`), "the macros make more than 64 MiB of text"},
		"merged texts that double": {doubling(`"xxxxxxxxxx"`, merged), "the macros make more than 64 MiB of text"},
		"merged lists that double": {doubling(`["x"]`, merged), "the macros make more than 1000000 values"},
	} {
		_, err := mcrouter.Parse([]byte(test.text), mcrouter.ParseOptions{})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %.300v; want %s", name, err, test.want)
		}
	}
}
