// Package journal keeps the keys that the members of a replicated pool missed while they could not
// be reached, or may have missed: for each member, in order, with their times. When a member
// returns, it first deletes them all, or everything if the journal is cut, and only then answers
// reads. A key that is forgotten is a stale read for ever, so a journal knows at all times whether
// it is complete, and says that it is cut when it can't tell.
//
// An absence, event by event, as the caller sees it:
//
//  1. A write fails on the member. Begin makes it durable that the member is away; Add takes the
//     key. When both have been done the write may be acknowledged; Add says if Begin is still due.
//  2. Other writes that the member misses: Add, which is a write(2) to the page cache.
//  3. The member can be reached again. New writes go to it, and those that fail are still added.
//     The caller deletes what Read gives it, batch after batch, until there is none left.
//  4. Finish at the position where the reading ended: true if nothing was added behind it, and
//     the member may answer reads; else the reading goes on.
//
// If the journal is cut: take its End, flush the member, Finish at that position; if that
// is false, something was missed meanwhile, and it starts over.
//
// Deletes are applied before Finish removes the file. A crash in between has them applied a
// second time, which costs some misses; the other order would lose them.
//
// # What survives what
//
// Entries are written and not synced: they survive the end of the process, kill -9 too, and not
// that of the machine. Begin syncs the file and the folder, so that after a loss of power there
// is a file for every member that was away, and since the file names the boot of the kernel that
// it was written under, it is known to lack entries, and is cut. So a missing file means
// that nothing was missed. That needs a folder that outlives the machine's boots, not one of tmpfs.
//
// A journal is cut when an entry could not be written, when it would grow over MaxBytes or is
// older than MaxAge, or when its file has anything that is not a whole and right record. The file
// says so too: its header is overwritten, or if that fails, it is emptied. If the disk
// refuses both, then Add returns false until a Begin has succeeded in one of them.
//
// # The file
//
// For each member that is away there is one file in the folder, its name that of the member with
// ".journal" after it. Bytes of the name other than a-z, 0-9, "-", "_" and ".", and a "." at the
// beginning, are written as "%" and two hexadecimal digits; if that is longer than 200 bytes it
// is "%_" and the SHA-256 of the member's name in hexadecimal. The file "lock" is empty; the
// process that uses the folder has it locked. The file "ledger" is told below.
//
// Numbers are little-endian, times are nanoseconds since 1970, sums are CRC32C (Castagnoli).
// The header:
//
//	 0  8 bytes  magic, "holdjrnl"
//	 8  uint32   format version, 1
//	12  uint32   H, the bytes of this header
//	16  int64    when the absence began
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
// A file with another magic or version, another boot ID or none, a wrong sum or length anywhere, or a
// record that is not whole is a cut journal. As each sum continues the one before, so are records
// that were left out, doubled or moved; the end of the file is where the last write ended,
// which the kernel keeps while it runs.
//
// # The ledger
//
// The file "ledger" is mapped memory, in which a process notes each write to a member with a journal
// before it sends anything of it, and forgets it once no member can lack it unknown: see Ledger. Of what
// it wrote, all survives its end; its header alone is synced, when a process begins or ends and with each
// generation. So after a loss of power the notes may be lacking: the header's boot ID and state tell. A
// page of header, in the byte order of the machine where a number changes while the file is in use:
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
// A folder that is removed while it is in use is made again at the next absence, without a ledger, and the
// ledger that is mapped counts a write more, should its folder come back.
//
// A folder that was used, which its lock file shows, and whose ledger is missing or isn't one, is one
// whose notes are lost.
//
// # Use
//
// All methods may be called concurrently, but one reader at a time is what a journal is for.
package journal
