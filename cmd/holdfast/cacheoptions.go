package main

import (
	"slices"
	"strconv"
)

// cacheOptions returns the options of memcached 1.6.40 in the order of its -h, and then Holdfast's
// own. An option without help text is parsed but not listed in the help.
func cacheOptions() []option {
	return slices.Concat(listenerOptions(), processOptions(), tuningOptions(), protectionOptions(), ownOptions())
}

// listenerOptions select where clients connect.
func listenerOptions() []option {
	return []option{
		{'p', "port", required, "<num>", "TCP port to listen on (default: 11211; -1: any free port)",
			func(f *cacheFlags, v string) (err error) {
				f.portGiven = true
				f.port, err = f.number("-p", v)
				return err
			}},
		{'U', "udp-port", required, "<num>", "UDP is not supported: only 0 is accepted",
			func(f *cacheFlags, v string) (err error) { f.udpPort, err = f.number("-U", v); return err }},
		{'s', "unix-socket", required, "<file>", "UNIX socket to listen on (disables network support)",
			func(f *cacheFlags, v string) error { f.unixPath = v; return nil }},
		{'a', "unix-mask", required, "<mask>", "access mask for UNIX socket, in octal (default: 700)",
			(*cacheFlags).setUnixMode},
		{'A', "enable-shutdown", none, "", `enable the "shutdown" command`,
			turnOn(func(f *cacheFlags) *bool { return &f.config.Cache.Commands.Shutdown })},
		{'l', "listen", required, "<addr>", listenHelp, (*cacheFlags).addListeners},
	}
}

// processOptions set up the process, its memory and its connections.
func processOptions() []option {
	return []option{
		{'d', "daemon", none, "", "run as a daemon", turnOn(func(f *cacheFlags) *bool { return &f.daemon })},
		{'r', "enable-coredumps", none, "", "maximize core file limit",
			turnOn(func(f *cacheFlags) *bool { return &f.coreDumps })},
		{'u', "user", required, "<user>", "assume identity of <user> (only when run as root)",
			func(f *cacheFlags, v string) error { f.user = v; return nil }},
		{'m', "memory-limit", required, "<num>", "memory in megabytes, for items and index (default: 64)",
			(*cacheFlags).setMemory},
		{'M', "disable-evictions", none, "", "return error on memory exhausted instead of evicting",
			turnOff(func(f *cacheFlags) *bool { return &f.config.Cache.Evict })},
		{'c', "conn-limit", required, "<num>", "max simultaneous connections (default: 1024)",
			positive("-c", "Maximum connections must be greater than 0",
				func(f *cacheFlags) *int { return &f.config.Cache.Connections })},
		{'k', "lock-memory", none, "", "lock down all paged memory",
			turnOn(func(f *cacheFlags) *bool { return &f.lockMemory })},
		{'v', "verbose", optional, "", "log more (-vv and -vvv log no more than that)",
			func(f *cacheFlags, _ string) error { f.verbosity++; return nil }},
		{'h', "help", none, "", "print this help and exit", show(cacheUsage)},
		{'i', "license", none, "", "print the license and exit", show(licenseText)},
		{'V', "version", none, "", "print version and exit", show(versionText)},
		{'P', "pidfile", required, "<file>", "save PID in <file>",
			func(f *cacheFlags, v string) error { f.pidFile = v; return nil }},
	}
}

// tuningOptions control how items are kept and requests are served.
func tuningOptions() []option {
	return []option{
		{'f', "slab-growth-factor", required, "<num>", "accepted but has no effect: there are no slabs",
			(*cacheFlags).checkFactor},
		{'n', "slab-min-size", required, "<bytes>", "accepted but has no effect",
			func(f *cacheFlags, v string) error {
				n, err := f.number("-n", v)
				if err == nil && n <= 0 {
					return fail(exitFailure, "Chunk size must be greater than 0")
				}
				f.ignored = append(f.ignored, "-n")
				return err
			}},
		{'L', "enable-largepages", none, "", "accepted but has no effect: large pages are used\nwhere the system has them",
			ignored("-L")},
		{'D', "", required, "<char>", delimiterHelp, (*cacheFlags).setDelimiter},
		{'t', "threads", required, "<num>",
			"number of event loops (default: 4, or the number of\nprocessors if that is lower)",
			(*cacheFlags).setThreads},
		{'R', "max-reqs-per-event", required, "<num>",
			"requests of one connection that are served before\nother connections get a turn (default and maximum: 256)",
			positive("-R", "Number of requests per event must be greater than 0",
				func(f *cacheFlags) *int { return &f.config.Cache.RequestsPerTurn })},
		{'C', "disable-cas", none, "", "disable use of CAS",
			turnOff(func(f *cacheFlags) *bool { return &f.config.Cache.CAS })},
		{'b', "listen-backlog", required, "<num>", "set the backlog queue limit (default: 1024)",
			func(f *cacheFlags, v string) (err error) { f.config.Cache.Backlog, err = f.number("-b", v); return err }},
		{'B', "protocol", required, "<name>", "protocol to serve: ascii, binary, or auto (both,\nthe default)",
			(*cacheFlags).setProtocol},
		{'I', "max-item-size", required, "<num>", "adjusts max item size (default: 1m, min: 1k, max: 1024m)",
			(*cacheFlags).setItemMax},
	}
}

