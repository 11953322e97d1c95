package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// binaries are the paths of the servers; none leaves one out.
type binaries struct{ holdfast, memcached string }

const none = "none"

// scratch creates a directory, in parent or where temporary files go, and finds the binaries. done
// removes the directory.
func (b *binaries) scratch(ctx context.Context, parent string) (dir string, done func(), err error) {
	if dir, err = os.MkdirTemp(parent, "holdfast-bench"); err != nil {
		return "", nil, err
	}
	done = func() { os.RemoveAll(dir) }
	if err := b.find(ctx, dir); err != nil {
		done()
		return "", nil, err
	}
	return dir, done, nil
}

// find builds or looks up the binaries. A peer that isn't installed is left out with a message. The
// directory is for the built binary.
func (b *binaries) find(ctx context.Context, dir string) error {
	if b.holdfast == "" {
		b.holdfast = filepath.Join(dir, "holdfast")
		build := exec.CommandContext(ctx, "go", "build", "-o", b.holdfast, "./cmd/holdfast")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go build ./cmd/holdfast, which must run in the module's directory: %w\n%s", err, out)
		}
	}
	if b.memcached != none {
		path, err := exec.LookPath(b.memcached)
		if err != nil {
			fmt.Printf("without memcached: %v\n", err)
			path = none
		}
		b.memcached = path
	}
	return nil
}

// both returns the command lines of the servers that are not left out, Holdfast first. Flags are
// memcached's, which both understand.
func (b *binaries) both(memoryMiB, threads int, flags ...string) []spec {
	var specs []spec
	flags = append([]string{"-l", "127.0.0.1", "-m", strconv.Itoa(memoryMiB), "-t", strconv.Itoa(threads)}, flags...)
	if os.Geteuid() == 0 {
		flags = append(flags, "-u", "root")
	}
	if b.holdfast != none {
		specs = append(specs, spec{name: "holdfast", portFlag: "-p", argv: append([]string{b.holdfast, "cache"}, flags...)})
	}
	if b.memcached != none {
		argv := append([]string{b.memcached, "-U", "0"}, flags...)
		specs = append(specs, spec{name: "memcached", portFlag: "-p", argv: argv})
	}
	return specs
}

// A spec is a server that can be started. The flag with the port, or with the address, comes last
// on its command line.
type spec struct {
	name     string
	portFlag string // "": the address is in its configuration
	argv     []string
	whole    bool // the flag takes HOST:PORT
}

// A server is a process that answers at address.
type server struct {
	spec
	address string
	cmd     *exec.Cmd
	proc    string        // the directory in which the system describes the process
	output  printed       // its standard output and error
	exited  chan struct{} // closed when the process has exited
	err     error         // how it exited; valid once exited is closed
}

// A printed is what a process has printed. Unlike a bytes.Buffer, it can be read while the process
// runs.
type printed struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

const (
	startLimit = 30 * time.Second
	stopLimit  = 60 * time.Second // a server with a memory file reads it whole before it exits
	askEvery   = 500 * time.Microsecond
)

// freeAddress is one on which nothing listens.
func freeAddress() (string, error) {
	addresses, err := freeAddresses(1)
	if err != nil {
		return "", err
	}
	return addresses[0], nil
}

// freeAddresses are different ones.
func freeAddresses(count int) (addresses []string, err error) {
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // not before all have been chosen, so that they differ
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// start starts the server on a free port and waits until it answers.
func (p spec) start(ctx context.Context) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s, err := p.launch(address)
	if err != nil {
		return nil, err
	}
	c, err := s.firstAnswer(ctx)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, c.close()
}

// launch starts the process and doesn't wait.
func (p spec) launch(address string) (*server, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if p.whole {
		port = address
	}
	s := &server{spec: p, address: address, exited: make(chan struct{})}
	args := slices.Clip(p.argv[1:])
	if p.portFlag != "" {
		args = append(args, p.portFlag, port)
	}
	s.cmd = exec.Command(p.argv[0], args...)
	s.cmd.SysProcAttr = endWithUs()
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	s.proc = fmt.Sprintf("/proc/%d", s.cmd.Process.Pid)
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	return s, nil
}

// firstAnswer connects as soon as the server accepts, and requests its version.
func (s *server) firstAnswer(ctx context.Context) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		if c, err := dial(s.address); err == nil {
			if _, err := c.version(); err == nil {
				return c, nil
			}
			c.close()
		}
		select {
		case <-s.exited:
			return nil, fmt.Errorf("%s ended: %v\n%s", s.name, s.err, s.output.String())
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: no answer at %s: %w", s.name, s.address, ctx.Err())
		case <-tick.C:
		}
	}
}

// stop ends the server by SIGTERM and waits for its end.
func (s *server) stop() error { return s.end(stopLimit) }

// end is stop of a server that is killed after the limit.
func (s *server) end(limit time.Duration) error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	select {
	case <-s.exited:
		return nil // its exit status is tested elsewhere
	case <-time.After(limit):
		s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("%s: did not end within %v of SIGTERM; killed", s.name, limit)
	}
}

// residentMiB is the process's resident memory; 0 if the system doesn't report it.
func (s *server) residentMiB() int {
	status, err := os.ReadFile(filepath.Join(s.proc, "status"))
	if err != nil {
		return 0
	}
	return residentOf(status)
}

// residentOf finds the resident memory, in MiB, in the text of /proc/PID/status.
func residentOf(status []byte) int {
	for line := range bytes.Lines(status) {
		if fields := bytes.Fields(line); len(fields) >= 2 && string(fields[0]) == "VmRSS:" {
			kib, _ := strconv.Atoi(string(fields[1]))
			return kib >> 10
		}
	}
	return 0
}
