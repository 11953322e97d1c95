// Package peer starts programs of other projects (memcached, twemproxy) for the tests that compare
// with them. Only tests import it.
package peer

import (
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

// startTime is how long a program may take until it listens.
const startTime = 30 * time.Second

// Find returns the path of an installed program. If it is missing, the test is skipped, or fails
// with HOLDFAST_PEERS=required.
func Find(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Missing(t, program)
	}
	return path
}

// Missing skips a test that needs something that isn't installed, or fails it with
// HOLDFAST_PEERS=required.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("HOLDFAST_PEERS") == "required" {
		t.Fatalf("%s is not installed, and HOLDFAST_PEERS=required", what)
	}
	t.Skipf("%s is not installed", what)
}

// Start runs a program until the test ends, and returns once it accepts connections at the address.
func Start(t testing.TB, network, address, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	tick, limit := time.NewTicker(5*time.Millisecond), time.After(startTime)
	defer tick.Stop()
	for {
		conn, err := net.Dial(network, address)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s doesn't listen: %v", program, err)
		}
	}
}
