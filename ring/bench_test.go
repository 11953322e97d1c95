package ring

import (
	"fmt"
	"testing"
)

// TestAllocations: no lookup allocates.
func TestAllocations(t *testing.T) {
	k := []byte("user:12345:{profile}|#|and more of it")
	dst := make([]int, 0, 3)
	up := func(i int) bool { return i != 1 }
	load := func(i int) int64 { return int64(i % 3) }
	for placement, rule := range placements {
		for function := range functions {
			if rule.function == 0 {
				function = ""
			}
			r := mustNew(t, Options{Placement: placement, Function: function, Salt: "salt", Tag: "{}"}, named("m%d", 100))
			for name, lookUp := range map[string]func(){
				"Owner":        func() { r.Owner(k) },
				"Next":         func() { r.Next(dst, k, 3) },
				"OwnerAmong":   func() { r.OwnerAmong(k, up) },
				"OwnerBounded": func() { r.OwnerBounded(k, load, 1.25) },
			} {
				if got := testing.AllocsPerRun(10, lookUp); got != 0 {
					t.Errorf("%s by %s: %s: got %v allocations; want 0", placement, function, name, got)
				}
			}
			if rule.function == 0 {
				break
			}
		}
	}
}

// keys are of lengths that are common in caches.
func benchmarkKeys() [][]byte {
	keys := make([][]byte, 1024)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "user:%d:profile", i*7919)
	}
	return keys
}

func BenchmarkOwner(b *testing.B) {
	keys := benchmarkKeys()
	run := func(name string, o Options, weight func(int) int) {
		for _, n := range []int{3, 16, 100} {
			members := named("10.0.0.%d:11211", n)
			for i := range members {
				members[i].Weight = weight(i)
			}
			r := mustNew(b, o, members)
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					r.Owner(keys[i%len(keys)])
				}
			})
		}
	}
	even := func(int) int { return 1 }
	for _, placement := range placementNames() {
		run(placement, Options{Placement: placement}, even)
	}
	run("rendezvous of three weights", Options{}, func(i int) int { return i%3 + 1 })
	run("ketama by md5", Options{Placement: "ketama", Function: "md5"}, even)
	run("ch3 with salt", Options{Placement: "ch3", Salt: "salt"}, even)
}

func BenchmarkOthers(b *testing.B) {
	keys := benchmarkKeys()
	up := func(i int) bool { return i != 1 }
	load := func(i int) int64 { return int64(i % 3) }
	var few [3]int
	for _, placement := range []string{"rendezvous", "ketama", "ch3"} {
		r := mustNew(b, Options{Placement: placement}, named("10.0.0.%d:11211", 16))
		for name, lookUp := range map[string]func(key []byte){
			"Next3":        func(key []byte) { r.Next(few[:0], key, 3) },
			"OwnerAmong":   func(key []byte) { r.OwnerAmong(key, up) },
			"OwnerBounded": func(key []byte) { r.OwnerBounded(key, load, 1.25) },
		} {
			b.Run(fmt.Sprintf("%s/%s/16", name, placement), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					lookUp(keys[i%len(keys)])
				}
			})
		}
	}
}
