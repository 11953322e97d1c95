package main

import "fmt"

// Exit codes: 1, and those of sysexits.h that memcached uses.
const (
	exitFailure = 1
	exitUsage   = 64 // EX_USAGE
	exitNoUser  = 67 // EX_NOUSER
	exitOS      = 71 // EX_OSERR
)

// An exitError ends the program with a code. Its text, unless empty, goes to standard error as it
// is.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

func fail(code int, format string, args ...any) error {
	return &exitError{code, fmt.Sprintf(format, args...)}
}
