package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"holdfast/config"
	"holdfast/node"
)

type upFlags struct {
	file         string
	cacheListen  []string
	tablesListen string
	data         string
	httpListen   string
	memory       config.Bytes

	nodes         int
	clusterListen string
	replace       string // of "node": the node in whose place this one joins
}

// clusterListen is where the first of several nodes listens for the others.
const clusterListen = "127.0.0.1:7100"

func newUpCommand() *cobra.Command {
	_, cmd := newUpFlags()
	return cmd
}

// newUpFlags returns the command and the values that its flags set.
func newUpFlags() (*upFlags, *cobra.Command) {
	f := &upFlags{}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Serve: the cache for memcached clients, tables for AWS SDKs, a router if configured, and HTTP to watch them",
		Long: `Up runs all of Holdfast in one process: a cache for memcached clients, on 127.0.0.1:11211; tables
for Amazon DynamoDB clients, on 127.0.0.1:8000, stored in the directory holdfast-data; and HTTP with
health, metrics and the what-if curve, on 127.0.0.1:7070.

It needs no configuration. To change the defaults, pass a file by --config; "holdfast config" prints
one to start from. A router section adds a router. The other flags override the file.

With --nodes 3 it runs three nodes of a cluster in this process, and every table is on all of them:
clients of DynamoDB's API may use each, on the ports 8000 to 8002. A write is acknowledged once two
nodes have it on disk. Their directories are 1, 2 and 3 below that of --data, their HTTP is on the
ports 7070 to 7072, and they talk to each other on the ports 7100 to 7102. Each has a third of the
tables' memory, at least 256MiB. The cache and the router are the first node's.

SIGTERM and SIGINT (Ctrl-C) drain in-flight requests and stop; SIGHUP reloads users, keys and
certificates. The router's pools and routes are reloaded when the file changes, and at SIGHUP.`,
		Example: "  holdfast up\n  holdfast up --memory 1GiB --data /var/lib/holdfast\n" +
			"  holdfast up --config holdfast.yaml\n  holdfast up --nodes 3 --data cluster-data",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.file, "config", "", "configuration `FILE`")
	flags.StringSliceVar(&f.cacheListen, "cache-listen", nil,
		"where memcached clients connect: `HOST:PORT`, *:PORT or unix:PATH; may be repeated")
	flags.StringVar(&f.tablesListen, "tables-listen", "",
		"where clients of DynamoDB's API connect: `HOST:PORT` or *:PORT; empty for no tables")
	flags.StringVar(&f.data, "data", "", "the `DIRECTORY` of the tables; created if missing")
	flags.StringVar(&f.httpListen, "http-listen", "", "where HTTP listens: `HOST:PORT` or *:PORT; empty for none")
	flags.Var(&f.memory, "memory", "memory for the cache, as in 64MiB or 1GiB")
	flags.Lookup("memory").DefValue = "" // the file's, or 64MiB
	flags.IntVar(&f.nodes, "nodes", 0, "run a cluster of `N` nodes in this process: 1, 3 or 5")
	flags.StringVar(&f.clusterListen, "cluster-listen", clusterListen,
		"where the first of these nodes listens for the others: `HOST:PORT`, on loopback")
	return f, cmd
}

// config returns the file's configuration overridden by the flags.
func (f *upFlags) config(cmd *cobra.Command) (c config.Config, source node.Source, err error) {
	c = config.Default()
	if f.file != "" {
		source.Files = []string{f.file}
		if source.Text, err = config.ReadFile(f.file); err != nil {
			return c, source, err
		}
		if c, err = config.Parse(source.Text); err != nil {
			return c, source, refused(f.file, err)
		}
	}
	if cmd.Flags().Changed("cache-listen") {
		c.Cache.Listen = nil
		for _, address := range f.cacheListen {
			c.Cache.Listen = append(c.Cache.Listen, config.Listener{Address: address, Mode: config.DefaultMode})
		}
	}
	if cmd.Flags().Changed("tables-listen") {
		c.Tables.Listen = f.tablesListen
	}
	if cmd.Flags().Changed("data") {
		c.Tables.Data = f.data
	}
	if cmd.Flags().Changed("http-listen") {
		c.HTTP.Listen = f.httpListen
	}
	if cmd.Flags().Changed("memory") {
		c.Cache.Memory = f.memory
	}
	return c, source, c.Check()
}

// cluster returns the configurations of the nodes of --nodes; none without that.
func (f *upFlags) cluster(cmd *cobra.Command, c config.Config) ([]config.Config, error) {
	switch flags := cmd.Flags(); {
	case !flags.Changed("nodes") && flags.Changed("cluster-listen"):
		return nil, fail(exitFailure, "--cluster-listen is for the nodes of --nodes; "+
			"without that, set cluster.listen in a file")
	case !flags.Changed("nodes"):
		return nil, nil
	case !slices.Contains(config.ClusterSizes, f.nodes):
		return nil, fail(exitFailure, "--nodes %d: a cluster has 1, 3 or 5 nodes", f.nodes)
	case c.Cluster != nil:
		return nil, fail(exitFailure, "--nodes makes a cluster of its own: %s can't have a section \"cluster\" then",
			f.file)
	}
	return c.Nodes(f.nodes, f.clusterListen)
}

