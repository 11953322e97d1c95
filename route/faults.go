package route

import (
	"fmt"
	"strings"
)

// A Fault is one setting and what is wrong with it.
type Fault struct {
	Path string // such as pools[1] "sessions".members; "" for the options as a whole
	Text string
}

func (f Fault) String() string {
	if f.Path == "" {
		return f.Text
	}
	return f.Path + ": " + f.Text
}

// Faults are all that is wrong with options, in their order. None is nil.
type Faults []Fault

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
func (f *Faults) within(path string, n, lo, hi int) {
	if n < lo || n > hi {
		f.add(path, "%d is not in [%d, %d]", n, lo, hi)
	}
}
