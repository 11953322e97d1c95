package mcrouter

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/route"
)

// mcrouter's defaults.
const (
	serverTimeout = time.Second
	softErrors    = 3
	probeMin      = 10 * time.Second
	probeMax      = 60 * time.Second
)

// pools makes the pools of a file: those that routes use, at their first use, and then the rest of
// the section "pools".
type pools struct {
	*notes
	byName map[string]*source
	order  []string     // of the names in the section
	made   []route.Pool // in the order in which they were made, until makeRest

	inherited int // options, at most maxInherited
}

// A source is a pool of the file, and what was made of it.
type source struct {
	name  string
	path  string
	json  *object
	state state // of inheritance

	failed bool // it has faults, which were reported

	place    int           // in pools.made, from 1 on; 0 if it isn't there
	hashed   bool          // its hash is that of a route: see pools.hashOf
	own      route.Hash    // of routes that set no hash
	servers  int           // their number
	byServer []route.Route // one for each server: see pools.each
	ifEmpty  route.Route   // where requests go if it has no servers
}

// take records the section "pools".
func (ps *pools) take(o *object) {
	if o == nil {
		return
	}
	for _, name := range o.keys {
		at := join("pools", name)
		json, ok := o.values[name].(*object)
		if !ok {
			ps.fault(at, "must be a mapping, not %s", typeName(o.values[name]))
			continue
		}
		ps.byName[name] = &source{name: name, path: at, json: json}
	}
	ps.order = o.keys
}

// makeRest makes the pools that no route uses, except those without the option servers: other pools
// inherit from them.
func (ps *pools) makeRest() {
	for _, name := range ps.order {
		s := ps.byName[name]
		if s == nil || s.done() {
			continue
		}
		if _, found := ps.inherit(s).values["servers"]; found {
			ps.create(s)
		}
	}
	// Pools are in the order of the file, not in that of their use.
	place := func(p route.Pool) int {
		name, _, _ := strings.Cut(p.Name, serverMark)
		if i := slices.Index(ps.order, name); i >= 0 {
			return i
		}
		return len(ps.order)
	}
	slices.SortStableFunc(ps.made, func(x, y route.Pool) int { return place(x) - place(y) })
}

// use returns the pool that v names or defines, and makes it at its first use; nil after a fault.
func (ps *pools) use(path string, v any) *source {
	var s *source
	switch v := v.(type) {
	case string:
		if s = ps.byName[v]; s == nil {
			ps.fault(path, "there is no pool %q", v)
			return nil
		}
	case *object:
		name, ok := v.values["name"].(string)
		if !ok {
			ps.fault(path, "the name of the pool is missing")
			return nil
		}
		if s = ps.byName[name]; s == nil {
			s = &source{name: name, path: path, json: v}
			ps.byName[name] = s
		}
	default:
		ps.fault(path, "must be a pool, not %s", typeName(v))
		return nil
	}
	if !s.done() {
		ps.create(s)
	}
	if s.failed {
		return nil
	}
	return s
}

// done reports whether the pool was made, is empty, or failed.
func (s *source) done() bool { return s.place != 0 || s.ifEmpty.Kind != "" || s.failed }

// inherit returns the pool's options and those that it inherits from other pools.
func (ps *pools) inherit(s *source) *object {
	parent, found := s.json.values["inherit"]
	if !found || s.state == made {
		return s.json
	}
	if s.state == making {
		ps.fault(s.path+".inherit", "the pool inherits from itself")
		return s.json
	}
	s.state = making
	whole := s.json.without("inherit")
	if name, ok := parent.(string); !ok {
		ps.fault(s.path+".inherit", "must be the name of a pool, not %s", typeName(parent))
	} else if from := ps.byName[name]; from == nil {
		ps.fault(s.path+".inherit", "there is no pool %q", name)
	} else {
		ps.complete(whole, s.path, ps.inherit(from))
	}
	s.json, s.state = whole, made
	return whole
}

