package dynamodb

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxFaults is how many faults one error lists at most.
const maxFaults = 10

// maxEchoBytes is about how many bytes of a wrong value its fault repeats.
const maxEchoBytes = 16 << 10

// maxPlaces is the greatest depth of a constraint in a request.
// RequestItems.users.1.PutRequest.Item has depth 5.
const maxPlaces = 8

// faults are the constraints that a request doesn't satisfy.
type faults struct {
	texts []string // up to maxFaults
	wrong int      // number of members with faults
	sole  string   // replaces the error's text if only one member is wrong; "" replaces nothing

	at    [maxPlaces]place // path to the current value
	depth int              // length of that path
}

// A place is a step of the path to a value in a request. The path becomes a text only for a fault.
type place struct {
	member *member // in a structure
	key    string  // in a map
	index  int     // in a list, from 1
}

func (f *faults) enter(p place) {
	f.at[f.depth] = p
	f.depth++
}

func (f *faults) leave() { f.depth-- }

// path returns the path to the current value, as in requestItems.users.member.keys. wire spells
// members as in the request.
func (f *faults) path(wire bool) string {
	var dst []byte
	for i, p := range f.at[:f.depth] {
		if i > 0 {
			dst = append(dst, '.')
		}
		switch {
		case p.member != nil && wire:
			dst = append(dst, p.member.name...)
		case p.member != nil:
			dst = append(dst, p.member.path...)
		case p.index > 0:
			dst = append(strconv.AppendInt(dst, int64(p.index), 10), ".member"...)
		default:
			dst = append(append(dst, p.key...), ".member"...)
		}
	}
	return string(dst)
}

func (f *faults) full() bool { return len(f.texts) >= maxFaults }

// add adds a fault of the current value.
func (f *faults) add(v node, s *shape, constraint string) {
	if f.full() {
		return
	}
	value := "null"
	if v.kind() != absent {
		value = "'" + string(appendEcho(nil, v, s)) + "'"
	}
	f.texts = append(f.texts, "Value "+value+" at '"+f.path(false)+"' failed to satisfy constraint: "+constraint)
}

// err returns the faults as one error.
func (f *faults) err() error {
	switch {
	case len(f.texts) == 0:
		return nil
	case f.wrong == 1 && f.sole != "":
		return invalid("%s", f.sole)
	case len(f.texts) == 1:
		return invalid("1 validation error detected: %s", f.texts[0])
	}
	return invalid("%d validation errors detected: %s", len(f.texts), strings.Join(f.texts, "; "))
}

func (f *faults) structure(n node, s *shape) {
	for i := range s.members {
		m := &s.members[i]
		if m.free || f.full() {
			continue
		}
		v := n.get(m.name)
		if v.kind() != absent || !hasAny(n, m.instead) {
			f.member(v, m)
		}
	}
}

func hasAny(n node, names []string) bool {
	for _, name := range names {
		if n.has(name) {
			return true
		}
	}
	return false
}

func (f *faults) member(v node, m *member) {
	f.enter(place{member: m})
	defer f.leave()
	if v.kind() == absent {
		if m.notNull {
			f.wrong++
			f.add(v, m.shape, "Member must not be null")
		}
		return
	}
	before := len(f.texts)
	f.value(v, m.shape)
	if len(f.texts) > before {
		f.alone(v, m, f.texts[before])
	}
	f.inner(v, m.shape)
}

// alone sets the error's text for the case that the member just found wrong stays the only one.
func (f *faults) alone(v node, m *member, fault string) {
	switch {
	case m.empty != "" && v.len() == 0 && v.text() == "":
		f.sole = m.empty
	case m.terse:
		_, constraint, _ := strings.Cut(fault, "failed to satisfy")
		f.sole = "1 validation error detected: Value at '" + f.path(true) + "' failed to satisfy" + constraint
	}
}

// value adds the faults of a value itself, which isn't null.
func (f *faults) value(v node, s *shape) {
	if s.free {
		return
	}
	before := len(f.texts)
	switch s.form {
	case formString:
		f.text(v, s)
	case formInteger, formLong:
		f.number(v, s)
	case formList, formMap:
		f.size(v, s, int64(v.len()))
		f.entries(v, s)
	}
	if len(f.texts) > before {
		f.wrong++
	}
}

// inner adds the faults of the values inside a value.
func (f *faults) inner(v node, s *shape) {
	switch s.form {
	case formStructure:
		f.structure(v, s)
	case formList, formMap:
		f.elements(v, s)
	}
}

