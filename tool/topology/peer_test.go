package topology

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/peer"
)

// startMemcacheds runs n real members.
func startMemcacheds(t *testing.T, n int) (addresses []string) {
	t.Helper()
	program := peer.Find(t, "memcached")
	for range n {
		port := peer.FreePort(t)
		addresses = append(addresses, "127.0.0.1:"+port)
		peer.Start(t, "tcp", addresses[len(addresses)-1], program,
			"-u", "root", "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "1", "-m", "16")
	}
	return addresses
}

// checkEmpty checks that no member holds an item.
func checkEmpty(t *testing.T, members []string) {
	t.Helper()
	for _, m := range members {
		conn, err := net.Dial("tcp", m)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "stats\r\nquit\r\n")
		stats, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || !strings.Contains(string(stats), "STAT curr_items 0\r\n") {
			t.Errorf("%s: got %v and items left; want none in\n%s", m, err, stats)
		}
	}
}

func TestTwemproxy(t *testing.T) {
	program := peer.Find(t, "nutcracker")
	members := startMemcacheds(t, 3)
	for _, distribution := range []string{"ketama", "modula"} {
		router := "127.0.0.1:" + peer.FreePort(t)
		file := filepath.Join(t.TempDir(), "nutcracker.yml")
		text := fmt.Sprintf("pool:\n  listen: %s\n  hash: fnv1a_64\n  distribution: %s\n  timeout: 2000\n  servers:\n",
			router, distribution)
		for _, m := range members {
			text += "   - " + m + ":1\n"
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		peer.Start(t, "tcp", router, program, "-c", file, "-a", "127.0.0.1", "-s", peer.FreePort(t), "-o",
			filepath.Join(t.TempDir(), "log"))
		r, err := Run(t.Context(), Options{Router: router, Members: members, Settle: 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		check(t, distribution, r, Sharded, "is on exactly one of 3 members", "200 read back",
			"each key from the member that holds it", "reach the members that hold the key, no others")
		checkEmpty(t, members)
		r, err = Run(t.Context(), Options{Router: router, Members: members[1:], Settle: 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		check(t, distribution+", a member not listed", r, Sharded, "there are members that are not listed")
		checkEmpty(t, members)
	}
}

// The router writes to all real members and reads from the last.
func TestRealReplicas(t *testing.T) {
	members := startMemcacheds(t, 2)
	router := serve(t, func(q line) (answer string) {
		for _, m := range members {
			answer = forward(t, m, q)
		}
		return answer
	})
	r, err := Run(t.Context(), Options{Router: router, Members: members, Keys: 20, Settle: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	check(t, "replicas", r, Replicated, "each of 20 keys is on all 2 members", "all from "+members[1], "reach all members")
	checkEmpty(t, members)
}

// forward sends a request to a real member over a new connection.
func forward(t *testing.T, member string, q line) string {
	conn, err := net.Dial("tcp", member)
	if err != nil {
		t.Error(err)
		return hangUp
	}
	defer conn.Close()
	if q.op == "set" {
		fmt.Fprintf(conn, "set %s 0 60 %d\r\n%s\r\n", q.key, len(q.value), q.value)
	} else {
		fmt.Fprintf(conn, "%s %s\r\n", q.op, q.key)
	}
	r := bufio.NewReader(conn)
	answer := ""
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			t.Error(err)
			return hangUp
		}
		answer += text
		if q.op != "get" || text == "END\r\n" {
			return strings.TrimSuffix(answer, "\r\n")
		}
	}
}
