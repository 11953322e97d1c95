package discover

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// MaxMembers limits a list. More records than that are an error.
const MaxMembers = 1024

const (
	defaultInterval = 10 * time.Second
	defaultTimeout  = 5 * time.Second
	jitterShare     = 0.1 // of the interval, in either direction
)

// A Resolver looks names up in DNS; *net.Resolver is one. For a name without records it returns
// nothing, or a net.DNSError with IsNotFound set.
type Resolver interface {
	// LookupNetIP returns the addresses of host in one network, "ip4" or "ip6".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	// LookupSRV returns the service records of name itself if service and proto are empty.
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error)
}

// Options select the name to follow, and how. The zero value of a field means its default.
type Options struct {
	Name string // dns:NAME:PORT or srv:NAME

	// Network selects the addresses: "ip4", "ip6", or "ip" (default) for both. With both, a lookup
	// fails if either network times out: otherwise that network's members would be removed. If the
	// DNS server never answers for AAAA, use "ip4".
	Network string

	Interval time.Duration // between lookups, at random 10 % more or less; default 10 s
	Timeout  time.Duration // for a whole lookup; default 5 s
	Resolver Resolver      // default Go's own, which reads /etc/hosts and /etc/resolv.conf
	Log      *slog.Logger  // of changes: of the list, and of whether lookups fail; default none
	Stats    *Stats        // counts the lookups, if set
}

// complete sets the defaults and parses the name.
func (o *Options) complete() (target, error) {
	t, err := parse(o.Name)
	if err != nil {
		return target{}, err
	}
	switch o.Network {
	case "":
		o.Network = "ip"
	case "ip", "ip4", "ip6":
	default:
		return target{}, fmt.Errorf("network %q: want ip, ip4 or ip6", o.Network)
	}
	if o.Interval < 0 || o.Timeout < 0 {
		return target{}, fmt.Errorf("interval %v, timeout %v: a time can't be negative", o.Interval, o.Timeout)
	}
	if o.Interval == 0 {
		o.Interval = defaultInterval
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Resolver == nil {
		o.Resolver = &net.Resolver{PreferGo: true}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Stats == nil {
		o.Stats = new(Stats)
	}
	return t, nil
}
