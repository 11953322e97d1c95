package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/node"
	"holdfast/route"
)

const routeLong = `Route shows where a router with this configuration sends a request: the routes, pools and members on
its path, and why. It reads FILE, of any kind that "holdfast router" accepts, and connects to no
server; it assumes that all members are up. To ask a running router, get the key
__mcrouter__.route_handles(get,KEY).`

const routeExample = `  holdfast route user:42 --config holdfast.yaml
  holdfast route user:42 --op delete --config mcrouter.json
  holdfast route user:42 --config nutcracker.yml --listen 127.0.0.1:22121`

func newRouteCommand() *cobra.Command {
	f := &routerFlags{}
	query := node.RouteQuery{}
	cmd := &cobra.Command{
		Use:     "route KEY --config FILE",
		Short:   "Show where a router sends a key",
		Long:    routeLong,
		Example: routeExample,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query.Key = args[0]
			return f.explain(cmd, query)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.config, "config", "", "configuration: `FILE`, file:FILE, or mcrouter's JSON itself")
	flags.StringVar(&query.Op, "op", "get", "`COMMAND`: get, set, delete, incr, mg, …")
	flags.StringVar(&query.Listen, "listen", "",
		"the `ADDRESS` that the request arrives at, if addresses have their own routes")
	f.declareReading(flags)
	return cmd
}

func (f *routerFlags) explain(cmd *cobra.Command, query node.RouteQuery) error {
	r, err := f.reading(cmd.Flags())
	if err != nil {
		return err
	}
	c, _, err := r.read()
	if err != nil {
		return err
	}
	hops, err := node.Explain(node.Options{Config: c, Log: slog.New(slog.DiscardHandler)}, query)
	if err != nil {
		return err
	}
	printHops(cmd.OutOrStdout(), hops, "")
	return nil
}

// printHops prints one hop per line, each indented below the hop that it comes from.
func printHops(w io.Writer, hops []route.Hop, indent string) {
	for _, h := range hops {
		words := []string{h.Route}
		for _, word := range []string{h.Name, h.Address} {
			if word != "" && word != words[len(words)-1] {
				words = append(words, word)
			}
		}
		why := h.Why
		if h.Later {
			why = strings.TrimSuffix("later, "+why, ", ")
		}
		if why != "" {
			why = " (" + why + ")"
		}
		fmt.Fprintf(w, "%s%s\n", indent, route.Printable(strings.Join(words, " ")+why))
		printHops(w, h.Next, indent+"  ")
	}
}
