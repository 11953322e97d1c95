package route

import (
	"fmt"
	"strings"
)

// A Fault is one setting and what is wrong with it.
type Fault struct {
	Path string // such as pools[1] "sessions".members; "" for the whole
	Text string
}

func (f Fault) String() string {
	if f.Path == "" {
		return f.Text
	}
	return f.Path + ": " + f.Text
}

// Faults are all that is wrong with options or a file, in their order. None is nil.
type Faults []Fault

// Error gives the faults, one a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// Add adds a fault.
func (f *Faults) Add(path, format string, args ...any) {
	*f = append(*f, Fault{path, fmt.Sprintf(format, args...)})
}

// Within adds a fault unless lo ≤ n ≤ hi.
func (f *Faults) Within(path string, n, lo, hi int64) {
	if n < lo || n > hi {
		f.Add(path, "%d is not in [%d, %d]", n, lo, hi)
	}
}
