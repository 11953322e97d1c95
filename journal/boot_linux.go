package journal

import (
	"os"
	"strings"
)

// bootID returns an ID that differs after each start of the kernel; "" if it is unknown.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
