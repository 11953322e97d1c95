package wire

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// How often the process is killed, and the load meanwhile.
const (
	kills        = 100 // of few shards
	killsMany    = 10  // of many shards
	killsShort   = 5
	killWriters  = 8
	keysPerWrite = 4   // keys of each writer
	mortals      = 16  // keys of items that may expire
	longRound    = 20  // of so many rounds, one is so long that expired items are deleted in it
	fatBytes     = 400 // of each item, so that the table's log has large before-images
	indexRound   = 4   // of so many rounds, one adds an index to a table with many items, and one removes it
)

// A killing is a table under load whose server is killed again and again, with the acknowledged
// writes.
type killing struct {
	t         *testing.T
	addresses []string // of the nodes; they are killed together
	dir       string
	config    string
	random    *rand.Rand
	bank      *bank
	acked     [killWriters * keysPerWrite]atomic.Int64 // the last value of the key that was acknowledged; 0: none
	tried     [killWriters * keysPerWrite]atomic.Int64 // the last value that was sent
	asked     atomic.Int64                             // queries of the global index for what was just written
	late      atomic.Int64                             // those that didn't find it
	expired   int                                      // items that the stream says have expired
}

// TestKilledTables kills the process under load, again and again, and checks after each kill: every
// acknowledged write is there, no transaction is there in part or twice, and the indexes and the
// stream agree with the table.
func TestKilledTables(t *testing.T) {
	for _, c := range []struct{ nodes, shards, kills int }{
		{1, 1, kills}, {1, 3, kills}, {1, 64, killsMany}, {3, 3, killsMany},
	} {
		if testing.Short() {
			c.kills = killsShort
		}
		t.Run(fmt.Sprintf("%d nodes, %d shards", c.nodes, c.shards), func(t *testing.T) {
			testKilled(t, c.nodes, c.shards, c.kills)
		})
	}
}

func testKilled(t *testing.T, nodes, shards, n int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	k := newKilling(t, seed, nodes, shards)
	server := k.start()
	k.create()
	for i := range n {
		d := k.client()
		k.changeIndex(d, i)
		stop := k.load(d)
		length := time.Duration(1+k.random.IntN(60)) * time.Millisecond
		length *= time.Duration(nodes * nodes) // a transaction waits for entries of several groups, one after another
		if i%longRound == longRound-1 {
			length += 1200 * time.Millisecond // the interval of the sweeper is a second
		}
		time.Sleep(length) // how long the load runs
		server.kill()
		stop()
		server = k.start()
		k.look()
		if i%indexRound == 0 || i%indexRound == indexRound/2 {
			k.lookAtTransfers()
		}
		if t.Failed() {
			return
		}
	}
	k.lookAtTransfers()
	stores := k.dir
	if nodes > 1 {
		stores = filepath.Join(k.dir, "*")
	}
	if blobs, err := filepath.Glob(filepath.Join(stores, "pebble", "*.blob")); err != nil || len(blobs) == 0 {
		t.Errorf("got blob files %v, %v; want some, with what was before in the log", blobs, err)
	}
	t.Logf("%d kills, %d transfers acknowledged, %d sent again, %d looks at all accounts, %d items expired, "+
		"%d of %d queries of an index late", n, k.bank.moved.Load(), k.bank.retried, k.bank.looks.Load(), k.expired,
		k.late.Load(), k.asked.Load())
	if k.bank.moved.Load() == 0 || k.bank.looks.Load() == 0 || k.asked.Load() == 0 {
		t.Error("the load did nothing")
	}
	if k.late.Load()*20 > k.asked.Load() {
		t.Errorf("%d of %d queries of the global index didn't find what was written before", k.late.Load(), k.asked.Load())
	}
}

