package sim

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// An edgeKind is why a transaction must precede another, or a set of such reasons.
type edgeKind uint8

const (
	ww edgeKind = 1 << iota // it appended the value before
	wr                      // it appended what the other read
	rw                      // it read what was there before the other appended
	rt                      // it had ended when the other began
)

func (k edgeKind) String() string {
	return map[edgeKind]string{ww: "ww", wr: "wr", rw: "rw", rt: "rt"}[k]
}

// An edge leads from a transaction to one that it must precede.
type edge struct {
	kind     edgeKind
	from, to int
	key      string // the list; "" for rt
}

// A precedence is the edges between the transactions of a history.
type precedence struct {
	all []*transaction
	out [][]edge // by transaction

	searches int       // for paths, so far
	came     []arrival // of the searches, by place
}

func newPrecedence(all []*transaction, v *versions) *precedence {
	g := &precedence{all: all, out: make([][]edge, len(all))}
	for _, key := range v.keys {
		g.addWrites(key, v)
	}
	for _, r := range v.reads {
		order := v.order[r.key]
		if r.values > 0 {
			g.add(edge{wr, v.appended[r.key][order[r.values-1]].by, r.by, r.key})
		}
		if r.values < len(order) {
			g.add(edge{rw, r.by, v.appended[r.key][order[r.values]].by, r.key})
			continue
		}
		for _, next := range v.unread[r.key] {
			g.add(edge{rw, r.by, next, r.key})
		}
	}
	g.addTimes(v)
	return g
}

func (g *precedence) add(e edge) {
	if e.from != e.to {
		g.out[e.from] = append(g.out[e.from], e)
	}
}

// addWrites adds the edges between those who have appended to a list.
func (g *precedence) addWrites(key string, v *versions) {
	last := -1
	for _, value := range v.order[key] {
		by := v.appended[key][value].by
		if last >= 0 {
			g.add(edge{ww, last, by, key})
		}
		last = by
	}
	for _, by := range v.unread[key] {
		if last >= 0 {
			g.add(edge{ww, last, by, key})
		}
	}
}

// addTimes adds the order in real time, but for edges that follow from two others.
func (g *precedence) addTimes(v *versions) {
	var made []int
	for i := range g.all {
		if v.made[i] {
			made = append(made, i)
		}
	}
	slices.SortFunc(made, func(a, b int) int { return cmp.Compare(g.all[a].began, g.all[b].began) })
	ends := make([]int64, len(made)+1) // the first of those from there on
	ends[len(made)] = math.MaxInt64
	for n := len(made) - 1; n >= 0; n-- {
		ends[n] = min(ends[n+1], g.all[made[n]].ended)
	}
	for _, i := range made {
		ended := g.all[i].ended
		if ended == math.MaxInt64 {
			continue
		}
		first, _ := slices.BinarySearchFunc(made, ended, func(j int, at int64) int {
			return cmp.Compare(g.all[j].began, at+1)
		})
		for n := first; n < len(made) && g.all[made[n]].began <= ends[first]; n++ {
			g.add(edge{rt, i, made[n], ""})
		}
	}
}

// shortest returns the shortest cycle that has an edge of a kind, and otherwise edges of others only;
// nil: there is none. Edges of time that follow each other count as one. No cycle is shorter than two.
func (g *precedence) shortest(with, others edgeKind) (best []edge) {
	part := g.components(with | others)
	for from := range g.out {
		for _, e := range g.out[from] {
			if e.kind&with == 0 || part[e.from] != part[e.to] {
				continue
			}
			most := len(g.out)
			if best != nil {
				most = steps(best) - 2
			}
			if path := g.path(e.to, e.from, others, part, most); path != nil {
				best = append([]edge{e}, path...)
			}
			if best != nil && steps(best) == 2 {
				return best
			}
		}
	}
	return best
}

// steps returns how long a cycle is, which doesn't begin with an edge of time.
func steps(cycle []edge) (n int) {
	for i, e := range cycle {
		if i == 0 || e.kind != rt || cycle[i-1].kind != rt {
			n++
		}
	}
	return n
}

