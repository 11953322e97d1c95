package item

import (
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// setPlain sets or, if p is nil, removes what a path leads to. ok is false if the path leads
// through what isn't a list or a map.
func setPlain(it map[string]any, path Path, p any) (ok bool) {
	parent, _ := at(it, path[:len(path)-1])
	if len(path) == 1 {
		parent = it
	}
	last := path[len(path)-1]
	switch in := parent.(type) {
	case map[string]any:
		if in[last.Name] = p; p == nil {
			delete(in, last.Name)
		}
		return last.Index < 0
	case map[int]any:
		if in[last.Index] = p; p == nil {
			delete(in, last.Index)
		}
		return last.Index >= 0
	}
	return false
}

// A plainChange is a random change, as text, as a Change, and as what the value at the path
// becomes: nil is none. old is nil where there was none. ok is false for an error.
type plainChange struct {
	text string
	Change
	after func(before map[string]any, old any) (p any, ok bool)
}

// operand returns a path, a value, or a function or sum of them.
func (g *generator) setOperand(levels int) plainOperand {
	if levels == 0 || g.IntN(2) == 0 {
		if g.IntN(2) == 0 {
			return g.literal(g.value(1))
		}
		return g.path()
	}
	a, b := g.setOperand(levels-1), g.setOperand(0)
	both := func(f func(a, b any) (any, bool)) func(it map[string]any) (any, bool) {
		return func(it map[string]any) (any, bool) {
			x, ok1 := a.value(it)
			y, ok2 := b.value(it)
			if !ok1 || !ok2 {
				return nil, false
			}
			return f(x, y)
		}
	}
	switch g.IntN(4) {
	case 0:
		a = g.path()
		return plainOperand{"if_not_exists(" + a.text + ", " + b.text + ")", term("if_not_exists", a.term, b.term),
			func(it map[string]any) (any, bool) {
				if p, ok := a.value(it); ok {
					return p, true
				}
				return b.value(it)
			}}
	case 1:
		return plainOperand{"list_append(" + a.text + ", " + b.text + ")", term("list_append", a.term, b.term),
			both(func(a, b any) (any, bool) {
				x, ok1 := a.(map[int]any)
				y, ok2 := b.(map[int]any)
				if !ok1 || !ok2 {
					return nil, false
				}
				return appended(x, y), true
			})}
	}
	op, sign := "+", int64(1)
	if g.IntN(2) == 0 {
		op, sign = "-", -1
	}
	a = g.setOperand(0)
	return plainOperand{a.text + " " + op + " " + b.text, term(op, a.term, b.term), both(func(a, b any) (any, bool) {
		x, ok1 := a.(*big.Rat)
		y, ok2 := b.(*big.Rat)
		if !ok1 || !ok2 {
			return nil, false
		}
		return new(big.Rat).Add(x, new(big.Rat).Mul(y, big.NewRat(sign, 1))), true
	})}
}

func appended(a, b map[int]any) map[int]any {
	all := maps.Clone(a)
	for i, element := range b {
		all[len(a)+i] = element
	}
	return all
}

// change returns a random change at a path.
func (g *generator) change(path Path) plainChange {
	c := plainChange{Change: Change{Path: path}}
	switch g.IntN(5) {
	case 0:
		c.Verb, c.text = "REMOVE", path.String()
		c.after = func(map[string]any, any) (any, bool) { return nil, true }
	case 1:
		v := g.value(0)
		if v.Type != N {
			v = set(SS, "a", "b")
		}
		operand := g.literal(v)
		c.Verb, c.To, c.text = "ADD", operand.term, path.String()+" "+operand.text
		c.after = func(_ map[string]any, old any) (any, bool) { return addPlain(old, plain(v)) }
	case 2:
		v := set([]Type{SS, NS}[g.IntN(2)], "1", "a")
		if v.Type == NS {
			v = set(NS, "1", "0")
		}
		operand := g.literal(v)
		c.Verb, c.To, c.text = "DELETE", operand.term, path.String()+" "+operand.text
		c.after = func(_ map[string]any, old any) (any, bool) { return deletePlain(old, plain(v).(plainSet)) }
	default:
		operand := g.setOperand(2)
		c.Verb, c.To, c.text = "SET", operand.term, path.String()+" = "+operand.text
		c.after = func(before map[string]any, _ any) (any, bool) { return operand.value(before) }
	}
	return c
}

func addPlain(old, p any) (any, bool) {
	if old == nil {
		return p, true
	}
	if x, ok := old.(*big.Rat); ok {
		y, ok := p.(*big.Rat)
		if !ok {
			return nil, false
		}
		return new(big.Rat).Add(x, y), true
	}
	x, ok1 := old.(plainSet)
	y, ok2 := p.(plainSet)
	if !ok1 || !ok2 || x.of != y.of {
		return nil, false
	}
	union := plainSet{x.of, maps.Clone(x.has)}
	maps.Copy(union.has, y.has)
	return union, true
}

func deletePlain(old any, p plainSet) (any, bool) {
	if old == nil {
		return nil, true
	}
	x, ok := old.(plainSet)
	if !ok || x.of != p.of {
		return nil, false
	}
	rest := plainSet{x.of, maps.Clone(x.has)}
	for element := range p.has {
		delete(rest.has, element)
	}
	if len(rest.has) == 0 {
		return nil, true
	}
	return rest, true
}

// applyPlain returns the item after the changes: all operands are of the item before.
func applyPlain(it Item, changes []plainChange) (after map[string]any, ok bool) {
	before := plainItem(it)
	after = plainItem(it)
	for _, c := range changes {
		old, _ := at(before, c.Path)
		p, ok := c.after(before, old)
		if !ok || !setPlain(after, c.Path, p) {
			return nil, false
		}
	}
	return after, true
}

// Random updates, parsed from text and made from changes, do to random items what a plain evaluator
// does, or are refused where that fails. The item before stays as it was.
func TestUpdatesAgreeWithAPlainEvaluator(t *testing.T) {
	const seed = 33
	r := random{rand.New(rand.NewPCG(seed, seed))}
	applied, refusals, parsedOnes := 0, 0, 0
	for n := range 20000 {
		g := &generator{random: r, about: r.item(3)}
		var changes []plainChange
		for range 1 + r.IntN(4) {
			path := r.path(g.about)
			if !clashesWithAny(path, changes) {
				changes = append(changes, g.change(path))
			}
		}
		u, made, err := g.bothUpdates(changes)
		if err != nil {
			continue // of an operand's type
		}
		parsedOnes++
		it := g.about
		before := showItem(it)
		want, ok := applyPlain(it, changes)
		for form, u := range map[string]*Update{"text": u, "changes": made} {
			after, err := u.Apply(it)
			if (err == nil) != ok {
				t.Fatalf("seed %d, update %d from %s, %+v of %s: got %v; want it done: %t", seed, n, form, changes, before, err, ok)
			}
			if err == nil && drawnPlain(plainItem(after)) != drawnPlain(want) {
				t.Fatalf("seed %d, update %d from %s, %s with %s of %s:\n got %s\nwant %s", seed, n, form, textOf(changes),
					showItem(g.values), before, drawnPlain(plainItem(after)), drawnPlain(want))
			}
		}
		if showItem(it) != before {
			t.Fatalf("seed %d, update %d: the item before became %s; want %s", seed, n, showItem(it), before)
		}
		if ok {
			applied++
		} else {
			refusals++
		}
	}
	if applied < 2000 || refusals < 2000 {
		t.Errorf("of %d updates got %d applied, %d refused; want enough of both", parsedOnes, applied, refusals)
	}
}

// textOf prints changes as an expression, each verb once.
func textOf(changes []plainChange) string {
	text := ""
	for _, verb := range []string{"REMOVE", "SET", "DELETE", "ADD"} {
		var parts []string
		for _, c := range changes {
			if c.Verb == verb {
				parts = append(parts, c.text)
			}
		}
		if len(parts) > 0 {
			text += " " + verb + " " + strings.Join(parts, ", ")
		}
	}
	return text
}

// bothUpdates returns the update that is parsed from text and the one that is made of the changes.
// Either both are refused, or none.
func (g *generator) bothUpdates(changes []plainChange) (parsed, made *Update, err error) {
	all := make([]Change, len(changes))
	for i := range changes {
		all[i] = changes[i].Change
	}
	made, madeErr := NewUpdate(all)
	s, err := NewScope(nil, g.values)
	if err == nil {
		parsed, err = s.Update(textOf(changes))
	}
	if (err == nil) != (madeErr == nil) {
		panic(fmt.Sprintf("%s: got %v from text, %v from changes", textOf(changes), err, madeErr))
	}
	return parsed, made, err
}

// clashing reports whether two paths can't be used together: overlap if one is the beginning of the
// other, conflict if one goes on with an index where the other has a name.
func clashing(a, b Path) (overlap, conflict bool) {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return false, (a[i].Index < 0) != (b[i].Index < 0)
		}
	}
	return true, false
}

