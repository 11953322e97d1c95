package mrc

import (
	"math/rand/v2"
	"testing"
)

// What every request pays.
func BenchmarkSampled(b *testing.B) {
	s := New(Options{})
	hash, sampled := uint64(1), 0
	for b.Loop() {
		hash = hash*6364136223846793005 + 1442695040888963407
		if s.Sampled(hash) {
			sampled++
		}
	}
}

// What the sampled requests pay.
func BenchmarkGet(b *testing.B) {
	s := New(Options{MaxRate: 1})
	hashes := zipfHashes(8000)
	i := 0
	for b.Loop() {
		s.Get(hashes[i%len(hashes)], 148)
		i++
	}
}

// Both together, over two million keys of which a hundredth is sampled at first and fewer later:
// a get, and a set after a miss.
func BenchmarkRequest(b *testing.B) {
	s := New(Options{MaxBytes: 148 << 20})
	hashes := zipfHashes(2_000_000)
	i := 0
	for b.Loop() {
		hash := hashes[i%len(hashes)]
		i++
		if s.Sampled(hash) {
			s.Get(hash, 148)
			if i%4 == 0 {
				s.Set(hash, 148)
			}
		}
	}
	b.ReportMetric(float64(s.Stats().SampledRequests)/float64(b.N), "sampled/op")
}

func BenchmarkCurve(b *testing.B) {
	s := New(Options{MaxRate: 1})
	for _, hash := range zipfHashes(8000) {
		s.Get(hash, 148)
	}
	at := make([]int64, 17)
	for i := range at {
		at[i] = int64(i+1) << 16
	}
	for b.Loop() {
		s.Curve(at)
	}
}

func zipfHashes(keys int) []uint64 {
	draw := newZipf(0.9, keys)
	r := rand.New(rand.NewPCG(7, 8))
	hashes := make([]uint64, 1<<20)
	for i := range hashes {
		hashes[i] = mix(draw(r))
	}
	return hashes
}
