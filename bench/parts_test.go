package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// run runs a part and returns what it prints.
func run(t *testing.T, ctx context.Context, name string, args ...string) (printed string, err error) {
	t.Helper()
	at := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
	printed = captured(t, func() { err = parts[at].run(ctx, args) })
	return printed, err
}

// ours are arguments of a part whose servers are fakes.
func ours(self string, more ...string) []string {
	return append([]string{"-holdfast", self, "-memcached", self}, more...)
}

// rowsOf are the printed lines of a table, from that which begins with first on, by their fields.
func rowsOf(t *testing.T, printed, first string) (rows [][]string) {
	t.Helper()
	for line := range strings.Lines(printed) {
		if strings.HasPrefix(line, first) || len(rows) > 0 {
			rows = append(rows, strings.Fields(line))
		}
	}
	if len(rows) == 0 {
		t.Fatalf("got %q; want a line with %q", printed, first)
	}
	return rows
}

// A trace with keys of two phases, so that the misses depend on the memory.
func writeTrace(t *testing.T, dir, name string, seed uint64, n int) (keys []uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	var text strings.Builder
	for i := range n {
		key := r.Uint64N(200)
		if i%3 == 0 {
			key = 200 + r.Uint64N(3000)
		}
		keys = append(keys, key)
		fmt.Fprintln(&text, key)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return keys
}

// lruMisses is what a plain list of the most recently used keys misses.
func lruMisses(keys []uint64, limit int) (misses int) {
	var recent []uint64
	for _, key := range keys {
		i := slices.Index(recent, key)
		if i < 0 {
			misses++
		} else {
			recent = slices.Delete(recent, i, i+1)
		}
		if recent = append(recent, key); len(recent) > limit {
			recent = recent[1:]
		}
	}
	return misses
}

// Every row of traces has the misses of the trace's first requests in caches of that memory, as a
// plain simulation has them.
func TestTracesMissAsSimulated(t *testing.T) {
	self, dir := fakes(t, ""), t.TempDir()
	keys := writeTrace(t, dir, "web12.trace.xz", 1, 6000)
	printed, err := run(t, t.Context(), "traces", ours(self, "-dir", dir, "-limit", "5000")...)
	if err != nil {
		t.Fatal(err)
	}
	rows := rowsOf(t, printed, "web12")
	if len(rows) != 2 || !strings.Contains(printed, "left out: ") { // the traces that aren't there
		t.Fatalf("got %q; want two rows", printed)
	}
	for i, memoryMiB := range []int{4, 8} {
		misses := percent(float64(lruMisses(keys[:5000], memoryMiB*itemsPerMiB)) / 5000)
		share, unit, _ := strings.Cut(misses, " ")
		want := []string{"web12.trace.xz", "1000", strconv.Itoa(memoryMiB), "5000", share, unit, share, unit, "1.000",
			"0", "/", "0"}
		if !slices.Equal(rows[i], want) {
			t.Errorf("-m %d: got %q; want %q", memoryMiB, rows[i], want)
		}
	}
	if lruMisses(keys[:5000], 400) == lruMisses(keys[:5000], 800) {
		t.Error("the trace doesn't tell the sizes apart")
	}
}

// misses plays each trace at five sizes, and the memory of each holds that share of its keys.
func TestMissesAtSharesOfTheKeys(t *testing.T) {
	self, dir := fakes(t, ""), t.TempDir()
	keys := writeTrace(t, dir, "orm-busy.trace.xz", 2, 4000)
	printed, err := run(t, t.Context(), "misses", ours(self, "-dir", dir, "-limit", "0")...)
	if err != nil {
		t.Fatal(err)
	}
	distinct := slices.Clone(keys)
	slices.Sort(distinct)
	distinct = slices.Compact(distinct)
	rows := rowsOf(t, printed, "orm-busy")
	if len(rows) != len(keyShares)+1 || strings.Join(rows[len(keyShares)], " ") != "ratio: mean 1.000, worst 1.000" {
		t.Fatalf("got %q; want %d rows and the ratio", rows, len(keyShares))
	}
	for i, share := range keyShares {
		size, memoryMiB := memoryFor(share, report{Keys: int64(len(distinct))}, 1000)
		misses := lruMisses(keys, memoryMiB*itemsPerMiB)
		of := 100 * float64(misses) / 4000
		want := fmt.Sprintf("orm-busy.trace.xz %s %d %d %d %d %.2f %% %.2f %% 1.000", percent(share), size, memoryMiB,
			size, size, of, of)
		if got := strings.Join(rows[i], " "); got != want {
			t.Errorf("share %v: got %q; want %q", share, got, want)
		}
	}
}

// memory counts what is held by its own requests, and reports the memory that each item takes.
func TestMemoryCountsWhatIsHeld(t *testing.T) {
	self := fakes(t, "")
	printed, err := run(t, t.Context(), "memory", ours(self, "-memory", "3", "-value", "480",
		"-sample", "20000")...)
	if err != nil {
		t.Fatal(err)
	}
	const count = 3 << 20 / 500 * 5 / 4
	if !strings.Contains(printed, fmt.Sprintf("%d sets of 20-byte keys and 480-byte values into -m 3", count)) {
		t.Errorf("got %q", printed)
	}
	for _, name := range []string{"holdfast", "memcached"} {
		row := rowsOf(t, printed, name)[0]
		held := 3 * itemsPerMiB
		if row[1] != "0" || row[4] != strconv.Itoa(held) || row[8] != strconv.Itoa(count-held) {
			t.Errorf("%s: got %q; want none refused, %d items, %d evicted", name, row, held, count-held)
		}
		perItem, err := strconv.ParseFloat(row[7], 64)
		if want := 3. * (1 << 20) / float64(held); err != nil || perItem < want*0.9 || perItem > want*1.1 {
			t.Errorf("%s: got %v bytes per item; want about %.0f", name, row[7], want)
		}
	}
}

// The other parts run to their end, and print a row for what they are about.
func TestPartsPrintTheirRows(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want []string // patterns of what is printed
	}{
		{"restart", []string{"-memory", "20", "-value", "1000", "-rounds", "2"},
			[]string{`-m is full: 2000 items`, `restart 1 +\d+ +\d+ +1000\n`, `restart 2 +\d+ +\d+ +1000\n`}},
		{"tail", []string{"-few", "10", "-many", "300", "-memory", "9", "-connections", "3", "-rounds", "2",
			"-seconds", "0.05"},
			[]string{`holdfast: p99\.9 with 300 items is [\d.]+ of p99\.9 with 10 \(median of 2 rounds\)`,
				`holdfast +10 +\d+ k +\d`, `memcached +300 +\d+ k +\d`}},
		{"binary", []string{"-items", "500", "-batch", "4", "-connections", "2", "-rounds", "2", "-seconds", "0.05"},
			[]string{`4 gets per write +holdfast, keys/s +memcached, keys/s +ratio\n`,
				`binary: getkq … noop +\d+ +\d+ +\d+\.\d\d\n`}},
		{"binary", []string{"-holdfast", none, "-items", "500", "-connections", "1", "-rounds", "1", "-seconds", "0.05"},
			[]string{`32 gets per write +memcached, keys/s\n`, `text: multiget +\d+\n`}},
		{"tables", []string{"-items", "50", "-connections", "2", "-rounds", "1", "-seconds", "0.05"},
			[]string{`holdfast +GetItem +\d+ +\d+ +[\d.]+ +[\d.]+ +[\d.]+\n`, `dynalite --path +Query +\d+ +\d{5,} +[\d.]+\n`}},
		{"tables", []string{"-only", "PutItem", "-items", "50", "-connections", "1", "-rounds", "1", "-seconds", "0.05",
			"-dynalite", none}, []string{`\nholdfast +PutItem +\d+ +\d+ +[\d.]+\n$`}},
		{"builds", []string{"-items", "30", "-rounds", "1", "-seconds", "0.02"},
			[]string{`GetItem, 64 connections +\d+ +\d+ +[\d.]+ +[\d.]+ +[\d.]+ +\S+\n`,
				`CPU, PutItem by GetItem, 16 connections +\S+ +\S+ +\S+\n`, `query returns the item +[\d.]+ `}},
		{"builds", []string{"-only", "lag", "-items", "30", "-rounds", "2", "-seconds", "0.02"},
			[]string{`queries until then +[12]\.00 +[12]\.00 +2\.00 +2\.00 +\d+ +\d+\n`}},
		{"cluster", []string{"-items", "50", "-rounds", "1", "-seconds", "0.02"},
			[]string{`put, 256 at all nodes +holdfast, 3 nodes +[\d.]+ +1\.00 +\S+ +\S+ +\S+ +\S+ +\S+ +\S+\n`,
				`put, 1 at the leader +etcd, 3 nodes +\d`, `consistent read, 64 at the leader +holdfast, 1 node +\d`,
				`eventual read with a token, 64 at all nodes +holdfast, 3 nodes +[\d.]+ +1\.00 +\S+ +\S+ +– `,
				`eventual read: all nodes by one +etcd, 3 nodes +[\d.]+ +\S+\n`}},
		{"cluster",
			[]string{"-only", "put, 8 at all", "-holdfast", none, "-items", "50", "-rounds", "2", "-seconds", "0.02"},
			[]string{`that of etcd, 3 nodes to`, `\nput, 8 at all nodes +etcd, 3 nodes +[\d.]+ +1\.00 [^\n]*\n$`}},
		{"cluster", []string{"-only", "consistent", "-etcd", none, "-items", "50", "-rounds", "1", "-seconds", "0.02"},
			[]string{`the leader +holdfast, 3 nodes [^\n]*\n[^\n]* the leader +holdfast, 1 node [^\n]*\n\nwithin one server`}},
		{"idle", []string{"-groups", "3", "-shards", "2", "-rounds", "1", "-settle", "0.01", "-seconds", "0.05"},
			[]string{`holdfast +4 +[\d.]+ +[\d.]+ +[\d.]+ +`}},
		{"tablesbulk", []string{"-items", "130", "-connections", "1"}, []string{`scanned, items +130\n`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			self := fakes(t, "")
			args := test.args
			if !slices.Contains(args, "-holdfast") {
				args = append([]string{"-holdfast", self}, args...)
			}
			args = append([]string{"-memcached", self}, args...)
			if test.name == "tables" && !slices.Contains(args, "-dynalite") {
				args = append(args, "-dynalite", self)
			}
			if test.name == "builds" {
				args = append(args, "-before", self)
			}
			if test.name == "cluster" && !slices.Contains(args, "-etcd") {
				args = append(args, "-etcd", self)
			}
			if test.name == "restart" {
				args = append(args, "-dir", os.Getenv("TMPDIR"))
			}
			printed, err := run(t, t.Context(), test.name, args...)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !regexp.MustCompile(want).MatchString(printed) {
					t.Errorf("got %q; want %s", printed, want)
				}
			}
		})
	}
}