func (f *upFlags) run(cmd *cobra.Command) error {
	c, source, err := f.config(cmd)
	if err != nil {
		return err
	}
	nodes, err := f.cluster(cmd, c)
	if err != nil {
		return err
	}
	if len(nodes) == 0 && c.Cluster != nil && c.Cluster.Meets() {
		return fail(exitFailure, "%s is the file of a node that forms its cluster with others: start it with\n\n  "+
			"%s node --config %s", f.file, selfName(), shellWord(f.file))
	}
	return f.serve(cmd, c, source, nodes, nil)
}

// serve runs a node, or those of a cluster. meet is called before, unless it is nil.
func (f *upFlags) serve(cmd *cobra.Command, c config.Config, source node.Source, nodes []config.Config,
	meet func(context.Context, *node.Options) error) error {
	files := c.Cache.Connections
	o := node.Options{Config: c, Source: source, Log: newLogger(cmd.ErrOrStderr(), c)}
	if c.Router != nil {
		files += routerFiles(c.Router)
		o.Read = func() (config.Config, node.Source, error) { return f.config(cmd) }
	}
	if c.Tables.On() {
		files += max(1, len(nodes)) * (c.Tables.Connections + node.TablesFiles)
	}
	if allowConnections(files) != nil {
		return fail(exitOS, "%s", tooFewFiles(files, &c, len(nodes)))
	}
	log := o.Log
	err := serve(cmd.Context(), service{
		options: o,
		nodes:   nodes,
		meet:    meet,
		ready: func(all []*node.Node) error {
			n := all[0]
			warnIfOpen("cache", c.Cache.AuthFile, c.Cache.TLS, n.CacheAddrs(), log)
			if c.Router != nil {
				warnIfOpen("router", c.Router.AuthFile, c.Router.TLS, n.RouterAddrs(), log)
			}
			if n.TablesAddr() != nil {
				warnIfOpen("tables", c.Tables.KeysFile, c.Tables.TLS, tablesAddrs(all), log)
			}
			greet(cmd.OutOrStdout(), c, nodes, all)
			return nil
		},
	})
	var taken *takenError
	if errors.As(err, &taken) {
		return fail(exitFailure, "%s", taken.advice(cmd.Flags()))
	}
	return err
}

// tooFewFiles says what to do if a process may not have as many open files as it needs.
func tooFewFiles(files int, c *config.Config, nodes int) string {
	text := fmt.Sprintf("This needs up to %d open files at once, and the system allows %s (the hard limit of "+
		"\"ulimit -n\").\n"+
		"Raise that: \"ulimit -n %d\" as root before the start, LimitNOFILE=%d in a unit of systemd, or\n"+
		"\"--ulimit nofile=%d\" of a container. Or need fewer: they are for the cache.connections (%d) of the cache",
		files, fileLimit(), files, files, files, c.Cache.Connections)
	if !c.Tables.On() {
		return text + "."
	}
	return text + fmt.Sprintf("\nand, for each of %d nodes, tables.connections (%d) and about %d files of the tables; "+
		"a file for --config sets them.", max(1, nodes), c.Tables.Connections, node.TablesFiles)
}

// advice explains which address is in use, and how to choose another.
func (e *takenError) advice(f *pflag.FlagSet) string {
	what, flag, peer := "The cache", "--cache-listen", "memcached"
	switch e.Setting {
	case "http.listen":
		what, flag, peer = "HTTP", "--http-listen", "a web server"
	case "tables.listen":
		what, flag, peer = "The table store", "--tables-listen", "DynamoDB Local"
	case "cluster.listen":
		if !f.Changed("nodes") {
			return fmt.Sprintf(
				"The node can't listen for the others of its cluster on %s: something else does, perhaps "+
					"the node itself.\nStop that, or choose another address in cluster.listen%s.", e.address, alsoIn(f))
		}
		what, flag, peer = "A node of the cluster", "--cluster-listen", "another cluster"
	case "router.listen":
		return fmt.Sprintf("The router can't listen on %s: something else does, perhaps another router.\nStop that, or "+
			"choose another address in the file, such as\n\n  router:\n    listen: [%q]",
			e.address, e.another())
	}
	if f.Lookup("cache-listen") == nil {
		return fmt.Sprintf(
			"%s can't listen on %s: something else does, perhaps %s or another Holdfast.\nStop that, or "+
				"choose another address in the file, by %s.", what, e.address, peer, e.Setting)
	}
	return fmt.Sprintf("%s can't listen on %s: something else does, perhaps %s or another Holdfast.\nStop that, or "+
		"choose another address:\n\n  %s",
		what, e.address, peer, e.commandWith(flag))
}

