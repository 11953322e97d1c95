package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// A repair is what Recover can do about a defect.
type repair int

const (
	repairNone    repair = iota // a backup is needed
	repairMarker                // create the empty file again
	repairControl               // write a new control file
	repairLogs                  // end the log before the defect, and set later ones aside
)

// A defect is something that keeps a store from being opened as it was left.
type defect struct {
	file   string // within the store's directory
	text   string // what is wrong, as the end of a sentence that begins with the file
	repair repair
}

func (d defect) String() string { return d.file + " " + d.text }

// A dirState is how a directory has been used so far.
type dirState int

const (
	dirEmpty        dirState = iota // nothing is there
	dirInitializing                 // a first start wasn't completed
	dirLegacy                       // a version without control files has used it
	dirKnown                        // there is a control file, or there was one that can't be read
)

// A neededLog is a log with commits that aren't in sorted tables yet.
type neededLog struct {
	extent        // as the control file has it; zero if it isn't in there
	listed  bool  // it is in the control file
	scan    *scan // nil: there is no such file
	tail    tail
	keep    int64 // bytes that a recovery keeps
	damaged bool
}

// An inspection examines a store's directory, and changes nothing in it. It is done before Pebble
// opens the directory, since Pebble takes a directory without a marker for a new one, ignores a log
// that is missing, and takes damage for the end of a log unless what follows proves otherwise.
type inspection struct {
	o      Options
	lock   *pebble.Lock // nil if there is no directory of Pebble's
	fs     vfs.FS
	dir    string
	engine string
	boot   string // the machine's present boot

	state    dirState
	files    []string // in Pebble's directory
	control  *control // nil: there is none
	format   uint32   // by its marker
	manifest extent   // that the marker, or else the control file, names; all of it that is whole
	minLog   uint64   // the first log that the manifest needs
	blobs    blobSet  // that the manifest needs
	logs     []*neededLog
	defects  []defect
	notes    []string // differences that cost nothing
}

// inspect examines the directory of o, whose defaults are set. The lock is of Pebble's directory.
func inspect(o Options, lock *pebble.Lock) (*inspection, error) {
	in := &inspection{o: o, lock: lock, fs: o.FS, dir: o.Dir, engine: o.FS.PathJoin(o.Dir, engineDir), boot: o.Boot}
	if err := in.findControl(); err != nil {
		return nil, err
	}
	if in.state == dirEmpty || in.state == dirInitializing || len(in.engineFiles()) == 0 {
		return in, nil
	}
	in.checkFormat()
	named, err := in.checkManifest()
	if err != nil || !named {
		return in, err
	}
	in.checkOptions()
	in.checkTables()
	if err := in.blobs.check(in); err != nil {
		return in, err
	}
	return in, in.checkLogs()
}

// lockIfThere locks Pebble's directory, if there is one.
func lockIfThere(o Options) (*pebble.Lock, error) {
	engine := o.FS.PathJoin(o.Dir, engineDir)
	if _, err := o.FS.Stat(engine); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return pebble.LockDirectory(engine, o.FS)
}

func (in *inspection) found(r repair, file, format string, args ...any) {
	in.defects = append(in.defects, defect{file: file, text: fmt.Sprintf(format, args...), repair: r})
}

func (in *inspection) note(format string, args ...any) {
	in.notes = append(in.notes, fmt.Sprintf(format, args...))
}

// The markers, whose full names change.
const (
	anyFormat   = engineDir + "/" + markerFormat + "*"
	anyManifest = engineDir + "/" + markerManifest + "*"
)

// pebble returns the name of a file of Pebble's within the store's directory.
func (in *inspection) pebble(name string) string { return engineDir + "/" + name }

// findControl reads the control file, and finds the directory's state.
func (in *inspection) findControl() error {
	beside, err := list(in.fs, in.dir)
	if err != nil {
		return err
	}
	if in.files, err = list(in.fs, in.engine); err != nil {
		return err
	}
	c, faults, err := readControl(in.fs, in.fs.PathJoin(in.dir, controlName))
	switch {
	case errors.Is(err, os.ErrNotExist):
		in.state = dirLegacy
		if len(in.engineFiles()) == 0 {
			in.state = dirEmpty
			in.checkUnused(without(beside, in.o.Beside))
		}
		return nil
	case err != nil && len(faults) == 0:
		return err
	}
	in.state, in.control = dirKnown, c
	in.noteFaults(faults)
	if c != nil && c.phase == phaseMaking {
		in.state = dirInitializing
		in.checkMaking()
	} else if len(in.engineFiles()) == 0 {
		in.found(repairNone, engineDir, "is empty or missing")
	}
	return nil
}