// dip has three members, then four: of modulo's keys three quarters have another owner.
func TestDipMovesKeys(t *testing.T) {
	self, dir := fakes(t, ""), t.TempDir()
	writeTrace(t, dir, "trace", 3, 200)
	printed, err := run(t, t.Context(), "dip", ours(self, "-trace", filepath.Join(dir, "trace"))...)
	if err != nil {
		t.Fatal(err)
	}
	for _, placement := range []string{"modulo", "ketama", "rendezvous"} {
		row := rowsOf(t, printed, placement)[0]
		if moved := strings.Join(row[len(row)-2:], " "); moved != "75.0 %" { // by the fake, whatever the placement
			t.Errorf("%s: got %q moved; want 75.0 %%", placement, moved)
		}
	}
}

// Whatever fails, the part reports it and its servers end, which fakes checks.
func TestPartsFail(t *testing.T) {
	for _, test := range []struct{ part, mode, fault string }{
		{"memory", dies, "holdfast: fill: "},
		{"tail", dies, "fill: "},
		{"tail", refuses, `fill: 500 sets refused, the first with "SERVER_ERROR full"`},
		{"binary", refuses, `fill holdfast: 500 sets refused, the first with "SERVER_ERROR full"`},
		{"restart", forgets, "a kept key is missing after the restart"},
		{"restart", refuses, "only 0 of 100000 keys are held"},
		{"traces", few, "1 reports of 2 servers"},
		{"misses", few, "0 reports of 1 servers"},
		{"traces", dies, "holdfast replay: exit status 1"},
		{"dip", few, "modulo: output of holdfast replay: 0 reports of 1 servers"},
		{"tables", refuses, "holdfast: CreateTable: 400 {}"},
		{"builds", refuses, "before: table groups-64: CreateTable: 400 {}"},
		{"cluster", refuses, "holdfast, 3 nodes: CreateTable: 400 {}"},
		{"cluster", unformed, " ended: exit status 1\nno directory"},
		{"tablesbulk", refuses, "CreateTable: 400 {}"},
		{"tablesbulk", loses, "items scanned; 130 were acknowledged"},
	} {
		t.Run(test.part+" "+test.mode, func(t *testing.T) {
			self, dir := fakes(t, test.mode), t.TempDir()
			writeTrace(t, dir, "web12.trace.xz", 4, 500)
			args := ours(self)
			switch test.part {
			case "memory":
				args = append(args, "-memory", "1")
			case "tail":
				args = append(args, "-few", "500", "-many", "600", "-memory", "9", "-rounds", "1", "-seconds", "0.05")
			case "binary":
				args = append(args, "-items", "500")
			case "restart":
				args = append(args, "-memory", "20", "-value", "1000", "-dir", os.Getenv("TMPDIR"))
			case "traces", "misses":
				args = append(args, "-dir", dir)
			case "dip":
				args = append(args, "-trace", filepath.Join(dir, "web12.trace.xz"))
			case "builds":
				args = append(args, "-before", self)
			case "cluster":
				args = append(args, "-etcd", self, "-items", "130")
			case "tables", "tablesbulk":
				args = append(args, "-items", "130", "-connections", "1")
			}
			printed, err := run(t, t.Context(), test.part, args...)
			if err == nil || !strings.Contains(err.Error()+"\n", test.fault) {
				t.Errorf("got %v; want an error with %q\n%s", err, test.fault, printed)
			}
		})
	}
}

