package rpc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
)

// A ca signs certificates.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newCA(t testing.TB) *ca {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a cluster"}, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &ca{cert: cert, key: key, pool: pool}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign returns a node's certificate; change may change what it says.
func (c *ca) sign(t testing.TB, name string, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, &key.PublicKey, c.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// with is the TLS of a node with this certificate.
func (c *ca) with(cert *tls.Certificate) *TLS {
	return &TLS{CAs: c.pool, Certificate: func() (*tls.Certificate, error) { return cert, nil }}
}

func openTLS(t testing.TB, id holdfast.NodeID, with *TLS) *Transport {
	t.Helper()
	o := testOptions(id)
	o.TLS = with
	return open(t, o, testLimits())
}

func TestTLS(t *testing.T) {
	noLeaks(t)
	authority := newCA(t)
	one := openTLS(t, 1, authority.with(authority.sign(t, "one.test", nil)))
	two := openTLS(t, 2, authority.with(authority.sign(t, "two.test", nil)))
	introduce(t, one, two)
	body := numbered(9, MaxBody-8)
	if got, err := one.Call(t.Context(), Message{To: 2, Body: body}); err != nil || string(got) != string(body) {
		t.Errorf("got %d bytes, %v; want the longest body back", len(got), err)
	}
	// Names are checked by both ends, where they are given.
	name := func(one, two *Transport, as, of string) {
		one.SetPeers(map[holdfast.NodeID]Peer{2: {Addr: two.Addr().String(), Name: as}})
		two.SetPeers(map[holdfast.NodeID]Peer{1: {Name: of}})
	}
	name(one, two, "two.test", "one.test")
	awaitCalls(t, one, 2)
	name(one, two, "one.test", "one.test")
	await(t, "the dialler refuses the name", func() bool { return one.count(WrongName) > 0 })
	name(one, two, "two.test", "two.test")
	await(t, "the other end refuses the name", func() bool { return two.count(WrongName) > 0 })
	await(t, "the fault at the dialler", func() bool { return one.count(WrongName) > 1 })
	if _, err := one.Call(t.Context(), Message{To: 2}); !errors.Is(err, holdfast.Refused) {
		t.Errorf("got %v; want no connection", err)
	}
	name(one, two, "two.test", "one.test")
	awaitCalls(t, one, 2)
}

// Certificates that aren't of the cluster's CA, or don't hold, are refused, whichever end has them.
func TestUntrusted(t *testing.T) {
	noLeaks(t)
	authority, other := newCA(t), newCA(t)
	made := func(change func(*x509.Certificate)) *TLS {
		return authority.with(authority.sign(t, "node.test", change))
	}
	good := made(nil)
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	early := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }
	usage := func(u x509.ExtKeyUsage) func(c *x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{u} }
	}
	foreign := other.sign(t, "node.test", nil)
	for _, test := range []struct {
		name     string
		one, two *TLS // of the dialler, and of the other end
		refuses  int  // the node that counts it
	}{
		{"the dialler's CA", good, authority.with(foreign), 1},
		{"the other's CA", authority.with(foreign), good, 2},
		{"the dialler's is expired", made(expired), good, 2},
		{"the other's is expired", good, made(expired), 1},
		{"the dialler's isn't valid yet", made(early), good, 2},
		{"the other's isn't valid yet", good, made(early), 1},
		{"the dialler's is for servers", made(usage(x509.ExtKeyUsageServerAuth)), good, 2},
		{"the other's is for clients", good, made(usage(x509.ExtKeyUsageClientAuth)), 1},
		{"the dialler has none", authority.with(&tls.Certificate{}), good, 2},
		{"the other has none", good, authority.with(&tls.Certificate{}), 2},
		{"the dialler has no TLS", nil, good, 2},
		{"the other has no TLS", good, nil, 1},
	} {
		one, two := openTLS(t, 1, test.one), openTLS(t, 2, test.two)
		one.SetPeers(map[holdfast.NodeID]Peer{2: {Addr: two.Addr().String()}})
		two.SetPeers(map[holdfast.NodeID]Peer{1: {}})
		node := []*Transport{one, two}[test.refuses-1]
		await(t, test.name, func() bool { return node.count(Untrusted) > 1 })
		if _, err := one.Call(t.Context(), Message{To: 2}); !errors.Is(err, holdfast.Refused) {
			t.Errorf("%s: got %v; want no connection", test.name, err)
		}
		if c := (*two.peers.Load())[1].conns(); len(c) != 0 {
			t.Errorf("%s: there is a connection", test.name)
		}
		one.Close()
		two.Close()
	}
}

