package route

import (
	"time"
)

// Options configure a router: the pools, and the routes of requests to them.
type Options struct {
	Pools []Pool `yaml:"pools"`

	// Route is where requests go; default the first pool.
	Route Route `yaml:"route"`
	// Clusters are the routes of keys that begin with /region/cluster/, which is cut off. Keys without
	// such a prefix, or with DefaultCluster, go to Route. A key "/*/*/k" or "/region/*/k" goes to all
	// clusters that match, and gets the answer of Route if it is one of them, or of the first of them.
	Clusters       []ClusterRoute `yaml:"clusters"`
	DefaultCluster string         `yaml:"default_cluster"` // "/region/cluster/"
	UnknownCluster UnknownCluster `yaml:"unknown_cluster"` // where keys with any other /region/cluster/ go

	// ReadsOnly: writes are sent to no member, and answered as if nothing were held or stored.
	ReadsOnly       bool `yaml:"reads_only"`
	DisableFlushAll bool `yaml:"disable_flush_all"` // flush_all is answered with SERVER_ERROR

	Journal Journal `yaml:"journal"`

	// Entries are the routes of requests by mc.Batch.Entry, the listener that they came by. A zero
	// Route, or an Entry beyond the last, stands for Route.
	Entries []Route `yaml:"-"`
}

// A ClusterRoute is the route for keys with a /region/cluster/ prefix.
type ClusterRoute struct {
	Prefix string `yaml:"prefix"` // "/region/cluster/"
	Route  Route  `yaml:"route"`
}

// Journal configures where the router keeps the keys that members missed during an outage.
type Journal struct {
	Folder string `yaml:"folder"` // a directory; "" is memory, which is lost when the process ends
	// Name distinguishes this router's marks on members from those of other routers; default the
	// host's name.
	Name     string        `yaml:"name"`
	MaxBytes int           `yaml:"max_bytes"` // of a member; one with more is flushed when it returns. Default 64 MiB
	MaxAge   time.Duration `yaml:"max_age"`   // of an outage; a member with a longer one is flushed. Default 24 h
}

// A Pool is a set of members that hold items together.
type Pool struct {
	Name    string   `yaml:"name"`
	Kind    PoolKind `yaml:"kind"`
	Members []Member `yaml:"members"`

	Hash Hash `yaml:"hash"` // sharded: which member owns a key

	Acknowledge Acknowledge `yaml:"acknowledge"` // replicated: when a write is answered
	Read        ReadPolicy  `yaml:"read"`        // replicated: which member a read asks first
	// RefillRate is how many items per second are copied from another member to one that comes back.
	// Default 10,000; with < 0 none are, and the application's stores fill it.
	RefillRate int `yaml:"refill_rate"`

	Timeout        time.Duration `yaml:"timeout"`         // for an answer; default 1 s
	ConnectTimeout time.Duration `yaml:"connect_timeout"` // default 1 s
	Connections    int           `yaml:"connections"`     // to each member from each event loop; default 1

	// A member is down after SoftErrors time-outs in a row, or one hard error (refused, reset). It is
	// then probed: first after ProbeMin, then after twice the time of the last wait, up to ProbeMax.
	SoftErrors int           `yaml:"soft_errors"` // default 3
	ProbeMin   time.Duration `yaml:"probe_min"`   // default 100 ms
	ProbeMax   time.Duration `yaml:"probe_max"`   // default 10 s

	// Eject sends the keys of a member that is down to the other members, where Hash would place them
	// without it: twemproxy's auto_eject_hosts. Without Eject, requests for them fail.
	Eject bool `yaml:"eject"`
	// Failover names a pool that takes the keys of members that are down, with TTLs of at most
	// FailoverTTL: a gutter.
	Failover    string        `yaml:"failover"`
	FailoverTTL time.Duration `yaml:"failover_ttl"` // default 10 s

	// Journal gives the members of a sharded pool journals of the keys that they miss, as those of a
	// replicated pool have. A member that was down serves nothing until the keys of the writes that
	// failed are deleted on it. While it is down, a delete of its keys is answered NOT_FOUND:
	// mcrouter's spooled deletes. The members of pools with Failover always have journals.
	Journal bool `yaml:"journal"`

	// MaxInFlight limits the requests in flight to a member, over all event loops; further ones are
	// answered with SERVER_ERROR. Default 10,000.
	MaxInFlight int `yaml:"max_in_flight"`

	OnError ErrorPolicy `yaml:"on_error"` // the answer to a get that no member could answer

	// KeepRoutingPrefix leaves the /region/cluster/ that keys came with on the keys that are sent to
	// the members, which are routers themselves.
	KeepRoutingPrefix bool `yaml:"keep_routing_prefix"`

	WarmFrom string `yaml:"warm_from"` // a pool that is read after a miss; its items are then added to this one

	// ChunkBytes is the size above which a value is stored in pieces, each of up to that size and
	// under a key of its own. 0 stores all values whole.
	ChunkBytes int `yaml:"chunk_bytes"`
	// BigValues: values that mcrouter's BigValueRoute has stored are read, too. It needs ChunkBytes.
	BigValues bool `yaml:"big_values"`
}

