package mrc_test

import (
	"fmt"
	"hash/maphash"

	"holdfast/mrc"
)

// A cache counts its gets anyway, and asks Sampled before it spends more on one. This one is asked
// for a thousand items of 1 KiB in turn, again and again, so that any smaller memory is of no use.
func ExampleSampler() {
	seed := maphash.MakeSeed()
	var gets uint64
	s := mrc.New(mrc.Options{
		MaxRate:  1, // all keys: a thousand are too few to take a sample of
		MaxBytes: 4 << 20,
		Requests: func() uint64 { return gets },
	})
	for range 100 {
		for item := range 1000 {
			gets++
			hash := maphash.Comparable(seed, item)
			if s.Sampled(hash) {
				s.Get(hash, 0)    // a miss, so it's loaded
				s.Set(hash, 1024) // and set
			}
		}
	}
	for _, p := range s.Curve([]int64{512 << 10, 2 << 20}) {
		fmt.Printf("%4d KiB: %.0f %%\n", p.MemoryBytes>>10, 100*p.HitRatio)
	}
	// Output:
	//  512 KiB: 0 %
	// 2048 KiB: 99 %
}
