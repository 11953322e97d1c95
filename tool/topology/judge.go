package topology

import "fmt"

// evidence is where the acknowledged keys are.
type evidence struct {
	listed  int         // members
	queried set         // those of them that could be queried
	keys    map[set]int // number of keys by the queried members that hold them
	name    func(i int) string
}

// mostShare is the share of keys from which a pattern is the rule and other keys are exceptions.
const mostShare = 0.9

func (e *evidence) total() (n int) {
	for _, keys := range e.keys {
		n += keys
	}
	return n
}

// used returns the members that hold any key.
func (e *evidence) used() (all set) {
	for s := range e.keys {
		all = all.or(s)
	}
	return all
}

// judge returns the verdict on the placement of the keys, and the reason.
func (e *evidence) judge() (Verdict, string) {
	total, nowhere := e.total(), e.keys[set{}]
	switch used := e.used(); {
	case total == 0:
		return Unclear, "the router stored none of these keys"
	case total < MinKeys:
		return Unclear, fmt.Sprintf("the router stored only %d keys, too few to tell", total)
	case used.empty():
		return Unclear, fmt.Sprintf("none of %d keys is on a listed member: the router has others, or changes the keys",
			total)
	case e.queried.count() == 1:
		return Unclear, e.oneQueried(total, nowhere)
	case e.keys[e.queried] == total:
		return Replicated, fmt.Sprintf("each of %d keys is on all %s", total, e.queriedMembers())
	case used.count() == 1:
		return Unclear, fmt.Sprintf("%d of %d keys are on %s, none on the other %d: "+
			"one member in use, perhaps with others in reserve",
			total-nowhere, total, e.name(used.indexes()[0]), e.queried.count()-1)
	case e.single() == total-nowhere:
		return Sharded, e.sharded(total, nowhere)
	}
	return Mixed, e.mixed(total, nowhere)
}

// oneQueried returns the reason when only one member could be queried, so that there is nothing to
// compare.
func (e *evidence) oneQueried(total, nowhere int) string {
	only := e.name(e.queried.indexes()[0])
	if e.listed > 1 {
		only += ", the only member that could be queried"
	} else {
		only += ", the only member listed"
	}
	if nowhere == 0 {
		return fmt.Sprintf("all %d keys are on %s", total, only)
	}
	return fmt.Sprintf("%d of %d keys are on %s", total-nowhere, total, only)
}

// queriedMembers returns the number of members that were queried in words, which say so if more are
// listed.
func (e *evidence) queriedMembers() string {
	n := e.queried.count()
	if n < e.listed {
		return fmt.Sprintf("%d members that could be queried, of %d", n, e.listed)
	}
	return fmt.Sprintf("%d members", n)
}

// single returns how many keys are on exactly one member.
func (e *evidence) single() (n int) {
	for s, keys := range e.keys {
		if s.count() == 1 {
			n += keys
		}
	}
	return n
}

func (e *evidence) sharded(total, nowhere int) string {
	if nowhere == 0 {
		return fmt.Sprintf("each of %d keys is on exactly one of %s", total, e.queriedMembers())
	}
	where := "on none of those listed"
	if e.queried.count() < e.listed {
		where = "on none of those that could be queried"
	}
	return fmt.Sprintf("no key is on two of %s; %d of %d are %s", e.queriedMembers(), nowhere, total, where)
}

// mixed returns the shape of the patterns in words, if it is a known one.
func (e *evidence) mixed(total, nowhere int) string {
	placed := map[set]int{}
	for s, keys := range e.keys {
		if !s.empty() && keys > 0 {
			placed[s] = keys
		}
	}
	text := e.shape(placed, total-nowhere)
	if nowhere > 0 {
		text += fmt.Sprintf("; %d of %d keys are on no member that could be queried", nowhere, total)
	}
	return text
}

func (e *evidence) shape(placed map[set]int, keys int) string {
	everywhere, single := placed[e.queried], e.single()
	switch size := equalSize(placed); {
	case len(placed) == 1 && everywhere > 0:
		return fmt.Sprintf("%d keys are on all %s", keys, e.queriedMembers())
	case len(placed) == 1:
		return fmt.Sprintf("each of %d keys is on the same %d of %s", keys, size, e.queriedMembers())
	case disjoint(placed):
		return fmt.Sprintf("sharded over %d groups, whose members are replicas of each other", len(placed))
	case size > 1:
		return fmt.Sprintf("sharded with copies: each of %d keys is on %d of %s, not always the same",
			keys, size, e.queriedMembers())
	case float64(everywhere) >= mostShare*float64(keys):
		return fmt.Sprintf("replicated with exceptions: %d of %d keys are not on all %s",
			keys-everywhere, keys, e.queriedMembers())
	case float64(single) >= mostShare*float64(keys):
		return fmt.Sprintf("sharded with exceptions: %d of %d keys are on more than one of %s",
			keys-single, keys, e.queriedMembers())
	}
	return fmt.Sprintf("of %d keys, %d are on one member, %d on all %s, %d on some", keys, single, everywhere,
		e.queriedMembers(), keys-single-everywhere)
}

// equalSize returns how many members hold each key, 0 if that differs.
func equalSize(placed map[set]int) (size int) {
	for s := range placed {
		if size != 0 && size != s.count() {
			return 0
		}
		size = s.count()
	}
	return size
}

// disjoint reports whether no member is in two patterns.
func disjoint(placed map[set]int) bool {
	var seen set
	for s := range placed {
		if !s.and(seen).empty() {
			return false
		}
		seen = seen.or(s)
	}
	return true
}
