package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// mcrouter's options without a counterpart are of two kinds. Those whose absence no client notices
// are accepted, and listed once in the log. Those that protect something are refused: a router that
// ignored an access list would be open, and nobody would read the warning.

// ignoredToggles take no value, ignoredValues take one; neither has an effect here. They tune
// mcrouter's fibers and statistics files, and protocols that Holdfast doesn't speak.
var (
	ignoredToggles = strings.Fields(`use-asynclog-version2 use-mux-io-thread-pool big-value-hide-reply-flag
		disable-fibers-use-guard-pages ssl-service-identity-authorization-log
		enable-qos ssl-connection-cache ssl-handshake-offload enable-compression constantly-reload-configs
		group-remote-errors disable-request-deadline-check disable-tko-tracking
		jemalloc-nodump-buffers disable-failure-logging test-mode enable-logging-route
		disable-send-to-main-shard-split enable-ssl-tfo force-same-thread thread-affinity
		enable-service-router enable-axonlog retain-source-ip enable-server-compression enable-pass-through-mode
		ssl-use-ktls12 remote-thread use-thrift install-fatal-failure-signal-handler
		delete-carbon-instance-upon-init-failure dump_preprocessed_config_enabled
		external-carbon-connection-logging-enabled disable-miss-on-get-errors gets skip-sanity-checks old-d,d`)
	ignoredValues = strings.Fields(`big-value-batch-size fibers-max-pool-size fibers-stack-size
		fibers-record-stack-size-every fibers-pool-resize-period-ms runtime-vars-file file-observer-poll-period-ms
		file-observer-sleep-before-update-ms keepalive-count,K keepalive-interval,i keepalive-idle,I
		max-no-flush-event-loops reset-inactive-connection-interval tcp-rto-min target-max-inflight-requests
		target-max-pending-requests proxy-max-inflight-requests
		proxy-max-inflight-shadow-requests proxy-max-throttled-requests pem-cert-path pem-key-path pem-ca-path
		ssl-service-identity additional-ssl-service-identities default-qos-class default-qos-path config-dump-root
		max-dumped-config-age pool-stats-config-file reconfiguration-delay-ms reconfiguration-jitter-ms
		post-reconfiguration-delay-ms waiting-request-timeout-ms connect-timeout-retries stats-root debug-fifo-root
		stats-logging-interval logging-rtt-outlier-threshold-us stats-async-queue-length
		max-shadow-token-map-size thrift-compression-threshold max-client-outstanding-reqs max-client-outstanding
		client-timeout server-load-interval-ms tfo-queue-size tcp-zero-copy-threshold tls-ticket-key-seed-path
		server-ssl-service-identity num-listening-sockets thrift-port thrift-listen-sock-fd core-multiplier
		core-multiplier-threshold proxy-cpu-interval-s maximum-soft-tkos collect-rxmit-stats-every-hz
		min-rxmit-reconnect-threshold max-rxmit-reconnect-threshold rxmit-latency-deviation-us rss-limit-mb
		max_preprocessed_config_history external-carbon-connection-log-rate-per-hour
		external-carbon-connection-log-max-burst external-carbon-connection-log-sample-rate
		key-client-binding-nonlookaside-verifier xdp-tx-truncate-bytes old-D,D`)
)

// refusedToggles are the options that ask for a protection that Holdfast doesn't have, each with
// the reason that is reported.
var refusedToggles = map[string]string{
	"acl-checker-enable":                         "clients aren't checked against an access list",
	"acl-checker-enforce":                        "clients aren't checked against an access list",
	"prefix-acl-checker-enable":                  "keys aren't checked against an access list",
	"ssl-service-identity-authorization-enforce": "the identities of members aren't checked",
	"ssl-verify-peers":                           "the certificates of members aren't checked",
	"key-client-binding-enable":                  "keys aren't bound to clients",
	"key-client-binding-nonlookaside-enable":     "keys aren't bound to clients",
}

func (f *routerFlags) declareIgnored(flags *pflag.FlagSet) {
	declare := func(word, kind string) *pflag.Flag {
		name, short, _ := strings.Cut(word, ",")
		flags.VarP(&ignoredFlag{name, kind, &f.ignored}, name, short, "")
		flag := flags.Lookup(name)
		flag.Hidden = true
		return flag
	}
	for _, word := range ignoredToggles {
		declare(word, "bool").NoOptDefVal = "true"
	}
	for _, word := range ignoredValues {
		declare(word, "string")
	}
}

func (f *routerFlags) declareRefused(flags *pflag.FlagSet) {
	for name := range refusedToggles {
		flags.Var(&refusedFlag{name, &f.refused}, name, "")
		flag := flags.Lookup(name)
		flag.Hidden, flag.NoOptDefVal = true, "true"
	}
}

// checkRefused returns an error for the first option that asks for a missing protection, or for a
// router of another protocol.
func (f *routerFlags) checkRefused() error {
	if len(f.refused) > 0 {
		name := f.refused[0]
		return fmt.Errorf("--%s isn't supported: %s. Without this option the router starts, without that protection",
			name, refusedToggles[name])
	}
	if f.routerName != "" && f.routerName != "Memcache" {
		return fmt.Errorf("--carbon-router-name %q isn't supported: this is a router for memcached", f.routerName)
	}
	return nil
}

// An ignoredFlag records that it was given.
type ignoredFlag struct {
	name, kind string
	seen       *[]string
}

func (i *ignoredFlag) Set(value string) error {
	if i.kind == "bool" && isOff(value) {
		return nil
	}
	if short, ok := strings.CutPrefix(i.name, "old-"); ok {
		*i.seen = append(*i.seen, "-"+short)
		return nil
	}
	*i.seen = append(*i.seen, "--"+i.name)
	return nil
}
func (i *ignoredFlag) String() string { return "" }
func (i *ignoredFlag) Type() string   { return i.kind }

// A refusedFlag records that it was given, unless it was turned off.
type refusedFlag struct {
	name string
	seen *[]string
}

func (r *refusedFlag) Set(value string) error {
	if !isOff(value) {
		*r.seen = append(*r.seen, r.name)
	}
	return nil
}
func (r *refusedFlag) String() string { return "" }
func (r *refusedFlag) Type() string   { return "bool" }

// isOff reports whether the value of a toggle turns it off, as in --toggle=0.
func isOff(value string) bool {
	on, err := strconv.ParseBool(value)
	return err == nil && !on
}

// A verbosityFlag is true for a level above 0.
type verbosityFlag struct{ on *bool }

func (v *verbosityFlag) Set(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return errors.New("the level must be a number of at least 0")
	}
	*v.on = n > 0
	return nil
}
func (v *verbosityFlag) String() string { return "" }
func (v *verbosityFlag) Type() string   { return "level" }

// A threadsFlag is a number, or auto, which sets 0.
type threadsFlag struct{ n *int }

func (t *threadsFlag) Set(value string) error {
	if value == "auto" {
		*t.n = 0
		return nil
	}
	n, err := strconv.Atoi(value)
	*t.n = n
	return err
}
func (t *threadsFlag) String() string { return "" }
func (t *threadsFlag) Type() string   { return "threads" }

// joinVerbosity joins "-v" and a level after it into one word: mcrouter's -v has a level, ours has
// none.
func joinVerbosity(args []string) []string {
	joined := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		if args[i] == "-v" && i+1 < len(args) {
			if _, err := strconv.ParseUint(args[i+1], 10, 8); err == nil {
				joined = append(joined, "-v="+args[i+1])
				i++
				continue
			}
		}
		joined = append(joined, args[i])
	}
	return joined
}
