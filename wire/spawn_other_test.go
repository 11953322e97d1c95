//go:build !linux

package wire

import "os/exec"

func runSpawner(work <-chan func()) {
	for f := range work {
		f()
	}
}

// startBound can't bind the child to the test program on this system; the tests' cleanups stop it.
func startBound(cmd *exec.Cmd) error { return cmd.Start() }
