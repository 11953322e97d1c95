package item

// A Projection is what of an item is returned. It is immutable. A nil Projection is all of it.
type Projection struct {
	paths []Path
	root  fork
}

// AttributesToGet returns the projection of the legacy parameter. It is an error if a name is in it twice, or one
// that CheckName doesn't take.
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

// Apply returns of the item what lies at the paths, in the maps and lists where it lies; lists have no gaps. There is
// nothing of no item, and an empty item of one that has nothing there.
func (p *Projection) Apply(it Item) Item {
	if p == nil || it == nil {
		return it
	}
	return p.root.of(it)
}

// of returns what pick does, or an empty item.
func (f *fork) of(it Item) Item {
	if picked := f.pick(it); picked != nil {
		return picked
	}
	return Item{}
}

// Names returns the attributes of the item that it reads, sorted.
func (p *Projection) Names() []string { return pathNames(p.allPaths(), 1) }

// Nested returns those of Names in which it reads inside, by [] or a dot, sorted. They can't be those of a key.
func (p *Projection) Nested() []string { return pathNames(p.allPaths(), 2) }

// allPaths returns the paths, in the order in which they were written.
func (p *Projection) allPaths() []Path {
	if p == nil {
		return nil
	}
	return p.paths
}
