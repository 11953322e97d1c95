package wire

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	accounts     = 12
	startBalance = 1000
)

// A bank is a set of accounts in one table and a record of each transfer in another. A transfer is
// a transaction of three items, which usually lie in as many shards; half of the transfers have a
// token.
type bank struct {
	t        *testing.T
	balances [accounts]int // before this round's transfers
	round    int           // between two checks
	mu       sync.Mutex    // guards sent
	sent     []*transfer   // in this round
	moved    atomic.Int64  // acknowledged transfers
	looks    atomic.Int64  // at all accounts at once
	retried  int           // transfers without an answer that were sent again with their token
}

// A transfer is one transaction, with what the client knows of it.
type transfer struct {
	id       string // partition of its record
	n        int    // sort key of its record
	from, to int
	amount   int
	token    string
	outcome  outcome
}

type outcome int

const (
	unknown  outcome = iota // the server was killed before it answered
	applied                 // acknowledged
	refused                 // the first account had too little
	mismatch                // the token was used with other parameters
)

func (x *transfer) String() string {
	return fmt.Sprintf("%s/%d: %d from %d to %d, token %q, outcome %d", x.id, x.n, x.amount, x.from, x.to, x.token,
		x.outcome)
}

const accountsTable = `{"TableName":"accounts","BillingMode":"PAY_PER_REQUEST",
	"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
	"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`

const transfersTable = `{"TableName":"transfers","BillingMode":"PAY_PER_REQUEST",
	"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"n","AttributeType":"N"},
		{"AttributeName":"round","AttributeType":"N"}],
	"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}],
	"GlobalSecondaryIndexes":[{"IndexName":"rounds","Projection":{"ProjectionType":"ALL"},
		"KeySchema":[{"AttributeName":"round","KeyType":"HASH"},{"AttributeName":"id","KeyType":"RANGE"}]}]}`

func (b *bank) create(d *dynamo) {
	b.t.Helper()
	d.must(b.t, "CreateTable", accountsTable, nil)
	d.must(b.t, "CreateTable", transfersTable, nil)
	d.active(b.t, "accounts")
	d.active(b.t, "transfers")
	for i := range b.balances {
		b.balances[i] = startBalance
		d.must(b.t, "PutItem", fmt.Sprintf(`{"TableName":"accounts","Item":{"id":{"S":"account-%d"},"n":{"N":"%d"}}}`,
			i, startBalance), nil)
	}
}

// transfer moves money between two accounts, if the first has enough. It returns false once the
// server is gone.
func (b *bank) transfer(d *dynamo, w int, random *rand.Rand) bool {
	x := &transfer{id: fmt.Sprintf("t-%d-%d", b.round, w), from: random.IntN(accounts), to: random.IntN(accounts - 1),
		amount: 1 + random.IntN(9)}
	if x.to >= x.from {
		x.to++
	}
	if random.IntN(2) == 0 {
		x.token = fmt.Sprintf("token-%016x", random.Uint64())
	}
	b.mu.Lock()
	x.n = len(b.sent)
	b.sent = append(b.sent, x)
	b.mu.Unlock()
	answered := b.send(d, x)
	if x.outcome == applied {
		b.moved.Add(1)
	}
	return answered
}

// send sends a transfer, for the first time or again, and returns false if there was no answer.
func (b *bank) send(d *dynamo, x *transfer) bool {
	token := ""
	if x.token != "" {
		token = fmt.Sprintf(`"ClientRequestToken":%q,`, x.token)
	}
	err := d.ask("TransactWriteItems", fmt.Sprintf(`{%s"TransactItems":[
		{"Update":{"TableName":"accounts","Key":{"id":{"S":"account-%d"}},
			"UpdateExpression":"SET n = n - :a","ConditionExpression":"n >= :a",
			"ExpressionAttributeValues":{":a":{"N":"%d"}}}},
		{"Update":{"TableName":"accounts","Key":{"id":{"S":"account-%d"}},
			"UpdateExpression":"ADD n :a","ExpressionAttributeValues":{":a":{"N":"%d"}}}},
		{"Update":{"TableName":"transfers","Key":{"id":{"S":%q},"n":{"N":"%d"}},
			"UpdateExpression":"SET round = :r ADD applied :one",
			"ExpressionAttributeValues":{":r":{"N":"%d"},":one":{"N":"1"}}}}]}`,
		token, x.from, x.amount, x.to, x.amount, x.id, x.n, b.round), nil)
	r, answered := err.(*refusal)
	switch {
	case err == nil:
		x.outcome = applied
	case !answered:
		return false
	case r.is("TransactionCanceledException"):
		x.outcome = refused
	case r.is("IdempotentParameterMismatchException"):
		x.outcome = mismatch
	default:
		b.t.Errorf("%v: %v", x, err)
	}
	return true
}

