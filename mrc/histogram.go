package mrc

import (
	"math"
	"math/bits"
)

// histogram counts requests by stack distance in bytes. Each octave has the same number of
// buckets of equal width, so that a bucket is at most a sixteenth as wide as its distance.
type histogram [octaves * bucketsPerOctave]float64

const (
	octaves             = 48 // up to 256 TiB
	bucketsPerOctaveLog = 4
	bucketsPerOctave    = 1 << bucketsPerOctaveLog
)

// bucket returns the bucket of a distance, and the distance's place in it, in [0, 1).
func bucket(distance float64) (i int, share float64) {
	if distance < 1 {
		return 0, 0
	}
	if distance >= 1<<octaves {
		return len(histogram{}) - 1, 0
	}
	octave := bits.Len64(uint64(distance)) - 1
	in := (math.Ldexp(distance, -octave) - 1) * bucketsPerOctave // in [0, 16)
	return octave<<bucketsPerOctaveLog + int(in), in - math.Floor(in)
}

func (h *histogram) total() (requests float64) {
	for _, n := range h {
		requests += n
	}
	return requests
}

// upTo returns the number of requests whose distance is at most the given one, assuming that those
// of one bucket are spread evenly over it.
func (h *histogram) upTo(distance float64) (requests float64) {
	last, share := bucket(distance)
	for _, n := range h[:last] {
		requests += n
	}
	return requests + h[last]*share
}

func (h *histogram) divide(by float64) {
	for i := range h {
		h[i] /= by
	}
}
