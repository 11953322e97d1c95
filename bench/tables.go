package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// tables sends the same requests to Holdfast and to dynalite in turn: GetItem and PutItem of 1-KB
// items, and Query of a thousand small ones. dynalite runs twice: with its items in memory, as by
// default, and in a directory, where its writes aren't synced. Each of Holdfast's writes is on disk
// before it is answered.
func tables(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("tables", &b)
	var (
		peer        = f.String("dynalite", "dynalite", "path of dynalite, or of its cli.js; none leaves it out")
		connections = positiveFlag(f, "connections", 16, "each with one request at a time")
		items       = positiveFlag(f, "items", 10_000, "number of 1-KB items")
		rounds      = positiveFlag(f, "rounds", 7, "rounds of each server and load")
		seconds     = positiveFlag[float64](f, "seconds", 2, "length of each round")
		only        = f.String("only", "", "measure one load: GetItem, PutItem or Query")
	)
	if err := parse(f, args); err != nil {
		return err
	}
	b.memcached = none
	dir, done, err := b.scratch(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	specs := tableSpecs(&b, dir, *peer)
	var runs []*tableRun
	for _, p := range specs {
		r, err := startTables(ctx, p, *connections, *items)
		if r != nil {
			defer r.stop()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		runs = append(runs, r)
	}
	length := time.Duration(*seconds * float64(time.Second))
	loads := slices.DeleteFunc(tableLoads(*items), func(l tableLoad) bool { return *only != "" && l.name != *only })
	for range *rounds {
		for _, l := range loads {
			for _, r := range runs {
				if err := r.measure(l, length); err != nil {
					return fmt.Errorf("%s: %s: %w", r.name, l.name, err)
				}
			}
		}
	}
	printTables(runs, loads)
	return nil
}

// tableSpecs are Holdfast, and dynalite if it is installed.
func tableSpecs(b *binaries, dir, peer string) []spec {
	var specs []spec
	if b.holdfast != none {
		specs = append(specs, tablesAlone("holdfast", b.holdfast, filepath.Join(dir, "data")))
	}
	if peer == none {
		return specs
	}
	argv := []string{peer}
	if strings.HasSuffix(peer, ".js") {
		argv = []string{"node", peer}
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		fmt.Printf("without dynalite (npm install dynalite@4.0.0): %v\n", err)
		return specs
	}
	argv = append(argv, "--createTableMs", "0")
	return append(specs, spec{name: inMemory, portFlag: "--port", argv: argv},
		spec{name: onDisk, portFlag: "--port", argv: append(slices.Clip(argv), "--path", filepath.Join(dir, "dynalite"))})
}

// tablesAlone is a Holdfast of which only the tables are used: it serves no HTTP, and a cache that
// nobody knows.
func tablesAlone(name, path, data string, flags ...string) spec {
	argv := append([]string{path, "up"}, flags...)
	return spec{name: name, portFlag: "--tables-listen", whole: true,
		argv: append(argv, "--cache-listen", "127.0.0.1:0", "--http-listen", "", "--data", data)}
}

// The names of the peers.
const (
	inMemory = "dynalite"
	onDisk   = "dynalite --path"
)

// A tableLoad is one kind of request. body makes the i-th request; items is how many items each of
// them concerns.
type tableLoad struct {
	name, operation string
	items           int
	body            func(i int) []byte
	connections     int // 0: all
}

// writes reports whether its requests change items.
func (l tableLoad) writes() bool { return l.operation != "GetItem" && l.operation != "Query" }

const queried = 1000 // items of a Query

func tableLoads(items int) []tableLoad {
	value := strings.Repeat("v", 1000)
	spread := spreadOver(items)
	return []tableLoad{
		{name: "GetItem", operation: "GetItem", items: 1, body: func(i int) []byte {
			return fmt.Appendf(nil, `{"TableName":"bench","Key":{"id":{"S":"user-%08d"}}}`, spread(i))
		}},
		{name: "PutItem", operation: "PutItem", items: 1, body: func(i int) []byte {
			return fmt.Appendf(nil, `{"TableName":"bench",`+
				`"Item":{"id":{"S":"user-%08d"},"n":{"N":"%d"},"value":{"S":"%s"}}}`, spread(i), i, value)
		}},
		{name: "Query", operation: "Query", items: queried, body: func(int) []byte {
			return []byte(`{"TableName":"lists","KeyConditionExpression":"id = :i",` +
				`"ExpressionAttributeValues":{":i":{"S":"one"}}}`)
		}},
	}
}

// spreadOver returns a function that goes through all items, in an order in which those that follow
// each other are far apart.
func spreadOver(items int) func(i int) int {
	stride := 7919
	if items%stride == 0 { // a multiple of this prime would leave items out
		stride = 1
	}
	return func(i int) int { return i * stride % items }
}

// A tableRun is a server with filled tables, the connections to it, and the measurements.
type tableRun struct {
	*server
	clients []*dynamoClient
	next    atomic.Int64
	rate    map[string][]float64 // requests per second, by load
	cpu     map[string][]float64 // µs of the server's processor time per request, by load
	written map[string][]float64 // bytes that the server caused to be written to disks per request, by load
}

// startTables starts a server on a free port and fills its tables.
func startTables(ctx context.Context, p spec, connections, items int) (*tableRun, error) {
	r, err := connectTables(ctx, p, connections)
	if err != nil {
		return r, err
	}
	return r, r.fill(items)
}

// connectTables starts a server on a free port and connects to it.
func connectTables(ctx context.Context, p spec, connections int) (*tableRun, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	r := &tableRun{rate: map[string][]float64{}, cpu: map[string][]float64{}, written: map[string][]float64{}}
	if r.server, err = p.launch(address); err != nil {
		return nil, err
	}
	return r, r.connect(ctx, connections)
}

// connect waits until the server answers.
func (r *tableRun) connect(ctx context.Context, connections int) error {
	return await(ctx, []*server{r.server}, func() error {
		for len(r.clients) < connections {
			c, err := dialDynamo(r.address)
			if err != nil {
				return err
			}
			if _, err = c.ask("ListTables", []byte("{}")); err != nil {
				return errors.Join(err, c.close())
			}
			r.clients = append(r.clients, c)
		}
		return nil
	})
}

func (r *tableRun) stop() {
	for _, c := range r.clients {
		c.close()
	}
	if err := r.server.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// The tables that the loads use.
const (
	benchTable = `{"TableName":"bench","BillingMode":"PAY_PER_REQUEST",` +
		`"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],` +
		`"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`
	listsTable = `{"TableName":"lists","BillingMode":"PAY_PER_REQUEST",` +
		`"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"n","AttributeType":"N"}],` +
		`"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}]}`
)

// fill creates the tables and stores the items that the loads request.
func (r *tableRun) fill(items int) error {
	c := r.clients[0]
	for _, body := range []string{benchTable, listsTable} {
		if _, err := c.ask("CreateTable", []byte(body)); err != nil {
			return err
		}
	}
	for _, name := range []string{"bench", "lists"} {
		if err := c.awaitActive(name); err != nil {
			return err
		}
	}
	for i := range queried {
		body := fmt.Appendf(nil, `{"TableName":"lists","Item":{"id":{"S":"one"},"n":{"N":"%d"},"text":{"S":"%s"}}}`,
			i, strings.Repeat("t", 60))
		if _, err := c.ask("PutItem", body); err != nil {
			return err
		}
	}
	put := tableLoads(items)[1]
	for i := range items {
		if _, err := c.ask(put.operation, put.body(i)); err != nil {
			return err
		}
	}
	return nil
}

func (c *dynamoClient) awaitActive(name string) error {
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		answer, err := c.ask("DescribeTable", fmt.Appendf(nil, `{"TableName":%q}`, name))
		if err != nil || bytes.Contains(answer, []byte(`"ACTIVE"`)) {
			return err
		}
	}
	return errors.New("the table " + name + " doesn't become active")
}

// redial opens the connections again: Node closes those that were idle while the others were used.
func (r *tableRun) redial() (err error) {
	for i, c := range r.clients {
		c.close()
		if r.clients[i], err = dialDynamo(r.address); err != nil {
			r.clients = r.clients[:i]
			return err
		}
	}
	return nil
}

// measure sends requests for the given time.
func (r *tableRun) measure(l tableLoad, length time.Duration) error {
	if err := r.redial(); err != nil {
		return err
	}
	var asked atomic.Int64
	cpu, written, start := r.cpuMicros(), r.writtenBytes(), time.Now()
	clients := r.clients[:min(cmp.Or(l.connections, len(r.clients)), len(r.clients))]
	err := onAll(clients, func(_ int, c *dynamoClient) error {
		for time.Since(start) < length {
			if _, err := c.ask(l.operation, l.body(int(r.next.Add(1)))); err != nil {
				return err
			}
			asked.Add(1)
		}
		return nil
	})
	took := time.Since(start).Seconds()
	n := float64(asked.Load())
	r.rate[l.name] = append(r.rate[l.name], n/took)
	r.cpu[l.name] = append(r.cpu[l.name], (r.cpuMicros()-cpu)/n)
	r.written[l.name] = append(r.written[l.name], (r.writtenBytes()-written)/n)
	return err
}

// writtenBytes is how many bytes the process has caused to be written to disks; 0 if the system
// doesn't report it.
func (s *server) writtenBytes() float64 {
	text, err := os.ReadFile(filepath.Join(s.proc, "io"))
	if err != nil {
		return 0
	}
	return writtenOf(text)
}

// writtenOf finds the bytes written in the text of /proc/PID/io.
func writtenOf(text []byte) float64 {
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte("write_bytes:")); ok {
			n, _ := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
			return n
		}
	}
	return 0
}

