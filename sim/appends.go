package sim

import (
	"fmt"
	"slices"
	"strings"
)

// A transaction appends to lists and reads whole lists, each of which has a key, all at once. No two
// appends to a list have the same value.
type transaction struct {
	client       int
	steps        []step
	began, ended int64 // in the order of all begins and ends; no end while it may happen yet
	outcome      outcome
}

// A step appends a value to a list, or reads a list: its values in order. A read sees what its own
// transaction has appended before. Only what a transaction that is done has read is known.
type step struct {
	key    string
	append int // 0: a read
	found  []int
}

func (t *transaction) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "client %d (%d to %s, %v):", t.client, t.began, moment(t.ended), t.outcome)
	for _, s := range t.steps {
		switch {
		case s.append != 0:
			fmt.Fprintf(&text, " append %s %d", s.key, s.append)
		case t.outcome == done:
			fmt.Fprintf(&text, " read %s %v", s.key, s.found)
		default:
			fmt.Fprintf(&text, " read %s", s.key)
		}
	}
	return text.String()
}

// An anomaly is why a history of transactions isn't strictly serializable.
type anomaly struct {
	kind string
	text string
}

// The kinds of anomalies. The names with a G are those of Adya, "Weak Consistency: A Generalized Theory
// and Optimistic Implementations for Distributed Transactions", 1999.
const (
	internal     = "a transaction doesn't see itself"
	duplicate    = "a value is in a list twice"
	garbage      = "a value that nobody has appended"
	incompatible = "two orders of one list"
	g1a          = "G1a, a read of what was refused"
	g1b          = "G1b, a read of a transaction's intermediate state"
	g0           = "G0, a cycle of writes"
	g1c          = "G1c, a cycle of writes and reads"
	gSingle      = "G-single, a cycle with one read of what is overwritten"
	g2           = "G2, a cycle with reads of what is overwritten"
	strict       = "a cycle with the order in real time"
)

// findAnomalies returns why a history isn't strictly serializable; nothing: it is. It follows
// Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations", VLDB
// 2020. A read of a list shows the order in which the values that it has were appended, and so the
// order of all earlier versions. Then these must precede each other:
//
//   - ww: who appended a value, and who appended the next one;
//   - wr: who appended a version's last value, and who read that version;
//   - rw: who read a version, and who appended the next value;
//   - rt: a transaction that has ended, and one that began afterwards.
//
// What no read has found, of a transaction that was made, was appended behind all that was found. So
// each order in which transactions precede those that they must is one in which they may have been
// made, one at a time, and if there is none, there is a cycle. What is reported is the shortest
// cycle of each kind; one with rt only if there is no other.
func findAnomalies(all []*transaction) []anomaly {
	v := inferVersions(all)
	if len(v.anomalies) > 0 {
		return v.anomalies // no edges follow from those
	}
	g := newPrecedence(all, v)
	for _, c := range []struct {
		kind   string
		with   edgeKind // each cycle has one such edge, or several
		others edgeKind // that its other edges may be
	}{
		{g0, ww, ww}, {g1c, wr, ww | wr}, {gSingle, rw, ww | wr}, {g2, rw, ww | wr | rw},
	} {
		if c.kind == g2 && v.has(gSingle) {
			continue // the shortest cycle may have one read only
		}
		if cycle := g.shortest(c.with, c.others); cycle != nil {
			v.add(c.kind, "%s", g.show(cycle))
		}
	}
	if len(v.anomalies) == 0 {
		if cycle := g.shortest(ww|wr|rw, ww|wr|rw|rt); cycle != nil {
			v.add(strict, "%s", g.show(cycle))
		}
	}
	return v.anomalies
}

// An appended is a value that a transaction appended to a list.
type appended struct {
	by   int  // the transaction
	last bool // it appended nothing behind that to the list
}

// A readVersion is a read of a list as others had left it: its first values, so many.
type readVersion struct {
	by     int
	key    string
	values int
}

