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
	Data        string `yaml:"data"`        // the directory; made on the first start
	Connections int    `yaml:"connections"` // open at once; more wait to be accepted
	KeysFile    string `yaml:"keys_file"`   // lines of access-key:secret; "" takes any credentials
	AnyOrigin   bool   `yaml:"any_origin"`  // web pages may ask although any credentials are taken
	TLS         TLS    `yaml:"tls"`

	Region  string `yaml:"region"`  // what stands in ARNs, and what signatures must be for
	Account string `yaml:"account"` // 12 digits that stand in ARNs

	Memory    Bytes     `yaml:"memory"`     // for all that tables do: blocks, changes, requests
	Cache     Bytes     `yaml:"cache"`      // the part of it for blocks of the disk; 0 is a quarter
	Reserve   Bytes     `yaml:"reserve"`    // of the disk that writes leave free
	Log       TablesLog `yaml:"log"`        // of changes: streams and points in time
	NewShards int       `yaml:"new_shards"` // of a table that is made
	Throttle  bool      `yaml:"throttle"`   // whether provisioned throughput is enforced
}

// TablesLog is how long changes are kept.
type TablesLog struct {
	Age   time.Duration `yaml:"age"`
	Bytes Bytes         `yaml:"bytes"` // of all shards, about
}

func defaultTables() Tables {
	return Tables{
		Listen:      "127.0.0.1:8000",
		Data:        "holdfast-data",
		Connections: defaultTableCons,
		TLS:         TLS{Clients: ClientsAny, MinVersion: "1.2"},
		Region:      "us-east-1",
		Account:     "123456789012",
		Memory:      512 << 20,
		Reserve:     256 << 20,
		Log:         TablesLog{Age: 24 * time.Hour, Bytes: 8 << 30},
		NewShards:   1,
	}
}

// The parts of Tables.Memory. What is left is for the collector to have some freedom.
const (
	cacheShare    = 4  // blocks, unless Tables.Cache says how much: a quarter
	maxCacheShare = 2  // what Tables.Cache may be: a half
	requestShare  = 2  // what requests hold, if there is no larger cache: a half
	memTableShare = 32 // changes that become files at once, of which there are up to four
	minMemTable   = 4 << 20
	maxMemTable   = 64 << 20
)

// CacheBytes is how much memory blocks of the disk have.
func (t *Tables) CacheBytes() int64 {
	if t.Cache == 0 {
		return int64(t.Memory) / cacheShare
	}
	return int64(t.Cache)
}

// MemTableBytes is how many changes are kept in memory before they become files.
func (t *Tables) MemTableBytes() int64 {
	return min(max(int64(t.Memory)/memTableShare, minMemTable), maxMemTable)
}

// RequestBytes is how much memory requests may take.
func (t *Tables) RequestBytes() int64 {
	return int64(t.Memory)/requestShare - max(0, t.CacheBytes()-int64(t.Memory)/cacheShare)
}

// On says whether there is a table store.
func (t *Tables) On() bool { return t.Listen != "" }

// Address is Listen as net.Listen wants it.
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
		f.Add("tables.cache", "%v is not in [%v, %v], which is half of tables.memory; 0 is a quarter of it", t.Cache,
			Bytes(minTablesCache), half)
	}
	if t.Log.Age < minLogAge || t.Log.Age > maxLogAge {
		f.Add("tables.log.age", "%v is not in [%v, %v]", t.Log.Age, minLogAge, maxLogAge)
	}
}
