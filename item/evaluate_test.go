package item

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A plainCondition is a random condition: its text, its Term, and how it is evaluated plainly.
type plainCondition struct {
	text  string
	term  *Term
	holds func(it map[string]any) bool
}

// A plainOperand is a random operand; ok is false where it isn't there.
type plainOperand struct {
	text  string
	term  *Term
	value func(it map[string]any) (p any, ok bool)
}

// A generator makes random conditions, and collects their values.
type generator struct {
	random
	about  Item // whose paths conditions read
	values Item
}

func (g *generator) path() plainOperand {
	path := g.random.path(g.about)
	return plainOperand{path.String(), &Term{Path: path}, func(it map[string]any) (any, bool) { return at(it, path) }}
}

func (g *generator) literal(v Value) plainOperand {
	name := fmt.Sprintf(":%03d", len(g.values))
	g.values = append(g.values, Attr{name, v})
	p := plain(v)
	return plainOperand{name, &Term{Value: &v}, func(map[string]any) (any, bool) { return p, true }}
}

// operand returns a path, a value, or the size of something.
func (g *generator) operand() plainOperand {
	switch g.IntN(5) {
	case 0, 1:
		return g.literal(g.value(1))
	case 2:
		of := g.path()
		return plainOperand{"size(" + of.text + ")", &Term{Op: "size", Args: []*Term{of.term}},
			func(it map[string]any) (any, bool) {
				p, ok := of.value(it)
				if !ok {
					return nil, false
				}
				n, ok := sizePlain(p)
				return big.NewRat(int64(n), 1), ok
			}}
	}
	return g.path()
}

// number returns a number from 0 to 3.
func (g *generator) number() plainOperand { return g.literal(num(fmt.Sprint(g.IntN(4)))) }

// call returns a function or a comparison of operands that holds if f does for their values, of
// which those that aren't there are nil.
func (g *generator) call(op, format string, f func(p []any) bool, args ...plainOperand) plainCondition {
	x := plainCondition{term: &Term{Op: op}}
	var texts []any
	for _, arg := range args {
		texts = append(texts, arg.text)
		x.term.Args = append(x.term.Args, arg.term)
	}
	x.text = fmt.Sprintf(format, texts...)
	x.holds = func(it map[string]any) bool {
		values := make([]any, len(args))
		for i, arg := range args {
			if p, ok := arg.value(it); ok {
				values[i] = p
			}
		}
		return f(values)
	}
	return x
}

// all says whether all values are there.
func all(p []any) bool { return !slices.Contains(p, any(nil)) }

func (g *generator) comparison() plainCondition {
	ordered := func(of func(order int) bool) func(p []any) bool {
		return func(p []any) bool {
			if !all(p) {
				return false
			}
			order, ok := comparePlain(p[0], p[1])
			return ok && of(order)
		}
	}
	a, b := g.operand(), g.operand()
	if g.IntN(3) == 0 { // numbers, which more often have an order
		a, b = g.number(), g.number()
	}
	switch g.IntN(8) {
	case 0:
		return g.call("<", "%s < %s", ordered(func(order int) bool { return order < 0 }), a, b)
	case 1:
		return g.call("<=", "%s <= %s", ordered(func(order int) bool { return order <= 0 }), a, b)
	case 2:
		return g.call(">", "%s > %s", ordered(func(order int) bool { return order > 0 }), a, b)
	case 3:
		return g.call(">=", "%s >= %s", ordered(func(order int) bool { return order >= 0 }), a, b)
	case 4:
		return g.call("<>", "%s <> %s", func(p []any) bool { return !all(p) || drawnPlain(p[0]) != drawnPlain(p[1]) }, a, b)
	case 5:
		return g.call("BETWEEN", "%s BETWEEN %s AND %s", func(p []any) bool {
			if !all(p) {
				return false
			}
			low, ok1 := comparePlain(p[0], p[1])
			high, ok2 := comparePlain(p[0], p[2])
			return ok1 && ok2 && low >= 0 && high <= 0
		}, a, b, g.number())
	case 6:
		return g.call("IN", "%s IN (%s, %s)", func(p []any) bool {
			for _, other := range p[1:] {
				if p[0] != nil && other != nil && drawnPlain(p[0]) == drawnPlain(other) {
					return true
				}
			}
			return false
		}, a, b, g.operand())
	}
	return g.call("=", "%s = %s", func(p []any) bool { return all(p) && drawnPlain(p[0]) == drawnPlain(p[1]) }, a, b)
}

