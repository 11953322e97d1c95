package replay

// timeline records the hits over a trace of unknown length in bounded memory: in buckets of equally
// many requests, which are merged in pairs whenever there are too many.
type timeline struct {
	buckets []bucket
	limit   int   // of buckets, even
	width   int64 // requests per bucket
}

type bucket struct{ requests, hits int64 }

// fineness is the least number of buckets per point, once there are enough requests: points then
// differ in width by at most a sixteenth.
const fineness = 16

func newTimeline(points int) *timeline {
	return &timeline{limit: 2 * fineness * points, width: 1}
}

// add counts the request that is number seq of the trace, from 0.
func (t *timeline) add(seq int64, hit bool) {
	for seq/t.width >= int64(t.limit) {
		t.halve()
	}
	i := int(seq / t.width)
	for len(t.buckets) <= i {
		t.buckets = append(t.buckets, bucket{})
	}
	t.buckets[i].requests++
	if hit {
		t.buckets[i].hits++
	}
}

func (t *timeline) halve() {
	n := (len(t.buckets) + 1) / 2
	for i := range n {
		b := t.buckets[2*i]
		if 2*i+1 < len(t.buckets) {
			b.requests += t.buckets[2*i+1].requests
			b.hits += t.buckets[2*i+1].hits
		}
		t.buckets[i] = b
	}
	t.buckets = t.buckets[:n]
	t.width *= 2
}

// points cuts the trace into n parts, fewer if it has fewer requests.
func (t *timeline) points(n int) []Point {
	n = min(n, len(t.buckets))
	points := make([]Point, 0, n)
	var through int64
	for i := range n {
		var sum bucket
		for _, b := range t.buckets[i*len(t.buckets)/n : (i+1)*len(t.buckets)/n] {
			sum.requests += b.requests
			sum.hits += b.hits
		}
		through += sum.requests
		points = append(points, Point{Through: through, HitRate: share(sum.hits, sum.requests)})
	}
	return points
}

// share returns part/whole, 0 if whole is 0.
func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
