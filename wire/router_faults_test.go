package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A talker is a connection of a client that reads every answer.
type talker struct {
	net.Conn
	in *bufio.Reader
}

func talk(t *testing.T, server *process) *talker {
	t.Helper()
	return newTalker(dial(t, server))
}

func newTalker(c net.Conn) *talker { return &talker{c, bufio.NewReader(c)} }

// ask sends a request that is answered with one line, or with a value and END, or an error.
func (c *talker) ask(request string) (string, error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, request); err != nil {
		return "", err
	}
	answer, err := c.in.ReadString('\n')
	if !strings.HasPrefix(answer, "VALUE ") {
		return answer, err
	}
	for err == nil && !strings.HasSuffix(answer, "\r\nEND\r\n") && !strings.Contains(answer, "SERVER_ERROR") {
		var line string
		line, err = c.in.ReadString('\n')
		answer += line
	}
	return answer, err
}

func isServerError(answer string) bool { return strings.HasPrefix(answer, "SERVER_ERROR ") }

// TestRouterMemberIsKilled kills one of three memcacheds under load: its keys fail meanwhile, the
// other keys are served, and all keys are served when it is back.
func TestRouterMemberIsKilled(t *testing.T) {
	router, members := routed(t, 3, "probe_min: 10ms", "probe_max: 50ms", "timeout: 5s")
	c := talk(t, router)
	const keys = 300
	owners := ownersOf(t, c, members, keys)
	end := make(chan struct{})
	var killed atomic.Bool
	var failed, served atomic.Int64
	var clients sync.WaitGroup
	for client := range 4 {
		conn := talk(t, router)
		clients.Go(func() {
			for i := client; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				key := i % keys
				before := killed.Load()
				answer, err := conn.ask(fmt.Sprintf("get k%d\r\n", key))
				switch {
				case err != nil:
					t.Errorf("a client's connection: %v", err)
					return
				case isServerError(answer):
					failed.Add(1)
					if owners[key] != 0 || !before && !killed.Load() {
						t.Errorf("k%d of member %d: %s", key, owners[key], answer)
					}
				default:
					served.Add(1)
				}
			}
		})
	}
	eventually(t, "requests before", func() bool { return served.Load() > 1000 })
	killed.Store(true)
	members[0].kill()
	eventually(t, "errors of the keys of the member that is dead", func() bool { return failed.Load() > 100 })
	atKill := served.Load()
	eventually(t, "requests for the others' keys", func() bool { return served.Load() > atKill+1000 })
	close(end)
	clients.Wait()
	startAgain(t, members[0])
	for key, owner := range owners {
		if owner != 0 {
			continue
		}
		request := fmt.Sprintf("set k%d 0 0 1\r\n1\r\n", key)
		eventually(t, "the member is back", func() bool {
			answer, err := c.ask(request)
			if err != nil {
				t.Fatal(err)
			}
			return answer == "STORED\r\n"
		})
	}
}

// ownersOf sets keys k0, k1, … through the router, and finds the member that holds each.
func ownersOf(t *testing.T, c *talker, members []*process, keys int) []int {
	t.Helper()
	owners := make([]int, keys)
	var direct []*talker
	for _, m := range members {
		direct = append(direct, talk(t, m))
	}
	counts := make([]int, len(members))
	for key := range keys {
		if answer, err := c.ask(fmt.Sprintf("set k%d 0 0 1\r\n1\r\n", key)); answer != "STORED\r\n" {
			t.Fatalf("set: %q, %v", answer, err)
		}
		owners[key] = -1
		for i, d := range direct {
			answer, err := d.ask(fmt.Sprintf("get k%d\r\n", key))
			if err != nil {
				t.Fatal(err)
			}
			if answer != "END\r\n" {
				if owners[key] >= 0 {
					t.Errorf("k%d is on two members", key)
				}
				owners[key] = i
				counts[i]++
			}
		}
		if owners[key] < 0 {
			t.Fatalf("k%d is on no member", key)
		}
	}
	for i, n := range counts {
		if n == 0 {
			t.Fatalf("member %d owns no key", i)
		}
	}
	return owners
}

