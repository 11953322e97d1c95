package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"holdfast"
)

// MeetOptions are what a node knows that is to form a new cluster with others.
type MeetOptions struct {
	Name   string // of the cluster; the same at all nodes
	Expect int    // number of nodes, this one included; the same at all nodes
	Self   Member // this node. The caller has written its incarnation to the disk before

	Listen string   // host:port
	Seeds  []string // addresses of some of the nodes; this one may be among them
	TLS    *TLS     // nil: none, which only loopback addresses allow

	// Listener is used instead of Listen. nil: none. Meet closes it, unless the cluster has one
	// node.
	Listener net.Listener

	// Prepare writes to the disk that the node is prepared for a cluster, synced, before any other
	// node hears of that. It is called until it succeeds once.
	Prepare func(Formed) error

	// Progress is called whenever more nodes are known, were met, or don't fit. It is called for
	// one change at a time, and mustn't wait for other nodes. nil: nobody needs that.
	Progress func(Progress)

	// Prepared is what a former call of Meet has given to Prepare; nil: nothing.
	Prepared *Formed

	Log *slog.Logger
}

// Progress is how far a node is that meets others. Its receiver owns it.
type Progress struct {
	Known []Member // this node among them
	Met   []Member // an exchange of what both know has succeeded
	Unfit []Unfit  // by their addresses
}

// An Unfit is the address of a node that can't be of one cluster with this one, as both are.
type Unfit struct {
	Addr string
	Why  error
}

// check returns an error unless a node can meet others.
func (o *MeetOptions) check() error {
	if err := checkName(o.Name, o.Expect); err != nil {
		return err
	}
	if err := o.Self.check(); err != nil {
		return err
	}
	switch {
	case o.Prepare == nil, o.Log == nil:
		return holdfast.Errorf(holdfast.Invalid, "a node that meets others needs Prepare and Log")
	case o.TLS != nil && (o.TLS.CAs == nil || o.TLS.Certificate == nil):
		return holdfast.Errorf(holdfast.Invalid, "TLS needs the CAs of the cluster and a certificate of this node")
	case o.Prepared == nil:
		return nil
	}
	if o.Prepared.Name != o.Name || len(o.Prepared.Members) != o.Expect ||
		!slices.Contains(o.Prepared.Members, o.Self) {
		return holdfast.Errorf(holdfast.Invalid, "the node %v is prepared for the cluster %q of %s", o.Self,
			o.Prepared.Name, names(o.Prepared.Members))
	}
	return nil
}

// String returns the member in words.
func (m Member) String() string { return fmt.Sprintf("%s (incarnation %x)", m.Addr, m.Incarnation) }

// Meet forms a new cluster: it listens, dials the seeds and all that it hears of, and returns what
// all nodes have agreed on once each of them has that on its disk. The caller writes that down, and
// then answers with it those that aren't as far (Options.Formed): they can't finish without.
//
// A node that was killed calls Meet again, with the same incarnation, and with Prepared if it had
// got so far.
//
// A node that doesn't fit, since it is to form another cluster, or is one too many, or has
// another's address, is turned away, and the others go on. It is found by number: a node that fits
// fewer of those that it has met than not, itself included, ends with an error that is Refused. So
// does one that a formed cluster refuses. The error is Exists if the cluster was formed without this
// node, which may ask to join it. It is Invalid if the options are wrong, Failed if the address can't be
// listened on, Canceled when ctx ends, and that of Prepare.
func Meet(ctx context.Context, o MeetOptions) (Formed, error) {
	return meetWith(ctx, o, defaultLimits())
}

func meetWith(ctx context.Context, o MeetOptions, l limits) (Formed, error) {
	if err := o.check(); err != nil {
		return Formed{}, err
	}
	m := newMeeting(&o)
	if o.Expect == 1 {
		return m.alone()
	}
	listener, err := bound(o.Listener, o.Listen, o.TLS)
	if err != nil {
		return Formed{}, err
	}
	t := newTransport(Options{TLS: o.TLS, Log: o.Log}, l, listener)
	t.meet = func(v *view) (view, error) {
		err := m.take(v)
		return m.view(), unfit(err)
	}
	t.running.Go(t.accept)
	err = t.meetAll(ctx, m, o.Seeds)
	if closing := t.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return Formed{}, err
	}
	return m.formed(), nil
}

// alone forms a cluster of one node.
func (m *meeting) alone() (Formed, error) {
	if m.phase == gathering {
		if err := m.prepare(form(m.name, m.members)); err != nil {
			return Formed{}, err
		}
	}
	return m.formed(), nil
}

