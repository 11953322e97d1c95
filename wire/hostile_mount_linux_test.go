package wire

import "syscall"

// mountMemory mounts a file system in memory at dir; data are its options.
func mountMemory(dir, data string) error { return syscall.Mount("tmpfs", dir, "tmpfs", 0, data) }

func unmount(dir string) error { return syscall.Unmount(dir, 0) }