// noteFaults notes why copies of the control file can't be read. One may be of a later version while
// the other isn't: then the first start of that version ended before it touched anything else.
func (in *inspection) noteFaults(faults []error) {
	later := slices.IndexFunc(faults, func(err error) bool { return errors.Is(err, errLaterVersion) })
	switch {
	case in.control == nil && later >= 0:
		in.found(repairNone, controlName, "is of a later version of this program: %v", faults[later])
	case in.control == nil:
		in.found(repairControl, controlName, "is damaged, and what should be in the directory isn't known: %v", faults[0])
	default:
		for _, fault := range faults {
			in.note("%v; the other copy is taken", fault)
		}
	}
}

// engineFiles are Pebble's files, without its lock.
func (in *inspection) engineFiles() []string {
	return slices.DeleteFunc(slices.Clone(in.files), func(name string) bool { return name == "LOCK" })
}

// checkUnused finds out whether a directory without tables was ever used. One with nothing but the
// lock is that of a start that was killed at once.
func (in *inspection) checkUnused(beside []string) {
	for _, name := range beside {
		if name != engineDir && name != controlPartial {
			in.found(repairNone, name, "is there, and no tables: "+
				"take a directory that is empty or missing, or put back what was in %s/", engineDir)
			return
		}
	}
}

// checkMaking finds files in the directory of an incomplete first start that Pebble would remove as
// garbage.
func (in *inspection) checkMaking() {
	if _, ok := in.marker(markerManifest); ok {
		return
	}
	for _, name := range in.files {
		if isTable(name) {
			in.found(repairNone, in.pebble(name), "is there, and %s says that nothing was written yet", controlName)
			return
		}
	}
}

// marker returns the value in the name of the newest marker of a kind.
func (in *inspection) marker(prefix string) (value string, ok bool) {
	newest := uint64(0)
	for _, name := range in.files {
		if v, iteration, is := markerValue(name, prefix); is && (!ok || iteration > newest) {
			value, newest, ok = v, iteration, true
		}
	}
	return value, ok
}

func (in *inspection) checkFormat() {
	value, ok := in.marker(markerFormat)
	if !ok {
		in.found(repairMarker, anyFormat, "is missing, an empty file whose name says the version of the format")
		return
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		in.found(repairNone, anyFormat, "says %q, which is no version", value)
		return
	}
	in.format = uint32(n)
	if in.control != nil && in.format < in.control.format {
		in.found(repairNone, anyFormat, "says version %d, and it was %d: it is from an older copy",
			n, in.control.format)
	}
}

// checkManifest finds the manifest and examines it. It returns false if there is none.
func (in *inspection) checkManifest() (named bool, err error) {
	value, ok := in.marker(markerManifest)
	num, isNumber := manifestNumber(value)
	switch {
	case !ok:
		in.found(repairMarker, anyManifest, "is missing, an empty file whose name says which manifest is in use")
		if in.control == nil {
			return false, nil
		}
		num = in.control.manifest.num
	case !isNumber:
		in.found(repairNone, anyManifest, "says %q, which is no manifest", value)
		return false, nil
	}
	want := extent{num: num}
	if in.control != nil {
		was := in.control.manifest
		switch {
		case num == was.num:
			want = was
		case num < was.num:
			in.found(repairNone, anyManifest, "says %s, and it was %s: it is from an older copy",
				value, manifestName(was.num))
			return false, nil
		case !in.hasMarkerOf(was.num):
			in.found(repairNone, anyManifest, "says %s, which isn't this store's: it was %s",
				value, manifestName(was.num))
			return false, nil
		}
	}
	return in.scanManifest(want)
}

// hasMarkerOf reports whether there is a marker, newest or not, of a manifest.
func (in *inspection) hasMarkerOf(num uint64) bool {
	return slices.ContainsFunc(in.files, func(name string) bool {
		value, _, ok := markerValue(name, markerManifest)
		return ok && value == manifestName(num)
	})
}

