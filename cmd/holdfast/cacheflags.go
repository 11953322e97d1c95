package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/config"
	"holdfast/node"
)

// cacheFlags is what memcached's command line says, read word by word and then finished.
type cacheFlags struct {
	config config.Config

	show func(program string) string // -h, -V, -i: what to print instead of serving

	port       int // -1 takes a free one, 0 none
	portGiven  bool
	listen     []string // as -l has them
	unixPath   string
	unixMode   config.AccessMode
	tls        bool
	tlsVerify  int
	tlsOptions config.TLS

	daemon     bool
	coreDumps  bool
	lockMemory bool
	user       string
	pidFile    string
	verbosity  int
	debug      bool

	protocolGiven bool // -B
	sasl          bool
	udpPort       int
	watchKiB      int // what a watcher's log holds; 0 leaves it to the server
	sslWriteKiB   int // shown, and of no effect: crypto/tls has its own buffers

	ignored []string // options that were taken and do nothing
	notes   []string // what else is worth a warning
}

// maxDefaultThreads is memcached's default of -t.
const maxDefaultThreads = 4

// maxMegabytes is beyond any memory, and still a number of bytes: what is above is refused all the
// same.
const maxMegabytes = 1 << 22

// maxWatchKiB bounds what each of at most twenty watchers may hold.
const maxWatchKiB = 1 << 16

// newCacheFlags has memcached's defaults: every interface, no HTTP.
func newCacheFlags() *cacheFlags {
	f := &cacheFlags{config: config.Default(), port: 11211, unixMode: config.DefaultMode, sslWriteKiB: 16}
	f.config.Cache.Listen = nil
	f.config.Cache.Threads = min(maxDefaultThreads, runtime.GOMAXPROCS(0))
	f.config.HTTP.Listen = ""
	f.config.Tables.Listen = ""
	f.tlsOptions = f.config.Cache.TLS
	return f
}

// parseCacheFlags reads memcached's command line. Its errors are *exitError with memcached's code,
// and its words where memcached has some.
func parseCacheFlags(program string, args []string) (*cacheFlags, error) {
	f := newCacheFlags()
	rest, err := getopt(program, cacheOptions(), args, f)
	if err != nil || f.show != nil {
		return f, err
	}
	for _, word := range rest {
		f.ignored = append(f.ignored, strconv.Quote(word))
	}
	return f, f.finish()
}

// finish checks what several options make together, and completes the configuration.
func (f *cacheFlags) finish() error {
	for _, check := range []func() error{f.checkRefused, f.checkSizes, f.finishProtocol, f.finishTLS, f.finishListeners} {
		if err := check(); err != nil {
			return err
		}
	}
	f.config.Cache.RequestsPerTurn = min(f.config.Cache.RequestsPerTurn, config.MaxRequestsPerTurn)
	if f.verbosity > 0 {
		f.config.Log.Level = slog.LevelDebug
	}
	if err := f.config.Check(); err != nil {
		return fail(exitUsage, "%v", err)
	}
	return nil
}

// checkRefused refuses what is not served. memcached's own tests, for which --debug is, give UDP
// ports to servers of which they then use none.
func (f *cacheFlags) checkRefused() error {
	if f.udpPort != 0 {
		if !f.debug {
			return fail(exitUsage, "UDP is not served: leave -U out, or give -U 0")
		}
		f.ignored = append(f.ignored, "-U")
		if !f.portGiven {
			f.port = f.udpPort
		}
	}
	return nil
}

// saslFile is memcached's name for the file of users, where it is built to have one.
const saslFile = "MEMCACHED_SASL_PWDB"

