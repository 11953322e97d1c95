package twemproxy

import (
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"holdfast/route"
	"holdfast/yamltree"
)

// twemproxy's defaults.
const (
	defaultHash         = "fnv1a_64"
	defaultDistribution = "ketama"
	defaultBacklog      = 512
	defaultRetry        = 30 * time.Second
	defaultFailures     = 2
)

// A File holds the contents of a configuration.
type File struct {
	Options   route.Options // the pools; Listeners, not Route, select the pool of a request
	Listeners []Listener    // one for each pool
	Backlog   int           // the largest of the pools'
}

// A Listener is where the clients of a pool connect.
type Listener struct {
	Address string      // HOST:PORT or unix:PATH
	Mode    fs.FileMode // of a Unix socket; 0 if it isn't given
	Pool    string
}

// ParseOptions are the options of Parse.
type ParseOptions struct {
	// Warn is called for settings that have no effect here, or another one. Nil ignores them.
	Warn func(route.Fault)
}

// Is reports whether text is a configuration of twemproxy: YAML in which each key has a mapping
// with servers.
func Is(text []byte) bool {
	top, err := parseYAML(text)
	if err != nil || top == nil {
		return false
	}
	pools := 0
	for entries := top.MapRange(); entries.Next(); {
		pool, ok := entries.Value().(ast.MapNode)
		if !ok || value(pool, "servers") == nil {
			return false
		}
		pools++
	}
	return pools > 0
}

func parseYAML(text []byte) (ast.MapNode, error) {
	body, err := yamltree.Parse(text)
	if err != nil {
		return nil, err
	}
	top, ok := body.(ast.MapNode)
	if !ok {
		return nil, fmt.Errorf("the file must be a mapping of pools")
	}
	return top, nil
}

func value(m ast.MapNode, key string) ast.Node {
	for entries := m.MapRange(); entries.Next(); {
		if text(entries.Key()) == key {
			return entries.Value()
		}
	}
	return nil
}

// text returns a scalar as written in the file, without quotes; "" if node is not a scalar.
func text(node ast.Node) string {
	switch n := node.(type) {
	case *ast.MappingKeyNode:
		return text(n.Value)
	case *ast.StringNode:
		return n.Value
	case ast.ScalarNode:
		return n.GetToken().Value
	}
	return ""
}

// Parse returns the pools of a configuration and where they listen.
func Parse(text []byte, o ParseOptions) (File, error) {
	top, err := parseYAML(text)
	if err != nil {
		return File{}, route.Faults{{Text: err.Error()}}
	}
	r := &reader{warn: o.Warn}
	for entries := top.MapRange(); entries.Next(); {
		r.pool(entries.Key(), entries.Value())
	}
	if len(r.file.Listeners) == 0 && len(r.faults) == 0 {
		r.fault("", "no pools")
	}
	if len(r.faults) > 0 {
		return File{}, r.faults
	}
	return r.file, nil
}

type reader struct {
	file   File
	faults route.Faults
	warn   func(route.Fault)
}

func (r *reader) fault(path, format string, args ...any) {
	r.faults = append(r.faults, route.Fault{Path: path, Text: fmt.Sprintf(format, args...)})
}

func (r *reader) warning(path, format string, args ...any) {
	if r.warn != nil {
		r.warn(route.Fault{Path: path, Text: fmt.Sprintf(format, args...)})
	}
}

// settings holds the settings of one pool, with twemproxy's defaults.
type settings struct {
	path                              string
	listen, hash, distribution, tag   string
	timeout, backlog, retry, failures int // -1 if not set; times in milliseconds
	connections                       int
	eject, redis                      bool
	servers                           ast.Node
	r                                 *reader
}

func (r *reader) pool(key, node ast.Node) {
	name := text(key)
	mapping, ok := node.(ast.MapNode)
	if !ok {
		r.fault(name, "must be a mapping: the settings of a pool")
		return
	}
	s := settings{path: name, hash: defaultHash, distribution: defaultDistribution, timeout: -1, backlog: -1, retry: -1,
		failures: -1, connections: 1, r: r}
	for entries := mapping.MapRange(); entries.Next(); {
		s.take(text(entries.Key()), entries.Value())
	}
	if s.redis {
		r.fault(name+".redis", "a pool for Redis isn't supported")
		return
	}
	p := route.Pool{Name: name, Members: s.members(), Connections: s.connections, OnError: route.ErrorAsError}
	p.Hash = route.Hash{Placement: s.placement(), Function: s.hash, Tag: s.tag}
	s.times(&p)
	r.file.Options.Pools = append(r.file.Options.Pools, p)
	r.file.Backlog = max(r.file.Backlog, orElse(s.backlog, defaultBacklog))
	s.listener()
}