// Versions are what follows from the reads of a history about each list.
type versions struct {
	all       []*transaction
	appended  map[string]map[int]appended // by key and value
	made      []bool                      // by transaction: it took effect
	order     map[string][]int            // the longest that was read of each list
	unread    map[string][]int            // who appended what isn't in order, and took effect
	keys      []string                    // sorted
	reads     []readVersion
	anomalies []anomaly
}

func (v *versions) add(kind, format string, args ...any) {
	v.anomalies = append(v.anomalies, anomaly{kind, fmt.Sprintf(format, args...)})
}

func (v *versions) has(kind string) bool {
	return slices.ContainsFunc(v.anomalies, func(a anomaly) bool { return a.kind == kind })
}

func inferVersions(all []*transaction) *versions {
	v := &versions{
		all: all, appended: map[string]map[int]appended{}, made: make([]bool, len(all)), order: map[string][]int{},
		unread: map[string][]int{},
	}
	for i, t := range all {
		v.made[i] = t.outcome == done
		last := map[string]int{}
		for _, s := range t.steps {
			if v.appended[s.key] == nil {
				v.appended[s.key] = map[int]appended{}
				v.keys = append(v.keys, s.key)
			}
			if s.append != 0 {
				v.appended[s.key][s.append] = appended{by: i}
				last[s.key] = s.append
			}
		}
		for key, value := range last {
			v.appended[key][value] = appended{by: i, last: true}
		}
	}
	slices.Sort(v.keys)
	for i, t := range all {
		if t.outcome == done {
			v.readAll(i, t)
		}
	}
	v.checkReads()
	v.findUnread()
	return v
}

// readAll notes what a transaction that is done has read: of each list what the others had left.
func (v *versions) readAll(i int, t *transaction) {
	own, base := map[string][]int{}, map[string][]int{}
	for _, s := range t.steps {
		if s.append != 0 {
			own[s.key] = append(own[s.key], s.append)
			continue
		}
		v.longer(s.key, s.found, t)
		mine := own[s.key]
		others := max(0, len(s.found)-len(mine))
		before, known := base[s.key]
		if !slices.Equal(s.found[others:], mine) || known && !slices.Equal(s.found[:others], before) {
			v.add(internal, "list %s: %v", s.key, t)
		}
		if !known {
			base[s.key] = s.found[:others]
			v.reads = append(v.reads, readVersion{i, s.key, others})
		}
	}
}

// longer notes a version of a list, of which all must be beginnings of the longest.
func (v *versions) longer(key string, found []int, by *transaction) {
	was := v.order[key]
	if n := min(len(was), len(found)); !slices.Equal(was[:n], found[:n]) {
		v.add(incompatible, "list %s: %v; another read found %v", key, by, was)
	}
	if len(found) > len(was) {
		v.order[key] = found
	}
}

// checkReads reports faults of what was read, and notes that those took effect whose values were.
func (v *versions) checkReads() {
	for _, key := range v.keys {
		seen := map[int]bool{}
		for _, value := range v.order[key] {
			a, ok := v.appended[key][value]
			switch {
			case seen[value]:
				v.add(duplicate, "list %s: %d in %v", key, value, v.order[key])
			case !ok:
				v.add(garbage, "list %s: %d in %v", key, value, v.order[key])
			case v.all[a.by].outcome == refused || v.all[a.by].outcome == failed:
				v.add(g1a, "list %s: %d in %v; %v", key, value, v.order[key], v.all[a.by])
			default:
				v.made[a.by] = true
			}
			seen[value] = true
		}
	}
	if len(v.anomalies) > 0 {
		return
	}
	for _, r := range v.reads {
		if r.values == 0 {
			continue
		}
		if a := v.appended[r.key][v.order[r.key][r.values-1]]; !a.last && a.by != r.by {
			v.add(g1b, "list %s: %v; %v", r.key, v.all[r.by], v.all[a.by])
		}
	}
}

// findUnread notes who took effect and appended what nobody has read.
func (v *versions) findUnread() {
	for i, t := range v.all {
		for _, s := range t.steps {
			if v.made[i] && s.append != 0 && !slices.Contains(v.order[s.key], s.append) &&
				!slices.Contains(v.unread[s.key], i) {
				v.unread[s.key] = append(v.unread[s.key], i)
			}
		}
	}
}
