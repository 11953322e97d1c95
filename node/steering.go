package node

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/rpc"
	"holdfast/table"
)

// A steering is what a member does about which node leads, and which there are, when an operator asks
// for it, or when the node stops. The bodies of its requests are JSON; see docs/formats.md.
type steering struct {
	member *member
	tables atomic.Pointer[table.Store] // nil: the node is starting
	mu     sync.Mutex                  // held by the one that hands over
}

// A steerForm is what the node that leads is asked for.
type steerForm struct {
	Transfer holdfast.NodeID `json:"transfer,omitempty"` // the node that is to lead
	Drain    holdfast.NodeID `json:"drain,omitempty"`    // the node that is to be drained
	Undo     bool            `json:"undo,omitempty"`     // it is to be drained no more
	Remove   holdfast.NodeID `json:"remove,omitempty"`   // the node that is to be removed
}

// A Transfer is a hand-over of all that a node has led.
type Transfer struct {
	From    holdfast.NodeID `json:"from"`
	To      holdfast.NodeID `json:"to"`      // the same as From: it has led before
	Groups  int             `json:"groups"`  // that From led
	Seconds float64         `json:"seconds"` // until To executed requests
}

// Limits of a hand-over.
const (
	handOverDrain   = 60 * time.Millisecond  // until what is being executed isn't waited for any more
	handOverTime    = time.Second            // until the other node leads the catalog's group
	handOverServing = 5 * time.Second        // until it executes requests
	handOverEvery   = 2 * time.Millisecond   // between two looks
	heardLately     = time.Second            // since a node was heard that may lead
	lagToLead       = 1000                   // entries that a node may lack of a group that it is to lead
	steerCall       = 10 * time.Second       // for which a node that leads is waited for
	fitWithin       = 500 * time.Millisecond // until a node that may lead has said how it is
)

// ask has the node that leads do something, and decodes what that says into is, a *Transfer, a
// *DrainStatus or a *Removal.
func (s *steering) ask(ctx context.Context, of steerForm, is any) error {
	m := s.member
	leader := m.forwarder.leader()
	switch leader {
	case 0:
		return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: node %d knows no node that leads", m.is.Node)
	case m.is.Node:
		raw, err := s.askHere(ctx, of)
		if err != nil {
			return err
		}
		return json.Unmarshal(raw, is)
	}
	body, err := json.Marshal(of)
	if err != nil {
		return err
	}
	raw, err := m.transport.Call(ctx, rpc.Message{To: leader, Kind: kindSteer, Body: body})
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, is)
}

