package config

import (
	"regexp"
	"time"

	"holdfast/route"
)

// Limits of what a tables section may ask for.
const (
	minTablesMemory  = 256 << 20
	maxTablesMemory  = 1 << 39
	minTablesCache   = 1 << 20
	minLogBytes      = 1 << 20
	maxLogBytes      = 1 << 50
	minReserve       = 1 << 20
	maxReserve       = 1 << 40
	minLogAge        = time.Minute
	maxLogAge        = 35 * 24 * time.Hour
	maxTableShards   = 64
	maxTableConns    = 1 << 20
	defaultTableCons = 1024
)

// Tables is the table store: where clients of the DynamoDB API connect, and where its data is.
type Tables struct {
	Listen      string `yaml:"listen"`      // HOST:PORT, *:PORT for every interface; "" is off
	Data        string `yaml:"data"`        // the directory; created on the first start
	Connections int    `yaml:"connections"` // open at once; more wait to be accepted
	KeysFile    string `yaml:"keys_file"`   // lines of access-key:secret; "" accepts any credentials
	AnyOrigin   bool   `yaml:"any_origin"`  // web pages may send requests though any credentials are accepted
	TLS         TLS    `yaml:"tls"`

	Sessions Sessions `yaml:"sessions"` // header or connection: what makes requests a session

	Region  string `yaml:"region"`  // in ARNs; signatures must be for it
	Account string `yaml:"account"` // in ARNs: 12 digits

	Memory    Bytes     `yaml:"memory"`     // for everything that tables do: blocks, changes, requests
	Cache     Bytes     `yaml:"cache"`      // the part of it for blocks of the disk; 0 is 3/16
	Reserve   Bytes     `yaml:"reserve"`    // disk space that writes leave free
	Log       TablesLog `yaml:"log"`        // the log of changes, for streams and restores
	NewShards int       `yaml:"new_shards"` // of each new table
	Throttle  bool      `yaml:"throttle"`   // whether provisioned throughput is enforced
}

// Sessions says which requests are of one session, whose answers are never older than what the session
// has seen.
type Sessions string

// The values of Sessions.
const (
	SessionsHeader     Sessions = "header"     // those that name it in the header X-Holdfast-Session
	SessionsConnection Sessions = "connection" // also those of a connection that name none
)

// TablesLog limits the log of changes: older ones are removed.
type TablesLog struct {
	Age   time.Duration `yaml:"age"`
	Bytes Bytes         `yaml:"bytes"` // of all shards together, approximately
}

func defaultTables() Tables {
	return Tables{
		Listen:      "127.0.0.1:8000",
		Data:        "holdfast-data",
		Connections: defaultTableCons,
		TLS:         TLS{Clients: ClientsAny, MinVersion: "1.2"},
		Sessions:    SessionsHeader,
		Region:      "us-east-1",
		Account:     "123456789012",
		Memory:      512 << 20,
		Reserve:     256 << 20,
		Log:         TablesLog{Age: 24 * time.Hour, Bytes: 8 << 30},
		NewShards:   1,
	}
}

// The parts of Tables.Memory. The rest is headroom for the garbage collector.
const (
	cacheParts    = 3  // of 16: blocks of the disk, by default
	maxCacheShare = 2  // the largest Tables.Cache: a half
	requestShare  = 2  // requests, unless Tables.Cache is above its default: a half
	memTableShare = 16 // each of up to three memtables
	minMemTable   = 4 << 20
	maxMemTable   = 64 << 20
)

// CacheBytes returns the memory budget of the cache of blocks.
func (t *Tables) CacheBytes() int64 {
	if t.Cache == 0 {
		return t.defaultCacheBytes()
	}
	return int64(t.Cache)
}

func (t *Tables) defaultCacheBytes() int64 { return int64(t.Memory) / 16 * cacheParts }

// MemTableBytes returns the size at which a memtable is flushed to a file.
func (t *Tables) MemTableBytes() int64 {
	return min(max(int64(t.Memory)/memTableShare, minMemTable), maxMemTable)
}

// RequestBytes returns the memory budget of requests.
func (t *Tables) RequestBytes() int64 {
	return int64(t.Memory)/requestShare - max(0, t.CacheBytes()-t.defaultCacheBytes())
}

// On reports whether there is a table store.
func (t *Tables) On() bool { return t.Listen != "" }

// Address returns Listen as an argument of net.Listen.
func (t *Tables) Address() string { return everyInterface(t.Listen) }

var (
	regionName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	accountID  = regexp.MustCompile(`^[0-9]{12}$`)
)

func (t *Tables) check(f *route.Faults) {
	if !t.On() {
		return
	}
	if err := checkHostPort(t.Listen); err != nil {
		f.Add("tables.listen", "%v", err)
	}
	if t.Data == "" {
		f.Add("tables.data", "missing")
	}
	t.TLS.check(f, "tables.tls")
	if !regionName.MatchString(t.Region) {
		f.Add("tables.region", "%q is not the name of a region", t.Region)
	}
	if !accountID.MatchString(t.Account) {
		f.Add("tables.account", "%q is not 12 digits", t.Account)
	}
	if t.Sessions != SessionsHeader && t.Sessions != SessionsConnection {
		f.Add("tables.sessions", "%q is neither header nor connection", t.Sessions)
	}
	f.Within("tables.connections", int64(t.Connections), 1, maxTableConns)
	f.Within("tables.new_shards", int64(t.NewShards), 1, maxTableShards)
	t.checkSizes(f)
}

func (t *Tables) checkSizes(f *route.Faults) {
	for _, size := range []struct {
		path     string
		got      Bytes
		low, top Bytes
	}{
		{"tables.memory", t.Memory, minTablesMemory, maxTablesMemory},
		{"tables.reserve", t.Reserve, minReserve, maxReserve},
		{"tables.log.bytes", t.Log.Bytes, minLogBytes, maxLogBytes},
	} {
		if size.got < size.low || size.got > size.top {
			f.Add(size.path, "%v is not in [%v, %v]", size.got, size.low, size.top)
		}
	}
	if half := t.Memory / maxCacheShare; t.Cache != 0 && (t.Cache < minTablesCache || t.Cache > half) {
		f.Add("tables.cache", "%v is not in [%v, %v], which is half of tables.memory; 0 is 3/16 of it", t.Cache,
			Bytes(minTablesCache), half)
	}
	if t.Log.Age < minLogAge || t.Log.Age > maxLogAge {
		f.Add("tables.log.age", "%v is not in [%v, %v]", t.Log.Age, minLogAge, maxLogAge)
	}
}
