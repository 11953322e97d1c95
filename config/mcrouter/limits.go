package mcrouter

import (
	"fmt"
	"strings"
)

// Limits of what the macros of a file may make, so that a few lines can fill neither the memory nor
// the time.
const (
	maxValues    = 1_000_000
	maxCopies    = 2_000_000  // of elements that set, slice, loops and the like copy
	maxCompared  = 20_000_000 // pairs of values
	maxInherited = 500_000    // options of pools
	maxExpanded  = 4_000_000  // of the whole file, each use of a value counted
	maxTextBytes = 64 << 20   // of all texts in which names were replaced, or that were merged
)

// A budget counts what the macros of a file have made, copied and compared.
type budget struct {
	values, copies, compared, textBytes int
}

// count counts values that are made, and reports an error if there are too many.
func (b *budget) count(values int) error {
	if b.values += values; b.values > maxValues {
		return fmt.Errorf("the macros make more than %d values", maxValues)
	}
	return nil
}

// copying counts elements that are about to be copied.
func (b *budget) copying(elements int) error {
	if b.copies += elements; b.copies > maxCopies {
		return fmt.Errorf("the macros copy more than %d elements", maxCopies)
	}
	return nil
}

// comparing counts two values that are about to be compared.
func (b *budget) comparing() error {
	if b.compared++; b.compared > maxCompared {
		return fmt.Errorf("the macros compare more than %d values", maxCompared)
	}
	return nil
}

// write appends to a text that is made, and counts its bytes.
func (b *budget) write(out *strings.Builder, text string) error {
	if b.textBytes += len(text); b.textBytes > maxTextBytes {
		return fmt.Errorf("the macros make more than %d MiB of text", maxTextBytes>>20)
	}
	out.WriteString(text)
	return nil
}

// A shape is the size of a value, each use of another value counted, and how deep it is.
type shape struct{ values, depth int }

// checkShape reports an error if a value of expanded macros is too large or too deep to be walked.
// The budget doesn't limit that: macros make a value once and use it many times, as in
//
//	a: ["x", "x"], b: ["%a%", "%a%"], c: ["%b%", "%b%"] …
//
// where each line doubles what a walk visits.
func checkShape(v any) error {
	switch s := shapeOf(v, 0, map[any]shape{}); {
	case s.values > maxExpanded:
		return fmt.Errorf("the file has more than %d values after macro expansion", maxExpanded)
	case s.depth > maxDepth:
		return fmt.Errorf("the file is nested more than %d deep after macro expansion", maxDepth)
	}
	return nil
}

// shapeOf measures v, a value at that level. before has the shapes of the values that were
// measured, by their identities. Beyond maxDepth levels it stops: checkShape refuses v then.
func shapeOf(v any, level int, before map[any]shape) shape {
	if level > maxDepth {
		return shape{values: 1, depth: maxDepth + 1}
	}
	var elements []any
	var id any
	switch v := v.(type) {
	case []any:
		if len(v) == 0 {
			return shape{values: 1, depth: 1}
		}
		elements = v
		id = struct {
			first *any
			n     int
		}{&v[0], len(v)}
	case *object:
		id = v
		for _, key := range v.keys {
			elements = append(elements, v.values[key])
		}
	default:
		return shape{values: 1}
	}
	if s, found := before[id]; found {
		return s
	}
	s := shape{values: 1}
	for _, element := range elements {
		inner := shapeOf(element, level+1, before)
		s.values = min(s.values+inner.values, maxExpanded+1)
		s.depth = max(s.depth, inner.depth)
	}
	s.depth++
	before[id] = s
	return s
}
