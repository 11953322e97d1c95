// Package mcrouter reads the configuration of mcrouter (github.com/facebook/mcrouter) as options of
// a router: JSON with comments and macros, pools, named handles, and routes made of route handles.
//
//	o, err := mcrouter.Parse(text, mcrouter.ParseOptions{Import: mcrouter.Files("/etc/mcrouter")})
//
// The result states mcrouter's defaults: pools are hashed by ch3, a get that no server could answer
// is an error, a failover with exptime keeps items for 60 s, and so on. A route handle, an option
// of one, or a macro without a counterpart is an error, with its path in the file:
// "route.children[1].type: CarbonLookasideRoute isn't supported". Options that have no effect here,
// such as the QoS class of packets, are reported to ParseOptions.Warn.
//
// Errors are route.Faults. Nothing here is shared between calls, and files are read only by
// ParseOptions.Import.
//
// Sources: mcrouter's wiki (Config Files, List of Route Handles, JSONM) and its
// ConfigPreprocessor.cpp, PoolFactory.cpp, McRouteHandleProvider-inl.h and routes/.
package mcrouter
