package router

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/route"
)

// The hunt for an answer that is given to another's request. Many clients ask at random for shared
// keys and for their own through members whose ways are cut, stalled and chopped at random. Each
// value says its key and who wrote it as what; each meta request has an opaque of its own; each
// client counts in a range of its own; some keys are always there. So an answer that belongs
// elsewhere shows, however it got there.
func TestNoAnswerGoesToAnother(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(p *route.Pool)
		away   bool // batches are given from goroutines, as those of TLS connections are
	}{
		{"sharded", func(*route.Pool) {}, false},
		{"sharded, from goroutines", func(*route.Pool) {}, true},
		{"ejecting, two links", func(p *route.Pool) { p.Eject, p.Connections = true, 2 }, false},
		{"few in flight", func(p *route.Pool) { p.MaxInFlight = 24 }, true},
		{"replicated", func(p *route.Pool) { p.Kind = route.Replicated }, false},
		{"replicated, from goroutines", func(p *route.Pool) { p.Kind, p.Acknowledge = route.Replicated, route.AckMajority },
			true},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, cutters, o := replicas(t, 3)
			p := &o.Pools[0]
			p.Kind, p.Timeout, p.SoftErrors = route.Sharded, 30*time.Millisecond, 2
			test.change(p)
			huntMixups(t, cutters, o, test.away)
		})
	}
}

const (
	huntClients = 12
	huntLasts   = 2 * time.Second // a bound on the load, not on what is checked
	sharedKeys  = 40
	fixedKeys   = 20 // that are written once, before anything is disturbed
	ownKeys     = 8
)

func huntMixups(t *testing.T, cutters []*cutter, o route.Options, away bool) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := run(t, o, 2)
	for i := range fixedKeys {
		key := fixedKey(i)
		r.want(0, fmt.Sprintf("set %s 0 0 %d\r\n%s:::\r\n", key, len(key)+3, key), "STORED\r\n")
	}
	end := make(chan struct{})
	var clients sync.WaitGroup
	all := tally{fixed: !o.Pools[0].Eject}
	for i := range huntClients {
		c := &hunter{r: r, id: i, away: away, all: &all, random: rand.New(rand.NewPCG(seed, uint64(i)))}
		clients.Go(func() { c.hunt(end) })
	}
	disturb(cutters, rand.New(rand.NewPCG(seed, 1<<32)), huntLasts)
	close(end)
	clients.Wait()
	t.Logf("%d requests: %d with a value, %d errors", all.requests.Load(), all.values.Load(), all.errors.Load())
	if all.values.Load() == 0 || all.errors.Load() == 0 {
		t.Error("this shows nothing: nothing was found, or nothing failed")
	}
	await(t, "the members are up", func() bool {
		for _, m := range r.Pools()[0].Members {
			if m.State != "up" || m.Pending > 0 {
				return false
			}
		}
		return true
	})
	final := &hunter{r: r, id: huntClients, away: away, all: &all, random: rand.New(rand.NewPCG(seed, 2)),
		strict: o.Pools[0].MaxInFlight == 0}
	for range 50 {
		final.round()
	}
}

// disturb cuts, stalls and chops the ways for a while, and leaves them well.
func disturb(cutters []*cutter, random *rand.Rand, last time.Duration) {
	for began := time.Now(); time.Since(began) < last; {
		way := cutters[random.IntN(len(cutters))]
		wait := time.Duration(random.IntN(15)) * time.Millisecond
		switch random.IntN(4) {
		case 0:
			way.stall.Lock()
			time.Sleep(5 * wait)
			way.stall.Unlock()
		case 1:
			way.chop.Store(int64(1 + random.IntN(40)))
			time.Sleep(5 * wait)
			way.chop.Store(0)
		case 2: // all connections break, and new ones can be made at once
			way.setCut(true)
			way.setCut(false)
		default:
			way.setCut(true)
			time.Sleep(wait)
			way.setCut(false)
		}
		time.Sleep(wait)
	}
}

func fixedKey(i int) string { return fmt.Sprintf("fixed%d", i) }

// A tally counts what the clients of a hunt have seen.
type tally struct {
	requests, values, errors atomic.Int64
	fixed                    bool // a miss of a fixed key is a fault
}

// A hunter is one client.
type hunter struct {
	r        *running
	id       int
	away     bool
	strict   bool // nothing is disturbed any more, nor limited: an error is a fault
	all      *tally
	random   *rand.Rand
	sequence int
	counts   int // how often it has counted up
}

// A wish is a request with how its answer is checked: it takes the answer off the front of what
// came.
type wish struct {
	request string
	check   func(answers string) (rest string, err error)
}

