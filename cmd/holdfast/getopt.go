package main

import (
	"fmt"
	"strings"
)

// memcached's command line is parsed as getopt_long(3) does, which no flag library of Go does
// exactly: -m64, -m 64, -vvv, -Mvl a,b, --memory-limit=64, --memory-limit 64, --mem 64 if no other
// option begins so, options after other arguments, and -- to end the options.

// argument is whether an option has an argument.
type argument uint8

const (
	none     argument = iota
	required          // the rest of the word, or the next word; after --name also =
	optional          // only after --name=
)

// An option is one row of the table that both the parser and the help are driven by.
type option struct {
	short byte   // 0 without a short form
	long  string // "" without a long form
	arg   argument
	value string // the argument's name in the help
	help  string // one or more lines; "" hides the option from the help
	set   func(f *cacheFlags, value string) error
}

// getopt parses args into f and returns the arguments that are not options.
func getopt(program string, options []option, args []string, f *cacheFlags) (rest []string, err error) {
	p := &getoptParser{program: program, options: options, args: args, flags: f}
	for len(p.args) > 0 {
		word := p.args[0]
		p.args = p.args[1:]
		switch {
		case word == "--":
			return append(rest, p.args...), nil
		case strings.HasPrefix(word, "--"):
			err = p.long(word[2:])
		case strings.HasPrefix(word, "-") && word != "-":
			err = p.cluster(word[1:])
		default:
			rest = append(rest, word)
		}
		if err != nil {
			return nil, err
		}
	}
	return rest, nil
}

type getoptParser struct {
	program string
	options []option
	args    []string // not yet parsed
	flags   *cacheFlags
}

// cluster parses a word of short options, the last of which may have an argument.
func (p *getoptParser) cluster(letters string) error {
	for i := 0; i < len(letters); i++ {
		o := p.find(letters[i])
		if o == nil {
			return p.refuse("invalid option -- '%c'", letters[i])
		}
		if o.arg != required {
			if err := o.set(p.flags, ""); err != nil {
				return err
			}
			continue
		}
		value := letters[i+1:]
		if value == "" && !p.next(&value) {
			return p.refuse("option requires an argument -- '%c'", letters[i])
		}
		return o.set(p.flags, trim(value))
	}
	return nil
}

func (p *getoptParser) long(word string) error {
	name, value, given := strings.Cut(word, "=")
	o, err := p.named(name)
	switch {
	case err != nil:
		return err
	case given && o.arg == none:
		return p.refuse("option '--%s' doesn't allow an argument", o.long)
	case !given && o.arg == required && !p.next(&value):
		return p.refuse("option '--%s' requires an argument", o.long)
	}
	return o.set(p.flags, trim(value))
}

// named finds a long option by its name or by a prefix that no other option shares.
func (p *getoptParser) named(name string) (*option, error) {
	var found []*option
	for i := range p.options {
		o := &p.options[i]
		if o.long == name && name != "" {
			return o, nil
		}
		if o.long != "" && strings.HasPrefix(o.long, name) {
			found = append(found, o)
		}
	}
	switch len(found) {
	case 0:
		return nil, p.refuse("unrecognized option '--%s'", name)
	case 1:
		return found[0], nil
	}
	var names strings.Builder
	for _, o := range found {
		fmt.Fprintf(&names, " '--%s'", o.long)
	}
	return nil, p.refuse("option '--%s' is ambiguous; possibilities:%s", name, names.String())
}

func (p *getoptParser) find(letter byte) *option {
	for i := range p.options {
		if p.options[i].short == letter && letter != 0 {
			return &p.options[i]
		}
	}
	return nil
}

// next takes the next word as an argument, even if it looks like an option.
func (p *getoptParser) next(value *string) bool {
	if len(p.args) == 0 {
		return false
	}
	*value, p.args = p.args[0], p.args[1:]
	return true
}

func (p *getoptParser) refuse(format string, args ...any) error {
	return fail(exitFailure, "%s: %s\nIllegal argument \"?\"", p.program, fmt.Sprintf(format, args...))
}

// trim drops the spaces before an argument, as memcached does.
func trim(value string) string { return strings.TrimLeft(value, " \t\n\v\f\r") }
