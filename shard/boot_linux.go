package shard

import (
	"os"
	"strings"
)

// bootID is another one whenever the kernel was started anew; "" if it can't be told.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
