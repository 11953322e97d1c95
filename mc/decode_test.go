package mc

import (
	"strings"
	"testing"
)

// The answers in these tables were checked against memcached 1.6.40, except for the differences
// that Decoder's comment lists.

func TestDecodeLines(t *testing.T) {
	checkCases(t, Decoder{}, []decodeCase{
		{"\r\n", badLine},
		{"a\r\n", badLine},
		{"ab\n", badLine},
		{"mn\n", badLine},
		{"foo\n", `invalid "ERROR"`},
		{"FLUSH_ALL\r\n", `invalid "ERROR"`},
		{" get foo\r\n", `invalid "ERROR"`},
		{"  get foo\r\n", `invalid "ERROR"`},
		{"get\tfoo\r\n", `invalid "ERROR"`},
		{"flush\r\n", `invalid "ERROR"`},
		{"quitx\r\n", `invalid "ERROR"`},
		{"mx k\r\n", `invalid "ERROR"`},
		{"foo noreply\r\nmn\r\n", `invalid ""; mn`},
		{"noreply\r\n", `invalid ""`},
		{"HTTP/1.0\r\n", `invalid "ERROR"`},
		{"misbehave\r\ndebugtime 1\r\n", `invalid "ERROR"; invalid "ERROR"`},
		{strings.Repeat("x", 2048) + "\n", `invalid "ERROR"`},
	})
}

func TestDecodeGet(t *testing.T) {
	checkCases(t, Decoder{}, []decodeCase{
		{"get a\r\n", `get key="a" last=true`},
		{"get a\n", `get key="a" last=true`},
		{"get  a   b \r\n", `get key="a"; get key="b" last=true`},
		{"gets a b c\r\nget d\r\n", `gets key="a"; gets key="b"; gets key="c" last=true; get key="d" last=true`},
		{"get noreply\r\n", `get key="noreply" last=true`},
		{"get / HTTP/1.0\r\n", `get key="/"; get key="HTTP/1.0" last=true`},
		{"get a\tb\x00\x7f\xff\r\n", `get key="a\tb\x00\x7f\xff" last=true`},
		{"get q\r\r\n", `get key="q\r" last=true`},
		{"get\r\n", badLine},
		{"get \r\n", badLine},
		{"gets\r\n", badLine},
		{"get " + longKey[1:] + "\r\n", `get key="` + longKey[1:] + `" last=true`},
		{"get a b " + longKey + " c\r\nmn\r\n", badLine + "; mn"},
		{"gat 10 a b\r\n", `gat key="a" exptime=10; gat key="b" last=true exptime=10`},
		{"gats -1 a\r\n", `gats key="a" last=true exptime=-1`},
		{"gat - a\r\n", `gat key="a" last=true`},
		{"gat 0\r\n", badLine},
		{"gat x a\r\n", `invalid "CLIENT_ERROR invalid exptime argument"`},
		{"gat +1 a\r\n", `invalid "CLIENT_ERROR invalid exptime argument"`},
		{"gat 2147483648 a\r\n", `invalid "CLIENT_ERROR invalid exptime argument"`},
		{"gat -2147483648 a\r\n", `gat key="a" last=true exptime=-2147483648`},
		{"gat 000000000001 a\r\n", `invalid "CLIENT_ERROR invalid exptime argument"`},
	})
}

