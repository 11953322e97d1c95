package replay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Run plays src against o.Server and returns a report. On an error (the trace's, which is a
// *TraceError, the server's or ctx's), the report has what was found until then, and the reason in
// Stopped.
func Run(ctx context.Context, src Source, o Options) (Report, error) {
	if err := o.checkRun(); err != nil {
		return Report{}, err
	}
	rec := newRecorder(o)
	var elapsed time.Duration
	err := run(ctx, src, o, rec, &elapsed)
	report := rec.finish(o, elapsed)
	if t, ok := src.(*Trace); ok {
		report.Trace, report.Format, report.Skipped = t.Name(), t.Format(), t.Skips()
	}
	if err != nil {
		report.Stopped = err.Error()
	}
	return report, err
}

func run(ctx context.Context, src Source, o Options, rec *recorder, elapsed *time.Duration) error {
	players, err := connect(ctx, o, rec)
	defer func() {
		for _, p := range players {
			p.server.close()
		}
	}()
	if err != nil {
		return err
	}
	first := players[0].server
	before, err := prepare(first, &rec.report, o.Flush)
	if err != nil {
		return err
	}
	start := time.Now()
	err = playAll(ctx, &feed{src: src, limit: o.Limit, speed: o.Speed, start: start}, players)
	*elapsed = time.Since(start)
	var fault *TraceError
	if err != nil && !errors.As(err, &fault) {
		return err
	}
	after, failed := first.stats()
	if failed != nil {
		return errors.Join(err, failed)
	}
	rec.report.Items = stat(after, "curr_items")
	if n, old := stat(after, "evictions"), stat(before, "evictions"); n >= 0 && old >= 0 {
		rec.report.Evictions = n - old
	}
	return err
}

// connect makes all connections. On an error it returns those that were made.
func connect(ctx context.Context, o Options, rec *recorder) (players []*player, err error) {
	for range o.Connections {
		s, err := dial(ctx, o.Server, o.Timeout)
		if err != nil {
			return players, err
		}
		players = append(players, &player{server: s, options: o, rec: rec, batch: make([]play, 0, o.Pipeline)})
	}
	return players, nil
}

// prepare asks the server for its version, flushes it if flush is set, and returns its statistics.
func prepare(s *server, report *Report, flush bool) (map[string]string, error) {
	version, err := s.command("version")
	if err != nil {
		return nil, err
	}
	var known bool
	if report.Version, known = strings.CutPrefix(version, "VERSION "); !known {
		report.Version = ""
		if version != "ERROR" { // it may not know the command; other answers say why it won't serve us
			return nil, s.unexpected("version", version)
		}
	}
	if flush {
		answer, err := s.command("flush_all")
		if err != nil {
			return nil, err
		}
		if answer != "OK" {
			return nil, s.unexpected("flush_all", answer)
		}
	}
	stats, err := s.stats()
	if err != nil {
		return nil, err
	}
	report.MemoryBytes = max(0, stat(stats, "limit_maxbytes"))
	return stats, nil
}

// stat returns the statistic of that name, -1 if the server doesn't have it.
func stat(stats map[string]string, name string) int64 {
	n, err := strconv.ParseInt(stats[name], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// playAll plays the feed on all connections. It returns the first error of a connection, or else
// the trace's.
func playAll(ctx context.Context, f *feed, players []*player) error {
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	for _, p := range players {
		// A connection that is closed ends the read that it waits in.
		stop := context.AfterFunc(ctx, p.server.close)
		defer stop()
		wait.Go(func() {
			if err := p.play(ctx, f); err != nil {
				cancel(err) // keeps the first; what follows are closed connections
			}
		})
	}
	wait.Wait()
	if outer.Err() != nil {
		return fmt.Errorf("interrupted: %w", context.Cause(outer))
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return f.fault()
}
