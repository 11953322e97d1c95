package item

import (
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// A plain value is a Value as Go has it, for evaluators that share no code with the package:
//
//	S string    N *big.Rat    B bin    BOOL bool    NULL null    M map[string]any
//	SS, NS, BS plainSet       L map[int]any, by index, so that elements can be removed without a shift
type (
	bin      string
	null     struct{}
	plainSet struct {
		of  Type
		has map[string]bool
	}
)

func plain(v Value) any {
	switch v.Type {
	case S:
		return v.Text
	case N:
		return exact(v.Text)
	case B:
		return bin(v.Text)
	case BOOL:
		return v.Bool
	case NULL:
		return null{}
	case L:
		list := map[int]any{}
		for i, element := range v.List {
			list[i] = plain(element)
		}
		return list
	case M:
		return plainItem(v.Map)
	}
	s := plainSet{v.Type, map[string]bool{}}
	for _, element := range v.Set {
		s.has[element] = true
	}
	return s
}

func plainItem(it Item) map[string]any {
	all := map[string]any{}
	for _, a := range it {
		all[a.Name] = plain(a.Value)
	}
	return all
}

// drawnPlain returns a plain value on one line; equal values, and only those, have the same line.
func drawnPlain(p any) string {
	switch v := p.(type) {
	case *big.Rat:
		return v.RatString()
	case string:
		return strconv.Quote(v)
	case bin:
		return "b" + strconv.Quote(string(v))
	case plainSet:
		return fmt.Sprintf("%s%q", v.of, slices.Sorted(maps.Keys(v.has)))
	case map[int]any:
		var parts []string
		for _, i := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, drawnPlain(v[i]))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case map[string]any:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, name+":"+drawnPlain(v[name]))
		}
		return "{" + strings.Join(parts, " ") + "}"
	}
	return fmt.Sprint(p)
}

func plainType(p any) Type {
	switch v := p.(type) {
	case string:
		return S
	case *big.Rat:
		return N
	case bin:
		return B
	case bool:
		return BOOL
	case null:
		return NULL
	case map[int]any:
		return L
	case map[string]any:
		return M
	case plainSet:
		return v.of
	}
	panic(fmt.Sprintf("%T", p))
}

func comparePlain(a, b any) (order int, ok bool) {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), true
		}
	case bin:
		if y, ok := b.(bin); ok {
			return strings.Compare(string(x), string(y)), true
		}
	case *big.Rat:
		if y, ok := b.(*big.Rat); ok {
			return x.Cmp(y), true
		}
	}
	return 0, false
}

// sizePlain is the function size; texts are counted in units of UTF-16.
func sizePlain(p any) (n int, ok bool) {
	switch v := p.(type) {
	case string:
		return len(utf16.Encode([]rune(v))), true
	case bin:
		return len(v), true
	case plainSet:
		return len(v.has), true
	case map[int]any:
		return len(v), true
	case map[string]any:
		return len(v), true
	}
	return 0, false
}

func containsPlain(p, part any) bool {
	switch v := p.(type) {
	case string:
		text, ok := part.(string)
		return ok && strings.Contains(v, text)
	case bin:
		text, ok := part.(bin)
		return ok && strings.Contains(string(v), string(text))
	case plainSet:
		switch element := part.(type) {
		case string:
			return v.of == SS && v.has[element]
		case bin:
			return v.of == BS && v.has[string(element)]
		case *big.Rat:
			for have := range v.has {
				if v.of == NS && exact(have).Cmp(element) == 0 {
					return true
				}
			}
		}
	case map[int]any:
		for _, element := range v {
			if drawnPlain(element) == drawnPlain(part) {
				return true
			}
		}
	}
	return false
}

// at returns what a path leads to.
func at(it map[string]any, path Path) (p any, ok bool) {
	p = it
	for _, step := range path {
		if step.Index >= 0 {
			list, _ := p.(map[int]any)
			p, ok = list[step.Index]
		} else {
			names, _ := p.(map[string]any)
			p, ok = names[step.Name]
		}
		if !ok {
			return nil, false
		}
	}
	return p, ok
}

// A random makes values, paths and items of few names and contents, so that paths often lead to
// something and values are often equal.
type random struct{ *rand.Rand }

func (r random) name() string { return string(rune('a' + r.IntN(4))) }

func (r random) value(levels int) Value {
	texts := []string{"", "a", "ab", "b", "🐟", "N", "M"}
	numbers := []string{"-1", "0", "1", "2.5", "10"}
	some := func(of []string) []string {
		set := slices.Clone(of)
		r.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
		return set[:1+r.IntN(len(set)-1)]
	}
	t := S + Type(r.IntN(int(M)))
	if r.IntN(3) == 0 {
		t = L + Type(r.IntN(2))
	}
	if levels == 0 && t >= L {
		t = N
	}
	switch v := (Value{Type: t}); t {
	case S, B:
		v.Text = texts[r.IntN(len(texts))]
		return v
	case N:
		v.Text = numbers[r.IntN(len(numbers))]
		return v
	case BOOL:
		return Bool(r.IntN(2) == 0)
	case NULL:
		return Null
	case L:
		for range r.IntN(4) {
			v.List = append(v.List, r.value(levels-1))
		}
		return v
	case M:
		return Map(r.item(levels - 1))
	case NS:
		return set(NS, some(numbers)...)
	default:
		return set(t, some(texts[1:])...)
	}
}

func (r random) item(levels int) Item {
	var attrs []Attr
	for _, name := range []string{"a", "b", "c", "d"} {
		if r.IntN(4) > 0 {
			attrs = append(attrs, Attr{name, r.value(levels)})
		}
	}
	return New(attrs...)
}

// path returns a path that leads somewhere in the item more often than not.
func (r random) path(it Item) Path {
	path := Path{{Name: r.name(), Index: -1}}
	for range r.IntN(3) {
		next := Step{Name: r.name(), Index: -1}
		if v, ok := path.Get(it); ok && v.Type == L || !ok && r.IntN(2) == 0 {
			next = Step{Index: r.IntN(4)}
		}
		path = append(path, next)
	}
	return path
}
