package wire

import (
	_ "embed"
	"net"
	"os/exec"
	"testing"
)

//go:embed testdata/pymemcache.py
var pymemcache string

// TestPymemcache runs Debian's pymemcache against Holdfast; the script asserts.
func TestPymemcache(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's own, which finds Debian's packages
	if exec.Command(python, "-c", "import pymemcache").Run() != nil {
		missing(t, "pymemcache")
	}
	server := start(t, holdfast(t))
	host, port, err := net.SplitHostPort(server.addr)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(python, "-c", pymemcache, host, port).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
