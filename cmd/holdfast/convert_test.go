package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/config"
	"holdfast/config/mcrouter"
)

// write writes a file of a new folder and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// convert returns the router of what the command prints, and its standard error.
func convert(t *testing.T, args ...string) (*config.Router, string) {
	t.Helper()
	code, stdout, stderr := command(append([]string{"config", "convert"}, args...)...)
	if code != 0 {
		t.Fatalf("got %d, %q", code, stderr)
	}
	path := write(t, "holdfast.yaml", stdout)
	if code, _, faults := command("config", "check", path); code != 0 {
		t.Fatalf("%s\n%s", faults, stdout)
	}
	c, err := config.Parse([]byte(stdout))
	if err != nil {
		t.Fatal(err)
	}
	return c.Router, stderr
}

const mcrouterFile = `// two pools
{
  "pools": {"A": {"servers": ["a:1", "a:2"]}, "B": {"servers": ["b:1"], "qos": {"class": 1}}},
  "route": {"type": "FailoverWithExptimeRoute", "normal": "PoolRoute|A", "failover": "PoolRoute|B"}
}`

func TestConvertMcrouter(t *testing.T) {
	path := write(t, "mcrouter.json", mcrouterFile)
	got, stderr := convert(t, path, "--listen", "127.0.0.1:5000", "-R", "/a/b/", "-t", "250")
	if want := path + ": pools.B.qos: has no effect here: packets have no QoS class\n"; stderr != want {
		t.Errorf("got %q; want %q", stderr, want)
	}
	want, err := mcrouter.Parse([]byte(mcrouterFile), mcrouter.ParseOptions{
		RoutePrefix:   "/a/b/",
		ServerTimeout: 250 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	want.SetDefaults()
	if !reflect.DeepEqual(got.Options, want) {
		t.Errorf("got %+v; want %+v", got.Options, want)
	}
	if len(got.Listen) != 1 || got.Listen[0].Address != "127.0.0.1:5000" || got.Listen[0].Route != nil {
		t.Errorf("got listeners %+v", got.Listen)
	}
}

func TestConvertTwemproxy(t *testing.T) {
	path := write(t, "nutcracker.yml", `
alpha:
  listen: 127.0.0.1:22121
  timeout: 400
  auto_eject_hosts: true
  servers: ["h:1:1 one", "h:2:1 two"]
beta:
  listen: /tmp/beta.sock 0660
  timeout: 400
  backlog: 4096
  servers:
    - h:3:1
`)
	got, stderr := convert(t, path)
	if stderr != "" {
		t.Errorf("got %q; want no warnings", stderr)
	}
	if len(got.Listen) != 2 || got.Listen[0].Route.Pool != "alpha" || got.Listen[1].Address != "unix:/tmp/beta.sock" ||
		got.Listen[1].Mode != 0o660 || got.Listen[1].Route.Pool != "beta" {
		t.Errorf("got listeners %+v", got.Listen)
	}
	if p := got.Pools[0]; p.Hash.Placement != "ketama" || p.Members[1].Name != "two" || !p.Eject || p.SoftErrors != 2 ||
		p.Timeout != 400*time.Millisecond {
		t.Errorf("got pool %+v", p)
	}
	if got.Backlog != 4096 {
		t.Errorf("got backlog %d; want 4096", got.Backlog)
	}
}

func TestConvertErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"cache: {memory: 1GiB}", "not a configuration of mcrouter"},
		{`{"route": {"type": "AxonLogRoute"}}`, ":\nroute.type: AxonLogRoute isn't supported"},
		{"a: {listen: 'h:1', redis: true, servers: ['h:2:1']}", ":\na.redis: a pool for Redis isn't supported"},
		{
			"a: {listen: 'h:1', timeout: 1, servers: ['h:2:1', 'h:2:1']}",
			"the converted configuration is not valid:\n" +
				"router.pools[0] \"a\".members[1] \"h:2\": members[0] has the same name, \"h:2\"",
		},
	} {
		path := write(t, "file", test.text)
		code, stdout, stderr := command("config", "convert", path)
		if code != 1 || stdout != "" || !strings.HasPrefix(stderr, path) || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: got %d, %q, %q; want %q", test.text, code, stdout, stderr, test.want)
		}
	}
}
