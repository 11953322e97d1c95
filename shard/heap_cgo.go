//go:build cgo

package shard

// offHeap says whether Pebble takes the memory of blocks and memtables from C.
const offHeap = true