// A Member is one cache of a pool.
type Member struct {
	// Address is HOST:PORT, unix:PATH, "dns:NAME:PORT" for one member per address record of a name,
	// "srv:NAME" for one member per service record, or "cache" for the cache of this process.
	Address string `yaml:"address"`
	Name    string `yaml:"name"`   // by which Hash places keys on it; default Address
	Weight  int    `yaml:"weight"` // its share of the keys, relative to the other members'; default 1
	Near    bool   `yaml:"near"`   // replicated with read: near: it is asked before the others
}

// PoolKind is how items are distributed over a pool's members.
type PoolKind string

// The kinds of pools.
const (
	Sharded    PoolKind = "sharded"    // each item is on the member that owns its key; the default
	Replicated PoolKind = "replicated" // each item is on all members
)

// Acknowledge is when a write to a replicated pool is answered. With every policy, each member gets
// the write, or its journal gets the key.
type Acknowledge string

// The policies.
const (
	AckAll      Acknowledge = "all"      // once all members have answered; the default
	AckMajority Acknowledge = "majority" // once more than half have answered, the first one included
	AckFirst    Acknowledge = "first"    // once the first member that is up has answered
	AckFastest  Acknowledge = "fastest"  // once any member has answered
	AckNone     Acknowledge = "none"     // at once
)

// ReadPolicy is which member a read of a replicated pool asks first. If that one fails, the read
// asks the others.
type ReadPolicy string

// The policies.
const (
	ReadRandom ReadPolicy = "random" // the default
	ReadNear   ReadPolicy = "near"   // one of the members that are Near
	ReadFirst  ReadPolicy = "first"  // the first member, in their order, that is up
)

// ErrorPolicy is the answer to a get that no member could answer.
type ErrorPolicy string

// The policies.
const (
	ErrorAsError ErrorPolicy = "error" // SERVER_ERROR; the default
	ErrorAsMiss  ErrorPolicy = "miss"  // a miss, as mcrouter did until April 2025
)

// Hash configures how keys are placed on the members of a sharded pool: see package ring.
type Hash struct {
	// Placement is rendezvous (default), ketama, ch3, weighted_ch3, jump, modulo, random, …: see
	// package ring.
	Placement string `yaml:"placement"`
	Function  string `yaml:"function"` // fnv1a_64, md5, crc32, …; default the placement's usual one
	Salt      string `yaml:"salt"`     // appended to the key before it is hashed, as mcrouter does
	Stop      string `yaml:"stop"`     // the key is hashed up to this text; default "|#|" with mcrouter's placements
	Tag       string `yaml:"tag"`      // two bytes, as "{}": the text between them is hashed instead of the key
	// Load bounds the load of a member, as a multiple of the mean load, for example 1.25; 0 is no
	// bound.
	Load float64 `yaml:"load"`
	// Weights are mcrouter's, in [0, 1], one for each member or child. They replace the members' own
	// weights, with weighted_ch3 and the rendezvous placements.
	Weights []float64 `yaml:"weights"`
}

