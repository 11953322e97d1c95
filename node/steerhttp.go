package node

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"holdfast"
)

// The paths where a node has the one that leads do what an operator asks for.
const (
	transferPath = "/cluster/transfer"
	drainPath    = "/cluster/drain"
)

// handleSteering serves what changes which node leads. Browsers send no POST of another site's page
// here.
func (n *Node) handleSteering(mux *http.ServeMux) {
	within := http.NewCrossOriginProtection()
	mux.Handle("POST "+transferPath, within.Handler(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			n.serveSteering(w, r, new(Transfer), func(id holdfast.NodeID) steerForm { return steerForm{Transfer: id} })
		})))
	mux.Handle("POST "+drainPath, within.Handler(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			undo := r.URL.Query().Get("undo") != ""
			n.serveSteering(w, r, new(DrainStatus), func(id holdfast.NodeID) steerForm {
				return steerForm{Drain: id, Undo: undo}
			})
		})))
}

func (n *Node) serveSteering(
	w http.ResponseWriter, r *http.Request, is any, form func(holdfast.NodeID) steerForm,
) {
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
	err = n.tables.member.steering.ask(ctx, form(holdfast.NodeID(id)), is)
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