// The programs that a part runs get what it was asked to measure, and a fault of theirs is its own.
func TestRefereesAreAsked(t *testing.T) {
	self, tools, bin := fakes(t, ""), t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(tools, "compare.py"), "")
	asked := filepath.Join(tools, "asked")
	// The compiler's output is a load generator of one rate: twice as much with -R, for Redis.
	write(filepath.Join(bin, "gcc"), `while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\necho "$@" >>`+asked+`
case "$*" in *-R*) echo ops/s 2000;; *) echo ops/s 5000;; esac\n' >"$2"; chmod +x "$2"`)
	write(filepath.Join(bin, "python3"), `echo "$@" >>`+asked+`; echo "P1 sharded-1-thread 30.0 kops p50 4 p99 8 us"
echo "P1 twemproxy 20.0 kops p50 4 p99 9 us"`)
	write(filepath.Join(bin, "redis-server"), `while [ "$1" != --port ]; do shift; done; exec `+self+` cache -m 1 -p "$2"`)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))

	printed, err := run(t, t.Context(), "router", ours(self, "-twemproxy", self, "-tools", tools,
		"-rounds", "3", "-keys", "77", "-cells", "P1")...)
	if err != nil || !strings.Contains(printed, "P1 sharded 1 thread       30   1.50       4       8\n") {
		t.Errorf("router: got %q, %v", printed, err)
	}
	printed, err = run(t, t.Context(), "compare", ours(self, "-tools", tools, "-rounds", "2", "-keys", "88")...)
	if err != nil || !regexp.MustCompile(`mget32 +5 k +2 k +2\.50\n`).MatchString(printed) {
		t.Errorf("compare: got %q, %v", printed, err)
	}
	text, _ := os.ReadFile(asked)
	for _, want := range []string{"--backends 3 --value 100 --rounds 3 --keys 77 --cells P1 --server sharded-2-threads=",
		"--rounds 2 --keys 88 --value 1024 --cells P1 --server holdfast=", "-k 88 -v 100 -P 1 -m 32 -R -d 0.6"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("got %q; want %q in it", text, want)
		}
	}
	write(filepath.Join(bin, "python3"), "echo no port >&2; exit 4")
	_, err = run(t, t.Context(), "router", ours(self, "-tools", tools)...)
	wantError(t, "router", err, "compare.py: exit status 4")
	write(filepath.Join(bin, "gcc"), "echo no header; exit 1")
	_, err = run(t, t.Context(), "compare", ours(self, "-tools", tools)...)
	wantError(t, "compare", err, "gcc ld.c: exit status 1\nno header")
}

