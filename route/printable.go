package route

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns the text as one line that a terminal shows as it is: characters that would move
// the cursor, change colours or reverse the direction of the text are written as escapes, such as
// \x1b. Names in a configuration, and keys, may contain any bytes.
func Printable(text string) string {
	if strings.IndexFunc(text, unprintable) < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case !unprintable(r):
			b.WriteString(text[i : i+size])
		case r == utf8.RuneError && size == 1, r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += size
	}
	return b.String()
}

// unprintable also holds for U+FFFD, which stands for bytes that are no UTF-8.
func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsGraphic(r) }
