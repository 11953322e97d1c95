package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPIDFile writes the pid file over each thing that may be in its place, and removes it only
// while it names this process.
func TestPIDFile(t *testing.T) {
	own := fmt.Sprintf("%d\n", os.Getpid())
	for name, test := range map[string]struct {
		old    string
		warned bool
	}{
		"no file":                   {"", false},
		"not a number":              {"x\n", false},
		"a process that has ended":  {"99999999\n", false},
		"no process":                {"-1\n", false},
		"a process that is running": {own, true},
	} {
		dir := t.TempDir()
		path, victim := filepath.Join(dir, "pid"), filepath.Join(dir, "victim")
		replaceText(t, victim, "kept")
		if test.old != "" {
			replaceText(t, path, test.old)
		}
		// Another user may have put a link where the new file is written before it is renamed.
		if err := os.Symlink(victim, path+".tmp"); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		if err := writePIDFile(path, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		text, err := os.ReadFile(path)
		if err != nil || string(text) != own {
			t.Errorf("%s: got %q, %v; want %q", name, text, err, own)
		}
		if got := strings.Contains(log.String(), "named a running process"); got != test.warned {
			t.Errorf("%s: got the log %q; want a warning: %v", name, log.String(), test.warned)
		}
		if kept, err := os.ReadFile(victim); err != nil || string(kept) != "kept" {
			t.Errorf("%s: got %q, %v behind the link; want it kept", name, kept, err)
		}

		f := &cacheFlags{pidFile: path}
		replaceText(t, path, "1\n") // another process's by now
		f.removePIDFile(slog.New(slog.DiscardHandler))
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: got %v; want the other process's file kept", name, err)
		}
		replaceText(t, path, own)
		f.removePIDFile(slog.New(slog.DiscardHandler))
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v; want no file", name, err)
		}
	}
}

// TestPortFile writes memcached's port file for each kind of address.
func TestPortFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ports")
	err := writePorts(path, []net.Addr{
		&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, &net.TCPAddr{IP: net.IPv6loopback, Port: 2},
		&net.TCPAddr{IP: net.IPv6unspecified, Port: 3}, &net.UnixAddr{Name: "/s"},
	})
	text, read := os.ReadFile(path)
	const want = "TCP INET: 1\nTCP INET6: 2\nTCP INET: 3\nTCP INET6: 3\n"
	if err != nil || read != nil || string(text) != want {
		t.Errorf("got %q, %v, %v; want %q", text, err, read, want)
	}
	if err := writePorts(filepath.Join(path, "none"), nil); err == nil {
		t.Error("in a directory that isn't one: got no error")
	}
}

// TestEveryCommandHasHelp asks each command for its help, which names each of its flags.
func TestEveryCommandHasHelp(t *testing.T) {
	for _, name := range []string{"up", "cache", "router", "config", "config check", "config convert", "route", "replay",
		"topology", "table", "table list", "table describe", "table set", "table import", "table export",
		"table check", "table recover", "version"} {
		words := strings.Fields(name)
		code, help, stderr := command(append(words, "--help")...)
		if code != 0 || stderr != "" || !strings.Contains(strings.ToLower(help), "usage") {
			t.Errorf("%s --help: got %d, %q, %q; want its usage", name, code, help, stderr)
		}
		if name == "cache" {
			continue // TestCacheHelp
		}
		if code, _, stderr := command(append(words, "--no-such-flag")...); code != 1 ||
			!strings.Contains(stderr, "--no-such-flag") {
			t.Errorf("%s --no-such-flag: got %d, %q; want 1 and the flag's name", name, code, stderr)
		}
	}
}
