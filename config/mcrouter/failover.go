package mcrouter

import (
	"fmt"
	"slices"
	"time"

	"holdfast/route"
)

const (
	failoverExptime = 60 * time.Second // FailoverWithExptimeRoute's
	failoverBurst   = 1000             // failover_limit's
	latestChildren  = 5                // LatestRoute's failover_count
)

// errorNames maps mcrouter's names of errors to Holdfast's.
var errorNames = []struct{ theirs, ours string }{
	{"connect_error", "connect"},
	{"connect_timeout", "connect_timeout"},
	{"timeout", "timeout"},
	{"tko", "down"},
	{"busy", "busy"},
	{"try_again", "busy"},
	{"remote_error", "server_error"},
}

// undistinguished are errors of mcrouter that the router doesn't distinguish from others.
var undistinguished = []string{
	"ooo", "shutdown", "bad_command", "bad_key", "bad_flags", "bad_exptime", "bad_lease_id", "bad_cas_id", "bad_value",
	"aborted", "client_error", "local_error", "waiting", "deadline_exceeded", "permission_denied", "hot_key", "overloaded",
}

// anyError is the policy by which mcrouter fails over by default: after every error, those from
// servers included.
func anyError() route.FailoverPolicy {
	var all []string
	for _, e := range errorNames {
		if !slices.Contains(all, e.ours) {
			all = append(all, e.ours)
		}
	}
	return route.FailoverPolicy{Reads: all, Updates: all, Deletes: all}
}

// errorNamesAt reads a list of names of errors.
func (n *notes) errorNamesAt(path string, v any) []string {
	list, ok := v.([]any)
	if !ok {
		n.fault(path, "must be a list, not %s", typeName(v))
	}
	names := []string{} // no errors; nil would be the default
	for i, element := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		name, _ := element.(string)
		ours := ""
		for _, e := range errorNames {
			if e.theirs == name {
				ours = e.ours
			}
		}
		switch {
		case slices.Contains(undistinguished, name):
			n.warn(at, "has no effect here: %s is not distinguished", name)
		case ours == "":
			n.fault(at, "unknown error %s", describe(element))
		case !slices.Contains(names, ours):
			names = append(names, ours)
		}
	}
	return names
}

// readPolicy reads failover_errors, failover_limit and failover_policy.
func readPolicy(r *reader, children int) route.FailoverPolicy {
	p := anyError()
	if v, found := r.get("failover_errors"); found {
		path := r.at("failover_errors")
		if o, ok := v.(*object); ok {
			f := r.notes.reader(path, o)
			for _, l := range []struct {
				key    string
				errors *[]string
			}{{"gets", &p.Reads}, {"updates", &p.Updates}, {"deletes", &p.Deletes}} {
				if v, found := f.get(l.key); found {
					*l.errors = r.errorNamesAt(f.at(l.key), v)
				}
			}
			f.end()
		} else {
			p.Reads = r.errorNamesAt(path, v)
			p.Updates, p.Deletes = p.Reads, p.Reads
		}
	}
	if o := r.object("failover_limit"); o != nil {
		l := r.notes.reader(r.at("failover_limit"), o)
		p.Ratio = min(l.number("rate"), 1)
		p.Burst = failoverBurst
		if l.has("burst") {
			p.Burst = max(l.number("burst"), 1)
		}
		if p.Ratio <= 0 {
			r.fault(l.at("rate"), "must be above 0")
		}
		l.end()
	}
	if o := r.object("failover_policy"); o != nil {
		readOrder(r.notes.reader(r.at("failover_policy"), o), &p, children)
	}
	return p
}

// readOrder reads the order in which children are tried, and the number of tries.
func readOrder(r *reader, p *route.FailoverPolicy, children int) {
	tries := r.int("max_tries")
	switch kind := r.string("type"); kind {
	case "LeastFailuresPolicy":
		p.Order = route.LeastFailures
		if tries == 0 {
			r.fault(r.path, "max_tries is missing")
		}
	case "DeterministicOrderPolicy", "RendezvousPolicy":
		p.Order = route.InRendezvousOrder
		r.ignore("max_tries limits the tries", "max_error_tries")
		r.ignore("the order depends on the key alone", "hash", "tags", "enable_failure_domains", "ignore_normal_reply_index",
			"max_tries_without_failure_domains")
		r.warn(r.path, "the order after the first child differs from mcrouter's")
	default: // whatever its name, as in mcrouter
		if kind != "DefaultPolicy" && kind != "InOrderPolicy" {
			r.warn(r.at("type"), "%q is treated as the default, children in order", kind)
		}
		tries = 0
	}
	r.ignore("every error of failover_errors causes failover", "exclude_errors")
	if tries < 0 {
		r.fault(r.at("max_tries"), "%d is negative", tries)
	}
	p.MaxTries = min(tries, children)
	r.end()
}

func (b *builder) failoverRoute(path string, v any) []route.Route {
	r, children := b.children(path, v)
	policy, exptime := anyError(), time.Duration(0)
	if r != nil {
		policy = readPolicy(r, len(children))
		exptime = r.seconds("failover_exptime")
		ignoreFailoverExtras(r)
		r.end()
	}
	made := parentOf(route.KindFailover, children)
	if made.Kind == route.KindFailover {
		made.Failover, made.Exptime = policy, exptime
	}
	return one(made)
}

// ignoreFailoverExtras reads the options that have no counterpart.
func ignoreFailoverExtras(r *reader) {
	r.ignore("leases aren't supported", "enable_lease_pairing")
	r.ignore("keys get no failover tag", "failover_tag")
	r.ignore("the order of failover depends on the key alone", "hash", "tags")
}

func (b *builder) failoverWithExptime(r *reader) []route.Route {
	normal, failover := r.route("normal"), r.routes("failover")
	made := route.Route{Kind: route.KindFailover, Exptime: failoverExptime}
	if r.has("failover_exptime") {
		made.Exptime = max(r.seconds("failover_exptime"), 0)
	}
	made.Failover = readPolicy(r, 1+len(failover))
	ignoreFailoverExtras(r)
	r.ignore("failover_errors and failover_limit decide", "settings")
	if normal == nil {
		return nil
	}
	made.Children = append(one(*normal), failover...)
	return one(made)
}

func (b *builder) latestRoute(path string, v any) []route.Route {
	r, children := b.children(path, v)
	if r == nil {
		r = b.reader(path, newObject())
	}
	made := b.latest(r, children)
	r.end()
	return one(made)
}

func (b *builder) latest(r *reader, children []route.Route) route.Route {
	made := parentOf(route.KindLatest, children)
	if r.has("failover_count") && r.int("failover_count") <= 0 {
		b.fault(r.at("failover_count"), "must be a number above 0")
	}
	count := min(orElse(r.int("failover_count"), latestChildren), len(children))
	policy := readPolicy(r, count)
	salt := r.string("salt")
	r.ignore("all event loops choose the same child", "thread_local_failover")
	r.onlyDefault(nil, "weights")
	ignoreFailoverExtras(r)
	if made.Kind == route.KindLatest {
		made.Latest, made.Failover, made.Hash.Salt = count, policy, salt
	}
	return made
}
