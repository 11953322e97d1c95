package group

import (
	"encoding/binary"
	"strconv"
	"strings"
	"testing"
)

// A follower's read after a put that was acknowledged waits until it has applied the put.
func TestReadAtFollower(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	behind := c.members[c.other(leader)]
	c.isolate(behind.id, true)
	p := c.propose(leader, "a")
	c.settle()
	if _, ok := p.outcome(); !ok {
		t.Fatal("it isn't committed")
	}
	c.isolate(behind.id, false)
	x := c.read(behind)
	for len(c.network) > 0 {
		c.deliver(0)
	}
	if _, ok := x.result(); ok && len(behind.applies) == 0 {
		t.Fatal("the read ended before the put was applied")
	}
	for range 20 {
		c.tick()
		c.settle()
	}
	if err, ok := x.result(); !ok || err != nil || len(behind.applies) != 1 {
		t.Errorf("the read: %v, %v; applied %v", err, ok, behind.applies)
	}
}

// A leader that was deposed, and doesn't know it, answers no read, at itself or at a follower that
// takes it for the leader.
func TestReadAtDeposedLeader(t *testing.T) {
	c := newCluster(t, 1, 5)
	old := c.elect()
	follower := c.members[c.other(old)]
	for _, id := range c.ids { // the two are together, the others apart from them
		for _, other := range []uint64{old.id, follower.id} {
			if id != old.id && id != follower.id {
				c.cut[[2]uint64{id, other}], c.cut[[2]uint64{other, id}] = true, true
			}
		}
	}
	at, through := c.read(old), c.read(follower)
	c.settle()
	next := c.elect(old.id)
	c.propose(next, "a")
	c.settle()
	for _, x := range []*read{at, through} {
		if err, ok := x.result(); ok {
			t.Fatalf("a read got %v without a majority", err)
		}
	}
	clear(c.cut)
	for range 30 {
		c.tick()
		c.settle()
	}
	for i, m := range []*member{old, follower} {
		if err, ok := []*read{at, through}[i].result(); !ok || err != nil || len(m.applies) != 1 {
			t.Errorf("the read of member %d: %v, %v; applied %v", m.id, err, ok, m.applies)
		}
	}
}

// The one member of a group is a majority. But after a start it doesn't know yet what was
// committed, if that wasn't written.
func TestReadOfOneMember(t *testing.T) {
	c := newCluster(t, 1, 1)
	leader := c.elect()
	p := c.propose(leader, "a")
	c.settle()
	if o, ok := p.outcome(); !ok || o.err != nil {
		t.Fatalf("got %v, %v", o, ok)
	}
	leader.synced = [2]int{}
	for len(c.members[1].applies) > 0 { // what was applied was lost
		c.crash(1)
		c.down[1].applies = nil
		c.start(1)
	}
	m := c.members[1]
	x := c.read(m)
	for range 100 {
		if _, ok := x.result(); ok {
			break
		}
		if len(m.storing) > 0 {
			c.store(m)
		} else {
			c.tick()
		}
		if err, ok := x.result(); ok {
			t.Fatalf("the read ended with %v before anything was applied", err)
		}
		if m.lead() == 0 && len(m.storing) == 0 && m.began != 0 && m.commit >= m.began {
			break
		}
	}
	c.settle()
	if err, ok := x.result(); !ok || err != nil || len(m.applies) != 1 {
		t.Errorf("the read: %v, %v; applied %v", err, ok, m.applies)
	}
}

// An answer that a replica got before it was started again, or that comes twice, says nothing about
// what was asked later.
func TestContextsAreNeverUsedTwice(t *testing.T) {
	c := newCluster(t, 1, 3)
	seen := map[string]bool{}
	for range 50 {
		m := c.members[1]
		for range 10 {
			context := string(m.reads.ask())
			if seen[context] {
				t.Fatalf("context %x is used twice", context)
			}
			seen[context] = true
		}
		c.crash(1)
		c.start(1)
	}
}

func TestReads(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"none is answered":       {"add ask applied:99", ""},
		"not applied":            {"add ask answer:1 applied:9", ""},
		"applied":                {"add ask answer:1 applied:10", "a"},
		"one that came later":    {"add ask add answer:1 applied:99", "a"},
		"asked again":            {"add ask add ask answer:2 applied:20", "ab"},
		"the older one answered": {"add ask add ask answer:1 applied:10", "a"},
		"then the newer one":     {"add ask add ask answer:1 answer:2 applied:20", "ab"},
		"an answer twice":        {"add ask answer:1 add ask answer:1 applied:99", "a"},
		"of another life":        {"add ask forged:1 applied:99", ""},
		"an older one too late":  {"add ask add ask answer:2 answer:1 applied:10", ""},
		"nobody waits":           {"add add ask add gone:0 sweep answer:1 applied:10", "b"},
	} {
		r := &reads{life: [8]byte{1, 2, 3}}
		var all []*read
		for step := range strings.FieldsSeq(c.script) {
			do, arg, _ := strings.Cut(step, ":")
			n, _ := strconv.ParseUint(arg, 10, 64)
			context := binary.BigEndian.AppendUint64(r.life[:], n)
			switch do {
			case "add":
				all = append(all, &read{done: make(chan error, 1)})
				r.add(all[len(all)-1])
			case "ask":
				r.ask()
			case "answer":
				r.answer(context, 10*n)
			case "forged":
				context[0]++
				r.answer(context, 10*n)
			case "applied":
				r.applied(n)
			case "gone":
				all[n].gone.Store(true)
			case "sweep":
				r.sweep()
			}
		}
		got := ""
		for i, x := range all {
			if _, ok := x.result(); ok {
				got += string(rune('a' + i))
			}
		}
		if got != c.want {
			t.Errorf("%s: %q have ended; want %q", name, got, c.want)
		}
	}
}

// However long there is no leader, a replica keeps only the reads for which somebody waits.
func TestReadsWithoutLeader(t *testing.T) {
	c := newCluster(t, 1, 3)
	m := c.members[1]
	c.isolate(1, true)
	for range 100 {
		x := c.read(m)
		x.gone.Store(true)
		m.tick(false)
		c.carryOut(m)
	}
	if n := len(m.reads.pending); n > 2*askAgain {
		t.Errorf("%d reads are kept, for none of which anybody waits", n)
	}
	if n := len(m.reads.questions); n > maxQuestions {
		t.Errorf("%d questions are kept", n)
	}
}