// An arrival is how a search has come to a transaction, by an edge of time or by another.
type arrival struct {
	search int // the number of the search; that of another: this one hasn't come here
	ring   int // how far it is
	by     edge
	from   int // the place that by leads from
}

// path returns a shortest path between two transactions of one component, of so many edges at most;
// nil: there is none. A place is twice a transaction's number, and one more if it was reached by an
// edge of time.
func (g *precedence) path(from, to int, of edgeKind, part []int, most int) []edge {
	if g.came == nil {
		g.came = make([]arrival, 2*len(g.out))
	}
	g.searches++
	start := 2 * from
	g.came[start] = arrival{search: g.searches}
	ring := []int{start}
	for number := 0; len(ring) > 0 && number <= most; number++ {
		var next []int
		for n := 0; n < len(ring); n++ { // it grows by edges that cost nothing
			is := ring[n]
			if is/2 == to {
				return g.back(is, start)
			}
			for _, e := range g.out[is/2] {
				if e.kind&of == 0 || part[e.to] != part[from] {
					continue
				}
				p, at := 2*e.to, number+1
				if e.kind == rt {
					p++
					at -= is % 2
				}
				if was := g.came[p]; was.search == g.searches && was.ring <= at {
					continue
				}
				g.came[p] = arrival{g.searches, at, e, is}
				if at == number {
					ring = append(ring, p)
				} else {
					next = append(next, p)
				}
			}
		}
		ring = next
	}
	return nil
}

// back returns the path by which a search has come to a place.
func (g *precedence) back(to, start int) (path []edge) {
	for at := to; at != start; at = g.came[at].from {
		path = append(path, g.came[at].by)
	}
	slices.Reverse(path)
	return path
}

// components returns for each transaction the number of its strongly connected component by edges of
// some kinds (Tarjan, without recursion: histories are long).
func (g *precedence) components(of edgeKind) []int {
	const unseen = -1
	n := len(g.out)
	part, index, low := make([]int, n), make([]int, n), make([]int, n)
	for i := range n {
		part[i], index[i] = unseen, unseen
	}
	var path, open []int // the search's path, and those without a component yet
	edges := make([]int, n)
	seen, parts := 0, 0
	visit := func(i int) {
		index[i], low[i] = seen, seen
		seen++
		path, open = append(path, i), append(open, i)
	}
	for root := range n {
		if index[root] != unseen {
			continue
		}
		for visit(root); len(path) > 0; {
			i := path[len(path)-1]
			if edges[i] < len(g.out[i]) {
				e := g.out[i][edges[i]]
				edges[i]++
				switch {
				case e.kind&of == 0:
				case index[e.to] == unseen:
					visit(e.to)
				case part[e.to] == unseen:
					low[i] = min(low[i], index[e.to])
				}
				continue
			}
			if path = path[:len(path)-1]; len(path) > 0 {
				above := path[len(path)-1]
				low[above] = min(low[above], low[i])
			}
			if low[i] == index[i] {
				at := slices.Index(open, i)
				for _, member := range open[at:] {
					part[member] = parts
				}
				open = open[:at]
				parts++
			}
		}
	}
	return part
}

// show returns a cycle, a line for each transaction and for each edge.
func (g *precedence) show(cycle []edge) string {
	var text strings.Builder
	for i, e := range cycle {
		if i == 0 || e.kind != rt || cycle[i-1].kind != rt {
			why := map[edgeKind]string{
				ww: "appended to %s before", wr: "appended to %s what was read by",
				rw: "read %s without what was appended by", rt: "ended before the begin of%s",
			}[e.kind]
			fmt.Fprintf(&text, "\n  %v\n    %v: "+why, g.all[e.from], e.kind, e.key)
		}
	}
	return text.String() + "\n  the first"
}

// moment returns a time in the order of all begins and ends.
func moment(at int64) string {
	if at == math.MaxInt64 {
		return "ever"
	}
	return fmt.Sprint(at)
}
