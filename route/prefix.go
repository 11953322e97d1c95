package route

import (
	"bytes"
	"strings"
)

// UnknownCluster is where a key goes whose /region/cluster/ has no route.
type UnknownCluster string

// The places.
const (
	UnknownRefused    UnknownCluster = "refuse"   // nowhere: it is answered with an error; the default
	UnknownToFallback UnknownCluster = "fallback" // to /region/fallback/, or if there is none, nowhere
	UnknownToDefault  UnknownCluster = "default"  // to /region/fallback/, or if there is none, to Route
)

// CutCluster cuts "/region/cluster/" off key.
func CutCluster(key []byte) (region, name string, rest []byte, ok bool) {
	parts := bytes.SplitN(key, []byte{'/'}, 4)
	if len(parts) < 4 || len(parts[0]) > 0 || len(parts[1]) == 0 || len(parts[2]) == 0 {
		return "", "", nil, false
	}
	return string(parts[1]), string(parts[2]), parts[3], true
}

// ParseCluster returns the parts of a prefix "/region/cluster/", which may have no "*".
func ParseCluster(prefix string) (region, name string, ok bool) {
	region, name, rest, ok := CutCluster([]byte(prefix))
	return region, name, ok && len(rest) == 0 && !strings.Contains(prefix, "*")
}

// isCluster reports whether text is /region/cluster/, neither of which is empty or has a "*".
func isCluster(text string) bool {
	parts := strings.Split(text, "/")
	return len(parts) == 4 && parts[0] == "" && parts[1] != "" && parts[2] != "" && parts[3] == "" &&
		!strings.ContainsAny(text, "* ")
}
