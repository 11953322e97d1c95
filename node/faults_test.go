package node

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"holdfast/config"
)

// wholeConfig has every part of a node, with its files in a directory, and everything on free
// ports.
func wholeConfig(t *testing.T) config.Config {
	t.Helper()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	c := testConfig()
	c.Cache.MemoryFile, c.Cache.AuthFile = file("memory", ""), file("cache-users", "ann:old\n")
	c.Cache.Listen = append(c.Cache.Listen,
		config.Listener{Address: "unix:" + file("socket", ""), Mode: config.DefaultMode})
	c.Router = routerOptions(poolOf("main", "cache")).Config.Router
	c.Router.AuthFile, c.Router.Journal.Folder = file("router-users", "ann:old\n"), file("journal", "")
	c.Tables = config.Default().Tables
	c.Tables.Listen, c.Tables.Data, c.Tables.Reserve = "127.0.0.1:0", file("data", ""), 1<<20
	c.Tables.KeysFile = file("keys", "old:secret\n")
	return c
}

// descriptors counts the open files and sockets of the process; 0 where the system doesn't list
// them.
func descriptors() int {
	all, _ := os.ReadDir("/proc/self/fd")
	return len(all)
}

// A fault at any step of the start ends it with an error that names the fault, and leaves nothing:
// no goroutine, no socket or file that is open, and nothing that hinders the next start.
func TestFaultsOfAStart(t *testing.T) {
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	taken := holder.Addr().String()
	_, port, _ := net.SplitHostPort(taken)
	c := wholeConfig(t)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would close what is left open
	goroutines, files := runtime.NumGoroutine(), descriptors()
	gone := func(after string) {
		t.Helper()
		await(t, "nothing is left after "+after, func() bool {
			return runtime.NumGoroutine() <= goroutines && descriptors() <= files
		})
	}
	for i, test := range []struct {
		fault func(o *Options)
		want  string
	}{
		{func(o *Options) { o.Config.Cache.MemoryFile = "/no/such/file" }, "/no/such/file"},
		{func(o *Options) { o.Config.Cache.Listen[0].Address = taken }, port},
		{func(o *Options) { o.Config.Cache.Listen[1].Address = "unix:/no/such/socket" }, "/no/such/socket"},
		{func(o *Options) { o.Config.Cache.AuthFile = "/no/such/users" }, "/no/such/users"},
		{func(o *Options) { o.Config.Cache.TLS.Certificate = "/no/such/pem" }, "/no/such/pem"},
		{func(o *Options) { o.Config.Router.Listen[0].Address = taken }, port},
		{func(o *Options) { o.Config.Router.AuthFile = "/no/such/users" }, "/no/such/users"},
		{func(o *Options) { o.Config.Tables.Listen = taken }, port},
		{func(o *Options) { o.Config.Tables.TLS.Certificate = "/no/such/pem" }, "/no/such/pem"},
		{func(o *Options) { o.Config.Tables.KeysFile = "/no/such/keys" }, "/no/such/keys"},
		{func(o *Options) { o.Config.Tables.Data = o.Config.Tables.KeysFile }, "tables.data"},
		{func(o *Options) { o.Config.HTTP.Listen = taken }, port},
		{func(o *Options) { // a name that can't be resolved
			o.Resolver = &fakeDNS{err: errors.New("no such name")}
			o.Config.Router.Pools = append(o.Config.Router.Pools, poolOf("named", "srv:caches.test"))
		}, "srv:caches.test"},
		{func(o *Options) { o.Config.Router.Journal.Folder = o.Config.Tables.KeysFile }, "router: "},
	} {
		faulty := c
		r := *c.Router
		faulty.Router = &r
		faulty.Cache.Listen = append([]config.Listener(nil), c.Cache.Listen...)
		r.Listen = append([]config.RouterListener(nil), c.Router.Listen...)
		o := Options{Config: faulty, Log: slog.New(slog.DiscardHandler)}
		test.fault(&o)
		n, err := Open(o)
		if err == nil {
			n.Close()
			t.Errorf("fault %d: no error; want %s", i, test.want)
			continue
		}
		if !strings.Contains(err.Error(), test.want) {
			t.Errorf("fault %d: got %v; want %s", i, err, test.want)
		}
		gone(fmt.Sprintf("fault %d, %v", i, err))
	}
	n, err := Open(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("the start without a fault: %v", err)
	}
	for _, address := range append(n.CacheAddrs(), n.RouterAddrs()...) {
		conn := dialTo(t, address)
		ask(t, conn, "set u 0 0 7\r\nann old\r\nset k 0 0 1\r\nx\r\n", "STORED\r\nSTORED\r\n")
		conn.Close()
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	gone("Close")
	if _, err := os.Stat(filepath.Join(filepath.Dir(c.Cache.MemoryFile), "socket")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the Unix socket is left: %v", err)
	}
}

// Each part of Reload may fail: the error names it, its old file stays in force, and the new files
// of the other parts are in force.
func TestEachPartOfReloadFails(t *testing.T) {
	c := wholeConfig(t)
	n := open(t, c)
	knows := func(addr net.Addr, password string) bool {
		conn := dialTo(t, addr)
		defer conn.Close()
		fmt.Fprintf(conn, "set u 0 0 %d\r\nann %s\r\n", len("ann ")+len(password), password)
		answer := make([]byte, 6)
		io.ReadFull(conn, answer)
		return string(answer) == "STORED"
	}
	parts := []struct {
		file, good string // good has the password or key
		knows      func(password string) bool
	}{
		{c.Cache.AuthFile, "ann:%s\n", func(p string) bool { return knows(n.CacheAddrs()[0], p) }},
		{c.Router.AuthFile, "ann:%s\n", func(p string) bool { return knows(n.RouterAddrs()[0], p) }},
		{c.Tables.KeysFile, "%s:secret\n", func(p string) bool { return n.tables.handler != nil && knowsKey(t, n, p) }},
	}
	in := []string{"old", "old", "old"}  // what is in force
	for broken := range len(parts) + 1 { // at last none
		for i, part := range parts {
			next := fmt.Sprintf("new%d%d", broken, i)
			text := fmt.Sprintf(part.good, next)
			if i == broken {
				text = "nonsense\n"
			} else {
				in[i] = next
			}
			if err := os.WriteFile(part.file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := n.Reload()
		if broken == len(parts) && err != nil {
			t.Errorf("Reload: %v", err)
		} else if broken < len(parts) && (err == nil || !strings.Contains(err.Error(), parts[broken].file)) {
			t.Errorf("part %d is broken: got %v; want an error that names %s", broken, err, parts[broken].file)
		}
		for i, part := range parts {
			if !part.knows(in[i]) {
				t.Errorf("part %d is broken: part %d doesn't know %s", broken, i, in[i])
			}
		}
	}
}

// knowsKey reports whether the tables know an access key: then a wrong signature is what they
// refuse.
func knowsKey(t *testing.T, n *Node, key string) bool {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+n.TablesAddr().String(), strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	date := n.now().UTC().Format("20060102T150405Z")
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810.ListTables")
	req.Header.Set("X-Amz-Date", date)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key+"/"+date[:8]+
		"/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature="+strings.Repeat("0", 64))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), "InvalidSignatureException")
}

