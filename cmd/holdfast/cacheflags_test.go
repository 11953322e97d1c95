package main

import (
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/config"
)

// base are flags that listen nowhere unexpected: what the tables change is seen beside it.
func base(t *testing.T) *cacheFlags {
	t.Helper()
	f, err := parseCacheFlags("memcached", nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// fingerprint is all of f that can be compared.
func fingerprint(f *cacheFlags) cacheFlags {
	c := *f
	c.show = nil
	return c
}

// Each of memcached's options, short and long, and what it changes.
func TestCacheFlags(t *testing.T) {
	type cache = config.Cache
	listen := func(addresses ...string) []config.Listener {
		var l []config.Listener
		for _, a := range addresses {
			l = append(l, config.Listener{Address: a, Mode: 0o700})
		}
		return l
	}
	tests := []struct {
		lines  string // command lines that mean the same, by |
		change func(f *cacheFlags, c *cache)
	}{
		{"-p 11311|-p11311|--port=11311|--port 11311|--po 11311", func(f *cacheFlags, c *cache) {
			f.port, f.portGiven = 11311, true
			c.Listen = listen("*:11311")
		}},
		{"-p -1|-p-1|--port=-1", func(f *cacheFlags, c *cache) { f.port, f.portGiven = -1, true; c.Listen = listen("*:0") }},
		{"-U 0|-U0|--udp-port=0", func(*cacheFlags, *cache) {}},
		{"-s /tmp/s|--unix-socket=/tmp/s", func(f *cacheFlags, c *cache) {
			f.unixPath = "/tmp/s"
			c.Listen = listen("unix:/tmp/s")
		}},
		{"-s /tmp/s -a 0770|-s/tmp/s -a770|--unix-socket /tmp/s --unix-mask=770", func(f *cacheFlags, c *cache) {
			f.unixPath, f.unixMode = "/tmp/s", 0o770
			c.Listen = []config.Listener{{Address: "unix:/tmp/s", Mode: 0o770}}
		}},
		{"-A|--enable-shutdown", func(_ *cacheFlags, c *cache) { c.Commands.Shutdown = true }},
		{
			"-l 127.0.0.1|--listen=127.0.0.1|-l 127.0.0.1:11211",
			func(f *cacheFlags, c *cache) { c.Listen = listen("127.0.0.1:11211") },
		},
		{"-l a,b:1 -l ::1|-l a;b:1,::1|-l a,b:1 -l [::1]|--listen=a --listen b:1 -l::1", func(f *cacheFlags, c *cache) {
			c.Listen = listen("a:11211", "b:1", "[::1]:11211")
		}},
		{
			"-l [::1]:5,*|-l [::1]:5 -l *:11211 -l *",
			func(f *cacheFlags, c *cache) { c.Listen = listen("[::1]:5", "*:11211") },
		},
		{"-l tag[x]:a:7|-l tag_long_:a:7", func(f *cacheFlags, c *cache) { c.Listen = listen("a:7") }},
		{"-l proto[ascii]:tag[x]:a:7,proto[binary]:a:8,proto[negotiating]:a:9", func(f *cacheFlags, c *cache) {
			c.Listen = listen("a:7", "a:8", "a:9")
			c.Listen[0].Protocol, c.Listen[1].Protocol, c.Listen[2].Protocol = "ascii", "binary", "auto"
		}},
		{"-d|--daemon", func(f *cacheFlags, _ *cache) { f.daemon = true }},
		{"-r|--enable-coredumps", func(f *cacheFlags, _ *cache) { f.coreDumps = true }},
		{"-u nobody|-unobody|--user=nobody", func(f *cacheFlags, _ *cache) { f.user = "nobody" }},
		{"-m 128|-m128|--memory-limit=128|--memory-l 128", func(_ *cacheFlags, c *cache) { c.Memory = 128 << 20 }},
		{"-M|--disable-evictions", func(_ *cacheFlags, c *cache) { c.Evict = false }},
		{"-c 7|--conn-limit=7", func(_ *cacheFlags, c *cache) { c.Connections = 7 }},
		{"-k|--lock-memory", func(f *cacheFlags, _ *cache) { f.lockMemory = true }},
		{"-v|--verbose|--verbose=x", func(f *cacheFlags, _ *cache) { f.verbosity = 1; f.config.Log.Level = slog.LevelDebug }},
		{
			"-vvv|-vv -v|-v -v --verbose",
			func(f *cacheFlags, _ *cache) { f.verbosity = 3; f.config.Log.Level = slog.LevelDebug },
		},
		{"-P /run/p|--pidfile=/run/p", func(f *cacheFlags, _ *cache) { f.pidFile = "/run/p" }},
		{"-f 1.5|--slab-growth-factor=1.5", func(f *cacheFlags, _ *cache) { f.ignored = []string{"-f"} }},
		{"-n 96|--slab-min-size 96", func(f *cacheFlags, _ *cache) { f.ignored = []string{"-n"} }},
		{"-L|--enable-largepages", func(f *cacheFlags, _ *cache) { f.ignored = []string{"-L"} }},
		{"-N 1|--napi-ids=1", func(f *cacheFlags, _ *cache) { f.ignored = []string{"-N"} }},
		{"-D /|-D/|-D /more", func(_ *cacheFlags, c *cache) { c.Prefixes = config.Prefixes{Count: true, Delimiter: "/"} }},
		{"-t 3|--threads=3", func(_ *cacheFlags, c *cache) { c.Threads = 3 }},
		{"-R 100|--max-reqs-per-event=100", func(_ *cacheFlags, c *cache) { c.RequestsPerTurn = 100 }},
		{"-R 500", func(_ *cacheFlags, c *cache) { c.RequestsPerTurn = 256 }},
		{"-C|--disable-cas", func(_ *cacheFlags, c *cache) { c.CAS = false }},
		{"-b 5|--listen-backlog=5", func(_ *cacheFlags, c *cache) { c.Backlog = 5 }},
		{"--protocol=auto|-B binary -B auto", func(f *cacheFlags, _ *cache) { f.protocolGiven = true }},
		{"-B ascii", func(f *cacheFlags, c *cache) { f.protocolGiven, c.Protocol = true, "ascii" }},
		{"-B binary", func(f *cacheFlags, c *cache) { f.protocolGiven, c.Protocol = true, "binary" }},
		{"-S -Y /etc/u|--enable-sasl -Y /etc/u", func(f *cacheFlags, c *cache) {
			f.sasl, c.Protocol, c.AuthFile = true, "binary", "/etc/u"
		}},
		{"-Y /etc/u -B auto", func(f *cacheFlags, c *cache) { f.protocolGiven, c.AuthFile = true, "/etc/u" }},
		{"-I 2m|-I 2M|-I 2048k|-I 2097152|--max-item-size=2m", func(_ *cacheFlags, c *cache) { c.ItemMax = 2 << 20 }},
		{"-F|--disable-flush-all", func(_ *cacheFlags, c *cache) { c.Commands.FlushAll = false }},
		{"-X|--disable-dumping", func(_ *cacheFlags, c *cache) { c.Commands.Dump = false }},
		{"-W|--disable-watch", func(_ *cacheFlags, c *cache) { c.Commands.Watch = false }},
		{"-Y /etc/u|--auth-file=/etc/u", func(_ *cacheFlags, c *cache) { c.AuthFile, c.Protocol = "/etc/u", "ascii" }},
		{"-e /dev/shm/m|--memory-file=/dev/shm/m", func(_ *cacheFlags, c *cache) { c.MemoryFile = "/dev/shm/m" }},
		{"--http=127.0.0.1:0|--http 127.0.0.1:0", func(f *cacheFlags, _ *cache) { f.config.HTTP.Listen = "127.0.0.1:0" }},
		{"--debug", func(f *cacheFlags, _ *cache) { f.debug = true }},
		{
			"-Z -o ssl_chain_cert=/c,ssl_key=/k|--enable-ssl --extended=ssl_chain_cert=/c -ossl_key=/k",
			func(f *cacheFlags, c *cache) {
				f.tls, f.tlsOptions.Certificate, f.tlsOptions.Key = true, "/c", "/k"
				c.TLS = f.tlsOptions
			},
		},
		{"-Z -o ssl_chain_cert=/c,ssl_ca_cert=/a,ssl_verify_mode=2,ssl_min_version=3", func(f *cacheFlags, c *cache) {
			f.tls, f.tlsVerify = true, 2
			f.tlsOptions = config.TLS{Certificate: "/c", ClientCA: "/a", Clients: config.ClientsChecked, MinVersion: "1.3"}
			c.TLS = f.tlsOptions
		}},
		{"-Z -o ssl_chain_cert=/c,ssl_ca_cert=/a -l notls:a:1,mtls:a:2,btls:a:3,a:4", func(f *cacheFlags, c *cache) {
			f.tls, f.tlsOptions.Certificate, f.tlsOptions.ClientCA = true, "/c", "/a"
			c.TLS = f.tlsOptions
			c.Listen = []config.Listener{{Address: "a:1", TLS: config.TLSOff, Mode: 0o700},
				{Address: "a:2", TLS: config.TLSMutual, Mode: 0o700},
				{Address: "a:3", Mode: 0o700}, {Address: "a:4", Mode: 0o700}}
		}},
		{
			"-o idle_timeout=30|-o maxconns_fast,idle_timeout=30",
			func(_ *cacheFlags, c *cache) { c.IdleTimeout = 30 * time.Second },
		},
		{"-o no_maxconns_fast|-o maxconns_fast -o no_modern", func(_ *cacheFlags, c *cache) { c.ConnectionsWait = true }},
		{
			"-o hash_algorithm=jenkins,lru_crawler",
			func(f *cacheFlags, _ *cache) { f.ignored = []string{"-o hash_algorithm", "-o lru_crawler"} },
		},
		{"-o watcher_logbuf_size=8,ssl_wbuf_size=64", func(f *cacheFlags, _ *cache) {
			f.watchKiB, f.sslWriteKiB, f.ignored = 8, 64, []string{"-o ssl_wbuf_size"}
		}},
		{"stray words -- -m 3", func(f *cacheFlags, _ *cache) { f.ignored = []string{`"stray"`, `"words"`, `"-m"`, `"3"`} }},
		{"-MCvp 9 -m12", func(f *cacheFlags, c *cache) {
			f.port, f.portGiven, f.verbosity, f.config.Log.Level = 9, true, 1, slog.LevelDebug
			c.Evict, c.CAS, c.Memory, c.Listen = false, false, 12<<20, listen("*:9")
		}},
		{"--debug -U 5", func(f *cacheFlags, c *cache) {
			f.debug, f.udpPort, f.port, f.ignored = true, 5, 5, []string{"-U"}
			c.Listen = listen("*:5")
		}},
	}
	for _, test := range tests {
		for _, line := range strings.Split(test.lines, "|") {
			got, err := parseCacheFlags("memcached", strings.Fields(line))
			if err != nil {
				t.Errorf("%s: %v", line, err)
				continue
			}
			want := base(t)
			test.change(want, &want.config.Cache)
			got.listen = nil
			if g, w := fingerprint(got), fingerprint(want); !reflect.DeepEqual(g, w) {
				t.Errorf("%s:\n got %+v\nwant %+v", line, g, w)
			}
		}
	}
}

func TestCacheFlagsRefused(t *testing.T) {
	tests := []struct {
		line string
		code int
		text string
	}{
		{"-c 0", 1, "Maximum connections must be greater than 0"},
		{"-c -1", 1, "Maximum connections must be greater than 0"},
		{"-t 0", 1, "Number of threads must be greater than 0"},
		{"-R 0", 1, "Number of requests per event must be greater than 0"},
		{"-f 1", 1, "Factor must be greater than 1"},
		{"-n 0", 1, "Chunk size must be greater than 0"},
		{"-I 1000", 64, "Item max size cannot be less than 1024 bytes."},
		{"-I 256m", 64, "Cannot set item size limit higher than 1/2 of memory max."},
		{"-m 1", 64, "Cannot set item size limit higher than 1/2 of memory max."},
		{"-m 8192 -I 2000m", 64, "Cannot set item size limit higher than a gigabyte."},
		{"-m lots", 64, `-m: "lots" is not a number`},
		{"-p 70000", 64, "ERROR: Invalid port number 70000."},
		{"-p 0", 64, "ERROR: -p 0 leaves nothing to listen on, as UDP is not supported."},
		{"-U 11211", 64, "UDP is not supported: omit -U, or use -U 0"},
		{"-B http", 64, "Invalid value for binding protocol: http\n -- should be one of auto, binary, or ascii"},
		{"-S -B auto -Y /etc/u", 64, "ERROR: You cannot allow the ASCII protocol while using SASL."},
		{"-S -B binary -B ascii -Y /etc/u", 64, "ERROR: You cannot allow the ASCII protocol while using SASL."},
		{
			"-S",
			64,
			"ERROR: -S needs users: give a file with lines of user:password by -Y or in MEMCACHED_SASL_PWDB. libsasl's own " +
				"configuration and databases are not read.",
		},
		{"-Z", 64, "ERROR: -Z needs -o ssl_chain_cert=FILE, and -o ssl_key=FILE if the key is in another file."},
		{"-Z -p 0", 64, "ERROR: You cannot enable SSL without a TCP port."},
		{"-Z -o ssl_chain_cert=/c,ssl_verify_mode=2", 64, "ERROR: -o ssl_verify_mode=2 needs -o ssl_ca_cert=FILE."},
		{"-Z -o ssl_chain_cert=/c -l mtls:a", 64, "ERROR: mtls: needs -o ssl_ca_cert=FILE."},
		{"-l notls:a", 71, "'notls' option is valid only when SSL is enabled"},
		{"-l a:b", 71, `Invalid port number: "b"`},
		{"-l [::1", 71, `Invalid IPV6 address: "[::1"`},
		{"-l tag[toolongtag]:a", 71, `Listener tags must be between 1 and 8 characters: "tag[toolongtag]:a"`},
		{"-l proto[proxy]:a", 64, `The proxy protocol is not supported: "proto[proxy]:a"`},
		{"-a 9", 64, `-a: "9" is not an access mode; write it in octal, like 0700`},
		{"-D ", 1, "memcached: option requires an argument -- 'D'\nIllegal argument \"?\""},
		{"-o nonsense", 1, `Illegal suboption "nonsense"`},
		{"-o idle_timeout", 1, "Missing numeric argument for idle_timeout"},
		{"-o ssl_verify_mode=4", 1, "Invalid ssl_verify_mode. Use help to see valid options."},
		{"-o ssl_min_version=x", 1, "Invalid ssl_min_version. Use help to see valid options."},
		{"-o proxy_config=x.lua", 64, "memcached's proxy is not supported: remove -o proxy_config"},
		{"-Q", 1, "memcached: invalid option -- 'Q'\nIllegal argument \"?\""},
		{"-m", 1, "memcached: option requires an argument -- 'm'\nIllegal argument \"?\""},
		{"--port", 1, "memcached: option '--port' requires an argument\nIllegal argument \"?\""},
		{"--daemon=1", 1, "memcached: option '--daemon' doesn't allow an argument\nIllegal argument \"?\""},
		{"--nothing", 1, "memcached: unrecognized option '--nothing'\nIllegal argument \"?\""},
		{
			"--mem 5",
			1,
			"memcached: option '--mem' is ambiguous; possibilities: '--memory-limit' '--memory-file'\nIllegal argument \"?\"",
		},
	}
	for _, test := range tests {
		_, err := parseCacheFlags("memcached", strings.Fields(test.line))
		var exit *exitError
		if !errors.As(err, &exit) {
			t.Errorf("%s: got %v; want exit %d", test.line, err, test.code)
		} else if exit.code != test.code || exit.text != test.text {
			t.Errorf("%s:\n got %d %q\nwant %d %q", test.line, exit.code, exit.text, test.code, test.text)
		}
	}
}

func TestCacheFlagsWarnOnce(t *testing.T) {
	f, err := parseCacheFlags("memcached",
		strings.Fields("-m 64M -n 48 -o slab_reassign,no_lru_crawler,ext_path=/x:1G -t 65"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"-m 64M is read as 64",
		"more than 64 threads are not recommended: give the number of processors or less",
		"these options are accepted but have no effect: -n, -o slab_reassign, -o no_lru_crawler, -o ext_path",
	}
	if got := f.warnings(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestCacheHelp(t *testing.T) {
	help := cacheUsage("memcached")
	for _, o := range cacheOptions() {
		if o.help != "" && o.long != "" && !strings.Contains(help, "--"+o.long) {
			t.Errorf("--%s is not in the help", o.long)
		}
	}
	for _, line := range strings.Split(help, "\n") {
		if len(line) > 100 {
			t.Errorf("a long line: %s", line)
		}
	}
	// memcached's test suite finds out by these words what it may test.
	for word, want := range map[string]bool{"enable-ssl": true, "unix-socket": true, "sasl": true, "ext_path": false,
		"proxy_config": false, "no_drop_privileges": false} {
		if got := strings.Contains(strings.ToLower(help), word); got != want {
			t.Errorf("%s in the help: got %v; want %v", word, got, want)
		}
	}
}

func FuzzCacheFlags(f *testing.F) {
	f.Add("-m64 -vvv -l a,b:1 -o idle_timeout=3 --port=5")
	f.Add("-Z -o ssl_chain_cert=x -I 2m")
	f.Fuzz(func(t *testing.T, line string) {
		parsed, err := parseCacheFlags("memcached", strings.Fields(line))
		if err == nil && parsed.show == nil && parsed.config.Check() != nil {
			t.Errorf("%q: accepted, but %v", line, parsed.config.Check())
		}
	})
}

func TestSASLUsersFromTheEnvironment(t *testing.T) {
	t.Setenv(saslFile, "/etc/pwdb")
	for line, want := range map[string]string{"-S": "/etc/pwdb", "-S -Y /etc/u": "/etc/u", "-B binary": ""} {
		f, err := parseCacheFlags("memcached", strings.Fields(line))
		if err != nil || f.config.Cache.AuthFile != want || f.config.Cache.Protocol != config.ProtocolBinary {
			t.Errorf("%s: got %q, %q, %v; want %q and binary", line, f.config.Cache.AuthFile, f.config.Cache.Protocol, err, want)
		}
	}
}
