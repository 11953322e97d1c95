package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"holdfast/config"
	"holdfast/config/mcrouter"
)

// routerFlags holds the command line of router: our flags and mcrouter's.
type routerFlags struct {
	config     string // a file, file:FILE, or JSON
	configFile string
	configText string
	validate   string // "", exit or run

	listen     []string
	ports      []string
	sslPorts   []string
	hosts      []string
	unixSocket string
	httpListen string

	threads      int
	connections  int
	backlog      int
	tls          config.TLS
	clientCerts  bool
	journal      string
	noJournal    bool
	chunkBytes   int
	verbose      bool
	logPath      string
	routePrefix  string
	params       map[string]string
	missOnErrors bool
	readsOnly    bool
	enableFlush  bool
	toDefault    bool
	noSplits     bool
	maxShadowed  int
	serviceName  string
	routerName   string
	listenFD     string
	softErrors   int
	milliseconds map[string]*int // by flag

	disableReload bool
	ignored       []string // flags that were given and have no effect here
	refused       []string // flags that were given and ask for a protection that is missing here
}

// mcrouterOnly are the flags that change how mcrouter's configuration is read; they have no effect
// on other kinds.
var mcrouterOnly = []string{
	"route-prefix", "config-params", "miss-on-get-errors", "timeouts-until-tko", "big-value-split-threshold",
	"server-timeout", "cross-region-timeout-ms", "cross-cluster-timeout-ms", "within-cluster-timeout-ms",
	"probe-timeout-initial", "probe-timeout-max", "allow-only-gets", "enable-flush-cmd", "send-invalid-route-to-default",
	"disable-shard-split-route", "target-max-shadow-requests", "service-name", "carbon-router-name",
}

// aliases are other names of flags: those of mcrouter's wiki, and of its options where they differ.
var aliases = map[string]string{
	"server-timeout-ms":   "server-timeout",
	"failures-until-tko":  "timeouts-until-tko",
	"max-clients":         "max-conns",
	"config-file-path":    "config-file",
	"probe-delay-initial": "probe-timeout-initial",
	"probe-delay-max":     "probe-timeout-max",
	"retry-timeout":       "probe-timeout-initial",
	"proxy-threads":       "num-proxies",

	"additional-config-params": "config-params",
}

func (f *routerFlags) declare(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if other, ok := aliases[name]; ok {
			name = other
		}
		return pflag.NormalizedName(name)
	})
	flags.StringVar(&f.config, "config", "", "configuration: `FILE`, file:FILE, or mcrouter's JSON itself")
	flags.StringVarP(&f.configFile, "config-file", "f", "", "likewise, a `FILE`")
	flags.StringVar(&f.configText, "config-str", "", "likewise, mcrouter's `JSON`")
	flags.StringVar(&f.validate, "validate-config", "", "check the configuration, then `exit` or run")
	flags.Lookup("validate-config").NoOptDefVal = "exit"
	flags.StringSliceVar(&f.listen, "listen", nil,
		"where clients connect: `HOST:PORT`, *:PORT or unix:PATH; may be repeated; overrides the file's")
	flags.StringVar(&f.httpListen, "http-listen", "",
		"where HTTP listens, with health and metrics: `HOST:PORT` or *:PORT; empty for none")
	flags.StringSliceVarP(&f.ports, "port", "p", nil, "listen on these `PORT`s of 127.0.0.1 or of --listen-addresses")
	flags.StringSliceVar(&f.hosts, "listen-addresses", nil, "`HOST`s for the ports; 0.0.0.0 is every interface")
	flags.StringVar(&f.unixSocket, "unix-domain-sock", "", "listen on this `PATH`")
	flags.Var(&threadsFlag{&f.threads}, "num-proxies",
		"`THREADS`: event loops, or auto (default: one per processor, except one)")
	flags.IntVar(&f.connections, "max-conns", 0, "maximum of clients' `CONNECTIONS` (default: 1024)")
	flags.IntVar(&f.backlog, "tcp-listen-backlog", 0, "`CONNECTIONS` that may wait in the kernel's queue (default: 1024)")
	flags.StringVarP(&f.journal, "async-dir", "a", "", "`DIRECTORY` for the keys that members missed (default: in memory)")
	flags.BoolVar(&f.noJournal, "asynclog-disable", false,
		"answer a failed delete with its error; keep the keys that members of "+
			"replicated pools miss in memory, overriding -a")
	flags.BoolVar(&f.disableReload, "disable-reload-configs", false,
		"don't apply changes of the file to pools and routes")
	flags.StringVarP(&f.logPath, "log-path", "L", "", "append the log to this `FILE`")
	flags.VarP(&verbosityFlag{&f.verbose}, "verbosity", "v", "log more; a level `N`, as in -v 3, is accepted")
	flags.Lookup("verbosity").NoOptDefVal = "1"
	flags.StringVar(&f.listenFD, "listen-sock-fd", "",
		"serve the inherited listening socket with this `DESCRIPTOR`")
	f.declareReading(flags)
	f.declareTLS(flags)
	f.declareIgnored(flags)
	f.declareRefused(flags)
	flags.BoolP("version", "V", false, "print the version")
}

