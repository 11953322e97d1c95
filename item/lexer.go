package item

import (
	"strings"
	"unicode/utf8"
)

// A tokenKind is what a token of an expression is. Punctuation of one byte is its own kind.
type tokenKind uint8

// The kinds of tokens that aren't a byte.
const (
	tokenEnd   tokenKind = iota
	tokenName            // an identifier or a keyword
	tokenAlias           // #name
	tokenValue           // :value
	tokenIndex           // digits
	tokenNE              // <>
	tokenLE              // <=
	tokenGE              // >=
	tokenBad             // a character that is in no token
)

// A token lies from start to end in the text of an expression.
type token struct {
	kind       tokenKind
	start, end int
}

// scanToken returns the first token of text at or after place i.
func scanToken(text string, i int) token {
	for i < len(text) && isSpace(text[i]) {
		i++
	}
	if i == len(text) {
		return token{tokenEnd, i, i}
	}
	c := text[i]
	switch {
	case isLetter(c) && c != '_':
		return token{tokenName, i, wordEnd(text, i+1)}
	case isDigit(c):
		end := i + 1
		for end < len(text) && isDigit(text[end]) {
			end++
		}
		return token{tokenIndex, i, end}
	}
	switch c {
	case '#':
		return token{tokenAlias, i, wordEnd(text, i+1)}
	case ':':
		return token{tokenValue, i, wordEnd(text, i+1)}
	case '<', '>':
		return scanOrder(text, i)
	case '(', ')', '[', ']', ',', '.', '=', '+', '-':
		return token{tokenKind(c), i, i + 1}
	}
	_, size := utf8.DecodeRuneInString(text[i:])
	return token{tokenBad, i, i + size}
}

func scanOrder(text string, i int) token {
	switch {
	case strings.HasPrefix(text[i:], "<>"):
		return token{tokenNE, i, i + 2}
	case strings.HasPrefix(text[i:], "<="):
		return token{tokenLE, i, i + 2}
	case strings.HasPrefix(text[i:], ">="):
		return token{tokenGE, i, i + 2}
	}
	return token{tokenKind(text[i]), i, i + 1}
}

// wordEnd returns where the letters, digits and underscores from i on end.
func wordEnd(text string, i int) int {
	for i < len(text) && (isLetter(text[i]) || isDigit(text[i])) {
		i++
	}
	return i
}

func isSpace(c byte) bool  { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }
