package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"holdfast"
	"holdfast/config"
)

// command runs a command line in this process.
func command(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(context.Background(), append([]string{"holdfast"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestConfigPrintsWhatItTakes(t *testing.T) {
	code, example, _ := command("config")
	if code != 0 || example != string(config.Example) {
		t.Fatalf("got %d, %q; want the example", code, example)
	}
	path := filepath.Join(t.TempDir(), "holdfast.yaml")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := command("config", "check", path)
	if want := path + ": ok"; code != 0 || !strings.HasPrefix(stdout, want) || stderr != "" {
		t.Errorf("got %d, %q, %q; want %q first", code, stdout, stderr, want)
	}
}

func TestConfigCheckShowsAllFaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "holdfast.yaml")
	if err := os.WriteFile(path, []byte("cache: {memory: lots, ttl: [{prefix: 'a:'}, {prefix: 'sessions:', jitter: "+
		"1.5}]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := path + `:
cache.memory: "lots" is not a size; write it like 64MiB or 1GiB
cache.ttl[1] "sessions:": jitter 1.5 is not in [0, 1)
`
	for _, args := range [][]string{{"config", "check", path}, {"up", "--config", path}} {
		if code, stdout, stderr := command(args...); code != 1 || stdout != "" || stderr != want {
			t.Errorf("%v: got %d, %q, %q; want %q", args, code, stdout, stderr, want)
		}
	}
}

func TestUpFlagsStandAboveTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "holdfast.yaml")
	const file = "cache: {memory: 8MiB, listen: ['127.0.0.1:1']}\nhttp: {listen: '127.0.0.1:2'}"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   []string
		listen string
		http   string
		memory config.Bytes
	}{
		{nil, "127.0.0.1:11211", "127.0.0.1:7070", 64 << 20},
		{[]string{"--config", path}, "127.0.0.1:1", "127.0.0.1:2", 8 << 20},
		{[]string{"--config", path, "--memory", "16MiB"}, "127.0.0.1:1", "127.0.0.1:2", 16 << 20},
		{[]string{"--config", path, "--cache-listen", "unix:/s", "--http-listen="}, "unix:/s", "", 8 << 20},
	} {
		f, cmd := newUpFlags()
		if err := cmd.ParseFlags(test.args); err != nil {
			t.Fatal(err)
		}
		c, _, err := f.config(cmd)
		if err != nil || len(c.Cache.Listen) != 1 || c.Cache.Listen[0].Address != test.listen ||
			c.HTTP.Listen != test.http || c.Cache.Memory != test.memory {
			t.Errorf("%v: got %+v, %v; want %s, %s, %v", test.args, c, err, test.listen, test.http, test.memory)
		}
	}
}

func TestCommandErrors(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"down"}, `unknown command "down"`},
		{[]string{"up", "now"}, `unknown command "now"`},
		{[]string{"up", "--memory", "much"}, "is not a size"},
		{[]string{"up", "--memory", "1KiB"}, "cache.memory: 1KiB is not in"},
		{[]string{"up", "--config", "/no/such/file"}, "no such file"},
		{[]string{"config", "check"}, "accepts 1 arg"},
	} {
		if code, _, stderr := command(test.args...); code != 1 || !strings.Contains(stderr, test.want) {
			t.Errorf("%v: got %d, %q; want %q in it", test.args, code, stderr, test.want)
		}
	}
}

// TestConfigCheckForRouter has files that serve one command and not the other.
func TestConfigCheckForRouter(t *testing.T) {
	write := func(name, text string) string { return writeFile(t, name, text) }
	empty := write("empty.yaml", "")
	ours := write("pools.yaml", ourConfigOf("127.0.0.1:1"))
	foreign := write("mcrouter.json", mcrouterConfigOf("127.0.0.1:1"))
	node := write("node.yaml", "cluster: {name: shop, expect: 1, listen: \"127.0.0.1:7100\"}\n")
	missing := empty + ":\nrouter: the section is missing; \"holdfast config\" prints one to start from\n"
	for _, test := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{
			[]string{"config", "check", empty},
			0,
			empty + ": ok for \"holdfast up\"; \"holdfast router\" refuses it, as it has no router section\n",
			"",
		},
		{
			[]string{"config", "check", node},
			0,
			node + ": ok for \"holdfast node\"; \"holdfast up\" refuses it, as its node forms its cluster with others\n",
			"",
		},
		{[]string{"config", "check", "--router", empty}, 1, "", missing},
		{[]string{"router", "--config", empty}, 1, "", missing},
		{[]string{"config", "check", ours}, 0, ours + ": ok\n", ""},
		{[]string{"config", "check", "--router", ours}, 0, ours + ": ok\n", ""},
		{[]string{"config", "check", "--router", foreign}, 0, foreign + ": ok\n", ""},
		{
			[]string{"config", "check", foreign},
			1,
			"",
			foreign + " is a configuration of mcrouter or twemproxy; check it with: holdfast config check --router " + foreign +
				"\n",
		},
	} {
		if code, stdout, stderr := command(test.args...); code != test.code || stdout != test.stdout ||
			stderr != test.stderr {
			t.Errorf("%v: got %d, %q, %q; want %d, %q, %q", test.args, code, stdout, stderr, test.code, test.stdout, test.stderr)
		}
	}
}

func TestHelpNamesCompletion(t *testing.T) {
	if code, stdout, _ := command("--help"); code != 0 || !strings.Contains(stdout, "\n  completion ") {
		t.Errorf("got %d, %q; want completion among the commands", code, stdout)
	}
}

func TestVersionJSON(t *testing.T) {
	code, stdout, _ := command("version", "--json")
	var got map[string]any
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil {
		t.Fatalf("got %d, %q, %v", code, stdout, err)
	}
	if got["version"] != holdfast.Version || got["go"] != runtime.Version() || got["os"] != runtime.GOOS ||
		got["arch"] != runtime.GOARCH || got["memcached_protocol"] != memcachedVersion {
		t.Errorf("got %v", got)
	}
}

// TestSBOM compares the bill of materials with what Go says of the binary.
func TestSBOM(t *testing.T) {
	code, stdout, _ := command("version", "--sbom")
	var got struct {
		Format     string `json:"bomFormat"`
		Spec       string `json:"specVersion"`
		Components []struct{ Type, Name, Version, Purl string }
	}
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil || got.Format != "CycloneDX" ||
		got.Spec != "1.6" {
		t.Fatalf("got %d, %q, %v; want a bill of CycloneDX", code, stdout, err)
	}
	found := map[string]string{}
	for _, c := range got.Components {
		if want := "pkg:golang/" + c.Name + "@" + c.Version; c.Type != "library" || c.Purl != want {
			t.Errorf("got %+v; want a library, %s", c, want)
		}
		found[c.Name] = c.Version
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"stdlib": runtime.Version()}
	for _, m := range info.Deps {
		want[m.Path] = m.Version
	}
	if !maps.Equal(found, want) || found["github.com/cockroachdb/pebble/v2"] == "" {
		t.Errorf("got %v; want %v", found, want)
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}, {"cache", "-V"}} {
		if code, stdout, _ := command(args...); code != 0 || !strings.HasPrefix(stdout, "holdfast 0.1.0 ") {
			t.Errorf("%v: got %d, %q", args, code, stdout)
		}
	}
}
