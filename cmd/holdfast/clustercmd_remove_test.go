package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"holdfast"
	"holdfast/node"
)

// The command asks until the node is removed, prints each step once, and goes on while nobody leads.
func TestClusterRemove(t *testing.T) {
	steps := []*node.Removal{
		{Node: 2, Asked: 1, Leads: true, Votes: 3, Of: 3},
		nil, // another node is about to lead
		{Node: 2, Asked: 1, Votes: 2, Of: 3, Spares: []holdfast.NodeID{4}},
		{Node: 2, Asked: 1, Votes: 2, Of: 3, Spares: []holdfast.NodeID{4}},
		{Node: 2, Asked: 1, Of: 3},
		{Node: 2, Asked: 1, Of: 3, Done: true},
	}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.String() != "/cluster/remove?node=2" {
			http.Error(w, "nothing was changed: "+r.Method+" "+r.URL.String(), http.StatusConflict)
			return
		}
		is := steps[asked]
		if asked++; is == nil {
			http.Error(w, "no node leads", http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(is)
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	const want = "node 2 hands over its leadership\n" +
		"node 2 votes in 2 of 3 groups; node 4 is to vote in its place once it has caught up\n" +
		"node 2 votes nowhere any more, and is about to be removed\n" +
		"node 2 is removed: it is none of the cluster any more\n"
	if code, got, failure := command("cluster", "remove", "2", "--http", address); code != 0 || got != want {
		t.Errorf("got %d, %q, %q; want %q", code, got, failure, want)
	}
	if code, _, got := command("cluster", "remove", "3", "--http", address); code != 1 ||
		!strings.Contains(got, "nothing was changed") {
		t.Errorf("refused: got %d, %q; want that nothing was changed", code, got)
	}
	if code, _, got := command("cluster", "remove", "x"); code != 1 || !strings.Contains(got, "isn't the number") {
		t.Errorf("no number: got %d, %q", code, got)
	}
	if _, err := removeNode(context.Background(), "127.0.0.1:1", 2, nil); err == nil {
		t.Error("got no error of a node that isn't there")
	}
}
