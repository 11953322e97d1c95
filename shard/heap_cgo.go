//go:build cgo

package shard

// offHeap reports whether Pebble takes the memory of blocks and memtables from C.
const offHeap = true