// A Route is where requests go. In the file it is a pool's name, or a mapping with a kind. The
// comments of the kinds list their fields.
type Route struct {
	Kind Kind   `yaml:"kind"`
	Name string `yaml:"name"` // in stats and logs, and for a hash above it; default for that its index

	Pool     string  `yaml:"pool"`
	Children []Route `yaml:"children"`
	Target   *Route  `yaml:"target"` // the next route, of routes that change or watch requests

	Hash Hash `yaml:"hash"` // hash; pool: instead of the pool's own; latest, host_id: its Salt only

	Prefixes   []PrefixRoute    `yaml:"prefixes"`   // prefix_selector; in any order
	Operations []OperationRoute `yaml:"operations"` // operation_selector
	Default    *Route           `yaml:"default"`    // the selectors': for other requests; default a null route

	Failover FailoverPolicy `yaml:"failover"` // failover, miss_failover, latest
	Latest   int            `yaml:"latest"`   // latest: how many of the children are tried; default all

	Shadows []Shadow `yaml:"shadows"` // shadow

	ShardSplits []ShardSplit `yaml:"shard_splits"` // shard_split

	From  *Route    `yaml:"from"`  // migrate
	To    *Route    `yaml:"to"`    // migrate
	Start time.Time `yaml:"start"` // migrate: when deletes begin to go to both
	// Interval is migrate's: the keys move to To between one and two intervals after Start. Default 1
	// h.
	Interval time.Duration `yaml:"interval"`

	Cold *Route `yaml:"cold"` // warm_up; l1_l2_cache: L1
	Warm *Route `yaml:"warm"` // warm_up; l1_l2_cache: L2

	// Exptime is warm_up's, for items whose own isn't known; l1_l2_cache's, for items that are copied
	// to L1; failover's; and modify_exptime's.
	Exptime       time.Duration `yaml:"exptime"`
	ExptimeAction ExptimeAction `yaml:"exptime_action"` // modify_exptime
	NegativeTTL   time.Duration `yaml:"negative_ttl"`   // l1_l2_cache: how long L1 remembers a miss; 0 is not at all

	EnsureKeyPrefix  string `yaml:"ensure_key_prefix"`  // modify_key
	ReplaceKeyPrefix string `yaml:"replace_key_prefix"` // modify_key: is replaced by EnsureKeyPrefix
	// SetCluster is modify_key's: the "/region/cluster/" whose route the request then takes.
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
	KindHash              Kind = "hash"               // the child that Hash chooses for the key
	KindPrefixSelector    Kind = "prefix_selector"    // Prefixes, Default
	KindOperationSelector Kind = "operation_selector" // Operations, Default
	KindAllSync           Kind = "all_sync"           // all Children; the worst answer
	KindAllAsync          Kind = "all_async"          // all Children; answered at once, as if nothing were held
	KindAllInitial        Kind = "all_initial"        // all Children; the first one's answer
	KindAllMajority       Kind = "all_majority"       // all Children; the answer that more than half give
	KindAllFastest        Kind = "all_fastest"        // all Children; the first answer that is no error
	// KindFailover asks the Children in order until an answer is no error of Failover. If Exptime is
	// set, items on all but the first child get at most that exptime.
	KindFailover     Kind = "failover"
	KindMissFailover Kind = "miss_failover" // likewise, also after a miss
	KindLatest       Kind = "latest"        // a child that each process chooses for itself, with failover
	KindRandom       Kind = "random"        // any of Children
	KindHostID       Kind = "host_id"       // the child that the host's name is hashed to
	KindShadow       Kind = "shadow"        // Target, and copies of some requests to Shadows
	KindShardSplit   Kind = "shard_split"   // Target, ShardSplits
	KindMigrate      Kind = "migrate"       // From, To, Start, Interval
	// KindWarmUp is Cold, which is filled from Warm after a miss. Writes go to Cold, and delete the
	// key in Warm. Exptime.
	KindWarmUp           Kind = "warm_up"
	KindL1L2Cache        Kind = "l1_l2_cache"       // Cold, filled from Warm after a miss; Exptime, NegativeTTL
	KindModifyKey        Kind = "modify_key"        // Target
	KindModifyExptime    Kind = "modify_exptime"    // Target; Exptime, < 0 is expired at once; ExptimeAction
	KindRateLimit        Kind = "rate_limit"        // Target; Rates
	KindOutstandingLimit Kind = "outstanding_limit" // Target; MaxInFlight
	KindLogging          Kind = "logging"           // Target
	KindDevNull          Kind = "dev_null"          // answers at once, as if nothing were held or stored
	KindNull             Kind = "null"              // the same
	KindError            Kind = "error"             // Response
)

