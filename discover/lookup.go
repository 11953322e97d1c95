package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Errors of Lookup; others are the resolver's.
var (
	ErrEmpty   = errors.New("no records")
	ErrTooMany = fmt.Errorf("more than %d members", MaxMembers)
)

// maxQuestions limits how many targets of service records are resolved at once.
const maxQuestions = 8

// A Member is one server that DNS names.
type Member struct {
	Address string // "ip:port"
	Name    string // dns: the name that was looked up; srv: the target, without the dot at its end
	Weight  int    // srv: the record's, at least 1; dns: 1
}

// Lookup looks o.Name up once. The list is sorted by address, is never empty, and has each address
// once.
//
// A weight of 0, RFC 2782's for servers that should get few requests, becomes 1. Each address of a
// target is a member with the record's weight. An address in several records has the largest of
// their weights. A target without an address is left out.
func Lookup(ctx context.Context, o Options) ([]Member, error) {
	t, err := o.complete()
	if err != nil {
		return nil, err
	}
	return lookup(ctx, &o, t)
}

func lookup(ctx context.Context, o *Options, t target) (members []Member, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if t.port != 0 {
		members, err = lookupAddresses(ctx, o, t)
	} else {
		members, err = lookupServices(ctx, o, t)
	}
	members = arrange(members)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %v: %w", o.Timeout, context.DeadlineExceeded)
	case err != nil:
	case len(members) == 0:
		err = ErrEmpty
	case len(members) > MaxMembers:
		err = ErrTooMany
	}
	o.Stats.count(members, err)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	return members, nil
}

func lookupAddresses(ctx context.Context, o *Options, t target) ([]Member, error) {
	addresses, err := resolve(ctx, o, t.host)
	if err != nil {
		return nil, err
	}
	members := make([]Member, len(addresses))
	for i, a := range addresses {
		members[i] = Member{Address: join(a, t.port), Name: strings.TrimSuffix(t.host, "."), Weight: 1}
	}
	return members, nil
}

func lookupServices(ctx context.Context, o *Options, t target) ([]Member, error) {
	_, records, err := o.Resolver.LookupSRV(ctx, "", "", t.host)
	if err != nil && !notFound(err) {
		return nil, err
	}
	records = lowest(records)
	if len(records) > MaxMembers {
		return nil, ErrTooMany
	}
	addresses, err := resolveAll(ctx, o, records)
	if err != nil {
		return nil, err
	}
	var members []Member
	for _, r := range records {
		for _, a := range addresses[r.Target] {
			members = append(members, Member{join(a, r.Port), strings.TrimSuffix(r.Target, "."), max(1, int(r.Weight))})
		}
	}
	return members, nil
}

// lowest returns the records that clients try first, those with the lowest priority number. It
// drops records without a server: those with the target ".", by which RFC 2782 says that there is
// no such service, and those with port 0.
func lowest(records []*net.SRV) []*net.SRV {
	records = slices.DeleteFunc(slices.Clone(records), func(r *net.SRV) bool {
		return r.Target == "." || r.Target == "" || r.Port == 0
	})
	if len(records) == 0 {
		return nil
	}
	first := slices.MinFunc(records, func(a, b *net.SRV) int { return cmp.Compare(a.Priority, b.Priority) })
	return slices.DeleteFunc(records, func(r *net.SRV) bool { return r.Priority != first.Priority })
}

// resolveAll returns the addresses of each target. It fails with the first failure.
func resolveAll(ctx context.Context, o *Options, records []*net.SRV) (map[string][]netip.Addr, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex // guards addresses
	addresses := map[string][]netip.Addr{}
	targets := make(chan string)
	var wait sync.WaitGroup
	for range min(maxQuestions, len(records)) {
		wait.Go(func() {
			for host := range targets {
				found, err := resolve(ctx, o, host)
				if err != nil {
					cancel(err) // the first error is kept, and ends the other lookups
				}
				mu.Lock()
				addresses[host] = found
				mu.Unlock()
			}
		})
	}
	asked := map[string]bool{}
	for _, r := range records {
		if !asked[r.Target] {
			asked[r.Target] = true
			targets <- r.Target
		}
	}
	close(targets)
	wait.Wait()
	return addresses, context.Cause(ctx)
}

// resolve returns the addresses of host, none if it has none. The two networks are looked up one by
// one, since a lookup of "ip" succeeds if only one of them fails.
func resolve(ctx context.Context, o *Options, host string) ([]netip.Addr, error) {
	networks := []string{"ip4", "ip6"}
	if o.Network != "ip" {
		networks = []string{o.Network}
	}
	var all []netip.Addr
	for _, network := range networks {
		found, err := o.Resolver.LookupNetIP(ctx, network, host)
		if err != nil && !notFound(err) {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func notFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

func join(a netip.Addr, port uint16) string {
	return net.JoinHostPort(a.Unmap().String(), strconv.Itoa(int(port)))
}

// arrange sorts the members and keeps one of each address, the one with the largest weight.
func arrange(members []Member) []Member {
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(
			cmp.Compare(a.Address, b.Address), cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Name, b.Name))
	})
	return slices.CompactFunc(members, func(a, b Member) bool { return a.Address == b.Address })
}
