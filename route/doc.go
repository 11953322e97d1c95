// Package route holds the options of a router: pools, routes and clusters, their defaults and
// checks. It also holds the explanation of where a request goes, as text (Hop).
//
// It opens no sockets, so that packages which read configurations need no other part of the router.
// Options are plain values. Their maker calls SetDefaults and then Check; a router accepts only
// options in which Check finds no Faults. The names of kinds and fields are those of the file.
//
// The kinds of routes follow mcrouter's route handles (its wiki, "List of Route Handles").
package route
