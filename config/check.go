package config

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"holdfast/mc"
	"holdfast/route"
)

// Limits of what a configuration may ask for. Those of sizes are the cache's own.
const (
	minMemory      = 1 << 20
	maxMemory      = 1 << 39 // as cache.Options
	minItem        = 1 << 10
	maxItem        = 1 << 30
	maxThreads     = 256
	maxConnections = 10 << 20
	maxBacklog     = 1 << 20
	maxUnixSockets = 1
	maxUnixPath    = 107 // sun_path with its closing zero
	maxTTLRules    = 1024
	maxKeyBytes    = mc.MaxKeyBytes

	MaxRequestsPerTurn = mc.MaxRequests
)

// Check returns route.Faults if c can't work as a whole, whether it was parsed or built.
func (c *Config) Check() error {
	if faults := c.faults(); len(faults) > 0 {
		return faults
	}
	return nil
}

func (c *Config) faults() route.Faults {
	var f route.Faults
	checkListeners(&f, "cache", c.Cache.Listen, &c.Cache.TLS)
	c.Cache.checkLimits(&f)
	c.Cache.TLS.check(&f, "cache.tls")
	c.Cache.checkRules(&f)
	if c.Router != nil {
		c.Router.check(&f)
	}
	c.Tables.check(&f)
	if c.Cluster != nil {
		c.Cluster.check(&f, c.Tables.On())
	}
	if c.HTTP.Listen != "" {
		if err := checkHostPort(c.HTTP.Listen); err != nil {
			f.Add("http.listen", "%v", err)
		}
	}
	return f
}

// checkListeners checks the listeners of a section, and that its TLS settings suffice for them.
func checkListeners(f *route.Faults, section string, listeners []Listener, tls *TLS) {
	list := section + ".listen"
	if len(listeners) == 0 {
		f.Add(list, "no addresses")
	}
	seen, sockets := map[string]int{}, 0
	for i, l := range listeners {
		path := fmt.Sprintf("%s[%d] %q", list, i, l.Address)
		if network, _ := l.Network(); network == "unix" {
			if sockets++; sockets > maxUnixSockets {
				f.Add(path, "more than %d Unix socket", maxUnixSockets)
			}
			if l.TLS != TLSAuto && l.TLS != TLSOff {
				f.Add(path, "TLS is not supported on a Unix socket")
			}
		}
		if err := l.checkAddress(); err != nil {
			f.Add(path, "%v", err)
		}
		if first, again := seen[l.Address]; again && !strings.HasSuffix(l.Address, ":0") {
			f.Add(path, "the address is already listed, in %s[%d]", list, first)
		}
		seen[l.Address] = i
		switch l.TLS {
		case TLSAuto, TLSOff:
		case TLSMutual:
			if tls.Certificate == "" || tls.ClientCA == "" {
				f.Add(path, "tls mutual needs %s.tls.certificate and client_ca", section)
			}
		default:
			f.Add(path, "tls %q is neither off nor mutual", l.TLS)
		}
	}
}

func (l Listener) checkAddress() error {
	path, ok := cutUnix(l.Address)
	descriptor, inherited := strings.CutPrefix(l.Address, "fd:")
	switch {
	case inherited:
		if n, err := strconv.ParseUint(descriptor, 10, 31); err != nil || n < 3 {
			return fmt.Errorf("%q is not the number of an inherited socket, which is at least 3", descriptor)
		}
		return nil
	case !ok:
		return checkHostPort(l.Address)
	case path == "":
		return fmt.Errorf("the path is missing")
	case len(path) > maxUnixPath:
		return fmt.Errorf("the path has %d bytes; a socket's has at most %d", len(path), maxUnixPath)
	}
	return nil
}

func cutUnix(address string) (path string, ok bool) { return strings.CutPrefix(address, "unix:") }

func checkHostPort(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("port %q is not in [0, 65535]", port) // 0 takes a free one
	}
	return nil
}