// alsoIn says where else the address for the other nodes is set. Only "up" has --nodes.
func alsoIn(f *pflag.FlagSet) string {
	if f.Lookup("nodes") == nil {
		return ""
	}
	return ", and in cluster.members of all nodes"
}

// commandWith returns the command line with another address after flag instead of the one in use.
// The other arguments stay: without --data, for example, other tables would be served.
func (e *takenError) commandWith(flag string) string {
	_, port, _ := net.SplitHostPort(e.address)
	words := []string{selfName()}
	for args := os.Args[1:]; len(args) > 0; args = args[1:] {
		name, value, joined := strings.Cut(args[0], "=")
		if name == flag && !joined && len(args) > 1 {
			value, args = args[1], args[1:]
		}
		if name != flag {
			words = append(words, shellWord(args[0]))
		} else if value != "" && !strings.HasSuffix(value, ":"+port) {
			words = append(words, flag, shellWord(value))
		}
	}
	return strings.Join(append(words, flag, e.another()), " ")
}

// shellWord quotes word for a shell if necessary.
func shellWord(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// greet prints the addresses that are served, and commands to try.
func greet(w io.Writer, c config.Config, nodes []config.Config, all []*node.Node) {
	n := all[0]
	cacheAddrs, httpAddr := n.CacheAddrs(), n.HTTPAddr()
	fmt.Fprintf(w, "Holdfast serves\n  memcached clients on %s, with %v of memory\n", addressList(cacheAddrs),
		c.Cache.Memory)
	if c.Router != nil {
		fmt.Fprintf(w, "  memcached clients of the router on %s, with the pools %s\n", addressList(n.RouterAddrs()),
			poolNames(c.Router.Pools))
	}
	greetNodes(w, c, nodes, all)
	fmt.Fprint(w, "\nTry, in another terminal\n")
	if tcp, ok := cacheAddrs[0].(*net.TCPAddr); ok {
		address := reachable(tcp)
		fmt.Fprintf(w, "  printf 'set hello 0 0 5\\r\\nworld\\r\\nget hello\\r\\nquit\\r\\n' | curl -s telnet://%s\n",
			address)
		fmt.Fprintf(w, "  %s replay --zipf --server %s\n", selfName(), address)
	}
	if addr := n.TablesAddr(); addr != nil {
		fmt.Fprintf(w, "  %s table list --endpoint %s\n", selfName(), endpoint(c, addr))
	}
	if httpAddr != nil {
		fmt.Fprintf(w, "  curl http://%v/whatif\n", httpAddr)
	}
	if len(nodes) > 0 && httpAddr != nil {
		fmt.Fprintf(w, "  %s status --http %v\n", selfName(), httpAddr)
	}
	fmt.Fprint(w, "\nCtrl-C stops it.\n")
}

// greetNodes prints where the tables and HTTP of each node are. nodes are those of a cluster.
func greetNodes(w io.Writer, c config.Config, nodes []config.Config, all []*node.Node) {
	for i, n := range all {
		of, data := "", c.Tables.Data
		if len(nodes) > 0 {
			of, data = fmt.Sprintf(", node %d", i+1), nodes[i].Tables.Data
		}
		if addr := n.TablesAddr(); addr != nil {
			fmt.Fprintf(w, "  clients of DynamoDB's API on %s%s, with their tables in %s\n", endpoint(c, addr), of,
				data)
		}
	}
	for i, n := range all {
		switch addr := n.HTTPAddr(); {
		case addr == nil:
		case len(nodes) == 0:
			fmt.Fprintf(w, "  HTTP on http://%v: /healthz /metrics /version /whatif\n", addr)
		default:
			fmt.Fprintf(w, "  HTTP on http://%v, node %d: /healthz /status /metrics\n", addr, i+1)
		}
	}
}

func tablesAddrs(all []*node.Node) (addrs []net.Addr) {
	for _, n := range all {
		addrs = append(addrs, n.TablesAddr())
	}
	return addrs
}

// endpoint returns the URL of the tables.
func endpoint(c config.Config, addr net.Addr) string {
	scheme := "http://"
	if c.Tables.TLS.Certificate != "" {
		scheme = "https://"
	}
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return scheme + reachable(tcp)
	}
	return scheme + addr.String()
}

// selfName returns the command that runs this program again.
func selfName() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/holdfast" // go run puts the program there
	}
	return os.Args[0]
}

// reachable returns addr as a client on this machine connects to it.
func reachable(addr *net.TCPAddr) string {
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(addr.Port))
}