func (h *hunter) hunt(end chan struct{}) {
	for {
		select {
		case <-end:
			return
		default:
			if !h.round() {
				return
			}
		}
	}
}

// round sends a pipeline of requests and checks what comes.
func (h *hunter) round() bool {
	var wishes []wish
	pipeline := ""
	for range 1 + h.random.IntN(20) {
		w := h.wish()
		wishes = append(wishes, w)
		pipeline += w.request
	}
	got := h.r.askFrom(h.random.IntN(len(h.r.loops)), pipeline, !h.away)
	rest := got
	for i, w := range wishes {
		h.all.requests.Add(1)
		var err error
		if rest, err = w.check(rest); err != nil {
			h.r.t.Errorf("client %d: request %d %.120q: %v\nat %.200q\nof %.500q\nfor %.500q", h.id, i, w.request, err, rest,
				got, pipeline)
			return false
		}
	}
	if rest != "" {
		h.r.t.Errorf("client %d: %.200q is too much\nof %.500q\nfor %.500q", h.id, rest, got, pipeline)
	}
	return rest == ""
}

// key is a shared key, or one of the client's own.
func (h *hunter) key() string {
	if h.random.IntN(2) == 0 {
		return "shared" + strconv.Itoa(h.random.IntN(sharedKeys))
	}
	return fmt.Sprintf("own%d-%d", h.id, h.random.IntN(ownKeys))
}

// readKey is a key to read.
func (h *hunter) readKey() string {
	if h.random.IntN(3) == 0 {
		return fixedKey(h.random.IntN(fixedKeys))
	}
	return h.key()
}

// value is one for key that says where it is from. Most are short, some are longer than a buffer.
func (h *hunter) value(key string) string {
	h.sequence++
	padding := h.random.IntN(60)
	if h.random.IntN(40) == 0 {
		padding = h.random.IntN(100_000)
	}
	return fmt.Sprintf("%s:%d:%d:%s", key, h.id, h.sequence,
		strings.Repeat("\r\nEND\r\nVALUE x 0 1", padding/18+1)[:padding])
}

func (h *hunter) wish() wish {
	key := h.key()
	switch h.random.IntN(15) {
	case 0, 1, 2:
		return h.gets("get", h.readKey())
	case 3:
		return h.gets("gets", h.readKey())
	case 4, 5:
		var keys []string
		for range 1 + h.random.IntN(30) {
			keys = append(keys, h.readKey())
		}
		return h.gets("get", keys...)
	case 6:
		value := h.value(key)
		return wish{fmt.Sprintf("set %s 0 0 %d\r\n%s\r\n", key, len(value), value), h.one("STORED\r\n")}
	case 7:
		value := h.value(key)
		return wish{fmt.Sprintf("set %s 0 0 %d noreply\r\n%s\r\n", key, len(value), value), nothingComes}
	case 8:
		return wish{"delete " + key + "\r\n", h.one("DELETED\r\n", "NOT_FOUND\r\n")}
	case 9:
		return h.count()
	case 10:
		h.sequence++
		opaque := fmt.Sprintf("O%d-%d", h.id, h.sequence)
		value := h.value(key)
		return wish{fmt.Sprintf("ms %s %d %s k\r\n%s\r\n", key, len(value), opaque, value),
			h.one("HD " + opaque + " k" + key + "\r\n")}
	}
	return h.metaGet(h.readKey())
}

func nothingComes(answers string) (string, error) { return answers, nil }

// failed takes a SERVER_ERROR off the front.
func (h *hunter) failed(answers string) (rest string, ok bool) {
	if h.strict || !strings.HasPrefix(answers, "SERVER_ERROR ") {
		return answers, false
	}
	line, rest, ok := strings.Cut(answers, "\r\n")
	h.all.errors.Add(1)
	return rest, ok && !strings.Contains(line, "\n")
}

// one checks an answer that is one of these lines.
func (h *hunter) one(lines ...string) func(string) (string, error) {
	return func(answers string) (string, error) {
		for _, line := range lines {
			if rest, ok := strings.CutPrefix(answers, line); ok {
				return rest, nil
			}
		}
		if rest, ok := h.failed(answers); ok {
			return rest, nil
		}
		return answers, fmt.Errorf("it isn't one of %q", lines)
	}
}

