package wire

import (
	"os"
	"path"
	"strings"
	"testing"
)

// A suiteFile is one of memcached's own tests: run, or left out for a reason. docs/protocol.md has
// the same table.
type suiteFile struct {
	name       string // of the file in t/; if the file is left out, it may be a pattern
	leftOut    string // why; empty for a file that is run
	tls        bool   // run over TLS
	amendments []amendment
}

// An amendment is a part of a test that is changed before it runs, because what old expects isn't
// served, or because memcached 1.6.40 answers differently from the file's version.
type amendment struct {
	old, new string
}

// suiteHarness makes the harness request no UDP port, which Holdfast refuses.
var suiteHarness = []amendment{{
	"sub supports_udp {\n", "sub supports_udp {\n    return 0;\n",
}}

var suiteFiles = []suiteFile{
	{name: "00-startup.t"},
	{name: "ascii-auth.t"},
	{name: "ascii-auth2.t"},
	{name: "binary.t"},
	{name: "binary-get.t"},
	{name: "binary-sasl.t", amendments: []amendment{
		{`if ($ENV{'RUN_SASL_TESTS'}) {`, `if (1) {`},
		{`'CRAM-MD5 PLAIN'`, `'PLAIN'`},
		{`$ENV{'SASL_CONF_PATH'} = "$pwd/t/sasl";`, `$ENV{'MEMCACHED_SASL_PWDB'} = "$pwd/sasl.pwdb";` +
			` open(my $db, '>', "$pwd/sasl.pwdb") or die; print $db "testuser\@memcached.realm:testpass\n"; close $db;`},
		{`die "no saslpasswd2 found" unless $saslpasswd_path;`, ``},
		{`system("echo testpass | $saslpasswd_path -a memcached -u $sasl_realm -c -p testuser");`, ``},
	}},
	{name: "bogus-commands.t"},
	{name: "cas.t", amendments: []amendment{
		{`"ERROR\r\n", "cas empty`, `"CLIENT_ERROR bad command line format\r\n", "cas empty`},
		{`is(scalar <$sock>, "ERROR\r\n", "error out on barval2 parsing")`, `ok(1, "the block belongs to the bad line")`},
	}},
	{name: "chunked-items.t"},
	{name: "daemonize.t"},
	{name: "dash-M.t"},
	{name: "evictions.t"},
	{name: "expirations.t"},
	{name: "flags.t"},
	{name: "flush-all.t", amendments: []amendment{
		{`is($failed_nocas, 1,`, `is($failed_nocas, 0,`},
	}},
	{name: "getandtouch.t"},
	{name: "getset.t"},
	{name: "idle-timeout.t"},
	{name: "incrdecr.t"},
	{name: "issue_104.t"},
	{name: "issue_108.t"},
	{name: "issue_14.t"},
	{name: "issue_152.t"},
	{name: "issue_192.t"},
	{name: "issue_3.t"},
	{name: "issue_41.t"},
	{name: "issue_50.t"},
	{name: "issue_61.t"},
	{name: "issue_67.t", amendments: []amendment{
		{"sub when {\n    my ($name, $params, $expected_tcp, $expected_udp) = @_;\n",
			"sub when {\n    my ($name, $params, $expected_tcp, $expected_udp) = @_;\n" +
				"    if ($params =~ /-U (?!0)|-p 0/) { pass('UDP, and nothing at all, is refused') for 1..2; return; }\n"},
	}},
	{name: "issue_68.t"},
	{name: "issue_70.t"},
	{name: "item_size_max.t"},
	{name: "malicious-commands.t"},
	{name: "maxconns.t"},
	{name: "metaget.t", amendments: []amendment{
		{`"ERROR\r\n", "error from blank command"`, `"CLIENT_ERROR bad command line format\r\n", "error from blank command"`},
	}},
	{name: "multiversioning.t"},
	{name: "noreply.t"},
	{name: "quit.t"},
	{name: "restart.t", amendments: []amendment{
		{`eval {  new_memcached("-e $mem_path"); };`, `eval { die "the metadata is in the file itself" };`},
		{`is($stats->{hash_power_level}, 16,`, `cmp_ok($stats->{hash_power_level}, '>', 0,`},
		{`is($stats->{hash_power_level}, 17,`, `cmp_ok($stats->{hash_power_level}, '>', 0,`},
	}},
	{name: "shutdown.t", amendments: []amendment{
		{`"ERROR: shutdown not enabled\r\n"`, `"SERVER_ERROR: shutdown not enabled\r\n"`},
	}},
	{name: "ssl_cert_refresh.t", tls: true},
	{name: "ssl_ports.t", tls: true, amendments: []amendment{
		{`new_memcached("-l notls:`, `new_memcached("-o ssl_ca_cert=t/cacert.pem -l notls:`},
	}},
	{name: "ssl_proto_version.t", tls: true},
	{name: "ssl_session_resumption.t", tls: true},
	{name: "ssl_settings.t", tls: true},
	{name: "ssl_verify_modes.t", tls: true},
	{name: "stats-conns.t", amendments: []amendment{
		{`is($1, $server->udpport, "udp port number is correct")`, `ok(1, "no UDP")`},
	}},
	{name: "stats-detail.t"},
	{name: "stats.t", amendments: []amendment{
		{`(keys(%$stats)), 83,`, `(keys(%$stats)), 94,`},
		{`(keys(%$stats)), 85,`, `(keys(%$stats)), 96,`},
	}},
	{name: "strtol-testing.t"},
	{name: "touch.t"},
	{name: "unixsocket.t"},
	{name: "watcher.t", amendments: []amendment{
		// and none is in flight when the next watcher comes
		{`print $client "set bfoo 0 0 11000 noreply\r\n$value\r\n";`,
			`print $client "set bfoo$_ 0 0 11000 noreply\r\n$value\r\n" for 1 .. 100;` +
				` print $client "version\r\n"; $res = <$client>;`},
	}},
	{name: "watcher_connid.t", amendments: []amendment{
		// the connection that asks, rather than the one with the highest descriptor
		{`$stats = $_;`, `$stats = $_ if /:state conn_parse_cmd/;`},
	}},

	{name: "64bit.t", leftOut: "fakes how much the slab allocator holds"},
	{name: "binary-extstore.t", leftOut: "extstore"},
	{name: "chunked-extstore.t", leftOut: "extstore"},
	{name: "conn-limits.t",
		leftOut: "memcached's limit on response objects and read buffers; Holdfast's is for each connection"},
	{name: "dyn-maxbytes.t", leftOut: "slab pages given back when cache_memlimit falls"},
	{name: "error-extstore.t", leftOut: "extstore"},
	{name: "extstore*.t", leftOut: "extstore"},
	{name: "issue_140.t", leftOut: "skips itself"},
	{name: "issue_163.t", leftOut: "counters of a slab class"},
	{name: "issue_183.t", leftOut: "counts reuse of one item's memory by the LRU"},
	{name: "issue_22.t", leftOut: "counters of a slab class"},
	{name: "issue_260.t", leftOut: "skips itself"},
	{name: "issue_29.t", leftOut: "counters of a slab class"},
	{name: "issue_42.t", leftOut: "counters of a slab class"},
	{name: "line-lengths.t", leftOut: "checks memcached's own documentation"},
	{name: "lru-crawler.t", leftOut: "LRU internals, counters of a slab class"},
	{name: "lru-maintainer.t", leftOut: "LRU internals"},
	{name: "lru.t", leftOut: "expects 37 evictions, of the oldest items: LRU internals"},
	{name: "misbehave.t", leftOut: "memcached's seccomp filter"},
	{name: "proxy*.t", leftOut: "memcached's proxy"},
	{name: "refhang.t", leftOut: "skips itself"},
	{name: "slabhang.t", leftOut: "skips itself"},
	{name: "slabs*.t", leftOut: "slab page mover"},
	{name: "udp.t", leftOut: "UDP"},
	{name: "whitespace.t", leftOut: "checks memcached's own source files"},
}

// suiteTable is the table's entry for a file.
func suiteTable(name string) (suiteFile, bool) {
	for _, f := range suiteFiles {
		// The patterns are constants, and valid.
		if ok, err := path.Match(f.name, name); err == nil && ok {
			f.name = name
			return f, true
		}
	}
	return suiteFile{}, false
}

// TestSuiteTableIsDocumented compares the two tables.
func TestSuiteTableIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range suiteFiles {
		want := "`" + f.name + "`"
		if f.leftOut != "" {
			want = "| `" + f.name + "` | " + f.leftOut + " |"
		}
		if !strings.Contains(string(doc), want) {
			t.Errorf("docs/protocol.md: got no %q", want)
		}
	}
}
