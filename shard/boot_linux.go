package shard

import (
	"os"
	"strings"
)

// bootID identifies the kernel's boot; "" if it isn't known.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
