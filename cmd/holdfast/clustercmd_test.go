package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/node"
)

// A check of three nodes finds them equal, through any of them, as often as it is run.
func TestClusterCheck(t *testing.T) {
	p, address := startNodes(t, filepath.Join(t.TempDir(), "data"))
	awaitLeader(t, address)
	check := func(more ...string) string {
		t.Helper()
		for began := time.Now(); ; {
			code, out, errs := command(append([]string{"cluster", "check", "--http", address}, more...)...)
			if code == 0 {
				return out
			}
			if code != 1 || time.Since(began) > time.Minute { // 1: a node wasn't heard for a while
				t.Fatalf("got %d, %s, %s; want all replicas equal", code, out, errs)
			}
		}
	}
	for range 2 {
		text := check()
		for _, want := range []string{"equal       shard 1 as of transaction 1/", ": the same at nodes 1, 2, 3\n",
			" equal\n", " shards, compared by node "} {
			if !strings.Contains(text, want) {
				t.Errorf("got\n%s\nwant %q in it", text, want)
			}
		}
	}
	var round node.Round
	text := check("--json")
	if err := json.Unmarshal([]byte(text), &round); err != nil || !round.Done || len(round.Comparisons) == 0 ||
		len(round.Comparisons[0].Replicas) != 3 || round.Comparisons[0].Replicas[2].Sum == "" {
		t.Errorf("got %s, %v; want what was found", text, err)
	}
	p.signal(syscall.SIGTERM)
	p.exits(0)
}

// What was found decides the exit code; a round goes on while the node doesn't answer for a moment.
func TestClusterCheckCodes(t *testing.T) {
	replica := func(id int, more string) string { return fmt.Sprintf(`{"node":%d,"checksum":"aa"%s}`, id, more) }
	comparison := func(result string, more ...string) string {
		return fmt.Sprintf(`{"name":"shard 3 of table t","transaction":"3/4/5","result":%q,"replicas":[%s]}`, result,
			strings.Join(more, ","))
	}
	for _, test := range []struct {
		name        string
		comparisons []string
		code        int
		want        string
	}{
		{"equal", []string{comparison("equal", replica(1, ""), replica(2, ""))}, 0,
			"equal       shard 3 of table t as of transaction 3/4/5: the same at nodes 1, 2\n" +
				"1 shards, compared by node 2: 1 equal\n"},
		{"incomplete", []string{comparison("equal", replica(1, "")),
			comparison("incomplete", replica(1, ""), `{"node":2,"missing":"no connection"}`)}, 1,
			"equal       shard 3 of table t as of transaction 3/4/5: the same at nodes 1\n" +
				"incomplete  shard 3 of table t as of transaction 3/4/5: the same at nodes 1; " +
				"not compared: node 2: no connection\n" +
				"2 shards, compared by node 2: 1 equal, 1 incomplete\n"},
		{"differs", []string{comparison("differs", replica(1, ""), replica(2, ""),
			replica(3, `,"odd":true,"stopped":true`))},
			2, "differs     shard 3 of table t as of transaction 3/4/5: node 3 differs from a majority, nodes 1, 2; " +
				"stopped: node 3\n1 shards, compared by node 2: 1 differs\n"},
		{"undecided", []string{comparison("undecided", replica(1, ""), replica(2, "")), comparison("incomplete")}, 2,
			"1 incomplete, 1 undecided\n"},
		{"nothing", nil, 0, "no shard has more than one replica\n"},
	} {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch n := asked.Add(1); {
			case (n == 1) != (r.Method == http.MethodPost), n > 1 && r.URL.RawQuery != "round=9":
				t.Errorf("%s: request %d: got %s %s", test.name, n, r.Method, r.URL)
			case n == 2:
				http.Error(w, "no node is known to lead", http.StatusServiceUnavailable)
			default:
				fmt.Fprintf(w, `{"round":9,"leader":2,"shards":%d,"done":%t,"comparisons":[%s]}`,
					len(test.comparisons), n > 2,
					strings.Join(test.comparisons[:min(int(n)-1, len(test.comparisons))], ","))
			}
		}))
		code, out, errs := command("cluster", "check", "--http", strings.TrimPrefix(server.URL, "http://"))
		server.Close()
		if code != test.code || !strings.HasSuffix(out, test.want) || errs != "" {
			t.Errorf("%s: got %d, %q, %q; want %d, %q", test.name, code, out, errs, test.code, test.want)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.Error(w, "begin again", http.StatusNotFound)
			return
		}
		fmt.Fprint(w, `{"round":9,"shards":1,"comparisons":[]}`)
	}))
	defer server.Close()
	if code, out, errs := command("cluster", "check", "--http", strings.TrimPrefix(server.URL, "http://")); code != 1 ||
		!strings.Contains(errs, "begin again") {
		t.Errorf("a round that is forgotten: got %d, %q, %q; want 1, and why", code, out, errs)
	}
}
