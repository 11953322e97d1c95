//go:build !linux

package main

import "syscall"

// endWithUs can't be had here: a server outlives this process if it panics or is killed.
func endWithUs() *syscall.SysProcAttr { return nil }
