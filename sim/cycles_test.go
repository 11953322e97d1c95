package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// parseHistory returns the history that a text describes, a line for each transaction: when it began
// and ended, its outcome, and steps as in "x+1" for an append and "x=1,2" for a read.
func parseHistory(t *testing.T, text string) (all []*transaction) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		fields := strings.Fields(line)
		tx := &transaction{client: i}
		began, ended, _ := strings.Cut(fields[0], "-")
		tx.began, tx.ended = int64(number(t, began)), math.MaxInt64
		if ended != "" {
			tx.ended = int64(number(t, ended))
		}
		at := slices.IndexFunc([]outcome{unknown, done, failed, refused}, func(o outcome) bool {
			return o.String() == fields[1]
		})
		if at < 0 {
			t.Fatalf("no outcome: %q", line)
		}
		tx.outcome = outcome(at)
		for _, f := range fields[2:] {
			if key, value, ok := strings.Cut(f, "+"); ok {
				tx.steps = append(tx.steps, step{key: key, append: number(t, value)})
				continue
			}
			key, values, _ := strings.Cut(f, "=")
			s := step{key: key}
			for _, v := range strings.FieldsFunc(values, func(r rune) bool { return r == ',' }) {
				s.found = append(s.found, number(t, v))
			}
			tx.steps = append(tx.steps, s)
		}
		all = append(all, tx)
	}
	return all
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Each anomaly is found, alone, and the cycle is the shortest.
func TestKnownAnomalies(t *testing.T) {
	for name, c := range map[string]struct {
		history string
		want    string   // the kind; "": none
		says    []string // parts of its text, in order, one for each edge
	}{
		"nothing": {history: `
			1-2 done x+1 y+1
			3-4 done x=1 y=1`},
		"two at once, in either order": {history: `
			1-9 done x+1 y+1
			2-8 done x+2 y+2
			3-7 done x=2,1 y=2,1`},
		"unknown, and read": {history: `
			1- unknown x+1 y+1
			3-4 done x= y=
			5-6 done x=1 y=1`},
		"unknown, and never read": {history: `
			1- unknown x+1
			3-4 done x=`},
		"an earlier read of a later value, at once": {history: `
			1-9 done x+1
			2-3 done x=1`},
		"reads that go back in time": {want: strict, history: `
			1-9 done x+1
			2-3 done x=1
			4-5 done x=`, says: []string{"append x 1\n    wr", "read x [1]\n    rt", "read x []\n    rw"}},
		"a lost write": {want: strict, history: `
			1-2 done x+1
			3-4 done x=`, says: []string{"rw", "rt"}},
		"a lost write of one that is known by another list": {want: gSingle, history: `
			1- unknown x+1 y+1
			3-4 done x= y=1`, says: []string{"rw: read x", "wr: appended to y"}},
		"writes in the wrong order": {want: strict, history: `
			1-2 done x+1
			3-4 done x+2
			5-6 done x=2,1`, says: []string{"ww", "rt"}},
		"many in between": {want: strict, history: `
			1-2 done x+1
			3-4 done y+1
			5-6 done y+2
			7-8 done y+3
			9-10 done x=`, says: []string{"read x []\n    rw", "append x 1\n    rt"}},
		"a cycle of writes": {want: g0, history: `
			1-9 done x+1 y+1
			2-8 done x+2 y+2
			10-11 done x=1,2
			12-13 done y=2,1`, says: []string{"ww", "ww"}},
		"of one transaction's writes": {want: g0, history: `
			1-9 done x+1 x+3
			2-8 done x+2
			10-11 done x=1,2,3`, says: []string{"ww", "ww"}},
		"a read of what was refused": {want: g1a, history: `
			1-2 refused x+1
			3-4 done x=1`},
		"a read of what has failed": {want: g1a, history: `
			1-2 failed x+1 y+1
			3-4 done x+2 x=1,2`},
		"half of a transaction's writes": {want: g1b, history: `
			1-9 done x+1 x+2
			2-3 done x=1`},
		"writes seen by each other": {want: g1c, history: `
			1-9 done x+1 y=1
			2-8 done y+1 x=1`, says: []string{"wr", "wr"}},
		"half a transaction": {want: gSingle, history: `
			1-9 done x+1 y+1
			2-8 done x=1 y=`, says: []string{"rw: read y", "wr: appended to x"}},
		"a lost update": {want: gSingle, history: `
			1-9 done x= x+1
			2-8 done x= x+2
			10-11 done x=1,2`, says: []string{"rw", "ww"}},
		"write skew": {want: g2, history: `
			1-9 done x= y+1
			2-8 done y= x+1`, says: []string{"rw", "rw"}},
		"two readers that see two writers in different orders": {want: g2, history: `
			1-20 done x+1
			2-19 done y+1
			3-18 done x=1 y=
			4-17 done x= y=1`, says: []string{"rw", "wr", "rw", "wr"}},
		"a value of nobody": {want: garbage, history: `1-2 done x=7`},
		"a value twice":     {want: duplicate, history: "1-2 done x+1\n3-4 done x=1,1"},
		"two orders": {want: incompatible, history: `
			1-9 done x+1
			2-8 done x+2
			3-4 done x=1,2
			5-6 done x=2,1`},
		"its own append isn't there":    {want: internal, history: "1-2 done x+1 x="},
		"two reads of one differ":       {want: internal, history: "1-9 done x+1\n2-3 done x= x=1"},
		"it reads around its own":       {history: "1-2 done x+1\n3-4 done x=1 x+2 x=1,2 x+3 x=1,2,3"},
		"an intermediate state, itself": {history: "1-2 done x+1 x=1 x+2\n3-4 done x=1,2"},
	} {
		got := findAnomalies(parseHistory(t, c.history))
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || got[0].kind != c.want) {
			t.Errorf("%s: got %v; want %q", name, got, c.want)
			continue
		}
		if c.want == "" {
			continue
		}
		rest := got[0].text
		for _, part := range c.says {
			_, after, ok := strings.Cut(rest, part)
			if !ok {
				t.Errorf("%s: got %s; want %q there, in order", name, got[0].text, c.says)
				break
			}
			rest = after
		}
		if edges := strings.Count(got[0].text, "\n    "); len(c.says) > 0 && edges != len(c.says) {
			t.Errorf("%s: got a cycle of %d: %s", name, edges, got[0].text)
		}
	}
}

