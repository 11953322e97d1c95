package group

import (
	"sync/atomic"
	"testing"
)

// hesitate has a member be hesitant.
func (c *cluster) hesitate(id uint64) {
	on := new(atomic.Bool)
	on.Store(true)
	c.members[id].core.hesitant = on
}

// When a leader is gone, another one is elected than the hesitant member, whether the group slept or
// not.
func TestHesitantMembersLeaveItToOthers(t *testing.T) {
	for seed := range uint64(40) {
		sleeps := 0
		if seed%2 == 1 {
			sleeps = 2 * patience
		}
		c := newSleepers(t, seed, 3, sleeps)
		old := c.elect()
		c.pass(int(seed) + 2*sleeps)
		hesitant := c.other(old)
		c.hesitate(hesitant)
		c.isolate(old.id, true)
		if n := c.elect(old.id); n.id == hesitant {
			t.Errorf("seed %d: the hesitant member leads; want the other one", seed)
		}
	}
}

// A hesitant member leads where no other can be elected, and when it is asked to.
func TestHesitantMembersLeadIfNeeded(t *testing.T) {
	for seed := range uint64(20) {
		c := newCluster(t, seed, 3)
		old := c.elect()
		hesitant := c.other(old)
		c.hesitate(hesitant)
		third := 6 - old.id - hesitant
		c.isolate(third, true)
		c.propose(old, "the third one lacks it")
		c.settle()
		c.isolate(old.id, true)
		c.isolate(third, false)
		c.cut[[2]uint64{old.id, third}], c.cut[[2]uint64{third, old.id}] = true, true
		c.pass((hesitantElections + 4) * patience)
		if c.members[hesitant].lead() == 0 {
			t.Errorf("seed %d: nobody leads; want the hesitant member, which alone has all", seed)
		}
		c.isolate(old.id, false)
		n := c.elect()
		c.pass(5)
		other := c.other(n)
		c.hesitate(other)
		n.transfer(other)
		c.carryOut(n)
		c.settle()
		if c.members[other].lead() == 0 {
			t.Errorf("seed %d: the hesitant member that was asked to lead doesn't", seed)
		}
	}
}
