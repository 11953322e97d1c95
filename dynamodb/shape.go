package dynamodb

import (
	"math"
	"strings"
)

// A shape says what a request, or a part of one, must look like: its type and its constraints.
// Shapes are made once, by the functions below, and never change.
//
// The types are those of the service's model
// (https://github.com/boto/botocore/blob/develop/botocore/data/dynamodb/2012-08-10/service-2.json);
// the words of faults, and in what order they are reported, are the service's own and are in no
// document: they are kept by dynalite's tests and by the Parity Suite's, and where those differ the
// latter, which is the younger, is followed.
type shape struct {
	form    form
	class   string   // of a structure: its type's name; of a map: its values' Java type
	members []member // of a structure, in the order in which their faults are reported
	element *shape   // of a list or map

	least, most int64    // of a number's value, or of the length of a text, list or map
	enum        []string // which texts are allowed; nil is all
	name        bool     // a text of [a-zA-Z0-9_.-]
	arn         bool     // a name in whose place a table's ARN may stand
	keys        *shape   // of a map: constraints of its keys
	values      *shape   // of a map: constraints of the lengths of its values

	free bool // has no constraints, nor has what is in it
	arns bool // a table's ARN may stand in it, or in what is in it
}

// A form is a type as it is written in JSON.
type form uint8

const (
	formBoolean form = iota
	formInteger
	formLong
	formTimestamp // seconds since 1970
	formString
	formBlob
	formList
	formMap
	formStructure
	formValue // an AttributeValue
)

// A member is a named part of a structure.
type member struct {
	name  string
	path  string // as faults name it: its first letter is small
	shape *shape
	free  bool // it may be absent, and its shape is free

	notNull  bool     // its absence is a fault like others
	required bool     // its absence is reported before all other faults, in words of its own
	instead  []string // of which other members one may take its place
	wrong    length   // which lengths are reported before all other faults, in words of their own
	terse    bool     // if it is all that is wrong, its fault is named as in the request, and without its value
	empty    string   // what is said if all that is wrong is that it is empty; "": as of other faults
}

// A length is which of a table name's lengths are wrong.
type length uint8

const (
	tooShort length = 1 << iota
	tooLong
)

// Lengths of names of tables, indexes and backups.
const (
	minNameLength = 3
	maxNameLength = 255
	maxARNLength  = 1024
)

// unlimited is the bound of what has none.
const unlimited = math.MaxInt64

const namePattern = "[a-zA-Z0-9_.-]+"

// modelPrefix stands before the names of structures in faults.
const modelPrefix = "com.amazonaws.dynamodb.v20120810."

func (s shape) bounded(least, most int64) *shape {
	s.least, s.most, s.free = least, most, false
	return &s
}

func scalar(f form) *shape {
	return &shape{form: f, least: math.MinInt64, most: unlimited, free: true}
}

// sized is a text of so many characters.
func sized(least, most int64) *shape { return scalar(formString).bounded(least, most) }

// integer and long are numbers with bounds.
func integer(least, most int64) *shape { return scalar(formInteger).bounded(least, most) }
func long(least, most int64) *shape    { return scalar(formLong).bounded(least, most) }

// named is a text of letters, digits, and _.-, from 3 to 255.
func named() *shape {
	s := sized(minNameLength, maxNameLength)
	s.name = true
	return s
}

// namedOrARN is a table's name or ARN.
func namedOrARN() *shape {
	s := named()
	s.arn, s.arns = true, true
	return s
}

// onlyARN is a table's ARN where no name may stand.
func onlyARN() *shape {
	s := sized(1, maxARNLength)
	s.arns = true
	return s
}

func enum(values ...string) *shape {
	s := scalar(formString)
	s.enum, s.free = values, false
	return s
}

func list(element *shape) *shape {
	s := scalar(formList)
	s.element, s.free, s.arns = element, element.free, element.arns
	return s
}

// dict is a map of texts to elements; class is the Java type of an element.
func dict(class string, element *shape) *shape {
	s := scalar(formMap)
	s.class, s.element, s.free, s.arns = class, element, element.free, element.arns
	return s
}

func structure(class string, members ...member) *shape {
	s := scalar(formStructure)
	s.class, s.members = class, members
	for i := range members {
		s.free = s.free && members[i].free
		s.arns = s.arns || members[i].shape.arns
	}
	return s
}

func field(name string, s *shape) member {
	return member{name: name, path: strings.ToLower(name[:1]) + name[1:], shape: s, free: s.free}
}

// need is a field that must not be null.
func need(name string, s *shape) member {
	m := field(name, s)
	m.notNull, m.free = true, false
	return m
}

// must is a field without which the service doesn't look at the others.
func must(name string, s *shape) member {
	m := field(name, s)
	m.required, m.free = true, false
	return m
}

// orTerse is the member with terse set.
func (m member) orTerse() member {
	m.terse = true
	return m
}

// orElse is the member whose absence isn't a fault if one of those is there.
func (m member) orElse(names ...string) member {
	m.instead = names
	return m
}

// orEmpty is the member with what is said of it if it is empty and nothing else is wrong.
func (m member) orEmpty(words string) member {
	m.empty = words
	return m
}

// wrongWhen is the member with the lengths that are reported first.
func (m member) wrongWhen(l length) member {
	m.wrong = l
	return m
}

// check says what is wrong with a request: nil, a SerializationException for the first thing that
// has a wrong type, else a ValidationException with at most ten constraints that don't hold.
// Members that a shape doesn't know are passed over.
func check(n node, s *shape) error {
	if err := checkTypes(n, s, false); err != nil {
		return err
	}
	for i := range s.members {
		if m := &s.members[i]; m.required || m.wrong != 0 {
			if err := checkFirst(m, n.get(m.name)); err != nil {
				return err
			}
		}
	}
	if s.free {
		return nil
	}
	var f faults
	f.structure(n, s)
	return f.err()
}

// checkFirst reports what the service looks at before anything else.
func checkFirst(m *member, v node) error {
	if v.kind() == absent {
		if m.required {
			return invalid("The parameter '%s' is required but was not present in the request", m.name)
		}
		return nil
	}
	s := v.text()
	if m.shape.isARN(s) {
		return nil
	}
	if m.wrong&tooShort != 0 && len(s) < minNameLength || m.wrong&tooLong != 0 && len(s) > maxNameLength {
		return invalid("%s must be at least %d characters long and at most %d characters long",
			m.name, minNameLength, maxNameLength)
	}
	return nil
}

// isARN says whether a text is an ARN that may stand in the place of a name.
func (s *shape) isARN(text string) bool {
	if !s.arn {
		return false
	}
	_, ok := parseTableARN(text)
	return ok
}

// tableOf returns the table's name of what stands in a request for one: a name, or a table's ARN.
func tableOf(s string) string {
	if arn, ok := parseTableARN(s); ok {
		return arn.name
	}
	return s
}

// tableName is the name of the table that a request's TableName names.
func tableName(req node) string { return tableOf(req.get("TableName").text()) }

// truth is a boolean, which may also be written as a text, as the service takes it.
func truth(n node) bool {
	if n.kind() == text {
		v, _ := truthOf(n.text())
		return v
	}
	return n.bool()
}

// truthOf is the boolean that a text stands for.
func truthOf(s string) (v, ok bool) {
	for _, word := range [...]string{"true", "1", "yes"} {
		if strings.EqualFold(s, word) {
			return true, true
		}
	}
	for _, word := range [...]string{"false", "0", "no"} {
		if strings.EqualFold(s, word) {
			return false, true
		}
	}
	return false, false
}
