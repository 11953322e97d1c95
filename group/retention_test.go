package group

import (
	"math/rand/v2"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// Sizes are about those of the entries, whatever was appended, replaced and removed.
func TestSizes(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 49))
		s := newSizes(1, 1, 0)
		first, all := uint64(1), []uint64{} // bytes of the entries from first on
		replaced := uint64(0)
		for range 300 {
			if n := uint64(len(all)); rng.IntN(5) == 0 && n > 1 {
				cut := rng.Uint64N(n)
				first, all = first+cut, all[cut:]
				s.trim(first)
			}
			n := uint64(len(all))
			from := n - min(n, rng.Uint64N(4)*rng.Uint64N(2))
			if from < n {
				replaced++
			}
			all = all[:from]
			var entries []*raftpb.Entry
			for range 1 + rng.IntN(20) {
				e := &raftpb.Entry{Index: new(first + uint64(len(all))), Data: make([]byte, rng.IntN(20_000))}
				entries, all = append(entries, e), append(all, uint64(raftBytes(e)))
			}
			s.append(entries)
			want := uint64(0)
			for _, bytes := range all {
				want += bytes
			}
			slack := 2*markBytes + replaced*20_000
			if got := s.from(first); got+slack < want || got > want+slack {
				t.Fatalf("seed %d: got %d bytes of %d entries; want %d", seed, got, len(all), want)
			}
			limit := rng.Uint64N(want + 1)
			index := max(first, s.beyond(limit))
			behind := uint64(0)
			for _, bytes := range all[min(index-first, uint64(len(all))):] {
				behind += bytes
			}
			if behind > limit+slack || behind+slack < limit {
				t.Fatalf("seed %d: got %d bytes from %d on; want about %d of %d", seed, behind, index, limit, want)
			}
		}
	}
}
