package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// dip plays a trace twice through a router in front of three caches, and adds a fourth before the
// second time. It reports, for each placement, how many hits are lost because keys move.
func dip(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("dip", &b)
	var (
		file   = f.String("trace", "../shared/traces/web12.trace.xz", "a trace that holdfast replay reads")
		memory = positiveFlag(f, "m", 8, "MiB of each cache")
		value  = f.Int("value", 1000, "bytes of each value")
		limit  = f.Int("limit", 0, "requests at most; 0 is all")
	)
	if err := parse(f, args); err != nil {
		return err
	}
	if _, err := os.Stat(*file); err != nil {
		fmt.Printf("there is no trace, so there is nothing to do: %v\n", err)
		return nil
	}
	scratch, done, err := b.scratch(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	if b.holdfast == none {
		return errors.New("holdfast is both the router and the player, so it can't be left out")
	}
	rows := [][]string{{
		"placement", "hit rate", "with a fourth member", "worst twentieth", "without it there", "keys moved",
	}}
	for _, placement := range []string{"modulo", "ketama", "rendezvous"} {
		d := &dipped{binaries: b, config: filepath.Join(scratch, placement+".yaml"), placement: placement, memoryMiB: *memory}
		play := []string{"replay", *file, "--json", "--value-size", strconv.Itoa(*value)}
		if *limit > 0 {
			play = append(play, "--limit", strconv.Itoa(*limit))
		}
		row, err := d.row(ctx, play)
		if err != nil {
			return fmt.Errorf("%s: %w", placement, err)
		}
		rows = append(rows, row)
	}
	table(rows)
	return nil
}

// dipped is a router and its members.
type dipped struct {
	binaries
	config    string
	placement string
	memoryMiB int
	members   []string
	router    *server
}

// row plays the trace without and with a fourth member.
func (d *dipped) row(ctx context.Context, play []string) ([]string, error) {
	control, _, err := d.secondTime(ctx, play, 3)
	if err != nil {
		return nil, err
	}
	grown, moved, err := d.secondTime(ctx, play, 4)
	if err != nil {
		return nil, err
	}
	worst, err := mostLost(control, grown)
	if err != nil {
		return nil, err
	}
	return []string{d.placement, percent(control.share()), percent(grown.share()),
		percent(grown.Over[worst].HitRate), percent(control.Over[worst].HitRate), moved}, nil
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// mostLost is the part of the trace in which grown has lost most of control's hit rate.
func mostLost(control, grown *dipReport) (worst int, err error) {
	parts := min(len(control.Over), len(grown.Over))
	if parts == 0 {
		return 0, errors.New("holdfast replay reported no hit rate over time")
	}
	lost := func(i int) float64 { return control.Over[i].HitRate - grown.Over[i].HitRate }
	for i := range parts {
		if lost(i) > lost(worst) {
			worst = i
		}
	}
	return worst, nil
}

// A dipReport is the part of holdfast replay's report that dip needs.
type dipReport struct {
	report
	Over []struct {
		HitRate float64 `json:"hit_rate"`
	} `json:"hit_rate_over_time"`
}

func (r *dipReport) share() float64 { return 1 - float64(r.Misses)/float64(r.Requests) }

// secondTime plays the trace with three members, then again with the given number of members. It
// returns the second report, and the share of keys that moved.
func (d *dipped) secondTime(ctx context.Context, play []string, members int) (*dipReport, string, error) {
	d.members = nil
	only := binaries{holdfast: d.holdfast, memcached: none}
	for range max(3, members) {
		s, err := only.both(d.memoryMiB, 1)[0].start(ctx)
		if err != nil {
			return nil, "", err
		}
		defer s.stop()
		d.members = append(d.members, s.address)
	}
	if err := d.start(ctx); err != nil {
		return nil, "", err
	}
	defer d.router.stop()
	if _, err := d.play(ctx, play); err != nil {
		return nil, "", err
	}
	moved := ""
	if members > 3 {
		before, err := d.owners()
		if err != nil {
			return nil, "", err
		}
		if err := d.grow(ctx, members); err != nil {
			return nil, "", err
		}
		after, err := d.owners()
		if err != nil {
			return nil, "", err
		}
		moved = percent(movedShare(before, after))
	}
	r, err := d.play(ctx, play)
	return r, moved, err
}

// movedShare is the share of keys whose owner has changed.
func movedShare(before, after []string) float64 {
	moved := 0
	for i := range before {
		if before[i] != after[i] {
			moved++
		}
	}
	return float64(moved) / float64(len(before))
}

// write writes the router's configuration with the first n members.
func (d *dipped) write(address string, n int) error {
	text := fmt.Sprintf(`http: {listen: ""}
router:
  listen: [%q]
  pools:
    - name: main
      hash: {placement: %s}
      members: [%s]
`, address, d.placement, strings.Join(d.members[:n], ", "))
	return os.WriteFile(d.config, []byte(text), 0o600)
}

func (d *dipped) start(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	l.Close()
	if err := d.write(address, 3); err != nil {
		return err
	}
	d.router, err = spec{name: "router", argv: []string{d.holdfast, "router", "--config", d.config}}.launch(address)
	if err != nil {
		return err
	}
	c, err := d.router.firstAnswer(ctx)
	if err != nil {
		return errors.Join(err, d.router.stop())
	}
	return c.close()
}

// grow adds members to the router's configuration and waits until the router has applied it.
func (d *dipped) grow(ctx context.Context, n int) error {
	if err := d.write(d.router.address, n); err != nil {
		return err
	}
	if err := d.router.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); {
		c, err := dial(d.router.address)
		if err != nil {
			return err
		}
		stats, err := c.stats()
		c.close()
		if err != nil {
			return err
		}
		if stats["router_members"] == strconv.Itoa(n) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return errors.New("the router has not applied the new configuration")
}

// owners asks the router for the owners of some keys.
func (d *dipped) owners() ([]string, error) {
	c, err := dial(d.router.address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	owners := make([]string, 2000)
	for i := range owners {
		if owners[i], err = c.text(fmt.Sprintf("__mcrouter__.route(get,moved:%d)", i)); err != nil {
			return nil, err
		}
	}
	return owners, nil
}

func (d *dipped) play(ctx context.Context, play []string) (*dipReport, error) {
	cmd := exec.CommandContext(ctx, d.holdfast, append(play[:len(play):len(play)], "--server", d.router.address)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("holdfast replay: %w", err)
	}
	reports, err := reportsOf[*dipReport](out, 1)
	if err != nil {
		return nil, err
	}
	return reports[0], nil
}

// text returns the answer to a get of a key that isn't a number, without line ends and END.
func (c *client) text(key string) (string, error) {
	c.out = append(append(append(c.out, "get "...), key...), "\r\n"...)
	if err := c.flush(); err != nil {
		return "", err
	}
	var text strings.Builder
	for {
		line, err := c.line()
		if err != nil || string(line) == "END" {
			return text.String(), err
		}
		if isError(line) {
			return "", fmt.Errorf("answer to get %s: %q", key, line)
		}
		text.Write(line)
	}
}
