package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"
)

// A printable writer writes control characters as escapes like \u001b. Commands print text from
// elsewhere: names of tables, versions that a server reports, keys, file names. A terminal would
// obey control characters hidden in it, and change its title, its colours or what it pastes. They
// are escaped even if the output isn't a terminal, since a pager may pass it on to one. In JSON,
// the escape means the same character.
//
// It may be written to concurrently.
type printable struct {
	w io.Writer

	mu   sync.Mutex // guards part and out
	part []byte     // the first bytes of a character whose rest isn't written yet
	out  []byte     // reused
}

// Write never writes a part of a character.
func (p *printable) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = p.out[:0]
	rest := text
	if len(p.part) > 0 {
		rest = append(p.part, text...)
		p.part = nil
	}
	for len(rest) > 0 {
		if !utf8.FullRune(rest) {
			p.part = append(p.part, rest...)
			break
		}
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			p.out = fmt.Appendf(p.out, `\u%04x`, rest[0]) // a byte that some terminals take for a control character
		case isControl(r):
			p.out = fmt.Appendf(p.out, `\u%04x`, r)
		default:
			p.out = append(p.out, rest[:size]...)
		}
		rest = rest[size:]
	}
	if _, err := p.w.Write(p.out); err != nil {
		return 0, err
	}
	return len(text), nil
}

// isControl reports whether a terminal acts on r: the control characters of ASCII and Latin-1
// except newline and tab, and those that change the direction of text.
func isControl(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < ' ' || r >= 0x7f && r < 0xa0:
		return true
	}
	return r == 0x200e || r == 0x200f || r == 0x061c || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// data returns the writer for data that must not be altered, such as an export: nothing is escaped,
// unless it goes to a terminal.
func data(w io.Writer) io.Writer {
	if p, ok := w.(*printable); ok && terminal(w) == nil {
		return p.w
	}
	return w
}

// terminal returns the terminal that w writes to, or nil. A progress line writes its own control
// characters to it.
func terminal(w io.Writer) *os.File {
	if p, ok := w.(*printable); ok {
		w = p.w
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}
