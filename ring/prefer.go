package ring

// Next appends to dst the first n distinct members in order of preference for the key, all if there
// are fewer: the owner, the one that owns the key when the owner is left out, and so on. In that
// order requests fail over. It costs n look-ups, each without the members before.
//
// After the owner, rendezvous has the next best score and ketama the next point. The other
// placements don't say: there each key has an order of its own among the rest, by rendezvous over
// their indexes, so that they share a member's keys by weight.
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

// OwnerAmong returns the member that owns the key when those that are not up are left out, or -1
// when none is up. The keys of members that are up stay where they are, but for modulo and
// libmemcached_modulo: there most keys move, since twemproxy deals the slots anew.
//
// With equal weights and fewer than 25 members, ketama's result is that of twemproxy's
// auto_eject_hosts. With others twemproxy gives the members that are left other numbers of points,
// which moves a few of their keys too; here they stay.
func (r *Ring) OwnerAmong(key []byte, up func(int) bool) int {
	var buf [maxHashedBytes]byte
	hashed := r.part.salted(buf[:0], r.part.of(key))
	if r.kind == byModulo || r.kind == byLibmemcachedModulo {
		return r.slots.among(r.sum.of(hashed), up)
	}
	return r.first(hashed, up)
}

// first is the first member in order of preference that is ok, or -1.
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

// any is a random member of those that are ok, or -1.
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
