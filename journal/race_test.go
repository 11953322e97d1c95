package journal

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// TestConcurrently adds newer and newer versions of the same keys from several goroutines, while a
// reader deletes them and finishes outages. Each version must be deleted after it was added.
func TestConcurrently(t *testing.T) {
	for _, directory := range []string{"", t.TempDir()} {
		const adders, keysEach, versions = 4, 8, 2000
		m := member(t, open(t, quiet(directory)), "m")
		var missed, deleted [adders * keysEach]atomic.Int64
		var group sync.WaitGroup
		for adder := range adders {
			group.Go(func() {
				for v := range versions {
					key := adder*keysEach + v%keysEach
					missed[key].Store(int64(v + 1))
					if !m.Add(fmt.Append(nil, key)) {
						if err := m.Begin(); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		added := make(chan struct{})
		go func() {
			group.Wait()
			close(added)
		}()
		outages := 0
		for b, last := (Batch{}), false; ; {
			if err := m.Read(b.Next, &b); err != nil {
				t.Fatal(err)
			}
			for _, e := range b.Entries {
				var key int
				if _, err := fmt.Sscan(string(e.Key), &key); err != nil {
					t.Fatal(err)
				}
				deleted[key].Store(missed[key].Load())
			}
			if len(b.Entries) > 0 || !m.Finish(b.Next) {
				continue
			}
			outages++
			if last {
				break
			}
			select {
			case <-added:
				last = true
			default:
			}
		}
		for key := range missed {
			if got, want := deleted[key].Load(), missed[key].Load(); got != want {
				t.Errorf("key %d: deleted at version %d; want %d", key, got, want)
			}
		}
		if m.InOutage() || outages == 0 {
			t.Errorf("in outage %v after %d outages", m.InOutage(), outages)
		}
	}
}
