package topology

import "fmt"

// evidence is where the acknowledged keys are.
type evidence struct {
	listed int         // members
	asked  set         // those of them that could be asked
	keys   map[set]int // number of keys by the asked members that hold them
	name   func(i int) string
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
	case e.asked.count() == 1:
		return Unclear, e.oneAsked(total, nowhere)
	case e.keys[e.asked] == total:
		return Replicated, fmt.Sprintf("each of %d keys is on all %s", total, e.askedMembers())
	case used.count() == 1:
		return Unclear, fmt.Sprintf("%d of %d keys are on %s, none on the other %d: "+
			"one member in use, perhaps with others in reserve",
			total-nowhere, total, e.name(used.indexes()[0]), e.asked.count()-1)
	case e.single() == total-nowhere:
		return Sharded, e.sharded(total, nowhere)
	}
	return Mixed, e.mixed(total, nowhere)
}

// oneAsked returns the reason when only one member could be asked, so that there is nothing to
// compare.
func (e *evidence) oneAsked(total, nowhere int) string {
	only := e.name(e.asked.indexes()[0])
	if e.listed > 1 {
		only += ", the only member that could be asked"
	} else {
		only += ", the only member listed"
	}
	if nowhere == 0 {
		return fmt.Sprintf("all %d keys are on %s", total, only)
	}
	return fmt.Sprintf("%d of %d keys are on %s", total-nowhere, total, only)
}

// askedMembers returns the number of members that were asked in words, which say so if more are
// listed.
func (e *evidence) askedMembers() string {
	n := e.asked.count()
	if n < e.listed {
		return fmt.Sprintf("%d members that could be asked, of %d", n, e.listed)
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
		return fmt.Sprintf("each of %d keys is on exactly one of %s", total, e.askedMembers())
	}
	where := "on none of those listed"
	if e.asked.count() < e.listed {
		where = "on none of those that could be asked"
	}
	return fmt.Sprintf("no key is on two of %s; %d of %d are %s", e.askedMembers(), nowhere, total, where)
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
		text += fmt.Sprintf("; %d of %d keys are on no member that could be asked", nowhere, total)
	}
	return text
}

func (e *evidence) shape(placed map[set]int, keys int) string {
	everywhere, single := placed[e.asked], e.single()
	switch size := equalSize(placed); {
	case len(placed) == 1 && everywhere > 0:
		return fmt.Sprintf("%d keys are on all %s", keys, e.askedMembers())
	case len(placed) == 1:
		return fmt.Sprintf("each of %d keys is on the same %d of %s", keys, size, e.askedMembers())
	case disjoint(placed):
		return fmt.Sprintf("sharded over %d groups, whose members are replicas of each other", len(placed))
	case size > 1:
		return fmt.Sprintf("sharded with copies: each of %d keys is on %d of %s, not always the same",
			keys, size, e.askedMembers())
	case float64(everywhere) >= mostShare*float64(keys):
		return fmt.Sprintf("replicated with exceptions: %d of %d keys are not on all %s",
			keys-everywhere, keys, e.askedMembers())
	case float64(single) >= mostShare*float64(keys):
		return fmt.Sprintf("sharded with exceptions: %d of %d keys are on more than one of %s",
			keys-single, keys, e.askedMembers())
	}
	return fmt.Sprintf("of %d keys, %d are on one member, %d on all %s, %d on some", keys, single, everywhere,
		e.askedMembers(), keys-single-everywhere)
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
