package item

import "slices"

// A verb is what is done at a path.
type verb uint8

const (
	verbSet verb = iota + 1
	verbRemove
	verbAdd
	verbDelete
)

var verbs = [...]string{verbSet: "SET", verbRemove: "REMOVE", verbAdd: "ADD", verbDelete: "DELETE"}

// An action is what an update does at one path.
type action struct {
	verb    verb
	path    Path
	operand *expr // what to set it to; what to add or delete, a value; nil with REMOVE
}

// An Update is how an item is changed. It is immutable.
type Update struct {
	actions []action
	root    fork // their paths
	legacy  bool // it was AttributeUpdates: its own error, and lists can be added
}

// Apply returns the item after the update. before has at least its key, isn't changed, and shares
// its unchanged parts with the result. All paths and operands refer to before: elements that are
// removed from a list don't shift the others until the end. An index beyond the end of a list
// appends, in the order of indexes.
//
// Errors are of kind Invalid: a path that doesn't exist, a missing attribute, operands of a wrong
// type, numbers out of range, too deep nesting. Sizes are not checked.
func (u *Update) Apply(before Item) (after Item, err error) {
	if u == nil {
		return before, nil
	}
	r := run{Update: u, values: make([]Value, len(u.actions))}
	for i := range u.actions {
		if u.actions[i].verb == verbSet {
			if r.values[i], err = u.actions[i].operand.compute(before); err != nil {
				return nil, err
			}
		}
	}
	return r.item(before, &u.root)
}

// compute returns the value that SET sets a path to.
func (x *expr) compute(it Item) (Value, error) {
	switch x.op {
	case opValue:
		return *x.value, nil
	case opPath:
		if v := x.path.of(it); v != nil {
			return *v, nil
		}
		return Value{}, refused("The provided expression refers to an attribute that does not exist in the item")
	case opIfNotExists:
		if v := x.args[0].path.of(it); v != nil {
			return *v, nil
		}
		return x.args[1].compute(it)
	}
	a, err := x.args[0].compute(it)
	if err != nil {
		return Value{}, err
	}
	b, err := x.args[1].compute(it)
	switch {
	case err != nil:
		return Value{}, err
	case x.op == opListAppend && a.Type == L && b.Type == L:
		return List(slices.Concat(a.List, b.List)...), nil
	case x.op != opListAppend && a.Type == N && b.Type == N:
		return arithmetic(x.op, a, b)
	}
	return Value{}, errOperandType()
}

// arithmetic returns a + b or a - b.
func arithmetic(op op, a, b Value) (v Value, err error) {
	v.Type = N
	if op == opMinus {
		v.Text, err = subNumbers(a.Text, b.Text)
	} else {
		v.Text, err = AddNumbers(a.Text, b.Text)
	}
	return v, err
}

// A run is an update of one item.
type run struct {
	*Update
	values []Value // by action: what SET sets its path to
}

// item returns the attributes of it, the item or a map in it, after the actions at f and below.
// Attributes and forks are in the order of names.
func (r *run) item(it Item, f *fork) (Item, error) {
	after := make(Item, 0, len(it)+len(f.next))
	for i := range f.next {
		next := &f.next[i]
		place, ok := it.find(next.step.Name)
		after, it = append(after, it[:place]...), it[place:]
		var old *Value
		if ok {
			old, it = &it[0].Value, it[1:]
		}
		v, keep, err := r.value(old, next)
		if err != nil {
			return nil, err
		}
		if keep {
			after = append(after, Attr{next.step.Name, v})
		}
	}
	return append(after, it...), nil
}

// list returns the elements of a list after the actions at f and below, which are in the order of
// indexes.
func (r *run) list(list []Value, f *fork) ([]Value, error) {
	after := make([]Value, 0, len(list)+len(f.next))
	first := 0 // the index of what is the first of list by now
	for i := range f.next {
		next := &f.next[i]
		place := min(next.step.Index-first, len(list))
		after, list = append(after, list[:place]...), list[place:]
		first += place
		var old *Value
		if len(list) > 0 {
			old, list = &list[0], list[1:]
			first++
		}
		v, keep, err := r.value(old, next)
		if err != nil {
			return nil, err
		}
		if keep {
			after = append(after, v)
		}
	}
	return append(after, list...), nil
}

// value returns the new value at f, and whether there is one. old is nil if there was none.
func (r *run) value(old *Value, f *fork) (v Value, keep bool, err error) {
	switch {
	case f.leaf >= 0:
		return r.act(old, f.leaf)
	case old != nil && old.Type == M && f.next[0].step.Index < 0:
		v.Type = M
		v.Map, err = r.item(old.Map, f)
		return v, true, err
	case old != nil && old.Type == L && f.next[0].step.Index >= 0:
		v.Type = L
		v.List, err = r.list(old.List, f)
		return v, true, err
	}
	return Value{}, false, refused("The document path provided in the update expression is invalid for update")
}

