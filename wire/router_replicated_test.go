package wire

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	staleWriters = 3
	staleReaders = 5
	staleKeys    = 240
	staleLasts   = 6 * time.Second // limits the load, not the checks
)

// A trail is what is known about one key. Its versions rise; a delete has a version too.
type trail struct {
	acknowledged atomic.Int64 // the highest version whose write was acknowledged
	seen         atomic.Int64 // the highest version that a read returned
}

// TestRouterNeverServesWhatWasMissed kills, stops and continues real memcacheds of a replicated
// pool under load: no read returns a value older than the last write that was acknowledged before
// the read began, nor older than the value of an earlier read.
func TestRouterNeverServesWhatWasMissed(t *testing.T) {
	for _, policy := range []string{"all", "majority", "fastest"} {
		t.Run(policy, func(t *testing.T) { huntStale(t, policy) })
	}
}

func huntStale(t *testing.T, policy string) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	members := startMembers(t, 3)
	address := freeAddress(t)
	router := startRouter(t, address, configFor(address, members,
		"kind: replicated", "acknowledge: "+policy, "timeout: 150ms", "probe_min: 5ms", "probe_max: 30ms")+
		fmt.Sprintf("  journal:\n    folder: %q\n", t.TempDir()))
	h := &staleHunt{t: t, router: router, trails: make([]trail, staleKeys), end: make(chan struct{})}
	var clients sync.WaitGroup
	for i := range staleWriters { // one for each key, so that its versions rise
		c := talk(t, router)
		clients.Go(func() { h.write(c, i) })
	}
	for i := range staleReaders {
		c := talk(t, router)
		clients.Go(func() { h.read(c, i) })
	}
	random := rand.New(rand.NewPCG(seed, 0))
	for began := time.Now(); time.Since(began) < staleLasts; {
		i := random.IntN(len(members))
		wait := time.Duration(random.IntN(300)) * time.Millisecond
		if random.IntN(3) > 0 {
			signal(t, members[i], syscall.SIGSTOP)
			time.Sleep(wait)
			signal(t, members[i], syscall.SIGCONT)
		} else {
			members[i].kill()
			time.Sleep(wait)
			members[i] = startAgain(t, members[i])
		}
		time.Sleep(wait)
	}
	close(h.end)
	clients.Wait()
	t.Logf("%d writes, %d reads with %d hits", h.writes.Load(), h.reads.Load(), h.hits.Load())
	if h.hits.Load() == 0 || h.writes.Load() == 0 {
		t.Error("this shows nothing")
	}
	c := talk(t, router)
	eventually(t, "all members are back", func() bool {
		answer, err := c.ask("set last 0 0 1\r\n1\r\n")
		if err != nil {
			t.Fatal(err)
		}
		if answer != "STORED\r\n" {
			return false
		}
		for _, m := range members {
			if got, err := talk(t, m).ask("get last\r\n"); err != nil || got == "END\r\n" {
				return false
			}
		}
		return true
	})
}

// A staleHunt is the state that its clients share.
type staleHunt struct {
	t                   *testing.T
	router              *process
	trails              []trail
	end                 chan struct{}
	writes, reads, hits atomic.Int64
}

func (h *staleHunt) ended() bool {
	select {
	case <-h.end:
		return true
	default:
		return false
	}
}

// write writes rising versions of every staleWriters-th key from first on, and deletes some now and
// then.
func (h *staleHunt) write(c *talker, first int) {
	key := first
	for version := int64(1); !h.ended(); version++ {
		if key += staleWriters; key >= len(h.trails) {
			key = first
		}
		text := strconv.FormatInt(version, 10)
		request := fmt.Sprintf("set key%d 0 0 %d\r\n%s\r\n", key, len(text), text)
		if version%7 == 0 {
			request = fmt.Sprintf("delete key%d\r\n", key)
		}
		answer, err := c.ask(request)
		switch {
		case err != nil:
			h.t.Errorf("a writer: %v\n%s", err, tail(h.router.stderr.String()))
			return
		case answer == "STORED\r\n" || answer == "DELETED\r\n" || answer == "NOT_FOUND\r\n":
			h.trails[key].acknowledged.Store(version)
			h.writes.Add(1)
		case !isServerError(answer):
			h.t.Errorf("%q was answered with %q", request, answer)
		}
	}
}

// read reads keys and checks the age of their values.
func (h *staleHunt) read(c *talker, client int) {
	for i := 0; !h.ended(); i++ {
		key := (i*7 + client*31) % len(h.trails)
		trail := &h.trails[key]
		acknowledged, seen := trail.acknowledged.Load(), trail.seen.Load()
		answer, err := c.ask(fmt.Sprintf("get key%d\r\n", key))
		if err != nil {
			h.t.Errorf("a reader: %v\n%s", err, tail(h.router.stderr.String()))
			return
		}
		h.reads.Add(1)
		lines := strings.Split(answer, "\r\n")
		if !strings.HasPrefix(answer, "VALUE ") || len(lines) < 3 {
			continue
		}
		h.hits.Add(1)
		version, err := strconv.ParseInt(lines[1], 10, 64)
		if err != nil {
			h.t.Errorf("answer %q: %v", answer, err)
			return
		}
		if version < acknowledged || version < seen {
			h.t.Errorf("key%d: version %d was read after %d had been acknowledged, and %d read",
				key, version, acknowledged, seen)
		}
		for seen < version && !trail.seen.CompareAndSwap(seen, version) {
			seen = trail.seen.Load()
		}
	}
}