// complete adds the options of another pool to those of the pool at path that lack them.
func (ps *pools) complete(whole *object, path string, others *object) {
	before := ps.inherited
	if ps.inherited += len(others.keys); ps.inherited > maxInherited {
		if before <= maxInherited {
			ps.fault(path+".inherit", "the pools inherit more than %d options", maxInherited)
		}
		return
	}
	for _, key := range others.keys {
		if _, own := whole.values[key]; !own && key != "name" {
			whole.set(key, others.values[key])
		}
	}
}

func (ps *pools) create(s *source) {
	before := len(ps.faults)
	r := ps.reader(s.path, ps.inherit(s))
	p := route.Pool{
		Name: s.name, SoftErrors: orElse(ps.options.SoftErrors, softErrors),
		ProbeMin: orElse(ps.options.ProbeMin, probeMin), ProbeMax: orElse(ps.options.ProbeMax, probeMax),
		OnError: route.ErrorAsError, Journal: true,
	}
	if ps.options.MissOnGetErrors {
		p.OnError = route.ErrorAsMiss
	}
	ps.timeouts(r, &p)
	p.Hash.Placement = "ch3"
	if weights := r.numbers("weights"); weights != nil {
		p.Hash.Placement, p.Hash.Weights = "weighted_ch3", weights
	}
	port := r.int("port_override")
	ps.servers(r, &p, port)
	errorOnEmpty := !r.has("error_on_empty") || r.bool("error_on_empty")
	p.KeepRoutingPrefix = r.bool("keep_routing_prefix")
	ps.poolExtras(r)
	r.end()
	if s.failed = len(ps.faults) > before; s.failed {
		return
	}
	if len(p.Members) == 0 {
		s.ifEmpty = route.Route{Kind: route.KindNull}
		if errorOnEmpty {
			s.ifEmpty = route.Route{Kind: route.KindError, Response: "pool " + s.name + " has no servers"}
		}
		ps.warn(s.path, "is ignored: it has no servers")
		return
	}
	if p.Hash.Weights != nil {
		p.Hash.Weights = fitWeights(p.Hash.Weights, len(p.Members))
	}
	ps.made = append(ps.made, p)
	s.place, s.servers, s.own = len(ps.made), len(p.Members), p.Hash
}

// timeouts reads the pool's time-outs. A time-out of the command line for pools at its distance
// from the default cluster overrides the pool's.
func (ps *pools) timeouts(r *reader, p *route.Pool) {
	p.Timeout = orElse(r.milliseconds("server_timeout"), orElse(ps.options.ServerTimeout, serverTimeout))
	p.ConnectTimeout = orElse(r.milliseconds("connect_timeout"), p.Timeout)
	region, cluster := r.string("region"), r.string("cluster")
	here := strings.Split(ps.options.RoutePrefix, "/")
	if region == "" || cluster == "" || len(here) != 4 {
		return
	}
	far := ps.options.CrossRegionTimeout
	if region == here[1] {
		far = ps.options.CrossClusterTimeout
		if cluster == here[2] {
			far = ps.options.WithinClusterTimeout
		}
	}
	p.Timeout = orElse(far, p.Timeout)
}

// poolExtras reads the options that have no counterpart.
func (ps *pools) poolExtras(r *reader) {
	r.onlyDefault("ascii", "protocol")
	r.onlyDefault(false, "use_ssl", "enable_compression")
	r.onlyDefault("plain", "security_mech", "security_mech_within_dc", "security_mech_cross_dc")
	r.onlyDefault(int64(0), "additional_fanout", "port_override_within_dc", "port_override_cross_dc")
	r.ignore("packets have no QoS class", "qos")
	r.ignore("mcrouter uses it in its statistics only", "hostnames", "services", "service_id_override")
	r.ignore("failover ignores it", "failure_domains")
	r.ignore("it controls a feature that only mcrouter has", "pool_locality", "disable_request_deadline_check",
		"shard_splits_rv")
	r.ignore("the errors of each member are counted separately", "tko_tracker")
	if tags := r.strings("tags"); tags != nil && len(tags) != len(r.list("servers")) {
		ps.fault(r.at("tags"), "%d tags for %d servers", len(tags), len(r.list("servers")))
	}
}

