package ring

// Next appends to dst the first n distinct members in order of preference for the key, or all if
// there are fewer: the owner, the member that owns the key if the owner is excluded, and so on.
// Requests fail over in this order. Next costs n lookups, each without the members before.
//
// After the owner, rendezvous has the next best score and ketama the next point. The other
// placements define no order: there each key orders the remaining members by rendezvous over their
// indexes, so that they share a member's keys by weight.
func (r *Ring) Next(dst []int, key []byte, n int) []int {
	var buf [maxHashedBytes]byte
	hashed := r.part.salted(buf[:0], r.part.of(key))
	var few [16]uint64
	taken := few[:]
	if r.members > 64*len(few) {
		taken = make([]uint64, (r.members+63)/64)
	}
	for range min(n, r.members) {
		i := r.first(hashed, func(i int) bool { return taken[i/64]>>(i%64)&1 == 0 })
		taken[i/64] |= 1 << (i % 64)
		dst = append(dst, i)
	}
	return dst
}

// OwnerAmong returns the member that owns the key among those that are up, or -1 if none is. The
// keys of members that are up don't move, except with modulo and libmemcached_modulo: there most
// keys move, since twemproxy rebuilds the slots.
//
// With equal weights and fewer than 25 members, ketama's result equals twemproxy's with
// auto_eject_hosts. Otherwise twemproxy changes the remaining members' numbers of points, which
// moves a few of their keys, too; here they stay.
func (r *Ring) OwnerAmong(key []byte, up func(int) bool) int {
	var buf [maxHashedBytes]byte
	hashed := r.part.salted(buf[:0], r.part.of(key))
	if r.kind == byModulo || r.kind == byLibmemcachedModulo {
		return r.slots.among(r.sum.of(hashed), up)
	}
	return r.first(hashed, up)
}

// first returns the first member in order of preference that is ok, or -1.
func (r *Ring) first(hashed []byte, ok func(int) bool) int {
	switch r.kind {
	case byScore, byPlainScore:
		return r.scores.best(rendezvousKey(hashed), ok)
	case byRandom:
		return r.any(ok)
	case byPoint, byLibmemcachedPoint:
		if i := r.points.next(uint32(r.sum.of(hashed)), ok); i >= 0 {
			return i
		}
		// A member of a very small weight has no point.
	default:
		if i := r.owner(hashed); ok(i) {
			return i
		}
	}
	return r.rest.best(rendezvousKey(hashed), ok)
}

// any returns a random member of those that are ok, or -1.
func (r *Ring) any(ok func(int) bool) int {
	member, seen := -1, uint64(0)
	for i := range r.members {
		if !ok(i) {
			continue
		}
		if seen++; r.random()%seen == 0 {
			member = i
		}
	}
	return member
}