// finishProtocol has -S and -Y mean the protocols that they mean to memcached, unless -B says it.
func (f *cacheFlags) finishProtocol() error {
	c := &f.config.Cache
	switch {
	case f.sasl && f.protocolGiven && c.Protocol != config.ProtocolBinary:
		return fail(exitUsage, "ERROR: You cannot allow the ASCII protocol while using SASL.")
	case f.sasl:
		c.Protocol = config.ProtocolBinary
		if c.AuthFile == "" {
			c.AuthFile = os.Getenv(saslFile)
		}
		if c.AuthFile == "" {
			return fail(exitUsage, "ERROR: -S needs users: name a file of lines user:password by -Y or in %s. libsasl's own "+
				"configuration and databases are not read.", saslFile)
		}
	case c.AuthFile != "" && !f.protocolGiven:
		c.Protocol = config.ProtocolASCII
	}
	return nil
}

// checkSizes has memcached's words for what -I and -m can't be.
func (f *cacheFlags) checkSizes() error {
	c := &f.config.Cache
	switch {
	case c.ItemMax < 1024:
		return fail(exitUsage, "Item max size cannot be less than 1024 bytes.")
	case c.ItemMax > c.Memory/2:
		return fail(exitUsage, "Cannot set item size limit higher than 1/2 of memory max.")
	case c.ItemMax > 1<<30:
		return fail(exitUsage, "Cannot set item size limit higher than a gigabyte.")
	}
	return nil
}

func (f *cacheFlags) finishTLS() error {
	if !f.tls {
		return nil
	}
	t := &f.tlsOptions
	if f.port == 0 && f.unixPath == "" {
		return fail(exitUsage, "ERROR: You cannot enable SSL without a TCP port.")
	}
	if t.Certificate == "" {
		return fail(exitUsage, "ERROR: -Z needs -o ssl_chain_cert=FILE, and -o ssl_key=FILE if the key stands apart.")
	}
	t.Clients = []config.TLSClients{config.ClientsAny, config.ClientsAsked, config.ClientsChecked,
		config.ClientsChecked}[f.tlsVerify]
	if f.tlsVerify > 0 && t.ClientCA == "" {
		return fail(exitUsage, "ERROR: -o ssl_verify_mode=%d needs -o ssl_ca_cert=FILE.", f.tlsVerify)
	}
	for _, word := range f.listen {
		switch {
		case strings.HasPrefix(word, "btls:") && f.tlsVerify > 0:
			return fail(exitUsage, "ERROR: btls: can't stand beside -o ssl_verify_mode=%d; demand certificates by mtls: "+
				"instead.", f.tlsVerify)
		case strings.HasPrefix(word, "mtls:") && t.ClientCA == "":
			return fail(exitUsage, "ERROR: mtls: needs -o ssl_ca_cert=FILE.")
		}
	}
	f.config.Cache.TLS = *t
	return nil
}

// finishListeners makes the addresses. A Unix socket is the only one, as with memcached.
func (f *cacheFlags) finishListeners() error {
	c := &f.config.Cache
	if f.port > 65535 {
		return fail(exitUsage, "ERROR: Invalid port number %d.", f.port)
	}
	if f.unixPath != "" {
		c.Listen = []config.Listener{{Address: "unix:" + f.unixPath, Mode: f.unixMode}}
		return nil
	}
	if f.port == 0 {
		return fail(exitUsage, "ERROR: -p 0 leaves nothing to listen on, as UDP is not served.")
	}
	port := strconv.Itoa(max(f.port, 0))
	if len(f.listen) == 0 {
		c.Listen = []config.Listener{{Address: "*:" + port, Mode: config.DefaultMode}}
		return nil
	}
	for _, word := range f.listen {
		l, err := parseListener(word, port, f.tls)
		if err != nil {
			return err
		}
		if !slices.Contains(c.Listen, l) {
			c.Listen = append(c.Listen, l)
		}
	}
	return nil
}

// warnings are one line each.
func (f *cacheFlags) warnings() []string {
	warnings := f.notes
	if len(f.ignored) > 0 {
		warnings = append(warnings, "taken and ignored, as they do not apply here: "+strings.Join(f.ignored, ", "))
	}
	return warnings
}

