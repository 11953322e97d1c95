package node

import (
	"cmp"
	"io/fs"
	"runtime"
	"slices"

	"holdfast/cache"
	"holdfast/config"
	"holdfast/server"
)

// How many bytes of answers may wait for clients to read them before clients that don't read are
// closed early: a share of the cache's memory, since large values wait there.
const (
	waitingShare    = 4
	minWaitingBytes = 4 << 20
	maxWaitingBytes = 256 << 20
)

// cacheOptions translates the configuration for the store.
func cacheOptions(o Options) cache.Options {
	c := o.Config.Cache
	options := cache.Options{
		MemoryBytes:  int64(c.Memory),
		ItemMaxBytes: int(c.ItemMax),
		NoEvict:      !c.Evict,
		NoCAS:        !c.CAS,
		File:         c.MemoryFile,
		Lanes:        threads(c.Threads),
		Detail:       c.Prefixes.Count,
		Delimiter:    c.Prefixes.Delimiter[0],
		Now:          o.Now,
	}
	if o.Config.Router != nil {
		options.Lanes += threads(o.Config.Router.Threads)
	}
	for _, r := range c.TTL {
		options.TTLs = append(options.TTLs, cache.TTLRule{Prefix: r.Prefix, Default: r.Default, Jitter: r.Jitter})
	}
	return options
}

// serverOptions translates the configuration for the server.
func serverOptions(o Options) server.Options {
	c := o.Config.Cache
	options := server.Options{
		Threads:         threads(c.Threads),
		MaxConnections:  c.Connections,
		WaitOverMax:     c.ConnectionsWait,
		Backlog:         c.Backlog,
		IdleTimeout:     c.IdleTimeout,
		DrainTimeout:    drainTimeout,
		BatchRequests:   c.RequestsPerTurn,
		ItemMaxBytes:    int(c.ItemMax),
		WaitingBytes:    min(max(int64(c.Memory)/waitingShare, minWaitingBytes), maxWaitingBytes),
		TLS:             serverTLS(c.TLS),
		Protocol:        protocolOf(c.Protocol),
		AuthFile:        c.AuthFile,
		ShutdownCommand: c.Commands.Shutdown,
		NoWatch:         !c.Commands.Watch,
		NoDump:          !c.Commands.Dump,
		NoFlush:         !c.Commands.FlushAll,
		Debug:           o.Debug,
		Verbosity:       o.Verbosity,
		WatchBytes:      o.WatchBytes,
		Settings:        o.Settings,
		Logger:          o.Log,
	}
	options.Settings = append(slices.Clip(options.Settings), Setting{Name: "memory_file", Value: cmp.Or(c.MemoryFile,
		"(null)")})
	listenAt(&options, c.Listen)
	return options
}

// routerServerOptions translates the configuration for the router's server.
func routerServerOptions(o Options) server.Options {
	r := o.Config.Router
	options := server.Options{
		Threads:        threads(r.Threads),
		MaxConnections: r.Connections,
		WaitOverMax:    r.ConnectionsWait,
		Backlog:        r.Backlog,
		IdleTimeout:    r.IdleTimeout,
		DrainTimeout:   drainTimeout,
		BatchRequests:  r.RequestsPerTurn,
		ItemMaxBytes:   int(r.ItemMax),
		TLS:            serverTLS(r.TLS),
		Protocol:       server.Text, // members' answers are text, and go to clients as they are
		AuthFile:       r.AuthFile,
		Verbosity:      o.Verbosity,
		Logger:         o.Log,
	}
	listenAt(&options, addresses(r.Listen))
	return options
}

// protocolOf returns 0, the server's default, for a listener that has none of its own.
func protocolOf(p config.Protocol) server.Protocol {
	switch p {
	case config.ProtocolASCII:
		return server.Text
	case config.ProtocolBinary:
		return server.Binary
	case config.ProtocolAuto:
		return server.Auto
	}
	return 0
}

func listenTLSOf(t config.ListenTLS) server.ListenTLS {
	switch t {
	case config.TLSOff:
		return server.TLSOff
	case config.TLSMutual:
		return server.TLSMutual
	}
	return server.TLSAuto
}

func listenAt(options *server.Options, listeners []config.Listener) {
	for _, l := range listeners {
		network, address := l.Network()
		if network == "unix" {
			options.UnixSocket, options.UnixSocketMode = address, fs.FileMode(l.Mode)
			continue
		}
		options.Listeners = append(options.Listeners, server.Listener{
			Address: address, TLS: listenTLSOf(l.TLS), Protocol: protocolOf(l.Protocol),
		})
	}
}

// threads is the number of event loops: by default one per processor that the Go runtime may use.
func threads(configured int) int { return cmp.Or(configured, runtime.GOMAXPROCS(0)) }

func serverTLS(t config.TLS) server.TLS {
	version, err := t.Version()
	if err != nil {
		panic("node: the configuration was not checked: " + err.Error())
	}
	verify := map[config.TLSClients]int{config.ClientsAsked: 1, config.ClientsChecked: 2}
	return server.TLS{Certificate: t.Certificate, Key: t.Key, CA: t.ClientCA, VerifyMode: verify[t.Clients],
		MinVersion: version}
}
