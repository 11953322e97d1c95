package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// launch runs Holdfast with flags, and with no others except what root needs, until the test ends.
// The process may end at once.
func launch(t *testing.T, flags ...string) *process {
	t.Helper()
	p := ours(t)
	args := append([]string{}, p.argv[1:]...)
	if os.Getuid() == 0 {
		args = append(args, "-u", "root")
	}
	pr := &process{
		cmd: exec.Command(p.argv[0], append(args, flags...)...), signal: syscall.SIGTERM, exited: make(chan struct{}),
	}
	pr.cmd.Stderr = &pr.stderr
	if err := spawn(pr.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = pr.cmd.Wait() // the test checks the process's state
		close(pr.exited)
	}()
	t.Cleanup(pr.stop)
	return pr
}

// newCertificate writes a self-signed certificate and its key, and returns their paths.
func newCertificate(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}