// gets checks values of these keys, in this order, and one END or error.
func (h *hunter) gets(command string, keys ...string) wish {
	return wish{command + " " + strings.Join(keys, " ") + "\r\n", func(answers string) (string, error) {
		next, missed := 0, ""
		for strings.HasPrefix(answers, "VALUE ") {
			head, rest, _ := strings.Cut(answers, "\r\n")
			words := strings.Fields(head)
			if len(words) != 4 && command == "get" || len(words) != 5 && command == "gets" {
				return answers, fmt.Errorf("%q is no VALUE of %s", head, command)
			}
			for ; next < len(keys) && keys[next] != words[1]; next++ {
				missed = h.missed(missed, keys[next])
			}
			if next++; next > len(keys) {
				return answers, fmt.Errorf("%s isn't asked for, or not here", words[1])
			}
			var err error
			if answers, err = h.block(words[1], words[3], rest); err != nil {
				return answers, err
			}
		}
		if rest, ok := strings.CutPrefix(answers, "END\r\n"); ok {
			for ; next < len(keys); next++ {
				missed = h.missed(missed, keys[next])
			}
			if missed != "" {
				return answers, fmt.Errorf("%s is always there", missed)
			}
			return rest, nil
		}
		if rest, ok := h.failed(answers); ok {
			return rest, nil
		}
		return answers, fmt.Errorf("no END")
	}}
}

// missed is missed, or key if that can't be missed.
func (h *hunter) missed(missed, key string) string {
	if h.all.fixed && strings.HasPrefix(key, "fixed") {
		return key
	}
	return missed
}

// block takes a block of size bytes off the front, which must be a value of key.
func (h *hunter) block(key, size, answers string) (rest string, err error) {
	n, err := strconv.Atoi(size)
	if err != nil || n+2 > len(answers) || answers[n:n+2] != "\r\n" {
		return answers, fmt.Errorf("no block of %s bytes", size)
	}
	h.all.values.Add(1)
	words := strings.SplitN(answers[:n], ":", 4)
	if len(words) != 4 || words[0] != key {
		return answers, fmt.Errorf("%.60q isn't a value of %s", answers[:n], key)
	}
	if strings.HasPrefix(key, fmt.Sprintf("own%d-", h.id)) {
		sequence, err := strconv.Atoi(words[2])
		if err != nil || words[1] != strconv.Itoa(h.id) || sequence > h.sequence {
			return answers, fmt.Errorf("%.60q wasn't written by the only one who writes %s", answers[:n], key)
		}
	}
	return answers[n+2:], nil
}

// metaGet checks an mg by its opaque and its key.
func (h *hunter) metaGet(key string) wish {
	h.sequence++
	opaque := fmt.Sprintf("O%d-%d", h.id, h.sequence)
	quiet := h.random.IntN(3) == 0
	request := "mg " + key + " v " + opaque + " k\r\n"
	if quiet {
		request = "mg " + key + " v " + opaque + " k q\r\nmn\r\n"
	}
	end := func(answers string) (string, error) {
		if !quiet {
			return answers, nil
		}
		if rest, ok := strings.CutPrefix(answers, "MN\r\n"); ok {
			return rest, nil
		}
		return answers, fmt.Errorf("no MN")
	}
	return wish{request, func(answers string) (string, error) {
		head, rest, _ := strings.Cut(answers, "\r\n")
		if words := strings.Fields(head); len(words) == 4 && words[0] == "VA" {
			if words[2] != opaque || words[3] != "k"+key {
				return answers, fmt.Errorf("%q is another request's", head)
			}
			rest, err := h.block(key, words[1], rest)
			if err != nil {
				return answers, err
			}
			return end(rest)
		}
		if h.missed("", key) != "" && (head == "MN" || strings.HasPrefix(head, "EN")) {
			return answers, fmt.Errorf("%s is always there", key)
		}
		if !quiet && (head == "EN" || head == "EN "+opaque+" k"+key) {
			return rest, nil
		}
		if quiet && head == "MN" {
			return rest, nil
		}
		if rest, ok := h.failed(answers); ok {
			return end(rest)
		}
		return answers, fmt.Errorf("no answer to mg")
	}}
}

// count counts up in a range of the client's own.
func (h *hunter) count() wish {
	const span = 1_000_000_000
	key := fmt.Sprintf("count%d", h.id)
	if h.counts == 0 || h.random.IntN(20) == 0 {
		start := strconv.Itoa((h.id + 1) * span)
		h.counts++
		return wish{fmt.Sprintf("set %s 0 0 %d\r\n%s\r\n", key, len(start), start), h.one("STORED\r\n")}
	}
	h.counts++
	return wish{"incr " + key + " 1\r\n", func(answers string) (string, error) {
		line, rest, _ := strings.Cut(answers, "\r\n")
		if n, err := strconv.Atoi(line); err == nil {
			if low := (h.id + 1) * span; n <= low || n > low+h.counts {
				return answers, fmt.Errorf("%d is another client's count", n)
			}
			return rest, nil
		}
		return h.one("NOT_FOUND\r\n")(answers)
	}}
}