// servers makes the members, with unique names.
func (ps *pools) servers(r *reader, p *route.Pool, port int) {
	list, found := r.get("servers")
	servers, ok := list.([]any)
	if !ok {
		text := "servers is missing"
		if found {
			text = "servers must be a list, not " + typeName(list)
		}
		ps.fault(r.path, "%s", text)
		return
	}
	if port < 0 || port > 65535 {
		ps.fault(r.at("port_override"), "%d is not a port", port)
		return
	}
	tags := r.strings("tags")
	seen := map[string]int{}
	for i, v := range servers {
		text, ok := v.(string)
		if !ok {
			ps.fault(fmt.Sprintf("%s[%d]", r.at("servers"), i),
				"must be a server, not %s; routes in pools aren't supported", typeName(v))
			continue
		}
		address, err := address(text, port)
		if err != nil {
			ps.fault(fmt.Sprintf("%s[%d]", r.at("servers"), i), "%q %v", text, err)
			continue
		}
		m := route.Member{Address: address}
		if len(tags) == len(servers) && tags[i] != address {
			m.Name = tags[i]
		}
		if seen[address]++; seen[address] > 1 && m.Name == "" {
			m.Name = fmt.Sprintf("%s#%d", address, seen[address])
		}
		p.Members = append(p.Members, m)
	}
}

// address returns a member's address for a server, host:port[:protocol[:security[:compression]]] or
// unix:path. A port that isn't 0 replaces the server's.
func address(server string, port int) (string, error) {
	host, rest := "", server
	unix := false
	if strings.HasPrefix(server, "[") {
		end := strings.IndexByte(server, ']')
		if end < 0 {
			return "", fmt.Errorf("has no ]")
		}
		host, rest = server[1:end], strings.TrimPrefix(server[end+1:], ":")
	} else {
		rest, unix = strings.CutPrefix(server, "unix:")
		host, rest, _ = strings.Cut(rest, ":")
	}
	parts := strings.Split(rest, ":")
	if unix {
		parts = append([]string{"0"}, parts...)
	}
	supported := []string{"ascii", "plain", "notcompressed"}
	for i, part := range parts[1:] {
		if i >= len(supported) {
			return "", fmt.Errorf("is not HOST:PORT")
		}
		if part != "" && part != supported[i] {
			return "", fmt.Errorf("has %s, which isn't supported", part)
		}
	}
	if host == "" {
		return "", fmt.Errorf("is not HOST:PORT")
	}
	if unix {
		return "unix:" + host, nil
	}
	n := uint64(port)
	if n == 0 {
		var err error
		if n, err = strconv.ParseUint(parts[0], 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("has no port in [1, 65535]")
		}
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// fitWeights returns n weights: it drops extra ones, and adds 0.5 for missing ones, as mcrouter
// does.
func fitWeights(weights []float64, n int) []float64 {
	weights = slices.Clone(weights[:min(n, len(weights))])
	for len(weights) < n {
		weights = append(weights, 0.5)
	}
	return weights
}

// serverMark separates, in the name of the pool of a single server, the pool that it is from and
// the index of the server.
const serverMark = "#"

// each returns a route to each server of a pool, which is what the route handle Pool means: each
// server gets its own pool.
func (ps *pools) each(s *source) []route.Route {
	if s.place == 0 {
		return []route.Route{s.ifEmpty}
	}
	if s.byServer == nil {
		whole := ps.made[s.place-1]
		for i, m := range whole.Members {
			one := whole
			one.Name = whole.Name + serverMark + strconv.Itoa(i)
			one.Members = []route.Member{m}
			one.Hash = route.Hash{}
			ps.made = append(ps.made, one)
			s.byServer = append(s.byServer, route.Route{Kind: route.KindPool, Pool: one.Name})
		}
	}
	return s.byServer
}

// hashOf returns the hash that a route to the pool must set to hash by h: none if h is the pool's
// hash. The first route to a pool sets the pool's hash.
func (ps *pools) hashOf(s *source, h route.Hash) route.Hash {
	p := &ps.made[s.place-1]
	if !s.hashed {
		s.hashed = true
		p.Hash = h
	}
	if reflect.DeepEqual(p.Hash, h) {
		return route.Hash{}
	}
	return h
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
