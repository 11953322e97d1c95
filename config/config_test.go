package config_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/config"
	"holdfast/route"
)

func TestExampleIsDefault(t *testing.T) {
	got, err := config.Parse(config.Example)
	if err != nil {
		t.Fatal(err)
	}
	if want := config.Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

// The settings that the example file has as comments, a "#" without a space after it, load too.
func TestExampleCommentedSettingsLoad(t *testing.T) {
	// the section of the router
	text := regexp.MustCompile(`(?m)^#((  )+[-a-z#])`).ReplaceAllString(string(config.Example), "$1")
	text = regexp.MustCompile(`(?m)^(\s*)#([^ \n])`).ReplaceAllString(text, "$1$2")
	text = regexp.MustCompile(`(?m)^  #  (  )?(- )?(prefix|default|jitter|mode|tls)`).ReplaceAllString(text, "    $1$2$3")
	text = regexp.MustCompile(`(?m)^    #  (mode|tls)`).ReplaceAllString(text, "      $1")
	got, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if n := len(got.Cache.Listen); n != 3 {
		t.Errorf("got %d listeners; want 3", n)
	}
	if r := got.Router; r == nil || len(r.Listen) != 2 || len(r.Pools) != 3 || r.Route.Default == nil {
		t.Errorf("got router %+v", r)
	}
	want := []config.TTLRule{{Prefix: "sessions:", Default: 30 * time.Minute, Jitter: 0.1}, {Jitter: 0.05}}
	if !reflect.DeepEqual(got.Cache.TTL, want) {
		t.Errorf("got rules %+v; want %+v", got.Cache.TTL, want)
	}
	if got.Cache.Listen[1].Mode != 0o770 || got.Cache.Listen[2].TLS != config.TLSMutual {
		t.Errorf("got listeners %+v", got.Cache.Listen)
	}
}

func TestEmptyFileIsDefault(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "cache:\n", "---\n"} {
		got, err := config.Parse([]byte(text))
		if err != nil || !reflect.DeepEqual(got, config.Default()) {
			t.Errorf("%q: got %+v, %v; want the default", text, got, err)
		}
	}
}