func (g *generator) function() plainCondition {
	switch g.IntN(5) {
	case 0:
		return g.call("attribute_exists", "attribute_exists(%s)", all, g.path())
	case 1:
		return g.call("attribute_not_exists", "attribute_not_exists(%s)", func(p []any) bool { return !all(p) }, g.path())
	case 2:
		t := S + Type(g.IntN(int(M)))
		return g.call("attribute_type", "attribute_type(%s, %s)",
			func(p []any) bool { return p[0] != nil && plainType(p[0]) == t }, g.path(), g.literal(Text(t.String())))
	case 3:
		return g.call("begins_with", "begins_with(%s, %s)", func(p []any) bool {
			text, ok := p[0].(string)
			if prefix, same := p[1].(string); ok && same {
				return strings.HasPrefix(text, prefix)
			}
			bytes, ok := p[0].(bin)
			prefix, same := p[1].(bin)
			return ok && same && strings.HasPrefix(string(bytes), string(prefix))
		}, g.path(), g.operand())
	}
	return g.call("contains", "contains(%s, %s)", func(p []any) bool { return all(p) && containsPlain(p[0], p[1]) },
		g.path(), g.operand())
}

func (g *generator) condition(levels int) plainCondition {
	if levels == 0 || g.IntN(3) == 0 {
		if g.IntN(3) == 0 {
			return g.function()
		}
		return g.comparison()
	}
	a := g.condition(levels - 1)
	switch g.IntN(3) {
	case 0:
		return plainCondition{"NOT (" + a.text + ")", &Term{Op: "NOT", Args: []*Term{a.term}},
			func(it map[string]any) bool { return !a.holds(it) }}
	case 1:
		b := g.condition(levels - 1)
		return plainCondition{"(" + a.text + ") AND (" + b.text + ")", &Term{Op: "AND", Args: []*Term{a.term, b.term}},
			func(it map[string]any) bool { return a.holds(it) && b.holds(it) }}
	}
	b := g.condition(levels - 1)
	return plainCondition{"(" + a.text + ") OR (" + b.text + ")", &Term{Op: "OR", Args: []*Term{a.term, b.term}},
		func(it map[string]any) bool { return a.holds(it) || b.holds(it) }}
}

// Random conditions, parsed from text and made from terms, hold for random items when a plain
// evaluator says so. Conditions that are refused, most for a literal of a wrong type, are refused
// in both forms with the same message.
func TestConditionsAgreeWithAPlainEvaluator(t *testing.T) {
	const seed = 31
	r := random{rand.New(rand.NewPCG(seed, seed))}
	accepted, held, matches := 0, 0, 0
	for n := range 6000 {
		g := &generator{random: r, about: r.item(3)}
		x := g.condition(r.IntN(4))
		parsed, err := (func() (*Condition, error) {
			s, err := NewScope(nil, g.values)
			if err != nil {
				return nil, err
			}
			return s.Condition("FilterExpression", x.text)
		})()
		made, madeErr := NewCondition(x.term)
		if (err == nil) != (madeErr == nil) ||
			err != nil && strings.TrimPrefix(err.Error(), "Invalid FilterExpression: ") != madeErr.Error() {
			t.Fatalf("seed %d, condition %d, %s: got %v from text; want %v, as from terms", seed, n, x.text, err, madeErr)
		}
		if err != nil {
			continue
		}
		accepted++
		for i := range 4 {
			it := g.about
			if i > 0 {
				it = r.item(3)
			}
			want := x.holds(plainItem(it))
			matches++
			if want {
				held++
			}
			if a, b := parsed.Match(it), made.Match(it); a != want || b != want {
				t.Fatalf("seed %d, condition %d, %s with %s of %s: got %t from text, %t from terms; want %t", seed, n, x.text,
					showItem(g.values), showItem(it), a, b, want)
			}
		}
	}
	if accepted < 2500 || held < matches/4 || held > matches*3/4 {
		t.Errorf("got %d conditions accepted, and %d of %d matches; want enough of both outcomes", accepted, held, matches)
	}
}
