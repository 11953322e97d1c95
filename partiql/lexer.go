package partiql

import (
	"strings"
	"unicode/utf8"
)

// A tokenKind is what a token is.
type tokenKind uint8

const (
	end    tokenKind = iota
	word             // an unquoted name, or a word of the language
	name             // a name in double quotes
	text             // a text in single quotes
	number           // without sign
	mark             // a parameter's question mark
	sign             // everything else
)

// A token is a part of a statement.
type token struct {
	kind   tokenKind
	text   string // of a name or a text without its quotes
	upper  string // of a word: in upper case
	line   int    // from 1
	column int    // in characters, from 1
	length int    // in characters
}

// signs are those of more than one byte, which are found before their beginnings.
var signs = [...]string{"<<", ">>", "<>", "<=", ">=", "!=", "||"}

// A lexer cuts a statement in tokens.
type lexer struct {
	rest         string
	line, column int
	tokens       []token
}

// lex returns the tokens of a statement; the last is of kind end.
func lex(statement string) ([]token, error) {
	l := lexer{rest: statement, line: 1, column: 1}
	if !utf8.ValidString(statement) {
		return nil, malformed("")
	}
	for {
		if !l.skip() {
			return nil, malformed("")
		}
		if l.rest == "" {
			l.add(end, "", 0)
			return l.tokens, nil
		}
		if !l.next() {
			return nil, malformed("")
		}
	}
}

// skip skips space and comments. It returns false if a comment has no end.
func (l *lexer) skip() bool {
	for {
		switch {
		case l.rest == "":
			return true
		case strings.HasPrefix(l.rest, "--"):
			n := strings.IndexByte(l.rest, '\n')
			if n < 0 {
				n = len(l.rest)
			}
			l.advance(n)
		case strings.HasPrefix(l.rest, "/*"):
			n := strings.Index(l.rest[2:], "*/")
			if n < 0 {
				return false
			}
			l.advance(n + 4)
		case strings.IndexByte(" \t\r\n\f\v", l.rest[0]) >= 0:
			l.advance(1)
		default:
			return true
		}
	}
}

// next takes one token. It returns false if the text begins with none.
func (l *lexer) next() bool {
	switch b := l.rest[0]; {
	case b == '\'':
		return l.quoted(text)
	case b == '"':
		return l.quoted(name)
	case isLetter(b):
		n := 1
		for n < len(l.rest) && (isLetter(l.rest[n]) || isDigit(l.rest[n])) {
			n++
		}
		l.add(word, l.rest[:n], n)
		return true
	case isDigit(b), b == '.' && len(l.rest) > 1 && isDigit(l.rest[1]) && !l.afterPath():
		n := numberBytes(l.rest)
		l.add(number, l.rest[:n], n)
		return true
	case b == '?':
		l.add(mark, "?", 1)
		return true
	}
	for _, s := range signs {
		if strings.HasPrefix(l.rest, s) {
			l.add(sign, s, len(s))
			return true
		}
	}
	if strings.IndexByte("()[]{}<>=+-*/%,.:;", l.rest[0]) < 0 {
		return false
	}
	l.add(sign, l.rest[:1], 1)
	return true
}

// afterPath reports whether a dot would continue a path, so that it doesn't begin a number.
func (l *lexer) afterPath() bool {
	if len(l.tokens) == 0 {
		return false
	}
	last := &l.tokens[len(l.tokens)-1]
	return last.kind == name || last.kind == word && !reserved[last.upper] || last.kind == sign && last.text == "]"
}

// quoted takes a text or a name, in which a quote is doubled. It returns false if it has no end.
func (l *lexer) quoted(kind tokenKind) bool {
	quote := l.rest[0]
	for n := 1; n < len(l.rest); n++ {
		if l.rest[n] != quote {
			continue
		}
		if n+1 < len(l.rest) && l.rest[n+1] == quote {
			n++
			continue
		}
		once := string(quote)
		l.add(kind, strings.ReplaceAll(l.rest[1:n], once+once, once), n+1)
		return true
	}
	return false
}

// add appends a token of the next n bytes, and goes behind it.
func (l *lexer) add(kind tokenKind, s string, n int) {
	t := token{kind: kind, text: s, line: l.line, column: l.column, length: utf8.RuneCountInString(l.rest[:n])}
	if kind == word {
		t.upper = strings.ToUpper(s)
	}
	l.tokens = append(l.tokens, t)
	l.advance(n)
}

func (l *lexer) advance(n int) {
	passed := l.rest[:n]
	l.rest = l.rest[n:]
	if lines := strings.Count(passed, "\n"); lines > 0 {
		l.line += lines
		l.column = 1
		passed = passed[strings.LastIndexByte(passed, '\n')+1:]
	}
	l.column += utf8.RuneCountInString(passed)
}

// numberBytes is how long the number at the start of s is: digits, a fraction, an exponent if it
// has digits.
func numberBytes(s string) int {
	n := digits(s)
	if n < len(s) && s[n] == '.' {
		n += 1 + digits(s[n+1:])
	}
	if n < len(s) && (s[n] == 'e' || s[n] == 'E') {
		from := n + 1
		if from < len(s) && (s[from] == '+' || s[from] == '-') {
			from++
		}
		if exponent := digits(s[from:]); exponent > 0 {
			n = from + exponent
		}
	}
	return n
}

func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func isLetter(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || b == '_' || b == '$'
}