func (c *Cache) checkLimits(f *route.Faults) {
	if c.Memory < minMemory || c.Memory > maxMemory {
		f.Add("cache.memory", "%v is not in [%v, %v]", c.Memory, Bytes(minMemory), Bytes(maxMemory))
	}
	if c.ItemMax < minItem || c.ItemMax > maxItem {
		f.Add("cache.item_max", "%v is not in [%v, %v]", c.ItemMax, Bytes(minItem), Bytes(maxItem))
	} else if c.ItemMax > c.Memory/2 && c.Memory >= minMemory {
		f.Add("cache.item_max", "%v is more than half of cache.memory, %v", c.ItemMax, c.Memory)
	}
	switch c.Protocol {
	case ProtocolAuto, ProtocolASCII, ProtocolBinary:
	default:
		f.Add("cache.protocol", "%q is none of auto, ascii, binary", string(c.Protocol))
	}
	checkServing(f, "cache", serving{c.Threads, c.Connections, c.Backlog, c.RequestsPerTurn, c.IdleTimeout})
	if d := c.Prefixes.Delimiter; len(d) != 1 || d[0] <= ' ' || d[0] > '~' {
		f.Add("cache.prefixes.delimiter", "%q is not one printable ASCII character", d)
	}
}

// serving holds the settings that all sections with listeners have.
type serving struct {
	threads, connections, backlog, requestsPerTurn int
	idleTimeout                                    time.Duration
}

func checkServing(f *route.Faults, section string, s serving) {
	f.Within(section+".threads", int64(s.threads), 0, maxThreads)
	f.Within(section+".connections", int64(s.connections), 1, maxConnections)
	f.Within(section+".backlog", int64(s.backlog), 1, maxBacklog)
	f.Within(section+".requests_per_turn", int64(s.requestsPerTurn), 1, MaxRequestsPerTurn)
	if s.idleTimeout < 0 || s.idleTimeout%time.Second != 0 {
		f.Add(section+".idle_timeout", "%v is not a whole number of seconds, 0 or more", s.idleTimeout)
	}
}

func (t *TLS) check(f *route.Faults, path string) {
	if t.Certificate == "" && (t.Key != "" || t.ClientCA != "") {
		f.Add(path+".certificate", "required with key or client_ca")
	}
	if _, err := t.Version(); err != nil {
		f.Add(path+".min_version", "%v", err)
	}
	switch t.Clients {
	case ClientsAny:
	case ClientsAsked, ClientsChecked:
		if t.ClientCA == "" {
			f.Add(path+".clients", "%s needs %s.client_ca", t.Clients, path)
		}
	default:
		f.Add(path+".clients", "%q is none of any, asked, checked", t.Clients)
	}
}

// Version returns crypto/tls's number for MinVersion.
func (t *TLS) Version() (uint16, error) {
	for i, name := range []string{"1.0", "1.1", "1.2", "1.3"} {
		if t.MinVersion == name {
			return tls.VersionTLS10 + uint16(i), nil
		}
	}
	return 0, fmt.Errorf("%q is none of 1.0, 1.1, 1.2, 1.3", t.MinVersion)
}

func (c *Cache) checkRules(f *route.Faults) {
	if len(c.TTL) > maxTTLRules {
		f.Add("cache.ttl", "%d rules; at most %d", len(c.TTL), maxTTLRules)
	}
	seen := map[string]int{}
	for i, r := range c.TTL {
		path := fmt.Sprintf("cache.ttl[%d] %q", i, r.Prefix)
		if first, again := seen[r.Prefix]; again {
			f.Add(path, "the prefix already has a rule, cache.ttl[%d]", first)
		}
		seen[r.Prefix] = i
		if len(r.Prefix) > maxKeyBytes {
			f.Add(path, "the prefix has %d bytes; a key has at most %d", len(r.Prefix), maxKeyBytes)
		}
		if r.Default < 0 {
			f.Add(path, "default %v is negative", r.Default)
		} else if r.Default%time.Second != 0 {
			f.Add(path, "default %v is not a whole number of seconds", r.Default)
		}
		if !(r.Jitter >= 0 && r.Jitter < 1) {
			f.Add(path, "jitter %v is not in [0, 1)", r.Jitter)
		}
	}
}
