package wire

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBinaryClients runs clients of the binary protocol, with and without SASL, against Holdfast
// and memcached. Each client has a script in testdata/binary, which asserts.
func TestBinaryClients(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's own, which finds Debian's packages
	for _, client := range []struct {
		name    string
		check   []string // exits with 0 if the client is installed
		command []string // runs the script
	}{
		{"dalli", []string{"ruby", "-e", "require 'dalli'; exit Dalli::VERSION.start_with?('3.0')"},
			[]string{"ruby", "dalli.rb"}},
		{"pylibmc", []string{python, "-c", "import pylibmc; assert pylibmc.support_sasl"},
			[]string{python, "use_pylibmc.py"}},
		{"memjs", []string{"node", "-e", "require(process.env.HOLDFAST_MEMJS + '/node_modules/memjs')"},
			[]string{"node", "memjs.js"}},
		{"php-memcached", []string{"php", "-r", "exit(Memcached::HAVE_SASL ? 0 : 1);"}, []string{"php", "memcached.php"}},
	} {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			if exec.Command(client.check[0], client.check[1:]...).Run() != nil {
				missing(t, client.name)
			}
			t.Run("open", func(t *testing.T) {
				runBinaryClient(t, client.command, start(t, holdfast(t)))
			})
			t.Run("SASL", func(t *testing.T) {
				users := filepath.Join(t.TempDir(), "users")
				if err := os.WriteFile(users, []byte("ann:secret\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				runBinaryClient(t, client.command, start(t, holdfast(t), "-S", "-Y", users), "ann", "secret")
			})
			t.Run("memcached", func(t *testing.T) { // the script's expectations hold for the real one
				runBinaryClient(t, client.command, start(t, memcached(t, find(t, "memcached"))))
			})
		})
	}
}

func runBinaryClient(t *testing.T, command []string, server *process, credentials ...string) {
	t.Helper()
	host, port, err := net.SplitHostPort(server.addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(command[0], append([]string{command[1], host, port}, credentials...)...)
	cmd.Dir = filepath.Join("testdata", "binary")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "good\n") {
		t.Errorf("%v\n%s", err, out)
	}
}
