package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/cluster"
	"holdfast/config"
	"holdfast/internal/peer"
	"holdfast/rpc"
)

// meetingConfigs returns the configurations of n nodes that are to meet.
func meetingConfigs(t *testing.T, n int) []config.Config {
	t.Helper()
	all, addresses := make([]config.Config, n), peer.FreeAddresses(t, n)
	for i := range all {
		all[i] = tablesConfig(t)
		all[i].Cluster = &config.Cluster{
			Name: "shop", Listen: addresses[i], Advertise: addresses[i], Seeds: addresses, Expect: n,
		}
		if err := all[i].Check(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func meet(ctx context.Context, c config.Config) error {
	o := Options{Config: c, Log: slog.New(slog.DiscardHandler)}
	return errors.Join(Meet(ctx, &o), o.bound.close())
}

// meetAll has all nodes meet.
func meetAll(t *testing.T, all []config.Config) {
	t.Helper()
	var running sync.WaitGroup
	for _, c := range all {
		running.Go(func() {
			if err := meet(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
}

func identityIn(t *testing.T, c config.Config) *cluster.Identity {
	t.Helper()
	is, err := cluster.Read(vfs.Default, c.Tables.Data)
	if err != nil || is == nil {
		t.Fatalf("%s: got %v, %v; want an identity", c.Tables.Data, is, err)
	}
	return is
}

// A cluster of one node needs nobody. Its directory has nothing of the forming left, and a later start
// changes nothing.
func TestMeetingAlone(t *testing.T) {
	c := meetingConfigs(t, 1)[0]
	if err := os.RemoveAll(c.Tables.Data); err != nil {
		t.Fatal(err)
	}
	meetAll(t, []config.Config{c})
	first := identityIn(t, c)
	if first.Node != 1 || len(first.Met) != 1 || first.Met[0].Addr != c.Cluster.Advertise || first.Store == [16]byte{} {
		t.Errorf("got %+v; want node 1 at %s, with its store", first, c.Cluster.Advertise)
	}
	for _, name := range []string{"cluster.incarnation", "cluster.forming", "cluster.partial"} {
		if _, err := os.Stat(filepath.Join(c.Tables.Data, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v; want no such file", name, err)
		}
	}
	n := open(t, c)
	if is := n.tables.member.is; is.Cluster != first.Cluster {
		t.Errorf("got %v; want %v", is, first)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	meetAll(t, []config.Config{c})
	if again := identityIn(t, c); again.Cluster != first.Cluster || again.Store != first.Store {
		t.Errorf("a later start: got %v; want %v", again, first)
	}
}

// Directories that a node can't form a cluster with are refused, and left as they are.
func TestDirectoriesThatMeetNobody(t *testing.T) {
	fill := func(dir, name, text string) {
		t.Helper()
		err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
	for what, test := range map[string]struct {
		prepare func(c *config.Config)
		want    string
	}{
		"another file": {func(c *config.Config) { fill(c.Tables.Data, "notes.txt", "") }, "has notes.txt in it"},
		"tables": {func(c *config.Config) {
			alone := *c
			alone.Cluster = nil
			if err := open(t, alone).Close(); err != nil {
				t.Fatal(err)
			}
		}, "holds tables, and no identity of a cluster's node"},
		"no seeds": {func(c *config.Config) { c.Cluster.Seeds = nil }, "cluster.seeds has no address of another node"},
		"only itself": {func(c *config.Config) { c.Cluster.Seeds = []string{c.Cluster.Advertise} },
			"cluster.seeds has no address of another node"},
		"formed by up --nodes": {func(c *config.Config) {
			is := &cluster.Identity{Cluster: cluster.NewID(), Name: "shop", Node: 1,
				Members: []holdfast.NodeID{1, 2, 3}}
			if err := cluster.Prepare(vfs.Default, c.Tables.Data, is); err != nil {
				t.Fatal(err)
			}
		}, "was formed in one process"},
		"prepared by another address": {func(c *config.Config) {
			f := rpc.Formed{Cluster: [16]byte{1}, Name: "shop", Members: []rpc.Member{
				{Addr: "10.0.0.1:1", Incarnation: rpc.Incarnation{1}},
				{Addr: "10.0.0.2:1", Incarnation: rpc.Incarnation{2}},
				{Addr: "10.0.0.3:1", Incarnation: rpc.Incarnation{3}}}}
			if err := cluster.Prepare(vfs.Default, c.Tables.Data, identityFrom(&f, f.Members[0])); err != nil {
				t.Fatal(err)
			}
		}, `the others know the node by "10.0.0.1:1"`},
	} {
		c := meetingConfigs(t, 3)[0]
		test.prepare(&c)
		refused(t, what, meet(t.Context(), c), test.want)
		if _, err := os.Stat(filepath.Join(c.Tables.Data, "cluster.incarnation")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v; want no incarnation", what, err)
		}
	}
	c := meetingConfigs(t, 3)[0]
	fill(c.Tables.Data, "cluster.incarnation", "{}")
	if err := meet(t.Context(), c); !errors.Is(err, holdfast.Corrupt) {
		t.Errorf("a damaged incarnation: got %v; want Corrupt", err)
	}
}

// While a node waits, /healthz answers 503 and says for whom; the end of its context ends that. Nodes
// that are formed have nothing to wait for.
func TestHealthWhileNodesMeet(t *testing.T) {
	all := meetingConfigs(t, 3)
	all[0].HTTP.Listen = peer.FreeAddresses(t, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- meet(ctx, all[0]) }()
	status, body := 0, ""
	for began := time.Now(); status == 0 && time.Since(began) < time.Minute; time.Sleep(10 * time.Millisecond) {
		if answer, err := http.Get("http://" + all[0].HTTP.Listen + "/healthz"); err == nil {
			text := make([]byte, 1000)
			n, _ := answer.Body.Read(text)
			status, body = answer.StatusCode, string(text[:n])
			answer.Body.Close()
		}
	}
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "1 of 3 nodes are known") ||
		!strings.Contains(body, all[1].Cluster.Advertise) || strings.Contains(body, all[0].Cluster.Advertise) {
		t.Errorf("got %d %q; want 503, and the two that are missing", status, body)
	}
	var shown Status
	if answer, err := http.Get("http://" + all[0].HTTP.Listen + "/status"); err != nil {
		t.Error(err)
	} else {
		err := json.NewDecoder(answer.Body).Decode(&shown)
		answer.Body.Close()
		self := []string{all[0].Cluster.Advertise}
		if m := shown.Meeting; err != nil || m == nil || m.Nodes != 3 || !slices.Equal(m.Known, self) ||
			len(m.Missing) != 2 || len(m.Met) != 0 || shown.Cluster != nil {
			t.Errorf("/status: got %+v, %v; want that it waits for two", shown.Meeting, err)
		}
	}
	err := meet(t.Context(), all[0])
	if !errors.Is(err, holdfast.Unavailable) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second process: got %v; want that the directory is in use", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, holdfast.Canceled) {
		t.Errorf("got %v; want Canceled", err)
	}
}

// The ports of a node stay bound from when it meets others until it is open: nobody else can take
// them, and who connects meanwhile is answered.
func TestPortsStayBound(t *testing.T) {
	c := meetingConfigs(t, 1)[0]
	c.HTTP.Listen = peer.FreeAddresses(t, 1)[0]
	o := Options{Config: c, Log: slog.New(slog.DiscardHandler)}
	if err := Meet(t.Context(), &o); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{c.HTTP.Listen, c.Cluster.Listen} {
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			t.Errorf("%s isn't bound", address)
		}
	}
	answered := make(chan error, 1)
	conn, err := net.Dial("tcp", c.HTTP.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := conn.Read(make([]byte, 1))
		answered <- err
	}()
	n, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("got %v; want an answer", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	for _, address := range []string{c.HTTP.Listen, c.Cluster.Listen} {
		if l, err := net.Listen("tcp", address); err != nil {
			t.Errorf("after the node's end: %v", err)
		} else {
			l.Close()
		}
	}
}

// The sockets of a node that isn't opened in the end are closed.
func TestPortsAreGivenBack(t *testing.T) {
	c := meetingConfigs(t, 1)[0]
	c.HTTP.Listen = peer.FreeAddresses(t, 1)[0]
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	o := Options{Config: c, Log: slog.New(slog.DiscardHandler)}
	if err := Meet(t.Context(), &o); err != nil {
		t.Fatal(err)
	}
	o.Config.Tables.Listen = holder.Addr().String()
	if n, err := Open(o); err == nil {
		n.Close()
		t.Fatal("got a node on a port that is taken")
	}
	for _, address := range []string{c.HTTP.Listen, c.Cluster.Listen} {
		if l, err := net.Listen("tcp", address); err != nil {
			t.Error(err)
		} else {
			l.Close()
		}
	}
}

// A node whose clients couldn't connect doesn't meet the others, nor take another's place.
func TestTakenPortsForClients(t *testing.T) {
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	taken := config.Listener{Address: holder.Addr().String()}
	for setting, take := range map[string]func(*config.Config){
		"tables.listen": func(c *config.Config) { c.Tables.Listen = taken.Address },
		"cache.listen":  func(c *config.Config) { c.Cache.Listen = []config.Listener{taken} },
		"router.listen": func(c *config.Config) {
			c.Router = &config.Router{Listen: []config.RouterListener{{Listener: taken}}}
		},
	} {
		for _, replaced := range []holdfast.NodeID{0, 2} {
			c := meetingConfigs(t, 3)[0]
			take(&c)
			o := Options{Config: c, Log: slog.New(slog.DiscardHandler), Replace: replaced}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			err := Meet(ctx, &o)
			cancel()
			var listen *ListenError
			if !errors.As(err, &listen) || listen.Setting != setting || !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("%s, replaced %d: got %v; want that it is taken", setting, replaced, err)
			}
		}
	}
}

func TestTakenPortOfAMeeting(t *testing.T) {
	c := meetingConfigs(t, 3)[0]
	holder, err := net.Listen("tcp", c.Cluster.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	var listen *ListenError
	if err := meet(t.Context(), c); !errors.As(err, &listen) || listen.Setting != "cluster.listen" ||
		!errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v; want a taken address of cluster.listen", err)
	}
}

func TestCertificatesOfNodes(t *testing.T) {
	dir := t.TempDir()
	empty, missing := filepath.Join(dir, "empty"), filepath.Join(dir, "missing")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]config.ClusterTLS{
		"cluster.tls.ca: open " + missing:                     {Certificate: empty, CA: missing},
		fmt.Sprintf("cluster.tls.ca: %s has no certi", empty): {Certificate: empty, CA: empty},
	} {
		if _, err := clusterTLS(&c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
	if got, err := clusterTLS(&config.ClusterTLS{}); got != nil || err != nil {
		t.Errorf("got %v, %v without certificates; want no TLS", got, err)
	}
}
