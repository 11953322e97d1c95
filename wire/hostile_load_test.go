package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"
)

// A loader is one client that applies every command of the protocol to keys that all clients share,
// to keys of its own and to counters, and checks every answer. For a key of its own it knows the
// only value that it may find: the one that it stored last. A key that was missing once must stay
// missing until it is stored again.
type loader struct {
	id      int
	c       net.Conn
	r       *bufio.Reader
	rng     *rand.Rand
	most    int  // bytes of a value
	flushes bool // it may send flush_all
	mayMiss bool // items may be evicted

	out   []byte         // requests that are not sent yet
	judge []func() error // of their answers
	own   map[string]*ownItem
	seed  uint32
}

// An ownItem is what a loader knows about a key of its own.
type ownItem struct {
	value   []byte // nil if it is gone
	expires bool   // it has a TTL, so it may expire
}

const (
	sharedKeys = 40
	ownKeys    = 30
	loaderRoom = 64 << 10
)

func newLoader(id int, c net.Conn, seed uint64, most int) *loader {
	l := &loader{id: id, c: c, r: bufio.NewReaderSize(c, 64<<10), rng: rand.New(rand.NewPCG(seed, uint64(id))), most: most,
		own: map[string]*ownItem{}, seed: uint32(id) << 20, mayMiss: true}
	for i := range ownKeys {
		l.own[fmt.Sprintf("own%d:%d%s", id, i, strings.Repeat("o", i%3*70))] = &ownItem{}
	}
	return l
}

// run sends the given number of rounds of pipelined requests.
func (l *loader) run(rounds int) error {
	for range rounds {
		if err := l.round(); err != nil {
			return fmt.Errorf("client %d: %w", l.id, err)
		}
	}
	return nil
}

func (l *loader) round() error {
	if err := l.c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for n := 1 + l.rng.IntN(24); n > 0 && len(l.out) < loaderRoom; n-- {
		switch l.rng.IntN(10) {
		case 0, 1, 2, 3:
			l.ownStep()
		case 4:
			l.count()
		default:
			l.sharedStep()
		}
	}
	if err := l.flush(); err != nil {
		return err
	}
	return l.compareAndSet()
}

// flush sends the collected requests, and checks the answers.
func (l *loader) flush() error {
	sent := make(chan error, 1)
	out := l.out
	go func() {
		_, err := l.c.Write(out)
		sent <- err
	}()
	for _, judge := range l.judge {
		if err := judge(); err != nil {
			l.c.Close()
			<-sent
			return err
		}
	}
	l.out, l.judge = nil, l.judge[:0]
	return <-sent
}

func (l *loader) ask(judge func() error, format string, args ...any) {
	l.out = fmt.Appendf(l.out, format, args...)
	l.judge = append(l.judge, judge)
}

func (l *loader) line() (string, error) {
	s, err := l.r.ReadString('\n')
	return strings.TrimSuffix(s, "\r\n"), err
}

// one checks that an answer is one of these.
func (l *loader) one(what string, of ...string) func() error {
	return func() error {
		got, err := l.line()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		for _, want := range of {
			if got == want {
				return nil
			}
		}
		return fmt.Errorf("%s: got %.100q; want one of %q", what, got, of)
	}
}

const (
	noMemory      = "SERVER_ERROR out of memory storing object"
	noMemoryDelta = "SERVER_ERROR out of memory"
)

// block is a new value of key.
func (l *loader) block(key string) []byte {
	l.seed++
	return appendBlock(nil, key, l.seed, valueBytes(l.rng, l.most-len(key)-100))
}

func (l *loader) ttl() int { return []int{0, 0, 0, 1, 2, 100, 5000, 100_000}[l.rng.IntN(8)] }

func (l *loader) sharedStep() {
	key := fmt.Sprintf("all:%d%s", l.rng.IntN(sharedKeys), strings.Repeat("s", l.rng.IntN(2)*200))
	value := l.block(key)
	flags := flagsOf(key)
	switch op := l.rng.IntN(26); {
	case op < 6:
		l.ask(l.values(key), "get %s\r\n", key)
	case op < 8:
		other := fmt.Sprintf("all:%d", l.rng.IntN(sharedKeys))
		l.ask(l.values(key, other, "nosuch", key), "gets %s %s nosuch %s\r\n", key, other, key)
	case op < 10:
		l.ask(l.metaValue(key), "mg %s v k f s t c l h q\r\nmn\r\n", key)
	case op < 14:
		l.ask(l.one("set", "STORED", noMemory), "set %s %d %d %d\r\n%s\r\n", key, flags, l.ttl(), len(value), value)
	case op < 15:
		l.ask(l.one("add", "STORED", "NOT_STORED", noMemory), "add %s %d %d %d\r\n%s\r\n",
			key, flags, l.ttl(), len(value), value)
	case op < 16:
		l.ask(l.one("replace", "STORED", "NOT_STORED", noMemory), "replace %s %d %d %d\r\n%s\r\n",
			key, flags, l.ttl(), len(value), value)
	case op < 19:
		value = appendBlock(nil, key, l.seed, l.rng.IntN(3000))
		command := []string{"append", "prepend"}[op%2]
		l.ask(l.one(command, "STORED", "NOT_STORED", noMemory), "%s %s 0 0 %d\r\n%s\r\n", command, key, len(value), value)
	case op < 20:
		l.ask(l.values(key), "gat %d %s\r\n", l.ttl(), key)
	case op < 21:
		l.ask(l.one("touch", "TOUCHED", "NOT_FOUND"), "touch %s %d\r\n", key, l.ttl())
	case op < 22:
		l.ask(l.one("delete", "DELETED", "NOT_FOUND"), "delete %s\r\n", key)
	case op < 23:
		l.ask(l.one("ms", "HD", noMemory), "ms %s %d T%d F%d\r\n%s\r\n", key, len(value), l.ttl(), flags, value)
	case op < 24:
		l.ask(l.one("md", "HD", "NF", noMemoryDelta), "md %s I T30\r\n", key)
	case op < 25:
		l.ask(l.metaValue(key), "mg %s v k f s N30 R10 q\r\nmn\r\n", key)
	case l.flushes && l.rng.IntN(50) == 0:
		l.ask(l.one("flush_all", "OK"), "flush_all\r\n")
	default:
		l.out = fmt.Appendf(l.out, "set %s %d 0 %d noreply\r\n%s\r\n", key, flags, len(value), value)
	}
}

