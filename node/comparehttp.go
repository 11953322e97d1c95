package node

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"holdfast"
)

// ComparePath is where a node has the replicas of all shards compared.
const comparePath = "/compare"

// handleCompare serves comparisons, which any node has the leading one make: POST begins a round, or
// joins one that is under way, and GET says how far it is. Both respond with a Round. Browsers send no
// POST of another site's page here.
func (n *Node) handleCompare(mux *http.ServeMux) {
	within := http.NewCrossOriginProtection()
	mux.Handle("POST "+comparePath, within.Handler(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { n.serveRound(w, r, 0) })))
	mux.HandleFunc("GET "+comparePath, func(w http.ResponseWriter, r *http.Request) {
		number, err := strconv.ParseUint(r.URL.Query().Get("round"), 10, 64)
		if err != nil || number == 0 {
			http.Error(w, "round must be the number of a comparison that was begun by POST", http.StatusBadRequest)
			return
		}
		n.serveRound(w, r, number)
	})
}

func (n *Node) serveRound(w http.ResponseWriter, r *http.Request, number uint64) {
	if n.tables == nil || n.tables.member == nil {
		http.Error(w, "this node is of no cluster: its tables have one replica, and there is nothing to compare",
			http.StatusNotFound)
		return
	}
	ctx, end := context.WithTimeout(r.Context(), compareCall)
	defer end()
	round, err := n.tables.member.compared.ask(ctx, compareForm{number})
	switch {
	case err == nil:
		writeJSON(w, round)
	case errors.Is(err, holdfast.NotFound):
		http.Error(w, err.Error(), http.StatusNotFound)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}
