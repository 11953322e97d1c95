// Command holdfast is the stateful tier behind a stateless web application, in one program; today
// its memcached-compatible cache. Run it without arguments for its commands.
//
// Invoked by the name memcached, as through a symbolic link, it is "holdfast cache" and takes
// memcached's command line; by the name memcached-debug, with the debugging commands that
// memcached's own test suite wants.
package main

import (
	"context"
	"os"
)

func main() { os.Exit(run(context.Background(), os.Args, os.Stdout, os.Stderr)) }
