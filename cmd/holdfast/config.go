package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/config"
	"holdfast/config/twemproxy"
	"holdfast/route"
)

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print a commented configuration file with every default",
		Long: `Config prints a configuration file with every setting, its default and what it does. Start your
own file from it.`,
		Example: "  holdfast config > holdfast.yaml\n  holdfast config check holdfast.yaml\n  holdfast up --config " +
			"holdfast.yaml",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(config.Example)
			return err
		},
	}
	cmd.AddCommand(newConfigCheckCommand(), newConfigConvertCommand())
	return cmd
}

func newConfigCheckCommand() *cobra.Command {
	var forRouter bool
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file",
		Long: `Check reads a configuration file and prints every error in it, one per line, with the path of the
setting. It exits with 1 if there are errors. The files that the configuration names aren't opened.

By default, FILE is checked for "holdfast up". With --router, it is checked for "holdfast router":
the router section is required, and FILE may also be a configuration of mcrouter or twemproxy.`,
		Example: "  holdfast config check holdfast.yaml\n  holdfast config check --router mcrouter.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			note, err := checkConfig(args[0], forRouter)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok%s\n", args[0], note)
			return err
		},
	}
	cmd.Flags().BoolVar(&forRouter, "router", false, `check FILE for "holdfast router"`)
	return cmd
}

// checkConfig checks the file at path. The note is printed after "ok".
func checkConfig(path string, forRouter bool) (note string, err error) {
	if forRouter {
		f, cmd := newRouterFlags()
		f.config = path
		r, err := f.reading(cmd.Flags())
		if err == nil {
			_, _, err = r.read()
		}
		return "", err
	}
	text, err := config.ReadFile(path)
	if err != nil {
		return "", err
	}
	if isMcrouter(text) || twemproxy.Is(text) {
		return "", fail(exitFailure, "%s is a configuration of mcrouter or twemproxy; check it with: holdfast config check "+
			"--router %s", path, shellWord(path))
	}
	c, err := config.Parse(text)
	if err != nil {
		return "", refused(path, err)
	}
	switch {
	case c.Cluster != nil && c.Cluster.Meets():
		note = ` for "holdfast node"; "holdfast up" refuses it, as its node forms its cluster with others`
	case c.Router == nil:
		note = ` for "holdfast up"; "holdfast router" refuses it, as it has no router section`
	}
	return note, err
}

// refused formats the faults of a configuration, one per line below its name. Other errors are
// returned unchanged.
func refused(name string, err error) error {
	var faults route.Faults
	if errors.As(err, &faults) {
		return fail(exitFailure, "%s:\n%v", name, err)
	}
	return err
}
