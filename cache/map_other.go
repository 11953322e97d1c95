//go:build unix && !linux

package cache

// adviseHuge has no meaning here.
func adviseHuge([]byte) {}
