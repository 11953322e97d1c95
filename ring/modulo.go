package ring

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// slots are a row of slots of which each member has as many as its weight, side by side. The key
// is owned by slot hash modulo their number.
type slots struct {
	members []int32 // in the order of their slots
	ends    []int   // after the last slot of members[i]
}

// newSlots has the slots in the order of the members.
func newSlots(members []Member) slots {
	order := make([]int32, len(members))
	for i := range order {
		order[i] = int32(i)
	}
	return slotsInOrder(order, members)
}

// twemproxySlots has them in the order of nc_modula.c. That isn't the order of its configuration:
// while it looks for servers of the same name, it sorts them by name, shorter ones first
// (conf_validate_server, string_compare).
func twemproxySlots(members []Member) slots {
	order := newSlots(members).members
	slices.SortStableFunc(order, func(i, j int32) int {
		a, b := twemproxyName(members[i].Name), twemproxyName(members[j].Name)
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	return slotsInOrder(order, members)
}

func slotsInOrder(order []int32, members []Member) slots {
	s := slots{members: order}
	total := 0
	for _, i := range order {
		total += weightOf(members[i])
		s.ends = append(s.ends, total)
	}
	return s
}

func (s *slots) owner(hash uint64) int {
	slot := int(hash % uint64(s.ends[len(s.ends)-1]))
	return int(s.members[sort.Search(len(s.ends), func(at int) bool { return slot < s.ends[at] })])
}

// among is the owner when only members that are up have slots, as twemproxy builds them anew, so
// that most keys change their member; -1 if none is up.
func (s *slots) among(hash uint64, up func(int) bool) int {
	total := 0
	for at, i := range s.members {
		if up(int(i)) {
			total += s.weight(at)
		}
	}
	if total == 0 {
		return -1
	}
	slot := int(hash % uint64(total))
	last := -1
	for at, i := range s.members {
		if !up(int(i)) {
			continue
		}
		last = int(i)
		if slot -= s.weight(at); slot < 0 {
			break
		}
	}
	return last // also when a member went down between the two loops
}

func (s *slots) weight(at int) int {
	if at == 0 {
		return s.ends[0]
	}
	return s.ends[at] - s.ends[at-1]
}
