package index

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Changes wait for others for gatherTime, and not at all once a query waits for them, whether that
// comes before or meanwhile.
func TestGather(t *testing.T) {
	for _, c := range []struct {
		name         string
		expect, want time.Duration // after which a query comes; how long the changes wait
	}{
		{"no query", time.Hour, gatherTime},
		{"a query meanwhile", gatherTime / 4, gatherTime / 4},
		{"a query before", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &source{hurry: make(chan struct{}, 1)}
				if c.expect == 0 {
					s.expect()
					s.expect() // another one
				} else {
					later := time.AfterFunc(c.expect, s.expect)
					defer later.Stop()
				}
				begin := time.Now()
				s.gather(t.Context())
				if got := time.Since(begin); got != c.want {
					t.Errorf("got a wait of %v; want %v", got, c.want)
				}
			})
		})
	}
}

// A follower that is stopped while changes wait ends at once.
func TestGatherEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begin := time.Now()
		(&source{hurry: make(chan struct{}, 1)}).gather(ctx)
		if got := time.Since(begin); got != 0 {
			t.Errorf("got a wait of %v; want none", got)
		}
	})
}
