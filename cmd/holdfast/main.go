// Command holdfast is the stateful tier behind a stateless web application in one program: a cache
// and a router for memcached clients, and tables for DynamoDB clients. Run it without arguments for
// the list of its commands.
//
// Invoked as memcached, for example through a symbolic link, it runs "holdfast cache" with
// memcached's command line; as memcached-debug, it adds the debugging commands that memcached's
// test suite needs; as mcrouter, it runs "holdfast router" with mcrouter's command line.
package main

import (
	"context"
	"os"
)

func main() { os.Exit(run(context.Background(), os.Args, os.Stdout, os.Stderr)) }
