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

// Prometheus' exporter of memcached, as a module of its own: this module doesn't need it. Its sum is
// checked here, since a checksum database isn't reachable everywhere.
const (
	exporterModule = "github.com/prometheus/memcached_exporter"
	exporterPinned = exporterModule + "@v0.14.4"
	exporterSum    = "h1:bVGqhAbE54ms5yojeXFGaA0oEolX8XvkvM2o/349uFY="
)

// routerExporter is the path of the built exporter. Where it can't be had, the test is skipped.
func routerExporter(t *testing.T) string {
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

// The exporter sees a memcached in a router, with what clients have asked of it.
func TestRouterUnderMemcachedExporter(t *testing.T) {
	exporter := routerExporter(t)
	members := startMembers(t, 2)
	address := freeAddress(t)
	router := startRouter(t, address, fmt.Sprintf("router:\n  listen: [%q]\n  pools:\n    - name: p\n      members: [%q, %q]\n", address, members[0].addr, members[1].addr))
	client := talk(t, router)
	for request, want := range map[string]string{
		"set k 0 0 1\r\nx\r\n": "STORED\r\n", "get k\r\n": "VALUE k 0 1\r\nx\r\nEND\r\n", "get none\r\n": "END\r\n", "delete none\r\n": "NOT_FOUND\r\n",
	} {
		if got, err := client.ask(request); err != nil || strings.HasPrefix(request, "set") && got != want {
			t.Fatalf("%q: got %q, %v", request, got, err)
		}
	}
	web := freeAddress(t)
	cmd := exec.Command(exporter, "--memcached.address="+address, "--web.listen-address="+web)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	page := ""
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
	for _, want := range []string{
		"memcached_up 1\n", `memcached_commands_total{command="set",status="hit"} 1` + "\n", "memcached_max_connections 1024\n",
		`memcached_commands_total{command="delete",status="miss"} 1` + "\n", "memcached_current_items 0\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the exporter doesn't show %q; it shows\n%s", want, page)
		}
	}
}
