package shard

import (
	"cmp"
	"slices"
)

// checkLogs examines each log that the manifest needs: whether it is there, whether it has all that
// was on disk, and whether the logs follow each other. A defect of one is a defect of all after it:
// a log can't be replayed without those before it, since its changes were made from theirs.
func (in *inspection) checkLogs() error {
	in.findLogs()
	next := uint64(0) // sequence number
	for i, l := range in.logs {
		if err := in.checkLog(l, i == len(in.logs)-1); err != nil {
			return err
		}
		switch {
		case l.scan == nil || l.foreign(in) || l.scan.records == 0:
		case l.scan.first < next && !l.damaged:
			in.badLog(l, "isn't what was written: it begins before the log that it follows ends")
			fallthrough
		case l.scan.first < next:
			l.keep = 0
		default:
			next = l.scan.next
		}
	}
	return nil
}

// findLogs lists the logs that are needed: by the control file, and by what is there.
func (in *inspection) findLogs() {
	if in.control != nil {
		for _, e := range in.control.logs {
			if e.num >= in.minLog {
				in.logs = append(in.logs, &neededLog{extent: e, listed: true})
			}
		}
	}
	for _, name := range in.files {
		num, ok := logNumber(name)
		if !ok || num < in.minLog || slices.ContainsFunc(in.logs, func(l *neededLog) bool { return l.num == num }) {
			continue
		}
		// A log that isn't on record may have been another one.
		in.logs = append(in.logs, &neededLog{extent: extent{num: num, reused: true}})
	}
	slices.SortFunc(in.logs, func(a, b *neededLog) int { return cmp.Compare(a.num, b.num) })
}

func (in *inspection) badLog(l *neededLog, format string, args ...any) {
	l.damaged = true
	in.found(repairLogs, in.pebble(logName(l.num)), format, args...)
}

func (in *inspection) checkLog(l *neededLog, last bool) error {
	name := logName(l.num)
	if !slices.Contains(in.files, name) {
		in.badLog(l, "is missing: %d bytes of it were on disk", l.bytes)
		return nil
	}
	path := in.fs.PathJoin(in.engine, name)
	var err error
	if l.scan, err = scanFile(in.fs, path, l.extent, func([]byte) {}); err != nil {
		return err
	}
	if l.tail, err = scanTail(in.fs, path, l.scan, l.extent); err != nil {
		return err
	}
	l.keep = l.scan.end
	s := l.scan
	switch {
	case in.control != nil && !l.listed:
		// Pebble had just made it, and wrote nothing to it, or somebody has put it there.
		if l.keep = 0; s.records > 0 {
			in.badLog(l, "is none of this store's logs, and %d commits are in it", s.records)
		}
	case s.summed < l.bytes:
		in.badLog(l, "has %d bytes of the %d that were on disk", s.summed, l.bytes)
	case s.head != l.head:
		l.keep = 0
		in.badLog(l, "isn't what was written: its first %d bytes have another checksum", l.head.bytes)
	case l.bytes > 0 && s.sum != l.sum && s.end < l.bytes:
		in.badLog(l, "is damaged at byte %d of the %d that were on disk", s.end, l.bytes)
	case l.bytes > 0 && s.sum != l.sum:
		l.keep = 0
		in.badLog(l, "isn't what was written: its first %d bytes have another checksum", l.bytes)
	case l.closed:
		l.keep = l.bytes
	case s.proven():
		in.badLog(l, "is damaged at byte %d: what follows says that it was on disk (%v)", s.end, s.err)
	case !last && !s.marked:
		in.badLog(l, "ends at byte %d without its end mark, and another log follows", s.end)
	case last && s.err != nil && l.tail.stray >= 0 && in.sameStart():
		in.badLog(l, "is damaged at byte %d: byte %d and what follows is whole", s.end, l.tail.stray)
	}
	return nil
}
