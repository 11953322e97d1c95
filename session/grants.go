package session

import (
	"cmp"
	"context"
	"sync"
	"time"

	"holdfast"
)

// hold is for how long the leading node counts with a lease that it has given: longer than the node
// that has it, whose clock may be slower.
const hold = Lease + Lease/10

// forgetTime is how long a node may take to forget a session, before its lease is waited for.
const forgetTime = Lease / 4

// GrantOptions are those of a Grants.
type GrantOptions struct {
	// Lead returns the term in which this node leads the group that decides which node is the leading
	// one. The error is NotLeader.
	Lead func() (term uint64, err error)

	// Confirm returns when a majority has confirmed, after the call, who leads that group.
	Confirm func(ctx context.Context) error

	// Forget has Keeper.Forget called on a node, which may be this one.
	Forget func(ctx context.Context, node holdfast.NodeID, name string) error

	Now func() time.Time // default time.Now
}

// Grants are the leases that the leading node has given, and how it takes sessions from the nodes
// that have them. Each node has one, for when it leads.
type Grants struct {
	o GrantOptions

	mu     sync.Mutex // guards what follows
	term   uint64     // in which this node leads; 0: it hasn't yet
	since  time.Time  // the term was seen first; the node was elected before
	until  map[holdfast.NodeID]time.Time
	barred map[holdfast.NodeID]int // nodes that get no lease: claims wait for their last ones to end
}

// NewGrants returns those of a node that has given no leases.
func NewGrants(o GrantOptions) *Grants {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Grants{o: o, until: map[holdfast.NodeID]time.Time{}, barred: map[holdfast.NodeID]int{}}
}

// Observe notes whether this node leads. It is called again and again: claims wait from the first
// call that has seen the term.
func (g *Grants) Observe() { _, _, _ = g.reign() }

// reign returns the term in which this node leads, and since when. The error is NotLeader.
func (g *Grants) reign() (term uint64, since time.Time, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	term, err = g.o.Lead()
	if err != nil {
		return 0, since, err
	}
	if g.term != term {
		g.term, g.since = term, g.o.Now()
		clear(g.until)
	}
	return term, g.since, nil
}

// still confirms that this node has led from before the call in that term. The error is NotLeader, or
// that of GrantOptions.Confirm.
func (g *Grants) still(ctx context.Context, term uint64) error {
	if err := g.o.Confirm(ctx); err != nil {
		return err
	}
	if now, _, err := g.reign(); err != nil || now != term {
		return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: this node no longer leads")
	}
	return nil
}

// Lease gives a node a lease, which begins before the call. The error is NotLeader if this node
// doesn't lead, Overloaded if a lease of the node is being waited for, or that of Confirm.
func (g *Grants) Lease(ctx context.Context, to holdfast.NodeID) error {
	term, _, err := g.reign()
	if err != nil {
		return err
	}
	if err := g.still(ctx, term); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.term != term:
		return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: this node no longer leads")
	case g.barred[to] > 0:
		return holdfast.Errorf(holdfast.Overloaded, "node %d can't be asked to forget sessions: nothing was changed",
			to)
	}
	g.until[to] = g.o.Now().Add(hold)
	return nil
}

// Claim returns when no node other than this one may use what it keeps of a session. The error is
// NotLeader if the node that is called doesn't lead, that of ctx, or that of Confirm.
func (g *Grants) Claim(ctx context.Context, by holdfast.NodeID, name string) error {
	term, since, err := g.reign()
	if err != nil {
		return err
	}
	if err := g.sleep(ctx, since.Add(hold)); err != nil {
		return err
	}
	others := g.leased(by)
	done := make(chan error, len(others))
	for _, node := range others {
		go func() { done <- g.revoke(ctx, node, name) }()
	}
	for range others {
		err = cmp.Or(err, <-done)
	}
	if err != nil {
		return err
	}
	return g.still(ctx, term) // otherwise a node may have a lease from another leading node
}

// leased returns the other nodes that have a lease. One that gets its first one from now on has
// forgotten all sessions before.
func (g *Grants) leased(but holdfast.NodeID) (all []holdfast.NodeID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.o.Now()
	for node, until := range g.until {
		if node != but && now.Before(until) {
			all = append(all, node)
		}
	}
	return all
}

// revoke returns when a node has forgotten a session, or its lease has ended.
func (g *Grants) revoke(ctx context.Context, node holdfast.NodeID, name string) error {
	in, end := context.WithTimeout(ctx, forgetTime)
	defer end()
	if g.o.Forget(in, node, name) == nil {
		return nil
	}
	g.bar(node, 1)
	defer g.bar(node, -1)
	return g.sleep(ctx, g.lease(node))
}

func (g *Grants) lease(node holdfast.NodeID) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.until[node]
}

func (g *Grants) bar(node holdfast.NodeID, more int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.barred[node] += more
}

// sleep returns when the clock has reached a time. The error is Overloaded if ctx ends first.
func (g *Grants) sleep(ctx context.Context, until time.Time) error {
	left := until.Sub(g.o.Now())
	if left <= 0 {
		return nil
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return holdfast.Errorf(holdfast.Overloaded, "another node may have the session, and can't be asked: %w",
			ctx.Err())
	}
}
