package route

import (
	"cmp"
	"reflect"
	"strconv"

	"holdfast/ring"
)

func (h *Hash) IsZero() bool { return reflect.ValueOf(*h).IsZero() }

// RingOptions returns the part of h that package ring knows.
func (h *Hash) RingOptions() ring.Options {
	return ring.Options{Placement: h.Placement, Function: h.Function, Salt: h.Salt, Stop: h.Stop, Tag: h.Tag,
		Weights: h.Weights}
}

// RingMembers returns the members as package ring places keys on them.
func (p *Pool) RingMembers() []ring.Member {
	placed := make([]ring.Member, len(p.Members))
	for i, m := range p.Members {
		placed[i] = ring.Member{Name: m.Name, Weight: m.Weight}
	}
	return placed
}

// RingMembers returns the children as package ring places keys on them: by their names, or by their
// indexes if they have none.
func (r *Route) RingMembers() []ring.Member {
	placed := make([]ring.Member, len(r.Children))
	for i, child := range r.Children {
		placed[i] = ring.Member{Name: cmp.Or(child.Name, strconv.Itoa(i)), Weight: 1}
	}
	return placed
}

// check checks a hash over these members.
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

// checkHash checks a hash over the pool's members, unless those have faults of their own.
func (p *Pool) checkHash(f *Faults, path string, h *Hash) {
	var own Faults
	p.checkMembers(&own, "")
	if len(own) == 0 {
		h.check(f, path, p.RingMembers())
	}
}

// checkUnread checks the hash of a route that uses only the salt.
func (h *Hash) checkUnread(f *Faults, path string, kind Kind) {
	if rest := *h; !reflect.DeepEqual(rest, Hash{Salt: h.Salt}) {
		f.Add(path, "a route of kind %s has only hash.salt", kind)
	}
}
