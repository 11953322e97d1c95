package route

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Limits of options.
const (
	maxPools       = 1024
	maxMembers     = 10_000 // of a pool
	maxConnections = 64     // to a member, from each event loop
	maxInFlight    = 100_000_000
	minChunkBytes  = 1 << 10
	maxChunkBytes  = 1 << 30
)

// oneOf adds a fault unless value is one of the allowed ones.
func oneOf[T ~string](f *Faults, path string, value T, allowed ...T) {
	if !slices.Contains(allowed, value) {
		f.Add(path, "%q is none of %s", value, list(allowed))
	}
}

func list[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return strings.Join(texts, ", ")
}

// Check returns all faults of o, which must have its defaults.
func (o *Options) Check() Faults {
	var f Faults
	if len(o.Pools) > maxPools {
		f.Add("pools", "%d pools; at most %d", len(o.Pools), maxPools)
	}
	seen := map[string]int{}
	for i := range o.Pools {
		p := &o.Pools[i]
		path := o.poolPath(i)
		if p.Name == "" {
			f.Add(path+".name", "missing")
		} else if first, again := seen[p.Name]; again {
			f.Add(path, "pools[%d] has the same name", first)
		} else {
			seen[p.Name] = i
		}
		o.checkPool(&f, path, p)
	}
	o.checkCycles(&f, "failover", func(p *Pool) string { return p.Failover })
	o.checkCycles(&f, "warm_from", func(p *Pool) string { return p.WarmFrom })
	if o.Route.IsZero() {
		f.Add("route", "neither a route nor a pool")
	} else {
		f = append(f, o.CheckRoute("route", &o.Route)...)
	}
	for i := range o.Entries {
		if !o.Entries[i].IsZero() {
			f = append(f, o.CheckRoute(fmt.Sprintf("entries[%d]", i), &o.Entries[i])...)
		}
	}
	o.checkClusters(&f)
	if o.Journal.MaxBytes < 0 {
		f.Add("journal.max_bytes", "%d is negative", o.Journal.MaxBytes)
	}
	if o.Journal.MaxAge < 0 {
		f.Add("journal.max_age", "%v is negative", o.Journal.MaxAge)
	}
	return f
}

func (o *Options) poolPath(i int) string { return fmt.Sprintf("pools[%d] %q", i, o.Pools[i].Name) }

func (o *Options) pool(name string) *Pool {
	for i := range o.Pools {
		if o.Pools[i].Name == name {
			return &o.Pools[i]
		}
	}
	return nil
}

// refer adds a fault if name is not "" and there is no pool of that name.
func (o *Options) refer(f *Faults, path, name string) {
	if name != "" && o.pool(name) == nil {
		f.Add(path, "there is no pool %q", name)
	}
}

func (o *Options) checkPool(f *Faults, path string, p *Pool) {
	switch p.Kind {
	case Sharded:
		if p.Acknowledge != "" {
			f.Add(path, "a sharded pool has no acknowledge")
		}
		if p.Read != "" {
			f.Add(path, "a sharded pool has no read")
		}
		p.checkHash(f, path+".hash", &p.Hash)
	case Replicated:
		if !p.Hash.IsZero() {
			f.Add(path, "a replicated pool has no hash")
		}
		if p.Eject {
			f.Add(path, "a replicated pool has no eject: its members all hold the same items")
		}
		oneOf(f, path+".acknowledge", p.Acknowledge, AckAll, AckMajority, AckFirst, AckFastest, AckNone)
		oneOf(f, path+".read", p.Read, ReadRandom, ReadNear, ReadFirst)
	default:
		oneOf(f, path+".kind", p.Kind, Sharded, Replicated)
	}
	p.checkMembers(f, path)
	p.checkLimits(f, path)
	oneOf(f, path+".on_error", p.OnError, ErrorAsError, ErrorAsMiss)
	o.refer(f, path+".failover", p.Failover)
	o.refer(f, path+".warm_from", p.WarmFrom)
	if p.Failover == "" && p.FailoverTTL != 0 {
		f.Add(path+".failover_ttl", "needs failover")
	}
}

