// Package mcrouter reads the configuration of mcrouter (github.com/facebook/mcrouter) as options of
// a router: JSON with comments and macros, pools, named handles, and routes made of route handles.
//
//	o, err := mcrouter.Parse(text, mcrouter.ParseOptions{Import: mcrouter.Files("/etc/mcrouter")})
//
// What mcrouter does by default is spelled out in the result: pools are hashed by ch3, a get that
// no server could answer is a miss, a failover with exptime keeps items for 60 s, and so on. A
// route handle, an option of one, or a macro that has no counterpart is an error, with its path in
// the file: "route.children[1].type: CarbonLookasideRoute isn't supported". Options that merely
// have no meaning here, such as the class of packets, are reported to ParseOptions.Warn.
//
// Errors are route.Faults. Nothing here is shared between calls, and files are read only by
// ParseOptions.Import.
//
// Sources: mcrouter's wiki (Config Files, List of Route Handles, JSONM) and its
// ConfigPreprocessor.cpp, PoolFactory.cpp, McRouteHandleProvider-inl.h and routes/.
package mcrouter