// meetAll dials the seeds and the members that a meeting knows, again and again, until the cluster
// is formed.
func (t *Transport) meetAll(ctx context.Context, m *meeting, seeds []string) error {
	pause := t.limits.minPause
	for {
		addrs := slices.Clone(seeds)
		for _, other := range m.view().members {
			addrs = append(addrs, other.Addr)
		}
		slices.Sort(addrs)
		var all sync.WaitGroup
		failed := make(chan error, len(addrs))
		for _, addr := range slices.Compact(addrs) {
			if addr != m.self.Addr {
				all.Go(func() { failed <- t.meetOne(ctx, m, addr) })
			}
		}
		all.Wait()
		close(failed)
		for err := range failed {
			if err != nil && m.view().phase != formed {
				return err
			}
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-m.done:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			known := m.view().members
			return holdfast.Errorf(holdfast.Canceled,
				"the cluster %q wasn't formed in time: %d of %d nodes are known: %s", m.name, len(known), m.expect,
				names(known))
		case <-timer.C:
		}
		pause = min(2*pause, t.limits.maxPause)
	}
}

// meetOne meets the node at an address. What went wrong on the way is counted and isn't an error.
func (t *Transport) meetOne(ctx context.Context, m *meeting, addr string) error {
	ctx, end := context.WithTimeout(ctx, t.limits.handshakeTime)
	defer end()
	err := t.exchange(ctx, m, addr)
	var f *fault
	if err == nil {
		m.fits(addr)
	}
	if errors.Is(err, holdfast.Conflict) {
		t.log.add(faultOf(Misfit, err), "a node doesn't fit in the cluster that is being formed", "addr", addr)
		return m.differ(addr, err)
	}
	if errors.As(err, &f) {
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.log.add(f, "no meeting with a node", "addr", addr)
		}
		return nil
	}
	return err
}

// exchange exchanges views with the node at an address. The error is a *fault, or says why both
// nodes can't be of one cluster: it is Conflict if none of them is of one yet, Exists if the other one
// is, and this one may ask to join, and Refused otherwise.
func (t *Transport) exchange(ctx context.Context, m *meeting, addr string) error {
	wire, raw, err := t.options.TLS.dial(ctx, Peer{Addr: addr})
	if err != nil {
		return err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	if err := greetAs(wire, helloMeeting, way{}); err != nil {
		return err
	}
	mine := m.view()
	if err := writeFrame(wire, &frame{typ: frameMeet, body: mine.bytes()}); err != nil {
		return err
	}
	f, err := newMeetingReader(wire, true).next()
	if err != nil {
		return err
	}
	switch f.typ {
	case frameMet:
	case frameFailure:
		return refused(addr, &f)
	default:
		return faultf(Unexpected, "a frame out of place (%v)", f.typ)
	}
	v, err := parseView(f.body)
	if err != nil {
		return faultOf(Garbled, err)
	}
	if err = m.take(&v); v.phase != formed {
		err = unfit(err)
	}
	return err
}

// unfit returns an error of meeting.take as it is if no cluster is formed yet: Conflict in place of
// Refused.
func unfit(err error) error {
	if !errors.Is(err, holdfast.Refused) {
		return err
	}
	return &holdfast.Error{Kind: holdfast.Conflict, Text: err.Error()}
}

// refused is the error of a failure that was answered. Only a refusal is one of the meeting:
// anything else is the other node's own trouble.
func refused(addr string, f *frame) error {
	err := errorOf(f.kind, string(f.body[:min(len(f.body), maxErrorText)]))
	for _, kind := range []holdfast.Kind{holdfast.Refused, holdfast.Conflict, holdfast.Exists} {
		if errors.Is(err, kind) {
			return holdfast.Errorf(kind, "the node at %s refuses this one: %w", addr, err)
		}
	}
	return faultOf(Broken, err)
}

// answerMeeting answers a node that wants to meet this one. The error is a *fault.
func (t *Transport) answerMeeting(nc net.Conn) *fault {
	var f *fault
	asked, err := newMeetingReader(nc, false).next()
	if errors.As(err, &f) {
		return f
	}
	if asked.typ == frameJoin {
		ctx, end := context.WithTimeout(t.ctx, t.limits.handshakeTime)
		defer end()
		return t.options.answerJoin(ctx, nc, &asked)
	}
	v, err := parseView(asked.body)
	if err != nil {
		return faultOf(Garbled, err)
	}
	mine, err := t.meet(&v)
	answer := frame{typ: frameMet, body: mine.bytes()}
	if err != nil {
		t.log.add(faultOf(Misfit, err), "a node that was met is refused", "addr", v.self.Addr)
		kind, text := wireError(err)
		answer = frame{typ: frameFailure, kind: kind, body: []byte(text)}
	}
	if errors.As(writeFrame(nc, &answer), &f) {
		return f
	}
	return nil
}

func newMeetingReader(nc net.Conn, dialled bool) *frameReader {
	r := newFrameReader(nc, way{}, dialled, maxViewBytes)
	r.stage = meets
	return r
}

// writeFrame writes one frame. The error is a *fault.
func writeFrame(nc net.Conn, f *frame) error {
	if _, err := nc.Write(f.append(nil, bodySum(f.body))); err != nil {
		return faultOf(brokenOrLate(err), err)
	}
	return nil
}
