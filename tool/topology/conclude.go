package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// conclude completes the report from what the steps recorded.
func (r *run) conclude() {
	r.concludeMembers()
	r.concludePatterns()
	reads, elsewhere := r.readWay()
	r.report.Reads.Summary, r.report.Deletes.Summary = reads, r.deleteWay()
	r.report.Verdict, r.report.Summary = r.verdict(elsewhere)
	if len(r.o.Prefixes) > 1 && r.report.Verdict != Unreachable {
		for _, p := range r.o.Prefixes {
			v, summary := r.evidence(func(k *key) bool { return k.prefix == p }).judge()
			r.report.Prefixes = append(r.report.Prefixes, Prefix{p, v, summary})
		}
	}
	r.report.Notes = r.notes()
}

func (r *run) concludeMembers() {
	for i, m := range r.members {
		of := &r.report.Members[i]
		*of = Member{Address: r.o.Members[i], Error: m.fault, Reads: of.Reads}
		if m.fault != "" {
			continue
		}
		for _, k := range r.acknowledged() {
			if k.on.has(i) {
				of.Keys++
				if k.on.and(r.queried).count() == 1 {
					of.Alone++
				}
			}
		}
		of.Share = float64(of.Keys) / float64(max(1, r.report.Acknowledged))
		for _, k := range r.probes {
			if k.deleted && k.lost.has(i) {
				of.Deletes++
			}
		}
	}
}

func (r *run) concludePatterns() {
	if r.queried.empty() {
		return
	}
	for _, k := range r.acknowledged() {
		p := Pattern{Members: []string{}, set: k.on.and(r.queried)}
		if len(r.o.Prefixes) > 1 {
			p.Prefix = k.prefix
		}
		at := slices.IndexFunc(r.report.Patterns,
			func(other Pattern) bool { return other.Prefix == p.Prefix && other.set == p.set })
		if at < 0 {
			for _, i := range p.set.indexes() {
				p.Members = append(p.Members, r.o.Members[i])
			}
			at = len(r.report.Patterns)
			r.report.Patterns = append(r.report.Patterns, p)
		}
		r.report.Patterns[at].Keys++
		if p.set.empty() {
			r.report.Unlisted++
		}
	}
	slices.SortStableFunc(r.report.Patterns, func(a, b Pattern) int {
		return cmp.Or(cmp.Compare(b.Keys, a.Keys), slices.Compare(a.set.indexes(), b.set.indexes()))
	})
}

// evidence returns where the acknowledged keys are for which counts returns true.
func (r *run) evidence(counts func(*key) bool) *evidence {
	e := &evidence{listed: len(r.members), queried: r.queried, keys: map[set]int{},
		name: func(i int) string { return r.o.Members[i] }}
	for _, k := range r.acknowledged() {
		if counts(k) {
			e.keys[k.on.and(r.queried)]++
		}
	}
	return e
}

// verdict judges by where the keys are, unless reads contradict it: a balancer of connections,
// which doesn't look at the key, also places each key on one member.
func (r *run) verdict(elsewhere bool) (Verdict, string) {
	switch {
	case r.report.Acknowledged == 0:
		return Unreachable, "the router stored none of the keys: " + r.mainRefusal()
	case r.queried.empty():
		return Unreachable, "no member could be queried"
	}
	verdict, summary := r.evidence(func(*key) bool { return true }).judge()
	if verdict == Sharded && elsewhere {
		return Mixed, "each key is written to one member and read from others: requests are not spread by the key alone"
	}
	return verdict, summary
}

func (r *run) mainRefusal() string {
	if len(r.report.Refusals) == 0 {
		return "none was sent"
	}
	return r.report.Refusals[0].Reason
}

