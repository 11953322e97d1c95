package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// newCertificate writes a self-signed certificate, for servers and clients, to files of its own.
func newCertificate(t testing.TB, name string) TLS {
	t.Helper()
	dir := t.TempDir()
	files := TLS{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	writeCertificate(t, files, name)
	return files
}

func writeCertificate(t testing.TB, files TLS, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, files.Certificate, "CERTIFICATE", der)
	writePEM(t, files.Key, "PRIVATE KEY", keyDER)
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func dialTLS(t testing.TB, s *Server, config *tls.Config) *client {
	t.Helper()
	if config == nil {
		config = &tls.Config{InsecureSkipVerify: true} // the certificate is made up by the test
	}
	conn, err := tls.Dial("tcp", s.Addrs()[0].String(), config)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

func subject(c *client) string {
	return c.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestCertificateRefresh(t *testing.T) {
	files := newCertificate(t, "one")
	s := start(t, Options{TLS: files}, newMemory())
	old := dialTLS(t, s, nil)
	if got := subject(old); got != "one" {
		t.Fatalf("certificate of %q; want one", got)
	}
	writeCertificate(t, files, "two")
	old.ask("refresh_certs\r\n", "OK\r\n")
	if got := subject(dialTLS(t, s, nil)); got != "two" {
		t.Errorf("certificate of %q after refresh_certs; want two", got)
	}
	old.ask("mn\r\n", "MN\r\n")
	if err := os.WriteFile(files.Key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	old.send("refresh_certs\r\n")
	if got := old.line(); got[:6] != "Error " {
		t.Errorf("refresh_certs with a broken key: %q", got)
	}
	if got := subject(dialTLS(t, s, nil)); got != "two" {
		t.Errorf("certificate of %q after a failed refresh; want two", got)
	}
}

func TestCertificateFilesChange(t *testing.T) {
	files := newCertificate(t, "one")
	s := start(t, Options{TLS: files}, newMemory())
	writeCertificate(t, files, "two")
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(files.Certificate, later, later); err != nil {
		t.Fatal(err)
	}
	s.tls.mu.Lock()
	s.tls.checked = time.Time{} // as if the last look were long ago
	s.tls.mu.Unlock()
	if got := subject(dialTLS(t, s, nil)); got != "two" {
		t.Errorf("certificate of %q; want two", got)
	}
}

func TestListenersWithAndWithoutTLS(t *testing.T) {
	files := newCertificate(t, "one")
	files.CA = files.Certificate
	s := start(t, Options{TLS: files, Listeners: []Listener{
		{Address: "127.0.0.1:0"}, {Address: "127.0.0.1:0", TLS: TLSOff}, {Address: "127.0.0.1:0", TLS: TLSMutual},
	}}, newMemory())
	dialTLS(t, s, nil).ask("set k 0 0 1\r\nx\r\n", "STORED\r\n")

	plain, err := net.Dial("tcp", s.Addrs()[1].String())
	if err != nil {
		t.Fatal(err)
	}
	newClient(t, plain).ask("get k\r\n", get("k", "x"))

	pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	known := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}
	for _, config := range []*tls.Config{known, {InsecureSkipVerify: true}} {
		conn, err := tls.Dial("tcp", s.Addrs()[2].String(), config)
		if err == nil {
			c := newClient(t, conn)
			if config == known {
				c.ask("get k\r\n", get("k", "x"))
			} else {
				c.Write([]byte("get k\r\n"))
				c.wantEnd()
			}
		} else if config == known {
			t.Fatal(err)
		}
	}
	until(t, "the failed handshake counts", func() bool { return s.Stats().TLSErrors == 1 })
}

func TestBadTLSOptions(t *testing.T) {
	files := newCertificate(t, "one")
	for name, bad := range map[string]TLS{
		"no file":     {Certificate: files.Certificate + "x", Key: files.Key},
		"verify mode": {Certificate: files.Certificate, Key: files.Key, VerifyMode: 4},
		"authority":   {Certificate: files.Certificate, Key: files.Key, CA: files.Key},
	} {
		if _, err := New(Options{Listeners: listeners("127.0.0.1:0"), TLS: bad}, newMemory()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
