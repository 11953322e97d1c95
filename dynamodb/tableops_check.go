package dynamodb

import (
	"strings"
	"unicode"

	"holdfast/item"
)

// definedOnce refuses AttributeDefinitions that define an attribute twice, even with the same type.
func definedOnce(attributes []item.KeyAttr) error {
	defined := make(map[string]bool, len(attributes))
	for _, a := range attributes {
		if defined[a.Name] {
			return refuse("Duplicate attribute name in AttributeDefinitions: %s", a.Name)
		}
		defined[a.Name] = true
	}
	return nil
}

// reservedTags is the prefix that keys of users' tags must not have.
const reservedTags = "aws:"

// checkTag refuses a tag with characters in its key or value that DynamoDB doesn't accept.
func checkTag(key, value string) error {
	for _, part := range [...]struct{ what, text string }{{"key", key}, {"value", value}} {
		if strings.IndexFunc(part.text, untaggable) >= 0 {
			return refuse("The tag %s contains characters that are not allowed: %s. Allowed are letters, numbers, "+
				"white space, and + - = . _ : / @", part.what, part.text)
		}
	}
	if strings.HasPrefix(strings.ToLower(key), reservedTags) {
		return refuse("Tag keys starting with %s are reserved for system use: %s", reservedTags, key)
	}
	return nil
}

// untaggable reports whether a character isn't allowed in a tag. See
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Tagging.html.
func untaggable(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsSpace(r) && !strings.ContainsRune("+-=._:/@", r)
}