// serializable reports whether transactions that are done, and any of unknown outcome, may have happened
// one at a time, in real time's order if inTime, by trying all orders.
func serializable(all []*transaction, inTime bool) bool {
	var left []int
	for i, t := range all {
		if t.outcome == done || t.outcome == unknown {
			left = append(left, i)
		}
	}
	return canGoOn(all, left, map[string][]int{}, inTime)
}

func canGoOn(all []*transaction, left []int, lists map[string][]int, inTime bool) bool {
	if !slices.ContainsFunc(left, func(i int) bool { return all[i].outcome == done }) {
		return true
	}
	for n, i := range left {
		others := slices.Delete(slices.Clone(left), n, n+1)
		late := func(j int) bool { return all[j].outcome == done && all[j].ended < all[i].began }
		if inTime && slices.ContainsFunc(others, late) {
			continue
		}
		next := map[string][]int{}
		for key, list := range lists {
			next[key] = list
		}
		if perform(all[i], next) && canGoOn(all, others, next, inTime) {
			return true
		}
	}
	return false
}

// perform does a transaction alone, and reports whether it reads what was read.
func perform(t *transaction, lists map[string][]int) bool {
	for _, s := range t.steps {
		switch {
		case s.append != 0:
			lists[s.key] = append(slices.Clone(lists[s.key]), s.append)
		case t.outcome == done && !slices.Equal(lists[s.key], s.found):
			return false
		}
	}
	return true
}

