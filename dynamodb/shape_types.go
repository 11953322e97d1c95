package dynamodb

import (
	"strconv"
	"strings"
)

// DynamoDB's parser reads each value into a Java class that it knows beforehand, and its faults are
// those of these classes. They depend on whether a value is a member of a structure, or an element
// of a list or map.
const (
	faultStructure = "Start of structure or map found where not expected"
	faultField     = "Unexpected field type"
	faultElement   = "Unexpected value type in payload"
	faultCast      = "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class " +
		"java.lang.Class " +
		"(sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of " +
		"loader 'bootstrap')"
)

// checkTypes returns an error for the first value in n, in the order of the request, that has a
// wrong type. element is whether n is an element of a list or map. null is valid for every type.
func checkTypes(n node, s *shape, element bool) error {
	k := n.kind()
	if k == null || k == absent {
		return nil
	}
	switch s.form {
	case formValue:
		return checkValueTypes(n, element)
	case formStructure:
		return checkStructureTypes(n, s, element)
	case formList, formMap:
		return checkElementTypes(n, s, element)
	}
	return checkScalarType(n, s.form)
}

func checkStructureTypes(n node, s *shape, element bool) error {
	if n.kind() != object {
		return structureFault(n, s.class, element)
	}
	var err error
	n.each(func(name string, v node) bool {
		for i := range s.members {
			if s.members[i].name == name {
				err = checkTypes(v, s.members[i].shape, false)
				break
			}
		}
		return err == nil
	})
	return err
}

func structureFault(n node, class string, element bool) error {
	switch {
	case n.kind() == array:
		return serialization("Unrecognized collection type class " + modelPrefix + class)
	case element:
		return serialization(faultElement)
	}
	return serialization(faultField)
}

func checkElementTypes(n node, s *shape, element bool) error {
	want := array
	if s.form == formMap {
		want = object
	}
	if n.kind() != want {
		return collectionFault(n, s, element)
	}
	var err error
	n.each(func(_ string, v node) bool {
		err = checkTypes(v, s.element, true)
		return err == nil
	})
	return err
}

func collectionFault(n node, s *shape, element bool) error {
	switch k := n.kind(); {
	case k == object:
		return serialization(faultStructure)
	case k == array:
		return serialization("Unrecognized collection type java.util.Map<java.lang.String, " + s.class + ">")
	case element:
		return serialization(faultCast)
	}
	return serialization(faultField)
}

func checkScalarType(n node, f form) error {
	k := n.kind()
	switch f {
	case formString:
		if k == text {
			return nil
		}
	case formBoolean:
		if k == boolean {
			return nil
		}
		if k == text {
			if _, ok := truthOf(n.text()); !ok {
				return serialization("Unexpected token received from parser")
			}
			return nil
		}
	case formBlob:
		return checkBlob(n)
	default:
		if k == number {
			return nil
		}
	}
	return scalarFault(n, [...]string{
		formBoolean:   "Boolean",
		formInteger:   "Integer",
		formLong:      "Long",
		formTimestamp: "Date",
		formString:    "String",
	}[f])
}

// scalarFault returns the error for a value that can't be converted to a Java class.
func scalarFault(n node, class string) error {
	var token string
	switch n.kind() {
	case array:
		return serialization("Unrecognized collection type class java.lang." + class)
	case object:
		return serialization(faultStructure)
	case text:
		token = "STRING_VALUE"
	case boolean:
		token = "FALSE_VALUE"
		if n.bool() {
			token = "TRUE_VALUE"
		}
	default:
		token = "NUMBER_VALUE"
		if strings.ContainsAny(n.text(), ".eE") {
			token = "DECIMAL_VALUE"
		}
	}
	return serialization(token + " cannot be converted to " + class)
}

func checkBlob(n node) error {
	switch n.kind() {
	case text:
	case array:
		return serialization("Unrecognized collection type class java.nio.ByteBuffer")
	case object:
		return serialization(faultStructure)
	default:
		return serialization("only base-64-encoded strings are convertible to bytes")
	}
	s := n.text()
	if len(s)%4 != 0 {
		return &wireError{status: 400, typ: coralService + "SerializationException", upper: true,
			message: "Base64 encoded length is expected a multiple of 4 bytes but found: " + strconv.Itoa(len(s))}
	}
	if !isBase64(s) {
		return serialization("Invalid last non-pad Base64 character dectected")
	}
	return nil
}

// isBase64 reports whether a text, whose length is a multiple of 4, is the canonical base64 of some
// bytes.
func isBase64(s string) bool {
	body := strings.TrimSuffix(strings.TrimSuffix(s, "="), "=")
	pad := len(s) - len(body)
	for i := 0; i < len(body); i++ {
		if base64Digit(body[i]) < 0 {
			return false
		}
	}
	if pad == 0 {
		return true
	}
	// the unused bits of the last digit must be 0
	unused := 1<<(2*pad) - 1
	return base64Digit(body[len(body)-1])&unused == 0
}

// base64Digit returns a digit's value, or −1.
func base64Digit(b byte) int {
	switch {
	case 'A' <= b && b <= 'Z':
		return int(b - 'A')
	case 'a' <= b && b <= 'z':
		return int(b-'a') + 26
	case '0' <= b && b <= '9':
		return int(b-'0') + 52
	case b == '+':
		return 62
	case b == '/':
		return 63
	}
	return -1
}

// checkValueTypes is checkTypes for an AttributeValue, which is by far the most frequent structure,
// and recursive.
func checkValueTypes(n node, element bool) error {
	if n.kind() != object {
		return structureFault(n, "AttributeValue", element)
	}
	var err error
	n.each(func(name string, v node) bool {
		if v.kind() != null {
			err = checkValueMember(name, v)
		}
		return err == nil
	})
	return err
}

func checkValueMember(name string, v node) error {
	switch name {
	case "S", "N":
		return checkScalarType(v, formString)
	case "B":
		return checkBlob(v)
	case "BOOL", "NULL":
		return checkScalarType(v, formBoolean)
	case "SS", "NS":
		return checkElementTypes(v, shapeStrings, false)
	case "BS":
		return checkElementTypes(v, shapeBlobs, false)
	case "L":
		return checkElementTypes(v, shapeValues, false)
	case "M":
		return checkElementTypes(v, shapeAttributes, false)
	}
	return nil
}
