package wire

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	restoreRounds = 3                      // of load, each of which ends with a kill
	restoreLoad   = 400 * time.Millisecond // of each round
	restoredTimes = 4                      // to which both tables are restored
)

// TestRestoredTransactionsAreWhole restores the accounts and the records of transfers to the same
// moments, in the middle of a load that is interrupted by kills: each transfer is in both tables or
// in none, with both of its accounts.
func TestRestoredTransactionsAreWhole(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	address, dir, config := freeAddress(t), t.TempDir(), filepath.Join(t.TempDir(), "holdfast.yaml")
	if err := os.WriteFile(config, []byte("tables: {new_shards: 3}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := startTablesAt(t, address, dir, "--config", config)
	d := newDynamo(address)
	defer d.close()
	b := &bank{t: t}
	b.create(d)
	for _, table := range []string{"accounts", "transfers"} {
		d.must(t, "UpdateContinuousBackups", fmt.Sprintf(`{"TableName":%q,
			"PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}`, table), nil)
	}
	var moments []time.Time
	for range restoreRounds {
		began := time.Now().Add(time.Millisecond) // in whole milliseconds, it isn't before the switch
		var wait sync.WaitGroup
		for w := range killWriters {
			r := rand.New(rand.NewPCG(random.Uint64(), uint64(w)))
			wait.Go(func() {
				for b.transfer(d, w, r) {
				}
			})
		}
		time.Sleep(restoreLoad) // how long the load runs
		server.kill()
		wait.Wait()
		for range restoredTimes {
			moments = append(moments, began.Add(time.Duration(random.Int64N(int64(restoreLoad)))))
		}
		server = startTablesAt(t, address, dir, "--config", config)
	}
	b.check(d)
	random.Shuffle(len(moments), func(i, j int) { moments[i], moments[j] = moments[j], moments[i] })
	some := 0
	for i, at := range moments[:restoredTimes] {
		accounts, transfers := fmt.Sprintf("accounts-%d", i), fmt.Sprintf("transfers-%d", i)
		restore(t, d, "accounts", accounts, at)
		restore(t, d, "transfers", transfers, at)
		n := b.checkRestored(d, accounts, transfers)
		t.Logf("%d of %d transfers at %v", n, len(b.sent), at)
		if n > 0 && n < len(b.sent) {
			some++
		}
	}
	if some == 0 {
		t.Error("no moment was in the middle of the load")
	}
}

// restore restores a table to a moment, under another name, and waits until it is there.
func restore(t *testing.T, d *dynamo, table, name string, at time.Time) {
	t.Helper()
	d.must(t, "RestoreTableToPointInTime", fmt.Sprintf(`{"SourceTableName":%q,"TargetTableName":%q,"RestoreDateTime":%d.%03d}`,
		table, name, at.Unix(), at.Nanosecond()/1e6), nil)
	d.active(t, name)
}

// checkRestored compares restored accounts with restored records of transfers, and returns how many
// of these there are.
func (b *bank) checkRestored(d *dynamo, accounts, transfers string) (records int) {
	b.t.Helper()
	want := map[string]int{}
	for i := range b.balances {
		want[fmt.Sprintf("account-%d", i)] = startBalance
	}
	there := b.counts(scanAll(b.t, d, transfers, ""))
	for _, x := range b.sent {
		times := there[fmt.Sprintf("%s/%d", x.id, x.n)]
		if times > 1 {
			b.t.Errorf("%s: %v was applied %d times", transfers, x, times)
		}
		want[fmt.Sprintf("account-%d", x.from)] -= times * x.amount
		want[fmt.Sprintf("account-%d", x.to)] += times * x.amount
	}
	for _, it := range scanAll(b.t, d, accounts, "") {
		id := scalar(it["id"])
		if n, err := strconv.Atoi(scalar(it["n"])); err != nil || n != want[id] {
			b.t.Errorf("%s: %s has %s; by the records of the transfers %d", accounts, id, scalar(it["n"]), want[id])
		}
		delete(want, id)
	}
	if len(want) > 0 {
		b.t.Errorf("%s: no accounts %v", accounts, want)
	}
	expectIndexes(b.t, d, transfers)
	return len(there)
}
