package config

import (
	"fmt"
	"strings"
)

// Faults are all that is wrong with a file, in its order.
type Faults []Fault

// A Fault is one setting and what is wrong with it.
type Fault struct {
	Path string // such as cache.ttl[1] "sessions:"; "" for the file as a whole
	Text string
}

func (f Fault) String() string {
	if f.Path == "" {
		return f.Text
	}
	return f.Path + ": " + f.Text
}

// Error gives the faults, one a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

func (f *Faults) add(path, format string, args ...any) {
	*f = append(*f, Fault{path, fmt.Sprintf(format, args...)})
}

// within adds a fault unless lo ≤ n ≤ hi.
func (f *Faults) within(path string, n, lo, hi int64) {
	if n < lo || n > hi {
		f.add(path, "%d is not in [%d, %d]", n, lo, hi)
	}
}