func clashesWithAny(path Path, changes []plainChange) bool {
	for _, c := range changes {
		if overlap, conflict := clashing(path, c.Path); overlap || conflict {
			return true
		}
	}
	return false
}

// Of all pairs and of many triples of short paths, in an update and in a projection, those are
// refused of which two overlap or conflict; the message names the two.
func TestPathsThatClash(t *testing.T) {
	steps := []Step{{Name: "a", Index: -1}, {Name: "b", Index: -1}, {Index: 0}, {Index: 1}}
	var paths []Path
	for _, first := range steps[:2] {
		paths = append(paths, Path{first})
		for _, second := range steps {
			paths = append(paths, Path{first, second})
			for _, third := range steps {
				paths = append(paths, Path{first, second, third})
			}
		}
	}
	for _, a := range paths {
		for _, b := range paths {
			overlap, conflict := clashing(a, b)
			want := ""
			if overlap {
				want = "Two document paths overlap with each other"
			} else if conflict {
				want = "Two document paths conflict with each other"
			}
			if want != "" {
				want += "; must remove or rewrite one of these paths; path one: " + a.listed() + ", path two: " + b.listed()
			}
			checkClash(t, want, a, b)
		}
	}
	r := rand.New(rand.NewPCG(35, 35))
	for range 5000 {
		a, b, c := paths[r.IntN(len(paths))], paths[r.IntN(len(paths))], paths[r.IntN(len(paths))]
		want := ""
		for _, pair := range [][2]Path{{a, b}, {a, c}, {b, c}} {
			if overlap, conflict := clashing(pair[0], pair[1]); overlap || conflict {
				want = "Two document paths …"
			}
		}
		checkClash(t, want, a, b, c)
	}
}