// scanManifest reads the manifest, of which at least want was on disk.
func (in *inspection) scanManifest(want extent) (named bool, err error) {
	name := manifestName(want.num)
	path := in.fs.PathJoin(in.engine, name)
	s, err := scanFile(in.fs, path, extent{bytes: want.bytes}, func(edit []byte) {
		if min, ok := minLogOf(edit); ok {
			in.minLog = min
		}
		in.blobs.add(edit)
	})
	if errors.Is(err, os.ErrNotExist) {
		in.found(repairNone, in.pebble(name), "is missing: it says which files are the tables")
		return false, nil
	}
	if err != nil {
		return false, err
	}
	t, err := scanTail(in.fs, path, s, extent{})
	if err != nil {
		return false, err
	}
	in.manifest = extent{num: want.num, bytes: s.end}
	switch {
	case s.summed < want.bytes:
		in.found(repairNone, in.pebble(name), "has %d bytes of the %d that were written", s.summed, want.bytes)
	case want.bytes > 0 && s.sum != want.sum:
		in.found(repairNone, in.pebble(name), "isn't as it was written: its first %d bytes have another checksum",
			want.bytes)
	case s.records == 0:
		in.found(repairNone, in.pebble(name), "has nothing in it")
	case s.err != nil && t.stray >= 0 && in.sameStart():
		in.found(repairNone, in.pebble(name), "is damaged at byte %d: what follows is whole", s.end)
	case s.err != nil && t.bytes > 0:
		in.note("%s: the last %d bytes weren't written whole", in.pebble(name), t.bytes)
	}
	return true, nil
}

// sameStart reports whether the machine has run since the store last did, so that its files have
// all that was written, in order: only a loss of power leaves holes.
func (in *inspection) sameStart() bool {
	return in.control != nil && in.control.phase == phaseRunning && in.control.boot != "" && in.control.boot == in.boot
}

// Tags of the edits in a manifest (Pebble's version_edit.go). These are at an edit's beginning, in
// this order.
const (
	editComparer = 1 // length, name
	editLog      = 2 // the first log that is needed from then on
)

// minLogOf returns the first log that is needed after an edit, if the edit has it.
func minLogOf(edit []byte) (uint64, bool) {
	tag, n := binary.Uvarint(edit)
	if n > 0 && tag == editComparer {
		length, m := binary.Uvarint(edit[n:])
		if m <= 0 || length > uint64(len(edit)-n-m) {
			return 0, false
		}
		edit = edit[n+m+int(length):]
		tag, n = binary.Uvarint(edit)
	}
	if n <= 0 || tag != editLog {
		return 0, false
	}
	num, n := binary.Uvarint(edit[n:])
	return num, n > 0
}

// checkOptions notes that Pebble's options file is missing, which Pebble only compares with its
// options.
func (in *inspection) checkOptions() {
	if !slices.ContainsFunc(in.files, func(name string) bool { return strings.HasPrefix(name, "OPTIONS-") }) {
		in.note("%s is missing: it is made again; look what else a copy of the directory left out", in.pebble("OPTIONS-*"))
	}
}

// refusal returns the error of a start, before anything is touched, or nil if the directory is as
// it was left.
func (in *inspection) refusal() error {
	if len(in.defects) == 0 {
		return nil
	}
	texts := make([]string, len(in.defects))
	for i, d := range in.defects {
		texts[i] = d.String()
	}
	return holdfast.Errorf(holdfast.Corrupt, "the tables aren't as they were left, and nothing was touched: %s",
		strings.Join(texts, "; "))
}

// logNotes logs the differences that cost nothing.
func (in *inspection) logNotes(log *slog.Logger) {
	for _, note := range in.notes {
		log.Warn("the tables' directory: " + note)
	}
	for _, l := range in.logs {
		if l.tail.bytes > 0 && !l.closed {
			log.Warn("the end of a log wasn't written whole, as after a kill or a loss of power, and is dropped: "+
				"it was never acknowledged, unless the file was truncated by less than its last second", "file",
				in.pebble(logName(l.num)), "bytes", l.tail.bytes,
				"kept_bytes", l.scan.end, "kept_commits", l.scan.records)
		}
	}
}

// list returns what is in a directory; none if it is missing.
func list(fs vfs.FS, dir string) ([]string, error) {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	slices.Sort(names)
	return names, err
}