func (s *settings) take(key string, node ast.Node) {
	v := text(node)
	switch key {
	case "listen":
		s.listen = v
	case "hash":
		s.hash = v // package ring has the same names
	case "distribution":
		s.distribution = v
	case "hash_tag":
		s.tag = v
	case "timeout":
		s.timeout = s.number(key, v)
	case "backlog":
		s.backlog = s.number(key, v)
	case "server_connections":
		if s.connections = s.number(key, v); s.connections == 0 {
			s.r.fault(s.path+"."+key, "must be above 0")
		}
	case "server_retry_timeout":
		s.retry = s.number(key, v)
	case "server_failure_limit":
		s.failures = s.number(key, v)
	case "auto_eject_hosts":
		s.eject = s.truth(key, v)
	case "redis":
		s.redis = s.truth(key, v)
	case "redis_auth", "redis_db":
		s.r.fault(s.path+"."+key, "a pool for Redis isn't supported")
	case "client_connections":
		s.r.warning(s.path+"."+key, "has no effect, as in twemproxy: router.connections is the limit of all clients")
	case "preconnect", "tcpkeepalive", "reuseport":
		if s.truth(key, v) {
			s.r.warning(s.path+"."+key, "has no effect here")
		}
	case "servers":
		s.servers = node
	default:
		s.r.fault(s.path+"."+key, "unknown setting")
	}
}

func (s *settings) number(key, v string) int {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		s.r.fault(s.path+"."+key, "%q is not a whole number, 0 or more", v)
	}
	return int(n)
}

func (s *settings) truth(key, v string) bool {
	if v != "true" && v != "false" {
		s.r.fault(s.path+"."+key, "%q is neither true nor false", v)
	}
	return v == "true"
}

func (s *settings) placement() string {
	switch s.distribution {
	case "ketama", "random":
		return s.distribution
	case "modula":
		return "modulo"
	}
	s.r.fault(s.path+".distribution", "%q is none of ketama, modula, random", s.distribution)
	return ""
}

// times sets the pool's time-outs, and when a server is ejected.
func (s *settings) times(p *route.Pool) {
	if s.timeout > 0 {
		p.Timeout = time.Duration(s.timeout) * time.Millisecond
		p.ConnectTimeout = p.Timeout
	} else {
		s.r.warning(s.path, "no timeout: twemproxy would wait forever, here a request times out after %v",
			route.DefaultTimeout)
	}
	if !s.eject {
		if s.retry >= 0 || s.failures >= 0 {
			s.r.warning(s.path, "server_retry_timeout and server_failure_limit have no effect without auto_eject_hosts")
		}
		return
	}
	p.Eject = true
	p.SoftErrors = orElse(s.failures, defaultFailures)
	p.ProbeMin = defaultRetry
	if s.retry > 0 {
		p.ProbeMin = time.Duration(s.retry) * time.Millisecond
	}
	p.ProbeMax = p.ProbeMin
}

func orElse(n, otherwise int) int {
	if n < 0 {
		return otherwise
	}
	return n
}

func (s *settings) listener() {
	l := Listener{Pool: s.path}
	path, mode, hasMode := strings.Cut(s.listen, " ")
	switch {
	case s.listen == "":
		s.r.fault(s.path+".listen", "missing")
	case path[0] != '/':
		l.Address = withPort(s.listen)
	default:
		l.Address = "unix:" + path
		n, err := strconv.ParseUint(mode, 8, 32)
		if hasMode && (err != nil || n > 0o777) {
			s.r.fault(s.path+".listen", "%q is not an access mode in octal", mode)
		}
		l.Mode = fs.FileMode(n)
	}
	s.r.file.Listeners = append(s.r.file.Listeners, l)
}

// withPort puts an IPv6 address in brackets, which twemproxy's file doesn't have.
func withPort(address string) string {
	host, port := cutLast(address, ":")
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	return host + ":" + port
}

// cutLast cuts the text at the last separator; without a separator, before is all of it.
func cutLast(text, separator string) (before, after string) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):]
	}
	return text, ""
}

func (s *settings) members() []route.Member {
	list, ok := s.servers.(*ast.SequenceNode)
	if !ok || len(list.Values) == 0 {
		s.r.fault(s.path, "no servers")
		return nil
	}
	var members []route.Member
	for i, node := range list.Values {
		m, err := member(text(node))
		if err != nil {
			s.r.fault(fmt.Sprintf("%s.servers[%d]", s.path, i), "%q %v", text(node), err)
			continue
		}
		if strings.HasSuffix(m.Name, ":11211") {
			s.r.warning(fmt.Sprintf("%s.servers[%d]", s.path, i),
				"keys may move: here the hash ignores :11211 at the end of a name, in twemproxy only of a server without a name")
		}
		members = append(members, m)
	}
	return members
}

var serverForm = regexp.MustCompile(`^(/[^ ]+|[^/ ][^ ]*:[0-9]+):([0-9]+)(?: (.+))?$`)

// member parses "host:port:weight name" or "/path:weight name"; the name is optional.
func member(server string) (route.Member, error) {
	parts := serverForm.FindStringSubmatch(server)
	if parts == nil {
		return route.Member{}, fmt.Errorf("is neither HOST:PORT:WEIGHT nor /PATH:WEIGHT, optionally followed by a name")
	}
	m := route.Member{Name: parts[3]}
	weight, err := strconv.ParseUint(parts[2], 10, 31)
	if err != nil || weight == 0 {
		return m, fmt.Errorf("has a weight that is not a whole number above 0")
	}
	if weight > 1 {
		m.Weight = int(weight)
	}
	if parts[1][0] == '/' {
		m.Address = "unix:" + parts[1]
		if m.Name == "" {
			m.Name = parts[1] + ":" // twemproxy hashes the path with the colon
		}
		return m, nil
	}
	m.Address = withPort(parts[1])
	if m.Name == "" && m.Address != parts[1] {
		m.Name = strings.TrimSuffix(parts[1], ":11211")
	}
	return m, nil
}
