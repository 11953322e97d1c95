package main

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"holdfast/config"
	"holdfast/config/mcrouter"
	"holdfast/config/twemproxy"
	"holdfast/route"
)

type convertFlags struct {
	listen        []string
	routePrefix   string
	serverTimeout int // milliseconds
}

func newConfigConvertCommand() *cobra.Command {
	f := &convertFlags{}
	cmd := &cobra.Command{
		Use:   "convert FILE",
		Short: "Turn a configuration of mcrouter or twemproxy into one of Holdfast's router",
		Long: `Convert reads a configuration of mcrouter (JSON) or of twemproxy (YAML) and prints the router section
of a Holdfast configuration that does the same. Settings that have no effect here are reported on
standard error, one per line; a setting that isn't supported is an error.

mcrouter's file lacks the addresses to listen on and some settings of mcrouter's command line: give
them as flags.`,
		Example: "  holdfast config convert mcrouter.json --listen 127.0.0.1:5000 > holdfast.yaml\n  holdfast config " +
			"convert nutcracker.yml > holdfast.yaml\n  holdfast config check holdfast.yaml",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringSliceVar(&f.listen, "listen", nil,
		"where clients connect: `HOST:PORT`, *:PORT or unix:PATH; may be repeated; overrides twemproxy's own")
	flags.StringVarP(&f.routePrefix, "route-prefix", "R", "",
		"mcrouter's `/REGION/CLUSTER/` of keys without one (default /././)")
	flags.IntVarP(&f.serverTimeout, "server-timeout", "t", 0,
		"mcrouter's timeout for a response, in `MILLISECONDS` (default 1000)")
	return cmd
}

func (f *convertFlags) run(cmd *cobra.Command, path string) error {
	text, err := config.ReadFile(path)
	if err != nil {
		return err
	}
	warn := func(fault route.Fault) { fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", path, fault) }
	var from string
	var r *config.Router
	switch {
	case isMcrouter(text):
		from = "mcrouter"
		r, err = f.ofMcrouter(text, filepath.Dir(path), warn)
	case twemproxy.Is(text):
		from = "twemproxy"
		r, err = ofTwemproxy(text, warn)
	default:
		return fail(exitFailure, "%s: not a configuration of mcrouter, which is JSON, or of twemproxy, which is "+
			"YAML with servers in each mapping", path)
	}
	if err != nil {
		return fail(exitFailure, "%s:\n%v", path, err)
	}
	if f.listen != nil {
		r.Listen = nil
		for _, address := range f.listen {
			r.Listen = append(r.Listen, config.RouterListener{Listener: config.Listener{
				Address: address,
				Mode:    config.DefaultMode,
			}})
		}
	}
	return printConverted(cmd.OutOrStdout(), r, path, from)
}

// printConverted prints the router's section after checking it.
func printConverted(w io.Writer, r *config.Router, path, from string) error {
	section := r.Print()
	if _, err := config.Parse(section); err != nil {
		return fail(exitFailure, "%s: the converted configuration is not valid:\n%v", path, err)
	}
	_, err := fmt.Fprintf(w, "# As %s has it in %s.\n%s", from, filepath.Base(path), section)
	return err
}

// isMcrouter reports whether the text begins as JSON does, with or without comments.
func isMcrouter(text []byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n")
	begins := func(with string) bool { return bytes.HasPrefix(text, []byte(with)) }
	return slices.ContainsFunc([]string{"{", "//", "/*"}, begins)
}

func (f *convertFlags) ofMcrouter(text []byte, dir string, warn func(route.Fault)) (*config.Router, error) {
	o, err := mcrouter.Parse(text, mcrouter.ParseOptions{
		RoutePrefix: f.routePrefix, ServerTimeout: time.Duration(f.serverTimeout) * time.Millisecond,
		Import: mcrouter.Files(dir), Warn: warn,
	})
	if err != nil {
		return nil, err
	}
	return config.NewMcrouter(o), nil
}

// ofTwemproxy converts twemproxy's configuration, in which each pool has its own listener.
func ofTwemproxy(text []byte, warn func(route.Fault)) (*config.Router, error) {
	file, err := twemproxy.Parse(text, twemproxy.ParseOptions{Warn: warn})
	if err != nil {
		return nil, err
	}
	r := config.NewRouter(file.Options)
	r.Backlog = max(r.Backlog, file.Backlog)
	r.Listen = nil
	for _, l := range file.Listeners {
		listener := config.RouterListener{Listener: config.Listener{Address: l.Address, Mode: config.DefaultMode}}
		if l.Mode != 0 {
			listener.Mode = config.AccessMode(l.Mode)
		}
		if len(file.Listeners) > 1 {
			listener.Route = &route.Route{Kind: route.KindPool, Pool: l.Pool}
		}
		r.Listen = append(r.Listen, listener)
	}
	return r, nil
}
