package replay

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
)

func TestZipfFollowsItsLaw(t *testing.T) {
	const keys, requests = 50, 200_000
	for _, skew := range []float64{0, 0.5, 0.99, 1, 1.3, 3} {
		z := newZipf(Zipf{Keys: keys, Skew: skew, Requests: requests, Seed: 1}, newKeyer(1))
		counts := make([]float64, keys+1)
		for range requests {
			r, err := z.Next()
			if err != nil {
				t.Fatal(err)
			}
			rank, err := strconv.Atoi(string(r.Key))
			if err != nil || rank < 1 || rank > keys {
				t.Fatalf("skew %v: key %q; want 1 to %d", skew, r.Key, keys)
			}
			counts[rank]++
		}
		if _, err := z.Next(); err != io.EOF {
			t.Errorf("skew %v: after the last request %v; want EOF", skew, err)
		}
		var sum float64
		for rank := 1; rank <= keys; rank++ {
			sum += math.Pow(float64(rank), -skew)
		}
		for rank := 1; rank <= keys; rank++ {
			want := requests * math.Pow(float64(rank), -skew) / sum
			if diff := math.Abs(counts[rank] - want); diff > 5*math.Sqrt(want)+1 {
				t.Errorf("skew %v: rank %d came %v times; want %.0f, five standard deviations at most away", skew,
					rank, counts[rank], want)
			}
		}
	}
}

func TestZipfSeed(t *testing.T) {
	load := func(seed uint64) []string {
		trace := opened(t, "zipf", Options{Format: FormatZipf, Zipf: Zipf{Requests: 100, Seed: seed}})
		all, err := drain(trace)
		if err != nil || len(all) != 100 || trace.Done() != 1 {
			t.Fatalf("%d requests, done %v, %v; want 100, all", len(all), trace.Done(), err)
		}
		return all
	}
	if !slices.Equal(load(1), load(1)) || slices.Equal(load(1), load(2)) {
		t.Error("want equal loads of equal seeds only")
	}
	for _, wrong := range []Zipf{{Skew: -1}, {Skew: math.NaN()}, {Keys: 1 << 41}, {Requests: -1}} {
		if _, err := Open("zipf", Options{Format: FormatZipf, Zipf: wrong}); err == nil {
			t.Errorf("%+v: want an error", wrong)
		}
	}
}

func TestHistogramBuckets(t *testing.T) {
	next := uint64(0)
	for bucket := range len(histogram{}.counts) {
		last := lastOf(bucket)
		if bucketOf(next) != bucket || bucketOf(last) != bucket {
			t.Fatalf("bucket %d: %d to %d fall in %d and %d", bucket, next, last, bucketOf(next), bucketOf(last))
		}
		if width := last - next + 1; next >= subBuckets && width > next/32 {
			t.Fatalf("bucket %d, from %d, is %d wide", bucket, next, width)
		}
		next = last + 1
	}
	if next != 0 {
		t.Errorf("the last bucket ends at %d; want at 2^64-1", next-1)
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var h histogram
	if h.quantile(0.5) != 0 {
		t.Error("want 0 of no durations")
	}
	random := rand.New(rand.NewPCG(3, 4))
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(math.Exp(8 + 3*random.NormFloat64()))
		all = append(all, d)
		h.add(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999} {
		got, want := h.quantile(q), all[int(q*float64(len(all)))]
		if got < want || float64(got) > float64(want)*33/32 {
			t.Errorf("quantile %v: got %d; want %d to 1/32 more", q, got, want)
		}
	}
	if h.quantile(1) != all[len(all)-1] {
		t.Errorf("quantile 1: got %d; want the maximum, %d", h.quantile(1), all[len(all)-1])
	}
}

func TestDistinct(t *testing.T) {
	d := newDistinct(1000)
	count := func(n int) {
		for i := range n {
			for range 2 {
				d.add(fmt.Appendf(nil, "key %d", i), 10)
			}
		}
	}
	count(1000)
	if d.keys() != 1000 || !d.exact() || d.totalBytes() != 10_000 {
		t.Errorf("got %d keys, exact %v, %d bytes; want 1000, exact, 10000", d.keys(), d.exact(), d.totalBytes())
	}
	const many = 100_000
	count(many)
	if got := float64(d.keys()); d.exact() || math.Abs(got/many-1) > 0.15 || len(d.bytes) > 1000 {
		t.Errorf("got %v keys, exact %v, of %d hashes; want about %d", got, d.exact(), len(d.bytes), many)
	}
}

func TestTimeline(t *testing.T) {
	for _, requests := range []int64{0, 1, 3, 4, 5, 100, 128, 129, 10_000, 123_457} {
		line := newTimeline(4)
		for seq := range requests {
			line.add(seq, seq < requests/2)
		}
		points := line.points(4)
		if want := min(int(requests), 4); len(points) != want {
			t.Errorf("%d requests: %d points; want %d", requests, len(points), want)
		}
		var hits, before float64
		for _, p := range points {
			width := float64(p.Through) - before
			if requests > 1000 && math.Abs(width/float64(requests)-0.25) > 0.02 {
				t.Errorf("%d requests: a point of %v", requests, width)
			}
			hits += p.HitRate * width
			before = float64(p.Through)
		}
		if int64(before) != requests || int64(math.Round(hits)) != requests/2 {
			t.Errorf("%d requests: points of %v requests and %v hits; want %d", requests, before, hits, requests/2)
		}
	}
}
