package item

import (
	"encoding/base64"
	"slices"
	"strings"

	"holdfast"
)

// fewElements is the size up to which a set is searched linearly rather than indexed.
const fewElements = 16

// sameSet reports whether two sets, which have no duplicates, have the same elements.
func sameSet(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	if slices.Equal(a, b) {
		return true
	}
	if len(a) <= fewElements {
		for _, element := range a {
			if !slices.Contains(b, element) {
				return false
			}
		}
		return true
	}
	has := make(map[string]struct{}, len(b))
	for _, element := range b {
		has[element] = struct{}{}
	}
	for _, element := range a {
		if _, ok := has[element]; !ok {
			return false
		}
	}
	return true
}

// Elements returns the elements of a set in the order in which the service returns them: texts and
// bytes by their bytes, numbers as they were given. The service's documentation promises no order,
// but clients' tests expect the first; dynalite's, which were validated on the service, have
// numbers both rising and falling. The caller must not change them. Sets that were stored before
// they were kept in order are sorted here.
func (v *Value) Elements() []string {
	if v.Type == NS || slices.IsSorted(v.Set) {
		return v.Set
	}
	return slices.Sorted(slices.Values(v.Set))
}

// sortSet puts the elements in the order of Elements.
func (v *Value) sortSet() {
	if v.Type != NS && !slices.IsSorted(v.Set) {
		slices.Sort(v.Set)
	}
}

func hasDuplicates(set []string) bool {
	if len(set) <= fewElements {
		for i := range set {
			if slices.Contains(set[:i], set[i]) {
				return true
			}
		}
		return false
	}
	seen := make(map[string]struct{}, len(set))
	for _, element := range set {
		seen[element] = struct{}{}
	}
	return len(seen) < len(set)
}

// checkSet returns the error of a set that is empty or has duplicates.
func (v Value) checkSet() error {
	if len(v.Set) == 0 {
		switch v.Type {
		case SS:
			return invalid("An string set  may not be empty")
		case NS:
			return invalid("An number set  may not be empty")
		}
		return invalid("Binary sets should not be empty")
	}
	if !hasDuplicates(v.Set) {
		return nil
	}
	switch v.Type {
	case SS:
		return invalid("Input collection [%s] contains duplicates.", strings.Join(v.Set, ", "))
	case NS:
		return holdfast.Errorf(holdfast.Invalid, "Input collection contains duplicates")
	}
	encoded := make([]string, len(v.Set))
	for i, element := range v.Set {
		encoded[i] = base64.StdEncoding.EncodeToString([]byte(element))
	}
	return invalid("Input collection [%s]of type BS contains duplicates.", strings.Join(encoded, ", "))
}
