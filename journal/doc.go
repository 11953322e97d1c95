// Package journal keeps the keys that the members of a replicated pool missed, or may have missed,
// while they could not be reached: for each member, in order, with their times. When a member
// returns, the caller first deletes all these keys there, or everything if the journal is cut, and
// only then lets the member answer reads. A key that is lost from a journal stays stale for ever,
// so a journal knows at all times whether it is complete, and is marked as cut when that is in
// doubt.
//
// An outage, event by event, as the caller sees it:
//
//  1. A write fails on the member. Begin makes the outage durable; Add takes the key. After both the
//     write may be acknowledged; Add reports whether Begin is still due.
//  2. Other writes that the member misses: Add, which is a write(2) to the page cache.
//  3. The member can be reached again. New writes are sent to it, and those that fail are still added.
//     The caller deletes the keys that Read returns, batch after batch, until none is left.
//  4. Finish at the position where the reading ended: true if nothing was added behind it, and
//     the member may answer reads; else the reading continues.
//
// If the journal is cut: take its End, flush the member, Finish at that position; if that returns
// false, something was missed meanwhile, and the caller starts over.
//
// Deletes are applied before Finish removes the file. After a crash in between they are applied a
// second time, which costs some misses; the other order would lose them.
//
// # What survives what
//
// Entries are written and not synced: they survive the end of the process, kill -9 too, and not
// that of the machine. Begin syncs the file and the directory, so after a loss of power there is a
// file for every member that was down. Since the file names the boot of the kernel under which it
// was written, the next process knows that entries may be missing, and the journal is cut. So a
// missing file means that nothing was missed. That needs a directory that outlives the machine's
// boots, not one of tmpfs.
//
// A journal is cut when an entry could not be written, when it would grow over MaxBytes or is
// older than MaxAge, or when its file contains anything that is not a whole and valid record. The
// file records that as well: its header is overwritten, or if that fails, the file is emptied. If
// the disk refuses both, then Add returns false until a Begin has succeeded in one of them.
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
// a record that is not whole is a cut journal. Since each sum continues the one before, so is a
// journal with records left out, doubled or moved. The file ends where the last write ended, which
// the kernel guarantees while it runs.
//
// # The ledger
//
// The file "ledger" is mapped memory, in which a process notes each write to a member with a
// journal before it sends any of it, and removes the note once every member has the write or it is
// in the journals: see Ledger. All notes survive the end of the process; only the header is synced,
// when a process begins or ends and with each generation. So after a loss of power notes may be
// missing, as the header's boot ID and state show. The header is one page, in the byte order of the
// machine where a number changes while the file is in use:
//
//	 0  8 bytes   magic, "holdledg"
//	 8  uint32    format version, 1
//	12  uint32    bytes of a slot, 272
//	16  uint64    slots
//	24  16 bytes  the journals' identity, drawn when the file was made
//	40  uint64    generation: one more with each process and each Advance
//	48  uint64    1 in use, 2 closed in order and synced
//	56  uint64    writes that have no slot
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
// A directory that is removed while it is in use is made again at the next outage, without a
// ledger. The mapped ledger then counts one write without a slot, in case its directory comes back.
//
// If the lock file shows that a directory was used, and its ledger is missing or invalid, its notes
// are lost.
//
// # Use
//
// All methods may be called concurrently, but a journal is meant for one reader at a time.
package journal
