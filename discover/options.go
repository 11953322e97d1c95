package discover

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// MaxMembers bounds a list. More records than that are an error, as they can't be meant.
const MaxMembers = 1024

const (
	defaultInterval = 10 * time.Second
	defaultTimeout  = 5 * time.Second
	jitterShare     = 0.1 // of the interval, to both sides
)

// A Resolver asks DNS; *net.Resolver is one. A name without records is an error for which
// net.DNSError.IsNotFound holds, or an empty answer.
type Resolver interface {
	// LookupNetIP returns the addresses of host of one network, "ip4" or "ip6".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	// LookupSRV returns the service records of name as it is, when service and proto are empty.
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error)
}

// Options say which name is followed and how. The zero value of a field means its default.
type Options struct {
	Name string // dns:NAME:PORT or srv:NAME

	// Network is which addresses count: "ip4", "ip6", or "ip" (default) for both. With both, a
	// time-out of either question is a failure: the half of the members that has no answer must not
	// be taken for gone. Where a DNS server never answers for AAAA, say "ip4".
	Network string

	Interval time.Duration // between lookups, 10 % more or less by chance; default 10 s
	Timeout  time.Duration // for a whole lookup; default 5 s
	Resolver Resolver      // default Go's own, which reads /etc/hosts and /etc/resolv.conf
	Log      *slog.Logger  // default: none. What changes is logged: the list, and whether lookups fail
	Stats    *Stats        // counted here, if set
}

// complete fills in the defaults and takes the name apart.
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
