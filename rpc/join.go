package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"holdfast"
)

// A Join is what a node asks a cluster for that is to join it, be it in the place of a node that is lost
// for good. Asked again, by a node with the same incarnation, it has the same answer.
type Join struct {
	Name string          // of the cluster
	Lost holdfast.NodeID // the node whose place it takes; 0: that of none
	Self Member          // the node that asks. It has written its incarnation to its disk before
}

// A Joined is the answer to a Join.
type Joined struct {
	Cluster [16]byte
	Node    holdfast.NodeID // the ID of the node that has asked, which no other node ever had
	IDs     []holdfast.NodeID
	Members []Member // the nodes of the cluster, by rising ID, the one that has asked among them
}

const joinVersion = 1

// Bytes returns the form of a Join on the wire: see docs/formats.md.
func (j *Join) Bytes() []byte {
	b := appendText([]byte{joinVersion}, j.Name)
	b = binary.LittleEndian.AppendUint64(b, uint64(j.Lost))
	return j.Self.append(b)
}

// ParseJoin returns the Join of a form, which the other end may have garbled. The error is Invalid.
func ParseJoin(b []byte) (j Join, err error) {
	r := viewReader{rest: b}
	version := r.byte()
	j.Name = string(r.bytes(int(r.byte())))
	j.Lost = r.id()
	j.Self = r.member()
	if version != joinVersion || r.short || len(r.rest) != 0 {
		return Join{}, holdfast.Errorf(holdfast.Invalid, "what a node asks for to join, garbled or in an unknown form")
	}
	if err := checkName(j.Name, 1); err != nil {
		return Join{}, err
	}
	return j, j.Self.check()
}