func (p *Pool) checkMembers(f *Faults, path string) {
	if len(p.Members) == 0 {
		f.Add(path, "no members")
	}
	if len(p.Members) > maxMembers {
		f.Add(path, "%d members; at most %d", len(p.Members), maxMembers)
	}
	seen := map[string]int{}
	for i, m := range p.Members {
		at := fmt.Sprintf("%s.members[%d] %q", path, i, m.Address)
		if err := checkAddress(m.Address); err != nil {
			f.Add(at, "%v", err)
		}
		if first, again := seen[m.Name]; again {
			f.Add(at, "members[%d] has the same name, %q", first, m.Name)
		} else {
			seen[m.Name] = i
		}
		f.Within(at+".weight", int64(m.Weight), 1, 1_000_000)
		if m.Near && p.Read != ReadNear {
			f.Add(at+".near", "needs read: near")
		}
	}
}

func (p *Pool) checkLimits(f *Faults, path string) {
	for _, d := range []struct {
		name  string
		value int64
	}{
		{"timeout", int64(p.Timeout)}, {"connect_timeout", int64(p.ConnectTimeout)},
		{"probe_min", int64(p.ProbeMin)}, {"probe_max", int64(p.ProbeMax)}, {"failover_ttl", int64(p.FailoverTTL)},
	} {
		if d.value < 0 {
			f.Add(path+"."+d.name, "a duration must not be negative")
		}
	}
	if p.ProbeMax < p.ProbeMin {
		f.Add(path+".probe_max", "%v is less than probe_min, %v", p.ProbeMax, p.ProbeMin)
	}
	f.Within(path+".connections", int64(p.Connections), 1, maxConnections)
	f.Within(path+".soft_errors", int64(p.SoftErrors), 1, 1_000_000)
	f.Within(path+".max_in_flight", int64(p.MaxInFlight), 1, maxInFlight)
	p.checkKept(f, path)
	if p.BigValues && p.ChunkBytes == 0 {
		f.Add(path+".big_values", "needs chunk_bytes")
	}
	if p.ChunkBytes != 0 {
		f.Within(path+".chunk_bytes", int64(p.ChunkBytes), minChunkBytes, maxChunkBytes)
	}
}

// checkKept adds a fault if a pool that keeps prefixes has options by which the router sends
// requests of its own, whose keys have no prefix.
func (p *Pool) checkKept(f *Faults, path string) {
	if !p.KeepRoutingPrefix {
		return
	}
	if p.Kind != Sharded || p.Eject || p.Failover != "" || p.Hash.Load > 0 || p.WarmFrom != "" {
		f.Add(path+".keep_routing_prefix", "needs a sharded pool without eject, failover, hash.load and warm_from")
	}
}

// checkAddress returns an error unless the address has a form of Member.Address.
func checkAddress(address string) error {
	if address == "cache" {
		return nil
	}
	scheme, rest, _ := strings.Cut(address, ":")
	switch scheme {
	case "unix":
		if rest == "" {
			return fmt.Errorf("the path is missing")
		}
		return nil
	case "srv":
		if rest == "" {
			return fmt.Errorf("the name is missing")
		}
		return nil
	case "dns":
		address = rest
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("%q is not HOST:PORT", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is not in [1, 65535]", port)
	}
	return nil
}

// checkCycles adds a fault for each pool that next leads back to.
func (o *Options) checkCycles(f *Faults, field string, next func(*Pool) string) {
	for i := range o.Pools {
		p := &o.Pools[i]
		way := []string{p.Name}
		for at := o.pool(next(p)); at != nil && len(way) <= len(o.Pools); at = o.pool(next(at)) {
			way = append(way, at.Name)
			if at.Name == p.Name {
				f.Add(o.poolPath(i)+"."+field, "forms a cycle: %s", strings.Join(way, " → "))
				break
			}
		}
	}
}

func (o *Options) checkClusters(f *Faults) {
	if o.DefaultCluster != "" && !isCluster(o.DefaultCluster) {
		f.Add("default_cluster", "%q is not /REGION/CLUSTER/", o.DefaultCluster)
	}
	oneOf(f, "unknown_cluster", o.UnknownCluster, UnknownRefused, UnknownToFallback, UnknownToDefault)
	seen := map[string]int{}
	for i := range o.Clusters {
		c := &o.Clusters[i]
		path := fmt.Sprintf("clusters[%d] %q", i, c.Prefix)
		if !isCluster(c.Prefix) {
			f.Add(path, "the prefix is not /REGION/CLUSTER/")
		}
		if first, again := seen[c.Prefix]; again {
			f.Add(path, "clusters[%d] has the same prefix", first)
		} else {
			seen[c.Prefix] = i
		}
		if c.Prefix == o.DefaultCluster {
			f.Add(path, "is default_cluster, whose route is the outer one")
		}
		*f = append(*f, o.CheckRoute(path+".route", &c.Route)...)
	}
}
