package topology

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/mc/client"
)

// Options say which cluster is examined, and how closely. The zero value of a field means its
// default.
type Options struct {
	Router  string   // host:port, host (port 11211), or the path of a Unix socket
	Members []string // likewise; the names need not be those in the router's configuration

	// Keys is how many keys are written; default 200, fewer with more than ten members.
	Keys int
	// Prefixes are the beginnings of keys, in turn, to examine a router's routes for different
	// prefixes. Default none.
	Prefixes []string

	Timeout time.Duration // for connecting, and for each batch of answers; default 2 s
	Settle  time.Duration // how long to look for late copies and deletes; default 1 s

	// Pause waits for d between two looks, or until ctx is done, whose error it then returns.
	// Default: real time.
	Pause func(ctx context.Context, d time.Duration) error
}

// Limits of what Options accept, and what they default to.
const (
	MaxMembers     = 100
	MinKeys        = 10     // of each prefix; with fewer, too much could be chance
	MaxLooks       = 10_000 // keys times members
	maxPrefixBytes = 100
	maxPrefixes    = 10

	defaultKeys    = 200
	defaultLooks   = 2000 // with many members, fewer keys
	defaultTimeout = 2 * time.Second
	defaultSettle  = time.Second

	maxTimeouts = 40 // of a run: more than all its steps wait for in the worst case that still proceeds
)

// longest returns the longest time that a run takes, without the deletes at its end.
func (o *Options) longest() time.Duration {
	return maxTimeouts*o.Timeout + 2*maxSettles*o.Settle
}

// complete fills in the defaults.
func (o *Options) complete() error {
	if o.Router == "" {
		return fmt.Errorf("no router given")
	}
	o.Router = client.Address(o.Router)
	if err := o.completeMembers(); err != nil {
		return err
	}
	if err := o.completeKeys(); err != nil {
		return err
	}
	if o.Timeout < 0 || o.Settle < 0 {
		return fmt.Errorf("timeout %v, settle %v: a time can't be negative", o.Timeout, o.Settle)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Settle == 0 {
		o.Settle = defaultSettle
	}
	if o.Pause == nil {
		o.Pause = pause
	}
	return nil
}

func (o *Options) completeMembers() error {
	o.Members = slices.Clone(o.Members)
	for i, m := range o.Members {
		if m == "" {
			return fmt.Errorf("member %d of %d has no address", i+1, len(o.Members))
		}
		o.Members[i] = client.Address(m)
		if slices.Contains(o.Members[:i], o.Members[i]) {
			return fmt.Errorf("member %s is listed twice", o.Members[i])
		}
		if o.Members[i] == o.Router {
			return fmt.Errorf("member %s is the router", o.Members[i])
		}
	}
	if len(o.Members) == 0 || len(o.Members) > MaxMembers {
		return fmt.Errorf("%d members; want 1 to %d", len(o.Members), MaxMembers)
	}
	return nil
}

func (o *Options) completeKeys() error {
	if len(o.Prefixes) == 0 {
		o.Prefixes = []string{""}
	}
	if len(o.Prefixes) > maxPrefixes {
		return fmt.Errorf("%d prefixes; at most %d", len(o.Prefixes), maxPrefixes)
	}
	least, most := MinKeys*len(o.Prefixes), MaxLooks/len(o.Members)
	if o.Keys == 0 {
		o.Keys = max(least, min(defaultKeys, defaultLooks/len(o.Members)))
	}
	if o.Keys < least || o.Keys > most {
		return fmt.Errorf("%d keys; with %d members and %d prefixes, want %d to %d", o.Keys, len(o.Members),
			len(o.Prefixes), least, most)
	}
	for i, p := range o.Prefixes {
		if len(p) > maxPrefixBytes || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return fmt.Errorf("prefix %.120q: want at most %d bytes, without spaces or control characters", p, maxPrefixBytes)
		}
		if slices.Contains(o.Prefixes[:i], p) {
			return fmt.Errorf("prefix %q is given twice", p)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
