package ring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// placementNames returns the names of all placements, sorted.
func placementNames() []string {
	var names []string
	for name := range placements {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func key(i int) []byte { return []byte("user:" + strconv.Itoa(i) + ":profile") }

func TestNewFaults(t *testing.T) {
	two := named("m%d", 2)
	for _, test := range []struct {
		o       Options
		members []Member
		want    string
	}{
		{Options{}, nil, "no members"},
		{Options{Placement: "ring"}, two, `unknown placement "ring"; there are ch3, const_shard, crc32,`},
		{Options{Placement: "ketama", Function: "sha1"}, two, `unknown function "sha1"; there are crc16,`},
		{Options{Placement: "ch3", Function: "md5"}, two, `placement ch3 has its own function; got "md5"`},
		{Options{Function: "md5"}, two, `placement rendezvous has its own function; got "md5"`},
		{Options{Tag: "{"}, two, `tag "{" is not two bytes`},
		{Options{Tag: "{{}}"}, two, `tag "{{}}" is not two bytes`},
		{Options{}, []Member{{Name: "a"}, {Name: "b"}, {Name: "a"}},
			`two members are named "a", which placement rendezvous can't tell apart`},
		{Options{Placement: "ketama"}, []Member{{Name: "a"}, {Name: "a:11211"}},
			`two members are named "a:11211", which placement ketama can't tell apart`},
		{Options{}, []Member{{Name: "a", Weight: -1}}, `member 0 "a" has the weight -1`},
		{Options{Placement: "jump"}, []Member{{Name: "a"}, {Name: "b", Weight: 2}},
			`placement jump has no weights; got 2 for "b"`},
		{Options{Placement: "modulo"}, []Member{{Name: "a", Weight: 1 << 29}, {Name: "b", Weight: 1<<29 + 1}},
			"the members' weights are more than 1073741824 together"},
		{Options{Placement: "ketama", Weights: []float64{1, 1}}, two, "placement ketama takes no list of weights"},
		{Options{Weights: []float64{1}}, two, "1 weights for 2 members"},
		{Options{Weights: []float64{0, 0}}, two, "all weights are 0"},
		{Options{Placement: "weighted_ch3", Weights: []float64{1, 1.5}}, two, "weight 1 is 1.5; it must be in [0, 1]"},
	} {
		r, err := New(test.o, test.members)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%+v of %v: got %v, %v; want error %q", test.o, test.members, r, err, test.want)
		}
	}
}

// TestUnnamed places keys on members without names, identified by index.
func TestUnnamed(t *testing.T) {
	for _, placement := range []string{"jump", "ch3", "weighted_ch3", "const_shard", "crc32",
		"libmemcached_modulo", "random"} {
		mustNew(t, Options{Placement: placement}, make([]Member, 3))
	}
}

func TestRandomIgnoresWeights(t *testing.T) {
	mustNew(t, Options{Placement: "random"}, []Member{{Name: "a"}, {Name: "b", Weight: 2}})
}

func TestPart(t *testing.T) {
	for _, test := range []struct {
		o         Options
		key, want string
	}{
		{Options{}, "a|#|b", "a|#|b"},
		{Options{Placement: "ch3"}, "a|#|b", "a"},
		{Options{Placement: "ch3"}, "|#|b", ""},
		{Options{Placement: "ch3"}, "a|#b", "a|#b"},
		{Options{Placement: "ch3"}, "a||#|b|#|c", "a|"},
		{Options{Placement: "ch3", Stop: "b"}, "a|#|b", "a|#|"},
		{Options{Placement: "ch3", Salt: "!"}, "a|#|b", "a!"},
		{Options{Tag: "{}"}, "a{b}c", "b"},
		{Options{Tag: "{}"}, "a{b}c{d}", "b"},
		{Options{Tag: "{}"}, "a}{b}", "b"},
		{Options{Tag: "{}"}, "a{{b}}", "{b"},
		{Options{Tag: "{}"}, "a{}b{c}", "a{}b{c}"},
		{Options{Tag: "{}"}, "a{b", "a{b"},
		{Options{Tag: "{}"}, "a}b", "a}b"},
		{Options{Tag: "{}"}, "a{", "a{"},
		{Options{Tag: "$$"}, "a$b$c", "b"},
		{Options{Tag: "{}", Stop: "#"}, "a#{b}", "a"},
		{Options{Tag: "{}", Stop: "#", Salt: "!"}, "{a}#b", "a!"},
	} {
		r := mustNew(t, test.o, named("m%d", 2))
		if got := r.part.salted(nil, r.part.of([]byte(test.key))); string(got) != test.want {
			t.Errorf("%+v of %q: got %q; want %q", test.o, test.key, got, test.want)
		}
	}
}

// TestSameOwner: all methods agree on the owner.
func TestSameOwner(t *testing.T) {
	everyone := func(int) bool { return true }
	idle := func(int) int64 { return 0 }
	for _, placement := range placementNames() {
		if placement == "random" {
			continue
		}
		for _, o := range []Options{{Placement: placement}, {Placement: placement, Salt: "salt"},
			{Placement: placement, Salt: strings.Repeat("long", 100)}} {
			r := mustNew(t, o, named("m%d", 7))
			for i := range 2000 {
				want := r.Owner(key(i))
				if got := r.OwnerAmong(key(i), everyone); got != want {
					t.Fatalf("%s: OwnerAmong all: got %d; want %d", placement, got, want)
				}
				if got := r.OwnerBounded(key(i), idle, 1.25); got != want {
					t.Fatalf("%s: OwnerBounded of idle members: got %d; want %d", placement, got, want)
				}
				if got := r.Next(nil, key(i), 1); !slices.Equal(got, []int{want}) {
					t.Fatalf("%s: Next: got %d; want %d", placement, got, want)
				}
			}
		}
	}
}

func TestNext(t *testing.T) {
	for _, placement := range placementNames() {
		for _, n := range []int{1, 2, 7, 100, 1100} {
			r := mustNew(t, Options{Placement: placement}, named("m%d", n))
			for i := range 5 {
				all := r.Next([]int{-7}, key(i), n+1)
				sorted := slices.Sorted(slices.Values(all))
				if len(all) != n+1 || sorted[0] != -7 || sorted[1] != 0 || len(slices.Compact(sorted)) != n+1 {
					t.Fatalf("%s: got %v; want -7 and each of %d members once", placement, all, n)
				}
				few := r.Next(nil, key(i), 3)
				if placement != "random" && !slices.Equal(few, all[1:1+min(3, n)]) {
					t.Fatalf("%s: got %v; want the start of %v", placement, few, all[1:])
				}
			}
			if got := r.Next(nil, key(0), 0); len(got) != 0 {
				t.Errorf("%s: got %v; want none", placement, got)
			}
		}
	}
}

// TestNextShares: the keys of one member are spread evenly over the others when it fails.
func TestNextShares(t *testing.T) {
	const keys, n = 40_000, 5
	for _, placement := range placementNames() {
		r := mustNew(t, Options{Placement: placement}, named("m%d", n))
		second := make([]int, n)
		total := 0
		for i := range keys {
			if next := r.Next(nil, key(i), 2); next[0] == 0 {
				second[next[1]]++
				total++
			}
		}
		tolerance := 0.1
		if unevenness(placement) > 0.3 {
			tolerance = 0.4
		}
		for i, got := range second[1:] {
			if mean := float64(total) / (n - 1); float64(got) < mean*(1-tolerance) || float64(got) > mean*(1+tolerance) {
				t.Errorf("%s: member %d follows member 0 for %d keys; want about %.0f", placement, i+1, got, mean)
			}
		}
	}
}

// TestOwnerAmong: only the keys of members that are down move; modulo is as without these members.
func TestOwnerAmong(t *testing.T) {
	const n = 9
	members := named("m%d", n)
	for _, placement := range placementNames() {
		r := mustNew(t, Options{Placement: placement}, members)
		up := func(i int) bool { return i != 2 && i != 5 }
		left := slices.Concat(members[:2], members[3:5], members[6:])
		without := mustNew(t, Options{Placement: placement}, left)
		for i := range 5000 {
			got := r.OwnerAmong(key(i), up)
			if !up(got) {
				t.Fatalf("%s: got %d; want one that is up", placement, got)
			}
			stays := !strings.HasSuffix(placement, "modulo") && placement != "random"
			if owner := r.Owner(key(i)); stays && up(owner) && got != owner {
				t.Fatalf("%s: got %d; want the owner %d, which is up", placement, got, owner)
			}
			switch placement {
			case "modulo", "libmemcached_modulo", "ketama", "libmemcached_ketama",
				"rendezvous", "weighted_rendezvous", "mcrouter_rendezvous":
				if want := left[without.Owner(key(i))].Name; members[got].Name != want {
					t.Fatalf("%s: got %s; want %s, as without those that are down", placement, members[got].Name, want)
				}
			}
		}
		if got := r.OwnerAmong(key(1), func(int) bool { return false }); got != -1 {
			t.Errorf("%s: none up: got %d; want -1", placement, got)
		}
	}
}

// TestNoPoints places keys if the only member that is up has too small a weight for a point.
func TestNoPoints(t *testing.T) {
	r := mustNew(t, Options{Placement: "ketama"}, []Member{{Name: "a", Weight: 1000}, {Name: "b", Weight: 1}})
	for i := range 100 {
		if got := r.Owner(key(i)); got != 0 {
			t.Fatalf("got %d; want 0", got)
		}
		if got := r.OwnerAmong(key(i), func(i int) bool { return i == 1 }); got != 1 {
			t.Fatalf("got %d; want 1", got)
		}
	}
}

// TestDrained: a member of weight 0 owns a key only if no other is up.
func TestDrained(t *testing.T) {
	for _, placement := range []string{"rendezvous", "weighted_ch3"} {
		r := mustNew(t, Options{Placement: placement, Weights: []float64{1, 0, 1}}, named("m%d", 3))
		for i := range 1000 {
			if got := r.OwnerAmong(key(i), func(i int) bool { return i != 0 }); got != 2 {
				t.Fatalf("%s: got %d; want 2", placement, got)
			}
			if got := r.OwnerAmong(key(i), func(i int) bool { return i == 1 }); got != 1 {
				t.Fatalf("%s: got %d; want 1", placement, got)
			}
		}
	}
}

func TestRandom(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	r := mustNew(t, Options{Placement: "random", Random: source.Uint64}, named("m%d", 4))
	counts := make([]int, 4)
	for range 30_000 {
		counts[r.OwnerAmong(key(0), func(i int) bool { return i != 1 })]++
	}
	for i, got := range counts {
		if want := 10_000; i == 1 && got != 0 || i != 1 && (got < want*9/10 || got > want*11/10) {
			t.Errorf("member %d of %v: want about %d, and none of member 1", i, counts, want)
		}
	}
}

// everyRing returns a ring of n members for each placement and function.
func everyRing(t testing.TB, n int) map[string]*Ring {
	t.Helper()
	rings := make(map[string]*Ring)
	for placement, rule := range placements {
		for function := range functions {
			if rule.function == 0 {
				function = ""
			}
			o := Options{Placement: placement, Function: function, Tag: "{}", Salt: "s"}
			rings[placement+" "+function] = mustNew(t, o, named("m%d", n))
		}
	}
	return rings
}

func FuzzOwner(f *testing.F) {
	f.Add([]byte("user:1:{profile}|#|x"), uint64(1))
	f.Add([]byte(""), uint64(0))
	f.Add([]byte(strings.Repeat("\xff", 500)), uint64(1<<63))
	f.Add([]byte("a:18446744073709551616:b"), uint64(5))
	var sizes []map[string]*Ring
	for _, n := range []int{1, 3, 64} {
		sizes = append(sizes, everyRing(f, n))
	}
	f.Fuzz(func(t *testing.T, key []byte, down uint64) {
		up := func(i int) bool { return down>>i&1 == 0 }
		for _, rings := range sizes {
			for name, r := range rings {
				if got := r.Owner(key); got < 0 || got >= r.Len() {
					t.Fatalf("%s: got %d of %d", name, got, r.Len())
				}
				if got := r.OwnerAmong(key, up); got >= r.Len() || got >= 0 && !up(got) {
					t.Fatalf("%s: OwnerAmong: got %d of %d, down %b", name, got, r.Len(), down)
				}
			}
		}
	})
}

func ExampleRing() {
	r, err := New(Options{}, []Member{{Name: "a:11211"}, {Name: "b:11211"}, {Name: "c:11211", Weight: 2}})
	if err != nil {
		fmt.Println(err)
		return
	}
	alive := func(i int) bool { return i != 2 }
	for _, key := range []string{"user:1", "user:2", "user:3"} {
		fmt.Println(key, r.Owner([]byte(key)), r.Next(nil, []byte(key), 2), r.OwnerAmong([]byte(key), alive))
	}
	// Output:
	// user:1 2 [2 0] 0
	// user:2 0 [0 2] 0
	// user:3 1 [1 2] 1
}
