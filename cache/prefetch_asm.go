//go:build amd64 || arm64

package cache

import "unsafe"

// prefetchLine prefetches the cache line at p, and does not wait. Any address is allowed.
//
//go:noescape
func prefetchLine(p unsafe.Pointer)

// prefetchLines prefetches three lines from p on: an item of up to about 150 bytes.
//
//go:noescape
func prefetchLines(p unsafe.Pointer)
