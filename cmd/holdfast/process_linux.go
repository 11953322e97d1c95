package main

import "golang.org/x/sys/unix"

// lockMemory keeps the process's memory, present and future, out of swap. Pages are locked when
// they are first used, since Go reserves far more address space than it uses.
func lockMemory() error {
	return unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
}
