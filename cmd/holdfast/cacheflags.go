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

// cacheFlags holds memcached's command line: getopt sets the fields option by option, then finish
// checks them together and completes the configuration.
type cacheFlags struct {
	config config.Config

	show func(program string) string // -h, -V, -i: what to print instead of serving

	port       int // -1 is any free port, 0 is none
	portGiven  bool
	listen     []string // the addresses of -l, unparsed
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
	watchKiB      int // size of a watcher's log buffer; 0 is the server's default
	sslWriteKiB   int // shown by "stats settings" but has no effect: crypto/tls has its own buffers

	ignored []string // options that are accepted but have no effect
	notes   []string // other warnings
}

// maxDefaultThreads is memcached's default of -t.
const maxDefaultThreads = 4

// maxMegabytes is more than any machine has, yet its number of bytes doesn't overflow. A larger
// number is cut to it, and refused by the later checks.
const maxMegabytes = 1 << 22

// maxWatchKiB limits the log buffer of each of at most twenty watchers.
const maxWatchKiB = 1 << 16

// newCacheFlags returns memcached's defaults: every interface, no HTTP.
func newCacheFlags() *cacheFlags {
	f := &cacheFlags{config: config.Default(), port: 11211, unixMode: config.DefaultMode, sslWriteKiB: 16}
	f.config.Cache.Listen = nil
	f.config.Cache.Threads = min(maxDefaultThreads, runtime.GOMAXPROCS(0))
	f.config.HTTP.Listen = ""
	f.config.Tables.Listen = ""
	f.tlsOptions = f.config.Cache.TLS
	return f
}

// parseCacheFlags reads memcached's command line. Its errors are *exitError with memcached's exit
// code, and memcached's text where memcached has one.
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

// finish checks the options that depend on each other, and completes the configuration.
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

// checkRefused refuses UDP. With --debug it accepts a UDP port and ignores it: memcached's own
// tests pass one to servers and then don't use it.
func (f *cacheFlags) checkRefused() error {
	if f.udpPort != 0 {
		if !f.debug {
			return fail(exitUsage, "UDP is not supported: omit -U, or use -U 0")
		}
		f.ignored = append(f.ignored, "-U")
		if !f.portGiven {
			f.port = f.udpPort
		}
	}
	return nil
}

// saslFile is the environment variable by which memcached, if built so, finds its file of users.
const saslFile = "MEMCACHED_SASL_PWDB"

// finishProtocol selects the protocol that -S or -Y implies in memcached, unless -B selects one.
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
			return fail(exitUsage, "ERROR: -S needs users: give a file with lines of user:password by -Y or in %s. "+
				"libsasl's own configuration and databases are not read.", saslFile)
		}
	case c.AuthFile != "" && !f.protocolGiven:
		c.Protocol = config.ProtocolASCII
	}
	return nil
}

// checkSizes refuses sizes of -I and -m with memcached's texts.
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
		return fail(exitUsage, "ERROR: -Z needs -o ssl_chain_cert=FILE, and -o ssl_key=FILE if the key is in another file.")
	}
	t.Clients = []config.TLSClients{config.ClientsAny, config.ClientsAsked, config.ClientsChecked,
		config.ClientsChecked}[f.tlsVerify]
	if f.tlsVerify > 0 && t.ClientCA == "" {
		return fail(exitUsage, "ERROR: -o ssl_verify_mode=%d needs -o ssl_ca_cert=FILE.", f.tlsVerify)
	}
	for _, word := range f.listen {
		switch {
		case strings.HasPrefix(word, "btls:") && f.tlsVerify > 0:
			return fail(exitUsage, "ERROR: btls: can't be used with -o ssl_verify_mode=%d; use mtls: to require "+
				"certificates.", f.tlsVerify)
		case strings.HasPrefix(word, "mtls:") && t.ClientCA == "":
			return fail(exitUsage, "ERROR: mtls: needs -o ssl_ca_cert=FILE.")
		}
	}
	f.config.Cache.TLS = *t
	return nil
}

// finishListeners sets the addresses. As in memcached, a Unix socket excludes all others.
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
		return fail(exitUsage, "ERROR: -p 0 leaves nothing to listen on, as UDP is not supported.")
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

// warnings returns the warnings, one line each.
func (f *cacheFlags) warnings() []string {
	warnings := f.notes
	if len(f.ignored) > 0 {
		warnings = append(warnings, "these options are accepted but have no effect: "+strings.Join(f.ignored, ", "))
	}
	return warnings
}

// number parses as atoi does, which reads the digits before any other character. Unlike atoi, which
// returns 0, it refuses a value without digits.
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

// settings returns the settings that "stats settings" shows from the command line alone.
func (f *cacheFlags) settings() []node.Setting {
	return []node.Setting{
		{Name: "ssl_wbuf_size", Value: strconv.Itoa(f.sslWriteKiB << 10)},
	}
}
