package main

import "fmt"

// Exit codes: 1 for failures, and the codes of sysexits.h that memcached uses.
const (
	exitFailure = 1
	exitUsage   = 64 // EX_USAGE
	exitNoUser  = 67 // EX_NOUSER
	exitOS      = 71 // EX_OSERR
)

// An exitError ends the program with an exit code. Its text is printed to standard error unchanged,
// unless it is empty.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

func fail(code int, format string, args ...any) error {
	return &exitError{code, fmt.Sprintf(format, args...)}
}
