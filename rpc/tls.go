package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"holdfast"
)

// server returns the configuration of the connections that a node accepts. The names in the
// certificates of others are checked when their hello has said who they are.
func (o *TLS) server() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return o.Certificate() },
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              o.CAs,
		SessionTicketsDisabled: true, // each connection checks the certificates
	}
}

// client returns the configuration of a connection that a node dials.
func (o *TLS) client(name string) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return o.Certificate() },
		ServerName:           name,
		InsecureSkipVerify:   true, // crypto/tls would need a name; VerifyConnection verifies without one, too
		VerifyConnection: func(s tls.ConnectionState) error {
			rest := x509.NewCertPool()
			for _, c := range s.PeerCertificates[1:] {
				rest.AddCert(c)
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: o.CAs, Intermediates: rest, DNSName: name,
				KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			})
			return err
		},
	}
}

// Bind opens the listener of a node, for Options.Listener. Without TLS it must be on a loopback
// address. The error is that of Listen.
func Bind(address string, with *TLS) (*net.TCPListener, error) { return listen(address, with != nil) }

// listen opens the listener of a node. Without TLS it must be on a loopback address.
func listen(address string, secure bool) (*net.TCPListener, error) {
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, holdfast.Errorf(holdfast.Invalid, "the address for other nodes, %q: %w", address, err)
	}
	if err := mayListen(addr, secure); err != nil {
		return nil, err
	}
	l, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, holdfast.Errorf(holdfast.Failed, "listening for other nodes: %w", err)
	}
	return l, nil
}

// mayListen returns an error if an address needs TLS, and there is none.
func mayListen(addr net.Addr, secure bool) error {
	if tcp, ok := addr.(*net.TCPAddr); !secure && (!ok || !tcp.IP.IsLoopback()) {
		return holdfast.Errorf(holdfast.Invalid,
			"listening for other nodes on %q needs TLS, since it isn't a loopback address", addr)
	}
	return nil
}

// bound returns the listener that was made before, or, if it is nil, one at an address.
func bound(before net.Listener, address string, with *TLS) (net.Listener, error) {
	if before == nil {
		return listen(address, with != nil)
	}
	return before, mayListen(before.Addr(), with != nil)
}

// dial connects to a peer's address, with TLS if there is any. Without, it must be a loopback
// address. The error is a *fault.
func (o *TLS) dial(ctx context.Context, p Peer) (conn, raw net.Conn, err error) {
	d := net.Dialer{KeepAlive: -1} // pings do that
	if o == nil {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			if host, _, err := net.SplitHostPort(address); err != nil || !net.ParseIP(host).IsLoopback() {
				return fmt.Errorf("a connection to %s needs TLS, since it isn't a loopback address", address)
			}
			return nil
		}
	}
	raw, err = d.DialContext(ctx, "tcp", p.Addr)
	if err != nil {
		return nil, nil, faultOf(Unreachable, err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		raw.SetDeadline(deadline)
	}
	if o == nil {
		return raw, raw, nil
	}
	secured := tls.Client(raw, o.client(p.Name))
	if err := secured.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, nil, tlsFault(err)
	}
	return secured, raw, nil
}

// accept has a connection that was accepted use TLS, if there is any. The error is a *fault.
func (o *TLS) accept(ctx context.Context, raw net.Conn) (net.Conn, error) {
	if o == nil {
		return raw, nil
	}
	secured := tls.Server(raw, o.server())
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, tlsFault(err)
	}
	return secured, nil
}

// tlsFault is the fault of a handshake of TLS that has failed.
func tlsFault(err error) *fault {
	var name x509.HostnameError
	switch {
	case errors.As(err, &name):
		return faultOf(WrongName, err)
	case brokenOrLate(err) == Late:
		return faultOf(Late, err)
	}
	return faultOf(Untrusted, err)
}

// brokenOrLate is the fault of a connection in its handshake that has failed. With TLS 1.3 the
// dialler gets to know only afterwards that its certificate was refused.
func brokenOrLate(err error) Fault {
	var alert *net.OpError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return Late
	case errors.As(err, &alert) && alert.Op == "remote error": // an alert of TLS
		return Untrusted
	}
	return Broken
}

// inTime ends a connection's handshake, which may take no longer.
func inTime(raw net.Conn) { raw.SetDeadline(time.Time{}) }
