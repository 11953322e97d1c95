package shard

import "golang.org/x/sys/unix"

// bootID identifies the kernel's boot; "" if it isn't known.
func bootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
