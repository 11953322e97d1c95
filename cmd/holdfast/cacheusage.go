package main

import (
	"fmt"
	"strings"
)

// helpColumn is where the help's texts begin, as in memcached's.
const helpColumn = 30

const usageHead = `Holdfast's cache, with memcached's command line: it takes the place of memcached 1.6 in a
unit file or a script as it is.

usage: %s [options]

`

const usageTail = `
Extended options, by commas in -o; no_ before one switches it off:
  maxconns_fast     close new connections above the limit at once (the default)
  idle_timeout=N    close connections that are idle for N seconds (default: 0, never)
  watcher_logbuf_size=N  KiB of log that each client of watch may fall behind (default: 256)
  ssl_chain_cert=F  certificate, its chain in order, in a PEM file
  ssl_key=F         private key in a PEM file, if not part of ssl_chain_cert
  ssl_ca_cert=F     whose client certificates are good, in a PEM file
  ssl_verify_mode=N 0: ask clients for no certificate (default), 1: check one that is shown,
                    2 or 3: demand one
  ssl_min_version=N 0: TLS 1.0, 1: 1.1, 2: 1.2 (default), 3: 1.3
memcached's other extended options are taken and ignored, which one line of warning says.

Signals: SIGTERM, SIGINT and SIGUSR1 stop cleanly; SIGHUP reads the auth file and the
certificates again. The environment variable MEMCACHED_PORT_FILENAME names a file that the
ports are written to.`

// cacheUsage is the help of the cache command, made from its table.
func cacheUsage(program string) string {
	var b strings.Builder
	fmt.Fprintf(&b, usageHead, program)
	for _, o := range cacheOptions() {
		if o.help != "" {
			writeOption(&b, &o)
		}
	}
	b.WriteString(usageTail)
	return b.String()
}

func writeOption(b *strings.Builder, o *option) {
	names := "    --" + o.long
	switch {
	case o.long == "":
		names = "-" + string(o.short) + " " + o.value
	case o.short != 0:
		names = fmt.Sprintf("-%c, --%s", o.short, o.long)
	}
	if o.value != "" && o.long != "" {
		names += "=" + o.value
	}
	for i, line := range strings.Split(o.help, "\n") {
		switch {
		case i > 0:
			names = ""
		case len(names) >= helpColumn:
			fmt.Fprintf(b, "%s\n", names)
			names = ""
		}
		fmt.Fprintf(b, "%-*s%s\n", helpColumn, names, line)
	}
}
