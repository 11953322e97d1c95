package route

import (
	"cmp"
	"reflect"
	"strconv"

	"holdfast/ring"
)

func (h *Hash) IsZero() bool { return reflect.ValueOf(*h).IsZero() }

// RingOptions are the part of h that package ring knows.
func (h *Hash) RingOptions() ring.Options {
	return ring.Options{Placement: h.Placement, Function: h.Function, Salt: h.Salt, Stop: h.Stop, Tag: h.Tag,
		Weights: h.Weights}
}

// RingMembers are what a hash over the members places.
func (p *Pool) RingMembers() []ring.Member {
	placed := make([]ring.Member, len(p.Members))
	for i, m := range p.Members {
		placed[i] = ring.Member{Name: m.Name, Weight: m.Weight}
	}
	return placed
}

// RingMembers are what a hash over r's children places: their names, or else their indexes.
func (r *Route) RingMembers() []ring.Member {
	placed := make([]ring.Member, len(r.Children))
	for i, child := range r.Children {
		placed[i] = ring.Member{Name: cmp.Or(child.Name, strconv.Itoa(i)), Weight: 1}
	}
	return placed
}

// check is for a hash over what is placed.
func (h *Hash) check(f *Faults, path string, placed []ring.Member) {
	if h.Load != 0 && !(h.Load > 1 && h.Load <= 1000) {
		f.Add(path+".load", "%v is neither 0, which is no bound, nor in (1, 1000]", h.Load)
	}
	if len(placed) == 0 {
		return // which is a fault of its own
	}
	if len(h.Weights) > 0 && len(h.Weights) != len(placed) {
		f.Add(path+".weights", "%d weights for %d", len(h.Weights), len(placed))
	} else if _, err := ring.New(h.RingOptions(), placed); err != nil {
		f.Add(path, "%v", err)
	}
}

// checkHash is for a hash over a pool's members, unless they have faults of their own.
func (p *Pool) checkHash(f *Faults, path string, h *Hash) {
	var own Faults
	p.checkMembers(&own, "")
	if len(own) == 0 {
		h.check(f, path, p.RingMembers())
	}
}

// checkUnread is for the hash of a route that heeds only the salt.
func (h *Hash) checkUnread(f *Faults, path string, kind Kind) {
	if rest := *h; !reflect.DeepEqual(rest, Hash{Salt: h.Salt}) {
		f.Add(path, "a route of kind %s has no more of it than salt", kind)
	}
}
