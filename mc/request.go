package mc

// An Op is the operation of a request.
type Op uint8

// The operations, by the protocol's names. Those from Version on are about the connection or the
// server, not items: the server answers them itself, and no Handler gets them.
const (
	Invalid Op = iota // a request that was refused while it was decoded: Fault is the answer

	Get
	Gets
	Gat
	Gats
	Set
	Add
	Replace
	Append
	Prepend
	CAS
	Delete
	Incr
	Decr
	Touch
	FlushAll

	MetaGet
	MetaSet
	MetaDelete
	MetaArithmetic
	MetaNoop
	MetaDebug

	Version
	Verbosity
	Stats
	Quit
	Shutdown
	Watch
	Crawler  // lru_crawler …
	MemLimit // cache_memlimit
	Slabs    // slabs …: accepted because scripts send it
	LRU      // lru …: likewise
	RefreshCerts
	Misbehave // memcached-debug's
	DebugTime // likewise: debugtime p, debugtime r, debugtime SECONDS

	SASLList  // binary: lists the mechanisms
	SASLAuth  // binary: Key is the mechanism, Value its first message
	SASLStep  // binary: Key is the mechanism, Value a further message
	Malformed // binary: the connection must be closed; Status is the answer
)

// opNames are the commands' names on the wire, by Op.
var opNames = [...]string{
	Invalid: "invalid",

	Get: "get", Gets: "gets", Gat: "gat", Gats: "gats",
	Set: "set", Add: "add", Replace: "replace", Append: "append", Prepend: "prepend", CAS: "cas",
	Delete: "delete", Incr: "incr", Decr: "decr", Touch: "touch", FlushAll: "flush_all",

	MetaGet: "mg", MetaSet: "ms", MetaDelete: "md", MetaArithmetic: "ma", MetaNoop: "mn", MetaDebug: "me",

	Version: "version", Verbosity: "verbosity", Stats: "stats", Quit: "quit", Shutdown: "shutdown",
	Watch: "watch", Crawler: "lru_crawler", MemLimit: "cache_memlimit", Slabs: "slabs", LRU: "lru",
	RefreshCerts: "refresh_certs", Misbehave: "misbehave", DebugTime: "debugtime",

	SASLList: "sasl_list_mechs", SASLAuth: "sasl_auth", SASLStep: "sasl_step", Malformed: "malformed",
}

// String returns the command's name on the wire, "invalid" for Invalid.
func (op Op) String() string {
	if int(op) < len(opNames) {
		return opNames[op]
	}
	return "unknown"
}

// IsGet reports whether op is one of the get commands, whose lines hold many keys.
func (op Op) IsGet() bool { return op >= Get && op <= Gats }

// Reads reports whether op is a get, classic or meta.
func (op Op) Reads() bool { return op.IsGet() || op == MetaGet || op == MetaDebug }

// IsMeta reports whether op is a meta command that has a key.
func (op Op) IsMeta() bool { return op >= MetaGet && op <= MetaDebug && op != MetaNoop }

// Admin reports whether op concerns the connection or the server rather than items.
func (op Op) Admin() bool { return op >= Version }

// A Request is one operation on one key. "get a b c" is three requests, the last with Last set, so
// that a router can send each to the member that owns its key.
//
// Key, Value and Args borrow the connection's read buffer: they are valid until the batch is done,
// and a handler must copy what it keeps.
type Request struct {
	Key   []byte // 1 to 250 bytes; of a meta request with the b flag, the decoded bytes
	Value []byte // the data block, without its closing \r\n
	Args  []byte // meta: the flags as sent, "v t Oabc"; admin: what follows the command's name; see Token
	Fault string // Invalid: the whole answer with its \r\n, empty if noreply suppresses it; in binary see Status

	Op         Op
	Mode       byte // meta: the first byte of M's argument, 0 without one; checked for ms (EAPRS) and ma (I+D-)
	NoReply    bool // classic: noreply; meta: q; binary: a quiet opcode
	Last       bool // Get, Gets, Gat, Gats: the line's last key, whose answer is followed by END
	Drop       bool // Invalid: the value for Key was too large or lost, so the item of Key must be deleted
	HasExptime bool // FlushAll: has a delay; binary Incr and Decr: create a missing item with the value Initial

	Opcode Opcode // binary: the command as sent, which the answer repeats
	Status Status // binary, Invalid and Malformed: the answer

	ClientFlags uint32 // the client's own flags, F in meta
	Opaque      uint32 // binary: repeated by the answer
	Flags       Flags  // meta: the flags that the request has
	// Exptime is as on the wire, of 32 bits (unsigned in the binary protocol): up to 30 days it is
	// seconds from now, above it is Unix seconds, and below 0 the item expires at once. T in meta.
	Exptime int64
	Vivify  int64  // meta N, like Exptime
	Recache int64  // meta R, like Exptime
	CAS     uint64 // the CAS to compare with; C in meta; binary: 0 means no comparison
	NewCAS  uint64 // meta E
	Delta   uint64 // Incr, Decr; D in meta, 1 without
	Initial uint64 // meta J; binary Incr and Decr

	// Hash is for the handler that serves the request; the decoder leaves it 0.
	Hash uint64
	// Cluster is for routers: the prefix "/region/cluster/" removed from Key. The decoder leaves it
	// empty.
	Cluster string
}

// Flags is the set of a meta request's flags: bit c-'A' for each flag letter c.
type Flags uint64

// Flag is the set of the one flag letter c, which is in A to Z or a to z.
func Flag(c byte) Flags { return 1 << (c - 'A') }

// Has reports whether the request carries the meta flag c.
func (r *Request) Has(c byte) bool { return r.Flags&Flag(c) != 0 }

// IsGraphic reports whether a line of text can have the key as it is. Otherwise only a meta command
// can name it, in base64.
func IsGraphic(key []byte) bool {
	for _, c := range key {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}
