package wire

import (
	"os/exec"
	"runtime"
	"syscall"
)

func runSpawner(work <-chan func()) {
	runtime.LockOSThread()
	for f := range work {
		f()
	}
}

func startBound(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd.Start()
}