// number reads as atoi does, which takes what stands before other characters; a word without any
// digits, which atoi calls 0, is refused.
func (f *cacheFlags) number(name, value string) (int, error) {
	digits := len(value) - len(strings.TrimLeft(strings.TrimPrefix(value, "-"), "0123456789"))
	n, err := strconv.Atoi(value[:digits])
	if err != nil {
		return 0, fail(exitUsage, "%s: %q is not a number", name, value)
	}
	if digits < len(value) {
		f.notes = append(f.notes, fmt.Sprintf("%s %s is read as %d", name, value, n))
	}
	return n, nil
}

func (f *cacheFlags) ignore(name string) error {
	f.ignored = append(f.ignored, name)
	return nil
}

func (f *cacheFlags) setMemory(value string) error {
	n, err := f.number("-m", value)
	if err != nil {
		return err
	}
	f.config.Cache.Memory = config.Bytes(min(n, maxMegabytes)) << 20
	return nil
}

func (f *cacheFlags) setItemMax(value string) error {
	unit := config.Bytes(1)
	if value != "" {
		switch value[len(value)-1] {
		case 'k', 'K':
			unit, value = 1<<10, value[:len(value)-1]
		case 'm', 'M':
			unit, value = 1<<20, value[:len(value)-1]
		}
	}
	n, err := f.number("-I", value)
	f.config.Cache.ItemMax = config.Bytes(min(n, maxMegabytes<<20)) * unit
	return err
}

func (f *cacheFlags) setUnixMode(value string) error {
	mode, err := config.ParseMode(value)
	if err != nil {
		return fail(exitUsage, "-a: %v", err)
	}
	f.unixMode = mode
	return nil
}

func (f *cacheFlags) setThreads(value string) error {
	n, err := f.number("-t", value)
	switch {
	case err != nil:
		return err
	case n <= 0:
		return fail(exitFailure, "Number of threads must be greater than 0")
	case n > 64:
		f.notes = append(f.notes, "more than 64 threads are not recommended: give the number of processors or less")
	}
	f.config.Cache.Threads = n
	return nil
}

func (f *cacheFlags) setDelimiter(value string) error {
	if value == "" {
		return fail(exitFailure, "No delimiter specified")
	}
	f.config.Cache.Prefixes = config.Prefixes{Count: true, Delimiter: value[:1]}
	return nil
}

func (f *cacheFlags) setProtocol(value string) error {
	switch value {
	case "auto", "ascii", "binary":
		f.config.Cache.Protocol, f.protocolGiven = config.Protocol(value), true
	default:
		return fail(exitUsage, "Invalid value for binding protocol: %s\n -- should be one of auto, binary, or ascii", value)
	}
	return nil
}

func (f *cacheFlags) setIdleTimeout(value string) error {
	n, err := f.number("-o idle_timeout", value)
	f.config.Cache.IdleTimeout = time.Duration(n) * time.Second
	return err
}

func (f *cacheFlags) setWatchBuffer(value string) (err error) {
	f.watchKiB, err = f.number("-o watcher_logbuf_size", value)
	if err == nil && (f.watchKiB <= 0 || f.watchKiB > maxWatchKiB) {
		return fail(exitFailure, "-o watcher_logbuf_size: %d KiB; at least 1, at most %d", f.watchKiB, maxWatchKiB)
	}
	return err
}

func (f *cacheFlags) setSSLWriteBuffer(value string) (err error) {
	if f.sslWriteKiB, err = f.number("-o ssl_wbuf_size", value); err != nil {
		return err
	}
	return f.ignore("-o ssl_wbuf_size")
}

// settings are what "stats settings" shows of the command line alone.
func (f *cacheFlags) settings() []node.Setting {
	return []node.Setting{
		{Name: "ssl_wbuf_size", Value: strconv.Itoa(f.sslWriteKiB << 10)},
	}
}
