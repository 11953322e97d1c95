package shard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The control file lists Pebble's files and how far each was on disk, so that a start can
// distinguish what a crash leaves from files that were removed, truncated or changed. It holds the
// same record twice. A write syncs the first copy before it begins the second: if one copy is torn,
// the other is whole, and at most one write older. docs/formats.md has each byte.
const (
	controlName    = "control"
	controlPartial = "control.partial" // until it is whole for the first time
	controlMagic   = "holdctrl"
	controlVersion = 2        // that is written; firstVersion on are read
	firstVersion   = 1        // the keys of shards are in an older form, and are taken over
	controlFixed   = 80       // bytes of a copy before the boot ID
	extentBytes    = 33       // of each log
	copyBytes      = 64 << 10 // from one copy to the next
	copies         = 2
	sumBytes       = 4
	maxLogs        = (copyBytes - controlFixed - 255 - sumBytes) / extentBytes
)

// A phase is what a store was doing when its control file was written. The numbers are on disk.
type phase byte

const (
	phaseMaking  phase = 1 // the first start isn't complete: nothing was acknowledged
	phaseRunning phase = 2
	phaseClean   phase = 3 // stopped cleanly
)

// An extent is how much of a file was on disk, at least.
type extent struct {
	num    uint64 // of the file
	bytes  int64  // from its beginning
	sum    uint32 // CRC32C of those
	head   head   // of a log
	closed bool   // the file ends with those bytes: what follows doesn't count
	reused bool   // what follows those bytes may be of another log, which the file was before
}

// A head is the beginning of a log: as much as its first sync put on disk. It distinguishes a
// damaged log from another log with its name.
type head struct {
	bytes int64 // 0: not known
	sum   uint32
}

// The flags of an extent on disk.
const (
	flagClosed = 1 << iota
	flagReused
)

// A control is the record in a control file.
type control struct {
	version  uint32 // of the directory's format
	sequence uint64 // rises with each write
	id       [16]byte
	at       time.Time
	phase    phase
	boot     string // identifies the machine's boot; "": not known
	format   uint32 // Pebble's major version of the format
	manifest extent
	logs     []extent // by rising number; those that Pebble has flushed may be among them
}

func castagnoli(sum uint32, p []byte) uint32 {
	return crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), p) // MakeTable caches this table
}

func (c *control) appendTo(dst []byte) []byte {
	begin := len(dst)
	le := binary.LittleEndian
	dst = append(dst, controlMagic...)
	dst = le.AppendUint32(dst, c.version)
	dst = le.AppendUint32(dst, uint32(controlFixed+len(c.boot)+len(c.logs)*extentBytes+sumBytes))
	dst = le.AppendUint64(dst, c.sequence)
	dst = append(dst, c.id[:]...)
	dst = le.AppendUint64(dst, uint64(c.at.UnixNano()))
	dst = append(dst, byte(c.phase), byte(len(c.boot)), 0, 0)
	dst = le.AppendUint32(dst, c.format)
	dst = le.AppendUint64(dst, c.manifest.num)
	dst = le.AppendUint64(dst, uint64(c.manifest.bytes))
	dst = le.AppendUint32(dst, c.manifest.sum)
	dst = le.AppendUint32(dst, uint32(len(c.logs)))
	dst = append(dst, c.boot...)
	for _, l := range c.logs {
		dst = le.AppendUint64(dst, l.num)
		dst = le.AppendUint64(dst, uint64(l.bytes))
		dst = le.AppendUint32(dst, l.sum)
		dst = le.AppendUint64(dst, uint64(l.head.bytes))
		dst = le.AppendUint32(dst, l.head.sum)
		flags := byte(0)
		if l.closed {
			flags |= flagClosed
		}
		if l.reused {
			flags |= flagReused
		}
		dst = append(dst, flags)
	}
	return le.AppendUint32(dst, castagnoli(0, dst[begin:]))
}

// errLaterVersion begins the error of a control file of a later version of the program, whose
// directory this one must leave alone.
var errLaterVersion = errors.New("its format is version")

// decodeControl returns the record in a copy.
func decodeControl(p []byte) (*control, error) {
	le := binary.LittleEndian
	if len(p) < controlFixed+sumBytes || string(p[:8]) != controlMagic {
		return nil, errors.New("it doesn't begin as a control file does")
	}
	version := le.Uint32(p[8:])
	if version > controlVersion {
		return nil, fmt.Errorf("%w %d, and this program knows %d", errLaterVersion, version, controlVersion)
	}
	if version < firstVersion {
		return nil, fmt.Errorf("its format is version %d, which never was", version)
	}
	n, boot, logs := int(le.Uint32(p[12:])), int(p[49]), int(le.Uint32(p[76:]))
	if logs > maxLogs || n != controlFixed+boot+logs*extentBytes+sumBytes || n > len(p) {
		return nil, errors.New("its length is wrong")
	}
	if castagnoli(0, p[:n-sumBytes]) != le.Uint32(p[n-sumBytes:]) {
		return nil, errors.New("its checksum is wrong")
	}
	c := &control{
		version: version, sequence: le.Uint64(p[16:]), id: [16]byte(p[24:40]), at: time.Unix(0, int64(le.Uint64(p[40:]))),
		phase: phase(p[48]), format: le.Uint32(p[52:]), boot: string(p[controlFixed : controlFixed+boot]),
		manifest: extent{num: le.Uint64(p[56:]), bytes: int64(le.Uint64(p[64:])), sum: le.Uint32(p[72:])},
	}
	for l := p[controlFixed+boot : n-sumBytes]; len(l) > 0; l = l[extentBytes:] {
		c.logs = append(c.logs, extent{
			num: le.Uint64(l), bytes: int64(le.Uint64(l[8:])), sum: le.Uint32(l[16:]),
			head:   head{bytes: int64(le.Uint64(l[20:])), sum: le.Uint32(l[28:])},
			closed: l[32]&flagClosed != 0, reused: l[32]&flagReused != 0,
		})
	}
	return c, nil
}

// readControl returns the record in the newest whole copy of a control file. faults are those of
// copies that aren't whole; if no copy is, the error is the first fault.
func readControl(fs vfs.FS, path string) (c *control, faults []error, err error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	for i := range copies {
		p := make([]byte, copyBytes)
		n, err := f.ReadAt(p, int64(i)*copyBytes)
		if err != nil && err != io.EOF {
			return nil, nil, err
		}
		is, err := decodeControl(p[:n])
		if err != nil {
			faults = append(faults, fmt.Errorf("copy %d of %s: %w", i+1, controlName, err))
		} else if c == nil || is.sequence > c.sequence {
			c = is
		}
	}
	if c == nil {
		return nil, faults, faults[0]
	}
	return c, faults, nil
}

// writeControl puts a record into both copies, each synced by itself.
func writeControl(f vfs.File, c *control) error {
	p := c.appendTo(nil)
	for i := range copies {
		if _, err := f.WriteAt(p, int64(i)*copyBytes); err != nil {
			return err
		}
		if err := f.SyncData(); err != nil {
			return err
		}
	}
	return nil
}

// makeControl makes the control file of a directory, in place of one that is there. After a crash
// the file is whole, or the one that was there before.
func makeControl(fs vfs.FS, dir string, c *control) error {
	partial := fs.PathJoin(dir, controlPartial)
	f, err := fs.Create(partial, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(bytes.Repeat([]byte{0}, copies*copyBytes)) // so that later writes need no more space
	if err == nil {
		err = writeControl(f, c)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(partial, fs.PathJoin(dir, controlName)); err != nil {
		return err
	}
	return syncDir(fs, dir)
}
