// Package config reads the configuration file: YAML, strict, and checked as a whole. An unknown key
// is an error, and every fault is reported with the path of its setting, as in
//
//	cache.ttl[1] "sessions:": jitter 1.5 is not in [0, 1)
//
// Example is the commented example file, which states every default. The file holds no secrets: it
// names the files that do.
//
// Nothing here opens a socket or a file other than the one that ReadFile is given. Errors are
// route.Faults, or report that the file can't be read. A Config is a plain value: copy it to share
// it.
package config

import (
	_ "embed"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"holdfast/route"
)

// Example is the commented example file. Parse returns Default for it.
//
//go:embed example.yaml
var Example []byte

// A Config holds the settings of a file; those that the file leaves out have their defaults.
type Config struct {
	Cache   Cache    `yaml:"cache"`
	Router  *Router  `yaml:"router"` // nil is none
	Tables  Tables   `yaml:"tables"`
	Cluster *Cluster `yaml:"cluster"` // nil is none: the tables are on this node alone
	HTTP    HTTP     `yaml:"http"`
	Log     Log      `yaml:"log"`
}

// Cache is the cache service: where it listens, what it may use, and how items live in it.
type Cache struct {
	Listen     []Listener `yaml:"listen"`
	Memory     Bytes      `yaml:"memory"`      // everything: items, index, ghosts
	MemoryFile string     `yaml:"memory_file"` // keeps the items over a clean stop; "" keeps none
	ItemMax    Bytes      `yaml:"item_max"`    // the largest item, key and header included
	Evict      bool       `yaml:"evict"`       // false refuses a store when the memory is full
	CAS        bool       `yaml:"cas"`         // false returns 0 as every item's CAS

	Threads         int           `yaml:"threads"`           // event loops; 0 is one per processor
	Connections     int           `yaml:"connections"`       // open at once
	ConnectionsWait bool          `yaml:"connections_wait"`  // beyond the limit, wait instead of being closed
	Backlog         int           `yaml:"backlog"`           // connections that the kernel holds until they're accepted
	RequestsPerTurn int           `yaml:"requests_per_turn"` // served for one connection before the next one's turn
	IdleTimeout     time.Duration `yaml:"idle_timeout"`      // whole seconds; 0 is none

	Protocol Protocol `yaml:"protocol"`  // which of memcached's protocols clients may use
	AuthFile string   `yaml:"auth_file"` // lines of user:password; "" requires no authentication
	TLS      TLS      `yaml:"tls"`
	Commands Commands `yaml:"commands"`

	Prefixes Prefixes  `yaml:"prefixes"`
	TTL      []TTLRule `yaml:"ttl"`
}

// A Listener is one address that clients connect to. In the file it is the address alone or a
// mapping.
type Listener struct {
	Address string     `yaml:"address"` // HOST:PORT, *:PORT for every interface, or unix:PATH
	TLS     ListenTLS  `yaml:"tls"`
	Mode    AccessMode `yaml:"mode"` // of a Unix socket

	// Protocol overrides the cache's unless it is "". Only the command line sets it.
	Protocol Protocol `yaml:"-"`
}

// ListenTLS selects whether a listener uses TLS.
type ListenTLS string

// The values of ListenTLS.
const (
	TLSAuto   ListenTLS = ""       // as set in the tls section; plain without a certificate
	TLSOff    ListenTLS = "off"    // plain
	TLSMutual ListenTLS = "mutual" // the client must have a certificate
)

// TLS is the certificate that listeners show, and what they require of clients.
type TLS struct {
	Certificate string     `yaml:"certificate"` // PEM file, the chain in order
	Key         string     `yaml:"key"`         // PEM file; "" if Certificate has the key too
	ClientCA    string     `yaml:"client_ca"`   // PEM file: the authorities of client certificates
	Clients     TLSClients `yaml:"clients"`
	MinVersion  string     `yaml:"min_version"` // 1.0 to 1.3
}

// TLSClients selects whether clients are asked for a certificate.
type TLSClients string

// The values of TLSClients.
const (
	ClientsAny     TLSClients = "any"     // no certificate is asked for
	ClientsAsked   TLSClients = "asked"   // a certificate is optional, and must be valid
	ClientsChecked TLSClients = "checked" // a valid certificate is required
)

// Commands switches off commands that a shared cache may not want to offer.
type Commands struct {
	FlushAll bool `yaml:"flush_all"`
	Dump     bool `yaml:"dump"` // stats detail, stats cachedump, lru_crawler metadump
	Watch    bool `yaml:"watch"`
	Shutdown bool `yaml:"shutdown"`
}

