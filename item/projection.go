package item

// A Projection is which parts of an item are returned. It is immutable. A nil Projection is the
// whole item.
type Projection struct {
	paths []Path
	root  fork
}

// AttributesToGet returns the projection of the legacy parameter. A duplicate name, or one that
// CheckName refuses, is an error.
func AttributesToGet(names []string) (*Projection, error) {
	p := &Projection{paths: make([]Path, len(names)), root: fork{leaf: -1}}
	for i, name := range names {
		if err := CheckName(name); err != nil {
			return nil, err
		}
		p.paths[i] = Path{{Name: name, Index: -1}}
		if _, how := p.root.grow(p.paths[i], i); how != clashNone {
			return nil, invalid("Duplicate value in attribute name: %s", name)
		}
	}
	return p, nil
}

// Apply returns the parts of the item at the paths, within their maps and lists; lists have no
// gaps. The result is nil for a nil item, and an empty item if it has none of the paths.
func (p *Projection) Apply(it Item) Item {
	if p == nil || it == nil {
		return it
	}
	return p.root.of(it)
}

// of returns the result of pick, or an empty item.
func (f *fork) of(it Item) Item {
	if picked := f.pick(it); picked != nil {
		return picked
	}
	return Item{}
}

// Names returns the attributes of the item that it reads, sorted.
func (p *Projection) Names() []string { return pathNames(p.allPaths(), 1) }

// Nested returns those of Names whose values it reads a part of, by [] or a dot, sorted. They can't
// be attributes of a key.
func (p *Projection) Nested() []string { return pathNames(p.allPaths(), 2) }

// allPaths returns the paths, in the order in which they were written.
func (p *Projection) allPaths() []Path {
	if p == nil {
		return nil
	}
	return p.paths
}
