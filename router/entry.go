package router

import (
	"reflect"
	"slices"

	"holdfast/route"
)

// at returns the tree for the requests of an entry.
func (t *tree) at(entry int) *tree {
	if entry < len(t.entries) {
		return t.entries[entry]
	}
	return t
}

// entries makes the trees of Options.Entries. Entries with the same route share a tree, so that its
// limits hold for all of them together.
func (b *builder) entries() error {
	t := b.tree
	made := make([]*tree, len(t.options.Entries))
	for i := range t.options.Entries {
		o := &t.options.Entries[i]
		if o.IsZero() || reflect.DeepEqual(*o, t.options.Route) {
			made[i] = t
			continue
		}
		first := slices.IndexFunc(t.options.Entries, func(other route.Route) bool { return reflect.DeepEqual(*o, other) })
		if first < i {
			made[i] = made[first]
			continue
		}
		var err error
		if made[i], err = b.entry(o); err != nil {
			return err
		}
	}
	t.entries = made
	return nil
}

// entry returns a copy of the tree with another root. Of the pools, which a flush flushes, it has
// only those that this root leads to.
func (b *builder) entry(o *route.Route) (*tree, error) {
	root, err := b.route(o)
	if err != nil {
		return nil, err
	}
	entry := *b.tree
	entry.root, entry.pools = b.guard(root), nil
	reached := map[string]bool{}
	b.reach(o, reached)
	for _, p := range b.tree.pools {
		if reached[p.options.Name] {
			entry.pools = append(entry.pools, p)
		}
	}
	return &entry, nil
}

// reach adds the pools that o leads to, and the pools that those fail over to or are warmed from.
func (b *builder) reach(o *route.Route, reached map[string]bool) {
	b.reachPool(o.Pool, reached)
	for _, n := range o.Nested() {
		b.reach(n.Route, reached)
	}
}

func (b *builder) reachPool(name string, reached map[string]bool) {
	p := b.pools[name]
	if p == nil || reached[name] {
		return
	}
	reached[name] = true
	b.reachPool(p.options.Failover, reached)
	b.reachPool(p.options.WarmFrom, reached)
}
