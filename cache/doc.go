// Package cache keeps items in a fixed amount of memory and answers memcached requests for them.
//
// The memory is one mapping, cut in segments, and holds everything: items, index, ghosts. It has
// offsets and no pointers, so the garbage collector never sees an item, and a mapped file makes a
// restart warm.
//
//   - arena.go: the mapping and its header. segment.go: the table of segments, their rings.
//   - item.go: an item's bytes. index.go: from a key's hash to an item. large.go: values over
//     half a segment.
//   - evict.go: S3-FIFO (Yang et al., SOSP'23) on two rings of segments, small and main, and
//     ghosts (ghost.go); simulator_test.go has it without segments. expire.go: TTL classes.
//   - serve.go: a batch's way through the store. read.go, write.go, meta.go: the operations.
//
// The one concurrency rule: a slot of the index changes only under its stripe's lock, and a
// present slot means valid bytes. A store writes the bytes first and publishes the slot under the
// lock; the evictor unlinks each item of its victim under the same lock, then frees the segment.
// So a reader that holds the lock reads valid bytes, and nothing else is needed.
//
// Locks, in the order in which they are taken: lane.mu, segments.mu, a stripe. Every exported method
// may be called concurrently, but for Close, which comes last.
//
// Errors: Open says what is wrong with the options or the file. A request's error is its answer,
// in memcached's words.
package cache
