package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// failover makes the node that leads fail, in one way after another, while clients put items at the
// other two, and at the one that leads if it still runs. It reports for how long no put was
// acknowledged, how long clients waited for answers, and what a node says that is cut off. The
// nodes are processes, whose connections to each other go through links that can drop what they
// carry.
func failover(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("failover", &b)
	var (
		rounds  = positiveFlag(f, "rounds", 5, "rounds of each failure")
		seconds = positiveFlag(f, "seconds", 6.0, "for how long clients go on after the node has failed")
		lanes   = positiveFlag(f, "lanes", 4, "connections to each node, of each kind of request")
		only    = f.String("only", "", "the failures whose names contain this")
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
	if b.holdfast == none {
		return errors.New("holdfast is what is measured, so it can't be left out")
	}
	c, err := startFailCluster(ctx, b.holdfast, dir)
	if c != nil {
		defer c.stop()
	}
	if err != nil {
		return err
	}
	var results []failResult
	for _, how := range failures() {
		if !strings.Contains(how.name, *only) {
			continue
		}
		if how.needs != "" {
			if _, err := exec.LookPath(how.needs); err != nil {
				fmt.Printf("without %q: %v\n", how.name, err)
				continue
			}
		}
		r := failResult{name: how.name}
		for range *rounds {
			p := probe{lanes: *lanes, length: time.Duration(*seconds * float64(time.Second))}
			if err := c.round(ctx, how, &p); err != nil {
				return fmt.Errorf("%s: %w", how.name, err)
			}
			r.add(&p)
		}
		results = append(results, r)
	}
	printFailover(results)
	return nil
}

// A failure is a way in which a node fails, and how it is mended.
type failure struct {
	name  string
	needs string // a program; "": none
	alone bool   // the node goes on running, and clients ask it, too
	begin func(c *failCluster, node int) error
	mend  func(c *failCluster, node int) error
}

func failures() []failure {
	signal := func(s syscall.Signal) func(*failCluster, int) error {
		return func(c *failCluster, node int) error { return c.servers[node].cmd.Process.Signal(s) }
	}
	cut := func(heard, hears bool) func(*failCluster, int) error {
		return func(c *failCluster, node int) error {
			for _, l := range c.links {
				from, to := l.from == node, l.to == node
				l.drop(from && heard || to && hears, from && hears || to && heard)
			}
			return nil
		}
	}
	return []failure{
		{name: "SIGTERM", begin: signal(syscall.SIGTERM), mend: (*failCluster).restart},
		{name: "kill -9", begin: signal(syscall.SIGKILL), mend: (*failCluster).restart},
		{name: "SIGSTOP", begin: signal(syscall.SIGSTOP), mend: signal(syscall.SIGCONT)},
		{name: "cut off", alone: true, begin: cut(true, true), mend: cut(false, false)},
		{name: "it hears nobody", alone: true, begin: cut(false, true), mend: cut(false, false)},
		{name: "nobody hears it", alone: true, begin: cut(true, false), mend: cut(false, false)},
		{name: "its syncs hang", needs: "strace", alone: true, begin: (*failCluster).hang, mend: (*failCluster).unhang},
	}
}

// A failCluster is three nodes and the links between them.
type failCluster struct {
	*clusterRun
	links  []*link
	hanger *exec.Cmd // has a node's syncs hang; nil: they don't
}

// startFailCluster starts the nodes, and makes the table that items are put in.
func startFailCluster(ctx context.Context, path, dir string) (*failCluster, error) {
	s, err := holdfastSetup(path, dir, 1)
	if err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(2 * clusterNodes)
	if err != nil {
		return nil, err
	}
	web, members := addresses[:clusterNodes], addresses[clusterNodes:]
	c := &failCluster{}
	s.leads = func(node int) (bool, error) { return holdfastLeads(web[node]) }
	for i := range clusterNodes {
		named := make([]string, clusterNodes) // the members as node i knows them
		for j := range clusterNodes {
			if named[j] = members[j]; j != i {
				l, err := newLink(i, j, members[j])
				if err != nil {
					c.stop()
					return nil, err
				}
				c.links, named[j] = append(c.links, l), l.address()
			}
		}
		text := nodeFile(i, filepath.Join(dir, "data"), s.addresses[i], web[i], named, 1)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("node-%d.yaml", i+1)), []byte(text), 0o600); err != nil {
			c.stop()
			return nil, err
		}
	}
	if c.clusterRun, err = s.start(ctx); err == nil {
		err = c.fill(ctx, failItems)
	}
	return c, err
}

// failItems is the number of items that are there before.
const failItems = 64

func (c *failCluster) stop() {
	if c.hanger != nil {
		_ = c.unhang(0) // the node ends anyway
	}
	for _, l := range c.links {
		l.close()
	}
	if c.clusterRun != nil {
		c.clusterRun.stop()
	}
}

// restart starts a node that has ended, once it has.
func (c *failCluster) restart(node int) error {
	<-c.servers[node].exited
	started, err := c.nodes[node].launch(c.addresses[node])
	if err == nil {
		c.servers[node] = started
	}
	return err
}

// hang has each sync of a node begin a minute late.
func (c *failCluster) hang(node int) error {
	calls := "fsync,fdatasync,sync_file_range,syncfs"
	process := strconv.Itoa(c.servers[node].cmd.Process.Pid)
	c.hanger = exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "-p", process,
		"-e", "trace="+calls, "-e", "inject="+calls+":delay_enter=60s")
	c.hanger.SysProcAttr = endWithUs()
	return c.hanger.Start()
}

func (c *failCluster) unhang(int) error {
	h := c.hanger
	c.hanger = nil
	if err := h.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_ = h.Wait() // it says that it was ended
	return nil
}

// round has the node that leads fail once, and mends it.
func (c *failCluster) round(ctx context.Context, how failure, p *probe) error {
	lead := 0
	ready := func() (err error) {
		if lead, err = c.leader(); err == nil {
			err = c.caughtUp()
		}
		return err
	}
	if err := await(ctx, c.servers, ready); err != nil {
		return err
	}
	runtime.GC() // so that less is collected while it is measured
	began := func() error { return how.begin(c, lead) }
	err := p.run(ctx, c, lead, how.alone, began)
	return errors.Join(err, how.mend(c, lead))
}

// caughtUp returns an error unless all nodes serve.
func (c *failCluster) caughtUp() error {
	for _, address := range c.addresses {
		k, err := c.dial(address)
		if err != nil {
			return err
		}
		err = errors.Join(k.put(0, 0), k.get(0, consistentRead))
		k.close()
		if err != nil {
			return err
		}
	}
	return nil
}
