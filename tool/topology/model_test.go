package topology

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// A placement is where a router of the model writes keys: each to the members of one of its
// patterns, chosen by the key's hash. An empty pattern is a member that isn't listed.
type placement struct {
	patterns [][]int
	refuse   int // of each 10 patterns' hashes, so many are refused
}

func (p placement) of(c *cluster, key string) (members []int, refused bool) {
	n := c.hash(key)
	return p.patterns[n%len(p.patterns)], n/7%10 < p.refuse
}

// router returns the handler: reads are answered by the first member of a key's pattern.
func (p placement) router(c *cluster, unlisted *store) func(line) string {
	return func(q line) string {
		members, refused := p.of(c, q.key)
		switch {
		case refused:
			return "SERVER_ERROR out of reach"
		case len(members) == 0:
			return unlisted.answer(q)
		case q.op == "get":
			return c.stores[members[0]].answer(q)
		}
		return c.onAll(q, members...)
	}
}

// A tally counts what a report must say of the keys that the router was sent.
type tally struct {
	acknowledged, refused, unlisted int
	keys, alone                     []int          // by member
	patterns                        map[string]int // number of keys by their members
}

func (p placement) tally(c *cluster, keys []string) tally {
	w := tally{keys: make([]int, len(c.stores)), alone: make([]int, len(c.stores)), patterns: map[string]int{}}
	for _, key := range keys {
		members, refused := p.of(c, key)
		if refused {
			w.refused++
			continue
		}
		w.acknowledged++
		if len(members) == 0 {
			w.unlisted++
		}
		for _, i := range members {
			w.keys[i]++
			if len(members) == 1 {
				w.alone[i]++
			}
		}
		members = slices.Sorted(slices.Values(members))
		w.patterns[fmt.Sprint(members)]++
	}
	return w
}

// The figures of a report are those that follow from where the router writes.
func TestFiguresAgainstModel(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 0))
		n := 2 + r.IntN(5)
		c := startCluster(t, n)
		p := placement{refuse: max(0, r.IntN(8)-4)}
		for range 1 + r.IntN(5) {
			p.patterns = append(p.patterns, r.Perm(n)[:r.IntN(n+1)])
		}
		unlisted := &store{items: map[string]string{}}
		router, sets := p.router(c, unlisted), []string(nil)
		report := c.look(func(q line) string {
			if q.op == "set" {
				sets = append(sets, q.key)
			}
			return router(q)
		}, func(o *Options) { o.Keys = 60 })
		want := p.tally(c, sets)
		var keys, alone []int
		for _, m := range report.Members {
			keys, alone = append(keys, m.Keys), append(alone, m.Alone)
			if share := float64(m.Keys) / float64(max(1, want.acknowledged)); m.Share != share {
				t.Errorf("seed %d: got a share of %v; want %v", seed, m.Share, share)
			}
		}
		patterns := map[string]int{}
		for i, pattern := range report.Patterns {
			patterns[fmt.Sprint(pattern.set.indexes())] = pattern.Keys
			if i > 0 && pattern.Keys > report.Patterns[i-1].Keys {
				t.Errorf("seed %d: got pattern %d with more keys than the one before", seed, i)
			}
		}
		got := tally{report.Acknowledged, report.Keys - report.Acknowledged, report.Unlisted, keys, alone, patterns}
		if want.acknowledged == 0 {
			got.keys, got.alone, got.patterns, want.patterns = want.keys, want.alone, nil, nil
		}
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			t.Errorf("seed %d, %v: got %s; want %s", seed, p.patterns, g, w)
		}
		if report.ReadBack != want.acknowledged {
			t.Errorf("seed %d: got %d keys read back; want %d", seed, report.ReadBack, want.acknowledged)
		}
		refusals := 0
		for _, refusal := range report.Refusals {
			refusals += refusal.Count
		}
		if refusals != want.refused {
			t.Errorf("seed %d: got %d refusals; want %d", seed, refusals, want.refused)
		}
		if left := len(unlisted.contents()); left > 0 {
			t.Errorf("seed %d: got %d keys left on the member that isn't listed; want none", seed, left)
		}
	}
}

