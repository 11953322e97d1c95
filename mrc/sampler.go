package mrc

import (
	"math"
	"sync"
	"sync/atomic"
)

// Options are what a Sampler is made from. The zero value of a field means its default.
type Options struct {
	MaxKeys int     // the most keys in the sample; default 8192, of about 80 bytes each
	MaxRate float64 // the share of keys that is sampled at first, in (0, 1]; default 0.01

	// MaxBytes is the largest memory size that Curve will be called with; 0 means any. Keys that would
	// be evicted even from that much memory leave the sample, so that a stream of new keys over months
	// doesn't lower the sampling rate.
	MaxBytes int64

	// Window is the number of requests after which all counts are halved, so that the curve follows
	// recent traffic; default 1<<25.
	Window int64

	// Requests returns the number of gets so far, sampled or not; it never decreases. With it, Curve
	// corrects for a sample that has more or less than its share of the hottest keys, which is most of
	// SHARDS's error. Without it there is no such correction. It is called rarely, under the Sampler's
	// lock.
	Requests func() uint64
}

const (
	defaultMaxKeys = 8192
	defaultMaxRate = 0.01
	defaultWindow  = 1 << 25
	minKeys        = 16
)

// A Sampler observes requests and estimates their miss-ratio curve. New allocates its memory, and
// later only Curve allocates.
type Sampler struct {
	threshold atomic.Uint64 // keys whose hash is below it are sampled; only falls until Reset; stored under mu
	_         [120]byte     // Sampled reads threshold on each request: keep it off the lock's cache line

	mu sync.Mutex // guards what follows; Options.Requests is called under it

	options  Options
	keys     sample
	weight   float64 // how many requests, or keys, each sampled one represents: 1 ÷ rate
	maxBytes int64   // the most bytes above any sampled key: options.MaxBytes ÷ weight

	// distances and cold are in requests, not in samples: each sampled request counts as weight, which
	// is equivalent to rescaling the older counts whenever the threshold falls.
	distances histogram
	cold      float64 // requests for keys that were not in the sample

	// The same, except that the nth request for a key counts 2n-1 times, so that n requests for it
	// count as n², which is what a key adds to the variance of the sample.
	popular     histogram
	popularCold float64

	sampled uint64  // sampled requests since New or Reset
	aged    float64 // requests, by weight, since the counts were last halved

	requestsThen   uint64  // options.Requests() when the counts were last halved
	requestsBefore float64 // the requests up to then, halved with the counts
}

// New returns a Sampler without requests.
func New(o Options) *Sampler {
	if o.MaxKeys <= 0 {
		o.MaxKeys = defaultMaxKeys
	}
	o.MaxKeys = max(o.MaxKeys, minKeys)
	if !(o.MaxRate > 0 && o.MaxRate <= 1) {
		o.MaxRate = defaultMaxRate
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = math.MaxInt64
	}
	if o.Window <= 0 {
		o.Window = defaultWindow
	}
	s := &Sampler{options: o, keys: newSample(o.MaxKeys)}
	s.Reset()
	return s
}

// Reset discards everything, and samples at MaxRate again.
func (s *Sampler) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.reset()
	s.distances, s.cold = histogram{}, 0
	s.popular, s.popularCold = histogram{}, 0
	s.sampled, s.aged = 0, 0
	s.requestsBefore = 0
	if s.options.Requests != nil {
		s.requestsThen = s.options.Requests()
	}
	threshold := uint64(math.MaxUint64)
	if s.options.MaxRate < 1 {
		threshold = max(1, uint64(math.Ldexp(s.options.MaxRate, 64)))
	}
	s.setThreshold(threshold)
}

// Sampled reports whether the key with this hash is in the sampled share of the keys. Get, Set and
// Delete ignore all others, so they need not be called for them. The hash must be uniform in its
// upper bits.
func (s *Sampler) Sampled(hash uint64) bool { return hash < s.threshold.Load() }

// Get counts a request. bytes is the memory that the item takes, overhead included, or 0 on a miss.
func (s *Sampler) Get(hash uint64, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.Sampled(hash) {
		return // the threshold has fallen since the caller called Sampled
	}
	s.sampled++
	i := s.keys.find(hash)
	if i < 0 {
		s.cold += s.weight
		s.popularCold += s.weight
	} else {
		above, own := s.keys.distance(i)
		s.count(float64(above)*s.weight+float64(own), &s.keys.entries[i])
	}
	// A miss of a sampled key is a hit in a larger cache, so the key is raised with its old size. A
	// miss of another key takes no memory until it is set.
	s.use(hash, i, int64(bytes))
	s.age()
}

// count counts a request for a key in the sample.
func (s *Sampler) count(distance float64, e *entry) {
	b, _ := bucket(distance)
	s.distances[b] += s.weight
	e.requests++
	s.popular[b] += s.weight * (2*e.requests - 1)
}

// Set records that an item of this many bytes was stored. It is not a request of the curve.
func (s *Sampler) Set(hash uint64, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Sampled(hash) {
		s.use(hash, s.keys.find(hash), int64(bytes))
	}
}

// Delete records that the item is gone from a cache of any size: deleted, flushed or expired, but
// not evicted.
func (s *Sampler) Delete(hash uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.keys.find(hash); i >= 0 {
		s.keys.remove(i)
	}
}

// DeleteAll records that all items are gone, and keeps the counts.
func (s *Sampler) DeleteAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.reset()
}

// use puts the key, which is entry i of the sample or in no entry if i is negative, on top of the
// stack, and then removes keys until the sample is within its limits.
func (s *Sampler) use(hash uint64, i int32, bytes int64) {
	switch {
	case i >= 0:
		s.keys.raise(i, bytes)
	case bytes > 0:
		s.keys.push(hash, bytes)
	default:
		return
	}
	for s.keys.len() > s.options.MaxKeys {
		s.setThreshold(s.keys.removeLargestHash())
	}
	// The bytes above the lowest key count, without its own: at a low rate one large item represents
	// more than MaxBytes, and yet it is a hit when it is requested again.
	for s.keys.bytes > s.maxBytes {
		lowest := s.keys.lowestKey()
		if s.keys.bytes-s.keys.entries[lowest].bytes <= s.maxBytes {
			break
		}
		s.keys.remove(lowest)
	}
}

func (s *Sampler) setThreshold(threshold uint64) {
	rate := math.Ldexp(float64(threshold), -64)
	s.weight = 1 / rate
	s.maxBytes = math.MaxInt64
	if s.options.MaxBytes < math.MaxInt64 {
		s.maxBytes = int64(float64(s.options.MaxBytes) * rate)
	}
	s.threshold.Store(threshold)
}

// age halves the counts at the end of each window.
func (s *Sampler) age() {
	s.aged += s.weight
	if s.aged < float64(s.options.Window) {
		return
	}
	s.aged = 0
	s.distances.divide(2)
	s.cold /= 2
	s.popular.divide(4) // they are squares
	s.popularCold /= 4
	for i := range s.keys.entries {
		s.keys.entries[i].requests /= 2
	}
	if s.options.Requests != nil {
		now := s.options.Requests()
		s.requestsBefore = (s.requestsBefore + float64(now-s.requestsThen)) / 2
		s.requestsThen = now
	}
}
