package wire

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Prometheus' exporter for memcached, in a module of its own, since this module doesn't need it.
// Its checksum is checked here, since the checksum database isn't reachable everywhere.
const (
	exporterModule = "github.com/prometheus/memcached_exporter"
	exporterPinned = exporterModule + "@v0.14.4"
	exporterSum    = "h1:bVGqhAbE54ms5yojeXFGaA0oEolX8XvkvM2o/349uFY="
)

// builtExporter builds the exporter and returns its path. If it can't be built, the test is
// skipped.
func builtExporter(t *testing.T) string {
	t.Helper()
	gotool := find(t, "go")
	download := exec.Command(gotool, "mod", "download", "-json", exporterPinned)
	download.Dir = t.TempDir() // of no module
	download.Env = append(os.Environ(), "GOSUMDB=off", "GOFLAGS=-mod=mod")
	out, err := download.Output()
	var module struct{ Dir, Sum, Error string }
	if json.Unmarshal(out, &module) != nil || module.Error != "" || module.Dir == "" {
		t.Log(module.Error, err)
		missing(t, exporterPinned)
	}
	if module.Sum != exporterSum {
		t.Fatalf("%s has the sum %s; want %s", exporterPinned, module.Sum, exporterSum)
	}
	path := filepath.Join(t.TempDir(), "memcached_exporter")
	build := exec.Command(gotool, "build", "-o", path, "./cmd/memcached_exporter")
	build.Dir = module.Dir
	build.Env = append(os.Environ(), "GOFLAGS=-mod=readonly -buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Log(string(out))
		missing(t, exporterPinned+" with its modules")
	}
	return path
}

// The exporter takes a router for a memcached, and shows the clients' requests.
func TestRouterUnderMemcachedExporter(t *testing.T) {
	exporter := builtExporter(t)
	members := startMembers(t, 2)
	address := freeAddress(t)
	router := startRouter(t, address, fmt.Sprintf("router:\n  listen: [%q]\n"+
		"  pools:\n    - name: p\n      members: [%q, %q]\n",
		address, members[0].addr, members[1].addr))
	client := talk(t, router)
	for request, want := range map[string]string{
		"set k 0 0 1\r\nx\r\n": "STORED\r\n", "get k\r\n": "VALUE k 0 1\r\nx\r\nEND\r\n",
		"get none\r\n": "END\r\n", "delete none\r\n": "NOT_FOUND\r\n",
	} {
		if got, err := client.ask(request); err != nil || strings.HasPrefix(request, "set") && got != want {
			t.Fatalf("%q: got %q, %v", request, got, err)
		}
	}
	page := exported(t, exporter, address)
	for _, want := range []string{
		"memcached_up 1\n", `memcached_commands_total{command="set",status="hit"} 1` + "\n",
		"memcached_max_connections 1024\n",
		`memcached_commands_total{command="delete",status="miss"} 1` + "\n", "memcached_current_items 0\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the exporter doesn't show %q; it shows\n%s", want, page)
		}
	}
}

// For a cache the exporter shows every metric that it shows for memcached, except those of slabs.
func TestCacheUnderMemcachedExporter(t *testing.T) {
	exporter := builtExporter(t)
	names := func(p *peer) map[string]bool {
		server := start(t, p)
		if _, err := talk(t, server).ask("set k 0 0 1\r\nx\r\nget k\r\nget none\r\n"); err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for line := range strings.Lines(exported(t, exporter, server.addr)) {
			name, _, _ := strings.Cut(line, " ")
			name, _, _ = strings.Cut(name, "{")
			if strings.HasPrefix(name, "memcached_") && !strings.HasPrefix(name, "memcached_slab_") {
				found[name] = true
			}
		}
		return found
	}
	ours := names(holdfast(t))
	for name := range names(memcached(t, find(t, "memcached"))) {
		if !ours[name] {
			t.Errorf("%s is missing", name)
		}
	}
	if !ours["memcached_up"] {
		t.Error("memcached_up is missing")
	}
}

// exported is the page of metrics that the exporter shows for the server.
func exported(t *testing.T, exporter, server string) (page string) {
	t.Helper()
	web := freeAddress(t)
	cmd := exec.Command(exporter, "--memcached.address="+server, "--web.listen-address="+web)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	eventually(t, "the exporter answers", func() bool {
		answer, err := http.Get("http://" + web + "/metrics")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		page = string(text)
		return err == nil
	})
	return page
}
