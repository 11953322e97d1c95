package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/discover"
	"holdfast/route"
)

// A discovery resolves the DNS names among members and follows their changes. Its methods are
// called one at a time.
type discovery struct {
	log      *slog.Logger
	resolver discover.Resolver
	every    time.Duration
	changed  func() // called on goroutines of its own

	mu    sync.Mutex // guards names and what the followed hold
	names map[string]*followed
	ended sync.WaitGroup
}

// A followed is one name.
type followed struct {
	members []discover.Member
	stats   *discover.Stats
	end     context.CancelFunc
}

func newDiscovery(o Options, changed func()) *discovery {
	return &discovery{log: o.Log, resolver: o.Resolver, every: o.NamesEvery, changed: changed,
		names: map[string]*followed{}}
}

// follow resolves the names among the pools' members that aren't followed yet, and follows their
// changes from now on. It fails, and changes nothing, if one of them resolves to no members.
func (d *discovery) follow(pools []route.Pool) error {
	var wait sync.WaitGroup
	var mu sync.Mutex // guards found and errs
	found := map[string][]discover.Member{}
	var errs []error
	for _, name := range d.missing(pools) {
		wait.Go(func() {
			members, err := discover.Lookup(context.Background(), d.options(name, nil))
			mu.Lock()
			defer mu.Unlock()
			found[name] = members
			if err != nil {
				errs = append(errs, fmt.Errorf("the members of %w", err))
			}
		})
	}
	wait.Wait()
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		d.start(name, found[name])
	}
	return nil
}

func (d *discovery) options(name string, stats *discover.Stats) discover.Options {
	return discover.Options{Name: name, Resolver: d.resolver, Interval: d.every, Log: d.log, Stats: stats}
}

// missing are the names that aren't followed.
func (d *discovery) missing(pools []route.Pool) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name := range namesOf(pools) {
		if d.names[name] == nil {
			names = append(names, name)
		}
	}
	return names
}

func namesOf(pools []route.Pool) map[string]bool {
	names := map[string]bool{}
	for _, p := range pools {
		for _, m := range p.Members {
			if discover.Is(m.Address) {
				names[m.Address] = true
			}
		}
	}
	return names
}

func (d *discovery) start(name string, members []discover.Member) {
	ctx, end := context.WithCancel(context.Background())
	f := &followed{members: members, stats: &discover.Stats{}, end: end}
	d.mu.Lock()
	d.names[name] = f
	d.mu.Unlock()
	d.ended.Go(func() {
		err := discover.Follow(ctx, d.options(name, f.stats), func(members []discover.Member) {
			d.mu.Lock()
			same := slices.Equal(members, f.members)
			f.members = members
			d.mu.Unlock()
			if !same && ctx.Err() == nil {
				d.changed()
			}
		})
		if err != nil {
			d.log.Error("cannot follow the DNS name of members", "name", name, "err", err)
		}
	})
}

// keep stops following the names that are not in the pools.
func (d *discovery) keep(pools []route.Pool) {
	kept := namesOf(pools)
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, f := range d.names {
		if !kept[name] {
			f.end()
			delete(d.names, name)
		}
	}
}

func (d *discovery) close() {
	d.keep(nil)
	d.ended.Wait()
}

// expand returns o with each name replaced by the members that it resolves to.
func (d *discovery) expand(o route.Options) route.Options {
	d.mu.Lock()
	defer d.mu.Unlock()
	o.Pools = slices.Clone(o.Pools)
	for i := range o.Pools {
		o.Pools[i].Members = d.expandMembers(o.Pools[i].Members)
	}
	return o
}

// expandMembers leaves out an address that is already in the list: a DNS record may name a server
// that the configuration names, too.
func (d *discovery) expandMembers(members []route.Member) []route.Member {
	var expanded []route.Member
	seen := map[string]bool{}
	for _, m := range members {
		list := []route.Member{m}
		if f := d.names[m.Address]; f != nil {
			list = membersOf(m, f.members)
		}
		for _, m := range list {
			if !seen[m.Address] {
				expanded = append(expanded, m)
			}
			seen[m.Address] = true
		}
	}
	return expanded
}

// membersOf returns the members that m resolves to. Keys are placed by members' names, so a name
// changes as seldom as possible:
//
//   - if the DNS name has one address, the member keeps m's name, so that a server may come back
//     with another address;
//   - the member of a service record is named by the record's target and port, for the same reason;
//     the second address of a target has "#2" appended;
//   - if the DNS name has several addresses, they are the names: nothing else distinguishes them.
func membersOf(m route.Member, found []discover.Member) []route.Member {
	members := make([]route.Member, len(found))
	times := map[string]int{}
	for i, f := range found {
		member := m
		member.Address, member.Weight = f.Address, max(1, m.Weight)*f.Weight
		switch service := service(m.Address, f); {
		case service != "":
			member.Name = service
			if times[service]++; times[service] > 1 {
				member.Name = fmt.Sprintf("%s#%d", service, times[service])
			}
		case len(found) > 1:
			member.Name = f.Address
		case m.Name == "":
			member.Name = m.Address
		}
		members[i] = member
	}
	return members
}

// service returns the target and port of a service record, "" for other kinds of names.
func service(name string, f discover.Member) string {
	if !strings.HasPrefix(name, "srv:") {
		return ""
	}
	_, port, err := net.SplitHostPort(f.Address)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(f.Name, port)
}
