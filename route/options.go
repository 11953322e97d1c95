package route

import (
	"time"
)

// Options are what a Router is made from: the pools, and the way of requests to them.
type Options struct {
	Pools []Pool `yaml:"pools"`

	// Route is where requests go. Without one, to the first pool.
	Route Route `yaml:"route"`
	// Clusters are routes for keys that begin with /region/cluster/, which is cut off. Keys without
	// one, or with DefaultCluster, go to Route. A key "/*/*/k" or "/region/*/k" goes to all that
	// match and is answered by Route if it is among them, else by the first of them.
	Clusters       []ClusterRoute `yaml:"clusters"`
	DefaultCluster string         `yaml:"default_cluster"` // "/region/cluster/"
	UnknownCluster UnknownCluster `yaml:"unknown_cluster"` // where keys go whose /region/cluster/ is none of these

	// requests that change something go nowhere: they find and store nothing
	ReadsOnly       bool `yaml:"reads_only"`
	DisableFlushAll bool `yaml:"disable_flush_all"` // flush_all is answered with SERVER_ERROR

	Journal Journal `yaml:"journal"`

	// Entries are the routes of requests by mc.Batch.Entry, which says by which listener they came,
	// with a zero one for Route. Those of an Entry beyond go to Route.
	Entries []Route `yaml:"-"`
}

// A ClusterRoute is the route for keys with a /region/cluster/ prefix.
type ClusterRoute struct {
	Prefix string `yaml:"prefix"` // "/region/cluster/"
	Route  Route  `yaml:"route"`
}

// Journal is where the keys are kept that members missed while they could not be reached.
type Journal struct {
	Folder string `yaml:"folder"` // "" keeps them in memory: they outlive a member's outage, not this process
	// tells this router's marks on members from others' (see marks); default the host's name
	Name     string        `yaml:"name"`
	MaxBytes int           `yaml:"max_bytes"` // of one member; beyond, it is flushed when it returns. Default 64 MiB
	MaxAge   time.Duration `yaml:"max_age"`   // likewise. Default 24 h
}

// A Pool is members that hold items together.
type Pool struct {
	Name    string   `yaml:"name"`
	Kind    PoolKind `yaml:"kind"`
	Members []Member `yaml:"members"`

	Hash Hash `yaml:"hash"` // sharded: which member owns a key

	Acknowledge Acknowledge `yaml:"acknowledge"` // replicated: when a write is answered
	Read        ReadPolicy  `yaml:"read"`        // replicated: whom a read asks first
	// RefillRate is how many items a second a member that comes back is sent from another. Default
	// 10,000; < 0 leaves it to the application to fill it.
	RefillRate int `yaml:"refill_rate"`

	Timeout        time.Duration `yaml:"timeout"`         // for an answer; default 1 s
	ConnectTimeout time.Duration `yaml:"connect_timeout"` // default 1 s
	Connections    int           `yaml:"connections"`     // to each member from each event loop; default 1

	// A member is down after SoftErrors time-outs in a row, or one hard error (refused, reset). It
	// is then probed, after ProbeMin at first and twice that each time up to ProbeMax.
	SoftErrors int           `yaml:"soft_errors"` // default 3
	ProbeMin   time.Duration `yaml:"probe_min"`   // default 100 ms
	ProbeMax   time.Duration `yaml:"probe_max"`   // default 10 s

	// Eject has the keys of a member that is down go to the others meanwhile, where Hash would place
	// them without it: twemproxy's auto_eject_hosts. Without it they are answered with an error.
	Eject bool `yaml:"eject"`
	// Failover is a pool that takes the keys of members that are down, with TTLs of at most
	// FailoverTTL: a gutter.
	Failover    string        `yaml:"failover"`
	FailoverTTL time.Duration `yaml:"failover_ttl"` // default 10 s

	// Journal has what a member of a sharded pool misses journaled, as that of a replicated one: it
	// answers nothing until it has forgotten the keys of writes that failed. A delete of a member that
	// is down is then answered NOT_FOUND: mcrouter's spooled deletes. Pools with Failover have it.
	Journal bool `yaml:"journal"`

	// MaxInFlight is how many requests a member may owe an answer to; one more is refused with
	// SERVER_ERROR. Default 10,000, over all event loops.
	MaxInFlight int `yaml:"max_in_flight"`

	OnError ErrorPolicy `yaml:"on_error"` // what a get is answered when no member could

	// KeepRoutingPrefix has members get keys with the /region/cluster/ that they came with: they are
	// routers themselves.
	KeepRoutingPrefix bool `yaml:"keep_routing_prefix"`

	WarmFrom string `yaml:"warm_from"` // a pool to ask on a miss, whose items are then added here

	// ChunkBytes is up to which size a value stays whole; a larger one is stored in pieces of that
	// size under keys of their own. 0 never cuts.
	ChunkBytes int `yaml:"chunk_bytes"`
	// BigValues has what mcrouter's BigValueRoute stored read and joined, too. It is for pools with
	// ChunkBytes.
	BigValues bool `yaml:"big_values"`
}

