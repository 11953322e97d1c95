package ring

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/peer"
)

// A recorder runs fake memcached servers and records which of them received a get of a key.
type recorder struct {
	mu       sync.Mutex     // guards receiver
	receiver map[string]int // by key: the last server that received a get of it
}

// listen starts server i. It answers each get with a miss until the test ends.
func (r *recorder) listen(t *testing.T, network, address string, i int) net.Addr {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed: the test is over
			}
			go r.serve(conn, i)
		}
	}()
	return listener.Addr()
}

func (r *recorder) serve(conn net.Conn, i int) {
	defer conn.Close()
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		r.mu.Lock()
		for _, key := range strings.Fields(lines.Text())[1:] {
			r.receiver[key] = i
		}
		r.mu.Unlock()
		if _, err := conn.Write([]byte("END\r\n")); err != nil {
			return // the client sees the missing answer
		}
	}
}

// owners sends gets of the keys to address and returns the server that each reached.
func (r *recorder) owners(t *testing.T, address string, keys []string) []int {
	t.Helper()
	r.mu.Lock()
	r.receiver = make(map[string]int)
	r.mu.Unlock()
	for _, answer := range ask(t, address, keys) {
		if answer != "END" {
			t.Fatalf("got %q; want END", answer)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	owners := make([]int, len(keys))
	for i, key := range keys {
		owner, found := r.receiver[key]
		if !found {
			t.Fatalf("%q reached no server", key)
		}
		owners[i] = owner
	}
	return owners
}

// ask sends a get of each key in one write, and returns the first line of each answer.
func ask(t *testing.T, address string, keys []string) []string {
	t.Helper()
	conn, err := net.Dial("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := fmt.Fprintf(conn, "get %s\r\n", strings.Join(keys, "\r\nget "))
		sent <- err
	}()
	var answers []string
	for lines := bufio.NewScanner(conn); len(answers) < len(keys) && lines.Scan(); {
		answers = append(answers, lines.Text())
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if len(answers) < len(keys) {
		t.Fatalf("got %d answers; want %d", len(answers), len(keys))
	}
	return answers
}

// twemproxyPool is a pool of twemproxy's, and the ring that must place keys like it.
type twemproxyPool struct {
	name    string
	o       Options
	eject   bool
	members []Member
	lines   []string // of the members, in twemproxy's form
}

func (p twemproxyPool) yaml(socket string) string {
	distribution := p.o.Placement
	if distribution == "modulo" {
		distribution = "modula"
	}
	yaml := fmt.Sprintf("%s:\n  listen: %s 0666\n  hash: %s\n  distribution: %s\n  timeout: 10000\n",
		p.name, socket, p.o.Function, distribution)
	if p.o.Tag != "" {
		yaml += fmt.Sprintf("  hash_tag: %q\n", p.o.Tag)
	}
	if p.eject {
		yaml += "  auto_eject_hosts: true\n  server_failure_limit: 1\n  server_retry_timeout: 3600000\n"
	}
	return yaml + "  servers:\n   - " + strings.Join(p.lines, "\n   - ") + "\n"
}

// startTwemproxy runs nutcracker with the pools until the test ends. Each pool listens on the
// socket of its name in dir.
func startTwemproxy(t *testing.T, dir string, pools []twemproxyPool) {
	t.Helper()
	program := peer.Find(t, "nutcracker")
	var config bytes.Buffer
	for _, p := range pools {
		config.WriteString(p.yaml(filepath.Join(dir, p.name)))
	}
	path := filepath.Join(dir, "nutcracker.yml")
	if err := os.WriteFile(path, config.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "-t", "-c", path).CombinedOutput(); err != nil {
		t.Fatalf("nutcracker -t: %v\n%s\n%s", err, out, config.Bytes())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, program, "-c", path, "-a", "127.0.0.1", "-s", peer.FreePort(t))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		<-exited
	})
	// It listens for one pool after the other, and logs nothing at the end.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("unix", filepath.Join(dir, pools[len(pools)-1].name)); err == nil {
			conn.Close()
			return
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("nutcracker: %v\n%s", err, stderr.Bytes())
		case <-tick.C:
		}
	}
}

