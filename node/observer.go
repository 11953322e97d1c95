package node

import "holdfast/server"

// observed lets the store report what happens to items to the server's Watch.
type observed struct{ *server.Watch }

// Wants reports whether any client watches events of items.
func (o observed) Wants() bool {
	return o.Watch.Wants(server.WatchFetchers | server.WatchMutations | server.WatchEvictions | server.WatchDeletions)
}
