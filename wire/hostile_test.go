package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// hostile multiplies the work of the tests of bad input and of short memory: HOLDFAST_HOSTILE=20
// turns seconds into minutes.
func hostile() int {
	n, err := strconv.Atoi(os.Getenv("HOLDFAST_HOSTILE"))
	if err != nil {
		return 1
	}
	return max(1, n)
}

// ours is the built program, or another build that HOLDFAST_BINARY names, such as one with the race
// detector.
func ours(t *testing.T) *peer {
	t.Helper()
	if path := os.Getenv("HOLDFAST_BINARY"); path != "" {
		return &peer{name: "holdfast", argv: []string{path, "cache"}}
	}
	return holdfast(t)
}

// TestShortMemory has many clients use every command at once with little memory, and checks every
// answer: see loader.
func TestShortMemory(t *testing.T) {
	for _, test := range []struct {
		name   string
		flags  []string
		most   int // of a value
		rounds int
		way    func(t *testing.T, flags []string) (*process, func() (net.Conn, error))
	}{
		{"1 MiB", []string{"-m", "1", "-I", "512k"}, 512 << 10, 40, overTCP},
		{"2 MiB", []string{"-m", "2", "-I", "1m"}, 1 << 20, 30, overTCP},
		{"8 MiB", []string{"-m", "8", "-I", "1m"}, 1 << 20, 40, overTCP},
		{"no eviction", []string{"-m", "8", "-M"}, 1 << 20, 40, overTCP},
		{"by prefix", []string{"-m", "8", "-D", ":"}, 1 << 20, 40, overTCP},
		{"one request a batch", []string{"-m", "8", "-R", "1"}, 1 << 20, 20, overTCP},
		{"unix socket", []string{"-m", "8"}, 1 << 20, 30, overUnix},
		{"TLS", []string{"-m", "8"}, 1 << 20, 20, overTLS},
	} {
		t.Run(test.name, func(t *testing.T) {
			server, dial := test.way(t, append(test.flags, "-t", "2"))
			load(t, server, dial, 50, test.rounds*hostile(), test.most)
		})
	}
}

// load runs the given number of loaders, and fails the test with their findings.
func load(t *testing.T, server *process, dial func() (net.Conn, error), clients, rounds, most int) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for i := range clients {
		c, err := dial()
		if err != nil {
			t.Fatalf("%v\n%s", err, server.stderr.String())
		}
		t.Cleanup(func() { c.Close() })
		wg.Go(func() {
			l := newLoader(i, c, seed, most)
			l.flushes = i%10 == 0
			if err := l.run(rounds); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.Log(server.stderr.String())
	}
}

func overTCP(t *testing.T, flags []string) (*process, func() (net.Conn, error)) {
	server := start(t, ours(t), flags...)
	return server, func() (net.Conn, error) { return net.Dial("tcp", server.addr) }
}

func overTLS(t *testing.T, flags []string) (*process, func() (net.Conn, error)) {
	certificate, key := newCertificate(t)
	server := start(t, ours(t), append(flags, "-Z", "-o", "ssl_chain_cert="+certificate+",ssl_key="+key)...)
	return server, func() (net.Conn, error) {
		return tls.Dial("tcp", server.addr, &tls.Config{InsecureSkipVerify: true})
	}
}

// overUnix starts a server that listens only on a Unix socket, as memcached does with -s.
func overUnix(t *testing.T, flags []string) (*process, func() (net.Conn, error)) {
	path := filepath.Join(t.TempDir(), "s")
	server := startAt(t, "unix", path, append(flags, "-s", path)...)
	return server, func() (net.Conn, error) { return net.Dial("unix", path) }
}

// startAt runs Holdfast with flags that name the address.
func startAt(t *testing.T, network, address string, flags ...string) *process {
	t.Helper()
	pr := launch(t, flags...)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	late := time.After(patience)
	for {
		c, err := net.Dial(network, address)
		if err == nil {
			c.Close()
			return pr
		}
		select {
		case <-pr.exited:
			t.Fatalf("it ended: %v\n%s", pr.cmd.ProcessState, pr.stderr.String())
		case <-late:
			t.Fatal(errors.Join(fmt.Errorf("nothing at %s after %v", address, patience), err))
		case <-again.C:
		}
	}
}