func TestValues(t *testing.T) {
	got, err := config.Parse([]byte(`
cache:
  listen: ["*:11311", {address: "unix:/tmp/s", mode: 0770}]
  memory: 1GiB
  item_max: 100MB
  evict: false
  idle_timeout: 90s
  prefixes: {count: true, delimiter: "/"}
  ttl: [{prefix: a, default: 7d, jitter: 0.25}]
http: {listen: ""}
log: {level: debug}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Cache.Listen = []config.Listener{{Address: "*:11311", Mode: 0o700}, {Address: "unix:/tmp/s", Mode: 0o770}}
	want.Cache.Memory = 1 << 30
	want.Cache.ItemMax = 100e6
	want.Cache.Evict = false
	want.Cache.IdleTimeout = 90 * time.Second
	want.Cache.Prefixes = config.Prefixes{Count: true, Delimiter: "/"}
	want.Cache.TTL = []config.TTLRule{{Prefix: "a", Default: 7 * 24 * time.Hour, Jitter: 0.25}}
	want.HTTP.Listen = ""
	want.Log.Level = slog.LevelDebug
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

func TestFaultsCarryTheirPaths(t *testing.T) {
	tests := []struct{ text, want string }{
		{"cache: {memory: 64}", "cache.memory: 64B is not in [1MiB, 512GiB]"},
		{"cache: {memory: 64 M}", `cache.memory: "64 M" is not a size; write it like 64MiB or 1GiB`},
		{"cache: {memory: [1]}", "cache.memory: must be a single value, not a list"},
		{"cache: {item_max: 40MiB}", "cache.item_max: 40MiB is more than half of cache.memory, 64MiB"},
		{"cache: {evict: maybe}", `cache.evict: "maybe" is neither true nor false`},
		{"cache: {threads: many}", `cache.threads: "many" is not a whole number`},
		{"cache: {threads: -1}", "cache.threads: -1 is not in [0, 256]"},
		{"cache: {connections: 0}", "cache.connections: 0 is not in [1, 10485760]"},
		{"cache: {idle_timeout: 1.5s}", "cache.idle_timeout: 1.5s is not a whole number of seconds, 0 or more"},
		{"cache: {idle_timeout: 5}", `cache.idle_timeout: "5" is not a duration; write it like 30s, 15m, 12h or 7d`},
		{"cache: {listen: []}", "cache.listen: no addresses"},
		{"cache: {listen: 11211}", `cache.listen: must be a list, not "11211"`},
		{"cache: {listen: [localhost]}", `cache.listen[0] "localhost": "localhost" is not HOST:PORT`},
		{"cache: {listen: ['a:99999']}", `cache.listen[0] "a:99999": port "99999" is not in [0, 65535]`},
		{"cache: {listen: ['a:1', 'a:1']}", `cache.listen[1] "a:1": the address is already listed, in cache.listen[0]`},
		{"cache: {listen: [{address: 'a:1', tls: mutual}]}", `cache.listen[0] "a:1": tls mutual needs cache.tls.certificate and client_ca`},
		{"cache: {listen: [{address: 'a:1', tls: on}]}", `cache.listen[0] "a:1": tls "on" is neither off nor mutual`},
		{"cache: {listen: [{address: 'unix:/s', mode: 9}]}", `cache.listen[0] "unix:/s".mode: "9" is not an access mode; write it in octal, like 0700`},
		{"cache: {listen: ['unix:/a', 'unix:/b']}", `cache.listen[1] "unix:/b": more than 1 Unix socket`},
		{"cache: {requests_per_turn: 1000}", "cache.requests_per_turn: 1000 is not in [1, 256]"},
		{"cache: {protocol: udp}", "cache.protocol: \"udp\" is none of auto, ascii, binary"},
		{"cache: {tls: {key: k}}", "cache.tls.certificate: required with key or client_ca"},
		{"cache: {tls: {min_version: 1.4}}", `cache.tls.min_version: "1.4" is none of 1.0, 1.1, 1.2, 1.3`},
		{"cache: {tls: {clients: all}}", `cache.tls.clients: "all" is none of any, asked, checked`},
		{"cache: {prefixes: {delimiter: '::'}}", `cache.prefixes.delimiter: "::" is not one printable ASCII character`},
		{"cache: {ttl: [{prefix: a}, {prefix: 'sessions:', jitter: 1.5}]}", `cache.ttl[1] "sessions:": jitter 1.5 is not in [0, 1)`},
		{"cache: {ttl: [{prefix: a}, {prefix: a}]}", `cache.ttl[1] "a": the prefix already has a rule, cache.ttl[0]`},
		{"cache: {ttl: [{prefix: a, default: -5s}]}", `cache.ttl[0] "a": default -5s is negative`},
		{"cache: {ttl: [{prefix: a, jitter: lots}]}", `cache.ttl[0] "a".jitter: "lots" is not a number`},
		{"tables: {data: ''}", "tables.data: missing"},
		{"tables: {listen: '8000'}", `tables.listen: "8000" is not HOST:PORT`},
		{"tables: {region: US East}", `tables.region: "US East" is not the name of a region`},
		{"tables: {account: '12'}", `tables.account: "12" is not 12 digits`},
		{"tables: {sessions: cookie}", `tables.sessions: "cookie" is neither header nor connection`},
		{"tables: {new_shards: 0}", "tables.new_shards: 0 is not in [1, 64]"},
		{"tables: {reserve: 1KiB}", "tables.reserve: 1KiB is not in [1MiB, 1TiB]"},
		{"tables: {memory: 64MiB}", "tables.memory: 64MiB is not in [256MiB, 512GiB]"},
		{"tables: {cache: 300MiB}",
			"tables.cache: 300MiB is not in [1MiB, 256MiB], which is half of tables.memory; 0 is 3/16 of it"},
		{"tables: {log: {age: 36d}}", "tables.log.age: 864h0m0s is not in [1m0s, 840h0m0s]"},
		{"tables: {tls: {client_ca: ca}}", "tables.tls.certificate: required with key or client_ca"},
		{"http: {listen: 7070}", `http.listen: "7070" is not HOST:PORT`},
		{"http: off", `http: must be a mapping, not "off"`},
		{"log: {level: loud}", `log.level: "loud" is not a level: debug, info, warn or error`},
		{"cach: {}", `unknown key "cach" (line 1); the keys are cache, cluster, http, log, router, tables`},
		{"http:\n  listne: x", `http: unknown key "listne" (line 2); the keys are hosts, listen`},
		{"a: 1\n---\nb: 2", "the file has 2 documents, and must have one"},
	}
	for _, test := range tests {
		_, err := config.Parse([]byte(test.text))
		if err == nil || err.Error() != test.want {
			t.Errorf("%s\n got %v\nwant %s", test.text, err, test.want)
		}
	}
}

func TestEveryFaultIsReported(t *testing.T) {
	_, err := config.Parse([]byte("cache:\n  memroy: 1GiB\n  threads: x\n" +
		"  ttl: [{prefix: a, jitter: 2}]\nhttp: {listen: x}\n"))
	var faults route.Faults
	if !errors.As(err, &faults) || len(faults) != 4 {
		t.Errorf("got %v; want 4 faults", err)
	}
}

func TestNotYAML(t *testing.T) {
	for _, text := range []string{"cache: [", "a: b: c", "cache: {}\ncache: {}", "\tx: 1", "cache: &a {memory: *b}",
		"cache: !!x 1"} {
		if _, err := config.Parse([]byte(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestReadAndParse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "holdfast.yaml")
	if _, err := config.ReadFile(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v; want one of a missing file", err)
	}
	if err := os.WriteFile(path, []byte("cache: {memory: 2MiB}"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := config.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(text)
	if err != nil || c.Cache.Memory != 2<<20 {
		t.Errorf("got %v, %v; want 2MiB", c.Cache.Memory, err)
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]config.Bytes{"0": 0, "7": 7, "1.5KiB": 1536, "2 MiB": 2 << 20, "1GB": 1e9,
		"3TiB": 3 << 40, "10B": 10} {
		if got, err := config.ParseBytes(text); got != want || err != nil {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1mib", "1e3", "9999999TiB", "1.2.3", "64M"} {
		if got, err := config.ParseBytes(text); err == nil {
			t.Errorf("%q: got %d; want an error", text, got)
		}
	}
	for b, want := range map[config.Bytes]string{0: "0B", 1000: "1000B", 1 << 10: "1KiB", 3 << 20: "3MiB",
		1 << 40: "1TiB"} {
		if got := b.String(); got != want {
			t.Errorf("%d: got %s; want %s", b, got, want)
		}
	}
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string][2]string{
		"*:1": {"tcp", ":1"}, "[::1]:2": {"tcp", "[::1]:2"}, "unix:/s": {"unix", "/s"},
	} {
		network, got := config.Listener{Address: address}.Network()
		if network != want[0] || got != want[1] {
			t.Errorf("%s: got %s %s; want %v", address, network, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(config.Example)
	f.Add([]byte("cache: {ttl: [{prefix: a, jitter: 1.5}], listen: [unix:/a]}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := config.Parse(text); err == nil && c.Check() != nil {
			t.Errorf("parsed, but %v", c.Check())
		}
	})
}

func TestReadFileEnds(t *testing.T) {
	const maxBytes = 16 << 20
	path := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(path, make([]byte, maxBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, "/dev/zero"} {
		if _, err := config.ReadFile(path); err == nil || !strings.Contains(err.Error(), path+": more than 16MiB") {
			t.Errorf("%s: got %v; want that it is too large", path, err)
		}
	}
	if err := os.Truncate(path, 16<<20); err != nil {
		t.Fatal(err)
	}
	if text, err := config.ReadFile(path); err != nil || len(text) != 16<<20 {
		t.Errorf("got %d bytes, %v; want all", len(text), err)
	}
}

// TestParseRouter checks that a router that runs alone doesn't have the HTTP address of a node.
func TestParseRouter(t *testing.T) {
	const section = "router: {pools: [{name: main, members: ['127.0.0.1:1']}]}\n"
	for text, want := range map[string]string{
		section:                               "127.0.0.1:7071",
		section + "http: {listen: ''}":        "",
		section + "http: {listen: ':1234'}":   ":1234",
		section + "http:\n  # listen: ':1'\n": "127.0.0.1:7071",
	} {
		c, err := config.ParseRouter([]byte(text))
		if err != nil || c.HTTP.Listen != want {
			t.Errorf("%q: got %q, %v; want %q", text, c.HTTP.Listen, err, want)
		}
	}
	if _, err := config.ParseRouter(nil); err == nil {
		t.Error("without a router section: got no error")
	}
}

// The parts of tables.memory leave an eighth of it free, whatever its size and that of the cache.
func TestTablesMemory(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		memory, cache              config.Bytes
		blocks, memTable, requests int64
	}{
		{512 * mib, 0, 96 * mib, 32 * mib, 256 * mib},
		{512 * mib, 8 * mib, 8 * mib, 32 * mib, 256 * mib},
		{512 * mib, 256 * mib, 256 * mib, 32 * mib, 96 * mib},
		{256 * mib, 0, 48 * mib, 16 * mib, 128 * mib},
		{8192 * mib, 0, 1536 * mib, 64 * mib, 4096 * mib},
	} {
		c := config.Default().Tables
		c.Memory, c.Cache = test.memory, test.cache
		if b, m, r := c.CacheBytes(), c.MemTableBytes(), c.RequestBytes(); b != test.blocks || m != test.memTable ||
			r != test.requests {
			t.Errorf("memory %v, cache %v: got %d, %d and %d MiB; want %d, %d and %d", test.memory, test.cache,
				b/mib, m/mib, r/mib, test.blocks/mib, test.memTable/mib, test.requests/mib)
		}
		if sum := c.CacheBytes() + 3*c.MemTableBytes() + c.RequestBytes(); sum > int64(c.Memory)*7/8 {
			t.Errorf("memory %v, cache %v: got parts of %d MiB together; want an eighth left", test.memory, test.cache, sum/mib)
		}
	}
}

// TestAddressesWithinBraces has addresses without quotes where the parser returns mappings for
// them.
func TestAddressesWithinBraces(t *testing.T) {
	c, err := config.Parse([]byte("cache: {listen: [127.0.0.1:20612, localhost:1]}\n" +
		"router: {pools: [{name: main, members: [127.0.0.1:20621, {address: 127.0.0.1:2}]}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Cache.Listen; len(got) != 2 || got[0].Address != "127.0.0.1:20612" || got[1].Address != "localhost:1" {
		t.Errorf("got %+v; want both addresses", got)
	}
	if got := c.Router.Pools[0].Members; len(got) != 2 || got[0].Address != "127.0.0.1:20621" ||
		got[1].Address != "127.0.0.1:2" {
		t.Errorf("got %+v; want both members", got)
	}
	if _, err := config.Parse([]byte("cache: {listen: [address: 127.0.0.1:20612]}\n")); err != nil {
		t.Errorf("a mapping in a list: %v", err)
	}
}
