package node

import (
	"fmt"
	"maps"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/router"
)

// A routerSource is what the router's metrics show: a *routing.
type routerSource interface {
	pools() []router.PoolStats
	reloadCounts() (done, refused int64)
	lookups() []nameStats
}

// nameStats are the lookups of a DNS name.
type nameStats struct {
	name            string
	lookups, failed int64
	members         int
}

var (
	routed = counter("router_requests_total", "Requests for a member by result, including those that were not sent.",
		"pool", "member", "result")
	memberUp = gauge("router_member_up",
		"1 while the member serves; 0 while it is down or the keys that it missed are invalidated.", "pool", "member")
	memberPending  = gauge("router_member_pending", "Requests in flight to the member.", "pool", "member")
	memberConnects = counter("router_member_connects_total", "Connections made to the member.", "pool", "member")
	memberDowns    = counter("router_member_downs_total", "How often the member was found to be down.", "pool", "member")
	memberProbes   = counter("router_member_probes_total", "Probes of a member that is down.",
		"pool", "member")
	journalKeys = gauge("router_journal_keys", "Keys that the member missed and that are not invalidated yet.", "pool",
		"member")
	journalBytes = gauge("router_journal_bytes", "Bytes of the journal of keys that the member missed.", "pool", "member")
	journalCut   = gauge("router_journal_cut",
		"1 if the journal is incomplete, so that the member will be flushed instead.", "pool", "member")
	refillItems = counter("router_refill_items_total", "Items copied to the member from others since it returned.",
		"pool", "member")
	reloadsTotal = counter("router_reloads_total", "Reloads of the configuration by result.", "result")
	nameLookups  = counter("router_name_lookups_total", "Lookups of a DNS name of members by result.", "name",
		"result")
	nameMembers = gauge("router_name_members", "Members that the DNS name resolves to.", "name")
)

// A routerCollector reads the router's counts once per scrape.
type routerCollector struct{ source routerSource }

// Members come from the configuration and from DNS, so the number of values of the label "member"
// is bounded. The first members have a label; the others of a pool are counted together.
const (
	maxMemberLabels = 1000
	otherMembers    = "(other)"
)

// Describe is prometheus.Collector's.
func (c *routerCollector) Describe(out chan<- *prometheus.Desc) {
	describeAll(out, routed, memberUp, memberPending, memberConnects, memberDowns, memberProbes,
		journalKeys, journalBytes, journalCut, refillItems, reloadsTotal, nameLookups, nameMembers)
}

// Collect is prometheus.Collector's.
func (c *routerCollector) Collect(out chan<- prometheus.Metric) {
	labels := maxMemberLabels
	for _, p := range c.source.pools() {
		if len(p.Members) > labels {
			p.Members = append(p.Members[:labels:labels], together(p.Members[labels:]))
		}
		labels -= min(labels, len(p.Members))
		for i := range p.Members {
			collectMember(out, p.Name, &p.Members[i])
		}
	}
	done, refused := c.source.reloadCounts()
	put(out, reloadsTotal, done, "done")
	put(out, reloadsTotal, refused, "refused")
	for _, n := range c.source.lookups() {
		put(out, nameLookups, n.lookups-n.failed, n.name, "ok")
		put(out, nameLookups, n.failed, n.name, "failed")
		put(out, nameMembers, int64(n.members), n.name)
	}
}

func collectMember(out scrape, pool string, m *router.MemberStats) {
	for result, n := range m.Results {
		put(out, routed, n, pool, m.Name, result)
	}
	put(out, memberUp, flag(m.State == "up"), pool, m.Name)
	put(out, memberPending, int64(m.Pending), pool, m.Name)
	put(out, memberConnects, m.Connects, pool, m.Name)
	put(out, memberDowns, m.Downs, pool, m.Name)
	put(out, memberProbes, m.Probes, pool, m.Name)
	put(out, journalKeys, int64(m.Journal.Keys), pool, m.Name)
	put(out, journalBytes, m.Journal.Bytes, pool, m.Name)
	put(out, journalCut, flag(m.Journal.Cut), pool, m.Name)
	put(out, refillItems, m.Refill.Filled, pool, m.Name)
}

// together adds up members. The sum is up if all of them are.
func together(members []router.MemberStats) router.MemberStats {
	sum := router.MemberStats{Name: otherMembers, State: "up", Results: map[string]int64{}}
	for _, m := range members {
		if m.State != "up" {
			sum.State = m.State
		}
		for result, n := range m.Results {
			sum.Results[result] += n
		}
		sum.Pending += m.Pending
		sum.Connects += m.Connects
		sum.Downs += m.Downs
		sum.Probes += m.Probes
		sum.Journal.Keys += m.Journal.Keys
		sum.Journal.Bytes += m.Journal.Bytes
		sum.Journal.Cut = sum.Journal.Cut || m.Journal.Cut
		sum.Refill.Filled += m.Refill.Filled
	}
	return sum
}

func flag(on bool) int64 {
	if on {
		return 1
	}
	return 0
}

func (p *routing) pools() []router.PoolStats { return p.backend.Pools() }

func (p *routing) reloadCounts() (done, refused int64) { return p.reloads.Load(), p.refused.Load() }

func (p *routing) lookups() []nameStats { return p.names.lookups() }

// health is the line about the router that /healthz shows.
func (p *routing) health() string {
	pools := p.backend.Pools()
	members, states := 0, map[string]int{}
	for _, pool := range pools {
		for _, m := range pool.Members {
			members++
			states[m.State]++
		}
	}
	return fmt.Sprintf("%d pools, %d members, %d up, %d down, %d returning", len(pools), members, states["up"],
		states["down"], states["returning"])
}

// lookups are the counts of the names that are followed.
func (d *discovery) lookups() []nameStats {
	d.mu.Lock()
	followed := maps.Clone(d.names)
	d.mu.Unlock()
	var all []nameStats
	for name, f := range followed {
		all = append(all, nameStats{name, f.stats.Lookups(), f.stats.Failures(), f.stats.Members()})
	}
	return all
}
