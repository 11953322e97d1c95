package ring

import (
	"math/rand/v2"
)

// A Member is one of those that own keys.
type Member struct {
	// Name is what rendezvous and ketama place: other names, other keys. The ketama placements and
	// modulo cut ":11211" from its end, as twemproxy and libmemcached leave that port out.
	Name   string
	Weight int // its share of the keys beside the others'; 0 is 1
}

// Options say how keys are placed. The zero value is weighted rendezvous by the whole key.
type Options struct {
	Placement string // see the package; default rendezvous
	Function  string // see the package; default what is usual with the placement

	Salt string // appended to what is hashed, as mcrouter does
	Stop string // the key is hashed up to the first of these, if it has one; default "|#|" with mcrouter's placements
	Tag  string // two bytes, as "{}": what stands between the first of the one and the next of the other is hashed, unless that is nothing

	// Weights are mcrouter's weights, in [0, 1], one a member in their order; they stand in for Member.Weight.
	// For weighted_ch3, members without one have 0.5 and weights without a member are ignored, as
	// there; the rendezvous placements want as many as there are members; others have none.
	Weights []float64

	// Random is where the placement random has its numbers from; it may be called concurrently.
	// Default math/rand/v2's.
	Random func() uint64
}

// maxHashedBytes is how long key and salt may be together for a look-up not to allocate: memcached's
// longest key, and 70 bytes of salt.
const maxHashedBytes = 320

// A Ring knows which of its members owns a key. It doesn't change, and all methods may be called
// concurrently. Members are told by their index in what New was given.
type Ring struct {
	kind    kind
	members int
	part    part
	sum     function

	scores scores    // byScore, byPlainScore
	points continuum // byPoint, byLibmemcachedPoint
	slots  slots     // byModulo, byLibmemcachedModulo
	limits []uint64  // byWeightedCH3: see weightedCH3
	random func() uint64

	weights []float64 // by member; all are 0 only if Options.Weights are
	rest    scores    // who follows where the placement itself doesn't say: see first
}

// New returns the ring of the members, or an error that says which option or member is at fault.
func New(o Options, members []Member) (*Ring, error) {
	rule, err := check(o, members)
	if err != nil {
		return nil, err
	}
	r := &Ring{kind: rule.kind, members: len(members), part: newPart(o, rule), random: o.Random}
	if r.random == nil {
		r.random = rand.Uint64
	}
	r.sum = rule.function
	if o.Function != "" {
		r.sum = functions[o.Function]
	}
	r.weights = weigh(o, rule, members)
	r.rest = newScores(indexSeeds(len(members)), r.weights)
	switch rule.kind {
	case byScore:
		r.scores = newScores(nameSeeds(members), r.weights)
	case byPlainScore:
		r.scores = newPlainScores(nameSeeds(members))
	case byPoint:
		r.points = ketama(members)
	case byLibmemcachedPoint:
		r.points = libmemcachedKetama(members, r.sum)
	case byModulo:
		r.slots = twemproxySlots(members)
	case byLibmemcachedModulo:
		r.slots = newSlots(members)
	case byWeightedCH3:
		r.limits = limits(r.weights)
	}
	return r, nil
}

// Len is the number of members.
func (r *Ring) Len() int { return r.members }

// Owner returns the member that owns the key.
func (r *Ring) Owner(key []byte) int {
	key = r.part.of(key)
	if r.part.salt == "" {
		return r.owner(key)
	}
	var buf [maxHashedBytes]byte
	return r.owner(r.part.salted(buf[:0], key))
}

// owner is the member for what is hashed.
func (r *Ring) owner(hashed []byte) int {
	if r.members == 1 {
		return 0
	}
	switch r.kind {
	case byScore, byPlainScore:
		return r.scores.best(rendezvousKey(hashed), nil)
	case byPoint, byLibmemcachedPoint:
		return r.points.owner(uint32(r.sum.of(hashed)))
	case byModulo, byLibmemcachedModulo:
		return r.slots.owner(r.sum.of(hashed))
	case byRandom:
		return int(r.random() % uint64(r.members))
	case byJump:
		return jump(r.sum.of(hashed), r.members)
	case byCH3:
		return ch3(hashed, r.members)
	case byWeightedCH3:
		return weightedCH3(hashed, r.limits)
	case byShard:
		return constShard(hashed, r.members)
	case byCRC32:
		return int((crc32(hashed) & 0x7fffffff) % uint32(r.members))
	}
	panic("ring: a kind of placement without an owner")
}