// Bytes returns the form of a Joined on the wire.
func (j *Joined) Bytes() []byte {
	b := append([]byte{joinVersion}, j.Cluster[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(j.Node))
	b = append(b, byte(len(j.Members)))
	for i := range j.Members {
		b = binary.LittleEndian.AppendUint64(b, uint64(j.IDs[i]))
		b = j.Members[i].append(b)
	}
	return b
}

// ParseJoined returns the Joined of a form, which the other end may have garbled. The error is Invalid.
func ParseJoined(b []byte) (j Joined, err error) {
	r := viewReader{rest: b}
	version := r.byte()
	copy(j.Cluster[:], r.bytes(len(j.Cluster)))
	j.Node = r.id()
	n := int(r.byte())
	for range min(n, maxMembers) {
		j.IDs = append(j.IDs, r.id())
		j.Members = append(j.Members, r.member())
	}
	rising := slices.IsSorted(j.IDs) && len(slices.Compact(slices.Clone(j.IDs))) == len(j.IDs)
	if version != joinVersion || r.short || len(r.rest) != 0 || n > maxMembers || !rising ||
		j.Cluster == [16]byte{} || !slices.Contains(j.IDs, j.Node) {
		return Joined{}, holdfast.Errorf(holdfast.Invalid, "how a node joins, garbled or in an unknown form")
	}
	for i := range j.Members {
		if err := j.Members[i].check(); err != nil {
			return Joined{}, err
		}
	}
	return j, nil
}

func (r *viewReader) id() (id holdfast.NodeID) {
	if b := r.bytes(8); b != nil {
		id = holdfast.NodeID(binary.LittleEndian.Uint64(b))
	}
	return id
}

// AskOptions are those of a node that asks a cluster to take it.
type AskOptions struct {
	Join  Join
	Seeds []string // addresses of some of the cluster's nodes; that of this node is left out
	TLS   *TLS     // nil: none, which only loopback addresses allow

	// Waits is called when a node has not answered yet, or can't take this one yet, and why. It is
	// called by one goroutine. nil: nobody needs that.
	Waits func(addr string, why error)

	Log *slog.Logger
}

// Ask asks the nodes of a cluster to take this one, again and again, until one of them says yes. The
// error is Refused if they never will, Invalid if the options are wrong, and Canceled when ctx ends.
func Ask(ctx context.Context, o AskOptions) (Joined, error) { return askWith(ctx, o, defaultLimits()) }

func askWith(ctx context.Context, o AskOptions, l limits) (Joined, error) {
	if _, err := ParseJoin(o.Join.Bytes()); err != nil {
		return Joined{}, err
	}
	seeds := slices.DeleteFunc(slices.Clone(o.Seeds), func(s string) bool { return s == o.Join.Self.Addr })
	if len(seeds) == 0 || o.Log == nil {
		return Joined{}, holdfast.Errorf(holdfast.Invalid, "a node that joins needs addresses of other nodes, and Log")
	}
	faults := faultLog{log: o.Log, every: l.logEvery}
	var last error
	for pause := l.minPause; ; pause = min(2*pause, l.maxPause) {
		for _, addr := range seeds {
			joined, err := o.askOne(ctx, addr, &l)
			var f *fault
			switch {
			case err == nil:
				return joined, nil
			case errors.Is(err, holdfast.Conflict):
				return Joined{}, holdfast.Errorf(holdfast.Refused, "the node at %s refuses this one: %w", addr, err)
			case errors.As(err, &f) && ctx.Err() == nil:
				faults.add(f, "a node of the cluster couldn't be asked", "addr", addr)
			}
			if last = err; o.Waits != nil {
				o.Waits(addr, err)
			}
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-ctx.Done():
			timer.Stop()
			return Joined{}, holdfast.Errorf(holdfast.Canceled,
				"no node of the cluster %q has taken this one in time: %w", o.Join.Name, last)
		case <-timer.C:
		}
	}
}

// askOne asks the node at an address. The error is a *fault, or what that node has answered: it is
// Conflict if it never takes this one.
func (o *AskOptions) askOne(ctx context.Context, addr string, l *limits) (Joined, error) {
	ctx, end := context.WithTimeout(ctx, l.handshakeTime)
	defer end()
	wire, raw, err := o.TLS.dial(ctx, Peer{Addr: addr})
	if err != nil {
		return Joined{}, err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	if err := greetAs(wire, helloMeeting, way{}); err != nil {
		return Joined{}, err
	}
	if err := writeFrame(wire, &frame{typ: frameJoin, body: o.Join.Bytes()}); err != nil {
		return Joined{}, err
	}
	f, err := newMeetingReader(wire, true).next()
	switch {
	case err != nil:
		return Joined{}, err
	case f.typ == frameFailure:
		return Joined{}, errorOf(f.kind, string(f.body[:min(len(f.body), maxErrorText)]))
	case f.typ != frameJoined:
		return Joined{}, faultf(Unexpected, "a frame out of place (%v)", f.typ)
	}
	joined, err := ParseJoined(f.body)
	if err == nil && joined.Members[slices.Index(joined.IDs, joined.Node)] != o.Join.Self {
		err = holdfast.Errorf(holdfast.Invalid, "the answer is for another node")
	}
	if err != nil {
		return Joined{}, faultOf(Garbled, err)
	}
	return joined, nil
}

// answerJoin answers a node that asks to join. The error is a *fault.
func (o *Options) answerJoin(ctx context.Context, nc net.Conn, asked *frame) *fault {
	j, err := ParseJoin(asked.body)
	if err != nil {
		return faultOf(Garbled, err)
	}
	answer := frame{typ: frameJoined}
	if o.Join == nil {
		err = holdfast.Errorf(holdfast.Conflict, "it isn't one of a cluster whose nodes can be replaced")
	} else {
		var joined Joined
		joined, err = o.Join(ctx, j)
		answer.body = joined.Bytes()
	}
	if err != nil {
		kind, text := wireError(err)
		answer = frame{typ: frameFailure, kind: kind, body: []byte(text)}
	}
	var f *fault
	if errors.As(writeFrame(nc, &answer), &f) {
		return f
	}
	return nil
}

// refuseGone says to a node that was a peer, and isn't any more, why not. Its hello was answered. It
// returns the fault of its connection.
func (o *Options) refuseGone(nc net.Conn, from way, why error) *fault {
	var f *fault
	if _, err := newOpeningReader(nc, from, false).next(); errors.As(err, &f) {
		return f
	}
	kind, text := wireError(&holdfast.Error{Kind: holdfast.Gone, Text: why.Error()})
	if errors.As(writeFrame(nc, &frame{typ: frameFailure, way: from.back(), kind: kind, body: []byte(text)}), &f) {
		return f
	}
	return faultOf(WrongSender, why)
}

// gone returns why the node whose hello it is isn't a peer any more, if that is the fault of it.
func (o *Options) gone(h *hello, f *fault) error {
	if f == nil || f.Fault != WrongSender || h.kind != helloPeer && h.kind != helloStream || o.Gone == nil {
		return nil
	}
	return o.Gone(h.way.from)
}
