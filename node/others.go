package node

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"holdfast"
	"holdfast/rpc"
)

// othersTime is how long the other nodes are waited for when they are asked how they see the cluster.
const othersTime = 2 * time.Second

// An OtherStatus is how another node sees the cluster.
type OtherStatus struct {
	Node   holdfast.NodeID `json:"node"`
	Status *Status         `json:"status"`          // null: it hasn't answered
	Error  string          `json:"error,omitempty"` // why it hasn't
}

// others asks all other nodes how they see the cluster, at the same time, until ctx ends.
func (m *member) others(ctx context.Context) (all []OtherStatus) {
	for _, id := range m.roster.members() {
		if id != m.is.Node {
			all = append(all, OtherStatus{Node: id})
		}
	}
	var asked sync.WaitGroup
	for i := range all {
		asked.Go(func() {
			o := &all[i]
			text, err := m.transport.Call(ctx, rpc.Message{To: o.Node, Kind: kindStatus})
			is := new(Status)
			if err == nil {
				err = json.Unmarshal(text, is)
			}
			if err != nil {
				o.Error = err.Error()
				return
			}
			o.Status = is
		})
	}
	asked.Wait()
	return all
}
