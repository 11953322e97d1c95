package mcrouter

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The types of a random expression.
type kind int

const (
	aNumber kind = iota
	aBool
	aText
	aList    // of numbers
	aMapping // of texts
)

// An expression is a value of a file, as JSON, and what a plain evaluator says that it is. If short
// is not "", it is the same as text, for the argument of a call in its short form.
type expression struct {
	json  string
	short string
	eval  func(env) any // int64, bool, string, []int64 or map[string]string
}

// An env has the values of the names that an expression may use.
type env map[string]any

// A generator makes random expressions. scope has the names that they may use, with their types.
type generator struct {
	*rand.Rand
	scope map[string]kind
	names *int // how many have been defined
}

// oddText returns a text that may have each character with a meaning of its own.
func (g generator) oddText() string {
	letters := []string{"a", "b", "c", "é", " ", "%", "@", "(", ")", ",", `\`, `"`, "\n", "//"}
	var text strings.Builder
	for range g.IntN(5) {
		text.WriteString(letters[g.IntN(len(letters))])
	}
	return text.String()
}

// escaper puts a backslash before each character that has a meaning of its own.
var escaper = strings.NewReplacer(`\`, `\\`, "%", `\%`, "@", `\@`, "(", `\(`, ")", `\)`, ",", `\,`, " ", `\ `,
	"\n", "\\\n")

func quoted(text string) string {
	raw, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// written returns an expression that is a text in the file.
func written(text string, eval func(env) any) expression { return expression{quoted(text), text, eval} }

// call returns a call in its short form if its arguments have one, else, or by chance, as a
// mapping.
func (g generator) call(name, params string, eval func(env) any, args ...expression) expression {
	short := g.IntN(3) > 0
	var texts, fields []string
	for i, param := range strings.Fields(params) {
		short = short && args[i].short != ""
		texts = append(texts, strings.Repeat(" ", g.IntN(2))+args[i].short+strings.Repeat(" ", g.IntN(2)))
		fields = append(fields, quoted(param)+": "+args[i].json)
	}
	if short {
		return written("@"+name+"("+strings.Join(texts, ",")+")", eval)
	}
	g.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return expression{json: `{"type": "` + name + `", ` + strings.Join(fields, ", ") + "}", eval: eval}
}

// name returns a use of a name of that type, if there is one.
func (g generator) name(k kind) (expression, bool) {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(g.scope)), func(name string) bool { return g.scope[name] != k })
	if len(names) == 0 {
		return expression{}, false
	}
	name := names[g.IntN(len(names))]
	return written("%"+name+"%", func(e env) any { return e[name] }), true
}

// with returns a generator that may use more names.
func (g generator) with(names map[string]kind) generator {
	scope := maps.Clone(g.scope)
	maps.Copy(scope, names)
	return generator{g.Rand, scope, g.names}
}

func (e env) with(name string, value any) env {
	e = maps.Clone(e)
	e[name] = value
	return e
}

func (g generator) make(k kind, depth int) expression {
	if depth == 0 || g.IntN(6) == 0 {
		if named, found := g.name(k); found && g.IntN(2) == 0 {
			return named
		}
		return g.literal(k)
	}
	switch g.IntN(8) {
	case 0:
		return g.choice(k, depth)
	case 1:
		return g.defined(k, depth)
	}
	switch k {
	case aNumber:
		return g.number(depth)
	case aBool:
		return g.bool(depth)
	case aText:
		return g.text(depth)
	case aList:
		return g.list(depth)
	}
	return g.mapping(depth)
}

func (g generator) literal(k kind) expression {
	switch k {
	case aNumber:
		n := g.Int64N(7) - 3
		return expression{fmt.Sprint(n), fmt.Sprintf("@int(%d)", n), func(env) any { return n }}
	case aBool:
		b := g.IntN(2) == 0
		return expression{fmt.Sprint(b), fmt.Sprintf("@bool(%t)", b), func(env) any { return b }}
	case aText:
		text := g.oddText()
		e := written(escaper.Replace(text), func(env) any { return text })
		if text == "" {
			e.short = "" // as an argument it is nothing, which this generator means by ""
		}
		return e
	case aList:
		list := make([]int64, g.IntN(4))
		for i := range list {
			list[i] = g.Int64N(7) - 3
		}
		return expression{json: strings.ReplaceAll(fmt.Sprint(list), " ", ", "), eval: func(env) any { return list }}
	}
	m, fields := map[string]string{}, []string{}
	for range g.IntN(4) {
		key := string(rune('a' + g.IntN(5)))
		if _, again := m[key]; !again {
			m[key] = g.oddText()
			fields = append(fields, quoted(key)+": "+quoted(escaper.Replace(m[key])))
		}
	}
	return expression{json: "{" + strings.Join(fields, ", ") + "}", eval: func(env) any { return m }}
}

// choice is a conditional expression. The branch that isn't taken may fail: it isn't expanded.
func (g generator) choice(k kind, depth int) expression {
	condition, yes, no := g.make(aBool, depth-1), g.make(k, depth-1), g.make(k, depth-1)
	fails := written("@fail(not taken)", nil)
	switch g.IntN(4) {
	case 0:
		return g.call("if", "condition is_true is_false", yes.eval, written("@bool(yes)", nil), yes, fails)
	case 1:
		return g.call("if", "condition is_true is_false", no.eval, written("@not(@bool(1))", nil), fails, no)
	}
	return g.call("if", "condition is_true is_false", func(e env) any {
		if condition.eval(e).(bool) {
			return yes.eval(e)
		}
		return no.eval(e)
	}, condition, yes, no)
}

// defined is an expression that uses a name of its own. Names are unique, since a variable can't
// use one of the same name outside; those of loops hide each other.
func (g generator) defined(k kind, depth int) expression {
	*g.names++
	name, of := fmt.Sprintf("v%d", *g.names), kind(g.IntN(5))
	value, result := g.make(of, depth-1), g.with(map[string]kind{name: of}).make(k, depth-1)
	return expression{
		json: fmt.Sprintf(`{"type": "define", "vars": {%q: %s}, "result": %s}`, name, value.json, result.json),
		eval: func(e env) any { return result.eval(e.with(name, value.eval(e))) },
	}
}

func (g generator) number(depth int) expression {
	a, b := g.make(aNumber, depth-1), g.make(aNumber, depth-1)
	both := func(f func(a, b int64) int64) func(env) any {
		return func(e env) any { return f(a.eval(e).(int64), b.eval(e).(int64)) }
	}
	switch g.IntN(8) {
	case 0:
		return g.call("add", "A B", both(func(a, b int64) int64 { return a + b }), a, b)
	case 1:
		return g.call("sub", "A B", both(func(a, b int64) int64 { return a - b }), a, b)
	case 2:
		return g.call("mul", "A B", both(func(a, b int64) int64 { return a * b }), a, b)
	case 3:
		seven := expression{"7", "@int( 7 )", func(env) any { return int64(7) }}
		if g.IntN(2) == 0 {
			return g.call("div", "A B", func(e env) any { return a.eval(e).(int64) / 7 }, a, seven)
		}
		return g.call("mod", "A B", func(e env) any { return a.eval(e).(int64) % 7 }, a, seven)
	case 4:
		return g.call("bitwiseXor", "A B", both(func(a, b int64) int64 { return a ^ b }), a, b)
	case 5:
		text := g.make(aText, depth-1)
		return g.call("size", "dictionary", func(e env) any { return int64(len(text.eval(e).(string))) }, text)
	case 6:
		list := g.make(aList, depth-1)
		return g.call("select", "dictionary key default", func(e env) any {
			numbers, i := list.eval(e).([]int64), a.eval(e).(int64)
			if i < 0 {
				i += int64(len(numbers))
			}
			if i >= 0 && i < int64(len(numbers)) {
				return numbers[i]
			}
			return b.eval(e)
		}, list, a, b)
	}
	list := g.make(aList, depth-1)
	step := g.with(map[string]kind{"sum": aNumber, "item": aNumber, "key": aNumber}).make(aNumber, depth-1)
	return expression{
		json: fmt.Sprintf(`{"type": "process", "dictionary": %s, "initialValue": %s, "valueName": "sum", "transform": %s}`,
			list.json, a.json, step.json),
		eval: func(e env) any {
			sum := a.eval(e)
			for i, item := range list.eval(e).([]int64) {
				sum = step.eval(e.with("sum", sum).with("item", item).with("key", int64(i)))
			}
			return sum
		},
	}
}

func (g generator) bool(depth int) expression {
	switch g.IntN(6) {
	case 0:
		a, b := g.make(aNumber, depth-1), g.make(aNumber, depth-1)
		return g.call("less", "A B", func(e env) any { return a.eval(e).(int64) < b.eval(e).(int64) }, a, b)
	case 1:
		k := kind(g.IntN(5))
		a, b := g.make(k, depth-1), g.make(k, depth-1)
		return g.call("equals", "A B", func(e env) any { return fmt.Sprint(a.eval(e)) == fmt.Sprint(b.eval(e)) }, a, b)
	case 2:
		a := g.make(aBool, depth-1)
		return g.call("not", "A", func(e env) any { return !a.eval(e).(bool) }, a)
	case 3:
		a, b := g.make(aBool, depth-1), g.make(aBool, depth-1)
		if g.IntN(2) == 0 {
			return g.call("and", "A B", func(e env) any { return a.eval(e).(bool) && b.eval(e).(bool) }, a, b)
		}
		return g.call("or", "A B", func(e env) any { return a.eval(e).(bool) || b.eval(e).(bool) }, a, b)
	case 4:
		a, b := g.make(aText, depth-1), g.make(aText, depth-1)
		return g.call("contains", "dictionary key",
			func(e env) any { return strings.Contains(a.eval(e).(string), b.eval(e).(string)) }, a, b)
	}
	list, n := g.make(aList, depth-1), g.make(aNumber, depth-1)
	return g.call("contains", "dictionary key",
		func(e env) any { return slices.Contains(list.eval(e).([]int64), n.eval(e).(int64)) }, list, n)
}

func (g generator) text(depth int) expression {
	switch g.IntN(4) {
	case 0:
		n := g.make(aNumber, depth-1)
		return g.call("str", "value", func(e env) any { return fmt.Sprint(n.eval(e)) }, n)
	case 1:
		a, b := g.make(aText, depth-1), g.make(aText, depth-1)
		return expression{
			json: `{"type": "merge", "params": [` + a.json + ", " + b.json + "]}",
			eval: func(e env) any { return a.eval(e).(string) + b.eval(e).(string) },
		}
	case 2:
		if name, found := g.name(aText); found { // within a text that has more
			before, behind := "<"+g.oddText(), g.oddText()+">"
			return written(escaper.Replace(before)+name.short+escaper.Replace(behind),
				func(e env) any { return before + name.eval(e).(string) + behind })
		}
	}
	m, key, otherwise := g.make(aMapping, depth-1), g.make(aText, depth-1), g.make(aText, depth-1)
	return g.call("select", "dictionary key default", func(e env) any {
		if v, found := m.eval(e).(map[string]string)[key.eval(e).(string)]; found {
			return v
		}
		return otherwise.eval(e)
	}, m, key, otherwise)
}

func (g generator) list(depth int) expression {
	list := g.make(aList, depth-1)
	inLoop := g.with(map[string]kind{"item": aNumber, "key": aNumber})
	each := func(e env, f func(e env, item int64)) {
		for i, item := range list.eval(e).([]int64) {
			f(e.with("item", item).with("key", int64(i)), item)
		}
	}
	switch g.IntN(5) {
	case 0:
		return g.call("sort", "dictionary", func(e env) any { return slices.Sorted(slices.Values(list.eval(e).([]int64))) },
			list)
	case 1:
		other := g.make(aList, depth-1)
		return expression{
			json: `{"type": "merge", "params": [` + list.json + ", " + other.json + "]}",
			eval: func(e env) any { return slices.Concat(list.eval(e).([]int64), other.eval(e).([]int64)) },
		}
	case 2:
		from, to := g.make(aNumber, depth-1), g.make(aNumber, depth-1)
		return g.call("slice", "dictionary from to", func(e env) any {
			numbers, part := list.eval(e).([]int64), []int64{}
			for i, n := range numbers {
				if from.eval(e).(int64) <= int64(i) && int64(i) <= to.eval(e).(int64) {
					part = append(part, n)
				}
			}
			return part
		}, list, from, to)
	case 3:
		item := inLoop.make(aNumber, depth-1)
		return expression{
			json: `{"type": "transform", "dictionary": ` + list.json + `, "itemTransform": ` + item.json + "}",
			eval: func(e env) any {
				result := []int64{}
				each(e, func(e env, _ int64) { result = append(result, item.eval(e).(int64)) })
				return result
			},
		}
	}
	where, use, top := inLoop.make(aBool, depth-1), inLoop.make(aNumber, depth-1), g.IntN(4)
	return expression{
		json: fmt.Sprintf(`{"type": "foreach", "from": %s, "where": %s, "use": [%s], "top": %d}`, list.json, where.json,
			use.json, top),
		eval: func(e env) any {
			result := []int64{}
			each(e, func(e env, _ int64) {
				if len(result) < top && where.eval(e).(bool) {
					result = append(result, use.eval(e).(int64))
				}
			})
			return result
		},
	}
}

func (g generator) mapping(depth int) expression {
	m := g.make(aMapping, depth-1)
	switch g.IntN(3) {
	case 0:
		key, value := g.make(aText, depth-1), g.make(aText, depth-1)
		return g.call("set", "dictionary key value", func(e env) any {
			changed := maps.Clone(m.eval(e).(map[string]string))
			changed[key.eval(e).(string)] = value.eval(e).(string)
			return changed
		}, m, key, value)
	case 1:
		other := g.make(aMapping, depth-1)
		return expression{
			json: `{"type": "merge", "params": [` + m.json + ", " + other.json + "]}",
			eval: func(e env) any {
				merged := maps.Clone(m.eval(e).(map[string]string))
				maps.Copy(merged, other.eval(e).(map[string]string))
				return merged
			},
		}
	}
	item := g.with(map[string]kind{"item": aText, "key": aText}).make(aText, depth-1)
	return expression{
		json: `{"type": "transform", "dictionary": ` + m.json + `, "keyTransform": "%key%\\%", "itemTransform": ` +
			item.json + "}",
		eval: func(e env) any {
			result := map[string]string{}
			for key, value := range m.eval(e).(map[string]string) {
				result[key+"%"] = item.eval(e.with("item", value).with("key", key)).(string)
			}
			return result
		},
	}
}

// plain returns a value of the expander as the evaluator has it.
func plain(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]int64, len(v))
		for i := range v {
			list[i], _ = v[i].(int64)
		}
		return list
	case *object:
		m := map[string]string{}
		for key, value := range v.values {
			m[key], _ = value.(string)
		}
		return m
	}
	return v
}

// TestExpressionsAgainstAnEvaluator expands random expressions, in all forms in which a file can
// have them, and compares each with what a plain evaluator says.
func TestExpressionsAgainstAnEvaluator(t *testing.T) {
	for seed := range uint64(4000) {
		g := generator{rand.New(rand.NewPCG(seed, 7)), map[string]kind{"n": aNumber, "list": aList, "text": aText,
			"map": aMapping}, new(int)}
		e := g.make(kind(g.IntN(5)), 5)
		want := e.eval(env{"n": int64(2), "list": []int64{3, 1, 2}, "text": "%@",
			"map": map[string]string{"a": "1", "b": "2"}})
		v, err := parseJSON([]byte(e.json))
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, e.json, err)
		}
		x := &expander{macros: builtins(), consts: map[string]*variable{
			"n": expanded(int64(2)), "list": expanded([]any{int64(3), int64(1), int64(2)}), "text": expanded("%@"),
			"map": expanded(&object{keys: []string{"a", "b"}, values: map[string]any{"a": "1", "b": "2"}}),
		}}
		got, err := x.expand(v, nil)
		if err != nil || fmt.Sprint(plain(got)) != fmt.Sprint(want) {
			t.Fatalf("seed %d: %s:\ngot  %v, %v\nwant %v", seed, e.json, plain(got), err, want)
		}
	}
}
