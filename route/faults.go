package route

import (
	"fmt"
	"strings"
)

// A Fault is a setting, and what is wrong with it.
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

// Faults are all faults of options or of a file, in their order; nil if there are none.
type Faults []Fault

// Error returns the faults, one per line.
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
