package group

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// asleep returns how many replicas of a node sleep.
func (n *node) asleep() (count int) {
	for _, r := range n.replica {
		if r.Status().Asleep {
			count++
		}
	}
	return count
}

// sleep waits until all replicas of all nodes that run sleep.
func (c *nodes) sleep() {
	c.t.Helper()
	for range 100 {
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		awake := 0
		for _, n := range c.all {
			if n.host != nil {
				awake += c.groups - n.asleep()
			}
		}
		if awake == 0 {
			return
		}
	}
	c.t.Fatal("not all replicas sleep after 10 s")
}

// lead has a node lead all groups.
func (c *nodes) lead(n *node) {
	c.t.Helper()
	for group := range c.groups {
		for {
			if _, err := n.replica[group].Lead(); err == nil {
				break
			}
			for _, other := range c.all {
				other.replica[group].Transfer(n.id)
			}
			n.replica[group].Campaign()
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// A node with many groups is killed, or cut off, while they sleep. All of them have other leaders
// within 3 s, with one election each, and not all at once. Those that are cut off say so in time.
func TestManySleepersLoseTheirLeader(t *testing.T) {
	for name, fail := range map[string]func(c *nodes, n *node){
		"killed":  func(_ *nodes, n *node) { n.kill() },
		"cut off": func(c *nodes, n *node) { c.isolate(n.id, true) },
	} {
		const groups = 200
		inBubble(t, 1, groups, func(t *testing.T, c *nodes) {
			old := c.all[0]
			c.lead(old)
			c.sleep()
			terms := make([]uint64, groups)
			for i, r := range old.replica {
				terms[i] = r.Status().Term
			}
			fail(c, old)
			began, most, before := time.Now(), 0, 0
			for led := 0; led < groups; {
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				led = 0
				for i := range groups {
					for _, n := range c.all[1:] {
						if _, err := n.replica[i].Lead(); err == nil {
							led++
						}
					}
				}
				if most, before = max(most, led-before), led; time.Since(began) > 3*time.Second {
					t.Fatalf("%s: %d of %d groups have another leader after 3 s", name, led, groups)
				}
			}
			if most > groups*4/5 {
				t.Errorf("%s: %d of %d groups have elected in one tick; want them spread", name, most, groups)
			}
			for i := range groups {
				if got := c.all[1].replica[i].Status().Term; got != terms[i]+1 {
					t.Errorf("%s: group %d has term %d after %d; want one election", name, i, got, terms[i])
				}
			}
			for i, r := range old.replica {
				if _, err := r.Lead(); err == nil {
					t.Fatalf("%s: the old leader of group %d leads", name, i)
				}
			}
			c.isolate(old.id, false)
			c.sleep()
		})
	}
}

// A host whose groups sleep sends some beats, and nothing else. It needs no more ticks than that.
func TestSleepersSendNothing(t *testing.T) {
	inBubble(t, 1, 20, func(t *testing.T, c *nodes) {
		var beats, others atomic.Int64
		c.change = func(o *Options) {
			send := o.Send
			o.Send = func(m Message) {
				if m.isBeat() {
					beats.Add(1)
				} else {
					others.Add(1)
				}
				send(m)
			}
		}
		for _, n := range c.all {
			n.close()
			n.start()
		}
		c.sleep()
		time.Sleep(time.Second)
		synctest.Wait()
		beats.Store(0)
		others.Store(0)
		c.all[0].ticks.Store(0)
		time.Sleep(60 * time.Second)
		if n := c.all[0].ticks.Load(); n < 195 || n > 205 {
			t.Errorf("a host whose groups sleep has had %d ticks in 60 s; want one every 300 ms", n)
		}
		if ids := Awake(c.all[0].host); len(ids) > 0 {
			t.Errorf("got %d replicas awake; want none", len(ids))
		}
		if n := beats.Load(); n < 1100 || n > 1300 {
			t.Errorf("three hosts have sent %d beats in 60 s; want one every 300 ms to each other", n)
		}
		if n := others.Load(); n > 0 {
			t.Errorf("groups that sleep have sent %d messages; want none", n)
		}
	})
}

// A host that rests says so no longer as soon as a replica wakes, or a node has missed a beat, and the
// owner of its clock hears of it.
func TestRestEnds(t *testing.T) {
	inBubble(t, 1, 3, func(t *testing.T, c *nodes) {
		c.lead(c.all[0])
		host := c.all[0].host
		rest := func() {
			t.Helper()
			c.sleep()
			time.Sleep(time.Second)
			for began := time.Now(); ; time.Sleep(100 * time.Millisecond) { // a beat may be late at first
				synctest.Wait()
				select {
				case <-host.Changed():
				default:
				}
				if Rest(host) > 1 {
					return
				}
				if time.Since(began) > 10*time.Second {
					t.Fatal("got a host without rest while all groups sleep")
				}
			}
		}
		ends := func(why string) {
			t.Helper()
			select {
			case <-host.Changed():
			case <-time.After(time.Second):
				t.Fatalf("%s: nobody hears that the rest has ended", why)
			}
			if n := Rest(host); n != 1 {
				t.Errorf("%s: got a rest of %d ticks; want none", why, n)
			}
		}
		rest()
		if err := c.all[0].put(1, "a", "1"); err != nil {
			t.Fatal(err)
		}
		ends("a write")
		if ids := Awake(host); len(ids) != 1 || ids[0] != c.all[0].replica[1].id {
			t.Errorf("got %v awake; want the group of the write", ids)
		}
		rest()
		c.isolate(2, true)
		ends("a node that isn't heard")
		c.isolate(2, false)
		rest()
	})
}

// A node whose disk hangs hands over what it leads, also groups that sleep: a write of one group shows
// that it hangs.
func TestHungDiskOfSleepers(t *testing.T) {
	inBubble(t, 1, 3, func(t *testing.T, c *nodes) {
		old := c.all[0]
		c.lead(old)
		c.sleep()
		goOn := old.hang()
		defer goOn()
		began, result := time.Now(), make(chan error, 1)
		go func() { result <- old.put(0, "a", "1") }()
		for group := range c.groups {
			c.leaderOf(group, old.id)
		}
		if waited := time.Since(began); waited > 3*time.Second {
			t.Errorf("other nodes lead after %v; want 3 s at most", waited)
		}
		_ = soon(result)
	})
}

// A node whose disk is full hands over what it leads, also if nothing is written that could show it,
// and goes on as a follower once there is space. A node whose disk is full isn't handed anything.
func TestFullDiskHandsOver(t *testing.T) {
	for name, asleep := range map[string]bool{"asleep": true, "awake": false} {
		inBubble(t, 1, 3, func(t *testing.T, c *nodes) {
			old := c.all[0]
			c.lead(old)
			if asleep {
				c.sleep()
			}
			old.full.Store(true)
			began := time.Now()
			for group := range c.groups {
				leader := c.leaderOf(group, old.id)
				if err := leader.put(group, "a", "1"); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			if waited := time.Since(began); waited > 4*time.Second {
				t.Errorf("%s: other nodes lead after %v; want 4 s at most", name, waited)
			}
			next := c.leaderOf(0, old.id)
			next.replica[0].Transfer(old.id)
			time.Sleep(5 * time.Second)
			if _, err := old.replica[0].Lead(); err == nil {
				t.Errorf("%s: a node whose disk is full leads, since it was asked to", name)
			}
			old.full.Store(false)
			for group := range c.groups {
				if err := old.replica[group].Read(within(t, 20*time.Second)); err != nil || old.get(group, "a") != "1" {
					t.Errorf("%s: got %q, %v; want what was written meanwhile", name, old.get(group, "a"), err)
				}
			}
		})
	}
}

// Where all disks are full, nobody takes what is handed over, and there are leaders as before.
func TestAllDisksFull(t *testing.T) {
	inBubble(t, 1, 2, func(t *testing.T, c *nodes) {
		old := c.all[0]
		c.lead(old)
		c.sleep()
		for _, n := range slices.Backward(c.all) { // the leader's last, when the others know of theirs
			n.full.Store(true)
			time.Sleep(2 * time.Second)
		}
		term := old.replica[0].Status().Term
		time.Sleep(time.Minute)
		for _, n := range c.all {
			n.full.Store(false)
		}
		time.Sleep(3 * time.Second)
		if _, err := old.replica[0].Lead(); err != nil || old.replica[0].Status().Term != term {
			t.Errorf("got %v, term %d after %d; want the same leader", err, old.replica[0].Status().Term, term)
		}
		if err := old.put(0, "a", "1"); err != nil {
			t.Error(err)
		}
	})
}

// A group that sleeps writes and reads at once.
func TestSleepersAnswer(t *testing.T) {
	inBubble(t, 1, 1, func(t *testing.T, c *nodes) {
		leader := c.leader(0)
		for i := range 5 {
			c.sleep()
			began := time.Now()
			switch i % 3 {
			case 0:
				if err := leader.put(0, "a", "1"); err != nil {
					t.Fatal(err)
				}
			case 1:
				if err := leader.replica[0].Read(within(t, time.Second)); err != nil {
					t.Fatal(err)
				}
			default:
				if err := c.all[leader.id%3].replica[0].Read(within(t, time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			if waited := time.Since(began); waited > 50*time.Millisecond {
				t.Errorf("request %d took %v; want no tick", i, waited)
			}
		}
		if _, err := leader.replica[0].Lead(); err != nil {
			t.Error(err)
		}
	})
}
