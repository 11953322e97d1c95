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

// spareFiles are file descriptors beyond the clients' connections: event loops, listeners, HTTP,
// files.
const spareFiles = 128

// allowCores raises the core file limit as far as it goes, and has the Go runtime abort with a
// core where it would only print its stacks. It fails if no core could be written then.
func allowCores() error {
	limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if unix.Setrlimit(unix.RLIMIT_CORE, &limit) != nil && unix.Getrlimit(unix.RLIMIT_CORE, &limit) == nil {
		limit.Cur = limit.Max
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &limit) // what came of it is asked next
	}
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur == 0 {
		return fail(exitOS, "failed to ensure corefile creation")
	}
	debug.SetTraceback("crash")
	return nil
}

// allowConnections raises the limit of open files for so many connections; where only root may
// raise it so far, it fails. It never lowers what is allowed already.
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

// atLeast raises a limit's field, whose type differs by system.
func atLeast[T int64 | uint64](field *T, n int) { *field = max(*field, T(n)) }

// assumeUser gives up root for the named user, as memcached's -u does. Whoever isn't root keeps
// what they have; root must say that it means to stay root.
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

// A daemon is a child of its own session that goes on when the command has returned. Go can't fork,
// so the command starts itself again:
//
//  1. the command checks its options and starts the child with a pipe, named in daemonVar;
//  2. the child does all a server does, and says through the pipe that it serves;
//  3. the command ends with 0; if the pipe closes without that word, with the child's exit code.
const daemonVar = "HOLDFAST_DAEMON_PIPE"

// inDaemon reports whether this process is the child.
func inDaemon() bool { return os.Getenv(daemonVar) != "" }

// daemonize is the command's side. The child works in / unless it is to leave cores behind.
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

// daemonReady is the child's side. Unless told to be verbose it lets go of the terminal.
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
