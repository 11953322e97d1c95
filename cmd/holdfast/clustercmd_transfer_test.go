package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Any node has another one lead, and says so again; what isn't a node is refused.
func TestClusterTransfer(t *testing.T) {
	p, address := startNodes(t, filepath.Join(t.TempDir(), "data"))
	awaitLeader(t, address)
	for _, to := range []int{2, 3} {
		for n, want := range []string{fmt.Sprintf("node %d leads now: node ", to),
			fmt.Sprintf("node %d leads already\n", to)} {
			code, out, errs := command("cluster", "transfer", fmt.Sprint(to), "--http", address)
			if code != 0 || !strings.HasPrefix(out, want) {
				t.Errorf("to node %d, try %d: got %d, %q, %q; want %q", to, n, code, out, errs, want)
			}
		}
	}
	for word, want := range map[string]string{"9": "nothing was changed: the cluster has no node 9",
		"two": `"two" isn't the number of a node`, "0": `"0" isn't the number of a node`} {
		code, _, errs := command("cluster", "transfer", word, "--http", address)
		if code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%s: got %d, %q; want 1 and %q", word, code, errs, want)
		}
	}
	p.signal(syscall.SIGTERM)
	p.exits(0)
}
