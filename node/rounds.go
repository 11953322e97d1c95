package node

import (
	"math/rand/v2"
	"slices"

	"holdfast"
)

// A Round is the comparison of all replicas that somebody has asked for.
type Round struct {
	Number uint64          `json:"round"` // by which it is asked for; at most 53 bits
	Leader holdfast.NodeID `json:"leader"`
	Shards int             `json:"shards"` // that it compares
	Done   bool            `json:"done"`

	Comparisons []Comparison `json:"comparisons"` // so far
}

// begin begins a round of all groups that this node leads, or joins the one that is under way.
func (c *comparer) begin() (*Round, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil, holdfast.Errorf(holdfast.Closed, "node %d is stopping", c.self)
	}
	if c.round == nil || c.round.Done {
		led := c.groups.led()
		c.round = &Round{Number: 1 + rand.Uint64N(1<<53-1), Leader: c.self, Shards: len(led),
			Comparisons: []Comparison{}}
		c.running.Go(func() { c.run(c.round, led) })
	}
	return c.round.clone(), nil
}

// run compares the groups of a round.
func (c *comparer) run(r *Round, led []holdfast.ShardID) {
	for _, id := range led {
		is := c.compare(c.ctx, id)
		c.mu.Lock()
		r.Comparisons = append(r.Comparisons, is)
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Done = true
}

// standing returns how far a round is. The error is NotFound if this node doesn't know it.
func (c *comparer) standing(number uint64) (*Round, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.round == nil || c.round.Number != number {
		return nil, holdfast.Errorf(holdfast.NotFound, "node %d, which leads, hasn't begun that comparison: another "+
			"node led then, or a later one was begun since; begin again", c.self)
	}
	return c.round.clone(), nil
}

func (r *Round) clone() *Round {
	is := *r
	is.Comparisons = slices.Clone(r.Comparisons)
	return &is
}