func TestDecodeStore(t *testing.T) {
	checkCases(t, Decoder{}, []decodeCase{
		{"set k 1 2 3\r\nabc\r\n", `set key="k" value="abc" flags=1 exptime=2`},
		{"set k 0 0 0\r\n\r\n", `set key="k"`},
		{"set k 0 0 0" + strings.Repeat(" ", 99) + "\r\n\r\n", `set key="k"`},
		{"set k 0 0 3 noreply\n\r\n\x00\r\nmn\r\n", `set key="k" value="\r\n\x00" noreply=true; mn`},
		{"add k 0 -5 1 x\r\na\r\n", `add key="k" value="a" exptime=-5`},
		{"replace k 0 0 1\r\na\r\n", `replace key="k" value="a"`},
		{"append k 0 0 1\r\na\r\n", `append key="k" value="a"`},
		{"prepend k 0 0 1\r\na\r\n", `prepend key="k" value="a"`},
		{"cas k 0 0 1 7\r\na\r\n", `cas key="k" value="a" cas=7`},
		{"cas k 0 0 1 7 noreply\r\na\r\n", `cas key="k" value="a" noreply=true cas=7`},
		{"cas k 0 0 1\r\n5\r\nmn\r\n", badLine + "; mn"},
		{"cas k 0 0 1 noreply\r\n5\r\nmn\r\n", `invalid ""; mn`},
		{"cas k 0 0 1 x\r\n5\r\nmn\r\n", badLine + "; mn"},

		// Flags and exptime are read by strtoul and strtol on 64 bits, then cut to 32.
		{"set k 4294967295 0 1\r\na\r\n", `set key="k" value="a" flags=4294967295`},
		{"set k 4294967296 0 1\r\na\r\n", `set key="k" value="a"`},
		{"set k 18446744073709551615 0 1\r\na\r\n", `set key="k" value="a" flags=4294967295`},
		{"set k 18446744073709551616 0 1\r\na\r\nmn\r\n", badLine + "; mn"},
		{"set k -1 0 1\r\na\r\nmn\r\n", badLine + "; mn"},
		{"set k 1x 0 1\r\na\r\nmn\r\n", badLine + "; mn"},
		{"set k 0 4294967296 1\r\na\r\n", `set key="k" value="a"`},
		{"set k 0 2147483648 1\r\na\r\n", `set key="k" value="a" exptime=-2147483648`},
		{"set k 0 9223372036854775808 1\r\na\r\nmn\r\n", badLine + "; mn"},
		{"set k +7 \t+9\x00z 1\r\na\r\n", `set key="k" value="a" flags=7 exptime=9`},

		// Without a length the block is decoded as commands; noreply does not suppress the error.
		{"set k 0 0 +1\r\na\r\nmn\r\n", badLine + "; " + badLine + "; mn"},
		{"set k 0 0 -1 noreply\r\n", badLine},
		{"set k 0 0 2147483646\r\nmn\r\n", badLine + "; mn"},
		{"set k 0 0 4294967295\r\nmn\r\n", badLine + "; mn"},
		{"set k 0 0 noreply\r\nmn\r\n", badLine + "; mn"},
		{"set k 0 0\r\nmn\r\n", badLine + "; mn"},
		{"set\r\n", badLine},
		{"set k 0 0 -\r\n\r\n", `set key="k"`},

		// A block with a wrong end is skipped by its length and two bytes; what follows is a command.
		{"set k 0 0 3\r\nabcd\r\nmn\r\n", `invalid "CLIENT_ERROR bad data chunk"; ` + badLine + "; mn"},
		{"set k 0 0 3\r\nab\r\nmn\r\nmn\r\n", `invalid "CLIENT_ERROR bad data chunk"; ` + badLine + "; mn"},
		{"set k 0 0 3 noreply\r\nabcde\nmn\r\n", `invalid ""; ` + badLine + "; mn"},
		{"set k 0 0 3\r\nabc\n\nmn\r\n", `invalid "CLIENT_ERROR bad data chunk"; mn`},

		{"set " + longKey + " 0 0 3\r\nabc\r\nmn\r\n", badLine + "; mn"},
		{"set " + longKey + " 0 0 3 noreply\r\nabc\r\nmn\r\n", `invalid ""; mn`},

		// Only the last of the first 23 tokens can be noreply.
		{"set j 0 0 1 a b c d e f g h i j k l m n o p q noreply\r\nx\r\n", `set key="j" value="x" noreply=true`},
		{"set j 0 0 1 a b c d e f g h i j k l m n o p q r noreply\r\nx\r\n", `set key="j" value="x"`},
	})
}

