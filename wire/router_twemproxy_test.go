package wire

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	peers "holdfast/internal/peer"
)

// TestRouterPlacesAsTwemproxy gives one configuration to the real twemproxy and to Holdfast's
// router: items that are set through one are found through the other, so a pool keeps its items in
// a move.
func TestRouterPlacesAsTwemproxy(t *testing.T) {
	nutcracker := find(t, "nutcracker")
	for _, test := range []struct {
		hash, distribution, more string
		servers                  [3]string // the text behind the address
	}{
		{"fnv1a_64", "ketama", "", [3]string{":1", ":1", ":1"}},
		{"fnv1a_64", "ketama", "", [3]string{":1 alpha", ":3 beta", ":2 gamma"}},
		{"fnv1a_64", "ketama", `hash_tag: "{}"`, [3]string{":1", ":1", ":1"}},
		{"one_at_a_time", "ketama", "", [3]string{":1 a", ":1 b", ":1 c"}},
		{"md5", "ketama", "", [3]string{":1", ":1", ":1"}},
		{"crc32", "modula", "", [3]string{":1", ":1", ":1"}},
		{"crc32a", "modula", "", [3]string{":2", ":1", ":1"}},
		{"crc16", "modula", "", [3]string{":1", ":1", ":1"}},
		{"fnv1_64", "modula", `hash_tag: "<>"`, [3]string{":1", ":1", ":1"}},
		{"fnv1_32", "modula", "", [3]string{":1", ":1", ":1"}},
		{"fnv1a_32", "ketama", "", [3]string{":1", ":1", ":1"}},
		{"hsieh", "ketama", "", [3]string{":1", ":1", ":1"}},
		{"murmur", "ketama", "", [3]string{":1", ":1", ":1"}},
		{"jenkins", "ketama", "", [3]string{":1", ":1", ":1"}},
	} {
		t.Run(strings.TrimSpace(test.hash+" "+test.distribution+" "+test.more+" "+test.servers[0]), func(t *testing.T) {
			members := startMembers(t, len(test.servers))
			servers := ""
			for i, m := range members {
				servers += fmt.Sprintf("    - %s%s\n", m.addr, test.servers[i])
			}
			configuration := func(address string) string {
				return fmt.Sprintf("alpha:\n  listen: %s\n  hash: %s\n  distribution: %s\n  timeout: 5000\n  %s\n  servers:\n%s",
					address, test.hash, test.distribution, test.more, servers)
			}
			address, peerAddress := freeAddress(t), freeAddress(t)
			router := startRouter(t, address, configuration(address))
			theirs := startProgram(t, peerAddress, configuration(peerAddress), nutcracker,
				"-a", "127.0.0.1", "-s", peers.FreePort(t), "-c")
			found(t, router, setThrough(t, theirs, "theirs"))
			found(t, theirs, setThrough(t, router, "ours"))
		})
	}
}

// setThrough sets many keys of many forms, and returns them.
func setThrough(t *testing.T, server *process, name string) []string {
	t.Helper()
	var keys []string
	for i := range 500 {
		for _, form := range []string{
			"%s%d", "user:%s:{%d}:x", "{%s%d}", "<%s>%d", "%s{}%d", "a-longer-key-than-the-others-%s-%d",
		} {
			keys = append(keys, fmt.Sprintf(form, name, i))
		}
	}
	c := dial(t, server)
	in := bufio.NewReader(c)
	for _, key := range keys {
		if _, err := fmt.Fprintf(c, "set %s 0 0 %d\r\n%s\r\n", key, len(key), key); err != nil {
			t.Fatal(err)
		}
		if line, err := in.ReadString('\n'); err != nil || line != "STORED\r\n" {
			t.Fatalf("set %s: %q, %v", key, line, err)
		}
	}
	return keys
}

// found checks that all keys are found.
func found(t *testing.T, server *process, keys []string) {
	t.Helper()
	c := dial(t, server)
	in := bufio.NewReader(c)
	missed := 0
	for _, key := range keys {
		if _, err := fmt.Fprintf(c, "get %s\r\n", key); err != nil {
			t.Fatal(err)
		}
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "END\r\n" {
			missed++
			continue
		}
		if want := fmt.Sprintf("VALUE %s 0 %d\r\n", key, len(key)); line != want {
			t.Fatalf("get %s: got %q; want %q", key, line, want)
		}
		for _, want := range []string{key + "\r\n", "END\r\n"} {
			if line, err := in.ReadString('\n'); err != nil || line != want {
				t.Fatalf("get %s: got %q, %v; want %q", key, line, err, want)
			}
		}
	}
	if missed > 0 {
		t.Errorf("%d of %d keys are missed", missed, len(keys))
	}
}
