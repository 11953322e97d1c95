package item

import "strconv"

// The keywords of each kind of expression, which can't be names in it.
var (
	conditionWords  = []string{"AND", "OR", "NOT", "IN", "BETWEEN"}
	updateWords     = []string{"SET", "REMOVE", "ADD", "DELETE"}
	projectionWords []string
)

// maxIndex is the greatest index of a list.
const maxIndex = 1<<31 - 1

// path parses a path.
func (p *parser) path(keywords []string) Path {
	if len(p.steps) == 0 {
		p.steps = make([]Step, stepBlock)
	}
	path, ok := p.stepName(Path(p.steps[:0]), keywords)
	if !ok {
		return nil
	}
	path, ok = p.extend(path, keywords)
	if !ok {
		return nil
	}
	if len(path) <= len(p.steps) && &path[0] == &p.steps[0] {
		p.steps = p.steps[len(path):]
	}
	return path[:len(path):len(path)]
}

// extend adds the steps that follow to a path.
func (p *parser) extend(path Path, keywords []string) (Path, bool) {
	ok := true
	for ok {
		switch {
		case p.accept('.'):
			path, ok = p.stepName(path, keywords)
		case p.accept('['):
			path, ok = p.stepIndex(path)
		default:
			p.checkDepth(path)
			return path, p.syntax == ""
		}
	}
	return nil, false
}

// stepName adds a step that is a name, or the alias of one.
func (p *parser) stepName(path Path, keywords []string) (Path, bool) {
	word := p.word()
	switch {
	case p.tok.kind == tokenName && !p.atAny(keywords):
		if isReserved(word) {
			p.fault(faultReserved, "Attribute name is a reserved keyword; reserved keyword: %s", word)
		}
	case p.tok.kind == tokenAlias:
		name, ok := p.scope.name(word)
		if !ok {
			p.fault(faultName, "An expression attribute name used in the document path is not defined; attribute name: %s", word)
		}
		word = name
	default:
		p.unexpected()
		return nil, false
	}
	p.next()
	return append(path, Step{Name: word, Index: -1}), true
}

// stepIndex adds a step that is an index, up to its closing bracket.
func (p *parser) stepIndex(path Path) (Path, bool) {
	word := p.word()
	if !p.expect(tokenIndex) {
		return nil, false
	}
	index, err := strconv.ParseInt(word, 10, 64)
	if err != nil || index > maxIndex {
		p.fault(faultPath, "List index is not within the allowable range; index: [%s]", word)
		index = 0
	}
	return append(path, Step{Index: int(index)}), p.expect(']')
}

// value parses :value. An undefined one is a fault of that class, and its node has no value.
func (p *parser) value(class fault) *expr {
	v, ok := p.scope.value(p.word())
	if !ok {
		p.fault(class, "An expression attribute value used in expression is not defined; attribute value: %s", p.word())
	}
	p.next()
	x := p.expr(opValue)
	x.value = v
	return x
}

// projection parses a list of paths.
func (p *parser) projection() []Path {
	var paths []Path
	for p.syntax == "" {
		paths = append(paths, p.path(projectionWords))
		p.claim(paths)
		if !p.accept(',') {
			break
		}
	}
	return paths
}
