package node

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"holdfast"
)

// The paths where a node has the one that leads do what an operator asks for.
const transferPath = "/cluster/transfer"

// handleSteering serves what changes which node leads. Browsers send no POST of another site's page
// here.
func (n *Node) handleSteering(mux *http.ServeMux) {
	within := http.NewCrossOriginProtection()
	mux.Handle("POST "+transferPath, within.Handler(http.HandlerFunc(n.serveTransfer)))
}

func (n *Node) serveTransfer(w http.ResponseWriter, r *http.Request) {
	if n.tables == nil || n.tables.member == nil {
		http.Error(w, "this node is of no cluster: there is no other that could lead", http.StatusNotFound)
		return
	}
	id, err := strconv.ParseUint(r.URL.Query().Get("node"), 10, 64)
	if err != nil || id == 0 {
		http.Error(w, "node must be the number of a node", http.StatusBadRequest)
		return
	}
	ctx, end := context.WithTimeout(r.Context(), steerCall)
	defer end()
	is, err := n.tables.member.steering.ask(ctx, steerForm{Transfer: holdfast.NodeID(id)})
	switch {
	case err == nil:
		writeJSON(w, is)
	case errors.Is(err, holdfast.NotFound):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, holdfast.Conflict):
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}
