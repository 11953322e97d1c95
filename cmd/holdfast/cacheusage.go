package main

import (
	"fmt"
	"strings"
)

// helpColumn is the column of the help texts, as in memcached's help.
const helpColumn = 30

const usageHead = `Holdfast's cache, with memcached's command line: a drop-in replacement for memcached 1.6
in unit files and scripts.

usage: %s [options]

`

const usageTail = `
Extended options for -o, separated by commas; the prefix no_ turns one off:
  maxconns_fast     close new connections above the limit at once (the default)
  idle_timeout=N    close connections that are idle for N seconds (default: 0, never)
  watcher_logbuf_size=N  KiB of log that each client of watch may fall behind (default: 256)
  ssl_chain_cert=F  certificate and its chain, in order, in a PEM file
  ssl_key=F         private key in a PEM file, if not part of ssl_chain_cert
  ssl_ca_cert=F     CAs that client certificates are checked against, in a PEM file
  ssl_verify_mode=N 0: ask clients for no certificate (default), 1: check a certificate if
                    the client sends one, 2 or 3: require one
  ssl_min_version=N 0: TLS 1.0, 1: 1.1, 2: 1.2 (default), 3: 1.3
memcached's other extended options are accepted but have no effect; one warning lists them.

Signals: SIGTERM, SIGINT and SIGUSR1 stop cleanly; SIGHUP reads the auth file and the
certificates again. The environment variable MEMCACHED_PORT_FILENAME names a file to
write the ports to.`

// cacheUsage returns the help of the cache command, made from the table of its options.
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