// balancesNow reads all accounts in one transaction; false if there was no answer.
func (b *bank) balancesNow(d *dynamo) (balances [accounts]int, answered bool) {
	gets := ""
	for i := range accounts {
		gets += fmt.Sprintf(`,{"Get":{"TableName":"accounts","Key":{"id":{"S":"account-%d"}}}}`, i)
	}
	var answer struct {
		Responses []struct {
			Item struct{ N struct{ N string } }
		}
	}
	if err := d.ask("TransactGetItems", `{"TransactItems":[`+gets[1:]+`]}`, &answer); err != nil {
		if _, refused := err.(*refusal); refused {
			b.t.Error(err)
		}
		return balances, false
	}
	sum := 0
	for i, r := range answer.Responses {
		n, err := strconv.Atoi(r.Item.N.N)
		if err != nil || n < 0 {
			b.t.Errorf("account %d: %d, %v", i, n, err)
		}
		balances[i] = n
		sum += n
	}
	if want := accounts * startBalance; sum != want {
		b.t.Errorf("round %d: the accounts have %d in all; want %d: a transaction is seen in part", b.round, sum, want)
	}
	return balances, true
}

// watch looks at all accounts, as often as it is called. It returns false once the server is gone.
func (b *bank) watch(d *dynamo) bool {
	_, answered := b.balancesNow(d)
	b.looks.Add(1)
	return answered
}

// look checks what a kill has left, sends the transfers again whose outcome isn't known and which
// have a token, and begins the next round.
func (b *bank) look(d *dynamo) {
	b.t.Helper()
	b.check(d)
	for _, x := range b.sent {
		if x.token == "" || x.outcome == refused || x.outcome == applied && x.n%8 > 0 {
			continue
		}
		b.retry(d, x)
	}
	b.balances = b.check(d)
	b.sent = b.sent[:0]
	b.round++
}

// retry sends a transfer again with its token, which has no further effect if it was applied.
// Afterwards the token can't be used for another transfer.
func (b *bank) retry(d *dynamo, x *transfer) {
	b.t.Helper()
	was := x.outcome
	if was == unknown {
		b.retried++
	}
	if !b.send(d, x) {
		b.t.Errorf("%v: no answer", x)
	}
	if was == applied && x.outcome != applied {
		b.t.Errorf("%v: sent again with its token; it was applied before", x)
	}
	if x.outcome == applied {
		other := *x
		other.amount++
		if b.send(d, &other); other.outcome != mismatch {
			b.t.Errorf("%v: its token was accepted for another amount: outcome %d", x, other.outcome)
		}
	}
}

// check compares the accounts with the records of this round's transfers, and these with what the
// client knows.
func (b *bank) check(d *dynamo) [accounts]int {
	b.t.Helper()
	records := b.records(d)
	balances, answered := b.balancesNow(d)
	if !answered {
		b.t.Fatal("the accounts can't be read")
	}
	want := b.balances
	for _, x := range b.sent {
		key := fmt.Sprintf("%s/%d", x.id, x.n)
		times := records[key]
		delete(records, key)
		if times > 1 {
			b.t.Errorf("%v: applied %d times", x, times)
		}
		if x.outcome == applied && times == 0 {
			b.t.Errorf("%v: acknowledged, and not there", x)
		}
		if x.outcome == refused && times > 0 {
			b.t.Errorf("%v: refused, and there", x)
		}
		want[x.from] -= times * x.amount
		want[x.to] += times * x.amount
	}
	for key := range records {
		b.t.Errorf("there is a record %s of a transfer that nobody sent", key)
	}
	if balances != want {
		b.t.Errorf("round %d: got balances %v; by the records of the transfers %v", b.round, balances, want)
	}
	return balances
}

// records returns how often each of the round's transfers was applied, as their records say. The
// index of the rounds must have the same.
func (b *bank) records(d *dynamo) map[string]int {
	b.t.Helper()
	records := map[string]int{}
	for w := range killWriters {
		for key, times := range b.counts(pages(b.t, d, "Query", map[string]any{"TableName": "transfers",
			"ConsistentRead": true, "KeyConditionExpression": "id = :i",
			"ExpressionAttributeValues": object{":i": fmt.Appendf(nil, `{"S":"t-%d-%d"}`, b.round, w)}})) {
			records[key] = times
		}
	}
	var byIndex map[string]int
	if !within(func() bool {
		byIndex = b.counts(pages(b.t, d, "Query", map[string]any{"TableName": "transfers", "IndexName": "rounds",
			"KeyConditionExpression":    "round = :r",
			"ExpressionAttributeValues": object{":r": fmt.Appendf(nil, `{"N":"%d"}`, b.round)}}))
		return fmt.Sprint(byIndex) == fmt.Sprint(records)
	}) {
		b.t.Errorf("round %d: the index has the transfers %v; the table has %v", b.round, byIndex, records)
	}
	return records
}

// counts returns how often each transfer was applied.
func (b *bank) counts(records []object) map[string]int {
	b.t.Helper()
	counts := map[string]int{}
	for _, r := range records {
		n, err := strconv.Atoi(scalar(r["applied"]))
		if err != nil {
			b.t.Errorf("record %s: %v", r.text(), err)
		}
		counts[scalar(r["id"])+"/"+scalar(r["n"])] = n
	}
	return counts
}
