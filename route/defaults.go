package route

import (
	"cmp"
	"reflect"
	"time"
)

// The defaults of the numbers in Options.
const (
	DefaultTimeout         = time.Second
	DefaultSoftErrors      = 3
	DefaultProbeMin        = 100 * time.Millisecond
	DefaultProbeMax        = 10 * time.Second
	DefaultFailoverTTL     = 10 * time.Second
	DefaultMaxInFlight     = 10_000
	DefaultMaxShadowed     = 10_000
	DefaultRefillRate      = 10_000
	DefaultMigration       = time.Hour
	DefaultJournalMaxBytes = 64 << 20
	DefaultJournalMaxAge   = 24 * time.Hour
)

// SetDefaults sets the fields of o that are zero to their defaults. A second call changes nothing.
func (o *Options) SetDefaults() {
	setDefault(&o.Journal.MaxBytes, DefaultJournalMaxBytes)
	setDefault(&o.Journal.MaxAge, DefaultJournalMaxAge)
	for i := range o.Pools {
		o.Pools[i].setDefaults()
	}
	if o.Route.IsZero() && len(o.Pools) > 0 {
		o.Route = Route{Kind: KindPool, Pool: o.Pools[0].Name}
	}
	setDefault(&o.UnknownCluster, UnknownRefused)
	o.Route.SetDefaults()
	for i := range o.Entries {
		o.Entries[i].SetDefaults()
	}
	for i := range o.Clusters {
		o.Clusters[i].Route.SetDefaults()
	}
}

func (p *Pool) setDefaults() {
	setDefault(&p.Kind, Sharded)
	switch p.Kind {
	case Sharded:
		p.Hash.setDefaults()
	case Replicated:
		setDefault(&p.Acknowledge, AckAll)
		setDefault(&p.Read, ReadRandom)
		setDefault(&p.RefillRate, DefaultRefillRate)
	}
	for i := range p.Members {
		m := &p.Members[i]
		setDefault(&m.Name, m.Address)
		setDefault(&m.Weight, 1)
	}
	setDefault(&p.Timeout, DefaultTimeout)
	setDefault(&p.ConnectTimeout, DefaultTimeout)
	setDefault(&p.Connections, 1)
	setDefault(&p.SoftErrors, DefaultSoftErrors)
	setDefault(&p.ProbeMin, min(DefaultProbeMin, cmp.Or(p.ProbeMax, DefaultProbeMin)))
	setDefault(&p.ProbeMax, max(DefaultProbeMax, p.ProbeMin))
	if p.Failover != "" {
		setDefault(&p.FailoverTTL, DefaultFailoverTTL)
	}
	setDefault(&p.MaxInFlight, DefaultMaxInFlight)
	setDefault(&p.OnError, ErrorAsError)
}

// setDefaults leaves the defaults of Function and Stop to package ring.
func (h *Hash) setDefaults() { setDefault(&h.Placement, "rendezvous") }

// SetDefaults sets the defaults of a route outside of Options. Options.SetDefaults does so for
// those within.
func (r *Route) SetDefaults() {
	if r.Kind == "" && r.Pool != "" {
		r.Kind = KindPool
	}
	switch r.Kind {
	case KindPool:
		if !reflect.ValueOf(r.Hash).IsZero() {
			r.Hash.setDefaults()
		}
	case KindHash:
		r.Hash.setDefaults()
	case KindFailover, KindMissFailover, KindLatest:
		setDefault(&r.Failover.Order, InOrder)
	case KindMigrate:
		setDefault(&r.Interval, DefaultMigration)
	case KindModifyExptime:
		setDefault(&r.ExptimeAction, ExptimeSet)
	}
	for i := range r.Shadows {
		setDefault(&r.Shadows[i].MaxInFlight, DefaultMaxShadowed)
	}
	for _, n := range r.Nested() {
		n.Route.SetDefaults()
	}
}

func (r *Route) IsZero() bool { return reflect.ValueOf(*r).IsZero() }

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}
