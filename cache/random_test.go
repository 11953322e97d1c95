package cache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A modelItem is an item of the model.
type modelItem struct {
	value  []byte
	flags  uint32
	expiry int64 // Unix seconds, 0 never
}

// TestRandomOperations applies the same operations to a store and to a map. If the store evicts, a
// miss is allowed and deletes the item from the map; a value must always be the map's.
func TestRandomOperations(t *testing.T) {
	for name, o := range map[string]struct {
		Options
		keys, valueBytes, steps int
		evicts                  bool
	}{
		"all fit":      {Options{MemoryBytes: 64 << 20}, 2000, 2000, 30_000, false},
		"small values": {Options{MemoryBytes: 1 << 20}, 50_000, 60, 100_000, true},
		"evicting":     {Options{MemoryBytes: 2 << 20}, 20_000, 1500, 30_000, true},
		"large values": {Options{MemoryBytes: 8 << 20}, 300, 200_000, 5_000, true},
		"by prefix":    {Options{MemoryBytes: 2 << 20, Detail: true}, 20_000, 1500, 30_000, true},
	} {
		t.Run(name, func(t *testing.T) {
			seed := testSeed(t)
			clock := newFakeClock()
			o.Now, o.Seed = clock.now, seed
			s := openStore(t, o.Options)
			m := &modelTest{t: t, client: newClient(t, s), clock: clock, rng: rand.New(rand.NewPCG(seed, 0)),
				model: map[string]modelItem{}, evicts: o.evicts, keys: o.keys, valueBytes: o.valueBytes}
			for range o.steps {
				m.step()
				if t.Failed() {
					return
				}
			}
			const fewFlushes = 3 // with more, memory may never be full in between
			n := s.Snapshot()
			if evicted := n.EvictedRead+n.EvictedUnread > 0; evicted != o.evicts && (evicted || n.Flushes < fewFlushes) {
				t.Errorf("evictions: %+v; want some: %v", n, o.evicts)
			}
		})
	}
}

