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
	removePath   = "/cluster/remove" // each request begins the removal, or says how far it is
)

// handleSteering serves what changes which node leads, and which there are. Browsers send no POST of
// another site's page here.
func (n *Node) handleSteering(mux *http.ServeMux) {
	within := http.NewCrossOriginProtection()
	for path, ask := range map[string]asking{
		transferPath: func(r *http.Request, s *steering, id holdfast.NodeID) (any, error) {
			is := new(Transfer)
			return is, s.ask(r.Context(), steerForm{Transfer: id}, is)
		},
		drainPath: func(r *http.Request, s *steering, id holdfast.NodeID) (any, error) {
			is := new(DrainStatus)
			return is, s.ask(r.Context(), steerForm{Drain: id, Undo: r.URL.Query().Get("undo") != ""}, is)
		},
		removePath: func(r *http.Request, s *steering, id holdfast.NodeID) (any, error) {
			return s.remove(r.Context(), id)
		},
	} {
		mux.Handle("POST "+path, within.Handler(http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) { n.serveSteering(w, r, ask) })))
	}
}

// An asking has the node that leads do something about a node, and returns what that says.
type asking func(r *http.Request, s *steering, id holdfast.NodeID) (any, error)

func (n *Node) serveSteering(w http.ResponseWriter, r *http.Request, ask asking) {
	if n.tables == nil || n.tables.member == nil {
		http.Error(w, "this node is of no cluster: there is no other node", http.StatusNotFound)
		return
	}
	id, err := strconv.ParseUint(r.URL.Query().Get("node"), 10, 64)
	if err != nil || id == 0 {
		http.Error(w, "node must be the number of a node", http.StatusBadRequest)
		return
	}
	ctx, end := context.WithTimeout(r.Context(), steerCall)
	defer end()
	is, err := ask(r.WithContext(ctx), &n.tables.member.steering, holdfast.NodeID(id))
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