// A part that is canceled interrupts the referee, which ends its servers itself.
func TestRefereeIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := filepath.Join(t.TempDir(), "ended")
	cmd := interruptible(ctx, "sh", "-c", `trap 'echo yes >"$0"; exit 5' INT
echo ready; while :; do sleep 0.01; done`, ended)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Read(make([]byte, 6))
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("got no error; want one")
	}
	if text, err := os.ReadFile(ended); string(text) != "yes\n" {
		t.Errorf("got %q, %v; want the script to have ended itself", text, err)
	}
}

// Flags are checked before anything is started.
func TestArguments(t *testing.T) {
	for _, p := range parts {
		for _, test := range []struct{ args, fault string }{
			{"-rounds=0", "must be above 0|not defined"},
			{"-items=-1", "must be above 0|not a number|not defined"},
			{"-memory=x", "not a number|not defined"},
			{"-seconds=0", "must be above 0|not defined"},
			{"-few=1.5", "not a number|not defined"},
			{"-nothing", "not defined"},
			{"more", `unexpected argument "more"; bench ` + p.name + " takes flags only"},
			{"-h", flag.ErrHelp.Error()},
		} {
			printed, err := run(t, t.Context(), p.name, test.args)
			if err == nil || !regexp.MustCompile(test.fault).MatchString(err.Error()) {
				t.Errorf("%s %s: got %v; want %s", p.name, test.args, err, test.fault)
			}
			if test.args == "-h" && (!strings.Contains(printed, "-holdfast") || !errors.Is(err, flag.ErrHelp)) {
				t.Errorf("%s -h: got %q, %v; want the flags", p.name, printed, err)
			}
		}
	}
	for _, args := range [][]string{{"-only", "nothing"}, {"-holdfast", none, "-etcd", none}} {
		_, err := run(t, t.Context(), "cluster", args...)
		wantError(t, "cluster of nothing", err, "noth")
	}
	for name, args := range map[string][]string{ // what can't be without Holdfast
		"restart": nil, "tablesbulk": nil, "traces": {"-dir", "."}, "misses": {"-dir", "."}, "dip": {"-trace", "dip.go"},
	} {
		_, err := run(t, t.Context(), name, append(args, "-holdfast", none, "-memcached", none)...)
		wantError(t, name+" without holdfast", err, "holdfast")
	}
	for name, args := range map[string][]string{
		"traces": {"-dir"}, "misses": {"-dir"}, "dip": {"-trace"}, "compare": {"-tools"}, "router": {"-tools"},
	} {
		printed, err := run(t, t.Context(), name, append(args, "/nowhere")...)
		if err != nil || !strings.Contains(printed, "so there is nothing to do: ") {
			t.Errorf("%s without its files: got %q, %v; want that there is nothing to do", name, printed, err)
		}
	}
}