// Bad requests to the HTTP listener get an error, or the end, and the node goes on.
func TestBadHTTP(t *testing.T) {
	n := open(t, testConfig())
	for request, want := range map[string]string{
		"GET /healthz HTTP/1.1\r\n\r\n":                       "400", // no Host
		"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": "400",
		"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n": "421",
		"GET /healthz HTTP/3.0\r\nHost: localhost\r\n\r\n":    "505",
		"get k\r\n\r\n":    "400",
		"\x80\x00\x00\x00": "",
		"DELETE /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":                                 "405",
		"GET /healthz/../metrics/x HTTP/1.1\r\nHost: localhost\r\n\r\n":                       "307",
		"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n":                                        "400",
		"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n":                                    "404",
		"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n": "431",
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n":              "400",
	} {
		conn := dialTo(t, n.HTTPAddr())
		go io.WriteString(conn, request)
		head := make([]byte, len("HTTP/1.1 200"))
		if want == "" {
			conn.(*net.TCPConn).CloseWrite()
		}
		k, _ := io.ReadFull(conn, head)
		if got := strings.TrimPrefix(string(head[:k]), "HTTP/1.1 "); want != "" && got != want {
			t.Errorf("%.60q: got %q; want %s", request, got, want)
		}
		conn.Close()
	}
	if status, _ := get(t, n, "/healthz"); status != http.StatusOK {
		t.Errorf("got %d afterwards; want 200", status)
	}
}

// The tables of the manual have exactly the metrics of testdata/metrics.txt, with their types and
// labels.
func TestDocumentedMetrics(t *testing.T) {
	golden, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(manual), "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n### ")
	documented := map[string]bool{"holdfast_build_info gauge {go_version,version}": true}
	prefix, names := "", regexp.MustCompile("`([a-z0-9_…]+)`")
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.HasPrefix(line, "|--") {
			continue
		}
		kind, labels, _ := strings.Cut(strings.TrimSpace(cells[2]), ": ")
		for _, name := range names.FindAllStringSubmatch(cells[1], -1) {
			if p, ok := strings.CutSuffix(name[1], "…"); ok {
				if prefix = p; p == "server_" { // of the router: as those of the cache's server
					prefix = "holdfast_router_"
				}
				continue
			}
			sorted := slices.Sorted(slices.Values(strings.FieldsFunc(labels, func(r rune) bool { return r == ',' || r == ' ' })))
			documented[prefix+name[1]+" "+kind+" {"+strings.Join(sorted, ",")+"}"] = true
		}
	}
	for line := range strings.Lines(string(golden)) {
		line = strings.TrimSuffix(line, "\n")
		of := strings.Replace(line, "holdfast_router_server_", "holdfast_server_", 1)
		if !documented[of] {
			t.Errorf("not in the manual: %s", line)
		}
		if of == line {
			delete(documented, line)
		}
	}
	for line := range documented {
		if !strings.HasPrefix(line, "holdfast_server_") || !strings.Contains(string(golden), line) {
			t.Errorf("in the manual only: %s", line)
		}
	}
}
