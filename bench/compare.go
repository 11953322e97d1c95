package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// compare runs the referee, compare.py, which starts the servers and measures them in turn: one
// request at a time with one thread each, then pipelined and by multiget with two. Redis has
// another protocol, so it is measured here, with the same load generator.
func compare(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("compare", &b)
	var (
		tools  = f.String("tools", "../shared/bench", "directory of compare.py, ld.c and limit.c")
		rounds = positiveFlag(f, "rounds", 7, "rounds of each cell and server")
		keys   = positiveFlag(f, "keys", 500_000, "different keys")
	)
	if err := parse(f, args); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(*tools, "compare.py")); err != nil {
		fmt.Printf("there is no load generator, so there is nothing to do: %v\n", err)
		return nil
	}
	dir, done, err := b.scratch(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	c := referee{ctx: ctx, binaries: b, tools: *tools, dir: dir, rounds: *rounds, keys: *keys}
	if err := c.build(); err != nil {
		return err
	}
	for _, run := range []struct {
		title, cells   string
		threads, value int
	}{
		{"one request at a time, one thread, 100-byte values", "P1", 1, 100},
		{"one request at a time, one thread, 1-KiB values", "P1", 1, 1024},
		{"pipelined by 32 and multiget of 32, two threads, 100-byte values", "P32,mget32", 2, 100},
	} {
		fmt.Printf("\n%s\n", run.title)
		if err := c.memcached(run.cells, run.threads, run.value); err != nil {
			return err
		}
	}
	return c.redis()
}

// A referee compares servers with the tools in its directory.
type referee struct {
	ctx          context.Context
	binaries     binaries
	tools, dir   string
	rounds, keys int
}

// build builds the load generator and the bare event loop.
func (c *referee) build() error {
	for _, name := range []string{"ld", "limit"} {
		cmd := exec.CommandContext(c.ctx, "gcc", "-O2", "-w", "-pthread",
			"-o", filepath.Join(c.dir, name), filepath.Join(c.tools, name+".c"), "-lm")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("gcc %s.c: %w\n%s", name, err, out)
		}
	}
	return nil
}

// memcached compares Holdfast with memcached, and with the event loop that stores nothing, which
// has one canned value of 100 bytes.
func (c *referee) memcached(cells string, threads, value int) error {
	args := []string{filepath.Join(c.tools, "compare.py"), "--rounds", strconv.Itoa(c.rounds),
		"--keys", strconv.Itoa(c.keys), "--value", strconv.Itoa(value), "--cells", cells}
	servers := 0
	for _, p := range c.binaries.both(2500, threads) {
		servers++
		args = append(args, "--server", p.name+"="+strings.Join(p.argv, " ")+" "+p.portFlag+" {port}")
	}
	if value == 100 {
		servers++
		args = append(args, "--server", "limit="+filepath.Join(c.dir, "limit")+" {port} spin")
	}
	if servers < 2 {
		fmt.Println("left out: there is no server to compare with")
		return nil
	}
	cmd := interruptible(c.ctx, "python3", args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("compare.py: %w", err)
	}
	return nil
}

// interruptible is a command that is interrupted once ctx is done, and not killed: it has started
// servers, and ends them. One that doesn't end is killed after stopLimit.
func interruptible(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopLimit
	return cmd
}

// redis compares Holdfast with Redis, if it is installed.
func (c *referee) redis() error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		fmt.Printf("\nwithout Redis: %v\n", err)
		return nil
	}
	specs := c.binaries.both(2500, 2)
	if len(specs) == 0 {
		return nil
	}
	fmt.Printf("\nbeside Redis: %s -t 2, 100-byte values\n", specs[0].name)
	ours, err := specs[0].start(c.ctx)
	if err != nil {
		return err
	}
	defer ours.stop()
	argv := []string{path, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"}
	peer, err := spec{name: "redis", portFlag: "--port", argv: argv}.start(c.ctx)
	if err != nil {
		return err
	}
	defer peer.stop()
	for _, fillArgs := range [][]string{
		c.load(ours, "-F", "-P", "16", "-c", "8"), c.load(peer, "-R", "-F", "-P", "16", "-c", "8"),
	} {
		if _, err := c.generate(fillArgs); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	rows := [][]string{{"", specs[0].name, "redis", "ratio"}}
	for _, cell := range []struct {
		name string
		args []string
	}{{"P1", []string{"-P", "1"}}, {"P32", []string{"-P", "32"}}, {"mget32", []string{"-P", "1", "-m", "32"}}} {
		var us, them, ratios []float64
		for range c.rounds {
			a, err := c.generate(c.load(ours, append(cell.args, "-d", "0.6", "-w", "0.2", "-c", "50")...))
			if err != nil {
				return err
			}
			b, err := c.generate(c.load(peer, append(cell.args, "-R", "-d", "0.6", "-w", "0.2", "-c", "50")...))
			if err != nil {
				return err
			}
			us, them, ratios = append(us, a), append(them, b), append(ratios, a/b)
		}
		rows = append(rows, []string{cell.name, kilo(us), kilo(them), fmt.Sprintf("%.2f", middle(ratios))})
	}
	table(rows)
	return nil
}

func (c *referee) load(s *server, args ...string) []string {
	_, port, _ := strings.Cut(s.address, ":")
	return append([]string{"-p", port, "-k", strconv.Itoa(c.keys), "-v", "100"}, args...)
}

// generate runs the load generator and returns the operations per second.
func (c *referee) generate(args []string) (float64, error) {
	out, err := exec.CommandContext(c.ctx, filepath.Join(c.dir, "ld"), args...).Output()
	if err != nil {
		return 0, fmt.Errorf("ld %s: %w", strings.Join(args, " "), err)
	}
	n, err := opsPerSecond(out)
	if err != nil {
		return 0, fmt.Errorf("ld %s: %w", strings.Join(args, " "), err)
	}
	return n, nil
}

var perSecond = regexp.MustCompile(`ops/s (\d+)`)

// opsPerSecond finds the rate in the load generator's output.
func opsPerSecond(printed []byte) (float64, error) {
	m := perSecond.FindSubmatch(printed)
	if m == nil {
		return 0, fmt.Errorf("no rate in %q", printed)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// kilo is the median of the rates, in thousands.
func kilo(perSecond []float64) string { return fmt.Sprintf("%.0f k", middle(perSecond)/1e3) }