// idleClients is how many connections TestRouterManyClients holds open; idleBytes limits the memory
// of the router with them.
const (
	idleClients = 10_000
	idleBytes   = 150 << 20
)

// TestRouterManyClients opens ten thousand connections, each of which sends one request and stays
// open.
func TestRouterManyClients(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < idleClients+1000 {
		t.Skipf("this process may have %d files open only", limit.Cur)
	}
	router, _ := routed(t, 3, "timeout: 10s")
	var conns []*talker
	for range idleClients {
		c, err := net.Dial("tcp", router.addr)
		if err != nil {
			t.Fatalf("after %d connections: %v\n%s", len(conns), err, router.stderr.String())
		}
		t.Cleanup(func() { c.Close() })
		conns = append(conns, &talker{c, bufio.NewReaderSize(c, 128)})
	}
	for round := range 2 {
		for i, c := range conns {
			if round == 0 {
				if answer, err := c.ask(fmt.Sprintf("set k%d 0 0 5\r\n%05d\r\n", i, i)); answer != "STORED\r\n" {
					t.Fatalf("client %d: set: %q, %v", i, answer, err)
				}
			}
			want := fmt.Sprintf("VALUE k%d 0 5\r\n%05d\r\nEND\r\n", i, i)
			if answer, err := c.ask(fmt.Sprintf("get k%d\r\n", i)); answer != want {
				t.Fatalf("client %d: get: got %q, %v; want %q", i, answer, err, want)
			}
		}
	}
	got := router.residentBytes(t)
	t.Logf("%d clients: %d MiB", idleClients, got>>20)
	if got > idleBytes {
		t.Errorf("the router takes %d MiB for %d clients; want %d at most", got>>20, idleClients, idleBytes>>20)
	}
}

// TestRouterReloads changes the file under load: no request is dropped, and a bad file changes
// nothing.
func TestRouterReloads(t *testing.T) {
	members := startMembers(t, 3)
	address := freeAddress(t)
	router := startRouter(t, address, configFor(address, members, "timeout: 10s"))
	file := router.cmd.Args[len(router.cmd.Args)-1]
	end := make(chan struct{})
	var asked atomic.Int64
	var clients sync.WaitGroup
	for client := range 4 {
		conn := talk(t, router)
		clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				answer, err := conn.ask(fmt.Sprintf("set r%d-%d 0 0 1\r\n1\r\n", client, i%100))
				if err != nil || answer != "STORED\r\n" {
					t.Errorf("client %d: %q, %v", client, answer, err)
					return
				}
				asked.Add(1)
			}
		})
	}
	for _, text := range []string{
		configFor(address, members[:2], "timeout: 10s"),
		configFor(address, members[1:], "timeout: 10s"),
		"router:\n  pools:\n    - name: x\n      members: []\n",
		configFor(address, members, "timeout: 9s", "hash: {placement: ketama}"),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		logged := len(router.stderr.String())
		if err := router.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the router logs about the changed file", func() bool { return len(router.stderr.String()) > logged })
		before := asked.Load()
		eventually(t, "requests", func() bool { return asked.Load() > before+100 })
	}
	close(end)
	clients.Wait()
	if log := router.stderr.String(); !strings.Contains(log, "members") {
		t.Errorf("the bad file isn't spoken of:\n%s", log)
	}
}

// TestRouterStops sends SIGTERM under load: requests in flight are answered, and the process ends.
func TestRouterStops(t *testing.T) {
	router, _ := routed(t, 2)
	c := talk(t, router)
	if answer, err := c.ask("set a 0 0 1\r\n1\r\n"); answer != "STORED\r\n" {
		t.Fatalf("%q, %v", answer, err)
	}
	router.stop()
	if code := router.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d\n%s", code, router.stderr.String())
	}
	if _, err := c.ask("get a\r\n"); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection: got %v; want that it is closed", err)
	}
}