// askHere is ask at the node that leads.
func (s *steering) askHere(ctx context.Context, of steerForm) ([]byte, error) {
	var is any
	var err error
	switch {
	case of.Drain != 0:
		is, err = s.drain(ctx, of)
	case of.Remove != 0:
		is, err = s.member.admission.Load().remove(ctx, of.Remove)
	default:
		is, err = s.transfer(ctx, of.Transfer)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(is)
}

// remove has the node that leads remove one, or go on, and returns how far that is.
func (s *steering) remove(ctx context.Context, id holdfast.NodeID) (*Removal, error) {
	is := new(Removal)
	err := s.ask(ctx, steerForm{Remove: id}, is)
	is.Asked = s.member.is.Node
	return is, err
}

// answer answers another node's request. One of kindLeads fails until this node executes requests.
func (s *steering) answer(ctx context.Context, r rpc.Message) ([]byte, error) {
	if r.Kind == kindLeads {
		if leads := s.member.forwarder.leads; leads == nil || !leads() {
			return nil, holdfast.Errorf(holdfast.NotLeader, "node %d doesn't execute requests yet", s.member.is.Node)
		}
		return nil, nil
	}
	var of steerForm
	if err := json.Unmarshal(r.Body, &of); err != nil {
		return nil, holdfast.Errorf(holdfast.Invalid, "a request to the node that leads can't be decoded: %v", err)
	}
	return s.askHere(ctx, of)
}

// transfer has another node lead all that this one leads. With any error but Unavailable nothing was
// changed: it is NotFound if the cluster has no such node, Conflict if the node can't lead as it is, and
// NotLeader if this node doesn't lead, or the other hasn't taken over.
func (s *steering) transfer(ctx context.Context, to holdfast.NodeID) (*Transfer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.member
	if leads := m.forwarder.leads; leads == nil || !leads() {
		return nil, holdfast.Errorf(holdfast.NotLeader, "nothing was changed: node %d doesn't lead the tables",
			m.is.Node)
	}
	is := &Transfer{From: m.is.Node, To: to, Groups: len(m.replicas.led())}
	if to == m.is.Node {
		return is, nil
	}
	if err := s.fit(ctx, to); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.handOver(ctx, to); err != nil {
		return nil, err
	}
	if err := s.await(ctx, to); err != nil {
		return nil, err
	}
	is.Seconds = time.Since(began).Seconds()
	m.log.Info("another node leads", "next", to, "groups", is.Groups, "after",
		time.Since(began).Round(time.Millisecond))
	return is, nil
}

// fit returns an error unless a node can lead all groups, which this one leads, without a wait for
// what it lacks.
func (s *steering) fit(ctx context.Context, id holdfast.NodeID) error {
	m := s.member
	if !slices.Contains(m.roster.members(), id) {
		return holdfast.Errorf(holdfast.NotFound, "nothing was changed: the cluster has no node %d: its nodes are %v",
			id, m.roster.members())
	}
	if m.roster.known().Drained(id) {
		return unfit(id, "it is drained; \"holdfast cluster drain --undo %d\" ends that", id)
	}
	if err := s.answers(ctx, id); err != nil {
		return err
	}
	now, learns, all := time.Now(), 0, m.replicas.list()
	for _, r := range all {
		g := r.Status()
		match, votes := g.Match[id]
		if !votes {
			learns++
			continue
		}
		lag, _ := m.lags.behind(r.id, match, now)
		behind := g.Committed - min(g.Committed, match)
		switch {
		case slices.Contains(g.Outdated, id):
			return unfit(id, "it lacks what it has acknowledged of shard %d", r.id)
		case behind > lagToLead || behind > 0 && lag >= lagEvery:
			return unfit(id, "it lacks %d transactions of shard %d, for %.0f s: wait until it has them", behind, r.id,
				lag.Seconds())
		}
	}
	if learns > 0 {
		return unfit(id, "it is a learner, and has no vote, in %d of %d groups", learns, len(all))
	}
	return nil
}

// answers returns an error unless a node is heard, and finds nothing wrong with itself that would keep
// it from leading.
func (s *steering) answers(ctx context.Context, id holdfast.NodeID) error {
	m := s.member
	if at := m.transport.Heard(id); at.IsZero() {
		return unfit(id, "it wasn't heard since node %d started", m.is.Node)
	} else if ago := time.Since(at); ago >= heardLately {
		return unfit(id, "it isn't heard for %.0f s", ago.Seconds())
	}
	ctx, end := context.WithTimeout(ctx, fitWithin)
	defer end()
	var is Status
	raw, err := m.transport.Call(ctx, rpc.Message{To: id, Kind: kindStatus})
	if err == nil {
		err = json.Unmarshal(raw, &is)
	}
	if err != nil {
		return unfit(id, "it doesn't answer: %v", err)
	}
	for _, p := range is.Problems {
		if p.Node == id && slices.Contains([]string{ProblemDiskFull, ProblemHangs, ProblemOutdated}, p.Code) {
			return unfit(id, "%s", p.Text)
		}
	}
	return nil
}

func unfit(id holdfast.NodeID, format string, args ...any) error {
	return holdfast.Errorf(holdfast.Conflict, "nothing was changed: node %d can't lead now: %w", id,
		holdfast.Errorf(holdfast.Conflict, format, args...))
}

// handOver has another node lead the group of the catalog, and returns when this node leads no group
// any more: the leadership of all others follows (see leadership). The catalog's comes first, since a
// node gives groups back to the one that leads it.
//
// Requests that are being executed are waited for, for a bounded time, while others wait to begin: here,
// or at the nodes whose clients have sent them. So they find another leader, and none is cut off
// in the middle of what it does.
func (s *steering) handOver(ctx context.Context, to holdfast.NodeID) error {
	m := s.member
	c := m.replicas.of(catalog.ShardID)
	if c == nil {
		return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: node %d has no catalog yet", m.is.Node)
	}
	m.forwarder.executing.pause(handOverDrain)
	defer m.forwarder.executing.resume()
	c.Transfer(to)
	for began := time.Now(); ; {
		led := len(m.replicas.led())
		switch leader := c.Leader(); {
		case leader == to && led == 0:
			return nil
		case time.Since(began) < handOverTime:
		case leader == m.is.Node:
			return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: node %d hasn't taken over within %v, and "+
				"node %d leads", to, handOverTime, leader)
		default:
			return holdfast.Errorf(holdfast.Unavailable, "node %d leads the catalog, and %d groups are still led by "+
				"node %d after %v: they follow as soon as they can", leader, led, m.is.Node, handOverTime)
		}
		select {
		case <-time.After(handOverEvery):
		case <-ctx.Done():
			return holdfast.Errorf(holdfast.Unavailable, "node %d was asked to lead, and hasn't taken over yet: %w",
				to, context.Cause(ctx))
		}
	}
}

// await returns when another node executes requests.
func (s *steering) await(ctx context.Context, to holdfast.NodeID) error {
	ctx, end := context.WithTimeout(ctx, handOverServing)
	defer end()
	for {
		_, err := s.member.transport.Call(ctx, rpc.Message{To: to, Kind: kindLeads})
		if err == nil {
			return nil
		}
		select {
		case <-time.After(handOverEvery):
		case <-ctx.Done():
			return holdfast.Errorf(holdfast.Unavailable, "node %d leads, and doesn't execute requests yet: %w", to, err)
		}
	}
}

// leave has another node lead what this one leads, if there is one that can, before this one stops: so
// clients needn't wait until the others notice that it is gone.
func (s *steering) leave() {
	m := s.member
	c := m.replicas.of(catalog.ShardID)
	if m.lead == nil || c == nil || c.Leader() != m.is.Node {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next, best := holdfast.NodeID(0), uint64(0)
	for _, drained := range []bool{false, true} { // one that is drained, too, rather than none
		for id, match := range c.Status().Match {
			if next == 0 && id != m.is.Node && match > best && m.roster.known().Drained(id) == drained &&
				time.Since(m.transport.Heard(id)) < heardLately {
				next, best = id, match
			}
		}
	}
	if next == 0 {
		return
	}
	m.forwarder.executing.pause(0) // for good
	if err := s.handOver(context.Background(), next); err != nil {
		m.log.Warn("this node stops before another one leads all that it has led", "next", next, "err", err)
		return
	}
	m.log.Info("another node leads", "next", next)
}
