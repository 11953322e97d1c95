package router

import (
	"fmt"
	"slices"
	"time"

	"holdfast"
	"holdfast/upstream"
)

// A router answers the command stats as memcached does, so that tools which read a cache's
// statistics can read a router's, and with mcrouter's names as well. A name that both have has
// memcached's meaning: cmd_get counts gets, and isn't a rate.

// Stats appends the router's part of the command stats: see server.StatsReporter. The groups beyond
// memcached's and "members" are mcrouter's (mcrouter/stats.cpp).
func (r *Router) Stats(dst []byte, group string) ([]byte, bool) {
	switch group {
	case "":
		return r.serverCounts(r.clientLines(dst)), true
	case "settings", "items", "slabs", "sizes", "external":
		return dst, true
	case "members":
		return r.memberLines(dst), true
	case "all", "detailed", "ods", "count", "cmd-error":
		return r.resultLines(r.serverCounts(r.clientLines(dst))), true
	case "servers":
		return r.serverLines(dst), true
	case "suspect_servers":
		return r.suspectLines(dst), true
	case "version":
		return fmt.Appendf(dst, "STAT mcrouter-version holdfast %s\r\n", holdfast.Version), true
	}
	return dst, false
}

// A line is one statistic.
type line struct {
	name  string
	value int64
}

func appendLines(dst []byte, lines []line) []byte {
	for _, l := range lines {
		dst = fmt.Appendf(dst, "STAT %s %d\r\n", l.name, l.value)
	}
	return dst
}

// clientLines appends the counts of clients' requests, under memcached's names and then mcrouter's.
func (r *Router) clientLines(dst []byte) []byte {
	c := r.ClientCounts()
	gets, touching := []string{"get", "gets", "gat", "gats"}, []string{"gat", "gats", "touch"}
	stores := []string{"set", "add", "replace", "append", "prepend", "cas"}
	one := func(op string, results ...string) int64 { return c.of([]string{op}, results...) }
	dst = appendLines(dst, []line{
		{"cmd_get", c.of(gets)}, {"cmd_set", c.of(stores)}, {"cmd_flush", one("flush_all")}, {"cmd_touch", c.of(touching)},
		{"cmd_meta", c.Meta},
		{"get_hits", c.of(gets, "hit")}, {"get_misses", c.of(gets, "miss")}, {"get_expired", 0}, {"get_flushed", 0},
		{"delete_misses", one("delete", "not_found")}, {"delete_hits", one("delete", "done")},
		{"incr_misses", one("incr", "not_found")}, {"incr_hits", one("incr", "done")},
		{"decr_misses", one("decr", "not_found")}, {"decr_hits", one("decr", "done")},
		{"cas_misses", one("cas", "not_found")}, {"cas_hits", one("cas", "done")}, {"cas_badval", one("cas", "exists")},
		{"touch_hits", c.of(touching, "hit", "done")}, {"touch_misses", c.of(touching, "miss", "not_found")},
		{"store_too_large", c.TooLarge}, {"store_no_memory", 0},
		{"limit_maxbytes", 0}, {"bytes", 0}, {"curr_items", 0}, {"total_items", 0}, // a router holds nothing
		{"evictions", 0}, {"reclaimed", 0}, {"expired_unfetched", 0}, {"evicted_unfetched", 0},
	})
	for _, op := range []string{"get", "gets", "gat", "gats", "set", "add", "replace", "append", "prepend", "cas",
		"delete", "incr", "decr", "touch"} {
		dst = fmt.Appendf(dst, "STAT cmd_%s_count %d\r\n", op, one(op))
	}
	dst = appendLines(dst, []line{
		{"cmd_flushall_count", one("flush_all")}, {"cmd_lease_get_count", 0}, {"cmd_lease_set_count", 0},
		{"cmd_metaget_count", 0},
	})
	failed := c.failed()
	all := c.answered()
	return appendLines(dst, []line{
		{"request_replied_count", all}, {"request_error_count", failed}, {"request_success_count", all - failed},
	})
}

// failureResults are the results that mcrouter counts as errors.
var failureResults = []string{"client_error", "server_error", "busy", "down", "connect", "connect_timeout", "timeout",
	"closed"}

func (c *ClientCounts) answered() (n int64) {
	for op := range c.Requests {
		n += c.of([]string{op})
	}
	return n
}

func (c *ClientCounts) failed(results ...string) (n int64) {
	if results == nil {
		results = failureResults
	}
	for op := range c.Requests {
		n += c.of([]string{op}, results...)
	}
	return n
}

// eachServer calls f with each member that is on the network, once, under the name that mcrouter's
// "stats servers" has for it.
func (r *Router) eachServer(f func(name string, m MemberStats)) {
	seen := map[*upstream.Upstream]bool{}
	for _, p := range r.tree.Load().pools {
		for _, m := range p.members {
			if m.to == nil || seen[m.to] {
				continue
			}
			seen[m.to] = true
			f(fmt.Sprintf("%s:ascii:plain:notcompressed-%d", m.to.Address, m.to.Timeout.Milliseconds()), r.memberStats(m))
		}
	}
}