// declareReading declares the flags for settings that mcrouter has only on its command line.
func (f *routerFlags) declareReading(flags *pflag.FlagSet) {
	flags.StringVarP(&f.routePrefix, "route-prefix", "R", "",
		"mcrouter's `/REGION/CLUSTER/` of keys without one (default /././)")
	flags.Var(&paramsFlag{&f.params}, "config-params", "`NAME:VALUE`s for mcrouter's macros")
	flags.BoolVar(&f.missOnErrors, "miss-on-get-errors", false,
		"answer a get that failed on every server with a miss, as mcrouter did before April 2025")
	flags.BoolVar(&f.readsOnly, "allow-only-gets", false,
		"don't forward writes: they are answered as if nothing was found or stored")
	flags.BoolVar(&f.enableFlush, "enable-flush-cmd", false, "allow flush_all")
	flags.BoolVar(&f.toDefault, "send-invalid-route-to-default", false,
		"send keys with an unknown /REGION/CLUSTER/ to the default route")
	flags.BoolVar(&f.noSplits, "disable-shard-split-route", false, "ignore shard_splits")
	flags.IntVar(&f.maxShadowed, "target-max-shadow-requests", -1,
		"`REQUESTS` that may be in flight to a shadow; 0 is no limit (default 1000)")
	flags.StringVar(&f.serviceName, "service-name", "", "`NAME` for mcrouter's macros")
	flags.StringVar(&f.routerName, "carbon-router-name", "", "likewise; it must be Memcache")
	flags.IntVar(&f.softErrors, "timeouts-until-tko", 0,
		"timeouts in a row, in `TIMES`, after which a server is down (default 3)")
	flags.IntVar(&f.chunkBytes, "big-value-split-threshold", 0,
		"`BYTES` above which a value is stored in pieces (default: never)")
	f.milliseconds = map[string]*int{}
	for _, m := range []struct{ name, short, help string }{
		{"server-timeout", "t", "to wait for a response (default 1000)"},
		{"cross-region-timeout-ms", "", "likewise, for pools in another region"},
		{"cross-cluster-timeout-ms", "", "likewise, for pools in another cluster"},
		{"within-cluster-timeout-ms", "", "likewise, for pools in the same cluster"},
		{"probe-timeout-initial", "r", "after which a server that is down is probed (default 10000)"},
		{"probe-timeout-max", "", "likewise, at most (default 60000)"},
	} {
		f.milliseconds[m.name] = flags.IntP(m.name, m.short, 0, "`MILLISECONDS` "+m.help)
	}
}

func (f *routerFlags) declareTLS(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.sslPorts, "ssl-port", nil, "listen with TLS at these `PORT`s")
	flags.StringVar(&f.tls.Certificate, "server-pem-cert-path", "", "certificate `FILE` for --ssl-port")
	flags.StringVar(&f.tls.Key, "server-pem-key-path", "", "`FILE` of its key")
	flags.StringVar(&f.tls.ClientCA, "server-pem-ca-path", "",
		"`FILE` of the CAs that client certificates are checked against")
	flags.BoolVar(&f.clientCerts, "ssl-require-peer-certs", false, "require a certificate from clients with TLS")
}

// A paramsFlag is name:value,name:value.
type paramsFlag struct{ into *map[string]string }

func (p *paramsFlag) Set(list string) error {
	*p.into = map[string]string{}
	for _, word := range strings.Split(list, ",") {
		name, value, ok := strings.Cut(word, ":")
		if !ok {
			return fmt.Errorf("%q is not NAME:VALUE", word)
		}
		(*p.into)[name] = value
	}
	return nil
}
func (p *paramsFlag) String() string { return "" }
func (p *paramsFlag) Type() string   { return "string" }

