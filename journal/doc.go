// Package journal keeps the keys that each member of a replicated pool missed, or may have missed,
// during an outage, in order and with their times. When the member returns, the caller first
// deletes all these keys there, or flushes it if the journal is cut, and only then lets the member
// answer reads. A key that a journal lost would stay stale for ever, so a journal always knows
// whether it is complete, and is marked as cut when that is in doubt.
//
// An outage, event by event, as the caller sees it:
//
//  1. A write fails on the member. Begin makes the outage durable, and Add adds the key. After
//     both, the write may be acknowledged. Add reports whether Begin is still needed.
//  2. The member misses more writes: Add, which is a write(2) to the page cache.
//  3. The member is reachable again. New writes are sent to it, and the keys of those that fail are
//     still added. The caller deletes the keys that Read returns, batch by batch, until none is
//     left.
//  4. Finish at the position where the reading ended. If it returns true, nothing was added after
//     it, and the member may answer reads; otherwise the reading continues.
//
// If the journal is cut, the caller takes its End, flushes the member, and calls Finish at that
// position; if that returns false, the member missed something meanwhile, and the caller starts
// over.
//
// Deletes are applied before Finish removes the file. After a crash between the two they are
// applied a second time, which costs some misses; the other order would lose them.
//
// # What survives what
//
// Entries are written without a sync: they survive the end of the process, kill -9 too, but not a
// crash of the machine. Begin syncs the file and the directory, so after a loss of power there is a
// file for every member that was down. The file has the boot ID of the kernel under which it was
// written; if that differs, entries may be missing, and the journal is cut. So a missing file means
// that nothing was missed. This needs a directory that survives a reboot, not one on tmpfs.
//
// A journal is cut when an entry could not be written, when it would exceed MaxBytes or MaxAge, or
// when its file contains anything but whole and valid records. The file says so, too: its header is
// overwritten, or if that fails, the file is emptied. If the disk refuses both, Add returns false
// until a Begin has succeeded with one of them.
//
// # The file
//
// For each member that is down there is one file in the directory, named after the member with
// ".journal" appended. Bytes of the name other than a-z, 0-9, "-", "_" and ".", and a "." at the
// beginning, are written as "%" and two hexadecimal digits; if that is longer than 200 bytes it
// is "%_" and the SHA-256 of the member's name in hexadecimal. The file "lock" is empty; the
// process that uses the directory has it locked. The file "ledger" is described below.
//
// Numbers are little-endian, times are nanoseconds since 1970, sums are CRC32C (Castagnoli).
// The header:
//
//	 0  8 bytes  magic, "holdjrnl"
//	 8  uint32   format version, 1
//	12  uint32   H, the bytes of this header
//	16  int64    when the outage began
//	24  uint32   1 if the journal is cut, else 0
//	28  uint16   b, the bytes of the boot ID
//	30  uint16   m, the bytes of the member's name
//	32  b bytes  the boot ID: what /proc/sys/kernel/random/boot_id has; empty where there is none
//	  + m bytes  the member's name
//	  + uint32   sum of the header up to here; H = 36 + b + m
//
// Then the records, one after another to the end of the file, in the order they were added:
//
//	 0  uint32   sum of this record from byte 4 on, continued from the sum of the record before;
//	             for the first record from that of bytes 16 to 23 of the header
//	 4  uint16   k, the bytes of the key, 1 to 16384
//	 6  int64    when it was added
//	14  k bytes  the key
//
// A file with another magic or version, another boot ID or none, a wrong sum or length anywhere, or
// an incomplete record is a cut journal. Since each sum continues the one before, so is a journal
// in which records are missing, repeated or reordered. The file ends where the last write ended,
// which the kernel guarantees while it runs.
//
// # The ledger
//
// The file "ledger" is mapped memory, in which a process records each write to a member with a
// journal before it sends any of it. It removes the record once every member has the write, or the
// key is in the journals: see Ledger. All records survive the end of the process. Only the header
// is synced, when a process starts or stops and with each generation, so after a loss of power
// records may be missing, as the header's boot ID and state show. The header is one page. Numbers
// that change while the file is in use are in the machine's byte order:
//
//	 0  8 bytes   magic, "holdledg"
//	 8  uint32    format version, 1
//	12  uint32    bytes of a slot, 272
//	16  uint64    slots
//	24  16 bytes  the journals' identity, random, drawn when the file was created
//	40  uint64    generation: incremented by each process and each Advance
//	48  uint64    1 in use, 2 closed cleanly and synced
//	56  uint64    the number of writes in flight that have no slot
//	64  uint32    sum of bytes 0 to 39 and of the boot ID with its length
//	68  uint16    b, the bytes of the boot ID
//	70  b bytes   the boot ID
//
// Then, from byte 4096 on, the slots, 2048 for each event loop:
//
//	 0  uint64    k + 65536, k the bytes of the key; 0 is a free slot. Written last
//	 8  uint64    the pool: FNV-1a of its name, h ^ h>>32
//	16  256 bytes the key
//
// A directory that is removed while it is in use is created again at the next outage, without a
// ledger. The mapped ledger then counts one write without a slot, so that it is incomplete if its
// directory comes back.
//
// If there is a lock file, so that the directory was used, and the ledger is missing or invalid,
// its records are lost.
//
// # Use
//
// All methods may be called concurrently, but a journal must have one reader at a time.
package journal