func (f *faults) text(v node, s *shape) {
	t := v.text()
	if s.isARN(t) {
		return
	}
	if s.name && !isName(t) {
		f.add(v, s, "Member must satisfy regular expression pattern: "+namePattern)
	}
	f.size(v, s, int64(utf8.RuneCountInString(t)))
	if s.enum == nil {
		return
	}
	for _, e := range s.enum {
		if e == t {
			return
		}
	}
	f.add(v, s, "Member must satisfy enum value set: ["+strings.Join(s.enum, ", ")+"]")
}

func (f *faults) number(v node, s *shape) {
	switch n := v.int(); {
	case n < s.least:
		f.add(v, s, "Member must have value greater than or equal to "+strconv.FormatInt(s.least, 10))
	case n > s.most:
		f.add(v, s, "Member must have value less than or equal to "+strconv.FormatInt(s.most, 10))
	}
}

func (f *faults) size(v node, s *shape, n int64) {
	switch {
	case n < s.least:
		f.add(v, s, atLeast(s))
	case n > s.most:
		f.add(v, s, atMost(s))
	}
}

func atLeast(s *shape) string {
	return "Member must have length greater than or equal to " + strconv.FormatInt(s.least, 10)
}

func atMost(s *shape) string {
	return "Member must have length less than or equal to " + strconv.FormatInt(s.most, 10)
}

// entries adds the faults of a map's keys and of its values' lengths: at most one fault for all
// keys and one for all values.
func (f *faults) entries(v node, s *shape) {
	if s.keys == nil && s.values == nil {
		return
	}
	keys, values := true, true
	v.each(func(key string, e node) bool {
		if s.keys != nil && !s.keys.isARN(key) {
			n := int64(len(key))
			keys = keys && isName(key) && n >= s.keys.least && n <= s.keys.most
		}
		if s.values != nil {
			n := int64(e.len())
			values = values && n >= s.values.least && n <= s.values.most
		}
		return true
	})
	if !keys {
		f.add(v, s, "Map keys must satisfy constraint: ["+atMost(s.keys)+", "+atLeast(s.keys)+
			", Member must satisfy regular expression pattern: "+namePattern+"]")
	}
	if !values {
		f.add(v, s, "Map value must satisfy constraint: ["+atMost(s.values)+", "+atLeast(s.values)+"]")
	}
}

func (f *faults) elements(v node, s *shape) {
	if s.element.free {
		return
	}
	i := 0
	v.each(func(key string, e node) bool {
		i++
		if e.kind() == null {
			return true
		}
		p := place{key: key}
		if s.form == formList {
			p.index = i
		}
		f.enter(p)
		f.value(e, s.element)
		f.inner(e, s.element)
		f.leave()
		return !f.full()
	})
}

// isName reports whether a text matches namePattern.
func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '_', b == '.', b == '-':
		default:
			return false
		}
	}
	return s != ""
}

// appendEcho appends a value as Java prints it: [KeySchemaElement(attributeName=id, keyType=HASH)].
// A large value is cut after about maxEchoBytes.
func appendEcho(dst []byte, v node, s *shape) []byte {
	switch v.kind() {
	case null, absent:
		return append(dst, "null"...)
	case array:
		return append(appendEchoes(append(dst, '['), v, s), ']')
	case object:
		if s != nil && s.form == formMap {
			return append(appendEchoes(append(dst, '{'), v, s), '}')
		}
		class := "AttributeValue"
		if s != nil && s.form == formStructure {
			class = s.class
		}
		return append(appendEchoes(append(append(dst, class...), '('), v, s), ')')
	case text, number:
		return append(dst, v.text()...)
	}
	return append(dst, v.raw()...)
}

// appendEchoes appends what is in a list, map or structure.
func appendEchoes(dst []byte, v node, s *shape) []byte {
	start := len(dst)
	v.each(func(name string, e node) bool {
		if len(dst) > start {
			dst = append(dst, ", "...)
		}
		if len(dst) > maxEchoBytes {
			dst = append(dst, "..."...)
			return false
		}
		if v.kind() == object {
			if s == nil || s.form != formMap {
				name = strings.ToLower(name[:min(1, len(name))]) + name[min(1, len(name)):]
			}
			dst = append(append(dst, name...), '=')
		}
		dst = appendEcho(dst, e, s.within(name))
		return true
	})
	return dst
}

// within is the shape of an element, or of the member with a path's name; nil if that isn't known.
func (s *shape) within(path string) *shape {
	if s == nil || s.form != formStructure {
		if s == nil || s.form == formValue {
			return nil
		}
		return s.element
	}
	for i := range s.members {
		if s.members[i].path == path {
			return s.members[i].shape
		}
	}
	return nil
}
