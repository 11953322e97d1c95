package rpc

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"

	"holdfast"
)

const (
	helloMagic = "holdnode"
	helloBytes = 48
	version    = 2 // of the protocol; nodes of version 1 don't say their lives, and know no salts of terms
)

// A hello is what each end of a connection sends first, the dialling one before the other.
type hello struct {
	lowest, highest uint8   // versions that the dialler speaks; in an answer, both are the one that is spoken
	verdict         verdict // of the accepting node; 0 in the dialler's
	kind            helloKind
	way             way
}

// A helloKind is what a connection is for. The numbers are on the wire.
type helloKind uint8

const (
	helloPeer    helloKind = iota // of nodes of a cluster; what the dialler says of its life follows
	helloMeeting                  // of nodes of which one isn't in a cluster: the way is zero, see Meet
	helloBare                     // of nodes of a cluster that say nothing of their lives
	helloStream                   // as helloPeer, and the connection carries one stream; see Stream
	helloKinds
)

// A verdict is what the accepting node says to a hello. The numbers are on the wire.
type verdict uint8

const (
	welcome verdict = iota
	refusedVersion
	refusedCluster
	refusedReceiver
	refusedSender
	refusedName
)

// verdicts are those of the faults that the accepting node may find in a hello.
var verdicts = map[Fault]verdict{
	WrongVersion: refusedVersion, WrongCluster: refusedCluster, WrongReceiver: refusedReceiver,
	WrongSender: refusedSender, WrongName: refusedName,
}

func (h *hello) bytes() []byte {
	b := make([]byte, helloBytes)
	copy(b, helloMagic)
	b[8], b[9], b[10], b[11] = h.lowest, h.highest, byte(h.verdict), byte(h.kind)
	copy(b[16:32], h.way.cluster[:])
	binary.LittleEndian.PutUint64(b[32:], uint64(h.way.from))
	binary.LittleEndian.PutUint64(b[40:], uint64(h.way.to))
	binary.LittleEndian.PutUint32(b[12:], helloSum(b))
	return b
}

// helloSum is the checksum of a hello: all of it but the checksum itself.
func helloSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:])
}

// readHello reads a hello. The error is a *fault.
func readHello(r io.Reader) (hello, error) {
	b := make([]byte, helloBytes)
	if _, err := io.ReadFull(r, b); err != nil {
		return hello{}, faultOf(brokenOrLate(err), fmt.Errorf("in the handshake: %w", err))
	}
	switch {
	case string(b[:8]) != helloMagic:
		return hello{}, faultf(Garbled, "no hello of a node: it begins with %q", b[:8])
	case binary.LittleEndian.Uint32(b[12:]) != helloSum(b):
		return hello{}, faultf(Garbled, "a hello whose CRC-32C is wrong")
	case b[11] >= byte(helloKinds):
		return hello{}, faultf(Garbled, "a hello whose byte 11 is %d", b[11])
	}
	return hello{
		lowest: b[8], highest: b[9], verdict: verdict(b[10]), kind: helloKind(b[11]),
		way: way{
			cluster: [16]byte(b[16:32]),
			from:    holdfast.NodeID(binary.LittleEndian.Uint64(b[32:])),
			to:      holdfast.NodeID(binary.LittleEndian.Uint64(b[40:])),
		},
	}, nil
}

// greet is the dialler's side of the handshake with a peer that asks for no life. The error is a
// *fault.
func greet(nc net.Conn, w way) error { return greetAs(nc, helloBare, w) }

// greetPeer is the dialler's side of the handshake with a peer. The error is a *fault.
func (t *Transport) greetPeer(nc net.Conn, w way) error {
	if t.options.Life == nil {
		return greet(nc, w)
	}
	return t.greetLiving(nc, helloPeer, w)
}

// greetLiving is the dialler's side of a handshake in which it says what its life is: nothing, if it
// has none to tell. The error is a *fault.
func (t *Transport) greetLiving(nc net.Conn, kind helloKind, w way) error {
	if err := greetAs(nc, kind, w); err != nil {
		return err
	}
	life := []byte{}
	if t.options.Life != nil {
		life = t.options.Life()
	}
	if err := writeFrame(nc, &frame{typ: frameLife, way: w, body: life}); err != nil {
		return err
	}
	f, err := newOpeningReader(nc, w.back(), true).next()
	if err != nil || f.typ == frameWelcome {
		return err
	}
	err = errorOf(f.kind, string(f.body[:min(len(f.body), maxErrorText)]))
	fault := Broken
	switch {
	case errors.Is(err, holdfast.Refused):
		fault = Outdated
	case errors.Is(err, holdfast.Gone):
		fault = WrongSender
	default:
		return faultOf(fault, err)
	}
	if t.options.Refused != nil {
		t.options.Refused(w.to, err)
	}
	return faultOf(fault, err)
}

// answerLife answers what a dialler says of its life. The error is a *fault.
func (t *Transport) answerLife(nc net.Conn, p *peer) error {
	w := t.wayTo(p.id)
	f, err := newOpeningReader(nc, w.back(), false).next()
	if err != nil {
		return err
	}
	if t.options.Judge != nil {
		err = t.options.Judge(p.id, f.body)
	}
	if err == nil {
		return writeFrame(nc, &frame{typ: frameWelcome, way: w})
	}
	kind, text := wireError(err)
	if err := writeFrame(nc, &frame{typ: frameFailure, way: w, kind: kind, body: []byte(text)}); err != nil {
		return err
	}
	if errors.Is(err, holdfast.Refused) {
		return faultOf(Outdated, err)
	}
	return faultOf(Broken, err)
}

