package dynamodb

import (
	"math"
	"strings"
)

// A shape describes a request or a part of one: its type and its constraints. Shapes are made once,
// by the functions below, and never change.
//
// The types are those of the service's model
// (https://github.com/boto/botocore/blob/develop/botocore/data/dynamodb/2012-08-10/service-2.json).
// The texts of faults, and the order in which they are reported, are DynamoDB's own and
// undocumented. The sources are dynalite's tests and the Parity Suite's; where they differ, the
// Parity Suite is followed, because it is newer.
type shape struct {
	form    form
	class   string   // a structure's type name, or the Java type of a map's values
	members []member // a structure's members, in the order in which their faults are reported
	element *shape   // the shape of a list's or map's elements

	least, most int64    // limits of a number's value, or of the length of a text, list or map
	enum        []string // the allowed texts; nil allows all
	name        bool     // only characters of [a-zA-Z0-9_.-] are allowed
	arn         bool     // a name, or a table's ARN
	keys        *shape   // constraints of a map's keys
	values      *shape   // constraints of the lengths of a map's values

	free bool // neither it nor anything in it has constraints
	arns bool // it, or something in it, may be a table's ARN
}

// A form is the JSON type of a value.
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
	path  string // its name in faults: the first letter is in lower case
	shape *shape
	free  bool // it may be absent, and its shape is free

	notNull  bool     // its absence is reported like any other fault
	required bool     // its absence is reported before all other faults, with a text of its own
	instead  []string // other members that may take its place
	wrong    length   // lengths that are reported before all other faults, with texts of their own
	terse    bool     // a sole fault has the request's spelling of the name, and no value
	empty    string   // the error's text if its emptiness is the sole fault; "": no special text
}

// A length is a set of invalid lengths of a table's name.
type length uint8

const (
	tooShort length = 1 << iota
	tooLong
)

// Limits of the lengths of names of tables, indexes and backups.
const (
	minNameLength = 3
	maxNameLength = 255
	maxARNLength  = 1024
)

// unlimited is the upper limit of a shape that has none.
const unlimited = math.MaxInt64

const namePattern = "[a-zA-Z0-9_.-]+"

// modelPrefix is the prefix of structures' names in faults.
const modelPrefix = "com.amazonaws.dynamodb.v20120810."

func (s shape) bounded(least, most int64) *shape {
	s.least, s.most, s.free = least, most, false
	return &s
}

func scalar(f form) *shape {
	return &shape{form: f, least: math.MinInt64, most: unlimited, free: true}
}

// sized is a text with limits of its length in characters.
func sized(least, most int64) *shape { return scalar(formString).bounded(least, most) }

// integer and long are numbers with limits.
func integer(least, most int64) *shape { return scalar(formInteger).bounded(least, most) }
func long(least, most int64) *shape    { return scalar(formLong).bounded(least, most) }

// named is a text of 3 to 255 letters, digits, and _.-
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

// onlyARN is a table's ARN; a name isn't accepted.
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

// dict is a map from texts to elements; class is the Java type of an element.
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

// need is a member that must not be null.
func need(name string, s *shape) member {
	m := field(name, s)
	m.notNull, m.free = true, false
	return m
}

// must is a member whose absence is reported before all other faults.
func must(name string, s *shape) member {
	m := field(name, s)
	m.required, m.free = true, false
	return m
}

// orTerse returns the member with terse set.
func (m member) orTerse() member {
	m.terse = true
	return m
}

// orElse returns the member with instead set: its absence isn't a fault if one of those is present.
func (m member) orElse(names ...string) member {
	m.instead = names
	return m
}

// orEmpty returns the member with empty set: the error's text if its emptiness is the sole fault.
func (m member) orEmpty(words string) member {
	m.empty = words
	return m
}

// wrongWhen returns the member with wrong set: the lengths that are reported first.
func (m member) wrongWhen(l length) member {
	m.wrong = l
	return m
}

// check checks a request against its shape. It returns nil, or a SerializationException for the
// first value of a wrong type, or else a ValidationException that lists at most ten faults. Members
// that the shape doesn't have are ignored.
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

// checkFirst reports the faults of a member that DynamoDB reports before all others.
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

// isARN reports whether a text is an ARN that may be used in place of a name.
func (s *shape) isARN(text string) bool {
	if !s.arn {
		return false
	}
	_, ok := parseTableARN(text)
	return ok
}

// tableOf returns the name of a table that a request gives as a name or as an ARN.
func tableOf(s string) string {
	if arn, ok := parseTableARN(s); ok {
		return arn.name
	}
	return s
}

// tableName returns the name of the table that a request's TableName gives.
func tableName(req node) string { return tableOf(req.get("TableName").text()) }

// truth returns a boolean, which may also be written as a text, as DynamoDB accepts it.
func truth(n node) bool {
	if n.kind() == text {
		v, _ := truthOf(n.text())
		return v
	}
	return n.bool()
}

// truthOf returns the boolean that a text stands for.
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
