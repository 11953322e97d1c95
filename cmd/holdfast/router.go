package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/config"
	"holdfast/node"
	"holdfast/route"
)

const routerLong = `Router runs a router alone: memcached clients connect to it, and it sends their requests to the caches
of its pools. FILE is a configuration of Holdfast with a router section, of mcrouter (JSON) or of
twemproxy (YAML), detected from its content.

mcrouter's command line works unchanged, so "mcrouter" may be a link to this program. Options
override the file. Options that have no effect here are listed in one warning at the start.

It listens on the addresses in the file, by default on 127.0.0.1:11212; use --listen '*:11212' for
every interface. With Holdfast's own configuration, HTTP for health and metrics is on 127.0.0.1:7071 by default.
SIGTERM and SIGINT (Ctrl-C) drain in-flight requests and stop. When the file changes, or at SIGHUP,
its pools and routes are applied without dropping a request. A file with errors is refused, and the
old configuration stays in use.`

const routerExample = `  holdfast router --config holdfast.yaml
  holdfast router --config nutcracker.yml --http-listen 127.0.0.1:7071
  holdfast router -p 5000 -f mcrouter.json -a /var/spool/mcrouter
  holdfast router --config '{"pools":{"A":{"servers":["127.0.0.1:11211"]}},"route":"PoolRoute|A"}'`

func newRouterCommand() *cobra.Command {
	_, cmd := newRouterFlags()
	return cmd
}

// newRouterFlags returns the command and the values that its flags set.
func newRouterFlags() (*routerFlags, *cobra.Command) {
	f := &routerFlags{}
	cmd := &cobra.Command{
		Use:     "router --config FILE",
		Short:   "Serve a router alone, configured by a file of Holdfast, mcrouter or twemproxy",
		Long:    routerLong,
		Example: routerExample,
		Args:    cobra.NoArgs,
		Version: holdfast.Version,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	cmd.SetVersionTemplate(versionText("") + "\n")
	f.declare(cmd.Flags())
	return f, cmd
}

func (f *routerFlags) run(cmd *cobra.Command) error {
	if err := f.checkRefused(); err != nil {
		return err
	}
	r, err := f.reading(cmd.Flags())
	if err != nil {
		return err
	}
	c, source, err := r.read()
	if err != nil {
		return err
	}
	if f.validate == "exit" {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", r.name())
		return err
	}
	log := newLogger(cmd.ErrOrStderr(), c)
	if f.logPath != "" {
		file, err := os.OpenFile(f.logPath, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer file.Close()
		log = newLogger(file, c)
	}
	r.log = log
	for _, warning := range append(f.warnings(cmd.Flags(), r), r.heard...) {
		log.Warn(warning)
	}
	c.Tables.Listen = ""
	o := node.Options{Config: c, WithoutCache: true, Source: source, Log: log}
	if !f.disableReload {
		o.Read = r.read
	}
	return f.serve(cmd, o)
}

func (f *routerFlags) serve(cmd *cobra.Command, o node.Options) error {
	if err := allowConnections(routerFiles(o.Config.Router)); err != nil {
		return err
	}
	err := serve(cmd.Context(), service{
		options: o,
		ready:   func(all []*node.Node) error { return routerReady(all[0], o.Config, o.Log) },
	})
	var taken *takenError
	if errors.As(err, &taken) {
		return fail(exitFailure, "%s", taken.routerAdvice())
	}
	return err
}

func routerReady(n *node.Node, c config.Config, log *slog.Logger) error {
	warnIfOpen("router", c.Router.AuthFile, c.Router.TLS, n.RouterAddrs(), log)
	attributes := []any{"addresses", addressList(n.RouterAddrs()), "pools", poolNames(c.Router.Pools)}
	if addr := n.HTTPAddr(); addr != nil {
		attributes = append(attributes, "http", addr.String())
	}
	log.Info("routing for memcached clients", attributes...)
	return nil
}

// poolNames lists the first pools' names and how many more there are.
func poolNames(pools []route.Pool) string {
	const shown = 8
	text := ""
	for i, p := range pools {
		if i == shown {
			return fmt.Sprintf("%s and %d more", text, len(pools)-shown)
		}
		if i > 0 {
			text += " "
		}
		text += p.Name
	}
	return text
}

// routerAdvice explains which address is in use, and how to choose another.
func (e *takenError) routerAdvice() string {
	what, flag := "The router", "--listen"
	if e.Setting == "http.listen" {
		what, flag = "HTTP", "--http-listen"
	}
	return fmt.Sprintf("%s can't listen on %s: something else does, perhaps another router.\nStop that, or choose "+
		"another address:\n\n  %s",
		what, e.address, e.commandWith(flag))
}

// routerFiles returns the number of file descriptors that clients and members may need: each event
// loop has a connection to each member and, while it reopens one, a second.
func routerFiles(r *config.Router) int {
	members := 0
	for _, p := range r.Pools {
		members += 2 * len(p.Members) * max(1, p.Connections)
	}
	return r.Connections + members*cmp.Or(r.Threads, runtime.GOMAXPROCS(0))
}