func checkClash(t *testing.T, want string, paths ...Path) {
	t.Helper()
	var texts []string
	var changes []Change
	for _, path := range paths {
		texts = append(texts, path.String())
		changes = append(changes, Change{Verb: "REMOVE", Path: path})
	}
	_, err := NewUpdate(changes)
	wantError(t, err, want)
	_, err = scopeOf(t, nil).Projection(strings.Join(texts, ", "))
	if want != "" {
		want = "Invalid ProjectionExpression: " + want
	}
	wantError(t, err, want)
}

// A projection has the parts at its paths, within their maps and lists, and nothing else.
func TestProjectionsAgreeWithAPlainEvaluator(t *testing.T) {
	const seed = 37
	r := random{rand.New(rand.NewPCG(seed, seed))}
	found := 0
	for n := range 10000 {
		it := r.item(3)
		var paths []plainChange
		var texts []string
		for range 1 + r.IntN(4) {
			if path := r.path(it); !clashesWithAny(path, paths) {
				paths = append(paths, plainChange{Change: Change{Path: path}})
				texts = append(texts, path.String())
			}
		}
		p, err := scopeOf(t, nil).Projection(strings.Join(texts, ", "))
		if err != nil {
			t.Fatalf("seed %d, projection %d, %q: %v", seed, n, texts, err)
		}
		want := map[string]any{}
		for _, path := range paths {
			if v, ok := at(plainItem(it), path.Path); ok {
				place(want, path.Path, v)
				found++
			}
		}
		if got := drawnPlain(plainItem(p.Apply(it))); got != drawnPlain(want) {
			t.Fatalf("seed %d, projection %d, %q of %s:\n got %s\nwant %s", seed, n, texts, showItem(it), got, drawnPlain(want))
		}
	}
	if found < 5000 {
		t.Errorf("got %d paths that led somewhere; want more", found)
	}
}

// place sets what a path leads to, and makes the maps and lists on the way.
func place(in any, path Path, p any) {
	for i, step := range path {
		next := p
		if i+1 < len(path) {
			next = map[string]any{}
			if path[i+1].Index >= 0 {
				next = map[int]any{}
			}
		}
		switch parent := in.(type) {
		case map[string]any:
			if parent[step.Name] == nil {
				parent[step.Name] = next
			}
			in = parent[step.Name]
		case map[int]any:
			if parent[step.Index] == nil {
				parent[step.Index] = next
			}
			in = parent[step.Index]
		}
	}
}
