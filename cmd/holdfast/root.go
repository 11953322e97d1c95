package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"holdfast"
)

const rootLong = `Holdfast keeps the state of a web application: caches for memcached clients, the router
before them, and tables for clients of Amazon DynamoDB, in one program without dependencies.

Start with "holdfast up": it needs no configuration and shows commands to try.`

// run runs the command line args and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	stdout, stderr = &printable{w: stdout}, &printable{w: stderr}
	root := newRootCommand(cacheName(args))
	root.SetArgs(commandArgs(args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if exit.text != "" {
			fmt.Fprintln(stderr, exit.text)
		}
		return exit.code
	}
	fmt.Fprintf(stderr, "holdfast: %v\n", err)
	return exitFailure
}

// commandArgs returns args without the program's name; a name such as memcached is replaced by the
// command that it stands for.
func commandArgs(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	if len(args) > 1 && args[1] == "router" {
		args = append([]string{args[0]}, joinVerbosity(args[1:])...)
	}
	switch filepath.Base(args[0]) {
	case "memcached":
		return append([]string{"cache"}, args[1:]...)
	case "mcrouter":
		return append([]string{"router"}, joinVerbosity(args[1:])...)
	case "memcached-debug":
		return append([]string{"cache", "--debug"}, args[1:]...)
	}
	return args[1:]
}

func newRootCommand(cacheName string) *cobra.Command {
	root := &cobra.Command{
		Use:           "holdfast",
		Short:         "The stateful tier behind a stateless web application",
		Long:          rootLong,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       holdfast.Version,
	}
	root.SetVersionTemplate(versionText("") + "\n")
	root.AddCommand(newUpCommand(), newNodeCommand(), newCacheCommand(cacheName), newRouterCommand(), newRouteCommand(),
		newReplayCommand(), newTopologyCommand(), newTableCommand(), newStatusCommand(), newClusterCommand(),
		newConfigCommand(), newVersionCommand())
	return root
}
