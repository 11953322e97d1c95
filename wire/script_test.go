package wire

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A script is one file of testdata: a server's flags, and the cases that share it.
type script struct {
	flags []string
	keep  bool // no flush_all before each case
	cases []scriptCase
}

type scriptCase struct {
	name  string
	when  condition
	steps []step
}

// A step is one line of a case.
type step struct {
	line int
	kind stepKind
	conn int // 1 or 2
	when condition
	text pattern
}

type stepKind string

const (
	send   stepKind = ">"
	expect stepKind = "<"
	closed stepKind = "<eof"
	poll   stepKind = "?"
	while  stepKind = "~"
)

func readScript(path string) (*script, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &script{}
	for i, line := range strings.Split(string(data), "\n") {
		if err := s.add(i+1, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
	}
	return s, nil
}

func (s *script) add(number int, line string) error {
	when, line, err := cutCondition(line)
	if err != nil {
		return err
	}
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case line == "" || word == "#":
		return nil
	case word == "server":
		s.flags = strings.Fields(rest)
		return nil
	case line == "keep":
		s.keep = true
		return nil
	case word == "=":
		s.cases = append(s.cases, scriptCase{name: rest, when: when})
		return nil
	case len(s.cases) == 0:
		return fmt.Errorf("%q before the first case", line)
	}
	st := step{line: number, conn: 1, when: when, kind: stepKind(strings.TrimPrefix(word, "2"))}
	if strings.HasPrefix(word, "2") {
		st.conn = 2
	}
	switch st.kind {
	case send, expect, closed, poll, while:
	default:
		return fmt.Errorf("no such line: %q", line)
	}
	if st.text, err = parsePattern(rest); err != nil {
		return err
	}
	c := &s.cases[len(s.cases)-1]
	c.steps = append(c.steps, st)
	return nil
}

// A condition says for which servers a line holds: name, name<version or name>=version. The zero
// condition is all servers.
type condition struct {
	not     bool
	name    string
	below   version // zero: no limit
	atLeast version
}

func (c condition) holds(p *peer) bool {
	if c.name == "" {
		return true
	}
	is := c.name == p.name && !p.version.less(c.atLeast) && (c.below == version{} || p.version.less(c.below))
	return is != c.not
}

func cutCondition(line string) (condition, string, error) {
	var c condition
	if !strings.HasPrefix(line, "[") {
		return c, line, nil
	}
	text, rest, ok := strings.Cut(line[1:], "] ")
	if !ok {
		return c, line, fmt.Errorf("condition without its end: %q", line)
	}
	text, c.not = strings.CutPrefix(text, "!")
	var err error
	if name, limit, ok := strings.Cut(text, "<"); ok {
		c.name = name
		c.below, err = parseVersion(limit)
	} else if name, limit, ok := strings.Cut(text, ">="); ok {
		c.name = name
		c.atLeast, err = parseVersion(limit)
	} else {
		c.name = text
	}
	if err == nil && c.name != "holdfast" && c.name != "memcached" {
		err = fmt.Errorf("no such server: %q", c.name)
	}
	return c, rest, err
}

// A version is memcached's: 1.6.18.
type version [3]int

func parseVersion(s string) (version, error) {
	var v version
	parts := strings.Split(strings.TrimSpace(s), ".")
	if len(parts) != len(v) {
		return v, fmt.Errorf("not a version: %q", s)
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil {
			return v, fmt.Errorf("not a version: %q", s)
		}
		v[i] = n
	}
	return v, nil
}

func (v version) less(o version) bool {
	for i := range v {
		if v[i] != o[i] {
			return v[i] < o[i]
		}
	}
	return false
}
