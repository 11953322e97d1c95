package main

import "syscall"

// endWithUs has a server end by SIGTERM if this process ends before it has stopped the server: by a
// panic of another goroutine, or by a signal that can't be caught. The kernel sends the signal when
// the thread ends that started the server; Go ends no threads but those that are locked, and none
// is here.
func endWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
