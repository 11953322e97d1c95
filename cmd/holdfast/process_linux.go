package main

import "golang.org/x/sys/unix"

// lockMemory keeps what the process uses, now and later, out of swap. Pages are locked as they are
// first used: Go reserves far more addresses than it uses.
func lockMemory() error {
	return unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
}
