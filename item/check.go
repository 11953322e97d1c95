package item

import "holdfast"

// The limits of items. See
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html.
const (
	MaxItemBytes  = 400 << 10 // as Item.Size counts
	maxHashBytes  = 2048      // of a partition key
	maxRangeBytes = 1024      // of a sort key
	maxDepth      = 32        // levels of a value: 1, and one more for each list or map around it
	maxNameBytes  = 65535     // of an attribute's name, or of a map's key
)

// CheckName returns the error of an empty or too long name of an attribute, or key of a map.
func CheckName(name string) error {
	switch {
	case name == "":
		return refused(emptyName)
	case len(name) > maxNameBytes:
		return refused("1 validation error detected: Attribute name is too large, must be less than %d bytes", maxNameBytes+1)
	}
	return nil
}

const emptyName = "Empty attribute name"

// Check returns the error of a value that DynamoDB refuses: a set that is empty or has duplicates,
// nesting beyond maxDepth, or a map's key that CheckName refuses. It assumes that numbers are
// canonical.
func (v Value) Check() error { return v.check(maxDepth) }

// Check returns the error of the first name or value that CheckName or Value.Check refuses.
func (it Item) Check() error { return it.check(maxDepth) }

func (v *Value) check(levels int) error {
	if levels == 0 {
		return holdfast.Errorf(holdfast.Invalid, "Nesting Levels have exceeded supported limits: "+
			"Attributes in the item have nested levels beyond supported limit")
	}
	switch v.Type {
	case SS, NS, BS:
		return v.checkSet()
	case L:
		for i := range v.List {
			if err := v.List[i].check(levels - 1); err != nil {
				return err
			}
		}
	case M:
		return v.Map.check(levels - 1)
	}
	return nil
}

func (it Item) check(levels int) error {
	for i := range it {
		if err := CheckName(it[i].Name); err != nil {
			return err
		}
		if err := it[i].Value.check(levels); err != nil {
			return err
		}
	}
	return nil
}

// invalid returns the error with which DynamoDB refuses most values.
func invalid(format string, args ...any) error {
	return holdfast.Errorf(holdfast.Invalid, "One or more parameter values were invalid: "+format, args...)
}
