package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// A progressLine is one line on a terminal that shows the progress of a command. It is redrawn
// until clear erases it:
//
//	users  1300 items [========            ]  42 %  3m10s left
//
// It is used by one goroutine at a time. A nil progressLine draws nothing, for output that isn't a
// terminal. Write errors are ignored: the line is only decoration.
type progressLine struct {
	w       io.Writer
	columns func() int // of the terminal, which may be resized
	now     func() time.Time

	began time.Time
	drawn time.Time // the zero time if nothing is on the screen
}

const (
	progressPause  = 100 * time.Millisecond // the minimum between two drawings
	barColumns     = 20
	defaultColumns = 80 // of a terminal whose width is unknown

	// eraseLine moves to the line's beginning and erases it (ECMA-48, CR and EL).
	eraseLine = "\r\x1b[K"
)

// newProgressLine returns nil unless messages go to a terminal.
func newProgressLine(messages io.Writer) *progressLine {
	f := terminal(messages)
	if f == nil {
		return nil
	}
	return &progressLine{w: f, columns: func() int { return columnsOf(f) }, now: time.Now, began: time.Now()}
}

func columnsOf(f *os.File) int {
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns <= 0 {
		return defaultColumns
	}
	return columns
}

// show draws the line, unless it was drawn less than progressPause ago. Done is from 0 to 1, or
// negative if unknown.
func (p *progressLine) show(text string, done float64) {
	if p == nil {
		return
	}
	now := p.now()
	if now.Sub(p.drawn) < progressPause {
		return
	}
	p.drawn = now
	io.WriteString(p.w, eraseLine+p.line(text, done, now.Sub(p.began)))
}

// line returns the text to draw, cut to the terminal's width so that it never wraps. Control
// characters are replaced, as text may come from elsewhere.
func (p *progressLine) line(text string, done float64, elapsed time.Duration) string {
	line := strings.Map(func(r rune) rune {
		if isControl(r) || r == '\n' || r == '\t' || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
	if done >= 0 {
		done = min(done, 1)
		full := int(done * barColumns)
		line += fmt.Sprintf(" [%s%s] %3.0f %%", strings.Repeat("=", full), strings.Repeat(" ", barColumns-full), 100*done)
	}
	if done > 0 {
		left := time.Duration(float64(elapsed) * (1 - done) / done)
		line += fmt.Sprintf("  %v left", left.Round(time.Second))
	}
	runes := []rune(line)
	return string(runes[:min(len(runes), p.columns()-1)])
}

// clear erases the line.
func (p *progressLine) clear() {
	if p == nil || p.drawn.IsZero() {
		return
	}
	p.drawn = time.Time{}
	io.WriteString(p.w, eraseLine)
}