// faultyAnswers are how a server fails at one of its requests.
var faultyAnswers = []string{"SERVER_ERROR out of memory", "CLIENT_ERROR no", "ERROR", "STORED", "END", "DELETED",
	"NOT_FOUND", "NOT_STORED", "VALUE x 0 1\r\nx\r\nEND", "VALUE", "", "HTTP/1.1 200 OK", "\xff\xfe"}

// faulty returns a handler that fails at some of its requests, before or after they are executed.
func faulty(r *rand.Rand, router bool, answer func(line) string) func(line) string {
	rate := 1 + r.IntN(300)
	return func(q line) string {
		if r.IntN(rate) > 0 || rate > 250 {
			return answer(q)
		}
		wrong := faultyAnswers[r.IntN(len(faultyAnswers))]
		// The request may be executed although the answer is wrong. An acknowledged delete is, since
		// nothing could show that it wasn't; a member's set isn't: what a member that never accepted a
		// set may hold isn't counted.
		deleted := wrong == "DELETED" || wrong == "NOT_FOUND"
		if (r.IntN(2) == 0 || deleted) && (router || q.op != "set") {
			answer(q)
		}
		if !strings.HasPrefix(wrong, "SERVER_ERROR") {
			// Otherwise it could execute what it has received after Run has closed the connection, and so
			// after Run has deleted its keys.
			wrong += hangUp
		}
		return wrong
	}
}

// Whatever the router and the members answer, Run ends with a report, and the keys that it couldn't
// delete are among those that it reports as left.
func TestFaultsLeaveNoMoreThanReported(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := startCluster(t, 3)
		handlers := make([]func(line) string, len(c.stores)+1)
		handlers[0] = []func(line) string{c.sharded, c.replicated(0, 1, 2)}[r.IntN(2)]
		for i, s := range c.stores {
			handlers[i+1] = s.answer
		}
		for i := range handlers {
			if own := rand.New(rand.NewPCG(seed, uint64(i+2))); r.IntN(2) == 0 {
				handlers[i] = faulty(own, i == 0, handlers[i])
			}
		}
		o := Options{Router: serve(t, handlers[0]), Keys: 40, Pause: noPause, Timeout: 10 * time.Second}
		for _, h := range handlers[1:] {
			o.Members = append(o.Members, serve(t, h))
		}
		report, err := Run(t.Context(), o)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		left := map[string]bool{}
		for _, s := range c.stores {
			items := s.contents()
			if items["other"] != "not of this run" {
				t.Errorf("seed %d: got an item of others changed", seed)
			}
			for key := range items {
				left[key] = key != "other"
			}
		}
		delete(left, "other")
		if len(left) > report.Left {
			t.Errorf("seed %d: got %d keys left; the report has %d", seed, len(left), report.Left)
		}
		var text strings.Builder
		if err := Print(&text, report); err != nil || !utf8.ValidString(text.String()) ||
			strings.ContainsAny(text.String(), "\x00\r") {
			t.Errorf("seed %d: got %v and\n%q", seed, err, text.String())
		}
	}
}

// judgement is the definition of the verdicts, from the keys' members.
func judgement(queried int, keys [][]int) Verdict {
	used, placed, most, everywhere := map[int]bool{}, 0, 0, 0
	for _, members := range keys {
		for _, i := range members {
			used[i] = true
		}
		placed += min(1, len(members))
		most = max(most, len(members))
		if len(members) == queried {
			everywhere++
		}
	}
	switch {
	case len(keys) < MinKeys, len(used) == 0, queried == 1:
		return Unclear
	case everywhere == len(keys):
		return Replicated
	case len(used) == 1:
		return Unclear
	case most == 1:
		return Sharded
	}
	return Mixed
}

