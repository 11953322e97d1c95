package cache

// This file allocates memory for drafts. It changes what segments.mu guards, and holds no stripe.

// takeChunks allocates the chunks of d in ring r, fills them, and returns the first. It locks
// segments.mu separately for each chunk, since it may have to evict hundreds of segments.
func (e *evictor) takeChunks(d *draft, r uint8) (first uint32, ok bool) {
	first = none
	for range d.chunkCount(e.segmentBytes) {
		e.segments.mu.Lock()
		if !e.makeFree() {
			e.segments.freeChunks(first)
			e.segments.mu.Unlock()
			return none, false
		}
		first = e.segments.takeChunk(r, first)
		e.segments.mu.Unlock()
	}
	e.segments.fill(first, d)
	return first, true
}

// allocate allocates memory for the draft in ring r, and does this store's share of eviction and of
// the index's growth. It needs segments.mu.
func (e *evictor) allocate(r uint8, d *draft) (loc uint64, ok bool) {
	e.pace()
	e.index.grow()
	if e.index.state.spares == 0 && !e.makeFree() || !e.index.reserveSpare() {
		return 0, false
	}
	class := e.segments.classToUse(r, classOf(d.expiry, e.lifetimes.now.Load()))
	loc, ok = e.segments.bump(r, class, d.size)
	if !ok {
		if !e.makeFree() {
			return 0, false
		}
		e.segments.openSegment(r, class)
		loc, ok = e.segments.bump(r, class, d.size)
	}
	if ok {
		e.segments.of(loc).wakeBy(d.expiry)
	}
	return loc, ok
}
