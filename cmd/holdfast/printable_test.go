package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ä ☃ 😀\tand a line\n": "plain, ä ☃ 😀\tand a line\n",
		"\x1b]0;title\x07":           `\u001b]0;title\u0007`,
		"a\rb\x00\x7f":               `a\u000db\u0000\u007f`,
		"\u009b31m":                  `\u009b31m`,
		"\x9b31m":                    `\u009b31m`,
		"\xc3(":                      `\u00c3(`,
		"a\u202eb\u2066c":            `a\u202eb\u2066c`,
	} {
		for _, size := range []int{1, 2, 3, len(text)} { // characters come in parts, too
			var out bytes.Buffer
			p := &printable{w: &out}
			for rest := text; len(rest) > 0; {
				n, err := p.Write([]byte(rest[:min(size, len(rest))]))
				if err != nil || n == 0 {
					t.Fatalf("%q: got %d, %v", text, n, err)
				}
				rest = rest[n:]
			}
			if out.String() != want {
				t.Errorf("%q, %d bytes at a time: got %q; want %q", text, size, out.String(), want)
			}
		}
	}
}

// TestNothingControlsTheTerminal has servers that answer with escape sequences wherever they can:
// none comes out of a command.
func TestNothingControlsTheTerminal(t *testing.T) {
	const escape = "\x1b]0;owned\x07"
	tables := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "ListTables") {
			fmt.Fprint(w, `{"TableNames":["\u001b]0;owned\u0007"]}`)
			return
		}
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "ListTagsOfResource") {
			fmt.Fprint(w, `{"Tags":[{"Key":"\u001b]0;owned\u0007","Value":"\u009b31m"}]}`)
			return
		}
		fmt.Fprint(w, `{"Table":{"TableName":"\u001b]0;owned\u0007","TableStatus":"\u009b31m","KeySchema":[{"AttributeName":"\u001b[2J","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"\u001b[2J","AttributeType":"S"}]}}`)
	}))
	defer tables.Close()
	memcached := startLiar(t, escape)
	for _, args := range [][]string{
		{"table", "list", "--endpoint", tables.URL},
		{"table", "describe", "x", "--endpoint", tables.URL},
		{"table", "describe", "x", "--json", "--endpoint", tables.URL},
		{"table", "set", "x", "a=b", "--endpoint", tables.URL},
		{"table", "check", "/no/" + escape},
		{"replay", "/no/" + escape},
		{"replay", "--zipf", "-n", "2", "-s", memcached},
		{"topology", "--router", memcached, "--members", startLiar(t, escape)},
		{"route", "--config", "/no/" + escape, "key"},
		{"config", "check", "/no/" + escape},
		{escape},
	} {
		code, stdout, stderr := command(args...)
		if all := stdout + stderr; strings.ContainsAny(all, "\x1b\x07\u009b") {
			t.Errorf("%q: got %d, %q; want no control character", args, code, all)
		} else if !strings.Contains(all, `\u001b`) && !strings.Contains(all, `\x1b`) {
			t.Errorf("%q: got %d, %q; want the text in it, escaped", args, code, all)
		}
	}
}

// startLiar answers each line with an error that holds text.
func startLiar(t *testing.T, text string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "SERVER_ERROR %s\r\n", text)
			conn.Close()
		}
	}()
	return l.Addr().String()
}