// protectionOptions restrict clients and commands. With them are those that memcached's -h lists
// among them or after them: the memory file and the extended options.
func protectionOptions() []option {
	return []option{
		{'S', "enable-sasl", none, "",
			"turn on SASL authentication (PLAIN) and serve the\nbinary protocol only; -Y or the environment variable\n" +
				"MEMCACHED_SASL_PWDB names the file of users",
			turnOn(func(f *cacheFlags) *bool { return &f.sasl })},
		{'F', "disable-flush-all", none, "", "disable flush_all command",
			turnOff(func(f *cacheFlags) *bool { return &f.config.Cache.Commands.FlushAll })},
		{'X', "disable-dumping", none, "", "disable stats cachedump, stats detail, and lru_crawler metadump",
			turnOff(func(f *cacheFlags) *bool { return &f.config.Cache.Commands.Dump })},
		{'W', "disable-watch", none, "", "disable watch commands (live logging)",
			turnOff(func(f *cacheFlags) *bool { return &f.config.Cache.Commands.Watch })},
		{'Y', "auth-file", required, "<file>",
			"ask clients for a password; the file has lines of\nuser:password, and is read again on SIGHUP. Without\n" +
				"-B or -S, only the text protocol is served",
			func(f *cacheFlags, v string) error { f.config.Cache.AuthFile = v; return nil }},
		{'e', "memory-file", required, "<file>",
			"keep the items in a file, best in /dev/shm, across a\nclean stop (SIGTERM, SIGINT, SIGUSR1) and restart",
			func(f *cacheFlags, v string) error { f.config.Cache.MemoryFile = v; return nil }},
		{'Z', "enable-ssl", none, "", "enable TLS/SSL; see ssl_* below", turnOn(func(f *cacheFlags) *bool { return &f.tls })},
		{'o', "extended", required, "<list>", "comma separated list of extended options, see below",
			(*cacheFlags).setExtended},
		{'N', "napi-ids", required, "<num>", "", ignored("-N")},
	}
}

// ownOptions are Holdfast's.
func ownOptions() []option {
	return []option{
		{0, "http", required, "<addr>",
			"HOST:PORT for health, metrics and what-if over HTTP\n(Holdfast's own; off by default)",
			func(f *cacheFlags, v string) error { f.config.HTTP.Listen = v; return nil }},
		{0, "debug", none, "", "", turnOn(func(f *cacheFlags) *bool { return &f.debug })},
	}
}

const listenHelp = `interface to listen on (default: all of them)
HOST or HOST:PORT, a comma separated list; may be
repeated. With -Z, the prefix notls: turns TLS off for an
address, btls: asks for no client certificate, and mtls:
requires one`

const delimiterHelp = `delimiter between key prefixes and IDs, for the counts
per prefix in "stats detail" and the metrics (default:
":"). With this option, counting starts at once`

func turnOn(field func(*cacheFlags) *bool) func(*cacheFlags, string) error {
	return func(f *cacheFlags, _ string) error { *field(f) = true; return nil }
}

func turnOff(field func(*cacheFlags) *bool) func(*cacheFlags, string) error {
	return func(f *cacheFlags, _ string) error { *field(f) = false; return nil }
}

func ignored(name string) func(*cacheFlags, string) error {
	return func(f *cacheFlags, _ string) error { return f.ignore(name) }
}

func positive(name, message string, field func(*cacheFlags) *int) func(*cacheFlags, string) error {
	return func(f *cacheFlags, v string) error {
		n, err := f.number(name, v)
		if err == nil && n <= 0 {
			return fail(exitFailure, "%s", message)
		}
		*field(f) = n
		return err
	}
}

func show(text func(program string) string) func(*cacheFlags, string) error {
	return func(f *cacheFlags, _ string) error {
		if f.show == nil {
			f.show = text
		}
		return nil
	}
}

func (f *cacheFlags) checkFactor(value string) error {
	factor, err := strconv.ParseFloat(value, 64)
	if err != nil || factor <= 1 {
		return fail(exitFailure, "Factor must be greater than 1")
	}
	return f.ignore("-f")
}