// testSeed returns $HOLDFAST_SEED, or a random seed, and logs how to repeat the test.
func testSeed(t *testing.T) uint64 {
	seed := rand.Uint64() | 1
	if text := os.Getenv("HOLDFAST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("again with HOLDFAST_SEED=%d", seed)
	return seed
}

type modelTest struct {
	t *testing.T
	*client
	clock      *fakeClock
	rng        *rand.Rand
	model      map[string]modelItem
	evicts     bool
	keys       int
	valueBytes int
}

func (m *modelTest) step() {
	key := fmt.Sprintf("p%d:%d", m.rng.IntN(5), int(float64(m.keys)*m.rng.Float64()*m.rng.Float64()))
	old, had := m.model[key]
	if had && old.expiry != 0 && old.expiry <= m.clock.at.Unix() {
		delete(m.model, key)
		old, had = modelItem{}, false
	}
	switch op := m.rng.IntN(100); {
	case op < 45:
		m.get(key, old, had)
	case op < 70:
		it := m.newItem()
		m.answer(key, m.do(m.command("set", key, it)), "STORED\r\n")
		m.model[key] = it
	case op < 75:
		it := m.newItem()
		if m.answer(key, m.do(m.command("add", key, it)), pick(had, "NOT_STORED\r\n", "STORED\r\n")) || !had {
			m.model[key] = it
		}
	case op < 80:
		it := m.newItem()
		if !m.answer(key, m.do(m.command("replace", key, it)), pick(had, "STORED\r\n", "NOT_STORED\r\n")) && had {
			m.model[key] = it
		}
	case op < 84:
		it := m.newItem()
		it.value = it.value[:len(it.value)/8]
		if !m.answer(key, m.do(m.command("append", key, it)), pick(had, "STORED\r\n", "NOT_STORED\r\n")) && had {
			old.value = append(bytes.Clone(old.value), it.value...)
			m.model[key] = old
		}
	case op < 90:
		m.answer(key, m.do("delete "+key+"\r\n"), pick(had, "DELETED\r\n", "NOT_FOUND\r\n"))
		delete(m.model, key)
	case op < 96:
		expiry := m.expiry()
		got := m.do(fmt.Sprintf("touch %s %d\r\n", key, expiry))
		if !m.answer(key, got, pick(had, "TOUCHED\r\n", "NOT_FOUND\r\n")) && had {
			old.expiry = expiry
			m.model[key] = old
		}
	case op < 99:
		m.clock.pass(m.store, time.Duration(m.rng.IntN(3))*time.Second)
	case m.rng.IntN(600) == 0:
		m.do("flush_all\r\n")
		clear(m.model)
	}
}

func (m *modelTest) get(key string, old modelItem, had bool) {
	got := m.do("get " + key + "\r\n")
	if !had {
		if got != "END\r\n" {
			m.t.Fatalf("%s: got %.80q; want none", key, got)
		}
		return
	}
	want := fmt.Sprintf("VALUE %s %d %d\r\n%s\r\nEND\r\n", key, old.flags, len(old.value), old.value)
	m.answer(key, got, want)
}

// answer compares an answer with the expected one. If the answer shows that the item was evicted,
// where that is allowed, answer deletes it from the model and returns true.
func (m *modelTest) answer(key, got, want string) (evicted bool) {
	m.t.Helper()
	if got == want {
		return false
	}
	_, had := m.model[key]
	missing := got == "END\r\n" || got == "NOT_FOUND\r\n" || got == "NOT_STORED\r\n" || strings.HasPrefix(got, "STORED")
	if !had || !m.evicts || !missing {
		m.t.Fatalf("%s: got %.200q; want %.200q", key, got, want)
	}
	delete(m.model, key)
	return true
}

func (m *modelTest) newItem() modelItem {
	n := m.rng.IntN(m.valueBytes + 1)
	if m.rng.IntN(4) > 0 {
		n = m.valueBytes * (1 + m.rng.IntN(4)) / 4 // often a size that fits in place
	}
	value := bytes.Repeat(fmt.Appendf(nil, "%09d", m.rng.IntN(1e9)), n/4+1)[:n]
	it := modelItem{value: value, expiry: m.expiry()}
	if m.rng.IntN(3) == 0 {
		it.flags = m.rng.Uint32()
	}
	return it
}

func (m *modelTest) expiry() int64 {
	if m.rng.IntN(2) == 0 {
		return 0
	}
	return m.clock.at.Unix() + 1 + int64(m.rng.ExpFloat64()*10_000)
}

func (m *modelTest) command(name, key string, it modelItem) string {
	return fmt.Sprintf("%s %s %d %d %d\r\n%s\r\n", name, key, it.flags, it.expiry, len(it.value), it.value)
}

func pick(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

// TestConcurrent stores, reads, deletes and grows the same items from several goroutines, while
// memory is short, TTLs end and prefixes are counted. A value contains its key: no answer may have
// another key's value. The arena is on Go's heap, where the race detector sees it.
func TestConcurrent(t *testing.T) {
	clock := newFakeClock()
	s := openStore(t, Options{MemoryBytes: 4 << 20, Lanes: 4, Detail: true, Now: clock.now})
	const workers, rounds = 6, 6000
	var wg sync.WaitGroup
	done := make(chan struct{})
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			c := newClient(t, s)
			c.b.Lane = w
			for range rounds {
				concurrentStep(t, c, rng)
			}
		})
	}
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			clock.pass(s, time.Second)
			s.Snapshot()
			s.WhatIf()
			s.Dump(nil, 0, false)
		}
	}
}

func concurrentStep(t *testing.T, c *client, rng *rand.Rand) {
	key := fmt.Sprintf("k%d:%d", rng.IntN(3), rng.IntN(3000))
	value := strings.Repeat(key+",", 1+rng.IntN(200))
	if rng.IntN(100) == 0 {
		value = strings.Repeat(key+",", 20_000) // over a segment
	}
	switch op := rng.IntN(20); {
	case op < 10:
		got := c.do("get " + key + "\r\n")
		if got == "END\r\n" {
			return
		}
		_, rest, _ := strings.Cut(got, "\r\n")
		value, _, _ := strings.Cut(rest, "\r\n")
		if strings.ReplaceAll(value, key+",", "") != "" {
			t.Errorf("get %s: got %.200q", key, got)
		}
	case op < 16:
		c.do(fmt.Sprintf("set %s 0 %d %d\r\n%s\r\n", key, rng.IntN(2)*(1+rng.IntN(500)), len(value), value))
	case op < 17:
		c.do(fmt.Sprintf("append %s 0 0 %d\r\n%s,\r\n", key, len(key)+1, key))
	case op < 18:
		c.do("touch " + key + " 100\r\n")
	default:
		c.do("delete " + key + "\r\n")
	}
}
