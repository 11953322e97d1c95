package journal

import "golang.org/x/sys/unix"

// bootID returns an ID that differs after each start of the kernel; "" if it is unknown.
func bootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
