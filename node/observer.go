package node

import "holdfast/server"

// observed lets the store tell the server's Watch of what happens to items.
type observed struct{ *server.Watch }

// Wants reports whether anybody watches items.
func (o observed) Wants() bool {
	return o.Watch.Wants(server.WatchFetchers | server.WatchMutations | server.WatchEvictions | server.WatchDeletions)
}