// The verdict on random placements is that of the definition, and its figures add up.
func TestJudgeAgainstDefinition(t *testing.T) {
	seen := map[Verdict]int{}
	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 3))
		queried := 1 + r.IntN(5)
		e := evidence{listed: queried + r.IntN(2), keys: map[set]int{},
			name: func(i int) string { return fmt.Sprint("m", i) }}
		for i := range queried {
			e.queried.add(i)
		}
		var patterns [][]int
		for range 1 + r.IntN(3) {
			patterns = append(patterns, r.Perm(queried)[:min(r.IntN(queried+1), 1+r.IntN(queried))])
		}
		if r.IntN(3) == 0 {
			patterns = [][]int{r.Perm(queried)} // replicated
		}
		var keys [][]int
		for range r.IntN(40) {
			members := patterns[r.IntN(len(patterns))]
			keys = append(keys, members)
			var s set
			for _, i := range members {
				s.add(i)
			}
			e.keys[s]++
		}
		verdict, summary := e.judge()
		if want := judgement(queried, keys); verdict != want || summary == "" {
			t.Fatalf("seed %d, %d members, %v: got %s (%s); want %s", seed, queried, keys, verdict, summary, want)
		}
		seen[verdict]++
	}
	for _, v := range []Verdict{Sharded, Replicated, Mixed, Unclear} {
		if seen[v] < 100 {
			t.Errorf("got %d times %s; want 100 or more, so that the test means something", seen[v], v)
		}
	}
}

// A set is a set of small numbers.
func TestSetAgainstMap(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 0))
	random := func() (s set, m map[int]bool) {
		m = map[int]bool{}
		for range r.IntN(40) {
			i := r.IntN(MaxMembers)
			if r.IntN(3) == 0 {
				s.remove(i)
				delete(m, i)
			} else {
				s.add(i)
				m[i] = true
			}
		}
		return s, m
	}
	for range 2000 {
		a, am := random()
		b, bm := random()
		if r.IntN(3) == 0 {
			b, bm = a.or(b), maps.Clone(bm)
			maps.Copy(bm, am)
		}
		both, either := maps.Clone(am), maps.Clone(am)
		maps.DeleteFunc(both, func(i int, _ bool) bool { return !bm[i] })
		maps.Copy(either, bm)
		for what, c := range map[string]struct {
			got  set
			want map[int]bool
		}{"a": {a, am}, "b": {b, bm}, "and": {a.and(b), both}, "or": {a.or(b), either}} {
			want := slices.Sorted(maps.Keys(c.want))
			if got := c.got.indexes(); !slices.Equal(got, want) || c.got.count() != len(want) ||
				c.got.empty() != (len(want) == 0) {
				t.Fatalf("%s: got %v, %d; want %v", what, got, c.got.count(), want)
			}
		}
		if got, want := a.within(b), len(both) == len(am); got != want {
			t.Fatalf("%v within %v: got %v; want %v", a.indexes(), b.indexes(), got, want)
		}
	}
}

// The looks for late copies end once nothing has changed for Settle, at the latest after maxSettles
// times that, and at once if nothing is missing.
func TestSettle(t *testing.T) {
	const settle = time.Second
	for name, c := range map[string]struct {
		looks func(n int) (changed, missing int) // the n-th look, from 1
		least time.Duration
		most  time.Duration
		want  int // looks; 0 is any number
	}{
		"nothing is missing": {func(int) (int, int) { return 0, 0 }, firstWait, firstWait, 1},
		"nothing changes":    {func(int) (int, int) { return 0, 5 }, settle, settle, 0},
		"complete at the third look": {func(n int) (int, int) { return 1, 3 - n }, 3 * firstWait,
			7 * firstWait, 3},
		"a change at the fourth": {func(n int) (int, int) { return max(0, 1-max(n-4, 4-n)), 5 }, settle + 5*firstWait,
			3 * settle, 0},
		"always changes": {func(int) (int, int) { return 1, 5 }, maxSettles * settle, (maxSettles + 1) * settle, 0},
	} {
		var waited time.Duration
		looks := 0
		r := run{o: &Options{Settle: settle, Pause: func(_ context.Context, d time.Duration) error {
			if d <= 0 || d > settle {
				t.Errorf("%s: got a pause of %v", name, d)
			}
			waited += d
			return nil
		}}}
		err := r.settle(t.Context(), func() (int, int) { looks++; return c.looks(looks) })
		if err != nil || waited < c.least || waited > c.most || c.want > 0 && looks != c.want {
			t.Errorf("%s: got %v after %d looks in %v; want %v to %v", name, err, looks, waited, c.least, c.most)
		}
	}
}
