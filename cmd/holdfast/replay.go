package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"holdfast/tool/replay"
)

const replayLong = `Replay plays real traffic against any server that speaks memcached's protocol, like an
application with a look-aside cache: it gets each key and, on a miss, loads and sets it.
The report shows what a cache of that size gains: the hit rate, in total and over time,
the loads saved, throughput and latencies. Several servers are shown side by side.

FILE is a web server's access log (common or combined format; GET and HEAD requests,
the path as key), CSV (time,key,size, or columns that a header names), keys as
big-endian integers (be32, be64), libCacheSim's oracleGeneral or the ARC paper's page
lists (arc); compressed by gzip, xz, zstd or bzip2, or not. Traces published by Meta
and Twitter are read unchanged. - is standard input. --zipf generates a load instead.`

const replayExample = `  holdfast replay /var/log/nginx/access.log.1 --load-delay 5ms
  zcat access.log.*.gz | holdfast replay - --server 10.0.0.5:11211 --json
  holdfast replay trace.csv.xz --flush --server :11211 --server :11212
  holdfast replay --zipf --keys 5000000 --skew 0.9 --limit 10000000 --connections 8 --pipeline 16`

// replayFlags are the replay.Options and the flags that they have no field for.
type replayFlags struct {
	options replay.Options
	format  string
	servers []string
	zipf    bool
	json    bool
}

func newReplayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:     "replay FILE",
		Short:   "Replay a log or a trace against a memcached server and report the hit rate",
		Long:    replayLong,
		Example: replayExample,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case f.zipf && len(args) > 0:
				return fmt.Errorf("--zipf generates its load: give no FILE")
			case !f.zipf && len(args) != 1:
				return fmt.Errorf("want one FILE, - for standard input, or --zipf; got %d arguments", len(args))
			}
			return nil
		},
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := f.complete(cmd, args)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			return f.run(ctx, cmd, name)
		},
	}
	f.declare(cmd)
	return cmd
}

func (f *replayFlags) declare(cmd *cobra.Command) {
	o, flags := &f.options, cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVarP(&f.servers, "server", "s", []string{"127.0.0.1:11211"},
		"host:port or Unix socket; may be repeated, the servers are replayed to in turn")
	flags.BoolVar(&o.Flush, "flush", false, "empty the server first (flush_all)")
	flags.StringVar(&f.format, "format", "", fmt.Sprintf("format of FILE, one of %v (default: detected from its content)",
		replay.Formats))
	flags.Int64VarP(&o.Limit, "limit", "n", 0, "requests to play (default: all; 1000000 with --zipf)")
	flags.IntVar(&o.ValueBytes, "value-size", 0, "size of every value in bytes (default: the trace's sizes, or 1000)")
	flags.IntVar(&o.KeyBytes, "key-size", 0, "pad keys to this many bytes (default: 20 for numbers, as is for others)")
	flags.DurationVar(&o.TTL, "ttl", 0, "TTL of every item, -1s for none (default: the trace's TTLs, or none)")
	flags.DurationVar(&o.LoadDelay, "load-delay", 0, "how long a load from the database takes after a miss")
	flags.IntVarP(&o.Connections, "connections", "c", 1, "number of connections; 1 keeps the trace's order exactly")
	flags.IntVarP(&o.Pipeline, "pipeline", "P", 1, fmt.Sprintf(
		"gets in flight on a connection, at most %d; above 1, sets come later than in the trace", replay.MaxPipeline))
	flags.Float64Var(&o.Speed, "speed", 0,
		"play at the trace's own pace times this factor (default: as fast as the server answers)")
	flags.DurationVar(&o.Timeout, "timeout", 10*time.Second, "timeout for connecting and for each batch of responses")
	flags.IntVar(&o.Points, "interval", 20, "number of intervals of the hit rate over time")
	flags.BoolVar(&f.json, "json", false, "print the report as JSON")
	flags.BoolVar(&f.zipf, "zipf", false, "generate a load by Zipf's law")
	flags.Uint64Var(&o.Zipf.Keys, "keys", 1_000_000, "with --zipf: number of different keys")
	flags.Float64Var(&o.Zipf.Skew, "skew", 0.99, "with --zipf: the exponent; 0 makes all keys equally popular")
	flags.Uint64Var(&o.Zipf.Seed, "seed", 1, "with --zipf: random seed; equal seeds make equal loads")
}

// complete checks the flags against each other and returns the trace's name.
func (f *replayFlags) complete(cmd *cobra.Command, args []string) (string, error) {
	o := &f.options
	o.Stdin = cmd.InOrStdin()
	o.Format = replay.Format(f.format)
	if f.zipf {
		if f.format != "" {
			return "", fmt.Errorf("--zipf reads no file: give no --format")
		}
		o.Format, o.Zipf.Requests = replay.FormatZipf, o.Limit
		return fmt.Sprintf("zipf, %d keys, skew %v, seed %d", o.Zipf.Keys, o.Zipf.Skew, o.Zipf.Seed), nil
	}
	for _, only := range []string{"keys", "skew", "seed"} {
		if cmd.Flags().Changed(only) {
			return "", fmt.Errorf("--%s needs --zipf", only)
		}
	}
	if o.Format == replay.FormatZipf {
		return "", fmt.Errorf("--format zipf: use --zipf, without a FILE")
	}
	if args[0] == "-" && len(f.servers) > 1 {
		return "", fmt.Errorf("standard input can be replayed to one server only")
	}
	return args[0], nil
}

// run replays to one server after the other and prints what there is, also of a replay that ended
// early.
func (f *replayFlags) run(ctx context.Context, cmd *cobra.Command, name string) error {
	var reports []replay.Report
	var err error
	for _, server := range f.servers {
		var report replay.Report
		report, err = f.replayTo(ctx, server, name, cmd.ErrOrStderr())
		if report.Requests > 0 || err == nil {
			reports = append(reports, report)
		}
		var fault *replay.TraceError
		if err != nil && !errors.As(err, &fault) {
			break // a fault of the trace is the same for each server, and is reported at the end
		}
	}
	show := replay.Print
	if f.json {
		show = replay.PrintJSON
	}
	if len(reports) > 0 {
		err = errors.Join(err, show(cmd.OutOrStdout(), reports))
	}
	return err
}

func (f *replayFlags) replayTo(ctx context.Context, server, name string, messages io.Writer) (replay.Report, error) {
	trace, err := replay.Open(name, f.options)
	if err != nil {
		return replay.Report{}, err
	}
	defer trace.Close()
	o := f.options
	o.Server = server
	line := newProgressLine(messages)
	defer line.clear()
	if line != nil {
		o.Progress = func(requests, hits int64) {
			text := fmt.Sprintf("%s  %d requests, %.1f %% hits", server, requests, 100*float64(hits)/float64(max(requests, 1)))
			line.show(text, replayDone(trace, o.Limit, requests))
		}
	}
	return replay.Run(ctx, trace, o)
}

// replayDone returns the progress of the replay from 0 to 1, or a negative number if the total is
// unknown.
func replayDone(trace *replay.Trace, limit, requests int64) float64 {
	done := trace.Done()
	if limit > 0 {
		done = max(done, float64(requests)/float64(limit))
	}
	return done
}
