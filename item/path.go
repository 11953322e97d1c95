package item

import (
	"strconv"
	"strings"
)

// A Step goes one level down: to a name in an item or map, or to an index in a list.
type Step struct {
	Name  string
	Index int // from 0; -1 when the step is a name
}

// A Path leads from an item to a value in it. Its first step is a name.
type Path []Step

// String returns the path as expressions have it, a.b[1], with the names as they are.
func (p Path) String() string {
	var b strings.Builder
	for i, step := range p {
		switch {
		case step.Index >= 0:
			b.WriteByte('[')
			b.WriteString(strconv.Itoa(step.Index))
			b.WriteByte(']')
		case i > 0:
			b.WriteByte('.')
			fallthrough
		default:
			b.WriteString(step.Name)
		}
	}
	return b.String()
}

// size returns the bytes of its names.
func (p Path) size() int {
	bytes := 0
	for i := range p {
		bytes += len(p[i].Name)
	}
	return bytes
}

// listed returns the path as messages have it: [a, b, [1]].
func (p Path) listed() string {
	steps := make([]string, len(p))
	for i, step := range p {
		if steps[i] = step.Name; step.Index >= 0 {
			steps[i] = "[" + strconv.Itoa(step.Index) + "]"
		}
	}
	return "[" + strings.Join(steps, ", ") + "]"
}

// Get returns the value that the path leads to, if there is one.
func (p Path) Get(it Item) (Value, bool) {
	if v := p.of(it); v != nil {
		return *v, true
	}
	return Value{}, false
}

// of returns the value in it that the path leads to, or nil.
func (p Path) of(it Item) *Value {
	if len(p) == 0 {
		return nil
	}
	i, ok := it.find(p[0].Name)
	if !ok {
		return nil
	}
	v := &it[i].Value
	for _, step := range p[1:] {
		if v = step.of(v); v == nil {
			return nil
		}
	}
	return v
}

// of returns what the step leads to in v, or nil.
func (s Step) of(v *Value) *Value {
	switch {
	case s.Index >= 0:
		if v.Type == L && s.Index < len(v.List) {
			return &v.List[s.Index]
		}
	case v.Type == M:
		if i, ok := v.Map.find(s.Name); ok {
			return &v.Map[i].Value
		}
	}
	return nil
}

// compare orders steps: names by their bytes, then indexes.
func (s Step) compare(o Step) int {
	if s.Index != o.Index {
		return s.Index - o.Index
	}
	return strings.Compare(s.Name, o.Name)
}

// A fork is a node of a tree of paths, where paths with a common beginning part. None of them is
// the beginning of another, and all continue with names, or all with indexes.
type fork struct {
	step Step
	leaf int    // of the path that ends here, its place in the list of paths; -1 where paths continue
	next []fork // in the order of steps; nil at a leaf
}

// A clash is the reason why a path can't be used beside an earlier one.
type clash uint8

const (
	clashNone     clash = iota
	clashOverlap        // one is the beginning of the other, or they are the same
	clashConflict       // one continues with a name where the other continues with an index
)

// grow adds a path and its place in the list of paths. If the path clashes with an earlier one, it
// isn't added, and grow returns the place of the earlier one.
func (f *fork) grow(p Path, place int) (with int, c clash) {
	for _, step := range p {
		if f.leaf >= 0 {
			return f.leaf, clashOverlap
		}
		if len(f.next) > 0 && (f.next[0].step.Index < 0) != (step.Index < 0) {
			return f.first(), clashConflict
		}
		f = f.child(step)
	}
	if f.leaf >= 0 || len(f.next) > 0 {
		return f.first(), clashOverlap
	}
	f.leaf = place
	return 0, clashNone
}

// child returns the fork after step, and creates it if there is none.
func (f *fork) child(step Step) *fork {
	low, high := 0, len(f.next)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if f.next[middle].step.compare(step) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == len(f.next) || f.next[low].step != step {
		f.next = append(f.next, fork{})
		copy(f.next[low+1:], f.next[low:])
		f.next[low] = fork{step: step, leaf: -1}
	}
	return &f.next[low]
}

// first returns the least place of the paths through this fork.
func (f *fork) first() int {
	if f.leaf >= 0 {
		return f.leaf
	}
	least := -1
	for i := range f.next {
		if place := f.next[i].first(); least < 0 || place >= 0 && place < least {
			least = place
		}
	}
	return least
}

// pick returns the parts of the item at the paths, within their maps and lists; the lists have no
// gaps. It returns nil if the item has none of the paths.
func (f *fork) pick(it Item) Item {
	var picked Item
	for i := range f.next {
		next := &f.next[i]
		place, ok := it.find(next.step.Name)
		if !ok {
			continue
		}
		if v, ok := next.pickValue(&it[place].Value); ok {
			if picked == nil {
				picked = make(Item, 0, len(f.next))
			}
			picked = append(picked, Attr{next.step.Name, v})
		}
	}
	return picked
}

// pickValue returns the parts at the paths of v, which is the value at the fork, and whether there
// are any.
func (f *fork) pickValue(v *Value) (Value, bool) {
	switch {
	case f.leaf >= 0:
		return *v, true
	case v.Type == M && f.next[0].step.Index < 0:
		picked := f.pick(v.Map)
		return Map(picked), picked != nil
	case v.Type == L && f.next[0].step.Index >= 0:
		var picked []Value
		for i := range f.next {
			if place := f.next[i].step.Index; place < len(v.List) {
				if element, ok := f.next[i].pickValue(&v.List[place]); ok {
					picked = append(picked, element)
				}
			}
		}
		return List(picked...), picked != nil
	}
	return Value{}, false
}
