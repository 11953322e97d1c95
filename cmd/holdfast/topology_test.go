package main

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"holdfast/tool/topology"
)

// startBalancer gives each connection to the next of the members, and returns where it listens.
func startBalancer(t *testing.T, members ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for n := 0; ; n++ {
			client, err := l.Accept()
			if err != nil {
				return
			}
			member, err := net.Dial("tcp", members[n%len(members)])
			if err != nil {
				client.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{client, member}, {member, client}} {
				wait.Go(func() {
					defer way[1].Close()
					io.Copy(way[1], way[0])
				})
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		wait.Wait()
	})
	return l.Addr().String()
}

func TestTopology(t *testing.T) {
	_, one := startCache(t, "-m", "8")
	_, two := startCache(t, "-m", "8")
	both := startBalancer(t, one, two)
	none := t.TempDir() + "/none"
	for _, test := range []struct {
		router, members string
		code            int
		want            string
	}{
		{both, one + "," + two, 0, "mixed: each key is written to one member and read from others"},
		{both, one, 2, "unclear: "},
		{startBalancer(t, one), one + "," + two, 2, "unclear: 200 of 200 keys are on " + one},
		{none, one, 1, "unreachable: the router stored none of the keys: can't connect"},
	} {
		code, stdout, stderr := command("topology", "--router", test.router, "--members", test.members, "--settle", "1ms")
		if code != test.code || !strings.HasPrefix(stdout, test.want) || stderr != "" {
			t.Errorf("got %d, %q and\n%s\nwant %d and %q", code, stderr, stdout, test.code, test.want)
		}
	}
	var report topology.Report
	_, stdout, _ := command("topology", "--router", both, "--members", one+","+two, "--settle", "1ms", "--keys", "20",
		"--json")
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || report.Verdict != topology.Mixed ||
		report.Keys != 20 || report.Left != 0 {
		t.Errorf("got %v, %s; want a report as JSON", err, stdout)
	}
	for _, address := range []string{one, two} {
		checkNoItems(t, address)
	}
}

func checkNoItems(t *testing.T, address string) {
	t.Helper()
	if stats := ask(t, address, "stats\r\n", "END\r\n"); !strings.Contains(stats, "STAT curr_items 0\r\n") {
		t.Errorf("%s: got items left; want none in\n%s", address, stats)
	}
}

func TestTopologyFlags(t *testing.T) {
	for want, args := range map[string][]string{
		`required flag(s) "router", "members" not set`: {},
		"member a:11211 is listed twice":               {"--router", "r", "--members", "a,a"},
		"can't be negative":                            {"--router", "r", "--members", "a", "--timeout", "-1s"},
		`unknown command "x"`:                          {"--router", "r", "--members", "a", "x"},
	} {
		code, stdout, stderr := command(append([]string{"topology"}, args...)...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: got %d, %q, %q; want 1 and %q", args, code, stdout, stderr, want)
		}
	}
}

// TestTopologyInterrupted sends the signal while the router owes an answer.
func TestTopologyInterrupted(t *testing.T) {
	_, member := startCache(t, "-m", "8")
	router, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer router.Close()
	p := start(t, "holdfast", "topology", "--router", router.Addr().String(), "--members", member, "--timeout", "1s")
	conn, err := router.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil { // it has written: the signal is waited for by now
		t.Fatal(err)
	}
	p.signal(syscall.SIGINT)
	router.Close()
	output := p.exits(1)
	conn.Close()
	for _, want := range []string{"unclear: stopped before the end: ", "holdfast: stopped before the end: ",
		`may be left, for`} {
		if !strings.Contains(output, want) {
			t.Errorf("got no %q in\n%s", want, output)
		}
	}
	checkNoItems(t, member)
}