// values checks the answer to a get of keys, which comes in their order.
func (l *loader) values(keys ...string) func() error {
	return func() error {
		for {
			key, value, flags, _, err := l.value()
			if err != nil || key == "" {
				return err
			}
			for len(keys) > 0 && keys[0] != key {
				keys = keys[1:]
			}
			if len(keys) == 0 {
				return fmt.Errorf("get: got a value of %s, which stands in no such place of the request", key)
			}
			keys = keys[1:]
			if flags != flagsOf(key) && flags != 0 {
				return fmt.Errorf("%s: flags %d; want %d", key, flags, flagsOf(key))
			}
			if err := checkValue(key, value); err != nil {
				return err
			}
		}
	}
}

// value reads one VALUE, or END, for which the key is empty.
func (l *loader) value() (key string, value []byte, flags uint32, cas uint64, err error) {
	head, err := l.line()
	if err != nil || head == "END" {
		return "", nil, 0, 0, err
	}
	var size int
	if n, _ := fmt.Sscanf(head, "VALUE %s %d %d %d", &key, &flags, &size, &cas); n < 3 {
		return "", nil, 0, 0, fmt.Errorf("got %.100q; want VALUE or END", head)
	}
	value = make([]byte, size+2)
	if _, err := io.ReadFull(l.r, value); err != nil {
		return "", nil, 0, 0, err
	}
	if !bytes.HasSuffix(value, []byte("\r\n")) {
		return "", nil, 0, 0, fmt.Errorf("%.100q: %d bytes end in %q", head, size, value[size:])
	}
	return key, value[:size], flags, cas, nil
}

// metaValue checks the answer to mg … v k f s q and mn.
func (l *loader) metaValue(key string) func() error {
	return func() error {
		head, err := l.line()
		if err != nil || head == "MN" || head == noMemoryDelta {
			if head == noMemoryDelta {
				return l.one("mn", "MN")()
			}
			return err
		}
		fields := strings.Fields(head)
		if len(fields) < 5 || fields[0] != "VA" || fields[2] != "k"+key || fields[4] != "s"+fields[1] {
			return fmt.Errorf("mg %s: got %.300q", key, head)
		}
		if fields[3] != fmt.Sprintf("f%d", flagsOf(key)) && fields[3] != "f0" {
			return fmt.Errorf("mg %s: got flags %s", key, fields[3])
		}
		size, err := strconv.Atoi(fields[1])
		if err != nil {
			return err
		}
		value := make([]byte, size+2)
		if _, err := io.ReadFull(l.r, value); err != nil {
			return err
		}
		if err := checkValue(key, value[:size]); err != nil {
			return err
		}
		return l.one("mn", "MN")()
	}
}

func (l *loader) count() {
	key := fmt.Sprintf("n:%d", l.rng.IntN(20))
	start := counterStart(key)
	switch l.rng.IntN(6) {
	case 0:
		l.ask(l.one("add", "STORED", "NOT_STORED", noMemory), "add %s 0 %d %d\r\n%d\r\n",
			key, l.ttl(), len(strconv.FormatUint(start, 10)), start)
	case 1, 2:
		l.ask(l.counted(key), "incr %s %d\r\n", key, counterStep*uint64(1+l.rng.IntN(1_000_000_000)))
	case 3:
		l.ask(l.counted(key), "ma %s N0 J%d D%d v\r\n", key, start, counterStep*l.rng.IntN(1000))
	case 4:
		l.ask(func() error {
			_, value, _, _, err := l.value()
			if err != nil || value == nil {
				return err
			}
			if err := checkCounter(key, value); err != nil {
				return err
			}
			return l.one("get", "END")()
		}, "get %s\r\n", key)
	default:
		l.ask(l.one("touch", "TOUCHED", "NOT_FOUND"), "touch %s %d\r\n", key, l.ttl())
	}
}

// counted checks the answers to incr and ma v.
func (l *loader) counted(key string) func() error {
	return func() error {
		got, err := l.line()
		if strings.HasPrefix(got, "VA ") {
			got, err = l.line()
		}
		if err != nil || got == "NOT_FOUND" || got == noMemoryDelta {
			return err
		}
		return checkCounter(key, []byte(got))
	}
}
