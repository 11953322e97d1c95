package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// testProgress returns a line that is drawn into the buffer, and what moves its clock.
func testProgress(columns int) (p *progressLine, out *bytes.Buffer, pass func(time.Duration)) {
	now := time.Unix(1_000_000, 0)
	out = &bytes.Buffer{}
	p = &progressLine{w: out, columns: func() int { return columns }, now: func() time.Time { return now }, began: now}
	return p, out, func(d time.Duration) { now = now.Add(d) }
}

func TestProgressLine(t *testing.T) {
	p, out, pass := testProgress(80)
	var want strings.Builder
	for _, step := range []struct {
		pass time.Duration
		text string
		done float64
		want string // nothing is drawn if it is ""
	}{
		{0, "users  0 items", 0, "users  0 items [                    ]   0 %"},
		{progressPause - 1, "users  1 items", 0.1, ""},
		{1, "users  2 items", 0.25, "users  2 items [=====               ]  25 %  0s left"},
		{10 * time.Second, "users  3 items", 0.5, "users  3 items [==========          ]  50 %  10s left"},
		{time.Second, "users  4 items", 1.5, "users  4 items [====================] 100 %  0s left"},
		{time.Second, "users  5 items", -1, "users  5 items"},
		{time.Second, "a\x1b[31mb\nc\u202e\xff", -1, "a?[31mb?c??"},
	} {
		pass(step.pass)
		p.show(step.text, step.done)
		if step.want != "" {
			want.WriteString(eraseLine + step.want)
		}
	}
	p.clear()
	p.clear()
	want.WriteString(eraseLine)
	if out.String() != want.String() {
		t.Errorf("got  %q\nwant %q", out.String(), want.String())
	}
}

// TestProgressLineNeverWraps cuts the line on narrow terminals, between characters.
func TestProgressLineNeverWraps(t *testing.T) {
	for columns := 1; columns < 60; columns++ {
		p, out, _ := testProgress(columns)
		p.show("größe  12 items", 0.5)
		line := strings.TrimPrefix(out.String(), eraseLine)
		if n := utf8.RuneCountInString(line); n >= columns || !utf8.ValidString(line) {
			t.Errorf("%d columns: got %q of %d", columns, line, n)
		}
	}
}

// TestProgressLineThatNobodySees draws nothing into what is no terminal, nor after nothing was
// shown.
func TestProgressLineThatNobodySees(t *testing.T) {
	p := newProgressLine(&bytes.Buffer{})
	p.show("text", 0.5)
	p.clear()
	if p != nil {
		t.Errorf("got %+v; want none without a terminal", p)
	}
	shown, out, _ := testProgress(80)
	shown.clear()
	if out.Len() > 0 {
		t.Errorf("got %q; want nothing to clear", out)
	}
}
