package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/config"
	"holdfast/node"
)

func newCacheCommand(program string) *cobra.Command {
	cmd := &cobra.Command{
		Use:                "cache [memcached's options]",
		Short:              "Serve the cache alone, with memcached's command line",
		DisableFlagParsing: true, // see getopt
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := parseCacheFlags(program, args)
			if err != nil {
				return err
			}
			if f.show != nil {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), f.show(program))
				return err
			}
			return f.run(cmd)
		},
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), cacheUsage(program)) })
	return cmd
}

// run serves, in this process or in a daemon.
func (f *cacheFlags) run(cmd *cobra.Command) error {
	if f.daemon && !inDaemon() {
		return daemonize(os.Args, f.coreDumps)
	}
	log := newLogger(cmd.ErrOrStderr(), f.config)
	for _, warning := range f.warnings() {
		log.Warn(warning)
	}
	if err := f.prepare(); err != nil {
		return err
	}
	defer f.removePIDFile(log)
	return f.startError(serve(cmd.Context(), service{
		options: node.Options{
			Config: f.config, Debug: f.debug, Verbosity: f.verbosity, Log: log,
			WatchBytes: f.watchKiB << 10, Settings: f.settings(),
		},
		ready: func(all []*node.Node) error { return f.ready(all[0], log) },
	}))
}

// startError reports an address that can't be listened on with memcached's text and exit code.
func (f *cacheFlags) startError(err error) error {
	var listen *node.ListenError
	var taken *takenError
	advice := ""
	if errors.As(err, &taken) {
		advice = "\nStop the program that listens there, or choose another port with -p or -l."
	}
	switch {
	case !errors.As(err, &listen):
		return err
	case listen.Setting != "cache.listen":
		return fail(exitOS, "failed to listen for HTTP: %v%s", listen.Err, advice)
	case f.unixPath != "":
		return fail(exitOS, "failed to listen on UNIX socket: %s: %v", f.unixPath, listen.Err)
	case len(f.listen) == 0:
		return fail(exitOS, "failed to listen on TCP port %d: %v%s", f.port, listen.Err, advice)
	}
	return fail(exitOS, "failed to listen on one of interface(s) %s: %v%s", strings.Join(f.listen, ","), listen.Err,
		advice)
}

// prepare sets up the process before anything is opened: it raises the limits while the process is
// still root, then changes the user.
func (f *cacheFlags) prepare() error {
	if f.coreDumps {
		if err := allowCores(); err != nil {
			return err
		}
	}
	if err := allowConnections(f.config.Cache.Connections); err != nil && !f.debug {
		return err
	}
	return assumeUser(f.user)
}

// ready writes the port file and the pid file, and reports to the command that started a daemon.
func (f *cacheFlags) ready(n *node.Node, log *slog.Logger) error {
	if f.lockMemory {
		if err := lockMemory(); err != nil {
			log.Warn("-k invalid, mlockall() failed", "err", err)
		}
	}
	warnIfOpen("cache", f.config.Cache.AuthFile, f.config.Cache.TLS, n.CacheAddrs(), log)
	if err := writePorts(os.Getenv("MEMCACHED_PORT_FILENAME"), n.CacheAddrs()); err != nil {
		log.Warn("cannot write the port file", "err", err)
	}
	if f.pidFile != "" {
		if err := writePIDFile(f.pidFile, log); err != nil {
			log.Warn("cannot write the pid file", "err", err)
		}
	}
	log.Info("serving memcached clients", "addresses", addressList(n.CacheAddrs()), "memory",
		f.config.Cache.Memory.String())
	if inDaemon() {
		return daemonReady(f.verbosity > 0)
	}
	return nil
}

// writePorts writes memcached's port file, one line like "TCP INET: 11211" per listener. It renames
// the file into place, so that a program that waits for it never reads a part of it.
func writePorts(path string, addrs []net.Addr) error {
	if path == "" {
		return nil
	}
	var text []byte
	for _, addr := range addrs {
		tcp, ok := addr.(*net.TCPAddr)
		if !ok {
			continue
		}
		if tcp.IP.To4() != nil || tcp.IP.IsUnspecified() {
			text = fmt.Appendf(text, "TCP INET: %d\n", tcp.Port)
		}
		if tcp.IP.To4() == nil {
			text = fmt.Appendf(text, "TCP INET6: %d\n", tcp.Port)
		}
	}
	return replaceFile(path, path+".lck", text)
}

func replaceFile(path, temporary string, text []byte) error {
	// Never follow a link that another user has put there: the directory may be /tmp.
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// writePIDFile replaces the file at path, and logs a warning if it names a running process.
func writePIDFile(path string, log *slog.Logger) error {
	var pid int
	if old, err := os.ReadFile(path); err == nil {
		if _, err := fmt.Sscan(string(old), &pid); err == nil && pid > 0 && alive(pid) {
			log.Warn("the pid file named a running process", "file", path, "pid", pid)
		}
	}
	return replaceFile(path, path+".tmp", fmt.Appendf(nil, "%d\n", os.Getpid()))
}

// removePIDFile removes the pid file unless another process has replaced it by its own.
func (f *cacheFlags) removePIDFile(log *slog.Logger) {
	if f.pidFile == "" {
		return
	}
	text, err := os.ReadFile(f.pidFile)
	if err != nil || string(text) != fmt.Sprintf("%d\n", os.Getpid()) {
		return
	}
	if err := os.Remove(f.pidFile); err != nil {
		log.Warn("cannot remove the pid file", "err", err)
	}
}

// cacheName returns the name by which the cache command was called, for its help and its messages.
func cacheName(args []string) string {
	if len(args) > 0 {
		if name := filepath.Base(args[0]); name == "memcached" || name == "memcached-debug" {
			return name
		}
	}
	return "holdfast cache"
}

// plainError logs an error as its text alone: the handler formats by %+v, which adds stack traces
// to Pebble's errors.
func plainError(_ []string, a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok {
		a.Value = slog.StringValue(err.Error())
	}
	return a
}

func newLogger(w io.Writer, c config.Config) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: c.Log.Level, ReplaceAttr: plainError}))
}