func TestDecodeTooLarge(t *testing.T) {
	const tooLarge = `invalid "SERVER_ERROR object too large for cache"`
	block := func(n int) string { return strings.Repeat("v", n) + "\r\nmn\r\n" }
	// 59 bytes of header, CAS, NUL and \r\n, one of key.
	checkCases(t, Decoder{ItemMaxBytes: 160}, []decodeCase{
		{"set k 0 0 100\r\n" + block(100), `set key="k" value="` + strings.Repeat("v", 100) + `"; mn`},
		{"set k 0 0 101\r\n" + block(101), tooLarge + ` key="k" drop=true; mn`},
		{"set k 0 0 101 noreply\r\n" + block(101), `invalid "" key="k" drop=true; mn`},
		{"set k 1 0 96\r\n" + block(96), `set key="k" value="` + strings.Repeat("v", 96) + `" flags=1; mn`},
		{"set k 1 0 97\r\n" + block(97), tooLarge + ` key="k" drop=true; mn`},
		{"add k 0 0 101\r\n" + block(101), tooLarge + "; mn"},
		{"cas k 0 0 101 5\r\n" + block(101), tooLarge + "; mn"},
		{"ms k 100\r\n" + block(100), `ms key="k" value="` + strings.Repeat("v", 100) + `"; mn`},
		{"ms k 101 q\r\n" + block(101), tooLarge + ` key="k" drop=true; mn`},
		{"ms a2V5 101 b MA\r\n" + block(101), tooLarge + ` key="key" drop=true; mn`},
		{"ms aw== 97 b F1\r\n" + block(97), tooLarge + ` key="k" drop=true; mn`},
	})

	f := newFeeder(Decoder{})
	if err := f.feed([]byte("set a 0 0 1048517\r\n")); err != nil {
		t.Fatal(err)
	}
	for range 1048519 / 7 {
		if err := f.feed([]byte("1234567")); err != nil || len(f.held) != 0 {
			t.Fatalf("held %d bytes of a refused block, error %v; want none", len(f.held), err)
		}
	}
	if err := f.feed([]byte("mn\r\n")); err != nil { // 1048519 is a multiple of 7 and 3 more
		t.Fatal(err)
	}
	if err := f.feed([]byte("mn\r\n")); err != nil {
		t.Fatal(err)
	}
	if got, want := showAll(f.got), tooLarge+` key="a" drop=true; `+badLine+"; mn"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestDecodeShort(t *testing.T) {
	const badDelta = `invalid "CLIENT_ERROR invalid numeric delta argument"`
	const badExptime = `invalid "CLIENT_ERROR invalid exptime argument"`
	checkCases(t, Decoder{}, []decodeCase{
		{"delete k\r\n", `delete key="k"`},
		{"delete k noreply\r\n", `delete key="k" noreply=true`},
		{"delete k 0 noreply\r\n", `delete key="k" noreply=true`},
		{"delete k 0\r\n", `delete key="k"`},
		{"delete k \r\n", `delete key="k"`},
		{"delete k 10\r\n", badDelete},
		{"delete k j\r\n", badDelete},
		{"delete k 0 0\r\n", badDelete},
		{"delete k 10 noreply\r\n", `invalid ""`},
		{"delete k noreply 0\r\n", badDelete},
		{"delete noreply\r\n", `delete key="noreply" noreply=true`},
		{"delete noreply 0\r\n", `delete key="noreply"`},
		{"delete\r\n", badLine},
		{"delete " + longKey + "\r\n", badLine},
		{"delete " + longKey + " noreply\r\n", `invalid ""`},

		{"incr k 5\r\n", `incr key="k" delta=5`},
		{"decr k 18446744073709551615 noreply\r\n", `decr key="k" noreply=true delta=18446744073709551615`},
		{"incr k\r\n", badLine},
		{"incr " + longKey + " 1\r\n", badLine},
		{"incr k x\r\n", badDelta},
		{"incr k +\r\n", badDelta},
		{"incr k -1\r\n", badDelta},
		{"incr k -18446744073709551615\r\n", `incr key="k" delta=1`},
		{"incr k 18446744073709551616\r\n", badDelta},
		{"incr k noreply\r\n", `invalid ""`},

		{"touch k 5\r\n", `touch key="k" exptime=5`},
		{"touch k -1 noreply\r\n", `touch key="k" noreply=true exptime=-1`},
		{"touch k 5\t6\r\n", `touch key="k" exptime=5`},
		{"touch k 9223372036854775807\r\n", `touch key="k" exptime=-1`},
		{"touch k 9223372036854775808\r\n", badExptime},
		{"touch k -9223372036854775808\r\n", `touch key="k"`},
		{"touch k -9223372036854775809\r\n", badExptime},
		{"touch k x\r\n", badExptime},
		{"touch k x noreply\r\n", `invalid ""`},
		{"touch k\r\n", badLine},
		{"touch " + longKey + " 1\r\n", badLine},

		{"flush_all\r\n", `flush_all`},
		{"flush_all noreply\r\n", `flush_all noreply=true`},
		{"flush_all 0\r\n", `flush_all delay=true`},
		{"flush_all 10 noreply\r\n", `flush_all noreply=true delay=true exptime=10`},
		{"flush_all -5\r\n", `flush_all delay=true exptime=-5`},
		{"flush_all 1 2 3\r\n", `flush_all delay=true exptime=1`},
		{"flush_all x\r\n", badExptime},
		{"flush_all noreply noreply\r\n", `invalid ""`},
	})
	checkCases(t, Decoder{NoFlush: true}, []decodeCase{
		{"flush_all\r\n", `invalid "CLIENT_ERROR flush_all not allowed"`},
		{"flush_all x noreply\r\n", `invalid ""`},
	})
}

func TestDecodeAdmin(t *testing.T) {
	checkCases(t, Decoder{Debug: true}, []decodeCase{
		{"version\r\n", `version`},
		{"version 1 noreply\r\n", `version args="1 noreply"`},
		{"verbosity 1\r\n", `verbosity args="1"`},
		{"verbosity 0 noreply\r\n", `verbosity args="0 noreply" noreply=true`},
		{"stats\r\nstats  detail  on \r\n", `stats; stats args="detail  on"`},
		{"stats noreply\r\n", `stats args="noreply"`},
		{"quit\r\n", `quit`},
		{"shutdown graceful\r\n", `shutdown args="graceful"`},
		{"watch fetchers mutations\r\n", `watch args="fetchers mutations"`},
		{"lru_crawler metadump all\r\n", `lru_crawler args="metadump all"`},
		{"cache_memlimit 64 noreply\r\n", `cache_memlimit args="64 noreply" noreply=true`},
		{"slabs automove 1\r\n", `slabs args="automove 1"`},
		{"lru mode flat\r\n", `lru args="mode flat"`},
		{"refresh_certs\r\n", `refresh_certs`},
		{"misbehave\r\n", `misbehave`},
		{"debugtime p\r\n", `debugtime args="p"`},
		{"get a\r\nversion\r\nmn\r\n", `get key="a" last=true; version; mn`},
	})
}
