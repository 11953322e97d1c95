package ring

import (
	"math/rand/v2"
)

// A Member owns a share of the keys.
type Member struct {
	// Name decides which keys a member owns by rendezvous and ketama. The ketama placements and modulo
	// remove ":11211" from its end, because twemproxy and libmemcached omit that port.
	Name   string
	Weight int // its share of the keys, relative to the other members; 0 means 1
}

// Options say how keys are placed. The zero value is weighted rendezvous by the whole key.
type Options struct {
	Placement string // see the package; default rendezvous
	Function  string // see the package; the default depends on the placement

	Salt string // appended to the part that is hashed, as mcrouter does
	Stop string // the key is hashed up to the first of these, if it has one; default "|#|" with mcrouter's placements
	// Tag is two bytes, such as "{}": only the part of the key between the first occurrence of the one
	// byte and the next of the other is hashed, unless that part is empty.
	Tag string

	// Weights are mcrouter's weights, in [0, 1], one per member in order, used instead of
	// Member.Weight. For weighted_ch3, a member without one has 0.5 and surplus weights are ignored,
	// as in mcrouter. The rendezvous placements need exactly one per member; other placements have
	// none.
	Weights []float64

	// Random returns the numbers for the placement random. It may be called concurrently. The default
	// is math/rand/v2's.
	Random func() uint64
}

// maxHashedBytes is the length of key and salt together up to which a lookup allocates nothing:
// memcached's longest key, and 70 bytes of salt.
const maxHashedBytes = 320

// A Ring computes which of its members owns a key. It never changes, and all methods may be called
// concurrently. A member is named by its index in the slice that New was given.
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
	rest    scores    // orders the other members if the placement doesn't: see first
}

// New returns the ring of the members, or an error that names the invalid option or member.
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

// Len returns the number of members.
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

// owner returns the member that owns the hashed bytes.
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
