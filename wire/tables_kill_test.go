package wire

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// How often the process is killed, and the load meanwhile.
const (
	kills        = 100 // of each number of shards
	killsShort   = 5
	killWriters  = 8
	keysPerWrite = 4 // keys of each writer
	accounts     = 12
	startBalance = 1000
)

// A killing is a table under load whose server is killed again and again, with the acknowledged
// writes.
type killing struct {
	t       *testing.T
	address string
	dir     string
	config  string
	random  *rand.Rand
	acked   [killWriters * keysPerWrite]atomic.Int64 // the last value that a put of the key was acknowledged with; 0: none
	tried   [killWriters * keysPerWrite]atomic.Int64 // the last value that was sent
	moved   atomic.Int64                             // acknowledged transactions
}

// TestKilledTables kills the process under load, again and again, and checks after each kill: every
// acknowledged write is there, no transaction is there in part, and the indexes and the stream
// agree with the table.
func TestKilledTables(t *testing.T) {
	for _, shards := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) { testKilled(t, shards) })
	}
}

func testKilled(t *testing.T, shards int) {
	n := kills
	if testing.Short() {
		n = killsShort
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	k := &killing{
		t: t, address: freeAddress(t), dir: t.TempDir(), config: filepath.Join(t.TempDir(), "holdfast.yaml"),
		random: rand.New(rand.NewPCG(seed, 1)),
	}
	if err := os.WriteFile(k.config, fmt.Appendf(nil, "tables: {new_shards: %d}\n", shards), 0o600); err != nil {
		t.Fatal(err)
	}
	server := k.start()
	k.create()
	for range n {
		d := newDynamo(k.address)
		stop := k.load(d)
		time.Sleep(time.Duration(1+k.random.IntN(60)) * time.Millisecond) // how long the load runs
		server.kill()
		stop()
		server = k.start()
		k.look()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills, %d transactions acknowledged", n, k.moved.Load())
	if k.moved.Load() == 0 {
		t.Error("no transaction was acknowledged: the load did nothing")
	}
}

func (k *killing) start() *process {
	k.t.Helper()
	return startTablesAt(k.t, k.address, k.dir, "--config", k.config)
}

func (k *killing) create() {
	d := newDynamo(k.address)
	defer d.close()
	d.must(k.t, "CreateTable", `{"TableName":"killed","BillingMode":"PAY_PER_REQUEST",
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
		"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`, nil)
	d.active(k.t, "killed")
	for i := range accounts {
		d.must(k.t, "PutItem", fmt.Sprintf(`{"TableName":"killed",
			"Item":{"id":{"S":"account"},"r":{"N":"%d"},"g":{"S":"bank"},"n":{"N":"%d"}}}`, i, startBalance), nil)
	}
}

// load writes until the server is gone; stop waits for that.
func (k *killing) load(d *dynamo) (stop func()) {
	var wait sync.WaitGroup
	for w := range killWriters {
		random := rand.New(rand.NewPCG(k.random.Uint64(), uint64(w)))
		wait.Go(func() {
			for {
				write := k.put
				if w%2 == 1 && random.IntN(2) == 0 {
					write = k.move
				}
				if !write(d, w, random) {
					return
				}
			}
		})
	}
	return func() { wait.Wait(); d.close() }
}

// put writes the next value of a key that only this writer writes. It returns false once the server
// is gone.
func (k *killing) put(d *dynamo, w int, random *rand.Rand) bool {
	key := w*keysPerWrite + random.IntN(keysPerWrite)
	value := k.tried[key].Add(1)
	err := d.ask("PutItem", fmt.Sprintf(`{"TableName":"killed",
		"Item":{"id":{"S":"key-%d"},"r":{"N":"0"},"g":{"S":"g%d"},"n":{"N":"%d"}}}`, key, value%3, value), nil)
	if err != nil {
		return k.survives(err)
	}
	k.acked[key].Store(value)
	return true
}

// move moves money between two accounts, if the first has enough.
func (k *killing) move(d *dynamo, _ int, random *rand.Rand) bool {
	from, to := random.IntN(accounts), random.IntN(accounts-1)
	if to >= from {
		to++
	}
	amount := 1 + random.IntN(9)
	err := d.ask("TransactWriteItems", fmt.Sprintf(`{"TransactItems":[
		{"Update":{"TableName":"killed","Key":{"id":{"S":"account"},"r":{"N":"%d"}},
			"UpdateExpression":"SET n = n - :a","ConditionExpression":"n >= :a",
			"ExpressionAttributeValues":{":a":{"N":"%d"}}}},
		{"Update":{"TableName":"killed","Key":{"id":{"S":"account"},"r":{"N":"%d"}},
			"UpdateExpression":"ADD n :a","ExpressionAttributeValues":{":a":{"N":"%d"}}}}]}`,
		from, amount, to, amount), nil)
	if err != nil {
		return k.survives(err)
	}
	k.moved.Add(1)
	return true
}

// survives reports whether the server still answers; any error but a condition that doesn't hold
// fails the test.
func (k *killing) survives(err error) bool {
	r, answered := err.(*refusal)
	if answered && r.Type != "com.amazonaws.dynamodb.v20120810#TransactionCanceledException" {
		k.t.Error(err)
	}
	return answered
}

// A row is an item of the table, with the attributes that the test writes.
type row struct {
	ID    struct{ S string } `json:"id"`
	Range struct{ N string } `json:"r"`
	Group struct{ S string } `json:"g"`
	Value struct{ N string } `json:"n"`
}

func (r row) key() string { return r.ID.S + "/" + r.Range.N }

// look compares the table with the acknowledged writes, and its indexes and its stream with the
// table.
func (k *killing) look() {
	d := newDynamo(k.address)
	defer d.close()
	table := k.scan(d, "")
	k.checkAcked(table)
	for _, index := range []string{"local", "global", "parts"} {
		k.same(index, table, k.scan(d, index))
	}
	k.same("the stream's last images", table, k.streamed(d))
}

func (k *killing) scan(d *dynamo, index string) map[string]row {
	body := `{"TableName":"killed","ConsistentRead":true}`
	if index != "" {
		body = fmt.Sprintf(`{"TableName":"killed","IndexName":%q}`, index)
	}
	var answer struct {
		Items            []row
		LastEvaluatedKey json.RawMessage
	}
	d.must(k.t, "Scan", body, &answer)
	if answer.LastEvaluatedKey != nil {
		k.t.Errorf("more than one page of %q", index)
	}
	rows := map[string]row{}
	for _, r := range answer.Items {
		if _, again := rows[r.key()]; again {
			k.t.Errorf("%q has %s twice", index, r.key())
		}
		rows[r.key()] = r
	}
	return rows
}

func (k *killing) checkAcked(table map[string]row) {
	for i := range k.acked {
		acked, tried := k.acked[i].Load(), k.tried[i].Load()
		r, there := table[fmt.Sprintf("key-%d/0", i)]
		got, _ := strconv.ParseInt(r.Value.N, 10, 64)
		if got < acked || got > tried || !there && acked > 0 {
			k.t.Errorf("key-%d: got %d; acknowledged was %d, tried %d", i, got, acked, tried)
		}
		k.acked[i].Store(got) // it has been read now
	}
	sum := 0
	for i := range accounts {
		n, err := strconv.Atoi(table[fmt.Sprintf("account/%d", i)].Value.N)
		if err != nil || n < 0 {
			k.t.Errorf("account %d: %d, %v", i, n, err)
		}
		sum += n
	}
	if want := accounts * startBalance; sum != want {
		k.t.Errorf("the accounts have %d in all; want %d: a transaction is there in part", sum, want)
	}
}

func (k *killing) same(what string, want, got map[string]row) {
	for key, r := range want {
		if got[key] != r {
			k.t.Errorf("%s: %s is %+v; the table has %+v", what, key, got[key], r)
		}
	}
	if len(got) != len(want) {
		k.t.Errorf("%s: %d items; the table has %d", what, len(got), len(want))
	}
}

// streamed is the table as its stream's records leave it. Each record's old image must be what the
// record before has left.
func (k *killing) streamed(d *dynamo) map[string]row {
	var streams struct{ Streams []struct{ StreamArn string } }
	d.must(k.t, "Streams.ListStreams", `{"TableName":"killed"}`, &streams)
	arn := streams.Streams[0].StreamArn
	var description struct {
		StreamDescription struct{ Shards []struct{ ShardId string } }
	}
	d.must(k.t, "Streams.DescribeStream", fmt.Sprintf(`{"StreamArn":%q}`, arn), &description)
	rows := map[string]row{}
	for _, s := range description.StreamDescription.Shards {
		var iterator struct{ ShardIterator string }
		d.must(k.t, "Streams.GetShardIterator", fmt.Sprintf(
			`{"StreamArn":%q,"ShardId":%q,"ShardIteratorType":"TRIM_HORIZON"}`, arn, s.ShardId), &iterator)
		for next := iterator.ShardIterator; next != ""; {
			var page struct {
				Records []struct {
					Dynamodb struct {
						NewImage, OldImage row
						SequenceNumber     string
					}
				}
				NextShardIterator string
			}
			d.must(k.t, "Streams.GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, next), &page)
			for _, r := range page.Records {
				image := r.Dynamodb.NewImage
				if before := rows[image.key()]; before != r.Dynamodb.OldImage {
					k.t.Errorf("record %s of %s: its old image is %+v; the stream left %+v",
						r.Dynamodb.SequenceNumber, image.key(), r.Dynamodb.OldImage, before)
				}
				rows[image.key()] = image
			}
			if next = page.NextShardIterator; len(page.Records) == 0 {
				break
			}
		}
	}
	return rows
}