// randomHistory returns a small history. Each transaction happens at a moment between its begin and its
// end, or reads lists as they were then and appends later, or in some other wrong way.
func randomHistory(rng *rand.Rand) (all []*transaction) {
	keys := []string{"x", "y", "z"}[:1+rng.IntN(3)]
	clients := 1 + rng.IntN(4)
	busy := make([]int64, clients)
	lists := map[string][]int{}
	before := map[string][]int{}
	faults := rng.IntN(3)
	now, value := int64(0), 0
	for range 2 + rng.IntN(6) {
		now += int64(1 + rng.IntN(4))
		c := rng.IntN(clients)
		t := &transaction{client: c, began: max(busy[c]+1, now-int64(rng.IntN(6))), outcome: done}
		t.ended = max(now, t.began) + int64(1+rng.IntN(6))
		now = max(now, t.began)
		busy[c] = t.ended
		if rng.IntN(6) == 0 {
			t.outcome = []outcome{unknown, refused}[rng.IntN(2)]
		}
		happens := t.outcome == done || t.outcome == unknown && rng.IntN(2) == 0
		if t.outcome == unknown {
			t.ended = math.MaxInt64
		}
		was := map[string][]int{}
		for key, list := range lists {
			was[key] = list
		}
		from := lists
		if faults > 0 && rng.IntN(3) == 0 {
			from = before // its reads are of the past
		}
		mine := map[string][]int{}
		for range 1 + rng.IntN(4) {
			key := keys[rng.IntN(len(keys))]
			if rng.IntN(2) == 0 {
				found := append(slices.Clone(from[key]), mine[key]...)
				if faults > 1 && len(found) > 0 && rng.IntN(20) == 0 {
					found = found[:len(found)-1] // perhaps half of a transaction's
				}
				t.steps = append(t.steps, step{key: key, found: found})
				continue
			}
			value++
			t.steps = append(t.steps, step{key: key, append: value})
			mine[key] = append(mine[key], value)
		}
		if happens || faults > 1 && rng.IntN(8) == 0 {
			for key, values := range mine {
				lists[key] = append(slices.Clone(lists[key]), values...)
				if faults > 1 && rng.IntN(8) == 0 {
					lists[key] = was[key] // a write is lost
				}
			}
		}
		before = was
		all = append(all, t)
	}
	return all
}

// What is found in small random histories is found by trying all orders, and the other way round.
func TestAnomaliesAgainstAllOrders(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	kinds, sound := map[string]int{}, 0
	for range 10_000 {
		all := randomHistory(rng)
		got := findAnomalies(all)
		only := len(got) == 0 || got[0].kind == strict
		if plain := serializable(all, false); plain != only {
			t.Fatalf("got %v; but that there is an order is %v:\n%s", got, plain, showAll(all))
		}
		if inTime := serializable(all, true); inTime != (len(got) == 0) {
			t.Fatalf("got %v; but that there is an order in time is %v:\n%s", got, inTime, showAll(all))
		}
		if len(got) == 0 {
			sound++
		}
		for _, a := range got {
			kinds[a.kind]++
		}
	}
	t.Logf("%d without anomalies; %v", sound, kinds)
	for _, kind := range []string{incompatible, g0, g1a, g1b, g1c, gSingle, g2, strict} {
		if kinds[kind] == 0 {
			t.Errorf("got no history with %s; want some of each", kind)
		}
	}
	if sound < 1000 {
		t.Errorf("got %d histories without anomalies; want many", sound)
	}
}

func showAll(all []*transaction) string {
	var text strings.Builder
	for _, tx := range all {
		fmt.Fprintf(&text, "%v\n", tx)
	}
	return text.String()
}

// A history as long as a run's is checked quickly: a cycle through all of it is found once.
func TestLongHistories(t *testing.T) {
	var all []*transaction
	var list []int
	for i := range 1000 {
		list = append(list, i+1)
		all = append(all, &transaction{client: i % 8, began: int64(10 * i), ended: int64(10*i + 75), outcome: done,
			steps: []step{{key: "x", append: i + 1}, {key: "x", found: slices.Clone(list)}}})
	}
	if got := findAnomalies(all); len(got) > 0 {
		t.Fatalf("got %v; want none", got)
	}
	all = append(all, &transaction{began: 20_000, ended: 20_001, outcome: done,
		steps: []step{{key: "x", found: list[:1]}}})
	got := findAnomalies(all)
	if len(got) != 1 || got[0].kind != strict || strings.Count(got[0].text, "\n    ") != 2 {
		t.Fatalf("got %v; want one cycle of two", got)
	}
}