// newKilling is a server's directory and configuration, and the load to come.
func newKilling(t *testing.T, seed uint64, nodes, shards int) *killing {
	t.Helper()
	k := &killing{
		t: t, addresses: freeAddresses(t, nodes), dir: t.TempDir(), config: filepath.Join(t.TempDir(), "holdfast.yaml"),
		random: rand.New(rand.NewPCG(seed, 1)), bank: &bank{t: t},
	}
	if err := os.WriteFile(k.config, fmt.Appendf(nil, "tables: {new_shards: %d}\n", shards), 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *killing) start() *process {
	k.t.Helper()
	if len(k.addresses) > 1 {
		return startNodes(k.t, k.addresses, k.dir, "--config", k.config)
	}
	return startTablesAt(k.t, k.addresses[0], k.dir, "--config", k.config)
}

// client returns a client of one of the nodes.
func (k *killing) client() *dynamo { return newDynamo(k.addresses[k.random.IntN(len(k.addresses))]) }

const killedTable = `{"TableName":"killed","BillingMode":"PAY_PER_REQUEST",
	"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"r","AttributeType":"N"},
		{"AttributeName":"g","AttributeType":"S"},{"AttributeName":"n","AttributeType":"N"}],
	"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"r","KeyType":"RANGE"}],
	"LocalSecondaryIndexes":[{"IndexName":"local","Projection":{"ProjectionType":"ALL"},
		"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}]}],
	"GlobalSecondaryIndexes":[{"IndexName":"global","Projection":{"ProjectionType":"ALL"},
		"KeySchema":[{"AttributeName":"g","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}]},
		{"IndexName":"parts","Projection":{"ProjectionType":"KEYS_ONLY"},
		"KeySchema":[{"AttributeName":"g","KeyType":"HASH"},{"AttributeName":"r","KeyType":"HASH"},
			{"AttributeName":"n","KeyType":"RANGE"},{"AttributeName":"id","KeyType":"RANGE"}]}],
	"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`

func (k *killing) create() {
	d := k.client()
	defer d.close()
	d.must(k.t, "CreateTable", killedTable, nil)
	d.active(k.t, "killed")
	d.must(k.t, "UpdateTimeToLive", `{"TableName":"killed",
		"TimeToLiveSpecification":{"Enabled":true,"AttributeName":"expires"}}`, nil)
	k.bank.create(d)
}

// changeIndex begins to add a global index to the table of the transfers, or removes it. The kill
// comes before the index is filled, while it is, or later.
func (k *killing) changeIndex(d *dynamo, round int) {
	var change string
	switch round % indexRound {
	case 0:
		change = `{"Create":{"IndexName":"extra","Projection":{"ProjectionType":"ALL"},
			"KeySchema":[{"AttributeName":"n","KeyType":"HASH"}]}}`
	case indexRound / 2:
		change = `{"Delete":{"IndexName":"extra"}}`
	default:
		return
	}
	d.must(k.t, "UpdateTable", fmt.Sprintf(`{"TableName":"transfers",
		"AttributeDefinitions":[{"AttributeName":"n","AttributeType":"N"}],"GlobalSecondaryIndexUpdates":[%s]}`, change), nil)
}

// load writes until the server is gone; stop waits for that.
func (k *killing) load(d *dynamo) (stop func()) {
	var wait sync.WaitGroup
	for w := range killWriters {
		random := rand.New(rand.NewPCG(k.random.Uint64(), uint64(w)))
		wait.Go(func() {
			for {
				write := k.put
				switch n := random.IntN(8); {
				case n == 0:
					write = k.putMortal
				case w%2 == 1 && n < 5:
					write = k.bank.transfer
				}
				if !write(d, w, random) {
					return
				}
			}
		})
	}
	wait.Go(func() {
		for k.bank.watch(d) {
		}
	})
	return func() { wait.Wait(); d.close() }
}

// put writes the next value of a key that only this writer writes, and sometimes removes the item
// of another of its keys in the same transaction. It returns false once the server is gone.
func (k *killing) put(d *dynamo, w int, random *rand.Rand) bool {
	key := w*keysPerWrite + random.IntN(keysPerWrite)
	value := k.tried[key].Add(1)
	put := fmt.Sprintf(`"TableName":"killed",
		"Item":{"id":{"S":"key-%d"},"r":{"N":"0"},"g":{"S":"g%d"},"n":{"N":"%d"},"fat":{"S":"%0*d"}}`,
		key, value%3, value, fatBytes, value)
	var err error
	if random.IntN(4) > 0 {
		err = d.ask("PutItem", "{"+put+"}", nil)
	} else {
		err = d.ask("TransactWriteItems", fmt.Sprintf(`{"TransactItems":[{"Put":{%s}},
			{"Delete":{"TableName":"killed","Key":{"id":{"S":"mortal-%d"},"r":{"N":"0"}}}}]}`, put, random.IntN(mortals)), nil)
	}
	if err != nil {
		return k.survives(err)
	}
	k.acked[key].Store(value)
	return random.IntN(4) > 0 || k.find(d, key, value)
}

// find queries the global index for what was just written. It returns false once the server is
// gone.
func (k *killing) find(d *dynamo, key int, value int64) bool {
	var answer struct{ Items []row }
	if err := d.ask("Query", fmt.Sprintf(`{"TableName":"killed","IndexName":"global",
		"KeyConditionExpression":"g = :g AND n = :n",
		"ExpressionAttributeValues":{":g":{"S":"g%d"},":n":{"N":"%d"}}}`, value%3, value), &answer); err != nil {
		return k.survives(err)
	}
	k.asked.Add(1)
	for _, r := range answer.Items {
		if r.ID.S == fmt.Sprintf("key-%d", key) {
			return true
		}
	}
	k.late.Add(1)
	return true
}

// putMortal writes an item that has expired already, and is deleted sooner or later, or one that
// doesn't expire during the test.
func (k *killing) putMortal(d *dynamo, _ int, random *rand.Rand) bool {
	expires := time.Now().Add(-time.Minute)
	if random.IntN(2) == 0 {
		expires = expires.Add(24 * time.Hour)
	}
	err := d.ask("PutItem", fmt.Sprintf(`{"TableName":"killed","Item":{"id":{"S":"mortal-%d"},"r":{"N":"0"},
		"g":{"S":"g%d"},"n":{"N":"%d"},"expires":{"N":"%d"}}}`,
		random.IntN(mortals), random.IntN(3), random.IntN(1e6), expires.Unix()), nil)
	return k.survives(err)
}

// survives reports whether the server still answers; any error response fails the test.
func (k *killing) survives(err error) bool {
	r, answered := err.(*refusal)
	if answered {
		k.t.Error(r)
	}
	return answered || err == nil
}
