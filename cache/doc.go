// Package cache keeps items in a fixed amount of memory and answers memcached requests for them.
//
// The memory is one mapping, divided into segments, and holds everything: items, index, ghosts. It
// contains offsets and no pointers, so the garbage collector never looks at an item, and a mapped
// file keeps the items over a restart.
//
// Each part of the state belongs to one type, and only that type's methods change it:
//
//   - arena (arena.go, file.go): the mapping, its header and its file.
//   - segments (segment.go, large.go): the table of segments, the rings, the free list, and values
//     over half a segment.
//   - index (index.go, prefetch.go): from a key's hash to an item, whose bytes item.go describes.
//   - evictor (evict.go, allocate.go): S3-FIFO (Yang et al., SOSP'23) on two rings of segments,
//     small and main, with ghosts (ghost.go); simulator_test.go has it without segments.
//   - lifetimes (expire.go): the clock, TTLs and flushes.
//   - lane (lane.go, serve.go, read.go, write.go, meta.go): serves the requests of one event loop.
//     A mutation (plan.go) computes the result of a change; an encoder (answer.go, binary.go)
//     appends items to answers.
//   - Store (store.go, stats.go, dump.go): opens, joins, closes and reports on all of these.
//
// The concurrency rule: a slot of the index changes only under its stripe's lock, and a slot that
// is set refers to valid bytes. A store first writes the bytes and then publishes the slot under
// the lock; the evictor unlinks each item of its victim under the same lock, and then frees the
// segment. So a reader that holds the lock reads valid bytes, and needs no other lock.
//
// Locks, in the order in which they are taken: lane.mu, segments.mu, a stripe. Every exported
// method may be called concurrently, except Close, which must be the last call.
//
// Open returns errors about the options and the file. The error of a request is in its answer, in
// memcached's words.
package cache