// bench starts bench itself, and waits until one of its servers is filled.
func bench(t *testing.T, part string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{part}, args...)...)
	cmd.Env = append(os.Environ(), benchEnv+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dir := os.Getenv(fakeEnv)
	for range 1000 {
		if len(started(t, dir)) >= 2 {
			return cmd
		}
		time.Sleep(5 * time.Millisecond)
	}
	cmd.Process.Kill()
	t.Fatal("no servers were started")
	return nil
}

// An interrupted bench exits with 1 and leaves nothing behind.
func TestInterrupt(t *testing.T) {
	self := fakes(t, "")
	cmd := bench(t, "tail", ours(self, "-few", "10", "-many", "20", "-memory", "1", "-seconds", "60")...)
	cmd.Process.Signal(os.Interrupt)
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("got %v; want exit status 1", cmd.ProcessState)
	}
}

// Even a bench that is killed, as by the panic of a goroutine, leaves no server.
func TestKilled(t *testing.T) {
	if endWithUs() == nil {
		t.Skip("this system can't end the servers")
	}
	self := fakes(t, "")
	cmd := bench(t, "tail", ours(self, "-few", "10", "-many", "20", "-memory", "1", "-seconds", "60")...)
	cmd.Process.Kill()
	cmd.Wait()
	left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "holdfast-bench*"))
	if len(left) != 1 {
		t.Fatalf("got %q; want the scratch directory, so that it was killed in its middle", left)
	}
	os.RemoveAll(left[0])
}

// The command reports what parts there are, and their outcomes by its exit status.
func TestMainUsage(t *testing.T) {
	t.Setenv(benchEnv, "1")
	for _, test := range []struct {
		args []string
		code int
		text string
	}{
		{nil, 2, "usage: go run ./bench PART"},
		{[]string{"nothing"}, 2, "  tablesbulk "},
		{[]string{"tail", "-h"}, 0, "-connections"},
		{[]string{"tail", "more"}, 1, `bench tail: unexpected argument "more"`},
	} {
		out, err := exec.Command(os.Args[0], test.args...).CombinedOutput()
		code := 0
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		if code != test.code || !strings.Contains(string(out), test.text) {
			t.Errorf("%q: got status %d, %q; want %d and %q", test.args, code, out, test.code, test.text)
		}
	}
}

// A server that doesn't end by SIGTERM is killed.
func TestStopKills(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	script := "trap '' TERM; : >" + ready + "; while :; do sleep 0.01; done"
	s, err := spec{name: "deaf", argv: []string{"sh", "-c", script}}.launch("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := os.Stat(ready); err != nil; _, err = os.Stat(ready) { // until the trap is set
		time.Sleep(time.Millisecond)
	}
	wantError(t, "stop", s.end(50*time.Millisecond), "deaf: did not end within 50ms of SIGTERM; killed")
	select {
	case <-s.exited:
	default:
		t.Error("it is still there")
	}
}