// ticksPerSecond is USER_HZ, the unit of times in /proc, which Linux fixes.
const ticksPerSecond = 100

// cpuMicros is the processor time that the process has used; 0 if the system doesn't report it.
func (s *server) cpuMicros() float64 { return microsIn(s.proc) }

// ownMicros is the processor time of this process.
func ownMicros() float64 { return microsIn("/proc/self") }

func microsIn(proc string) float64 {
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return 0
	}
	return cpuMicrosOf(stat)
}

// cpuMicrosOf finds the processor time in the text of /proc/PID/stat, whose second field, the
// program's name, may contain spaces.
func cpuMicrosOf(stat []byte) float64 {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(string(fields[11]), 64)
	system, _ := strconv.ParseFloat(string(fields[12]), 64)
	return (user + system) * 1e6 / ticksPerSecond
}

// printTables prints a row for each load and server. The first server's rows have its ratios to the
// peers.
func printTables(runs []*tableRun, loads []tableLoad) {
	rows := [][]string{{"", "load", "requests/s", "items/s", "server's CPU µs per request",
		"times dynalite", "times dynalite --path"}}
	for _, l := range loads {
		rates := map[string]float64{}
		for _, r := range runs {
			rates[r.name] = middle(r.rate[l.name])
		}
		for _, r := range runs {
			rate := rates[r.name]
			row := []string{r.name, l.name, fmt.Sprintf("%.0f", rate), fmt.Sprintf("%.0f", rate*float64(l.items)),
				fmt.Sprintf("%.1f", middle(r.cpu[l.name]))}
			for _, peer := range []string{inMemory, onDisk} {
				if r == runs[0] && rates[peer] > 0 {
					row = append(row, fmt.Sprintf("%.1f", rate/rates[peer]))
				}
			}
			rows = append(rows, row)
		}
	}
	table(rows)
}