// act returns the value at an action's path after it, and whether there is one.
func (r *run) act(old *Value, place int) (v Value, keep bool, err error) {
	a := &r.actions[place]
	switch {
	case a.verb == verbSet:
		// A value from elsewhere may be too deep where it is put.
		return r.values[place], true, r.values[place].check(maxDepth + 1 - len(a.path))
	case a.operand == nil:
		return Value{}, false, nil
	}
	operand := a.operand.value
	switch {
	case old == nil && a.verb == verbAdd:
		return *operand, true, nil
	case old == nil:
		return Value{}, false, nil
	case old.Type != operand.Type && r.legacy:
		return Value{}, false, refused("Type mismatch for attribute to update")
	case old.Type != operand.Type:
		return Value{}, false, errOperandType()
	case a.verb == verbDelete:
		v = Value{Type: old.Type, Set: difference(old.Set, operand.Set)}
		return v, len(v.Set) > 0, nil
	case old.Type == N:
		v, err = arithmetic(opPlus, *old, *operand)
		return v, true, err
	case old.Type == L:
		return List(slices.Concat(old.List, operand.List)...), true, nil
	}
	v = Value{Type: old.Type, Set: union(old.Set, operand.Set)}
	v.sortSet()
	return v, true, nil
}

func errOperandType() error {
	return refused("An operand in the update expression has an incorrect data type")
}

// union returns the elements of a, then those of b that aren't in a.
func union(a, b []string) []string {
	return append(slices.Clone(a), difference(b, a)...)
}

// difference returns the elements of a that aren't in b.
func difference(a, b []string) []string {
	in := func(element string) bool { return slices.Contains(b, element) }
	if len(b) > fewElements {
		has := make(map[string]struct{}, len(b))
		for _, element := range b {
			has[element] = struct{}{}
		}
		in = func(element string) bool { _, ok := has[element]; return ok }
	}
	var rest []string
	for _, element := range a {
		if !in(element) {
			rest = append(rest, element)
		}
	}
	return rest
}

// allPaths returns the paths that the update changes, in the order in which they were written.
func (u *Update) allPaths() []Path {
	if u == nil {
		return nil
	}
	paths := make([]Path, len(u.actions))
	for i := range u.actions {
		paths[i] = u.actions[i].path
	}
	return paths
}

// OnlyRemoves reports whether the update has actions, and all of them are REMOVE or DELETE. Such an
// update doesn't create an item that is missing.
func (u *Update) OnlyRemoves() bool {
	if u == nil || len(u.actions) == 0 {
		return false
	}
	for i := range u.actions {
		if v := u.actions[i].verb; v != verbRemove && v != verbDelete {
			return false
		}
	}
	return true
}

// Size returns the total bytes of the names and values in the update, counting repetitions.
func (u *Update) Size() int {
	if u == nil {
		return 0
	}
	bytes := 0
	for i := range u.actions {
		bytes += u.actions[i].path.size()
		if x := u.actions[i].operand; x != nil {
			bytes += x.size()
		}
	}
	return bytes
}

// Names returns the attributes that the update changes, as a whole or in part, sorted.
func (u *Update) Names() []string { return pathNames(u.allPaths(), 1) }

// Nested returns the attributes of which the update changes or reads a part, by [] or a dot,
// sorted. They can't be attributes of a key.
func (u *Update) Nested() []string {
	all := u.allPaths()
	if u != nil {
		for i := range u.actions {
			if x := u.actions[i].operand; x != nil {
				all = x.paths(all)
			}
		}
	}
	return pathNames(all, 2)
}

// Gives returns the type that the update gives an attribute, or requires of it, if the expression
// alone determines that; else ok is false.
func (u *Update) Gives(name string) (t Type, ok bool) {
	if u == nil {
		return 0, false
	}
	for i := range u.actions {
		if a := &u.actions[i]; len(a.path) == 1 && a.path[0].Name == name && a.operand != nil {
			t = a.operand.resultType()
			return t, t != 0
		}
	}
	return 0, false
}

// Touched returns the parts of it, the item before or after, at the paths that the update changes,
// within their maps and lists; lists have no gaps. UPDATED_OLD and UPDATED_NEW return it.
func (u *Update) Touched(it Item) Item {
	if u == nil || it == nil {
		return nil
	}
	return u.root.of(it)
}
