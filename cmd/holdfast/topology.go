package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"holdfast/tool/topology"
)

const topologyLong = `Topology finds out from outside how a memcached cluster behind a router stores its items:
sharded, replicated or mixed. It sets test keys through the router (twemproxy, mcrouter,
Holdfast's or any other that speaks memcached's text protocol), looks for each on every
member, and reports where reads and deletes through the router go.

All test keys contain "hf-topology-" and a random part. They expire, and are deleted at
the end, also after Ctrl-C. Nothing else on the members is read or changed.

Exit code: 0 sharded, replicated or mixed; 2 unclear; 1 unreachable or an error.`

const topologyExample = `  holdfast topology --router 10.0.0.9:22121 --members 10.0.0.1:11211,10.0.0.2:11211
  holdfast topology --router localhost:5000 --members a,b,c --prefix user: --prefix session: --json`

// exitUnclear is the exit code of topology when its observations have several explanations.
const exitUnclear = 2

func newTopologyCommand() *cobra.Command {
	var o topology.Options
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "topology",
		Short:   "Find out from outside whether a memcached cluster is sharded or replicated",
		Long:    topologyLong,
		Example: topologyExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends the program at once
			report, err := topology.Run(ctx, o)
			if err != nil && report.Router == "" {
				return err // of the options
			}
			show := topology.Print
			if asJSON {
				show = topology.PrintJSON
			}
			if err := show(cmd.OutOrStdout(), report); err != nil {
				return err
			}
			return topologyExit(report.Verdict, err)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.Router, "router", "", "the router: host:port (default port: 11211), or a Unix socket")
	flags.StringSliceVar(&o.Members, "members", nil, "addresses of the members behind it, separated by commas")
	flags.IntVar(&o.Keys, "keys", 0, "number of keys to write (default: 200, fewer with more than ten members)")
	flags.StringSliceVar(&o.Prefixes, "prefix", nil, "prefix of the keys; several are examined one by one (default: none)")
	flags.DurationVar(&o.Timeout, "timeout", 0, "timeout for connecting and for each batch of responses (default: 2s)")
	flags.DurationVar(&o.Settle, "settle", 0, "how long to look for late copies (default: 1s)")
	flags.BoolVar(&asJSON, "json", false, "print the report as JSON")
	for _, name := range []string{"router", "members"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is declared above
		}
	}
	return cmd
}

// topologyExit returns the exit code for a report that has been printed. The reason of an early end
// is in the summary, and on standard error for programs that read the JSON.
func topologyExit(v topology.Verdict, err error) error {
	switch {
	case err != nil:
		return err
	case v == topology.Unclear:
		return &exitError{code: exitUnclear}
	case v == topology.Unreachable:
		return &exitError{code: exitFailure}
	}
	return nil
}
