package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestThreeNodesOfTheREADME runs the commands and the file of README's section as they stand there,
// with free ports in the place of its own. It holds for root and for other users.
func TestThreeNodesOfTheREADME(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Three nodes\n")
	section, _, end := strings.Cut(section, "\n## ")
	if !ok || !end {
		t.Fatal("README.md has no section about three nodes")
	}
	section = withFreePorts(t, section)
	commands := regexp.MustCompile(`(?m)^    holdfast (.*)$`).FindAllStringSubmatch(section, -1)
	file := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(section)
	if len(commands) != 4 || file == nil {
		t.Fatalf("got commands %q, file %q; want three caches, a router and its file", commands, file)
	}
	for _, c := range commands[:3] {
		start(t, "holdfast", strings.Fields(c[1])...).await("serving memcached clients")
	}
	journal := filepath.Join(t.TempDir(), "holdfast-journal")
	config := writeFile(t, "pools.yaml", strings.Replace(file[1], "holdfast-journal", journal, 1))
	args := strings.Fields(strings.Replace(commands[3][1], "pools.yaml", config, 1))
	router := start(t, "holdfast", append(args, "--http-listen=")...)
	address := router.await(`routing for memcached clients.*addresses="?([^" ]+)`)[1]
	const request = "set hello 0 0 5\r\nworld\r\nget hello\r\n"
	if got := ask(t, address, request, "END\r\n"); got != "STORED\r\nVALUE hello 0 5\r\nworld\r\nEND\r\n" {
		t.Errorf("got %q", got)
	}
}

// withFreePorts replaces each port of section's commands and file by a free one.
func withFreePorts(t *testing.T, section string) string {
	t.Helper()
	ports := map[string]string{}
	return regexp.MustCompile(`\b112\d\d\b`).ReplaceAllStringFunc(section, func(port string) string {
		if ports[port] == "" {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			_, ports[port], _ = net.SplitHostPort(l.Addr().String())
		}
		return ports[port]
	})
}