// serverCounts appends the counts of pools, of connections to members, and of requests to them.
func (r *Router) serverCounts(dst []byte) []byte {
	var links upstream.LinkStats
	var suspect, requests, pending, opened int64
	r.eachServer(func(_ string, m MemberStats) {
		requests += m.Requests
		pending += int64(m.Pending)
		opened += m.Connects
		links.New, links.Open, links.Closed = links.New+m.Lanes.New, links.Open+m.Lanes.Open, links.Closed+m.Lanes.Closed
		if m.State != upstream.StateUp.String() || m.SoftErrors > 0 {
			suspect++
		}
	})
	dst = r.poolCounts(dst)
	dst = appendLines(dst, []line{
		{"num_servers", links.New + links.Open + links.Closed}, {"num_servers_new", links.New},
		{"num_servers_up", links.Open},
		{"num_servers_down", links.Closed}, {"num_servers_closed", links.Closed}, {"num_suspect_servers", suspect},
		{"num_connections_opened", opened}, {"num_connections_closed", opened - links.Open},
		{"request_sent_count", requests}, {"destination_inflight_reqs", pending}, {"destination_pending_reqs", 0},
		{"num_proxies", int64(len(r.lanes))},
	})
	if s := r.source.Load(); s != nil {
		dst = appendLines(dst, []line{{"config_age", int64(r.now().Sub(s.Taken) / time.Second)},
			{"config_last_success", s.Taken.Unix()}})
	}
	return dst
}

// poolCounts appends the counts of pools. A member of two pools is counted twice.
func (r *Router) poolCounts(dst []byte) []byte {
	var members, down, requests int64
	pools := r.Pools()
	for _, p := range pools {
		for _, m := range p.Members {
			members++
			requests += m.Requests
			if m.State != upstream.StateUp.String() {
				down++
			}
		}
	}
	return appendLines(dst, []line{
		{"router_pools", int64(len(pools))}, {"router_members", members}, {"router_members_down", down},
		{"router_member_requests", requests},
	})
}

// resultLines appends mcrouter's counts of errors: those that clients got, and in the names with
// "all" those that members gave.
func (r *Router) resultLines(dst []byte) []byte {
	c := r.ClientCounts()
	ofMembers := map[string]int64{}
	r.eachServer(func(_ string, m MemberStats) {
		for _, name := range failureResults {
			ofMembers[name] += m.Results[name]
		}
	})
	for _, e := range []struct {
		name string
		ours []string
	}{
		{"error", failureResults}, {"connect_error", []string{"connect", "closed"}},
		{"connect_timeout", []string{"connect_timeout"}},
		{"data_timeout", []string{"timeout"}}, {"busy", []string{"busy"}}, {"tko", []string{"down"}},
		{"client_error", []string{"client_error"}}, {"remote_error", []string{"server_error"}},
	} {
		var members int64
		for _, name := range e.ours {
			members += ofMembers[name]
		}
		dst = appendLines(dst, []line{{"result_" + e.name + "_count", c.failed(e.ours...)},
			{"result_" + e.name + "_all_count", members}})
	}
	return dst
}

// serverLines appends "stats servers": a line for each member, as mcrouter has it, but without its
// latency, which isn't measured.
func (r *Router) serverLines(dst []byte) []byte {
	r.eachServer(func(name string, m MemberStats) {
		dst = fmt.Appendf(dst, "STAT %s avg_latency_us:0.000 pending_reqs:0 inflight_reqs:%d", name, m.Pending)
		if m.State != upstream.StateUp.String() {
			dst = append(dst, " hard_tko; "...)
		}
		for _, s := range []line{{"new", m.Lanes.New}, {"up", m.Lanes.Open}, {"closed", m.Lanes.Closed}} {
			if s.value > 0 {
				dst = fmt.Appendf(dst, " %s:%d", s.name, s.value)
			}
		}
		mark := ";"
		for _, l := range mcrouterResults(m.Results) {
			dst = fmt.Appendf(dst, "%s %s:%d", mark, l.name, l.value)
			mark = ""
		}
		dst = append(dst, "\r\n"...)
	})
	return dst
}

// mcrouterNames are mcrouter's names of our results.
var mcrouterNames = map[string]string{
	"hit": "found", "miss": "notfound", "done": "ok", "not_stored": "notstored", "exists": "exists",
	"not_found":    "notfound",
	"client_error": "client_error", "server_error": "remote_error", "busy": "busy", "down": "tko",
	"connect":         "connect_error",
	"connect_timeout": "connect_timeout", "timeout": "timeout", "closed": "aborted",
}

// mcrouterResults returns the counts that aren't 0, by mcrouter's names.
func mcrouterResults(results map[string]int64) []line {
	var lines []line
	for r := upstream.Hit; r <= upstream.Closed; r++ {
		name, n := mcrouterNames[r.String()], results[r.String()]
		at := slices.IndexFunc(lines, func(l line) bool { return l.name == name })
		switch {
		case n == 0:
		case at >= 0:
			lines[at].value += n
		default:
			lines = append(lines, line{name, n})
		}
	}
	return lines
}

// suspectLines appends "stats suspect_servers": the members that failed, and how often in a row.
func (r *Router) suspectLines(dst []byte) []byte {
	r.eachServer(func(_ string, m MemberStats) {
		switch {
		case m.State != upstream.StateUp.String():
			dst = fmt.Appendf(dst, "STAT %s status:tko num_failures:%d\r\n", m.Address, max(1, m.SoftErrors))
		case m.SoftErrors > 0:
			dst = fmt.Appendf(dst, "STAT %s status:down num_failures:%d\r\n", m.Address, m.SoftErrors)
		}
	})
	return dst
}
