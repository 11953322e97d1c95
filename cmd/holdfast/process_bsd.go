//go:build unix && !linux

package main

import "golang.org/x/sys/unix"

func lockMemory() error { return unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE) }
