package main

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// serving answers each connection with the text, and closes it; it returns its address.
func serving(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, text)
			c.(*net.TCPConn).CloseWrite()
			go func() {
				io.Copy(io.Discard, c) // until the client closes, so that nothing resets the connection
				c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// A server that ends before it answers is reported with its output; the caller doesn't wait in
// vain.
func TestServerEndsBeforeItAnswers(t *testing.T) {
	p := spec{name: "broken", portFlag: "-p", argv: []string{"sh", "-c", "echo no memory >&2; exit 3"}}
	_, err := p.start(t.Context())
	wantError(t, "start", err, "broken ended: exit status 3\nno memory")
	_, err = spec{name: "missing", argv: []string{"/nowhere/at/all"}}.launch("127.0.0.1:1")
	wantError(t, "launch", err, "missing: ")
	_, err = p.launch("no address")
	wantError(t, "address", err, "missing port")
}

func TestServerThatNeverAnswers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := spec{name: "mute", portFlag: "-p", argv: []string{"sh", "-c", "exec sleep 60"}}.start(ctx)
	wantError(t, "start", err, "mute: no answer at 127.0.0.1:")
}

// The port, or the whole address, comes last on the command line, and the argument list of the
// spec, which several servers share, stays as it is.
func TestLaunchAppendsTheAddress(t *testing.T) {
	argv := make([]string, 0, 8)
	argv = append(argv, "sh", "-c", `printf '%s ' "$@"`, "sh")
	for _, test := range []struct {
		whole bool
		want  string
	}{{false, "-p 4711 "}, {true, "-p 127.0.0.1:4711 "}} {
		s, err := spec{name: "args", portFlag: "-p", argv: argv, whole: test.whole}.launch("127.0.0.1:4711")
		if err != nil {
			t.Fatal(err)
		}
		<-s.exited
		if got := s.output.String(); got != test.want {
			t.Errorf("whole %v: got %q; want %q", test.whole, got, test.want)
		}
		if err := s.stop(); err != nil {
			t.Errorf("stop of a process that has ended: %v", err)
		}
	}
	if spare := argv[:6]; spare[4] != "" || spare[5] != "" {
		t.Errorf("got the spec's arguments overwritten: %q", spare)
	}
}

// Both servers get the same flags, and one that is left out has no place.
func TestBoth(t *testing.T) {
	b := binaries{holdfast: "/bin/holdfast", memcached: "/bin/memcached"}
	specs := b.both(64, 2, "-M")
	if len(specs) != 2 || specs[0].name != "holdfast" || specs[1].name != "memcached" {
		t.Fatalf("got %+v; want holdfast, then memcached", specs)
	}
	ours, theirs := specs[0].argv[2:], specs[1].argv[3:] // without "cache", and without "-U 0"
	if !slices.Equal(ours, theirs) || !slices.Contains(ours, "-M") {
		t.Errorf("got %q and %q; want the same flags", ours, theirs)
	}
	for _, left := range []binaries{{holdfast: none, memcached: "m"}, {holdfast: "h", memcached: none}} {
		if got := left.both(64, 1); len(got) != 1 {
			t.Errorf("%+v: got %d servers; want 1", left, len(got))
		}
	}
}

func TestTableSpecs(t *testing.T) {
	b := binaries{holdfast: "/bin/holdfast"}
	var names []string
	for _, s := range tableSpecs(&b, "/tmp", "sh") { // sh stands for dynalite: it only has to be there
		names = append(names, s.name+" "+s.argv[0])
	}
	want := []string{"holdfast /bin/holdfast", inMemory + " sh", onDisk + " sh"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q; want %q", names, want)
	}
	if got := tableSpecs(&b, "/tmp", none); len(got) != 1 {
		t.Errorf("without dynalite: got %d servers; want 1", len(got))
	}
}

// A server that closes in the middle of a fill fails it; a refused item doesn't, and is counted.
func TestFillFails(t *testing.T) {
	_, err := fill(t.Context(), serving(t, "STORED\r\n"), 100, []byte("v"))
	wantError(t, "closed", err, io.ErrUnexpectedEOF.Error())
	answers := strings.Repeat("STORED\r\n", fillPipeline-1) + "SERVER_ERROR no\r\n"
	f, err := fill(t.Context(), serving(t, answers), fillPipeline, []byte("v"))
	if err != nil || f.stored != fillPipeline-1 || f.refused != 1 || f.refusal != "SERVER_ERROR no" {
		t.Errorf("got %+v, %v; want one refused", f, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fill(ctx, serving(t, ""), 100, nil); err == nil {
		t.Error("canceled: got no error")
	}
}

// Rounds against the real memcached count every answer, and a server that closes fails them.
func TestRounds(t *testing.T) {
	s := memcached(t)
	const items = 200
	if f, err := fill(t.Context(), s.address, items, make([]byte, 100)); err != nil || f.stored != items {
		t.Fatalf("fill: got %+v, %v", f, err)
	}
	for _, shape := range shapes {
		rate, err := askBatches(t.Context(), s.address, shape, items, 8, 2, 50*time.Millisecond)
		if err != nil || rate <= 0 {
			t.Errorf("%s: got %v keys/s, %v", shape.name, rate, err)
		}
	}
	l := load{value: []byte("new"), connections: 2, length: 50 * time.Millisecond}
	p, err := l.ask(t.Context(), s.address, items, 1)
	if err != nil || p.perSecond <= 0 || p.p50 > p.p99 || p.p99 > p.p999 || p.p999 > p.max {
		t.Errorf("got %+v, %v; want rising percentiles", p, err)
	}
	if fields := p.fields(); len(fields) != 5 || !strings.HasSuffix(fields[0], " k") {
		t.Errorf("got fields %q; want five", fields)
	}
	_, err = load{connections: 1, length: time.Second}.ask(t.Context(), serving(t, ""), items, 1)
	wantError(t, "closed", err, "EOF")
}

func TestDirectoryBytes(t *testing.T) {
	if got := directoryBytes("testdata/none"); got != 0 {
		t.Errorf("a directory that isn't there: got %d; want 0", got)
	}
	if got := directoryBytes("."); got < 10_000 {
		t.Errorf("this package: got %d bytes", got)
	}
}