// A certificate that is renewed while a node runs is used for the next connection.
func TestRenewedCertificate(t *testing.T) {
	noLeaks(t)
	authority := newCA(t)
	var current atomic.Pointer[tls.Certificate]
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	current.Store(authority.sign(t, "two.test", expired))
	one := openTLS(t, 1, authority.with(authority.sign(t, "one.test", nil)))
	with := &TLS{CAs: authority.pool, Certificate: func() (*tls.Certificate, error) { return current.Load(), nil }}
	two := openTLS(t, 2, with)
	one.SetPeers(map[holdfast.NodeID]Peer{2: {Addr: two.Addr().String()}})
	two.SetPeers(map[holdfast.NodeID]Peer{1: {Addr: one.Addr().String()}})
	await(t, "both refuse the old one", func() bool { return one.count(Untrusted) > 1 })
	current.Store(authority.sign(t, "two.test", nil))
	awaitCalls(t, one, 2)
	awaitCalls(t, two, 1)
}

// A peer that garbles, stalls or ends the handshake of TLS is left in a bounded time.
func TestDamagedTLS(t *testing.T) {
	noLeaks(t)
	authority := newCA(t)
	o := testOptions(2)
	o.TLS = authority.with(authority.sign(t, "two.test", nil))
	l := testLimits()
	l.handshakeTime = 200 * time.Millisecond
	two := open(t, o, l)
	two.SetPeers(map[holdfast.NodeID]Peer{1: {}})
	for n := range 30 {
		c := dialRaw(t, two)
		w := tls.Client(&damager{Conn: c, change: n * 10}, o.TLS.client(""))
		if err := w.HandshakeContext(t.Context()); err == nil {
			io.Copy(io.Discard, w)
		}
		c.Close()
	}
	dialRaw(t, two) // and says nothing
	await(t, "they are counted", func() bool { return two.count(Untrusted) > 0 && two.count(Late) > 0 })
}

// A damager changes one byte of what is written.
type damager struct {
	net.Conn
	change int // the byte's number
}

func (r *damager) Write(b []byte) (int, error) {
	changed := bytes.Clone(b)
	if r.change >= 0 && r.change < len(b) {
		changed[r.change] ^= 0x40
	}
	r.change -= len(b)
	return r.Conn.Write(changed)
}

// Without TLS, a node dials loopback addresses only.
func TestNoPlainConnectionsElsewhere(t *testing.T) {
	noLeaks(t)
	one := open(t, testOptions(1), testLimits())
	one.SetPeers(map[holdfast.NodeID]Peer{2: {Addr: "192.0.2.1:7000"}})
	await(t, "it is refused", func() bool { return one.count(Unreachable) > 1 })
	_, _, err := (*TLS)(nil).dial(t.Context(), Peer{Addr: "192.0.2.1:7000"})
	if want := "a connection to 192.0.2.1:7000 needs TLS, since it isn't a loopback address"; err == nil ||
		!errorSays(err, want) {
		t.Errorf("got %v; want %q", err, want)
	}
	if _, raw, err := (*TLS)(nil).dial(t.Context(), Peer{Addr: one.Addr().String()}); err != nil {
		t.Error(err)
	} else {
		raw.Close()
	}
}

// errorSays says whether an error or a cause of it has this text.
func errorSays(err error, text string) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if err.Error() == text {
			return true
		}
	}
	return false
}