// A Member is one cache of a pool.
type Member struct {
	// Address is HOST:PORT, unix:PATH, "dns:NAME:PORT" for a member for each address record of a
	// name, "srv:NAME" for a member for each service record, or "cache" for that of this process.
	Address string `yaml:"address"`
	Name    string `yaml:"name"`   // what Hash places; default Address
	Weight  int    `yaml:"weight"` // its share of the keys beside the others'; default 1
	Near    bool   `yaml:"near"`   // replicated with read: near: it is asked before those that are not
}

// PoolKind says how the items lie on the members.
type PoolKind string

// The kinds of pools.
const (
	Sharded    PoolKind = "sharded"    // each on the one that owns its key; the default
	Replicated PoolKind = "replicated" // each on all
)

// Acknowledge says when a write to a replicated pool is answered. Whichever it is, each member gets
// it, or the journal does.
type Acknowledge string

// The policies.
const (
	AckAll      Acknowledge = "all"      // once all members have answered; the default
	AckMajority Acknowledge = "majority" // once more than half have, the first one among them
	AckFirst    Acknowledge = "first"    // once the first member that is up has
	AckFastest  Acknowledge = "fastest"  // once any has
	AckNone     Acknowledge = "none"     // at once
)

// ReadPolicy says whom a read of a replicated pool asks first. The others follow when it fails.
type ReadPolicy string

// The policies.
const (
	ReadRandom ReadPolicy = "random" // the default
	ReadNear   ReadPolicy = "near"   // one of those that are Near, then the others
	ReadFirst  ReadPolicy = "first"  // the first in order that is up
)

// ErrorPolicy is what a get is answered when no member could answer it.
type ErrorPolicy string

// The policies.
const (
	ErrorAsError ErrorPolicy = "error" // SERVER_ERROR; the default
	ErrorAsMiss  ErrorPolicy = "miss"  // a miss, as mcrouter did until April 2025
)

// Hash says how keys are placed on the members of a sharded pool: see package ring.
type Hash struct {
	// rendezvous (default), ketama, ch3, weighted_ch3, jump, modulo, random, …: see package ring
	Placement string `yaml:"placement"`
	Function  string `yaml:"function"` // fnv1a_64, md5, crc32, …; default what is usual with the placement
	Salt      string `yaml:"salt"`     // appended to the key before it is hashed, as mcrouter does
	Stop      string `yaml:"stop"`     // the key is hashed up to this; default "|#|" with mcrouter's placements
	Tag       string `yaml:"tag"`      // two bytes, as "{}": what stands between them is hashed instead of the key
	// bounded load: the most of the mean load that a member takes, as 1.25; 0 is no bound
	Load float64 `yaml:"load"`
	// Weights are mcrouter's, in [0, 1], one for each member or child; they take the place of the
	// members' own, with weighted_ch3 and the rendezvous placements.
	Weights []float64 `yaml:"weights"`
}

