// Package route is what a router is told to do: pools, routes and clusters, their defaults, what
// keeps them from working, and the way of a request as text.
//
// It opens no sockets, so that readers of configurations need nothing else of the router. Options
// are plain values: whoever makes them calls SetDefaults and then Check, and a router only takes
// options that Check finds no Faults in. Names of kinds and fields are those of the file.
//
// The kinds of routes follow mcrouter's route handles (its wiki, "List of Route Handles").
package route
