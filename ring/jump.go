package ring

// jump is the consistent hash of Lamping and Veach (2014), figure 1: the bucket in [0, n) for a
// 64-bit hash. When n grows by one, 1/(n+1) of the hashes move, all to the new bucket.
func jump(hash uint64, n int) int {
	bucket, next := int64(-1), int64(0)
	for next < int64(n) {
		bucket = next
		hash = hash*2862933555777941757 + 1
		next = int64(float64(bucket+1) * (float64(1<<31) / float64(hash>>33+1)))
	}
	return int(bucket)
}