// A Route says where requests go. In the file it is a pool's name, or a mapping with a kind. Which
// fields it has is said with the kinds.
type Route struct {
	Kind Kind   `yaml:"kind"`
	Name string `yaml:"name"` // in stats and logs; and what a hash above it places, its index if there is none

	Pool     string  `yaml:"pool"`
	Children []Route `yaml:"children"`
	Target   *Route  `yaml:"target"` // the one that a rewriting or watching route stands before

	Hash Hash `yaml:"hash"` // hash; pool: in the place of the pool's own; latest, host_id: its Salt only

	Prefixes   []PrefixRoute    `yaml:"prefixes"`   // prefix_selector, longest first whatever their order here
	Operations []OperationRoute `yaml:"operations"` // operation_selector
	Default    *Route           `yaml:"default"`    // the selectors': what nothing else matches; none is a null route

	Failover FailoverPolicy `yaml:"failover"` // failover, miss_failover, latest
	Latest   int            `yaml:"latest"`   // latest: how many of the children are tried; default all

	Shadows []Shadow `yaml:"shadows"` // shadow

	ShardSplits []ShardSplit `yaml:"shard_splits"` // shard_split

	From  *Route    `yaml:"from"`  // migrate
	To    *Route    `yaml:"to"`    // migrate
	Start time.Time `yaml:"start"` // migrate: when deletes begin to go to both
	// migrate: after Start reads move to To over this; after two, all is moved. Default 1 h
	Interval time.Duration `yaml:"interval"`

	Cold *Route `yaml:"cold"` // warm_up; l1_l2_cache: L1
	Warm *Route `yaml:"warm"` // warm_up; l1_l2_cache: L2

	// warm_up: where the warm item's can't be told; l1_l2_cache: of what is copied to L1;
	// modify_exptime
	Exptime       time.Duration `yaml:"exptime"`
	ExptimeAction ExptimeAction `yaml:"exptime_action"` // modify_exptime
	NegativeTTL   time.Duration `yaml:"negative_ttl"`   // l1_l2_cache: how long L1 remembers a miss; 0 not at all

	EnsureKeyPrefix  string `yaml:"ensure_key_prefix"`  // modify_key
	ReplaceKeyPrefix string `yaml:"replace_key_prefix"` // modify_key: what EnsureKeyPrefix is put in the place of
	// modify_key: "/region/cluster/" that the request is routed by anew
	SetCluster string `yaml:"set_cluster"`

	Rates       Rates  `yaml:"rates"`         // rate_limit
	MaxInFlight int    `yaml:"max_in_flight"` // outstanding_limit
	Response    string `yaml:"response"`      // error: the text after SERVER_ERROR
}

// Kind is what a route does; the names are mcrouter's route handles without "Route".
type Kind string

// The kinds of routes.
const (
	KindPool              Kind = "pool"               // Pool, Hash if it is not the pool's own
	KindHash              Kind = "hash"               // one of Children by Hash
	KindPrefixSelector    Kind = "prefix_selector"    // Prefixes, Default
	KindOperationSelector Kind = "operation_selector" // Operations, Default
	KindAllSync           Kind = "all_sync"           // all Children; the worst answer
	KindAllAsync          Kind = "all_async"          // all Children; answered at once as if with a miss
	KindAllInitial        Kind = "all_initial"        // all Children; the first one's answer
	KindAllMajority       Kind = "all_majority"       // all Children; the answer that more than half give
	KindAllFastest        Kind = "all_fastest"        // all Children; the first answer that is no error
	// Children in order until one's answer is no error of Failover; the Exptime of all but the first
	// is at most Exptime, if that is set
	KindFailover     Kind = "failover"
	KindMissFailover Kind = "miss_failover" // likewise, also after a miss
	KindLatest       Kind = "latest"        // a child chosen by this process, with failover to the next
	KindRandom       Kind = "random"        // any of Children
	KindHostID       Kind = "host_id"       // a child by the host's name
	KindShadow       Kind = "shadow"        // Target, and a share of the requests to Shadows too
	KindShardSplit   Kind = "shard_split"   // Target, ShardSplits
	KindMigrate      Kind = "migrate"       // From, To, Start, Interval
	// Cold, filled from Warm on a miss; writes go to Cold, and take the key from Warm; Exptime
	KindWarmUp           Kind = "warm_up"
	KindL1L2Cache        Kind = "l1_l2_cache"       // Cold before Warm; Exptime, NegativeTTL
	KindModifyKey        Kind = "modify_key"        // Target
	KindModifyExptime    Kind = "modify_exptime"    // Target; Exptime, < 0 for items that are not to be kept
	KindRateLimit        Kind = "rate_limit"        // Target; Rates
	KindOutstandingLimit Kind = "outstanding_limit" // Target; MaxInFlight
	KindLogging          Kind = "logging"           // Target
	KindDevNull          Kind = "dev_null"          // answers at once: a get misses, a write seems to go nowhere
	KindNull             Kind = "null"              // likewise
	KindError            Kind = "error"             // Response
)