// readWay returns in words which members answer reads, and whether any of them answered for a key
// that the router had not written to it.
func (r *run) readWay() (summary string, elsewhere bool) {
	var used set
	known, spread := 0, false
	for _, k := range r.probes {
		var from set
		for i, reads := range k.answered {
			if reads > 0 && r.queried.has(i) {
				from.add(i)
			}
		}
		if from.empty() {
			continue
		}
		known++
		used = used.or(from)
		spread = spread || from.count() > 1
		elsewhere = elsewhere || !from.within(k.on)
	}
	owners := !slices.ContainsFunc(r.probes, func(k *key) bool { return k.on.count() > 1 })
	switch {
	case known == 0:
		return "no read was answered by a listed member", false
	case elsewhere:
		return "from members, too, that the key was not written to", true
	case owners:
		return "each key from the member that holds it", false
	case spread:
		return "spread over the members that hold the key", false
	case used.count() == 1:
		return "all from " + r.o.Members[used.indexes()[0]], false
	}
	return "each key always from the same of the members that hold it", false
}

// deleteWay returns in words which members lose the keys that are deleted.
func (r *run) deleteWay() string {
	holders, all, stayed, deleted := 0, 0, 0, 0
	for _, k := range r.probes {
		if !k.deleted {
			continue
		}
		deleted++
		lost, on := k.lost.and(r.queried), k.on.and(r.queried)
		if lost == on {
			holders++
		}
		if lost == r.queried {
			all++
		}
		if !on.within(lost) {
			stayed++
		}
	}
	switch {
	case deleted == 0:
		return "none was made"
	case all == deleted && r.queried.count() > 1:
		return "reach all members"
	case holders == deleted:
		return "reach the members that hold the key, no others"
	case stayed > 0:
		return fmt.Sprintf("leave %d of %d keys on members that hold them", stayed, deleted)
	}
	return "reach the members that hold the key, and others"
}

// notes returns remarks on anything else that is unusual.
func (r *run) notes() (notes []string) {
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	p := r.report
	for _, refusal := range p.Refusals {
		add("%d of %d sets through the router failed: %s", refusal.Count, p.Keys, refusal.Reason)
	}
	if p.Acknowledged == 0 {
		return notes
	}
	if p.Unlisted > 0 {
		notes = append(notes, r.unlistedNote())
	}
	if missing := p.Acknowledged - p.ReadBack; missing > 0 {
		add("%d of %d acknowledged keys could not be read back through the router", missing, p.Acknowledged)
	}
	if p.Late > 0 {
		add("the router answers before it has written: %d copies arrived after the first look", p.Late)
	}
	if n := r.alteredKeys(); n > 0 {
		add("%d keys came back with another value than was set", n)
	}
	if p.Reads.Written > 0 {
		add("%d of %d reads were answered with what no listed member held any more: "+
			"the router keeps values itself, or reads from members not listed", p.Reads.Written, p.Reads.Reads)
	}
	if p.Reads.Missed+p.Reads.Failed > 0 {
		add("of %d reads through the router, %d missed and %d failed", p.Reads.Reads, p.Reads.Missed, p.Reads.Failed)
	}
	if p.Deletes.Failed > 0 {
		add("%d of %d deletes through the router failed", p.Deletes.Failed, len(r.probes))
	}
	return notes
}

// unlistedNote explains keys that are on no listed member. Those that the router returns must be on
// another.
func (r *run) unlistedNote() string {
	text := fmt.Sprintf("%d of %d keys are on no listed member", r.report.Unlisted, r.report.Acknowledged)
	switch {
	case r.queried.count() < len(r.members):
		return text + " that could be queried: they may be on the others"
	case r.report.ReadBack <= r.report.Acknowledged-r.report.Unlisted:
		return text + " and can't be read back: the router acknowledged them, but stored nothing"
	}
	return text + ": there are members that are not listed, or the router changes the keys"
}

func (r *run) alteredKeys() (n int) {
	for _, k := range r.acknowledged() {
		if k.altered {
			n++
		}
	}
	return n
}

const maxRefusals = 5 // in a report

// refusals returns the reasons, most frequent first.
func refusals(reasons map[string]int) []Refusal {
	var all []Refusal
	for reason, count := range reasons {
		all = append(all, Refusal{Reason: strings.ToValidUTF8(reason, "?"), Count: count})
	}
	slices.SortFunc(all, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Reason, b.Reason))
	})
	return all[:min(len(all), maxRefusals)]
}
