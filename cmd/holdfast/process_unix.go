//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// stopSignals end the service cleanly. SIGUSR1 is memcached's graceful stop.
var stopSignals = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1}

// spareFiles is the number of file descriptors needed beyond the clients' connections: for event
// loops, listeners, HTTP and files.
const spareFiles = 128

// allowCores raises the core file limit as far as possible, and makes the Go runtime dump core
// after a crash instead of only printing stacks. It fails if no core could be written.
func allowCores() error {
	limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if unix.Setrlimit(unix.RLIMIT_CORE, &limit) != nil && unix.Getrlimit(unix.RLIMIT_CORE, &limit) == nil {
		limit.Cur = limit.Max
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &limit) // the result is read below
	}
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur == 0 {
		return fail(exitOS, "failed to ensure corefile creation")
	}
	debug.SetTraceback("crash")
	return nil
}

// allowConnections raises the limit of open files for the given number of connections. It fails if
// only root may raise the limit that far. It never lowers the limit.
func allowConnections(connections int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fail(exitOS, "failed to getrlimit number of files")
	}
	for _, files := range []int{connections + spareFiles, connections} {
		want := limit
		atLeast(&want.Cur, files)
		atLeast(&want.Max, files)
		if want == limit || unix.Setrlimit(unix.RLIMIT_NOFILE, &want) == nil {
			return nil
		}
	}
	return fail(exitOS, "failed to set rlimit for open files. Try starting as root or requesting smaller maxconns value.")
}

// fileLimit is the hard limit of open files, in words.
func fileLimit() string {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return "fewer"
	}
	return fmt.Sprint(limit.Max)
}

// atLeast raises a limit's field, whose type differs by system.
func atLeast[T int64 | uint64](field *T, n int) { *field = max(*field, T(n)) }

// assumeUser changes from root to the named user, as memcached's -u does. A process that isn't root
// stays as it is; to stay root, name root.
func assumeUser(name string) error {
	if os.Getuid() != 0 && os.Geteuid() != 0 {
		return nil
	}
	if name == "" {
		return fail(exitUsage, "must add '-u root' to start as root")
	}
	u, err := user.Lookup(name)
	if err != nil {
		return fail(exitNoUser, "can't find the user %s to switch to", name)
	}
	uid, errUID := strconv.Atoi(u.Uid)
	gid, errGID := strconv.Atoi(u.Gid)
	if err := errors.Join(errUID, errGID); err != nil {
		return fail(exitNoUser, "the user %s has no numeric id: %v", name, err)
	}
	if err := syscall.Setgroups(nil); err != nil && !errors.Is(err, syscall.EPERM) {
		// EPERM means that there is little left to give up, as in a container.
		return fail(exitOS, "failed to drop supplementary groups: %v", err)
	}
	if err := errors.Join(syscall.Setgid(gid), syscall.Setuid(uid)); err != nil {
		return fail(exitOS, "failed to assume identity of user %s: %v", name, err)
	}
	return nil
}

// A daemon is a child process in its own session that keeps running after the command has returned.
// Go can't fork, so the command starts itself again:
//
//  1. the command checks its options and starts the child with a pipe, named in daemonVar;
//  2. the child starts the server, and writes a byte to the pipe once it serves;
//  3. the command exits with 0, or, if the pipe closes without a byte, with the child's exit code.
const daemonVar = "HOLDFAST_DAEMON_PIPE"

// inDaemon reports whether this process is the child.
func inDaemon() bool { return os.Getenv(daemonVar) != "" }

// daemonize is the command's side. The child's working directory is /, unless keepDirectory is set
// so that cores can be written.
func daemonize(args []string, keepDirectory bool) error {
	program, err := os.Executable()
	if err != nil {
		return fail(exitFailure, "failed to daemon() in order to daemonize: %v", err)
	}
	ready, childsEnd, err := os.Pipe()
	if err != nil {
		return fail(exitFailure, "failed to daemon() in order to daemonize: %v", err)
	}
	defer ready.Close()
	child := exec.Command(program)
	child.Args = args
	child.Env = append(os.Environ(), daemonVar+"=3")
	child.ExtraFiles = []*os.File{childsEnd} // becomes descriptor 3
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !keepDirectory {
		child.Dir = "/"
	}
	err = child.Start()
	childsEnd.Close()
	if err != nil {
		return fail(exitFailure, "failed to daemon() in order to daemonize: %v", err)
	}
	if n, _ := ready.Read(make([]byte, 1)); n == 1 {
		return nil
	}
	_ = child.Wait() // its message is on standard error already
	return &exitError{code: max(child.ProcessState.ExitCode(), exitFailure)}
}

// daemonReady is the child's side. Unless verbose, it detaches from the terminal.
func daemonReady(verbose bool) error {
	pipe := os.NewFile(3, daemonVar)
	defer pipe.Close()
	if !verbose {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer null.Close()
		for fd := range 3 {
			if err := unix.Dup2(int(null.Fd()), fd); err != nil {
				return fmt.Errorf("detach from the terminal: %w", err)
			}
		}
	}
	_, err := pipe.Write([]byte{1})
	return err
}

// alive reports whether there is a process pid.
func alive(pid int) bool { return unix.Kill(pid, 0) == nil }
