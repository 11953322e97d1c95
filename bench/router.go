package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// The first of the ports that the referee assigns: to the memcacheds of --backends, and to the
// servers in their order.
const (
	firstBackendPort = 22201
	firstServerPort  = 22301
	twemproxyStats   = 22401 // of twemproxy's statistics; its default port may be taken
)

const routerBackends = 3

// routers compares Holdfast's router with twemproxy in front of the same three memcacheds, in one
// run of the referee. Sharded, both place keys by ketama and fnv1a_64, so each finds the other's
// keys.
func routers(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("router", &b)
	var (
		tools      = f.String("tools", "../shared/bench", "directory of compare.py and ld.c")
		rounds     = positiveFlag(f, "rounds", 7, "rounds of each cell and server")
		keys       = positiveFlag(f, "keys", 500_000, "different keys")
		cells      = f.String("cells", "P1,P32,mget32", "kinds of requests: one at a time, pipelined by 32, multiget of 32")
		nutcracker = f.String("twemproxy", "nutcracker", "path of twemproxy; none leaves it out")
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
	if b.memcached == none || b.holdfast == none {
		return errors.New("the comparison needs both memcached and holdfast")
	}
	if *nutcracker != none {
		if *nutcracker, err = exec.LookPath(*nutcracker); err != nil {
			fmt.Printf("without twemproxy: %v\n", err)
			*nutcracker = none
		}
	}
	servers, err := routerServers(dir, b.holdfast, *nutcracker)
	if err != nil {
		return err
	}
	argv := []string{filepath.Join(*tools, "compare.py"), "--backends", strconv.Itoa(routerBackends),
		"--value", "100", "--rounds", strconv.Itoa(*rounds), "--keys", strconv.Itoa(*keys), "--cells", *cells}
	for _, s := range servers {
		argv = append(argv, "--server", s.name+"="+s.command)
	}
	cmd := interruptible(ctx, "python3", argv...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("compare.py: %w\n%s", err, out)
	}
	rows, err := routerRows(out)
	if err != nil {
		return err
	}
	table(rows)
	return nil
}

// A routerServer is a server as an argument of the referee, which replaces {port} in the command.
type routerServer struct{ name, command string }

const twemproxyName = "twemproxy"

// routerServers writes the configurations and returns the servers that use them, Holdfast first.
func routerServers(dir, holdfast, nutcracker string) ([]routerServer, error) {
	var servers []routerServer
	write := func(name, text string) (string, error) {
		path := filepath.Join(dir, name+".yaml")
		return path, os.WriteFile(path, []byte(text), 0o600)
	}
	ours := func(name string, threads int, pool string) error {
		text := fmt.Sprintf("router:\n  threads: %d\n  pools:\n    - name: items\n      timeout: 5s\n", threads)
		text += pool + "      members:\n"
		for i := range routerBackends {
			text += fmt.Sprintf("        - 127.0.0.1:%d\n", firstBackendPort+i)
		}
		path, err := write(name, text)
		command := holdfast + " router --http-listen '' --listen 127.0.0.1:{port} --config " + path
		servers = append(servers, routerServer{name, command})
		return err
	}
	const ketama = "      hash: {placement: ketama, function: fnv1a_64}\n"
	errs := []error{ours("sharded-2-threads", 2, ketama)}
	if nutcracker != none {
		text := fmt.Sprintf("items:\n  listen: 127.0.0.1:%d\n", firstServerPort+len(servers)) +
			"  hash: fnv1a_64\n  distribution: ketama\n  timeout: 5000\n  servers:\n"
		for i := range routerBackends {
			text += fmt.Sprintf("    - 127.0.0.1:%d:1\n", firstBackendPort+i)
		}
		path, err := write(twemproxyName, text)
		errs = append(errs, err)
		command := fmt.Sprintf("%s -s %d -c %s", nutcracker, twemproxyStats, path)
		servers = append(servers, routerServer{twemproxyName, command})
	}
	const replicated = "      kind: replicated\n"
	errs = append(errs, ours("sharded-1-thread", 1, ketama), ours("replicated-1-thread", 1, replicated),
		ours("replicated-2-threads", 2, replicated))
	return servers, errors.Join(errs...)
}

// refereeLine matches the line of one cell and server: their names, thousands of operations per
// second, p50, p99.
var refereeLine = regexp.MustCompile(`(?m)^(\S+)\s+(\S+)\s+([\d.]+) kops .*?p50 +(\d+) p99 +(\d+) `)

// routerRows makes the table from the referee's output: a row for each cell and server, with its
// ratio to twemproxy.
func routerRows(printed []byte) ([][]string, error) {
	lines := refereeLine.FindAllSubmatch(printed, -1)
	if len(lines) == 0 {
		return nil, fmt.Errorf("compare.py printed %q", printed)
	}
	peer := map[string]float64{} // by cell
	for _, m := range lines {
		if string(m[2]) == twemproxyName {
			n, err := strconv.ParseFloat(string(m[3]), 64)
			if err != nil {
				return nil, err
			}
			peer[string(m[1])] = n
		}
	}
	rows := [][]string{{"", "k ops/s", "ratio", "p50 µs", "p99 µs"}}
	for _, m := range lines {
		n, err := strconv.ParseFloat(string(m[3]), 64)
		if err != nil {
			return nil, err
		}
		ratio := ""
		if of := peer[string(m[1])]; of > 0 {
			ratio = fmt.Sprintf("%.2f", n/of)
		}
		name := string(m[1]) + " " + strings.ReplaceAll(string(m[2]), "-", " ")
		rows = append(rows, []string{name, fmt.Sprintf("%.0f", n), ratio, string(m[4]), string(m[5])})
	}
	return rows, nil
}
