package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"holdfast/internal/peer"
)

// TestThreeCachesOfTheREADME runs the commands and the file of README's section as they stand there,
// with free ports in the place of its own. It holds for root and for other users.
func TestThreeCachesOfTheREADME(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Three caches\n")
	section, _, end := strings.Cut(section, "\n## ")
	if !ok || !end {
		t.Fatal("README.md has no section about three caches")
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

// TestThreeNodesOfTheREADME runs the command of README's section about three nodes, on free ports.
func TestThreeNodesOfTheREADME(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Three nodes\n")
	section, _, _ = strings.Cut(section, "\n## ")
	got := regexp.MustCompile(`(?m)^    holdfast (.*)$`).FindAllString(section, -1)
	want := "    holdfast up --nodes 3 --data cluster-data\n    holdfast status\n    holdfast node --config node.yaml"
	if strings.Join(got, "\n") != want {
		t.Fatalf("got the commands %q; want those that this test, TestNodesAreServedAndShown and TestNodeRuns run", got)
	}
	p, http := startNodes(t, filepath.Join(t.TempDir(), "cluster-data"))
	awaitLeader(t, http)
	p.signal(syscall.SIGTERM)
	p.exits(0)
}

// withFreePorts replaces each port of section's commands and file by a free one.
func withFreePorts(t *testing.T, section string) string {
	t.Helper()
	ports := map[string]string{}
	return regexp.MustCompile(`\b112\d\d\b`).ReplaceAllStringFunc(section, func(port string) string {
		if ports[port] == "" {
			ports[port] = peer.FreePort(t)
		}
		return ports[port]
	})
}