// ExptimeAction says what modify_exptime does.
type ExptimeAction string

// The actions.
const (
	ExptimeSet ExptimeAction = "set" // every item gets Exptime, 0 being none; the default
	ExptimeMin ExptimeAction = "min" // items with a longer one, or none, get Exptime
)

// A PrefixRoute is the route of keys that begin with Prefix.
type PrefixRoute struct {
	Prefix string `yaml:"prefix"`
	Route  Route  `yaml:"route"`
}

// An OperationRoute is the route of some operations: get, set, add, delete, incr, touch, …; get
// stands for gets, gat, gats and mg too, set for cas, ms and the others that store, unless they
// have a route of their own.
type OperationRoute struct {
	Operations []string `yaml:"operations"`
	Route      Route    `yaml:"route"`
}

// A Shadow is where a copy of some requests goes; nobody sees its answers.
type Shadow struct {
	Route Route `yaml:"route"`
	// KeyFraction is the share of keys, by their hash, from and to in [0, 1]; none is all keys. The
	// hash is mcrouter's, up to "|#|", so that it and this router copy the same keys.
	KeyFraction []float64 `yaml:"key_fraction"`
	Keys        []string  `yaml:"keys"`     // these alone, in the place of KeyFraction and Members
	Requests    float64   `yaml:"requests"` // the share of the requests under those keys, by chance; default 1
	// Members are the indexes of the pool's members whose requests are copied, [first, last]; none is
	// all. Target is a pool then.
	Members []int `yaml:"members"`
	// MaxInFlight is how many copies may wait for their answers; others are not made. Default 10,000.
	MaxInFlight int `yaml:"max_in_flight"`
}

// A FailoverPolicy says after which answers the next child is tried.
type FailoverPolicy struct {
	// Errors are those after which a get (Reads), a store (Updates) or a delete goes on: connect,
	// connect_timeout, timeout, down, busy, server_error. Nil is all but server_error; an
	// empty list is none.
	Reads   []string `yaml:"reads"`
	Updates []string `yaml:"updates"`
	Deletes []string `yaml:"deletes"`
	// MaxTries is how many children are asked at most, without those that can't be reached; 0 is all.
	MaxTries int `yaml:"max_tries"`
	// Rates bounds how much of the traffic fails over: PerSecond with Burst, as a share of requests
	// when Ratio is set. The zero value is no bound.
	PerSecond float64 `yaml:"per_second"`
	Burst     float64 `yaml:"burst"`
	Ratio     float64 `yaml:"ratio"`
	// Order is in which order the children after the first are tried.
	Order FailoverOrder `yaml:"order"`
}

// FailoverOrder is in which order children are tried after the first.
type FailoverOrder string

// The orders.
const (
	InOrder           FailoverOrder = "in_order"       // as they stand; the default
	InRendezvousOrder FailoverOrder = "rendezvous"     // by the key, so that each takes an equal share of what fails over
	LeastFailures     FailoverOrder = "least_failures" // those with the fewest errors in a row first
)

// Rates are requests a second, with bursts; 0 is no limit.
type Rates struct {
	Gets         float64 `yaml:"gets"`
	GetsBurst    float64 `yaml:"gets_burst"`
	Sets         float64 `yaml:"sets"`
	SetsBurst    float64 `yaml:"sets_burst"`
	Deletes      float64 `yaml:"deletes"`
	DeletesBurst float64 `yaml:"deletes_burst"`
}
