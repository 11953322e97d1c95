package node

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// A client that begins with HTTP/2 is told in its own frames that HTTP/1.1 is required.
func TestHTTP2IsRefused(t *testing.T) {
	n := open(t, tablesConfig(t))
	url := "http://" + n.TablesAddr().String()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	client := http.Client{Transport: transport, Timeout: 20 * time.Second}
	res, err := client.Post(url, "application/x-amz-json-1.0", strings.NewReader("{}"))
	if err == nil {
		t.Fatalf("got %d; want an error", res.StatusCode)
	}
	if !strings.Contains(err.Error(), "HTTP_1_1_REQUIRED") {
		t.Errorf("got %v; want HTTP_1_1_REQUIRED", err)
	}
	expectTables(t, n, "ListTables", "{}", "TableNames")
}

// The preface may come in pieces, and without a request.
func TestHTTP2InPieces(t *testing.T) {
	n := open(t, tablesConfig(t))
	for _, step := range []int{1, 7, 100} {
		conn, err := net.Dial("tcp", n.TablesAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		sent := []byte(http2Begin + http2Rest)
		sent = appendFrame(sent, frameSettings, 0, nil)
		sent = appendFrame(sent, frameHeaders, 5, []byte{0x82})
		for piece := range slices.Chunk(sent, step) {
			if _, err := conn.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		want := appendFrame(nil, frameSettings, 0, nil)
		want = appendFrame(want, frameReset, 5, binary.BigEndian.AppendUint32(nil, http11Required))
		want = appendFrame(want, frameGoAway, 0, []byte{0, 0, 0, 5, 0, 0, 0, http11Required})
		if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, want) {
			t.Errorf("in pieces of %d: got %q, %v; want %q", step, got, err, want)
		}
	}
}

// What only begins like it is HTTP/1.1, or nonsense in it.
func TestNotHTTP2(t *testing.T) {
	n := open(t, tablesConfig(t))
	for sent, want := range map[string]string{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n":                    "HTTP/1.1 400 ",
		"PRI * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                          "HTTP/1.1 400 ",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n\r\n": "HTTP/1.1 200 ",
		"GET / HTTP/2.0\r\nHost: x\r\n\r\n":                                                               "HTTP/1.1 505 ",
	} {
		conn, err := net.Dial("tcp", n.TablesAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("%q: got %.60q, %v; want %q", sent, got, err, want)
		}
	}
}

// curl asks again in HTTP/1.1.
func TestHTTP2ByCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not here")
	}
	n := open(t, tablesConfig(t))
	out, err := exec.CommandContext(t.Context(), curl, "-sS", "-m", "20", "--http2-prior-knowledge", "-w",
		" %{http_version}", "http://"+n.TablesAddr().String()).CombinedOutput()
	if strings.Contains(string(out), "unsupported") || strings.Contains(string(out), "libcurl") {
		t.Skipf("curl without HTTP/2: %s", out)
	}
	if err != nil || !strings.HasPrefix(string(out), "healthy: ") || !strings.HasSuffix(string(out), " 1.1") {
		t.Errorf("got %s, %v; want the answer in HTTP/1.1", out, err)
	}
}
