package wire

import (
	"bytes"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// A pattern is the text that a line sends or expects: bytes, with numbers that are known only at
// run time.
type pattern []piece

// A piece is literal bytes, or a hole that bytes must fill.
type piece struct {
	literal []byte
	hole    string // the text in braces; empty for a literal
}

// vars are the named numbers of a case.
type vars map[string]string

func parsePattern(s string) (pattern, error) {
	var p pattern
	var lit []byte
	for s != "" {
		switch s[0] {
		case '\\':
			b, n, err := unescape(s)
			if err != nil {
				return nil, err
			}
			lit = append(lit, b)
			s = s[n:]
		case '{':
			end := closing(s)
			if end < 0 {
				return nil, fmt.Errorf("brace without its end: %q", s)
			}
			hole := s[1:end]
			s = s[end+1:]
			if rep, ok, err := repeated(hole); err != nil {
				return nil, err
			} else if ok {
				lit = append(lit, rep...)
				continue
			}
			p = append(p, piece{literal: lit}, piece{hole: hole})
			lit = nil
		default:
			lit = append(lit, s[0])
			s = s[1:]
		}
	}
	return append(p, piece{literal: lit}), nil
}

// closing is the index of the brace that closes the one at the beginning of s; a repeated text may
// contain others.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch {
		case s[i] == '{' && (i == 0 || s[i-1] != '\\'):
			depth++
		case s[i] == '}':
			depth--
		}
		if depth == 0 {
			return i
		}
	}
	return -1
}

// unescape returns the byte of the escape at the beginning of s, and the escape's length.
func unescape(s string) (b byte, n int, err error) {
	if len(s) < 2 {
		return 0, 0, fmt.Errorf("backslash at the end")
	}
	switch s[1] {
	case 'r':
		return '\r', 2, nil
	case 'n':
		return '\n', 2, nil
	case 't':
		return '\t', 2, nil
	case '0':
		return 0, 2, nil
	case '\\', '{':
		return s[1], 2, nil
	case 'x':
		if len(s) >= 4 {
			v, err := strconv.ParseUint(s[2:4], 16, 8)
			return byte(v), 4, err
		}
	}
	return 0, 0, fmt.Errorf("no such escape: %q", s[:2])
}

// repeated reads 'text'*n.
func repeated(hole string) ([]byte, bool, error) {
	if !strings.HasPrefix(hole, "'") {
		return nil, false, nil
	}
	i := strings.LastIndex(hole, "'*")
	if i < 1 {
		return nil, false, fmt.Errorf("not 'text'*n: {%s}", hole)
	}
	n, err := strconv.Atoi(hole[i+2:])
	if err != nil {
		return nil, false, fmt.Errorf("not 'text'*n: {%s}", hole)
	}
	text, err := parsePattern(hole[1:i])
	if err != nil || len(text) != 1 {
		return nil, false, fmt.Errorf("not 'text'*n: {%s}", hole)
	}
	return bytes.Repeat(text[0].literal, n), true, nil
}

// bytes returns the bytes to send.
func (p pattern) bytes(v vars) ([]byte, error) {
	var out []byte
	for _, part := range p {
		out = append(out, part.literal...)
		if part.hole == "" {
			continue
		}
		s, ok := known(part.hole, v)
		if !ok {
			return nil, fmt.Errorf("nothing is known as {%s}", part.hole)
		}
		out = append(out, s...)
	}
	return out, nil
}

// known is the text of a hole that is known without an answer.
func known(hole string, v vars) (string, bool) {
	if after, ok := strings.CutPrefix(hole, "unix"); ok {
		seconds, err := strconv.Atoi(strings.TrimPrefix(after, "+"))
		return strconv.FormatInt(time.Now().Unix()+int64(seconds), 10), err == nil
	}
	s, ok := v[hole]
	return s, ok
}

type matched int

const (
	differs matched = iota
	needsMore
	matches
)

// match compares the beginning of got with the pattern, and returns how much of got matched. The
// named numbers are put into v if all of the pattern matches.
func (p pattern) match(got []byte, v vars) (int, matched) {
	at := 0
	found := vars{}
	for _, part := range p {
		if part.hole == "" {
			n := min(len(part.literal), len(got)-at)
			if !bytes.Equal(part.literal[:n], got[at:at+n]) {
				return 0, differs
			}
			if n < len(part.literal) {
				return 0, needsMore
			}
			at += n
			continue
		}
		n := span(part.hole, got[at:])
		if at+n == len(got) {
			return 0, needsMore
		}
		if !fits(part.hole, string(got[at:at+n]), v, found) {
			return 0, differs
		}
		at += n
	}
	for name, s := range found {
		v[name] = s
	}
	return at, matches
}

// span is how many bytes of got belong to the hole: digits, or for {~} all up to the end of the
// line.
func span(hole string, got []byte) int {
	n := bytes.IndexFunc(got, func(r rune) bool {
		if hole == "~" {
			return r == '\r'
		}
		return r < '0' || r > '9'
	})
	if n < 0 {
		return len(got)
	}
	return n
}

// fits reports whether text may stand in the hole, and notes it in found if the hole names it.
func fits(hole, text string, v, found vars) bool {
	if hole == "~" {
		return true
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return false
	}
	if low, high, ok := strings.Cut(hole, ".."); ok {
		return n.Cmp(number(low)) >= 0 && n.Cmp(number(high)) <= 0
	}
	switch hole[0] {
	case '#':
		return true
	case '!':
		return text != v[hole[1:]]
	case '>':
		return n.Cmp(number(v[hole[1:]])) > 0
	}
	if want, ok := known(hole, v); ok {
		return text == want
	}
	found[hole] = text
	return true
}

func number(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return big.NewInt(-1)
	}
	return n
}