// Protocol selects which of memcached's protocols clients may use, by memcached's names.
type Protocol string

// The protocols. With ProtocolAuto the first byte of each connection decides.
const (
	ProtocolAuto   Protocol = "auto"
	ProtocolASCII  Protocol = "ascii"
	ProtocolBinary Protocol = "binary"
)

// Prefixes is the counting by key prefix.
type Prefixes struct {
	Count     bool   `yaml:"count"`     // from the start; "stats detail on" starts it later
	Delimiter string `yaml:"delimiter"` // one byte, which ends a key's prefix
}

// A TTLRule sets the TTL of items under a key prefix; the longest matching prefix counts.
type TTLRule struct {
	Prefix  string        `yaml:"prefix"`
	Default time.Duration `yaml:"default"` // for items stored without a TTL; 0 is none
	Jitter  float64       `yaml:"jitter"`  // a TTL is multiplied by a random factor in [1-Jitter, 1+Jitter]
}

// HTTP is the listener for people and monitoring systems: health, metrics, version, what-if.
type HTTP struct {
	Listen string `yaml:"listen"` // HOST:PORT, *:PORT for every interface; "" is off

	// Hosts are the names that requests may have as their host, besides localhost and IP addresses.
	// Without any, a listener that isn't on loopback accepts every name.
	Hosts []string `yaml:"hosts"`
}

// Log selects what is logged, to standard error.
type Log struct {
	Level slog.Level `yaml:"level"`
}

// Default returns the configuration of a service without a file: it listens on loopback only.
func Default() Config {
	return Config{
		Cache: Cache{
			Listen:          []Listener{{Address: "127.0.0.1:11211", Mode: DefaultMode}},
			Memory:          64 << 20,
			ItemMax:         1 << 20,
			Evict:           true,
			CAS:             true,
			Connections:     1024,
			Backlog:         1024,
			RequestsPerTurn: MaxRequestsPerTurn,
			Protocol:        ProtocolAuto,
			TLS:             TLS{Clients: ClientsAny, MinVersion: "1.2"},
			Commands:        Commands{FlushAll: true, Dump: true, Watch: true},
			Prefixes:        Prefixes{Delimiter: ":"},
		},
		Tables: defaultTables(),
		HTTP:   HTTP{Listen: "127.0.0.1:7070"},
	}
}

// maxFileBytes bounds a configuration of any kind. Those of mcrouter are the largest: they list
// every server of every pool.
const maxFileBytes = 16 << 20

// ReadFile returns the text of the configuration at path, ours or another program's. The path may
// be that of a pipe. One that never ends, such as a device, is an error.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(text) > maxFileBytes {
		err = fmt.Errorf("%s: more than %v, too large for a configuration", path, Bytes(maxFileBytes))
	}
	return text, err
}

// Parse returns Default with the settings of a file's text, checked as a whole. Its error is
// route.Faults.
func Parse(text []byte) (Config, error) { return parseOver(Default(), text) }

// RouterHTTP is the default HTTP address of a router that runs alone. It differs from that of
// Default, so that a router can be tried beside a node.
const RouterHTTP = "127.0.0.1:7071"

// ParseRouter is Parse for a router that runs alone. The router section is required.
func ParseRouter(text []byte) (Config, error) {
	c := Default()
	c.HTTP.Listen = RouterHTTP
	c, err := parseOver(c, text)
	if err == nil && c.Router == nil {
		err = route.Faults{{Path: "router", Text: `the section is missing; "holdfast config" prints one to start from`}}
	}
	return c, err
}

func parseOver(c Config, text []byte) (Config, error) {
	faults := decode(text, &c)
	if c.Router != nil {
		c.Router.setDefaults()
	}
	if c.Cluster != nil {
		c.Cluster.setDefaults()
	}
	faults = append(faults, c.faults()...)
	if len(faults) > 0 {
		return Config{}, faults
	}
	return c, nil
}

// Network splits the address into the two arguments of net.Listen: "tcp" or "unix", and an address.
func (l Listener) Network() (network, address string) {
	if path, ok := cutUnix(l.Address); ok {
		return "unix", path
	}
	return "tcp", everyInterface(l.Address)
}

// Address returns Listen as an argument of net.Listen.
func (h HTTP) Address() string { return everyInterface(h.Listen) }

func everyInterface(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err == nil && host == "*" {
		return net.JoinHostPort("", port)
	}
	return address
}
