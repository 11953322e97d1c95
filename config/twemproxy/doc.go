// Package twemproxy reads the configuration of twemproxy (github.com/twitter/twemproxy),
// nutcracker.yml, as pools of a router, each with the address that its clients connect to.
//
// Keys stay on their servers: the hash, its distribution and the names that it places are
// twemproxy's, and the result states its defaults. A pool for Redis is an error, and so is an
// unknown setting. Settings that have no effect here are reported to ParseOptions.Warn.
//
// Errors are route.Faults. Nothing is shared between calls, and no file is read.
//
// Sources: twemproxy's README.md, src/nc_conf.c and src/nc_conf.h, 0.5.0.
package twemproxy
