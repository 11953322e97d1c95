package ring

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// slots are a sequence of slots in which each member has as many adjacent ones as its weight. A key
// belongs to the slot with the number hash modulo the number of slots.
type slots struct {
	members []int32 // in the order of their slots
	ends    []int   // after the last slot of members[i]
}

// newSlots orders the slots like the members.
func newSlots(members []Member) slots {
	order := make([]int32, len(members))
	for i := range order {
		order[i] = int32(i)
	}
	return slotsInOrder(order, members)
}

// twemproxySlots orders the slots as nc_modula.c does. That isn't the order of twemproxy's
// configuration: its search for servers of the same name sorts them by name, shorter ones first
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

// among returns the owner if only members that are up have slots: twemproxy rebuilds the slots when
// a member goes down, so that most keys move. It returns -1 if none is up.
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
	return last // even if a member went down between the two loops
}

func (s *slots) weight(at int) int {
	if at == 0 {
		return s.ends[0]
	}
	return s.ends[at] - s.ends[at-1]
}
