package shard

import "golang.org/x/sys/unix"

// bootID is another one whenever the kernel was started anew; "" if it can't be told.
func bootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
