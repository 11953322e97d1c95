package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"time"

	"holdfast"
)

// MaxBody is the length of the longest body of a message, request or answer, in bytes. It is that of
// a client's request of 16 MiB, with what a node adds when it forwards it.
const MaxBody = 17 << 20

// MaxLife is the length of the longest statement of a node about its life, in bytes.
const MaxLife = 32 << 10

// A Message is what one node sends to another, once or as a request.
type Message struct {
	From, To holdfast.NodeID
	Kind     uint8            // what it is about; the users of the package share the numbers
	Shard    holdfast.ShardID // that it concerns; 0: none
	Body     []byte           // MaxBody at most
}

// Options are those of a Transport.
type Options struct {
	Node    holdfast.NodeID // this node; not 0
	Cluster [16]byte        // nodes of another cluster are refused
	Listen  string          // host:port
	TLS     *TLS            // nil: none, which only loopback addresses allow

	// Listener is used instead of Listen; nil: none is. The Transport closes it.
	Listener net.Listener

	// Receive takes a message of a peer. The calls for one peer come one at a time and in order.
	// The body is valid until Receive returns, which it must do soon, since nothing else of the
	// peer is read until then.
	Receive func(m Message)

	// Answer answers a request of a peer, on a goroutine of its own. It owns the body. Its context
	// ends at the caller's deadline, or when the caller has given up or is gone. A *holdfast.Error
	// is sent with kind and text, any other error as Unavailable, without its text. Answer may be
	// nil.
	Answer func(ctx context.Context, m Message) ([]byte, error)

	// Accept takes a stream of a peer, on a goroutine of its own: see Stream. m says what it is; next
	// returns its parts, one after the other, and io.EOF behind the last. A part is valid until next
	// is called again. The context ends with the connection, as soon as that is noticed, which is
	// while next waits. The error goes to the sender as that of Answer does. Accept may be nil: then
	// streams are refused.
	Accept func(ctx context.Context, m Message, next func() ([]byte, error)) error

	// Formed is what Meet has returned when the cluster was formed. Nodes that haven't heard of that
	// yet get it from this one. nil: they are refused.
	Formed *Formed

	// Stranger returns why a node that is to form a cluster isn't answered, since it is none of those
	// that have formed this one: Exists if it may ask to join, and Refused if it may not, as one whose
	// disk was emptied. nil: all are refused.
	Stranger func(name string, self Member) error

	// Join answers a node that asks to join, be it in the place of a lost one. The error is Conflict if
	// it never can; after any other it asks again. nil: all are refused.
	Join func(ctx context.Context, j Join) (Joined, error)

	// Gone returns why a node that dials this one is no peer any more; nil: it isn't known to have been
	// one. The node hears of it by Refused, with an error that is Gone.
	Gone func(id holdfast.NodeID) error

	// Life returns what this node says of its life to each peer that it dials, of MaxLife bytes at
	// most; nil: nothing. Judge is asked about what a peer says, before anything else of it is
	// taken: its connection is refused with the error, which is Refused if the peer mustn't take
	// part. nil: all are believed. Refused is called when a peer has refused this node so, or since it
	// is Gone; it must return soon.
	Life    func() []byte
	Judge   func(from holdfast.NodeID, life []byte) error
	Refused func(by holdfast.NodeID, err error)

	Log *slog.Logger
}

// TLS is how a node proves who it is, and what it expects of others.
type TLS struct {
	CAs *x509.CertPool // one of these must have signed a peer's certificate

	// Certificate returns this node's certificate, for servers and for clients. It is called for
	// each connection, so that a certificate can be renewed while the node runs.
	Certificate func() (*tls.Certificate, error)
}

// A Peer is another node of the cluster.
type Peer struct {
	Addr string // host:port; empty: not to be dialled
	Name string // must be in its certificate, if there is TLS; empty: any certificate of the CAs will do
}

// limits bound what a Transport holds and waits for. Tests make them smaller.
type limits struct {
	body        int // bytes of a body, both ways
	queueBytes  int // that wait to be written to a connection; as many again may be in a write
	queueFrames int // likewise

	calls        int // requests in flight on a connection
	requestBytes int // of the bodies of requests that a peer has in flight here, and of answers that wait

	handshakes    int           // connections that were accepted and haven't said who they are
	handshakeTime time.Duration // from dialling or accepting to the end of the handshake

	streams       int           // of each direction, with a peer
	streamSilence time.Duration // without a byte, or without progress of a write: the stream is dead

	ping    time.Duration // an idle connection carries a ping at least every 2 pings
	silence time.Duration // without a byte, or without progress of a write: the connection is dead

	minPause, maxPause time.Duration // before dialling again; doubles, and is then shortened by up to a half

	logEvery time.Duration // at least this is between two lines of the log about the same kind of fault
}

func defaultLimits() limits {
	return limits{
		body:       MaxBody,
		queueBytes: 2 * MaxBody, queueFrames: 8192,
		calls: 4096, requestBytes: 4 * MaxBody,
		handshakes: 64, handshakeTime: 3 * time.Second,
		streams: 8, streamSilence: 10 * time.Second,
		ping: 400 * time.Millisecond, silence: 1400 * time.Millisecond,
		minPause: 50 * time.Millisecond, maxPause: time.Second,
		logEvery: 10 * time.Second,
	}
}

func (o *Options) check() error {
	switch {
	case o.Node == 0:
		return holdfast.Errorf(holdfast.Invalid, "a node needs an ID other than 0")
	case o.Formed != nil && (o.Formed.Cluster != o.Cluster || int(o.Node) > len(o.Formed.Members)):
		return holdfast.Errorf(holdfast.Invalid, "node %d of the cluster %x isn't of the cluster that was formed",
			o.Node, o.Cluster)
	case o.Receive == nil, o.Log == nil:
		return holdfast.Errorf(holdfast.Invalid, "a transport needs Receive and Log")
	case o.TLS != nil && (o.TLS.CAs == nil || o.TLS.Certificate == nil):
		return holdfast.Errorf(holdfast.Invalid, "TLS needs the CAs of the cluster and a certificate of this node")
	}
	return nil
}