// newOpeningReader returns a reader for the end of a handshake. It takes no byte that is behind the
// frames that it returns.
func newOpeningReader(nc net.Conn, w way, dialled bool) *frameReader {
	return &frameReader{
		in: bufio.NewReaderSize(nc, headerBytes), way: w, dialled: dialled, stage: opening, maxBody: MaxLife,
	}
}

// greetAs is the dialler's side of the handshake. The error is a *fault.
func greetAs(nc net.Conn, kind helloKind, w way) error {
	h := hello{lowest: version, highest: version, kind: kind, way: w}
	if _, err := nc.Write(h.bytes()); err != nil {
		return faultOf(brokenOrLate(err), err)
	}
	answer, err := readHello(nc)
	if err != nil {
		return err
	}
	for which, v := range verdicts {
		if answer.verdict == v {
			return faultf(which, "node %d of cluster %x, which speaks version %d to %d of the protocol, refuses it: %v",
				answer.way.from, answer.way.cluster, answer.lowest, answer.highest, which)
		}
	}
	switch {
	case answer.kind != kind:
		return faultf(Garbled, "a hello of the kind %d; this node's has %d", answer.kind, kind)
	case answer.verdict != welcome:
		return faultf(Garbled, "a hello with the verdict %d", answer.verdict)
	case answer.lowest != version || answer.highest != version:
		return faultf(WrongVersion, "it speaks version %d to %d of the protocol; this node speaks %d",
			answer.lowest, answer.highest, version)
	}
	return answer.way.check(w.back())
}

// answerHello is the accepting side of the handshake. It returns the peer that has dialled and what
// for, or a *fault; no peer for a meeting, which it has answered.
func (t *Transport) answerHello(nc net.Conn) (*peer, helloKind, error) {
	h, err := readHello(nc)
	if err != nil {
		return nil, 0, err
	}
	answer := hello{
		lowest: version, highest: version,
		way: way{cluster: t.options.Cluster, from: t.options.Node, to: h.way.from},
	}
	if answer.kind = h.kind; h.kind == helloMeeting {
		answer.way = way{}
	} else if f := t.awaitPeers(); f != nil {
		return nil, 0, f
	}
	p, f := t.judge(nc, &h)
	gone := t.options.gone(&h, f)
	if f != nil && gone == nil {
		answer.verdict = verdicts[f.Fault]
	}
	_, err = nc.Write(answer.bytes())
	switch {
	case gone != nil && err == nil:
		return nil, 0, t.options.refuseGone(nc, h.way, gone)
	case f != nil:
		return nil, 0, f
	case err != nil:
		return nil, 0, faultOf(brokenOrLate(err), err)
	}
	switch h.kind {
	case helloMeeting:
		if f := t.answerMeeting(nc); f != nil {
			return nil, 0, f
		}
	case helloPeer, helloStream:
		if err := t.answerLife(nc, p); err != nil {
			return nil, 0, err
		}
	}
	return p, h.kind, nil
}

// awaitPeers returns once this node knows its peers. Nodes that start at the same time dial each
// other as soon as they listen, and some of them are told later than others who their peers are.
func (t *Transport) awaitPeers() *fault {
	select {
	case <-t.introduced:
		return nil
	default:
	}
	late := time.NewTimer(t.limits.handshakeTime)
	defer late.Stop()
	select {
	case <-t.introduced:
		return nil
	case <-t.ctx.Done():
		return errStopped
	case <-late.C:
		return faultf(Late, "this node hasn't begun to take part in its cluster yet")
	}
}

// judge returns the peer whose hello it is, or why the hello is refused, a key of verdicts.
func (t *Transport) judge(nc net.Conn, h *hello) (*peer, *fault) {
	w := h.way
	p := (*t.peers.Load())[w.from]
	switch {
	case h.lowest > version || h.highest < version:
		return nil, faultf(WrongVersion, "it speaks the versions %d to %d of the protocol; this node speaks %d",
			h.lowest, h.highest, version)
	case h.kind == helloMeeting && (t.meet == nil || w != way{}):
		return nil, faultf(WrongReceiver, "it forms a cluster; node %d of the cluster %x doesn't", t.options.Node,
			t.options.Cluster)
	case h.kind == helloMeeting:
		return nil, nil
	case w.cluster != t.options.Cluster:
		return nil, faultf(WrongCluster, "it is of the cluster %x; this is %x", w.cluster, t.options.Cluster)
	case w.to != t.options.Node:
		return nil, faultf(WrongReceiver, "it looks for node %d; this is %d", w.to, t.options.Node)
	case p == nil:
		return nil, faultf(WrongSender, "node %d is no peer of this one", w.from)
	case h.kind == helloBare && t.options.Judge != nil:
		return nil, faultf(WrongVersion, "it doesn't say its life")
	}
	if tc, ok := nc.(*tls.Conn); ok && p.Name != "" {
		if err := tc.ConnectionState().PeerCertificates[0].VerifyHostname(p.Name); err != nil {
			return nil, faultf(WrongName, "the certificate isn't that of node %d: %w", w.from, err)
		}
	}
	return p, nil
}
