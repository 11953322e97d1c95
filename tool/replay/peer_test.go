package replay

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/internal/peer"
)

// startMemcached runs memcached on a Unix socket, and returns its path.
func startMemcached(t *testing.T, args ...string) string {
	t.Helper()
	program := peer.Find(t, "memcached")
	dir, err := os.MkdirTemp("", "replay") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	peer.Start(t, "unix", socket, program, append([]string{"-u", "root", "-s", socket, "-t", "1"}, args...)...)
	return socket
}

func TestRunAgainstMemcached(t *testing.T) {
	socket := startMemcached(t, "-m", "64")
	zipf := Options{Format: FormatZipf, Zipf: Zipf{Keys: 5000, Skew: 0.9, Requests: 20_000, Seed: 1}}
	var reports []Report
	for range 2 {
		o := Options{Server: socket, Flush: true}
		report, err := Run(t.Context(), opened(t, "zipf", zipf), o)
		if err != nil {
			t.Fatal(err)
		}
		reports = append(reports, report)
	}
	// All fits, so that each key misses once.
	for _, r := range reports {
		if r.Misses != r.Keys || r.Hits+r.Misses != 20_000 || r.SetsRefused != 0 ||
			r.MemoryBytes != 64<<20 || r.Version == "" {
			t.Errorf("got %+v; want as many misses as keys", r)
		}
	}
	report, err := Run(t.Context(), opened(t, "zipf", zipf), Options{Server: socket, Connections: 4, Pipeline: 32})
	if err != nil || report.HitRate != 1 {
		t.Errorf("of a warm cache, got a hit rate of %v, %v; want 1", report.HitRate, err)
	}
}

// TestMemcachedEvictsAndRefuses checks what is reported of a cache that is too small.
func TestMemcachedEvictsAndRefuses(t *testing.T) {
	socket := startMemcached(t, "-m", "8")
	zipf := Options{Format: FormatZipf, Zipf: Zipf{Keys: 20_000, Skew: 0.5, Requests: 30_000, Seed: 1}}
	report, err := Run(t.Context(), opened(t, "zipf", zipf), Options{Server: socket, Pipeline: 16})
	if err != nil || report.Evictions == 0 || report.Misses <= report.Keys || report.Items <= 0 ||
		report.Items >= report.Keys {
		t.Errorf("got %+v, %v; want evictions", report, err)
	}
	report, err = Run(t.Context(), words("a b"), Options{Server: socket, ValueBytes: 2 << 20})
	if err != nil || report.SetsRefused != 2 || len(report.Refusals) != 1 {
		t.Errorf("of values of 2 MiB, got %+v, %v; want two sets refused", report, err)
	}
}