// parseOptions returns the options for parsing mcrouter's configuration.
func (f *routerFlags) parseOptions() mcrouter.ParseOptions {
	shadowed := f.maxShadowed
	switch {
	case shadowed < 0:
		shadowed = 0 // mcrouter's default
	case shadowed == 0:
		shadowed = -1
	}
	ms := func(name string) time.Duration { return time.Duration(*f.milliseconds[name]) * time.Millisecond }
	return mcrouter.ParseOptions{
		RoutePrefix: f.routePrefix, Params: f.params, MissOnGetErrors: f.missOnErrors, SoftErrors: f.softErrors,
		ReadsOnly: f.readsOnly, EnableFlush: f.enableFlush, InvalidToDefault: f.toDefault,
		MaxShadowed: shadowed, NoShardSplits: f.noSplits, ServiceName: f.serviceName,
		Proxies:       cmp.Or(f.threads, runtime.GOMAXPROCS(0)),
		ServerTimeout: ms("server-timeout"), CrossRegionTimeout: ms("cross-region-timeout-ms"),
		CrossClusterTimeout: ms("cross-cluster-timeout-ms"), WithinClusterTimeout: ms("within-cluster-timeout-ms"),
		ProbeMin: ms("probe-timeout-initial"), ProbeMax: ms("probe-timeout-max"),
	}
}

// warnings lists the options of the command line that have no effect.
func (f *routerFlags) warnings(flags *pflag.FlagSet, r *routerReading) []string {
	var warnings []string
	if len(f.ignored) > 0 {
		warnings = append(warnings, "options of mcrouter that have no effect here: "+strings.Join(f.ignored, " "))
	}
	var idle []string
	for _, name := range mcrouterOnly {
		if flags.Changed(name) && r.kind != fromMcrouter {
			idle = append(idle, "--"+name)
		}
	}
	if len(idle) > 0 {
		warnings = append(warnings, "options that have an effect only with a configuration of mcrouter: "+strings.Join(idle,
			" "))
	}
	return warnings
}

// above overrides the file's settings by the flags.
func (f *routerFlags) above(c *config.Config, flags *pflag.FlagSet, kind configKind) {
	r := c.Router
	if listen := f.listeners(r); len(listen) > 0 {
		r.Listen = listen
	}
	if flags.Changed("http-listen") {
		c.HTTP.Listen = f.httpListen
	}
	replace(&r.Threads, f.threads)
	if f.connections > 1 { // for mcrouter, 0 and 1 mean the default
		r.Connections = f.connections
	}
	replace(&r.Backlog, f.backlog)
	replace(&r.Journal.Folder, f.journal)
	if f.noJournal {
		r.Journal.Folder = ""
		for i := range r.Pools { // as mcrouter does, answer a failed delete with its error
			r.Pools[i].Journal = r.Pools[i].Journal && kind != fromMcrouter
		}
	}
	replace(&r.TLS.Certificate, f.tls.Certificate)
	replace(&r.TLS.Key, f.tls.Key)
	replace(&r.TLS.ClientCA, f.tls.ClientCA)
	if f.clientCerts {
		r.TLS.Clients = config.ClientsChecked
	}
	if kind == fromMcrouter && f.chunkBytes > 0 {
		for i := range r.Pools {
			r.Pools[i].ChunkBytes, r.Pools[i].BigValues = f.chunkBytes, true
		}
	}
	if f.verbose {
		c.Log.Level = min(c.Log.Level, slog.LevelDebug)
	}
}

func replace[T comparable](setting *T, flag T) {
	var zero T
	if flag != zero {
		*setting = flag
	}
}

// listeners returns the command line's listeners. A listener that is also in the file keeps its
// route.
func (f *routerFlags) listeners(r *config.Router) []config.RouterListener {
	var all []config.RouterListener
	add := func(address string, tls config.ListenTLS) {
		l := config.RouterListener{Listener: config.Listener{Address: address, TLS: tls, Mode: config.DefaultMode}}
		same := func(other config.RouterListener) bool { return other.Address == address }
		if i := slices.IndexFunc(r.Listen, same); i >= 0 {
			l.Route = r.Listen[i].Route
		}
		all = append(all, l)
	}
	for _, address := range f.listen {
		add(address, config.TLSAuto)
	}
	plain := config.TLSAuto
	if len(f.sslPorts) > 0 {
		plain = config.TLSOff
	}
	ports, hosts := f.ports, f.hosts
	if len(hosts) == 0 {
		hosts = []string{"127.0.0.1"}
	} else if len(ports) == 0 && len(f.sslPorts) == 0 {
		ports = []string{defaultRouterPort}
	}
	for _, host := range hosts {
		for _, port := range ports {
			add(net.JoinHostPort(strings.Trim(host, "[]"), port), plain)
		}
		for _, port := range f.sslPorts {
			add(net.JoinHostPort(strings.Trim(host, "[]"), port), config.TLSAuto)
		}
	}
	if f.listenFD != "" {
		add("fd:"+f.listenFD, plain)
	}
	if f.unixSocket != "" {
		add("unix:"+f.unixSocket, config.TLSOff)
	}
	return all
}

// defaultRouterPort is the port of config's default listener.
const defaultRouterPort = "11212"
