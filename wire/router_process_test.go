package wire

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startMembers starts n real memcacheds.
func startMembers(t *testing.T, n int) []*process {
	t.Helper()
	p := memcached(t, find(t, "memcached"))
	var members []*process
	for range n {
		members = append(members, start(t, p, "-t", "1"))
	}
	return members
}

// startAgain starts an empty memcached at the address of one that was killed.
func startAgain(t *testing.T, killed *process) *process {
	t.Helper()
	_, port, err := net.SplitHostPort(killed.addr)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, memcached(t, find(t, "memcached")), "-t", "1", "-p", port)
}

// kill ends the process as a crash would.
func (pr *process) kill() {
	_ = pr.cmd.Process.Kill() // it may have ended
	<-pr.exited
}

// configFor is a configuration in Holdfast's form, of a router at address with one pool; more are
// lines of the pool.
func configFor(address string, members []*process, more ...string) string {
	text := fmt.Sprintf("router:\n  listen: [%q]\n  threads: 2\n  connections: 12000\n", address) +
		"  pools:\n    - name: items\n"
	for _, line := range more {
		text += "      " + line + "\n"
	}
	text += "      members:\n"
	for _, m := range members {
		text += fmt.Sprintf("        - %q\n", m.addr)
	}
	return text
}

// startRouter runs `holdfast router` with a configuration that listens on address.
func startRouter(t *testing.T, address, configuration string) *process {
	t.Helper()
	return startProgram(t, address, configuration, ours(t).argv[0], "router", "--http-listen", "", "--config")
}

// startProgram runs a program whose last argument is the path of its configuration, until the test
// ends, and waits until it answers at address.
func startProgram(t *testing.T, address, configuration string, argv ...string) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "router.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	pr := &process{addr: address, signal: syscall.SIGTERM, exited: make(chan struct{})}
	pr.cmd = exec.Command(argv[0], append(argv[1:len(argv):len(argv)], file)...)
	pr.cmd.Stderr = &pr.stderr
	if err := spawn(pr.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = pr.cmd.Wait() // the test that stopped it checks how it ended
		close(pr.exited)
	}()
	t.Cleanup(pr.stop)
	eventually(t, fmt.Sprintf("%v listens at %s", pr.cmd.Args, address), func() bool {
		select {
		case <-pr.exited:
			t.Fatalf("%v ended: %v\n%s", pr.cmd.Args, pr.cmd.ProcessState, pr.stderr.String())
		default:
		}
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return pr
}

// eventually waits until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	if !within(f) {
		t.Fatalf("%s: not within %v", what, patience)
	}
}

// within calls f until it returns true, and returns false if patience ends before.
func within(f func() bool) bool {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	late := time.After(patience)
	for !f() {
		select {
		case <-again.C:
		case <-late:
			return false
		}
	}
	return true
}

// routed starts n memcacheds with a router in front of them; more are lines of its pool.
func routed(t *testing.T, n int, more ...string) (router *process, members []*process) {
	t.Helper()
	members = startMembers(t, n)
	address := freeAddress(t)
	return startRouter(t, address, configFor(address, members, more...)), members
}

// residentBytes is the process's resident memory.
func (pr *process) residentBytes(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pr.cmd.Process.Pid))
	if err != nil {
		t.Skipf("this system doesn't report a process's memory: %v", err)
	}
	_, rest, ok := strings.Cut(string(data), "VmRSS:")
	if !ok {
		t.Fatal("no VmRSS in /proc")
	}
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
