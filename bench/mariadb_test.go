package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast/internal/peer"
)

// What is put at the leader of a real MariaDB is read there and at its followers, each commit waited
// for one of them, and followers take no puts of their own.
func TestMariaItself(t *testing.T) {
	path := peer.Find(t, "mariadbd")
	peer.Find(t, "mariadb-install-db")
	s, err := mariaSetup(path, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.start(t.Context())
	if r != nil {
		defer r.stop()
	}
	if err != nil {
		t.Fatal(err)
	}
	const items = 70
	if err := r.fill(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	for node, address := range r.addresses {
		c, err := dialMaria(address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if err := c.get(items-1, eventualRead); err != nil {
			t.Errorf("server %d: %v; want the last item", node+1, err)
		}
		if err := c.get(items, eventualRead); !errors.Is(err, errMissing) {
			t.Errorf("server %d: got %v; want %v", node+1, err, errMissing)
		}
		if err := c.put(1, items); (err == nil) != (node == 0) {
			t.Errorf("server %d: put: got %v; want that the leader alone takes it", node+1, err)
		}
	}
	for _, test := range []struct{ name, want string }{
		{"Rpl_semi_sync_master_no_tx", "0"}, // commits that waited for nobody
		{"Rpl_semi_sync_master_status", "ON"}, {"Rpl_semi_sync_master_clients", "2"},
	} {
		if got, err := mariaStatus(t.Context(), r.addresses[0], test.name); got != test.want || err != nil {
			t.Errorf("%s: got %s, %v; want %s", test.name, got, err, test.want)
		}
	}
}

// Each server syncs what it commits, and the leader alone waits for others, without an end.
func TestMariaFlags(t *testing.T) {
	for node, leads := range []string{"ON", "OFF", "OFF"} {
		got := mariaFlags(node, "/d", "1234")
		for _, want := range []string{"--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--port=1234",
			"--datadir=/d/data", "--bind-address=127.0.0.1", fmt.Sprintf("--server-id=%d", node+1),
			"--rpl-semi-sync-master-enabled=" + leads, "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
			"--rpl-semi-sync-master-timeout=3600000"} {
			if !slices.Contains(got, want) {
				t.Errorf("server %d: got %q; want %s", node+1, got, want)
			}
		}
	}
}

// The clients of a policy use a table of their own, which acknowledges by that policy.
func TestTablesOfPolicies(t *testing.T) {
	var tables []string
	for _, s := range byPolicy(clusterSetup{}) {
		address, asked := recordingTables(t)
		c, err := s.dial(address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		for _, err := range []error{c.prepare(), c.put(1, 2), c.get(1, consistentRead)} {
			if err != nil {
				t.Error(err)
			}
		}
		policy := strings.TrimPrefix(s.name, "holdfast, ")
		table := c.(*holdfastClient).table
		tables = append(tables, table)
		got := asked()
		tag := fmt.Sprintf(`{"Key":"holdfast:acknowledge","Value":%q}`, policy)
		if len(got) != 4 || !strings.Contains(got[0], tag) {
			t.Errorf("%s: got %q; want a table with that tag", policy, got)
		}
		for _, body := range got {
			if !strings.Contains(body, fmt.Sprintf(`"TableName":%q`, table)) {
				t.Errorf("%s: got %s; want table %s", policy, body, table)
			}
		}
	}
	if slices.Sort(tables); len(slices.Compact(tables)) != 3 {
		t.Errorf("got tables %q; want three", tables)
	}
}

// recordingTables serves tables that take everything. asked returns the bodies of the requests.
func recordingTables(t *testing.T) (address string, asked func() []string) {
	var mu sync.Mutex
	var bodies []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, string(body))
		io.WriteString(w, `{"Table":{"TableStatus":"ACTIVE"},"Item":{}}`)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(bodies)
	}
}
