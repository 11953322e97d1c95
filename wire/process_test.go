package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience limits every wait for a server; no wait is expected to come near it.
const patience = 20 * time.Second

// A peer is a program that serves the protocol.
type peer struct {
	name    string   // holdfast or memcached
	version version  // memcached's; zero for Holdfast
	argv    []string // the program, and the arguments that make it a cache
}

func (p *peer) String() string {
	if p.name == "holdfast" {
		return p.name
	}
	return fmt.Sprintf("%s-%d.%d.%d", p.name, p.version[0], p.version[1], p.version[2])
}

// built is the path of Holdfast; TestMain builds it.
var built struct {
	path string
	err  error
}

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "holdfast-wire")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	built.path = filepath.Join(dir, "holdfast")
	if out, err := exec.Command("go", "build", "-o", built.path, "holdfast/cmd/holdfast").CombinedOutput(); err != nil {
		built.err = fmt.Errorf("go build holdfast/cmd/holdfast: %w\n%s", err, out)
	}
	return m.Run()
}

// holdfast is Holdfast as a peer.
func holdfast(t *testing.T) *peer {
	t.Helper()
	if built.err != nil {
		t.Fatal(built.err)
	}
	return &peer{name: "holdfast", argv: []string{built.path, "cache"}}
}

// memcached is the real one at path.
func memcached(t *testing.T, path string) *peer {
	t.Helper()
	out, err := exec.Command(path, "-V").Output()
	if err != nil {
		t.Fatalf("%s -V: %v", path, err)
	}
	v, err := parseVersion(strings.TrimPrefix(string(out), "memcached "))
	if err != nil {
		t.Fatalf("%s -V: %v", path, err)
	}
	return &peer{name: "memcached", version: v, argv: []string{path}}
}

// missing skips the test, which needs something that isn't installed, or fails it if everything is
// required.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("HOLDFAST_PEERS") == "required" {
		t.Fatalf("%s is not installed, and HOLDFAST_PEERS=required", what)
	}
	t.Skipf("%s is not installed", what)
}

// find is the path of an installed program; if it isn't installed, the test is skipped.
func find(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, program)
	}
	return path
}

// A process is a running server.
type process struct {
	addr   string         // host:port
	signal syscall.Signal // the signal that stops it
	cmd    *exec.Cmd
	stderr lockedBuffer
	exited chan struct{} // closed once it has exited
}

// start runs p with flags on a free port of 127.0.0.1 until the test ends.
func start(t *testing.T, p *peer, flags ...string) *process {
	t.Helper()
	ports := filepath.Join(t.TempDir(), "ports")
	args := append(append([]string{}, p.argv[1:]...), "-l", "127.0.0.1", "-p", "-1", "-U", "0")
	if os.Getuid() == 0 {
		args = append(args, "-u", "root")
	}
	pr := &process{
		cmd: exec.Command(p.argv[0], append(args, flags...)...), exited: make(chan struct{}), signal: syscall.SIGTERM,
	}
	if p.name == "memcached" {
		pr.signal = syscall.SIGKILL // asked, it takes a second, and there are many
	}
	pr.cmd.Env = append(os.Environ(), "MEMCACHED_PORT_FILENAME="+ports)
	pr.cmd.Stderr = &pr.stderr
	if err := spawn(pr.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		// The test that stopped it checks how it ended; if a server dies by itself, the dialogue fails.
		_ = pr.cmd.Wait()
		close(pr.exited)
	}()
	t.Cleanup(pr.stop)
	port, err := pr.port(ports)
	if err != nil {
		t.Fatalf("%v: %v\n%s", pr.cmd.Args, err, pr.stderr.String())
	}
	pr.addr = net.JoinHostPort("127.0.0.1", port)
	return pr
}

// port waits until the server has written its ports: lines like "TCP INET: 11211".
func (pr *process) port(file string) (string, error) {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	late := time.After(patience)
	for {
		data, err := os.ReadFile(file)
		if _, port, ok := strings.Cut(string(data), "TCP INET: "); ok && strings.Contains(port, "\n") {
			port, _, _ = strings.Cut(port, "\n")
			return strings.TrimSpace(port), nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		select {
		case <-pr.exited:
			return "", fmt.Errorf("it ended: %v", pr.cmd.ProcessState)
		case <-late:
			return "", fmt.Errorf("no port in %s after %v", file, patience)
		case <-again.C:
		}
	}
}

// stop ends the server, and kills it if it doesn't end.
func (pr *process) stop() {
	// Signal fails if the process has already ended, which is fine.
	_ = pr.cmd.Process.Signal(pr.signal)
	select {
	case <-pr.exited:
	case <-time.After(patience):
		_ = pr.cmd.Process.Kill()
		<-pr.exited
	}
}

// spawn starts cmd so that it dies with the test program, even if that is killed. The kernel ties
// such a child to the thread that started it, so one thread, which stays, starts them all.
func spawn(cmd *exec.Cmd) error {
	spawner.once.Do(func() {
		spawner.work = make(chan func())
		go runSpawner(spawner.work)
	})
	done := make(chan error)
	spawner.work <- func() { done <- startBound(cmd) }
	return <-done
}

var spawner struct {
	once sync.Once
	work chan func()
}

// A lockedBuffer collects a process's output while a test may read it.
type lockedBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
