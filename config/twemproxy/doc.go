// Package twemproxy reads the configuration of twemproxy (github.com/twitter/twemproxy),
// nutcracker.yml, as pools of a router, each with the address that its clients connect to.
//
// Keys stay on the servers where they are: the hash, its distribution, and the names that it places
// are twemproxy's, its defaults spelled out. A pool for Redis is an error, and so is an unknown
// setting; settings that merely have no meaning here are reported to ParseOptions.Warn.
//
// Errors are route.Faults. Nothing is shared between calls, and no file is read.
//
// Sources: twemproxy's README.md, src/nc_conf.c and src/nc_conf.h, 0.5.0.
package twemproxy