// twemproxyFunctions are twemproxy's hash functions.
func twemproxyFunctions() []string {
	var names []string
	for name := range functions {
		if name != "murmur3" && name != "murmur64a" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// A fleet is a recorder's fake servers and the pools over them.
type fleet struct {
	recorder
	dir       string // of the sockets; t.TempDir's path is too long for them
	addresses []string
	sockets   []string
}

// newFleet starts count servers, each on a TCP address and a socket.
func newFleet(t *testing.T, count int) *fleet {
	t.Helper()
	dir, err := os.MkdirTemp("", "ring")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &fleet{dir: dir}
	for i := range count {
		f.addresses = append(f.addresses, f.listen(t, "tcp", "127.0.0.1:0", i).String())
		f.sockets = append(f.sockets, filepath.Join(dir, fmt.Sprint("s", i)))
		f.listen(t, "unix", f.sockets[i], i)
	}
	return f
}

// named returns a pool of servers on sockets, placed by these names.
func (f *fleet) named(o Options, weights []int, names ...string) twemproxyPool {
	p := twemproxyPool{o: o}
	for i, w := range weights {
		p.members = append(p.members, Member{names[i], w})
		p.lines = append(p.lines, fmt.Sprintf("%s:%d %s", f.sockets[i], w, names[i]))
	}
	return p
}

// addressed returns a pool of servers that are placed by their addresses.
func (f *fleet) addressed(o Options, weights ...int) twemproxyPool {
	p := twemproxyPool{o: o}
	for i, w := range weights {
		p.members = append(p.members, Member{f.addresses[i], w})
		p.lines = append(p.lines, fmt.Sprintf("%s:%d", f.addresses[i], w))
	}
	return p
}

const deadServer = 2

// ejecting returns a pool whose deadServer is unreachable, and is ejected.
func (f *fleet) ejecting(o Options, weights []int, names ...string) twemproxyPool {
	p := f.named(o, weights, names...)
	p.eject = true
	p.lines[deadServer] = fmt.Sprintf("%s:%d %s", filepath.Join(f.dir, "dead"), weights[deadServer], names[deadServer])
	return p
}

// pools returns a pool for each distribution and hash, and special ones.
func (f *fleet) pools() []twemproxyPool {
	even, uneven := []int{1, 1, 1, 1, 1}, []int{1, 5, 2, 3, 1}
	names := []string{"m0", "m1", "m2", "m3", "m4"}
	var pools []twemproxyPool
	for _, placement := range []string{"ketama", "modulo"} {
		for _, function := range twemproxyFunctions() {
			o := Options{Placement: placement, Function: function}
			pools = append(pools, f.named(o, even, names...), f.addressed(o, uneven...))
			o.Tag = "{}"
			pools = append(pools, f.named(o, []int{100, 250, 1}, names...))
		}
		o := Options{Placement: placement, Function: "fnv1a_64", Tag: "$$"}
		pools = append(pools,
			f.named(o, even[:1], names...),
			f.named(o, even[:2], names...),
			f.named(o, uneven, "m4000", "m3", "m2", "m3000", "m4"), // not in twemproxy's order
			f.ejecting(o, even, names...))
		if placement == "modulo" { // for ketama see Ring.OwnerAmong
			pools = append(pools, f.ejecting(o, uneven, names...))
		}
	}
	for i := range pools {
		pools[i].name = fmt.Sprint("pool", i)
	}
	return pools
}

// TestTwemproxy compares rings with twemproxy.
func TestTwemproxy(t *testing.T) {
	peer.Find(t, "nutcracker")
	f := newFleet(t, 5)
	pools := f.pools()
	startTwemproxy(t, f.dir, pools)
	keys := peerKeys()
	for _, p := range pools {
		r := mustNew(t, p.o, p.members)
		owner := r.Owner
		if p.eject {
			owner = func(key []byte) int { return r.OwnerAmong(key, func(i int) bool { return i != deadServer }) }
			eject(t, filepath.Join(f.dir, p.name), keys)
		}
		wrong := 0
		for i, want := range f.owners(t, filepath.Join(f.dir, p.name), keys) {
			if got := owner([]byte(keys[i])); got != want {
				if wrong++; wrong == 1 {
					t.Errorf("%+v of %v, ejecting %v: %q: got %d; want %d as twemproxy", p.o, p.members, p.eject, keys[i], got, want)
				}
			}
		}
		if wrong > 1 {
			t.Errorf("and %d more of %d keys", wrong-1, len(keys))
		}
	}
}

// eject sends twemproxy gets of the keys one by one until one goes to the dead server, which
// twemproxy then ejects.
func eject(t *testing.T, address string, keys []string) {
	t.Helper()
	for _, key := range keys {
		if answer := ask(t, address, []string{key}); answer[0] != "END" {
			return
		}
	}
	t.Fatal("no key met the server that is dead")
}

// TestTwemproxyRandom: twemproxy's random distribution ignores weights, like ours.
func TestTwemproxyRandom(t *testing.T) {
	peer.Find(t, "nutcracker")
	f := newFleet(t, 2)
	p := f.addressed(Options{Placement: "random", Function: "md5"}, 1, 9)
	p.name = "random"
	startTwemproxy(t, f.dir, []twemproxyPool{p})
	keys := peerKeys()
	r := mustNew(t, p.o, p.members)
	theirs, ours := 0, 0
	for i, owner := range f.owners(t, filepath.Join(f.dir, p.name), keys) {
		theirs += owner
		ours += r.Owner([]byte(keys[i]))
	}
	for name, got := range map[string]int{"theirs": theirs, "ours": ours} {
		if got < len(keys)*4/10 || got > len(keys)*6/10 {
			t.Errorf("%s: %d of %d keys to the heavier; want half", name, got, len(keys))
		}
	}
}