// ExptimeAction is what modify_exptime does.
type ExptimeAction string

// The actions.
const (
	ExptimeSet ExptimeAction = "set" // every item gets Exptime, where 0 is none; the default
	ExptimeMin ExptimeAction = "min" // items with a longer exptime, or with none, get Exptime
)

// A PrefixRoute is the route of keys that begin with Prefix.
type PrefixRoute struct {
	Prefix string `yaml:"prefix"`
	Route  Route  `yaml:"route"`
}

// An OperationRoute is the route of some operations: get, set, add, delete, incr, touch, …. Here
// get also stands for gets, gat, gats and mg, and set for cas, ms and the other stores, unless
// those have a route of their own.
type OperationRoute struct {
	Operations []string `yaml:"operations"`
	Route      Route    `yaml:"route"`
}

// A Shadow is a route that gets copies of some requests. Its answers are dropped.
type Shadow struct {
	Route Route `yaml:"route"`
	// KeyFraction is the share of the keys whose requests are copied: the first and the last value of
	// their hash, each in [0, 1]; default all keys. The hash is mcrouter's, up to "|#|", so that both
	// routers copy the same keys.
	KeyFraction []float64 `yaml:"key_fraction"`
	Keys        []string  `yaml:"keys"`     // these keys alone, instead of KeyFraction and Members
	Requests    float64   `yaml:"requests"` // the share of these keys' requests that is copied, at random; default 1
	// Members are the indexes of the pool's members whose requests are copied, [first, last]; default
	// all. It needs a Target that is a pool.
	Members []int `yaml:"members"`
	// MaxInFlight limits the copies in flight; above it requests are not copied. Default 10,000.
	MaxInFlight int `yaml:"max_in_flight"`
}

// A FailoverPolicy is after which answers a request goes to the next child.
type FailoverPolicy struct {
	// Reads, Updates and Deletes are the errors after which a get, a store or a delete goes to the
	// next child: connect, connect_timeout, timeout, down, busy, server_error. Nil is all but
	// server_error; an empty list is none.
	Reads   []string `yaml:"reads"`
	Updates []string `yaml:"updates"`
	Deletes []string `yaml:"deletes"`
	// MaxTries limits the children that are asked, not counting those that can't be reached; 0 is all.
	MaxTries int `yaml:"max_tries"`
	// PerSecond and Burst limit how many requests per second fail over; or Ratio and Burst, as a share
	// of all requests. Zero is no limit.
	PerSecond float64       `yaml:"per_second"`
	Burst     float64       `yaml:"burst"`
	Ratio     float64       `yaml:"ratio"`
	Order     FailoverOrder `yaml:"order"`
}

// FailoverOrder is the order in which the children after the first are asked.
type FailoverOrder string

// The orders.
const (
	InOrder           FailoverOrder = "in_order"       // as they stand; the default
	InRendezvousOrder FailoverOrder = "rendezvous"     // by the key's hash, so that each gets an equal share
	LeastFailures     FailoverOrder = "least_failures" // those with the fewest errors in a row first
)

// Rates are requests per second, with bursts; 0 is no limit.
type Rates struct {
	Gets         float64 `yaml:"gets"`
	GetsBurst    float64 `yaml:"gets_burst"`
	Sets         float64 `yaml:"sets"`
	SetsBurst    float64 `yaml:"sets_burst"`
	Deletes      float64 `yaml:"deletes"`
	DeletesBurst float64 `yaml:"deletes_burst"`
}
