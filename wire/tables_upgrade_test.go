package wire

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	upgradeKills = 12    // of the first starts of the new build
	upgradeItems = 20000 // beside those of the load, so that a takeover takes a while
)

// TestUpgrade has an older build, which HOLDFAST_BEFORE names, write under load until it is killed.
// Then this build starts in the same directory, and is killed again and again before it can serve.
// Once it serves, every acknowledged write is there, indexes and streams agree with their tables,
// and transactions are known by their tokens. Afterwards the older build must refuse the directory,
// if its format has changed.
func TestUpgrade(t *testing.T) {
	older := os.Getenv("HOLDFAST_BEFORE")
	if older == "" {
		t.Skip("HOLDFAST_BEFORE names no older build")
	}
	for _, shards := range []int{1, 3, 64} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) { testUpgrade(t, older, shards) })
	}
}

func testUpgrade(t *testing.T, older string, shards int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	k := newKilling(t, seed, 1, shards)
	server := startTablesOf(t, older, k.addresses[0], k.dir, "--config", k.config)
	k.create()
	d := newDynamo(k.addresses[0])
	k.fill(d, upgradeItems)
	k.changeIndex(d, 0)
	stop := k.load(d)
	time.Sleep(time.Second) // how long the load runs
	server.kill()
	stop()
	for range upgradeKills {
		k.startAndKill()
	}
	server = k.start()
	k.look()
	k.lookAtTransfers()
	if t.Failed() {
		return
	}
	// It goes on as a table of this build.
	d = newDynamo(k.addresses[0])
	stop = k.load(d)
	time.Sleep(100 * time.Millisecond) // how long the load runs
	server.kill()
	stop()
	server = k.start()
	k.look()
	server.stop()
	t.Logf("%d transfers acknowledged, %d sent again", k.bank.moved.Load(), k.bank.retried)
	k.goBack(older)
}

// fill writes items to the table of the transfers. They have numbers of transfers that nobody sends.
func (k *killing) fill(d *dynamo, items int) {
	k.t.Helper()
	for i := 0; i < items; i += 25 {
		puts := ""
		for n := i; n < i+25; n++ {
			puts += fmt.Sprintf(`,{"PutRequest":{"Item":{"id":{"S":"filler-%d"},"n":{"N":"%d"},"round":{"N":"-%d"},
				"applied":{"N":"0"}}}}`, n, n, 1+n%100)
		}
		d.must(k.t, "BatchWriteItem", `{"RequestItems":{"transfers":[`+puts[1:]+`]}}`, nil)
	}
}

// startAndKill starts this build and kills it while it starts.
func (k *killing) startAndKill() {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), time.Duration(10+k.random.IntN(400))*time.Millisecond)
	defer cancel()
	cmd := exec.CommandContext(ctx, ours(k.t).argv[0], "up", "--tables-listen", k.addresses[0], "--data", k.dir,
		"--cache-listen", "127.0.0.1:0", "--http-listen", "", "--memory", "8MiB", "--config", k.config)
	var out lockedBuffer
	cmd.Stderr = &out
	if err := spawn(cmd); err != nil {
		k.t.Fatal(err)
	}
	if err := cmd.Wait(); ctx.Err() == nil {
		k.t.Fatalf("it ended by itself: %v\n%s", err, out.String())
	}
}

// goBack starts the older build in the directory that this build has used.
func (k *killing) goBack(older string) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, older, "up", "--tables-listen", k.addresses[0], "--data", k.dir,
		"--cache-listen", "127.0.0.1:0", "--http-listen", "", "--memory", "8MiB", "--config", k.config)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		k.t.Log("the older build serves the directory: its format hasn't changed")
		return
	}
	if text := string(out); err == nil || !strings.Contains(text, "version") {
		k.t.Errorf("the older build ended with %v, %s; want it to name the version", err, text)
	} else {
		k.t.Logf("the older build: %s", text)
	}
}
